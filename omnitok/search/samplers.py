"""Who suggests: Optuna's samplers, each made anew for every suggestion from (seed of the search, number of the trial).

What a suggestion is a function of is then the seed, its number and the trials that ended before it, and no process.
"""

import hashlib
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from omnitok.spec import Count, Registry, Share, Spec

MANY = {"random", "tpe", "nsga2", "gp"}  # what several objectives may be given to
CONSTRAINED = {"random", "tpe", "nsga2", "gp"}  # what constraints may be given to; random heeds none, and needs none


def seed_of(search: int, number: int) -> int:
    """The seed of one suggestion."""
    return int.from_bytes(hashlib.sha256(f"{search} {number}".encode()).digest()[:4])


def random(seed: int) -> Any:
    """Evenly, whatever was found before."""
    from optuna.samplers import RandomSampler  # noqa: PLC0415, which takes long to import

    return RandomSampler(seed=seed)


def tpe(seed: int, *, startup: Count = 10, candidates: Count = 24, multivariate: bool = False) -> Any:
    """Tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), which counts running trials as bad ones so that
    workers do not suggest the same; conditional spaces, several objectives, constraints.

    startup: how many trials are drawn evenly first.
    candidates: how many values are drawn for each choice, of which the best is taken.
    multivariate: whether choices that are always there are drawn together.
    """
    from optuna.samplers import TPESampler  # noqa: PLC0415

    return TPESampler(
        n_startup_trials=startup, n_ei_candidates=candidates, multivariate=multivariate, group=multivariate, seed=seed
    )


def cmaes(
    seed: int,
    *,
    startup: Count = 1,
    sigma: Annotated[float, Field(gt=0)] | None = None,
    population: Annotated[int, Field(ge=2)] | None = None,
) -> Any:
    """Covariance matrix adaptation (Hansen, arXiv 1604.00772) of the numbers; choices among values are drawn evenly.

    startup: how many trials are drawn evenly first.
    sigma: the first spread, in parts of a whole range; none: a sixth.
    population: how many trials a generation has; none: 4 + 3 ln(numbers).
    """
    from optuna.samplers import CmaEsSampler  # noqa: PLC0415

    return CmaEsSampler(
        n_startup_trials=startup, sigma0=sigma, popsize=population, warn_independent_sampling=False, seed=seed
    )


def nsga2(
    seed: int, *, population: Annotated[int, Field(ge=2)] = 50, crossover: Share = 0.9, swapping: Share = 0.5
) -> Any:
    """NSGA-II (Deb et al., IEEE TEC 6, 2002), for several objectives; conditional spaces, constraints.

    population: how many trials a generation has.
    crossover: how many of the children have two parents.
    swapping: how often a choice is of the other parent.
    """
    from optuna.samplers import NSGAIISampler  # noqa: PLC0415

    return NSGAIISampler(population_size=population, crossover_prob=crossover, swapping_prob=swapping, seed=seed)


def gp(seed: int, *, startup: Count = 10, deterministic: bool = False) -> Any:
    """A Gaussian process with a Matern kernel and expected improvement, for few trials of numbers; several objectives,
    constraints. A choice that is not always there is drawn evenly.

    startup: how many trials are drawn evenly first.
    deterministic: whether the objective has no noise.
    """
    from optuna.samplers import GPSampler  # noqa: PLC0415

    return GPSampler(
        n_startup_trials=startup, deterministic_objective=deterministic, warn_independent_sampling=False, seed=seed
    )


SAMPLERS: Registry[Any] = Registry(
    "sampler", group="omnitok.samplers", usual="tpe", random=random, tpe=tpe, cmaes=cmaes, nsga2=nsga2, gp=gp
)
if TYPE_CHECKING:
    Sampler = Spec
else:
    Sampler = SAMPLERS.any
