"""What a stage trains on at each step, and how fast: pure functions of (step, total), so resuming needs no state."""

from collections.abc import Callable
from typing import Annotated

from omnitok.schedules.curves import constant, cosine
from omnitok.schedules.mixing import StepPlan as StepPlan
from omnitok.schedules.mixing import image_only, joint, progressive
from omnitok.spec import Registry

SCHEDULES: Registry[StepPlan] = Registry(
    "schedule",
    group="omnitok.schedules",
    contract=StepPlan,
    image_only=image_only,
    joint=joint,
    progressive=progressive,
)
SchedulePart = Annotated[Callable[..., StepPlan], SCHEDULES]

CURVES: Registry[float] = Registry(
    "curve",
    group="omnitok.curves",
    contract=float,
    constant=constant,
    cosine=cosine,
)
CurvePart = Annotated[Callable[..., float], CURVES]
