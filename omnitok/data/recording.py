"""Making the clips of procgen16: random play in a game engine that is installed beside this package."""

import contextlib
import hashlib
import importlib
import importlib.metadata
import io
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8

from omnitok import runs
from omnitok.data.contract import DataError, Split
from omnitok.data.held import refuse_cut
from omnitok.data.procgen import FILE, FRAMES, GAMES, HELD_OUT, MANIFEST, Clips, Manifest
from omnitok.randomness import generator, key
from omnitok.spec import Fault, Mark, SpecError, counted

PACKAGE, VERSION = "procgen-mirror", "0.10.7"
INSTALL = f"pip install --no-deps {PACKAGE}=={VERSION} gym3==0.3.3 gym==0.26.2 gym-notices==0.1.0 cffi cloudpickle"
SIDES = (64, 128, 256)  # what the game shows, and a quarter and a half of its large rendering
WARM_UP = 20  # frames that an episode or the wait for the next clip has before a clip begins
HOLD = 3  # frames for which an action is held
ENVIRONMENTS = 64  # played at once; clip i is the (i // 64)th of environment i % 64, so fewer clips are the first ones
ACTIONS = 15
LEVELS: dict[Split, tuple[int, int]] = {"train": (0, 500), "val": (10_000, 500), "test": (20_000, 500)}
HELD_SHARE = 4  # one clip of val, and of test, for so many of train
MOST_STEPS = 100_000  # a game whose episodes are all too short is found


class Step(NamedTuple):
    """What all environments show at once."""

    frames: Sequence[np.ndarray]  # what each environment shows, at least as large as the clips
    first: np.ndarray  # whether that is the first frame of an episode
    levels: list[int]


Play = Callable[[str, Split, int], Iterable[Step]]


class Made(NamedTuple):
    """A folder of clips; ``new`` is whether it was made just now."""

    folder: Path
    manifest: Manifest
    new: bool


def make_procgen(
    root: Path,
    side: int = 64,
    clips: int = 256,
    *,
    play: Play | None = None,
    progress: Callable[[str], None] = lambda said: None,
) -> Made:
    """``clips`` clips of each of fourteen games for train and a quarter for val, and a quarter of each of two others for
    test, into ``root/procgen16-<side>-<clips>``; made again they are the same bytes. What is there already is left alone.

    ``play``: what is recorded; None: the game engine. ``progress`` hears what was written. Raises SpecError where the
    engine is missing or the folder was made in another way, runs.Busy where another process makes it.
    """
    if side not in SIDES:
        raise ValueError(f"side={side} must be one of {', '.join(map(str, SIDES))}")
    folder = root / f"procgen16-{side}-{clips}"
    if (folder / FILE).exists():
        return Made(folder, _there(folder, side, clips), new=False)
    played = play or _engine()
    folder.mkdir(parents=True, exist_ok=True)
    with runs.lease(folder):
        if (folder / FILE).exists():
            return Made(folder, _there(folder, side, clips), new=False)
        arrays = []
        for split, game, count in wanted(clips):
            arrays.append(_recorded(folder, split, game, count, side=side, play=played))
            progress(f"{split} {game}: {counted(count, 'clip')}")
        manifest = _manifest(side, arrays)
        manifest.save(folder)
    return Made(folder, manifest, new=True)


def wanted(clips: int) -> Iterator[tuple[Split, str, int]]:
    """The arrays of a folder in order: split, game, and how many clips, where a game of train has ``clips``."""
    held = -(-clips // HELD_SHARE)
    trained = [game for game in GAMES if game not in HELD_OUT]
    yield from (("train", game, clips) for game in trained)
    yield from (("val", game, held) for game in trained)
    yield from (("test", game, held) for game in HELD_OUT)


def _manifest(side: int, arrays: Iterable[Clips]) -> Manifest:
    return Manifest(
        package=f"{PACKAGE}=={VERSION}", side=side, warm_up=WARM_UP, hold=HOLD, environments=ENVIRONMENTS,
        arrays=tuple(arrays),
    )  # fmt: skip


def _there(folder: Path, side: int, clips: int) -> Manifest:
    """The manifest of a folder that was made before. Raises SpecError where it is another's."""
    try:
        found = MANIFEST.load(folder)
        for array in found.arrays:
            refuse_cut(folder / array.path, array.bytes)
    except DataError as error:
        raise SpecError([Fault(Mark(str(folder)), "", f"{error}; delete the folder and make it again")]) from None
    recipe = [(array.split, array.game, len(array.levels)) for array in found.arrays]
    if found != _manifest(side, found.arrays) or recipe != list(wanted(clips)):
        raise SpecError([Fault(Mark(str(folder / FILE)), "", "was made in another way; move the folder away")])
    return found


def _recorded(folder: Path, split: Split, game: str, count: int, *, side: int, play: Play) -> Clips:
    """Play one game and write its clips, all or none."""
    path = folder / split / f"{game}.npy"
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    out = np.zeros((count, FRAMES, side, side, 3), np.uint8)
    levels = record(play(game, split, side), out)
    with partial.open("w+b") as file:
        np.save(file, out)
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    partial.replace(path)
    start, number = LEVELS[split]
    return Clips(
        path=f"{split}/{game}.npy", game=game, split=split, sha256=sha256, bytes=size,
        rand_seed=_rand_seed(game, split), start_level=start, num_levels=number, levels=tuple(levels),
    )  # fmt: skip


def record(steps: Iterable[Step], out: UInt8[np.ndarray, "clips T side side 3"]) -> list[int]:
    """Fill ``out`` from what is played. -> the level of each clip. No clip crosses the end of an episode, and none
    begins within ``WARM_UP`` frames of an episode's beginning or of its environment's last clip."""
    clips, frames = out.shape[:2]
    players = min(clips, ENVIRONMENTS)
    levels = [0] * clips
    following, age = list(range(players)), [-1] * players  # the clip that each environment is at; frames since
    for step in steps:
        for e in range(players):
            age[e] = 0 if step.first[e] else age[e] + 1
            if following[e] < clips and age[e] >= WARM_UP:
                out[following[e], age[e] - WARM_UP] = shrunk(step.frames[e], out.shape[2])
                levels[following[e]] = step.levels[e]
                if age[e] == WARM_UP + frames - 1:
                    following[e] += ENVIRONMENTS
                    age[e] = -1
        if all(clip >= clips for clip in following):
            return levels
    raise RuntimeError(f"the play ended before it had {clips} clips of {frames} frames")


def _rand_seed(game: str, split: Split) -> int:
    return key(0, "procgen levels", game, split) % 2**31


def _engine() -> Play:
    """What plays the games of the installed engine. Raises SpecError that says what to install."""
    try:
        if (found := importlib.metadata.version(PACKAGE)) != VERSION:
            raise SpecError([Fault(Mark("procgen16"), "", f"{PACKAGE} is {found}, not {VERSION}: {INSTALL}")])
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its gym says, at length, that it is old
            package = importlib.import_module("procgen")
    except ImportError as error:
        missing = error.name or PACKAGE
        raise SpecError([Fault(Mark("procgen16"), "", f"{missing} is missing (Python 3.11 only): {INSTALL}")]) from None
    return lambda game, split, side: _played(package.ProcgenGym3Env, game, split, side)


def _played(environment: Callable[..., Any], game: str, split: Split, side: int) -> Iterator[Step]:
    start_level, num_levels = LEVELS[split]
    native = side == SIDES[0]
    env = environment(
        num=ENVIRONMENTS, env_name=game, start_level=start_level, num_levels=num_levels, rand_seed=_rand_seed(game, split),
        distribution_mode="hard", num_threads=len(os.sched_getaffinity(0)), render_mode=None if native else "rgb_array",
    )  # fmt: skip
    draw = generator(0, "procgen actions", game, split)
    action = np.zeros(ENVIRONMENTS, np.int32)
    try:
        for step in range(MOST_STEPS):
            _, seen, first = env.observe()
            infos = env.get_info()
            shown = seen["rgb"] if native else [info["rgb"] for info in infos]
            yield Step(shown, first, [int(info["level_seed"]) for info in infos])
            if step % HOLD == 0:
                action = torch.randint(ACTIONS, (ENVIRONMENTS,), generator=draw).numpy().astype(np.int32)
            env.act(action)
    finally:
        env.close()


def shrunk(frame: UInt8[np.ndarray, "H W 3"], side: int) -> UInt8[np.ndarray, "{side} {side} 3"]:
    """Each pixel the mean of the square that it covers, rounded to the nearest, halves up; in whole numbers, so the same
    everywhere."""
    block = len(frame) // side
    sums = frame.reshape(side, block, side, block, 3).sum((1, 3), dtype=np.uint32)
    return ((sums + block * block // 2) // (block * block)).astype(np.uint8)
