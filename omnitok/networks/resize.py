"""How pictures come to the size that a network looks at, as the packages do it whose numbers are published."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Pictures = Float[Tensor, "n c H W"]


def levels(clip: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest"]:
    """Of [-1, 1] the levels 0 to 255 of the 8-bit file from which the packages read: the nearest, a half to the even one."""
    return ((clip.float() + 1) * 127.5).round_().clamp_(0, 255)


def tf_bilinear(pictures: Pictures, side: int) -> Float[Tensor, "n c side side"]:
    """TensorFlow 1's: pixel i of the result lies at i * (old / new) of the old ones, without half-pixel centres, between
    the two nearest and not before the last; nothing is filtered out. What the graph of FID, ADM's evaluator and
    torch-fidelity do."""
    return _between(_between(pictures, -1, side), -2, side)


def bilinear(pictures: Pictures, side: int) -> Float[Tensor, "n c side side"]:
    """PyTorch's: half-pixel centres, nothing is filtered out. What pytorch-fid and the ports of I3D do."""
    return F.interpolate(pictures, (side, side), mode="bilinear", align_corners=False)


def bilinear_crop(pictures: Pictures, side: int) -> Float[Tensor, "n c side side"]:
    """PyTorch's bilinear of the shorter side, of the longer one in proportion (rounded up), of which then the centre. What
    VideoGPT's FVD does."""
    height, width = pictures.shape[-2:]
    scale = side / min(height, width)
    size = (side, math.ceil(width * scale)) if height < width else (math.ceil(height * scale), side)
    found = F.interpolate(pictures, size, mode="bilinear", align_corners=False)
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    return found[..., top : top + side, left : left + side]


def bicubic(pictures: Pictures, side: int) -> Float[Tensor, "n c side side"]:
    """PIL's bicubic filter, as wide as the picture is made smaller, then cut to 0 to 255; not rounded. What clean-fid does
    (arXiv:2104.11222). In float64, as PIL has its weights: in float32 a level of 255 is off by up to 0.005."""
    size = (side, side)
    if pictures.shape[-2:] != size:
        exact = F.interpolate(pictures.double(), size, mode="bicubic", align_corners=False, antialias=True)
        pictures = exact.to(pictures.dtype)
    return pictures.clamp(0, 255)


def _between(pictures: Tensor, dim: int, side: int) -> Tensor:
    """Along one dimension."""
    old = pictures.shape[dim]
    if old == side:
        return pictures
    at = torch.arange(side, dtype=torch.float32, device=pictures.device) * (old / side)
    low = at.long().clamp_(max=old - 1)
    share = (at - low).view(-1, *(1,) * (-1 - dim))
    below = pictures.index_select(dim, low)
    above = pictures.index_select(dim, (low + 1).clamp_(max=old - 1))
    return above.sub_(below).mul_(share).add_(below)  # rounded where TensorFlow rounds
