"""What is seen of a file is what the view says, by independent means; equal views are said alike, others are not."""

import functools
import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import Interpolation
from PIL import Image

from omnitok.data import DataError, as_pixels, check_folder
from omnitok.data.crops import AnySquare, Centre, Resized, Whole
from omnitok.data.folder import Folder
from omnitok.data.pixels import Reading, resized
from omnitok.data.resources import KEPT
from omnitok.data.shots import Places, Shot, shots
from omnitok.data.views import Cropped, ShortSide, Squashed

FILTERS: dict[str, tuple[Image.Resampling, Interpolation]] = {
    "bicubic": (Image.Resampling.BICUBIC, Interpolation.BICUBIC),
    "bilinear": (Image.Resampling.BILINEAR, Interpolation.BILINEAR),
    "area": (Image.Resampling.BOX, Interpolation.AREA),
    "lanczos": (Image.Resampling.LANCZOS, Interpolation.LANCZOS),
}
RATE = Fraction(30000, 1001)
Make = Callable[..., Folder]


def noise(seed: int, height: int, width: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (1, 6, 8, 3), dtype=np.uint8)
    return resized(coarse, height, width)[0]


def film(path: Path, frames: int, seed: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE, options={"qscale": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise(100 * seed + i, 48, 64), format="rgb24")))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of 50 x 70 in ``photos``; in ``clips`` a clip of 40 frames a split, and one of 6 frames to train on."""
    root = tmp_path_factory.mktemp("datasets")
    for i, split in enumerate(("train", "val", "test")):
        for name in ("photos", "clips"):
            (root / name / split / "a").mkdir(parents=True)
        Image.fromarray(noise(i, 50, 70)).save(root / "photos" / split / "a" / f"{i}.png")
        film(root / "clips" / split / "a" / f"{i}.mp4", 40, i)
    film(root / "clips" / "train" / "a" / "short.mp4", 6, 9)
    return root


@pytest.fixture
def make(root: Path) -> Make:
    fingerprint = functools.cache(lambda name: check_folder(root / name).fingerprint)

    def made(name: str, split: Any = "val", **said: Any) -> Folder:
        return Folder(root, split, name=name, fingerprint=fingerprint(name), **said)

    return made


def seen(filter: Any, squashed: bool = False, **said: Any) -> Callable[..., Any]:
    return lambda: (Squashed if squashed else Cropped)(filter=filter, **said)


@pytest.mark.parametrize("filter", FILTERS)
def test_a_photo_is_resized_once_from_what_it_is_and_cropped_or_squashed(make: Make, root: Path, filter: str) -> None:
    image, kernel = Image.open(next((root / "photos" / "val" / "a").iterdir())), FILTERS[filter][0]
    reduced = np.asarray(image.resize((34, 24), kernel))
    cropped = make("photos", short_side="native", view=seen(filter))
    assert np.array_equal(as_pixels(cropped.item(0, 1, 24))[0], reduced[:, 5:29])
    assert cropped.view(1, 24) == f"cc24 {filter}"
    squashed = make("photos", short_side="native", view=seen(filter, squashed=True))
    assert np.array_equal(as_pixels(squashed.item(0, 1, 24))[0], np.asarray(image.resize((24, 24), kernel)))
    assert squashed.view(1, 24) == f"squash24 {filter}"


@pytest.mark.parametrize("filter", FILTERS)
def test_a_clip_is_scaled_once_while_its_colours_are_converted(make: Make, root: Path, filter: str) -> None:
    flags = FILTERS[filter][1] | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
    with av.open(str(next((root / "clips" / "val" / "a").iterdir()))) as container:
        frames = list(container.decode(video=0))[18:22]
        reduced, squeezed = (
            np.stack([f.to_ndarray(format="rgb24", width=w, height=24, interpolation=flags) for f in frames])
            for w in (32, 24)
        )
    cropped = make("clips", short_side="native", view=seen(filter))
    assert np.array_equal(as_pixels(cropped.item(0, 4, 24)), reduced[:, :, 4:28])
    assert cropped.view(4, 24) == f"cc24 {filter}, 4 frames, centre"
    squashed = make("clips", short_side="native", view=seen(filter, squashed=True))
    assert np.array_equal(as_pixels(squashed.item(0, 4, 24)), squeezed)
    assert squashed.view(4, 24) == f"squash24 {filter}, 4 frames, centre"


@pytest.mark.parametrize(
    ("rate", "fps"), [(25.0, 10.0), (float(RATE), 16.0), (float(RATE), 29.97), (60.0, 16.0), (12.0, 16.0)]
)
def test_frame_i_of_a_resampled_video_is_the_one_that_is_shown_then(rate: float, fps: float) -> None:
    (shot,) = shots(100, (), rate, fps)
    exact = RATE if rate == float(RATE) else Fraction(rate)
    wanted = Fraction(str(fps))
    if exact <= wanted:
        assert list(shot.numbers(0, shot.frames)) == list(range(100))
        return
    expected = []
    for i in itertools.count():
        shown = [n for n in range(101) if n / exact <= i / wanted]  # frame n is shown from n / rate on; 100 is the end
        if shown[-1] == 100:
            break
        expected.append(shown[-1])
    assert shot.frames == len(expected)
    assert list(shot.numbers(0, len(expected))) == expected
    assert list(shot.numbers(3, 5, stride=2)) == expected[3:12:2]


def test_a_resampled_clip_holds_the_frames_that_its_name_says(make: Make, root: Path) -> None:
    with av.open(str(next((root / "clips" / "val" / "a").iterdir()))) as container:
        exact = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
        whole = [frame.to_ndarray(format="rgb24", interpolation=exact) for frame in container.decode(video=0)]
    dataset = make("clips", short_side="native", view=seen("bicubic", fps=16.0, enlarge=False))
    assert dataset.items(17) == ("val/a/1.mp4[5:36@16fps]",)  # of 22 frames at 16 a second, 17 from the third on
    numbers = [math.floor(k * RATE / 16) for k in range(3, 20)]
    assert (numbers[0], numbers[-1]) == (5, 35)
    assert np.array_equal(as_pixels(dataset.item(0, 17, 48)), np.stack([whole[n] for n in numbers])[:, :, 8:56])
    assert dataset.view(17, 48) == "cc48 bicubic, 17 frames at <=16 fps, centre"
    assert dataset.items(23) == ()
    with pytest.raises(DataError, match="no val clip has 23 frames without a cut; the longest has 22"):
        dataset.sample(torch.Generator(), 23, 48)


def test_windows_stand_amid_equal_parts_at_the_start_or_from_end_to_end(make: Make) -> None:
    def starts(start: Any, windows: int) -> list[int]:
        names = make("clips", view=seen("bicubic", start=start, windows=windows)).items(5)
        return [int(name.partition("[")[2].partition(":")[0]) for name in names]

    assert starts("centre", 1) == starts("spread", 1) == [18]
    assert starts("centre", 3) == [6, 18, 30]
    assert starts("spread", 3) == [0, 17, 35]
    assert starts("first", 1) == [0]
    assert starts("first", 3) == [0, 5, 10]
    assert starts("first", 99) == list(range(0, 40, 5))
    assert len(starts("spread", 99)) == len(starts("centre", 99)) == 7
    places = Places([Shot(0, 7), Shot(7, 3), Shot(10, 12)], 5)
    assert [(shot.first + start) for shot, start in Cropped(start="first", windows=9).places(places)] == [0, 10, 15]


def test_a_short_video_is_skipped_or_padded_with_black(make: Make) -> None:
    skipping, padding = (make("clips", "train", view=seen("bicubic", short=short)) for short in ("skip", "pad"))
    assert skipping.items(9) == ("train/a/0.mp4[16:25]",)
    assert padding.items(9) == ("train/a/0.mp4[16:25]", "train/a/short.mp4[0:6+3]")
    clip = padding.item(1, 9, 16)
    assert clip.shape == (3, 9, 16, 16)
    assert torch.equal(clip[:, :6], padding.item(1, 6, 16))
    assert clip[:, 6:].unique().tolist() == [-1]
    assert padding.view(9, 16).endswith("9 frames, centre, short padded")
    draw = torch.Generator().manual_seed(0)
    black = [bool((padding.sample(draw, 9, 16, 2)[:, 3:] == -1).all()) for _ in range(40)]
    assert 8 < sum(black) < 32
    assert padding.items(100) and not skipping.items(100)


def test_small_pictures_are_refused_unless_they_may_be_enlarged_which_the_view_then_says(make: Make) -> None:
    for squashed, side in ((False, "cc64"), (True, "squash64")):
        refused = make("photos", short_side="native", view=seen("bilinear", squashed))
        assert refused.finest(1) == 50
        allowed = make("photos", short_side="native", view=seen("bilinear", squashed, enlarge=True))
        assert allowed.finest(1) > 4096
        assert allowed.item(0, 1, 64).shape == (3, 1, 64, 64)
        assert allowed.view(1, 64) == f"{side} bilinear, smaller enlarged bilinear"
        assert allowed.view(1, 48) == refused.view(1, 48)


def test_equal_views_are_said_alike_and_different_ones_differently(make: Make) -> None:
    choices: dict[str, list[Any]] = {
        "filter": ["bicubic", "area"], "fps": ["native", 16.0, 12.5], "windows": [1, 2],
        "start": ["centre", "first"], "short": ["skip", "pad"],
    }  # fmt: skip
    sides: list[ShortSide] = ["native", 24, 40]
    said: dict[str, tuple[Any, ...]] = {}
    for squashed, side in itertools.product((False, True), sides):
        for values in itertools.product(*choices.values()):
            view = seen(squashed=squashed, **dict(zip(choices, values, strict=True)))
            dataset, other = (make("clips", split, short_side=side, view=view) for split in ("train", "test"))
            for frames, resolution in ((5, 24), (5, 32), (6, 24)):
                text = dataset.view(frames, resolution)
                assert text == other.view(frames, resolution)
                same = (squashed, side, frames, resolution, *values)
                if (squashed, side, resolution) == (False, 24, 24):
                    same = (False, "native", frames, 24, "area", *values[1:])  # reading does all the work, by area
                assert said.setdefault(text, same) == same
    photo = {side: make("photos", short_side=side) for side in ("native", 24, 40)}
    assert photo["native"].view(1, 24) == photo[24].view(1, 24) == "cc24 bicubic"
    assert torch.equal(photo["native"].item(0, 1, 24), photo[24].item(0, 1, 24))
    assert photo[40].view(1, 24) == "cc40->24 bicubic"
    assert make("clips", short_side=40).view(5, 24) == "cc40 area->24 bicubic, 5 frames, centre"


@pytest.mark.parametrize("side", ["native", 40])
@pytest.mark.parametrize(("crop", "squashed"), [(Centre, False), (Whole, True)])
def test_a_centre_clip_of_the_centre_or_of_all_is_the_fixed_item(
    make: Make, side: ShortSide, crop: Any, squashed: bool
) -> None:
    said = {"short_side": side, "crop": crop, "clips": "centre", "flip": False}
    dataset = make("clips", view=seen("lanczos", squashed, fps=16.0), **said)
    assert torch.equal(dataset.sample(torch.Generator(), 5, 24), dataset.item(0, 5, 24))
    mirrored = make("clips", view=seen("lanczos", squashed, fps=16.0), **said | {"flip": True})
    clips = [mirrored.sample(torch.Generator().manual_seed(seed), 5, 24) for seed in range(20)]
    assert {bool(torch.equal(clip, dataset.item(0, 5, 24))) for clip in clips} == {True, False}
    assert all(
        torch.equal(clip, dataset.item(0, 5, 24)) or torch.equal(clip.flip(-1), dataset.item(0, 5, 24))
        for clip in clips
    )


def test_a_resized_crop_has_the_areas_and_aspect_ratios_that_were_asked_for() -> None:
    draw = torch.Generator().manual_seed(0)
    boxes = [Resized(scale=(0.2, 0.6), ratio=(0.5, 2.0)).box(draw, 480, 640, 64) for _ in range(500)]
    areas, ratios = np.array([(b.height * b.width / 480 / 640, math.log2(b.width / b.height)) for b in boxes]).T
    assert 0.198 < areas.min() < 0.22 and 0.58 < areas.max() < 0.603
    assert -1.02 < ratios.min() < -0.9 and 0.9 < ratios.max() < 1.02
    assert abs(areas.mean() - 0.4) < 0.03 and abs(ratios.mean()) < 0.1
    assert all(0 <= b.top <= 480 - b.height and 0 <= b.left <= 640 - b.width for b in boxes)
    assert len({b.top for b in boxes}) > 100
    assert Resized(scale=(1.0, 1.0), ratio=(4.0, 4.0)).box(draw, 10, 20, 8) == (0, 5, 10, 10)  # nothing fits
    squares = [AnySquare().box(draw, 30, 40, 16) for _ in range(200)]
    assert {b.height for b in squares} == set(range(16, 31))
    for wrong in ({"scale": (0.0, 0.5)}, {"scale": (0.9, 0.5)}, {"ratio": (2.0, 1.0)}):
        with pytest.raises(DataError, match=rf"{next(iter(wrong))}=.*must rise"):
            Resized(**wrong)


def test_what_a_process_keeps_of_pixels_has_a_limit_and_changes_none(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make("clips", short_side="native")
    first = dataset.item(0, 5, 32)
    assert KEPT.arrays and 0 < KEPT.bytes <= 128 << 20
    monkeypatch.setenv("OMNITOK_DECODED", "0")
    assert torch.equal(dataset.item(0, 5, 32), first)
    assert torch.equal(dataset.item(0, 5, 31), make("clips", short_side="native").item(0, 5, 31))
    assert (KEPT.bytes, len(KEPT.arrays)) == (0, 0)
    with pytest.raises(ValueError, match="read-only"):
        dataset.read(dataset.sources[0], range(3), Reading())[0] = 0


def test_a_label_is_a_place_among_the_classes_of_all_splits(tmp_path: Path) -> None:
    for i in range(9):
        path = tmp_path / "own" / ("cat", "dog", "emu")[i % 3] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(i, 32, 32)).save(path)
    print_ = check_folder(tmp_path / "own").fingerprint
    for split in ("train", "val", "test"):
        dataset = Folder(tmp_path, split, name="own", fingerprint=print_)
        assert dataset.classes == ("cat", "dog", "emu")
        assert dataset.count(1) == len(dataset.items(1)) == 3
        for i, name in enumerate(dataset.items(1)):
            assert name.startswith(f"{dataset.classes[dataset.label(i, 1) or 0]}/")
