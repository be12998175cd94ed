"""Any frames of any video, in any order and out of a decoder that was used before, are those of a whole decoding."""

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from omnitok.data import DataError
from omnitok.data import decoders as kept
from omnitok.data.pixels import Reading, resized
from omnitok.data.videos import read_frames, read_video, survey_video

FRAMES = 48
Times = Callable[[int], int]


def film(path: Path, codec: str, times: Times = lambda i: i, muxer: dict[str, str] | None = None, **said: str) -> Path:
    """Noise that no frame predicts well from another, 32 x 48, at 25 ticks a second."""
    options = {"g": "12", "sc_threshold": "0"} | said
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=Fraction(25), options=options)
        assert isinstance(stream, VideoStream)
        width, height = (128, 96) if codec == "libx265" else (48, 32)  # of less x265 corrupts the process
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec in ("mpeg4", "mpeg2video"):
            stream.codec_context.max_b_frames = 2
        for i in range(FRAMES):
            coarse = np.random.default_rng(i).integers(0, 256, (1, 4, 6, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(resized(coarse, height, width)[0], format="rgb24")
            frame.pts, frame.time_base = times(i), Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def trimmed(path: Path, source: Path, frames: int) -> Path:
    """A copy whose first frames lie before time 0, so that its edit list hides them."""
    with av.open(str(source)) as old, av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as new:
        stream = old.streams.video[0]
        copied = new.add_stream_from_template(stream)
        assert stream.time_base is not None
        shift = round(Fraction(frames, 25) / stream.time_base)
        for packet in old.demux(stream):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copied
                new.mux(packet)
    return path


def uneven(i: int) -> int:
    return i * i // 12 + 2 * i


KINDS: dict[str, Callable[[Path], Path]] = {
    "closed.mp4": lambda path: film(path, "libx264", bf="3"),
    "open.mp4": lambda path: film(path, "libx264", bf="3", **{"x264-params": "open-gop=1"}),
    "open.mkv": lambda path: film(path, "libx264", bf="3", **{"x264-params": "open-gop=1:b-pyramid=normal"}),
    "refresh.mp4": lambda path: film(path, "libx264", **{"x264-params": "intra-refresh=1"}),
    "slices.mov": lambda path: film(path, "libx264", slices="4", bf="2"),
    "uneven.mp4": lambda path: film(path, "libx264", uneven, bf="2"),
    "uneven.mkv": lambda path: film(path, "libx264", uneven, bf="2"),
    "early.mp4": lambda path: film(path, "libx264", lambda i: i - 7, {"avoid_negative_ts": "disabled"}, bf="2"),
    "late.mp4": lambda path: film(path, "libx264", lambda i: i + 100, bf="2"),
    "trimmed.mp4": lambda path: trimmed(path, film(path.with_name("whole.mp4"), "libx264", bf="2"), 5),
    "h264.avi": lambda path: film(path, "libx264", bf="0"),
    "divx.avi": lambda path: film(path, "mpeg4"),
    "part2.mp4": lambda path: film(path, "mpeg4"),
    "program.mpg": lambda path: film(path, "mpeg2video"),
    "plain.mkv": lambda path: film(path, "mpeg2video"),
    "h265.mp4": lambda path: film(path, "libx265", **{"x265-params": "keyint=12:open-gop=1:log-level=none"}),
    "vp9.webm": lambda path: film(path, "libvpx-vp9", deadline="realtime", **{"cpu-used": "8"}),
    "pictures.avi": lambda path: film(path, "mjpeg"),
}


@pytest.fixture(autouse=True)
def _nothing_is_kept() -> None:
    kept._SHELF.clear()


@pytest.mark.parametrize("name", KINDS)
def test_any_frames_in_any_order_are_those_of_a_whole_decoding(tmp_path: Path, name: str) -> None:
    try:
        path = KINDS[name](tmp_path / name)
    except av.codec.codec.UnknownCodecError:
        pytest.skip("this build of the video library does not write it")
    found = survey_video(path, name, path.suffix)
    draw = np.random.default_rng(0)
    whole = {
        reading: read_video(path, name, reading)[0]
        for reading in (Reading(), Reading(16, filter="area"), Reading(square=20, filter="bicubic"))
    }
    assert found.frames == len(whole[Reading()]) > 40
    content = path.read_bytes()
    for turn in range(30):
        stride, count = int(draw.integers(1, 4)), int(draw.integers(1, 6))
        start = int(draw.integers(found.frames - (count - 1) * stride))
        wanted = range(start, start + (count - 1) * stride + 1, stride)
        reading = list(whole)[turn % 3]
        frames = read_frames(content if turn % 5 == 0 else path, name, wanted, found.keys, reading)
        assert np.array_equal(frames, whole[reading][list(wanted)]), wanted
    with pytest.raises(DataError, match=rf"{name}: has no frames 3 to {found.frames + 1}; it ends at frame"):
        read_frames(path, name, (3, found.frames), found.keys)
    assert np.array_equal(read_frames(path, name, (2, 40), found.keys), whole[Reading()][[2, 40]])


def test_going_on_in_a_video_neither_seeks_nor_opens_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / "a.mp4", "libx264")
    keys = survey_video(path, "a", ".mp4").keys
    opened: list[Path | bytes] = []
    sought: list[int] = []
    monkeypatch.setattr(kept.Decoder, "_open", _told(kept.Decoder._open, lambda self: opened.append(self.file)))
    monkeypatch.setattr(kept.Decoder, "_seek", _told(kept.Decoder._seek, lambda self, frame, *_: sought.append(frame)))
    for start in (0, 5, 10, 15):
        read_frames(path, "a", range(start, start + 5), keys)
    assert (opened, sought) == ([path], [])
    read_frames(path, "a", (40,), keys)  # far on: from the keyframe before it
    read_frames(path, "a", (1, 47), keys)  # back, and far on again within one window
    assert (opened, sought) == ([path], [36, 0, 36])


def _told(method: Callable[..., object], tell: Callable[..., object]) -> Callable[..., object]:
    def telling(*arguments: object) -> object:
        tell(*arguments)
        return method(*arguments)

    return telling


def test_a_process_keeps_as_many_decoders_as_it_may_and_lets_go_of_the_one_used_longest_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMNITOK_DECODERS", "2")
    paths = [film(tmp_path / f"{i}.avi", "mjpeg") for i in range(3)]
    for path in [*paths, paths[1]]:
        read_frames(path, "x", (0,))
    assert [decoder.file for decoder in kept._SHELF.decoders.values()] == [paths[2], paths[1]]
    monkeypatch.setenv("OMNITOK_DECODERS", "0")
    read_frames(paths[1], "x", (3,))
    assert not kept._SHELF.decoders
    monkeypatch.setenv("OMNITOK_DECODERS", "many")
    with pytest.raises(DataError, match="OMNITOK_DECODERS=many: is no whole number"):
        read_frames(paths[1], "x", (3,))


def test_a_file_that_changes_is_opened_anew(tmp_path: Path) -> None:
    path = film(tmp_path / "a.avi", "mjpeg")
    read_frames(path, "a", (0, 1))
    film(tmp_path / "b.avi", "mjpeg", slices="2", qmin="30", qmax="31").replace(path)
    assert np.array_equal(read_frames(path, "a", (2, 3)), read_video(path, "a")[0][2:4])
    path.unlink()
    with pytest.raises(DataError, match=r"a: frames 2 to 4: cannot be decoded: No such file"):
        read_frames(path, "a", (2, 3))


def test_a_video_that_breaks_later_is_an_error_that_names_it_and_the_frames(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", "libx264", bf="0")
    keys = survey_video(path, "a", ".mp4").keys
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 4
    content[start + 200 : start + (len(content) - start) // 2] = bytes((len(content) - start) // 2 - 200)
    with pytest.raises(DataError, match=r"clip: frame.* (is damaged|cannot be decoded)"):
        read_frames(bytes(content), "clip", range(5, 10), keys)
    assert not kept._SHELF.decoders


@pytest.mark.parametrize("threads", ["0", "2"])
def test_a_fork_reads_what_its_parent_read_whatever_the_threads(
    tmp_path: Path, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMNITOK_DECODER_THREADS", threads)
    path = film(tmp_path / "a.mp4", "libx264")
    first = read_frames(path, "a", range(3, 9))
    child = os.fork()
    if not child:
        same = np.array_equal(read_frames(path, "a", range(3, 9)), first)
        os._exit(0 if same and not kept._SHELF.decoders.keys() - {kept._key(path)} else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert np.array_equal(read_frames(path, "a", range(3, 9)), first)
