"""Who ends what is not worth its time: Optuna's pruners. A step is the number of steps that the last stage has made."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from omnitok.spec import Count, Registry, Spec

Factor = Annotated[int, Field(ge=2)]
From0 = Annotated[int, Field(ge=0)]


def none(every: int, steps: int) -> Any:
    """Every trial goes to its end."""
    from optuna.pruners import NopPruner  # noqa: PLC0415, which takes long to import

    return NopPruner()


def median(every: int, steps: int, *, startup: From0 = 5, warmup: From0 = 0, others: Count = 1) -> Any:
    """Whoever is worse than the median of the others was at the same step (Golovin et al., KDD 2017).

    startup: how many trials go to their end first.
    warmup: how many steps every trial is left alone.
    others: how many others must have been measured at that step.
    """
    from optuna.pruners import MedianPruner  # noqa: PLC0415

    return MedianPruner(n_startup_trials=startup, n_warmup_steps=warmup, n_min_trials=others)


def hyperband(every: int, steps: int, *, least: Count | None = None, factor: Factor = 3) -> Any:
    """Successive halving in brackets, of which each begins later (Li et al., arXiv 1603.06560).

    least: the steps after which the first are ended; none: those to the first look at the validation split.
    factor: of how many one goes on.
    """
    from optuna.pruners import HyperbandPruner  # noqa: PLC0415

    return HyperbandPruner(
        min_resource=min(least or every, steps), max_resource=max(steps, least or every), reduction_factor=factor
    )


def asha(every: int, steps: int, *, least: Count | None = None, factor: Factor = 4, rate: From0 = 0) -> Any:
    """Asynchronous successive halving (Li et al., arXiv 1810.05934): at each rung the best part goes on.

    least: the steps to the first rung; none: those to the first look at the validation split.
    factor: of how many one goes on, and how much longer the next rung is.
    rate: how many rungs are left out at the beginning.
    """
    from optuna.pruners import SuccessiveHalvingPruner  # noqa: PLC0415

    return SuccessiveHalvingPruner(min_resource=least or every, reduction_factor=factor, min_early_stopping_rate=rate)


PRUNERS: Registry[Any] = Registry(
    "pruner", group="omnitok.pruners", usual="none", none=none, median=median, hyperband=hyperband, asha=asha
)
if TYPE_CHECKING:
    Pruner = Spec
else:
    Pruner = PRUNERS.any
