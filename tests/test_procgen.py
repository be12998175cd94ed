"""Clips of games: what is recorded of any play, how the arrays are kept and read, and the game engine itself."""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from omnitok import runs
from omnitok.cli import main
from omnitok.data import DataError, as_pixels, make_procgen, recording
from omnitok.data.procgen import FILE, GAMES, HELD_OUT, MANIFEST, Procgen, reduced
from omnitok.data.recording import ENVIRONMENTS, INSTALL, LEVELS, WARM_UP, Step, record, shrunk
from omnitok.spec import SpecError

SIDE = 64


def played(game: str, split: str, side: int) -> Iterator[Step]:
    """Environments that show, in every pixel, how old their episode is; an episode of environment e has 60 + e frames,
    is at a level of its own, and is told by the blue of its pixels."""
    start = LEVELS[split][0]
    for step in itertools.count():
        age = [step % (60 + e) for e in range(ENVIRONMENTS)]
        frames = np.zeros((ENVIRONMENTS, side, side, 3), np.uint8)
        frames[..., 0] = np.array(age)[:, None, None]
        frames[..., 1] = np.arange(side)  # so that a mirrored frame is known
        frames[..., 2] = GAMES.index(game)
        yield Step(frames, np.array(age) == 0, [start + e for e in range(ENVIRONMENTS)])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> recording.Made:
    return make_procgen(tmp_path_factory.mktemp("datasets"), SIDE, 5, play=played)


def opened(made: recording.Made, split: str, **choices: object) -> Procgen:
    said = {"fingerprint": made.manifest.fingerprint} | choices
    return Procgen(made.folder.parent, split, name=made.folder.name, **said)


# Recording


def test_no_clip_crosses_the_end_of_an_episode_nor_begins_in_its_first_frames_or_near_another_clip() -> None:
    out = np.zeros((3 * ENVIRONMENTS, 17, 4, 4, 3), np.uint8)
    levels = record(played("maze", "val", 4), out)
    ages = out[:, :, 0, 0, 0].astype(int)
    assert (np.diff(ages) == 1).all()
    assert ages.min() == WARM_UP
    assert levels == [10_000 + i % ENVIRONMENTS for i in range(3 * ENVIRONMENTS)]
    first, second, third = np.split(ages[:, 0], 3)
    assert (first == WARM_UP).all()
    long = np.arange(ENVIRONMENTS) >= 2 * (WARM_UP + 17) - 60
    assert (second[long] == 2 * WARM_UP + 17).all()  # the same episode goes on
    assert (second[~long] == WARM_UP).all()  # it has ended within the second clip, which was begun anew
    assert set(third) <= {WARM_UP, 2 * WARM_UP + 17, 3 * WARM_UP + 2 * 17}


def test_fewer_clips_are_the_first_ones() -> None:
    many, few = np.zeros((70, 17, 4, 4, 3), np.uint8), np.zeros((5, 17, 4, 4, 3), np.uint8)
    assert record(played("maze", "val", 4), many)[:5] == record(played("maze", "val", 4), few)
    assert np.array_equal(many[:5], few)


def test_a_play_that_ends_too_soon_is_told() -> None:
    with pytest.raises(RuntimeError, match="before it had 2 clips of 17 frames"):
        record(itertools.islice(played("maze", "val", 4), 30), np.zeros((2, 17, 4, 4, 3), np.uint8))


def test_a_shrunk_pixel_is_the_rounded_mean_of_its_square() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    means = frame.astype(np.float64).reshape(128, 4, 128, 4, 3).mean((1, 3))
    assert np.array_equal(shrunk(frame, 128), np.floor(means + 0.5))
    assert np.array_equal(shrunk(frame, 512), frame)


# The folder


def test_a_folder_says_its_recipe_and_a_second_making_does_nothing(made: recording.Made) -> None:
    assert made.new
    assert made.folder.name == "procgen16-64-5"
    counts = {(array.split, array.game): len(array.levels) for array in made.manifest.arrays}
    trained = [game for game in GAMES if game not in HELD_OUT]
    assert counts == {("train", g): 5 for g in trained} | {("val", g): 2 for g in trained} | {
        ("test", g): 2 for g in HELD_OUT
    }
    before = {path: path.stat().st_mtime_ns for path in made.folder.rglob("*.npy")}
    again = make_procgen(made.folder.parent, SIDE, 5)
    assert not again.new
    assert again.manifest == made.manifest
    assert before == {path: path.stat().st_mtime_ns for path in made.folder.rglob("*.npy")}


def test_a_making_that_was_cut_short_is_begun_anew_and_gives_the_same_bytes(
    made: recording.Made, tmp_path: Path
) -> None:
    def dying(game: str, split: str, side: int) -> Iterator[Step]:
        if game == "heist":
            raise KeyboardInterrupt
        return played(game, split, side)

    with pytest.raises(KeyboardInterrupt):
        make_procgen(tmp_path, SIDE, 5, play=dying)
    folder = tmp_path / made.folder.name
    assert not (folder / FILE).exists()
    (folder / "train" / "chaser.npy").write_bytes(b"half")
    assert make_procgen(tmp_path, SIDE, 5, play=played).manifest == made.manifest


def test_two_makings_at_once_and_a_folder_made_in_another_way_are_refused(made: recording.Made, tmp_path: Path) -> None:
    folder = tmp_path / made.folder.name
    folder.mkdir()
    with runs.lease(folder), pytest.raises(runs.Busy):
        make_procgen(tmp_path, SIDE, 5, play=played)
    made.manifest.model_copy(update={"hold": 4, "arrays": ()}).save(folder)
    with pytest.raises(SpecError, match="was made in another way; move the folder away"):
        make_procgen(tmp_path, SIDE, 5, play=played)
    with pytest.raises(ValueError, match="side=100 must be one of 64, 128, 256"):
        make_procgen(tmp_path, 100, 5, play=played)


def test_a_folder_that_is_damaged_missing_or_another_is_refused(tmp_path: Path) -> None:
    made = make_procgen(tmp_path, SIDE, 1, play=played)
    array = made.folder / "val" / "heist.npy"
    whole = array.read_bytes()
    array.write_bytes(whole[:-1] + b"\1")
    dataset = opened(made, "val")
    with pytest.raises(DataError, match=r"heist\.npy: its bytes are not those of the manifest"):
        [dataset.item(i, 1, SIDE) for i in range(14)]
    array.write_bytes(whole[:-1])
    with pytest.raises(DataError, match=rf"has {len(whole) - 1} bytes, the manifest says {len(whole)}"):
        opened(made, "val")
    with pytest.raises(SpecError, match="delete the folder and make it again"):
        make_procgen(tmp_path, SIDE, 1, play=played)
    array.unlink()
    with pytest.raises(DataError, match="is in the manifest, but: No such file"):
        opened(made, "val")
    with pytest.raises(DataError, match="its fingerprint is .*, the experiment says f00d"):
        opened(made, "train", fingerprint="f00d")
    with pytest.raises(DataError, match="no such folder; make it with: omnitok data procgen16"):
        Procgen(tmp_path, "train", name="gone", fingerprint="f00d")
    with pytest.raises(DataError, match="name: .* is no plain path"):
        Procgen(tmp_path, "train", name="../gone", fingerprint="f00d")
    (made.folder / FILE).write_text("{}")
    with pytest.raises(DataError, match="package: Field required; delete the folder and make it again"):
        MANIFEST.load(made.folder)


# The dataset


def test_an_item_is_the_beginning_of_a_clip_and_a_sample_any_part_of_it(made: recording.Made) -> None:
    dataset, draw = opened(made, "train"), torch.Generator().manual_seed(0)
    assert dataset.items(17)[:6] == (*(f"bigfish/{i}[0:17]" for i in range(5)), "bossfight/0[0:17]")
    assert dataset.items(18) == ()
    for index, frames in itertools.product((0, 7), (1, 5, 17)):
        ages = as_pixels(dataset.item(index, frames, SIDE))[:, 0, 0, 0]
        assert ages.tolist() == list(range(WARM_UP, WARM_UP + frames))
    clips = [as_pixels(dataset.sample(draw, 5, SIDE)) for _ in range(300)]
    assert {int(clip[0, 0, 0, 0]) for clip in clips} == set(range(WARM_UP, WARM_UP + 13))
    assert {GAMES[clip[0, 0, 0, 2]] for clip in clips} == set(GAMES) - set(HELD_OUT)
    assert all((np.diff(clip[:, 0, 0, 0].astype(int)) == 1).all() for clip in clips)
    assert 100 < sum(bool(clip[0, 0, 0, 1]) for clip in clips) < 200
    straight = opened(made, "train", flip=False)
    assert not any(as_pixels(straight.sample(draw, 1, SIDE))[0, 0, 0, 1] for _ in range(30))


def test_the_test_split_is_games_that_training_never_sees_and_levels_are_disjoint(made: recording.Made) -> None:
    of = {split: opened(made, split) for split in LEVELS}
    games = {split: {array.game for array in dataset.arrays} for split, dataset in of.items()}
    assert games["train"] == games["val"]
    assert games["test"] == set(HELD_OUT)
    assert not games["test"] & games["train"]
    spans = [range(start, start + number) for start, number in LEVELS.values()]
    assert not any(set(a) & set(b) for a, b in itertools.combinations(spans, 2))
    for split, dataset in of.items():
        assert all(level in range(LEVELS[split][0], sum(LEVELS[split])) for a in dataset.arrays for level in a.levels)
    seeds = [array.rand_seed for array in made.manifest.arrays]
    assert len(set(seeds)) == len(seeds)


def test_the_label_of_an_item_is_its_game(made: recording.Made) -> None:
    dataset = opened(made, "test")
    names = [dataset.classes[dataset.label(i, 1)] for i in range(len(dataset.items(1)))]
    assert names == [name.partition("/")[0] for name in dataset.items(1)]
    shown = [as_pixels(dataset.item(i, 1, SIDE))[0, 0, 0, 2] for i in range(len(names))]
    assert [GAMES[i] for i in shown] == names


def test_frames_are_reduced_by_area_and_never_enlarged(made: recording.Made) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    means = frames.astype(np.float64).reshape(2, 32, 2, 32, 2, 3).mean((2, 4))
    assert np.abs(reduced(frames, 32) - means).max() <= 1  # rounded along each axis
    assert reduced(frames, 64) is frames
    assert reduced(frames, 24).shape == (2, 24, 24, 3)
    dataset = opened(made, "val")
    assert dataset.finest(17) == 64
    with pytest.raises(ValueError, match="resolution=65: a frame has 64 pixels a side and is never enlarged"):
        dataset.item(0, 1, 65)


# The engine


def test_a_missing_engine_is_refused_in_one_line_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMNITOK_DATA", str(tmp_path))
    monkeypatch.setattr(recording, "PACKAGE", "no-such-engine")
    found = CliRunner().invoke(main, ["data", "procgen16", "--clips", "1"], catch_exceptions=False)
    assert found.exit_code == 2, found.output
    assert found.output == f"procgen16: no-such-engine is missing (Python 3.11 only): {INSTALL}\n"
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(recording, "PACKAGE", "numpy")
    found = CliRunner().invoke(main, ["data", "procgen16", "--clips", "1"], catch_exceptions=False)
    assert found.exit_code == 2, found.output
    assert "not 0.10.7: pip install --no-deps procgen-mirror==0.10.7" in found.output


def test_what_is_there_is_told_by_the_command_without_the_engine(
    made: recording.Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMNITOK_DATA", str(made.folder.parent))
    found = CliRunner().invoke(main, ["data", "procgen16", "--clips", "5"], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    assert "already there; nothing was made" in found.output
    assert f'fingerprint: "{made.manifest.fingerprint}"' in found.output


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the game engine is found; it is installed beside, not into, the one that tests run in."""
    place = tmp_path_factory.mktemp("engine")
    words = [word for word in INSTALL.split()[2:] if "==" in word]
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "--target", str(place), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the game engine cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return os.environ | {"PYTHONPATH": str(place)}


FEW = """
import sys
from omnitok.cli import main
from omnitok.data import recording
recording.ENVIRONMENTS = 2
main(["data", "procgen16", "--side", sys.argv[1], "--clips", "1"])
"""
# Of all bytes of all clips, as they were made first.
CHECKSUMS = {64: "c2b59bfb6e069d01", 128: "0d65f14041422db1", 256: "9fed17dedace15bf"}


@pytest.mark.service
@pytest.mark.parametrize("side", list(CHECKSUMS))
def test_the_engine_gives_the_same_bytes_as_ever_and_clips_that_differ(
    engine: dict[str, str], tmp_path: Path, side: int
) -> None:
    command, env = [sys.executable, "-c", FEW, str(side)], engine | {"OMNITOK_DATA": str(tmp_path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    folder = tmp_path / f"procgen16-{side}-1"
    found = MANIFEST.load(folder)
    assert found.fingerprint == CHECKSUMS[side]
    assert found.package == "procgen-mirror==0.10.7"
    assert len({array.sha256 for array in found.arrays}) == 30
    for array in found.arrays:
        start, number = LEVELS[array.split]
        assert set(array.levels) <= set(range(start, start + number))
        clips = np.load(folder / array.path)
        assert clips.shape == (1, 17, side, side, 3)
        assert clips.std() > 5
        moves = np.abs(np.diff(clips.astype(int), axis=1)).mean()
        assert moves > 0.5 or array.game not in HELD_OUT
