"""Which source a step sees, images, clips, or both in turn, at which lengths, frame rates and sizes."""

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from omnitok.spec import Count, Positive, Share

Scales = Annotated[tuple[Positive, ...], Field(min_length=1)]
Counts = Annotated[tuple[Count, ...], Field(min_length=1)]
Shares = tuple[Share, ...]
Points = Annotated[tuple[tuple[Share, Share], ...], Field(min_length=2)]
LOOKED_AT = 256  # steps at which a schedule that cannot be counted is asked


class StepPlan(NamedTuple):
    """What one batch is. ``frames``: how many a sample has, 1 is an image. ``scales``: what its resolution may be
    multiplied by; one of them is drawn. ``stride``: how many frames of the video its frames are apart."""

    frames: int
    scales: tuple[float, ...] = (1.0,)
    stride: int = 1


class Course(NamedTuple):
    """A whole stage as it can be counted. ``images``: how many of the first n steps see images. ``phases``: (first step,
    what clips are from there on), in order, the first at 0."""

    scales: tuple[float, ...]
    images: Callable[[int], int]
    phases: Sequence[tuple[int, StepPlan]] = ()

    def plan(self, step: int) -> StepPlan:
        if self.images(step + 1) > self.images(step):
            return StepPlan(1, self.scales)
        return next(clips for first, clips in reversed(self.phases) if first <= step)

    def kinds(self, total: int) -> set[StepPlan]:
        """What ``total`` steps have among them, by count, so that nothing is too rare to be found."""
        found = {StepPlan(1, self.scales)} if self.images(total) else set()
        ends = [*(first for first, _ in self.phases), total][1:]
        for (first, clips), end in zip(self.phases, ends, strict=True):
            if self.images(end) - self.images(first) < end - first:
                found.add(clips)
        return found


def counted(course: Callable[..., Course]) -> Callable[..., StepPlan]:
    """The schedule (step, total, *, choices) that a course (total, *, choices) comes to; it keeps the course."""

    @functools.wraps(course)
    def schedule(step: int, total: int, **choices: Any) -> StepPlan:
        return course(total, **choices).plan(step)

    said = inspect.signature(course)
    first = inspect.Parameter("step", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=int)
    whole = said.replace(parameters=[first, *said.parameters.values()], return_annotation=StepPlan)
    schedule.__annotations__ = {"step": int, **course.__annotations__, "return": StepPlan}
    schedule.__signature__, schedule.course = whole, course  # type: ignore[attr-defined]
    return schedule


def every_kind(schedule: Callable[..., StepPlan], total: int) -> set[StepPlan]:
    """Every kind of batch that ``schedule``, or a partial of one, has in ``total`` steps. One that cannot be counted is
    asked at some steps, in pairs, since a wide stride may miss every other."""
    whole = getattr(schedule, "func", schedule)
    if course := getattr(whole, "course", None):
        found: set[StepPlan] = course(total, **getattr(schedule, "keywords", {})).kinds(total)
        return found
    stride = max(1, total // LOOKED_AT)
    stops = {*range(0, total, stride), *range(1, total, stride)}
    return {schedule(step, total) for step in stops}


@counted
def image_only(total: int, *, scales: Scales = (1.0,)) -> Course:
    """Images at every step, the first stage of OmniTokenizer (arXiv:2406.09399, sec. 3.2).

    scales: what the resolution may be multiplied by, one drawn a batch; more make the tokenizer fit more sizes.
    """
    return Course(scales, lambda end: end)


@counted
def video_only(total: int, *, frames: Count = 5, scales: Scales = (1.0,)) -> Course:
    """Clips at every step, what joint training is held against (arXiv:2406.09399, table 7).

    frames: how many frames a clip has; must be 1 more than a multiple of the model's temporal patch.
    scales: what the resolution may be multiplied by, one drawn a batch; more make the tokenizer fit more sizes.
    """
    return Course(scales, lambda end: 0, [(0, StepPlan(frames, scales))])


@counted
def joint(total: int, *, frames: Count = 5, image_share: Share = 0.5, scales: Scales = (1.0,)) -> Course:
    """Images and clips in turn, in a fixed proportion, spread as evenly as can be (arXiv:2406.09399, sec. 3.2).

    frames: how many frames a clip has; must be 1 more than a multiple of the model's temporal patch.
    image_share: how large a part of the steps sees images; 0 is video only.
    scales: what the resolution may be multiplied by, one drawn a batch; more make the tokenizer fit more sizes.
    """
    return Course(scales, lambda end: math.floor(end * image_share), [(0, StepPlan(frames, scales))])


@counted
def progressive(
    total: int,
    *,
    frames: Count = 5,
    first_share: Share = 1.0,
    last_share: Share = 0.25,
    scales: Scales = (1.0,),
) -> Course:
    """A straight ramp from mostly images to mostly clips, spread as evenly as can be.

    frames: how many frames a clip has; must be 1 more than a multiple of the model's temporal patch.
    first_share: how large a part of the first steps sees images.
    last_share: how large a part of the last steps sees images.
    scales: what the resolution may be multiplied by, one drawn a batch; more make the tokenizer fit more sizes.
    """

    def images(end: int) -> int:
        slope = (last_share - first_share) / total
        return math.floor(first_share * end + slope * end * end / 2 + 0.5)

    return Course(scales, images, [(0, StepPlan(frames, scales))])


progressive.version = 2  # type: ignore[attr-defined]


@counted
def mixing(
    total: int,
    *,
    frames: Count = 5,
    points: Points = ((0.0, 1.0), (0.5, 0.5), (1.0, 0.25)),
    scales: Scales = (1.0,),
) -> Course:
    """Images and clips in a proportion that goes straight from point to point, spread as evenly as can be.

    frames: how many frames a clip has; must be 1 more than a multiple of the model's temporal patch.
    points: (part of the stage, part of the steps there that sees images), from 0 to 1; more points bend the way.
    scales: what the resolution may be multiplied by, one drawn a batch; more make the tokenizer fit more sizes.
    """
    places = [place for place, _ in points]
    if places[0] != 0 or places[-1] != 1 or any(a >= b for a, b in itertools.pairwise(places)):
        raise ValueError(f"points={points}: their places {places} must rise from 0 to 1")

    def images(end: int) -> int:
        area = 0.0
        for (a, low), (b, high) in itertools.pairwise(points):
            wide = min(end / total, b) - a
            if wide > 0:
                area += wide * (low + (high - low) * wide / (b - a) / 2)
        return math.floor(round(area * total, 6) + 0.5)  # halves come out exactly, so no step is counted twice

    return Course(scales, images, [(0, StepPlan(frames, scales))])


@counted
def clip_lengths(
    total: int,
    *,
    lengths: Counts = (5, 9, 17),
    shares: Shares = (),
    image_share: Share = 0.0,
    scales: Scales = (1.0,),
) -> Course:
    """A curriculum over the length of clips: one length after another, with images in between.

    lengths: how many frames clips have, in the order of training; each 1 more than a multiple of the temporal patch.
    shares: how large a part of the steps each length has; none said is equal parts.
    image_share: how large a part of the steps sees images, everywhere alike.
    scales: what the resolution may be multiplied by, one drawn a batch; more make the tokenizer fit more sizes.
    """
    firsts = _firsts(total, len(lengths), "lengths", shares)
    phases = [(first, StepPlan(frames, scales)) for first, frames in zip(firsts, lengths, strict=True)]
    return Course(scales, lambda end: math.floor(end * image_share), phases)


@counted
def frame_rates(
    total: int,
    *,
    frames: Count = 5,
    strides: Counts = (4, 2, 1),
    shares: Shares = (),
    image_share: Share = 0.0,
    scales: Scales = (1.0,),
) -> Course:
    """A curriculum over the frame rate of clips: one stride after another, with images in between. Training at fewer frames a
    second helped VidTok (arXiv:2412.13061, table 4).

    frames: how many frames a clip has; must be 1 more than a multiple of the model's temporal patch.
    strides: a clip takes every n-th frame of its video, for each n in the order of training; larger shows more motion and
        needs longer videos.
    shares: how large a part of the steps each stride has; none said is equal parts.
    image_share: how large a part of the steps sees images, everywhere alike.
    scales: what the resolution may be multiplied by, one drawn a batch; more make the tokenizer fit more sizes.
    """
    firsts = _firsts(total, len(strides), "strides", shares)
    phases = [(first, StepPlan(frames, scales, stride)) for first, stride in zip(firsts, strides, strict=True)]
    return Course(scales, lambda end: math.floor(end * image_share), phases)


def _firsts(total: int, count: int, name: str, shares: tuple[float, ...]) -> list[int]:
    """The first step of each of ``count`` phases. Raises ValueError where ``shares`` are not of a whole."""
    if not shares:
        return [math.floor(total * i / count + 0.5) for i in range(count)]
    if len(shares) != count:
        raise ValueError(f"shares={shares}: there are {len(shares)}, and {count} {name}")
    if abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"shares={shares}: their sum is {sum(shares):g}, and must be 1")
    return [math.floor(total * share + 0.5) for share in itertools.accumulate((0.0, *shares[:-1]))]
