"""Pictures and videos are read strictly and in one defined way; windows of a video are exact."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from PIL import Image

from omnitok.data import DataError, read_clip, write_clip
from omnitok.data.pictures import read_picture, survey_picture
from omnitok.data.pixels import cropped_to, reduced_size, resized, resized_to
from omnitok.data.videos import read_frames, read_video, survey_video


def noise(seed: int, height: int = 24, width: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(seed)).save(path)
    return path


def video(
    path: Path,
    frames: int = 40,
    codec: str = "libx264",
    seed: int = 0,
    rotation: int = 0,
    *,
    height: int = 48,
    **muxer: str,
) -> Path:
    """Frames of different content, a keyframe every 12, B-frames where the codec has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=muxer) as container:
        stream = container.add_stream(codec, rate=Fraction(25), options={"g": "12", "sc_threshold": "0"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, height, "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for i in range(frames):
            pixels = resized(noise(1000 * seed + i, 3, 4)[None], height, 64)[0]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


# Pictures


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "bmp"])
def test_a_picture_cut_anywhere_is_found(tmp_path: Path, kind: str) -> None:
    whole = picture(tmp_path / f"whole.{kind}").read_bytes()
    assert survey_picture(whole, "whole", f".{kind}") == (24, 32)
    for cut in [5, 12, 20, 60, len(whole) // 4, len(whole) // 2, len(whole) - 10, len(whole)]:
        with pytest.raises(DataError, match=f"cut by {cut}: "):
            survey_picture(whole[:-cut], f"cut by {cut}", f".{kind}")


def png(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_every_kind_of_picture_becomes_8_bit_rgb_in_the_defined_way() -> None:
    def pixel(image: Image.Image, **options: object) -> list[int]:
        frames = read_picture(png(image, **options), "x.png")
        assert frames.shape == (1, 2, 2, 3)
        return frames[0, 0, 0].tolist()

    deep = Image.fromarray(np.full((2, 2), 257 * 77, dtype=np.uint16))
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 9, 8, 7])
    assert pixel(Image.new("L", (2, 2), 50)) == [50, 50, 50]
    assert pixel(Image.new("1", (2, 2), 1)) == [255, 255, 255]
    assert pixel(deep) == [77, 77, 77]
    assert pixel(palette) == [9, 8, 7]
    assert pixel(palette, transparency=1) == [255, 255, 255]
    assert pixel(Image.new("RGBA", (2, 2), (0, 0, 0, 0))) == [255, 255, 255]
    assert pixel(Image.new("RGBA", (2, 2), (200, 0, 0, 255))) == [200, 0, 0]
    assert pixel(Image.new("LA", (2, 2), (40, 255))) == [40, 40, 40]


def test_the_orientation_that_a_camera_wrote_is_honoured() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn 90 degrees clockwise to see it upright
    pixels = noise(0)
    assert np.array_equal(read_picture(png(Image.fromarray(pixels), exif=exif), "x")[0], np.rot90(pixels, -1))


def test_a_decompression_bomb_is_an_error_that_names_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 24 * 32 - 1)
    with pytest.raises(DataError, match=r"0\.png: has more than 767 pixels"):
        read_clip(picture(tmp_path / "0.png"))


# Videos


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"), ("a.mov", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("b.avi", "libx264"),
        ("a.mpg", "mpeg2video"), ("a.webm", "libvpx-vp9"),
    ],
)  # fmt: skip
def test_a_window_is_the_same_as_a_slice_of_the_whole_video(tmp_path: Path, name: str, codec: str) -> None:
    path = video(tmp_path / name, codec=codec)
    found = survey_video(path, name, path.suffix)
    whole, fps = read_video(path, name)
    assert whole.shape == (found.frames, found.height, found.width, 3) == (40, 48, 64, 3)
    assert fps == found.fps == 25
    for start, count in [(0, 3), (11, 3), (12, 1), (13, 17), (37, 3)]:
        found_now = read_frames(path, name, range(start, start + count), found.keys)
        assert np.array_equal(found_now, whole[start : start + count])
    with pytest.raises(DataError, match=rf"{name}: has no frames 38 to 41; it ends at frame 40"):
        read_frames(path, name, range(38, 41), found.keys)


def test_a_window_far_into_a_video_decodes_from_the_keyframe_before_it(
    tmp_path: Path,
) -> None:
    path = video(tmp_path / "a.mp4")
    keys = survey_video(path, "a.mp4", ".mp4").keys
    assert [frame for frame, _ in keys] == [0, 12, 24, 36]
    expected = read_video(path, "a")[0][30:32]
    content = path.read_bytes()  # decoders of bytes are not kept, so each call finds out for itself
    wrong = ((0, 0), (24, keys[2][1] + 1))  # no frame has that time: the video is then decoded from its start
    assert np.array_equal(read_frames(content, "a", (30, 31), wrong), expected)
    shifted = ((0, 0), (24, keys[1][1]))  # the injected fault: keyframe 12 in the place of 24 shows in the frames
    assert not np.array_equal(read_frames(content, "a", (30, 31), shifted), expected)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".mov"])
@pytest.mark.parametrize("part", [0.25, 0.5, 0.9])
def test_a_truncated_video_is_found(tmp_path: Path, suffix: str, part: float) -> None:
    whole = video(tmp_path / f"a{suffix}", codec="mpeg4" if suffix == ".avi" else "libx264").read_bytes()
    torn = tmp_path / f"torn{suffix}"
    torn.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(DataError, match=f"torn{suffix}: "):
        survey_video(torn, torn.name, suffix)


def test_a_video_with_its_index_in_front_is_found_truncated_too(tmp_path: Path) -> None:
    whole = video(tmp_path / "a.mp4", movflags="faststart").read_bytes()
    assert whole.index(b"moov") < whole.index(b"mdat")
    (tmp_path / "torn.mp4").write_bytes(whole[:-300])
    with pytest.raises(DataError, match=r"torn\.mp4: "):
        survey_video(tmp_path / "torn.mp4", "torn.mp4", ".mp4")


def test_a_phones_rotation_is_honoured(tmp_path: Path) -> None:
    plain, _ = read_video(video(tmp_path / "a.mp4", frames=2), "a")
    turned, _ = read_video(video(tmp_path / "b.mp4", frames=2, rotation=90), "b")
    assert np.array_equal(turned, np.rot90(plain, 1, axes=(1, 2)))
    found = survey_video(tmp_path / "b.mp4", "b", ".mp4")
    assert (found.height, found.width) == (64, 48)


def test_a_sound_file_an_unknown_codec_and_a_huge_video_are_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        silence.rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    with pytest.raises(DataError, match=r"a\.mp4: has no video stream"):
        read_clip(tmp_path / "a.mp4")
    unknown = tmp_path / "unknown.mp4"
    unknown.write_bytes(video(tmp_path / "c.mp4").read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(DataError, match=r"unknown\.mp4: its video is in a format that is not known here"):
        read_clip(unknown)
    with pytest.raises(DataError, match="more than 0 MiB when decoded"):
        read_video(video(tmp_path / "b.mp4"), "b.mp4", most_bytes=100_000)


# In and out


def test_a_video_and_a_picture_come_back_as_they_were_written(tmp_path: Path) -> None:
    smooth = resized(np.stack([noise(i, 3, 4) for i in range(5)]), 48, 64)
    write_clip(tmp_path / "a.mp4", smooth, 30000 / 1001)
    frames, fps = read_clip(tmp_path / "a.mp4")
    assert frames.shape == smooth.shape
    assert fps == pytest.approx(30000 / 1001)
    assert np.abs(frames.astype(int) - smooth).mean() < 4
    write_clip(tmp_path / "a.png", smooth[:1], 0.0)
    assert np.array_equal(read_clip(tmp_path / "a.png").frames, smooth[:1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "a.png"]


def test_what_cannot_be_written_or_read_is_refused_by_name(tmp_path: Path) -> None:
    five = np.zeros((5, 8, 8, 3), dtype=np.uint8)
    for path, frames, reason in [
        (tmp_path / "a.png", five, r"a\.png: 5 frames cannot be written there"),
        (tmp_path / "a.mp4", five[:1], r"a\.mp4: 1 frame cannot be written there"),
        (tmp_path / "a.mp4", five[:, :7], "7 x 8 pixels; the sides of a video must be even"),
        (tmp_path / "gone" / "a.mp4", five, "cannot be written: No such file"),
        (tmp_path / "gone" / "a.png", five[:1], "cannot be written: No such file"),
    ]:
        with pytest.raises(DataError, match=reason):
            write_clip(path, frames, 10.0)
    for name, reason in [("a.pgn", r"did you mean '.png'"), ("a.png", "no such file")]:
        with pytest.raises(DataError, match=reason):
            read_clip(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_picture_is_cut_or_resized_to_multiples_only_when_asked() -> None:
    frames = np.arange(20 * 30, dtype=np.uint16).reshape(1, 20, 30, 1).repeat(3, -1).astype(np.uint8)
    assert np.array_equal(cropped_to(frames, 8), frames[:, 2:18, 3:27])
    assert resized_to(frames, 8).shape == (1, 16, 32, 3)
    assert resized_to(frames[:, :3], 8).shape == (1, 8, 32, 3)
    with pytest.raises(ValueError, match="20 x 30 pixels hold no part whose sides 32 divides"):
        cropped_to(frames, 32)


def test_reducing_keeps_the_mean_and_does_not_alias() -> None:
    stripes = np.zeros((1, 64, 64, 3), dtype=np.uint8)
    stripes[:, :, ::2] = 255
    small = resized(stripes, 16, 16).astype(int)
    assert np.abs(small - 128).max() < 16
    assert reduced_size(272, 640, 160) == (160, 376)
    assert reduced_size(100, 200, 160) == (100, 200)


def test_frames_that_an_avi_file_dropped_are_not_taken_for_a_truncation(tmp_path: Path) -> None:
    for suffix in (".avi", ".mkv"):
        path = tmp_path / f"a{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for time in (0, 1, 2, 5, 6, 7):  # an AVI file says 8 frames of these, with two chunks that are empty
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * time, np.uint8), format="rgb24")
                frame.pts, frame.time_base = time, Fraction(1, 10)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        assert survey_video(path, path.name, suffix).frames == 6


def test_frames_of_two_sizes_are_found_before_training_meets_them(tmp_path: Path) -> None:
    parts = [video(tmp_path / f"{side}.m1v", codec="mpeg1video", frames=6, height=side) for side in (48, 64)]
    (tmp_path / "a.mpg").write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(DataError, match=r"a\.mpg: its frames differ in size"):
        survey_video(tmp_path / "a.mpg", "a.mpg", ".mpg")
