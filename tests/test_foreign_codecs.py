"""Ordinary codecs bring exported items back, as large as they were, and say what they took."""

import re
from pathlib import Path

import pytest
import torch

from benchmarks.foreign import CLIPS, PICTURES, clip, main, picture
from omnitok.data import as_pixels
from omnitok.data.embedded import Embedded
from omnitok.evaluation import asked
from omnitok.evaluation.items import export_items
from omnitok.training.recorded import Recorded, fingerprint_of

SIDE, FRAMES = 32, 5
DATA = Embedded(Path(), "test", short_side=SIDE)


@pytest.fixture(scope="module")
def items(tmp_path_factory) -> Path:
    """Pictures and clips side by side, as omnitok evaluate --export-items writes them."""
    folder = tmp_path_factory.mktemp("items")
    for frames in (1, FRAMES):
        export_items(folder, asked.Asked(data="{type: embedded, short_side: 32}", frames=frames, resolution=SIDE))
    return folder


@pytest.mark.parametrize("codec", [*PICTURES, *CLIPS])
def test_what_a_codec_made_is_taken_as_a_baseline(codec, items, tmp_path, capsys):
    quality = 80 if codec in PICTURES else 15
    main([str(items), str(tmp_path / "theirs"), codec, str(quality)])
    whole, pixels = map(float, re.findall(r"[\d.]+(?= bits| of them)", capsys.readouterr().out))
    assert 0 < pixels < whole
    theirs = Recorded(folder=str(tmp_path / "theirs"), fingerprint=fingerprint_of(tmp_path / "theirs"))
    original = DATA.item(0, 1 if codec in PICTURES else FRAMES, SIDE)[None]
    back = theirs.reconstruct(original).clip
    assert back.shape == original.shape and 0 < torch.mean((back - original).abs()) < 0.1


@pytest.mark.parametrize("codec", [*PICTURES, *CLIPS])
def test_less_quality_takes_fewer_bytes_and_again_is_the_same(codec):
    frames = as_pixels(DATA.item(0, 1 if codec in PICTURES else FRAMES, SIDE))
    made, fine, coarse = (picture, 90, 10) if codec in PICTURES else (clip, 10, 50)
    best, worst = (made(frames, codec, quality) for quality in (fine, coarse))
    assert worst.pixels < best.pixels < best.whole and worst.whole < best.whole
    again = made(frames, codec, coarse)
    assert again.whole == worst.whole and (again.frames == worst.frames).all()


def test_what_x264_says_of_itself_is_no_pixel():
    """It is 600 bytes and more, and a clip of one grey takes a few."""
    grey = as_pixels(torch.zeros(3, FRAMES, SIDE, SIDE))
    assert clip(grey, "libx264", 35).pixels < 200


@pytest.mark.parametrize("said", [[], ["items", "theirs", "heic", "10"], ["items", "theirs", "jpeg", "fine"]])
def test_what_is_not_a_codec_and_a_quality_is_refused(said):
    with pytest.raises(SystemExit, match="libvpx-vp9"):
        main(said)


def test_no_items_are_refused(tmp_path):
    with pytest.raises(SystemExit, match="no exported items"):
        main([str(tmp_path), str(tmp_path / "theirs"), "jpeg", "10"])
