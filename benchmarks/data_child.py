"""What a process of its own measures of data: ``python -m benchmarks.data_child NAME JSON``."""

import itertools
import json
import os
import shutil
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

if __name__ == "__main__":  # before torch is loaded
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import av  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from torch import Tensor  # noqa: E402

from omnitok.data import check_folder  # noqa: E402
from omnitok.data.embedded import locate, manifest  # noqa: E402
from omnitok.data.folder import Folder  # noqa: E402
from omnitok.data.videos import read_frames  # noqa: E402
from omnitok.randomness import generator  # noqa: E402
from omnitok.schedules.mixing import video_only  # noqa: E402
from omnitok.training.feed import Feed, Places, Size  # noqa: E402
from omnitok.training.loader import WORKERS, loading  # noqa: E402

KEYFRAMES = {"dense": 12, "sparse": 250}
FILES, LENGTH, SIZE = 24, 120, (320, 240)
PHOTOS, PHOTO_SIZE = 60, (500, 375)
WARM = 5  # steps that start the workers

Make = Callable[..., Folder]


@contextmanager
def tree(kind: str) -> Iterator[tuple[Path, Make]]:
    """A folder of videos or photos, checked, all of it for training; what makes its dataset, given root and split."""
    with tempfile.TemporaryDirectory(prefix="omnitok-") as name, mock.patch.dict(os.environ, OMNITOK_DECODED="0"):
        folder = Path(name) / "tree" / "train"
        for split, colour in (("train", "red"), ("val", "green"), ("test", "blue")):  # a split has something in it
            folder.with_name(split).mkdir(parents=True)
            if split != "train":
                Image.new("RGB", PHOTO_SIZE, colour).save(folder.with_name(split) / "plain.png")
        {"photos": _photos, "own": _own}.get(kind, partial(_videos, keyframes=KEYFRAMES.get(kind, 0)))(folder)
        fingerprint = check_folder(folder.parent).manifest.fingerprint
        yield Path(name), partial(Folder, name="tree", fingerprint=fingerprint, short_side="native", flip=False)


def _own(folder: Path) -> None:
    for file in manifest():
        if file.kind == "clip":
            shutil.copy(locate(file), folder)


def _videos(folder: Path, keyframes: int) -> None:
    """Copies of three films that are cut from real ones, forwards and backwards until they are long enough."""
    for number, file in enumerate(file for file in manifest() if file.kind == "clip"):
        frames = read_frames(locate(file), file.name, range(LENGTH // 2))
        small = [np.asarray(Image.fromarray(frame).resize(SIZE)) for frame in frames]
        _encode(folder / f"{number}.mp4", [*small, *reversed(small)], keyframes)
        content = (folder / f"{number}.mp4").read_bytes()
        for copy in range(1, FILES // 3):  # no two files have the same bytes: a box that says nothing is at their ends
            (folder / f"{number}-{copy}.mp4").write_bytes(content + struct.pack(">I4sI", 12, b"free", copy))


def _encode(path: Path, frames: Sequence[np.ndarray], keyframes: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": str(keyframes), "sc_threshold": "0"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _photos(folder: Path) -> None:
    photos = [file for file in manifest() if file.kind == "photo"]
    for number, file in zip(range(PHOTOS), itertools.cycle(photos), strict=False):
        Image.open(locate(file)).convert("RGB").resize(PHOTO_SIZE).save(
            folder / f"{number}.jpg", quality=90 - number % 7
        )


class Seen(NamedTuple):
    """What of a file was asked for: from which frame, and which part of a picture as Pillow has it."""

    path: Path
    start: int
    fps: float
    box: tuple[int, int, int, int]


@contextmanager
def noted(data: Folder) -> Iterator[list[Seen]]:
    """Everything that ``data`` takes out of its files meanwhile."""
    found: list[Seen] = []
    read, box = data.read, data.crop.box

    def reading(source: Any, wanted: Sequence[int], how: Any) -> Any:
        found.append(Seen(data.folder / source.path, wanted[0], source.fps or 0.0, (0, 0, 0, 0)))
        return read(source, wanted, how)

    def cropping(*asked: Any) -> Any:
        part = box(*asked)
        corners = (part.left, part.top, part.left + part.width, part.top + part.height)
        found[-1] = found[-1]._replace(box=corners)
        return part

    with mock.patch.object(data, "read", reading), mock.patch.object(data.crop, "box", cropping):
        yield found


def decoded(kind: str, count: int, repeats: int, shape: tuple[int, int]) -> dict[str, list[float]]:
    """Seconds of processor time an item: ours, and a plain loop over what ours took."""
    plain = plain_picture if kind == "photos" else plain_clip
    taken: dict[str, list[float]] = {"ours": [], "plain": []}
    with tree(kind) as (root, make):
        data = make(root, "train")
        for repeat in range(-1, repeats):  # the one before is to warm up
            with noted(data) as seen:
                ours = _processor(lambda at=repeat: _samples(data, count, at, shape))  # type: ignore[misc]
            theirs = _processor(lambda seen=seen: [plain(one, shape) for one in seen])  # type: ignore[misc]
            if repeat >= 0:
                taken["ours"].append(ours / count)
                taken["plain"].append(theirs / count)
    return taken


def _samples(data: Folder, count: int, repeat: int, shape: tuple[int, int]) -> None:
    for i in range(count):
        data.sample(generator(0, "benchmark", repeat, i), *shape)


def plain_clip(seen: Seen, shape: tuple[int, int]) -> Tensor:
    """Frames of a video as a few lines of PyAV give them, and a square of each."""
    frames, side = shape
    with av.open(str(seen.path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        first = int((seen.start - 0.5) / seen.fps / stream.time_base)
        container.seek(max(0, first), stream=stream)
        later = (frame for frame in container.decode(stream) if frame.pts is not None and frame.pts >= first)
        found = [frame.to_ndarray(format="rgb24") for frame in itertools.islice(later, frames)]
    return _clip([_brought(Image.fromarray(frame), seen.box, side) for frame in found])


def plain_picture(seen: Seen, shape: tuple[int, int]) -> Tensor:
    """A square of a picture as a few lines of Pillow give it."""
    return _clip([_brought(Image.open(seen.path).convert("RGB"), seen.box, shape[1])])


def _brought(image: Image.Image, box: tuple[int, int, int, int], side: int) -> Image.Image:
    return image.crop(box).resize((side, side), Image.Resampling.BICUBIC)


def _clip(images: Sequence[Image.Image]) -> Tensor:
    pixels = np.stack([np.asarray(image) for image in images]).transpose(3, 0, 1, 2)
    return torch.from_numpy(pixels.astype(np.float32)).div_(127.5).sub_(1.0)


def feeding(
    *, kind: str, workers: Sequence[int], batch: int, steps: int, step_s: float, rounds: int, shape: tuple[int, int]
) -> list[list[dict[str, Any]]]:
    """Of each number of workers, of each round: how many seconds each step waited for its batch, and what processor time
    a step took in the process that trains and in its workers together."""
    frames, side = shape
    found: list[list[dict[str, Any]]] = [[] for _ in workers]
    with tree(kind) as (root, make):
        for seed in range(rounds):
            places = Places(
                partial(video_only, frames=frames), 2 * WARM + steps, 1
            )  # the workers never come to the end
            feed = Feed(make, root, seed, places, Size(batch, side))
            for count, seen in zip(workers, found, strict=True):
                with mock.patch.dict(os.environ, {WORKERS: str(count)}), loading(feed) as loaded:
                    _waits(loaded, step_s, WARM)
                    own, theirs = time.process_time(), _processor_of_children()
                    waits = _waits(loaded, step_s, steps)
                    own, theirs = time.process_time() - own, _processor_of_children() - theirs
                seen.append({"waits": waits, "training": own / steps, "workers": theirs / steps})
    return found


def _waits(loaded: Iterator[Any], step_s: float, steps: int) -> list[float]:
    waits = []
    for _ in range(steps):
        begun = time.perf_counter()
        next(loaded)
        waits.append(time.perf_counter() - begun)
        time.sleep(step_s)
    return waits


def _processor_of_children() -> float:
    """Seconds of the processes that this one has started and that live."""
    pids = [pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(some[11]) + int(some[12]) for some in fields) / os.sysconf("SC_CLK_TCK")


def _processor(call: Callable[[], object]) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun


MEASURES: dict[str, Callable[..., Any]] = {"decoded": decoded, "feeding": feeding}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(MEASURES[sys.argv[1]](**json.loads(sys.argv[2]))))
