"""Clips at other sizes, for training at several resolutions."""

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor


def resized(clip: Float[Tensor, "b c T H W"], height: int, width: int) -> Float[Tensor, "b c T i j"]:
    """Bilinear, frame by frame, with what is finer than the new pixels filtered out."""
    if clip.shape[-2:] == (height, width):
        return clip
    frames = rearrange(clip, "b c t h w -> (b t) c h w")
    made = F.interpolate(frames, (height, width), mode="bilinear", antialias=True, align_corners=False)
    return rearrange(made, "(b t) c h w -> b c t h w", b=clip.shape[0])


def published_resize(clip: Float[Tensor, "b c T H W"], scale: float) -> Float[Tensor, "b c T i j"]:
    """As published: bilinear between the corners, nothing filtered out, sides rounded down (arXiv:2406.09399, its
    code)."""
    frames = rearrange(clip, "b c t h w -> (b t) c h w")
    size = tuple(int(side * scale) for side in clip.shape[-2:])
    made = F.interpolate(frames, size, mode="bilinear", align_corners=True)
    return rearrange(made, "(b t) c h w -> b c t h w", b=clip.shape[0])
