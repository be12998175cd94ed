"""Open videos, kept by each process so that the next window of a file need not open it again, and their exact frames."""

import io
import itertools
import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from omnitok.data.contract import DataError
from omnitok.data.pixels import Filter, Reading
from omnitok.data.resources import resource, unlocked_by_forks

Keys = tuple[tuple[int, int], ...]  # (frame, its time in the stream's ticks) of keyframes, rising
KEY_GAP: Final = 8  # frames between keyframes that are listed or sought; nearer ones save no decoding worth a seek
EARLIER: Final = 2  # keyframes before the one that is sought, which are tried where seeking leads past it
KEPT: Final = 8  # open videos of a process, where OMNITOK_DECODERS does not say

_EXACT: Final = Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_FILTERS: Final[dict[Filter, int]] = {
    "bicubic": Interpolation.BICUBIC | _EXACT,
    "bilinear": Interpolation.BILINEAR | _EXACT,
    "area": Interpolation.AREA | _EXACT,
    "lanczos": Interpolation.LANCZOS | _EXACT,
}


class Decoder:
    """A video that is open, and knows which frame comes next. Not for two threads at once.

    Raises DataError that says ``name`` where there is no video that is known here, FFmpegError for damage.
    """

    def __init__(self, file: Path | bytes, name: str, threads: int) -> None:
        self.file, self.name, self.threads = file, name, threads
        self.reformatter = VideoReformatter()  # keeps its tables from frame to frame
        self.seeks = True  # until seeking turned out not to lead where it should
        self._open()

    def _open(self) -> None:
        readable = io.BytesIO(self.file) if isinstance(self.file, bytes) else str(self.file)
        self.container: InputContainer = av.open(readable, "r", metadata_errors="replace")
        try:
            self.stream = self._video()
            if self.threads != 1:
                self.stream.thread_type = "AUTO"
            self.stream.thread_count = self.threads
        except DataError:
            self.close()
            raise
        self.frames: Iterator[VideoFrame] = self.container.decode(self.stream)
        self.next = 0

    def _video(self) -> VideoStream:
        if not self.container.streams.video:
            raise DataError(f"{self.name}: has no video stream")
        stream = self.container.streams.video[0]
        if stream.codec_context is None:
            raise DataError(f"{self.name}: its video is in a format that is not known here")
        return stream

    def close(self) -> None:
        self.container.close()

    def restart(self) -> None:
        """Go back to the first frame by opening the file anew, which is right for every container."""
        self.close()
        self._open()

    def take(self, wanted: Sequence[int], keys: Keys, reading: Reading) -> list[np.ndarray]:
        """The frames numbered ``wanted``, which rise, as pixels; as many of the first as there are."""
        found = []
        for number in wanted:
            self._approach(number, keys)
            frame = self._forward(number)
            if frame is None:
                break
            if frame.is_corrupt:
                raise DataError(f"{self.name}: frame {number} is damaged")
            found.append(self.upright(frame, reading))
        return found

    def upright(self, frame: VideoFrame, reading: Reading) -> np.ndarray:
        """A frame as 8-bit RGB, turned as the file says, scaled while its colours are converted."""
        height, width = reading.size(frame.height, frame.width)
        flags = _FILTERS[reading.filter]
        scaled = self.reformatter.reformat(frame, width, height, "rgb24", interpolation=flags, threads=1)
        pixels = scaled.to_ndarray()
        return np.rot90(pixels, round(frame.rotation / 90)) if frame.rotation else pixels

    def _forward(self, number: int) -> VideoFrame | None:
        for frame in self.frames:
            self.next += 1
            if self.next > number:
                return frame
        return None

    def _approach(self, number: int, keys: Keys) -> None:
        """Stand at or before frame ``number``: where decoding on is far, at the keyframe before it."""
        place = bisect_right(keys, number, key=lambda key: key[0]) - 1
        frame, time = keys[place] if place >= 0 and self.seeks else (0, None)
        if max(0, frame - KEY_GAP) <= self.next <= number:
            return
        if time is None or not self._seek(frame, time, keys[max(0, place - EARLIER) : place + 1]):
            self.restart()

    def _seek(self, frame: int, time: int, before: Keys) -> bool:
        """Whether seeking leads to the keyframe ``frame``, shown at ``time``, or to an earlier one and so past it: some
        containers lead further on than was asked."""
        with suppress(FFmpegError):
            for _, asked in reversed(before):
                self.container.seek(asked, stream=self.stream)
                rest = (one for one in self.container.decode(self.stream) if one.pts is not None and one.pts >= time)
                first = next(rest, None)
                if first is not None and first.pts == time:
                    self.frames, self.next = itertools.chain([first], rest), frame
                    return True
        self.seeks = False
        return False


def open_decoders() -> int:
    """OMNITOK_DECODERS: how many videos a process keeps open. Raises DataError where it is no number."""
    return resource("OMNITOK_DECODERS", KEPT)


def threads() -> int:
    """OMNITOK_DECODER_THREADS: of a decoder where there are several processes; 0 is as many as are good for it."""
    return resource("OMNITOK_DECODER_THREADS", 1)


@contextmanager
def opened(file: Path | bytes, name: str, threads: int = 0) -> Iterator[Decoder]:
    """A decoder of its own, closed afterwards. ``threads``: of the decoder; 0 is as many as are good for it."""
    with _named(name):
        decoder = Decoder(file, name, threads)
        try:
            yield decoder
        finally:
            decoder.close()


@contextmanager
def borrowed(file: Path | bytes, name: str, asked: str = "") -> Iterator[Decoder]:
    """A decoder that this process keeps for the next time, if it does not fail; of bytes, one of its own.

    ``asked``: of what a failure is told, beside the name.
    """
    with _named(f"{name}{asked}"):
        key = _key(file)
        decoder = _SHELF.take(key) or Decoder(file, name, threads())
        try:
            yield decoder
        except BaseException:
            decoder.close()
            raise
        _SHELF.keep(key, decoder, open_decoders())


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except (FFmpegError, OSError) as error:
        raise DataError(f"{name}: cannot be decoded: {error.strerror}") from None


Key = tuple[str, int, int, int] | None


def _key(file: Path | bytes) -> Key:
    """What a file was when it was opened, so that another one in its place is opened anew."""
    if isinstance(file, bytes):
        return None
    found = file.stat()
    return str(file), found.st_ino, found.st_size, found.st_mtime_ns


class _Shelf:
    """Decoders that nobody uses just now, the one used last at the end."""

    def __init__(self) -> None:
        self.decoders: OrderedDict[Key, Decoder] = OrderedDict()
        self.lock = threading.Lock()

    def take(self, key: Key) -> Decoder | None:
        with self.lock:
            return self.decoders.pop(key, None)

    def keep(self, key: Key, decoder: Decoder, most: int) -> None:
        with self.lock:
            former = self.decoders.pop(key, None)
            if key is None:
                former = decoder
            else:
                self.decoders[key] = decoder
            surplus = [self.decoders.popitem(last=False)[1] for _ in range(len(self.decoders) - most)]
        for one in [*surplus, *([former] if former else [])]:
            one.close()

    def clear(self) -> None:
        with self.lock:
            closed, self.decoders = list(self.decoders.values()), OrderedDict()
        for one in closed:
            one.close()


_SHELF = _Shelf()
unlocked_by_forks(_SHELF.lock)
os.register_at_fork(before=_SHELF.clear)  # a fork shares the place in the file and has not the decoder's threads
