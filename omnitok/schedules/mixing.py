"""Which source a step sees, images, clips, or both in turn, and at which sizes."""

import math
from typing import Annotated, NamedTuple

from pydantic import Field

from omnitok.spec import Count, Positive, Share

Scales = Annotated[tuple[Positive, ...], Field(min_length=1)]


class StepPlan(NamedTuple):
    """What one batch is. ``frames``: how many a sample has, 1 is an image. ``scales``: what its resolution may be
    multiplied by; one of them is drawn."""

    frames: int
    scales: tuple[float, ...] = (1.0,)


def image_only(step: int, total: int, *, scales: Scales = (1.0,)) -> StepPlan:
    """Images at every step, the first stage of OmniTokenizer (arXiv:2406.09399, sec. 3.2).

    scales: what the resolution may be multiplied by, one drawn a batch; more make the tokenizer fit more sizes.
    """
    return StepPlan(1, scales)


def joint(step: int, total: int, *, frames: Count = 5, image_share: Share = 0.5, scales: Scales = (1.0,)) -> StepPlan:
    """Images and clips in turn, in a fixed proportion, spread as evenly as can be (arXiv:2406.09399, sec. 3.2).

    frames: how many frames a clip has; must be 1 more than a multiple of the model's temporal patch.
    image_share: how large a part of the steps sees images; 0 is video only.
    scales: what the resolution may be multiplied by, one drawn a batch; more make the tokenizer fit more sizes.
    """
    image = math.floor((step + 1) * image_share) > math.floor(step * image_share)
    return StepPlan(1 if image else frames, scales)


def progressive(
    step: int,
    total: int,
    *,
    frames: Count = 5,
    first_share: Share = 1.0,
    last_share: Share = 0.25,
    scales: Scales = (1.0,),
) -> StepPlan:
    """A straight ramp from mostly images to mostly clips, spread as evenly as can be.

    frames: how many frames a clip has; must be 1 more than a multiple of the model's temporal patch.
    first_share: how large a part of the first steps sees images.
    last_share: how large a part of the last steps sees images.
    scales: what the resolution may be multiplied by, one drawn a batch; more make the tokenizer fit more sizes.
    """

    def images_until(end: int) -> int:
        slope = (last_share - first_share) / total
        return math.floor(first_share * end + slope * end * end / 2 + 0.5)

    return StepPlan(1 if images_until(step + 1) > images_until(step) else frames, scales)


progressive.version = 2  # type: ignore[attr-defined]
