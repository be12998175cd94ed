"""A discriminator of clips that begins as one of pictures."""

from collections.abc import Mapping
from typing import Literal

from jaxtyping import Float
from torch import Tensor

Inflation = Literal["average", "center", "first", "last"]


def inflated(image: Mapping[str, Tensor], video: Mapping[str, Tensor], how: Inflation) -> dict[str, Tensor]:
    """The state of a discriminator of clips, made from that of one of pictures: each kernel shared out over the taps of
    time or put at one of them; what has no counterpart stays. Raises ValueError where the two do not fit."""
    made = dict(video)
    for name, value in image.items():
        if name not in video or _flat(video[name]) != tuple(value.shape):
            sizes = tuple(value.shape), tuple(video[name].shape) if name in video else "nothing"
            raise ValueError(f"{name!r}: the discriminator of images has {sizes[0]}, that of videos {sizes[1]}")
        made[name] = _over_time(value, video[name].shape[2], how) if value.ndim == 4 else value.clone()
    return made


def _flat(value: Tensor) -> tuple[int, ...]:
    """The shape without time."""
    return (*value.shape[:2], *value.shape[3:])


def _over_time(kernel: Float[Tensor, "o i H W"], taps: int, how: Inflation) -> Float[Tensor, "o i T H W"]:
    if how == "average":
        return kernel[:, :, None].repeat(1, 1, taps, 1, 1) / taps
    made = kernel.new_zeros(*kernel.shape[:2], taps, *kernel.shape[2:])
    made[:, :, {"center": (taps - 1) // 2, "first": 0, "last": taps - 1}[how]] = kernel
    return made
