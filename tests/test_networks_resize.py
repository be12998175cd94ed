"""How pictures come to a network's size: against PIL, and against the definitions written as loops in float64."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data as photos

from omnitok.networks import resize

SIZES = [(48, 40), (97, 64), (31, 33), (20, 90)]


def photo(height: int, width: int) -> torch.Tensor:
    crop = photos.coffee()[100 : 100 + height, 150 : 150 + width]
    return torch.from_numpy(np.ascontiguousarray(crop)).permute(2, 0, 1)[None].float()


def between(row: np.ndarray, at: float) -> np.ndarray:
    """At a place along the first dimension, between its two neighbours; beyond the ends as at them."""
    at = min(max(at, 0), len(row) - 1)
    low = math.floor(at)
    return row[low] + (row[min(low + 1, len(row) - 1)] - row[low]) * (at - low)


def looped(pictures: torch.Tensor, side: int, centred: bool) -> np.ndarray:
    found, shift = pictures.double().numpy(), 0.5 if centred else 0.0
    for axis in (2, 3):
        lines = np.moveaxis(found, axis, 0)
        scale = len(lines) / side
        found = np.moveaxis(np.stack([between(lines, (i + shift) * scale - shift) for i in range(side)]), 0, axis)
    return found


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("centred", [False, True], ids=["tf", "pytorch"])
def test_both_bilinear_ways_are_their_definitions(size, centred):
    pictures = photo(*size)
    found = (resize.bilinear if centred else resize.tf_bilinear)(pictures, 59)
    np.testing.assert_allclose(
        found.double().numpy(), looped(pictures, 59, centred), rtol=0, atol=1e-3
    )  # places are float32


@pytest.mark.parametrize("size", [*SIZES, (299, 299)], ids=str)
def test_bicubic_is_that_of_pil(size):
    pictures = photo(*size)
    channels = [Image.fromarray(one.numpy()).resize((59, 59), Image.Resampling.BICUBIC) for one in pictures[0]]
    expected = np.stack([np.asarray(one) for one in channels]).clip(0, 255)
    np.testing.assert_allclose(resize.bicubic(pictures, 59)[0].numpy(), expected, rtol=0, atol=5e-5)


def test_a_crop_is_the_centre_of_the_resized_whole():
    square = photo(40, 40)
    assert torch.equal(resize.bilinear_crop(square, 30), resize.bilinear(square, 30))
    wide = photo(40, 61)  # 30 x 46 when resized
    whole = torch.nn.functional.interpolate(wide, (30, 46), mode="bilinear", align_corners=False)
    assert torch.equal(resize.bilinear_crop(wide, 30), whole[..., 8:38])
    torch.testing.assert_close(resize.bilinear_crop(wide.mT, 30), whole[..., 8:38].mT)


@pytest.mark.parametrize("way", [resize.tf_bilinear, resize.bilinear, resize.bilinear_crop, resize.bicubic])
def test_what_has_the_size_stays_as_it_is_and_nothing_leaves_the_range(way):
    pictures = photo(59, 59)
    assert torch.equal(way(pictures, 59), pictures)
    edges = (torch.rand(1, 3, 40, 40) > 0.5).float() * 255
    torch.testing.assert_close(torch.stack(way(edges, 59).aminmax()), torch.tensor([0.0, 255.0]))


def test_levels_are_those_of_a_file():
    every = torch.arange(256)
    assert torch.equal(resize.levels(every / 127.5 - 1), every.float())
    beyond = torch.tensor([-1.5, -1.0, -1 + 0.499 / 127.5, -1 + 0.501 / 127.5, 1.0, 9.0])
    assert resize.levels(beyond).tolist() == [0, 0, 0, 1, 255, 255]
    before = beyond.clone()
    resize.levels(beyond)
    assert torch.equal(beyond, before), "what was given is not written to"
