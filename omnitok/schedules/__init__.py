"""What a stage trains on at each step, and how fast: pure functions of (step, total), so resuming needs no state."""

from collections.abc import Callable
from typing import Annotated

from omnitok.schedules.curves import constant, cosine, delayed, linear, wsd
from omnitok.schedules.mixing import StepPlan as StepPlan
from omnitok.schedules.mixing import clip_lengths, frame_rates, image_only, joint, mixing, progressive, video_only
from omnitok.schedules.mixing import every_kind as every_kind
from omnitok.spec import Registry

SCHEDULES: Registry[StepPlan] = Registry(
    "schedule",
    group="omnitok.schedules",
    contract=StepPlan,
    image_only=image_only,
    video_only=video_only,
    joint=joint,
    progressive=progressive,
    mixing=mixing,
    clip_lengths=clip_lengths,
    frame_rates=frame_rates,
)
SchedulePart = Annotated[Callable[..., StepPlan], SCHEDULES]

CURVES: Registry[float] = Registry(
    "curve",
    group="omnitok.curves",
    contract=float,
    constant=constant,
    linear=linear,
    cosine=cosine,
    wsd=wsd,
    delayed=delayed,
)
CurvePart = Annotated[Callable[..., float], CURVES]
