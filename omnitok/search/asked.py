"""What a sweep file says of a search. Reading it loads neither torch nor Optuna."""

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, Field, Strict, model_validator

from omnitok.search.pruners import PRUNERS, Pruner
from omnitok.search.samplers import CONSTRAINED, MANY, SAMPLERS, Sampler
from omnitok.search.space import AnyParameter, made, space_faults
from omnitok.spec import STRICT, Count, Fault, Map, Positive, mark_of, near, plain

COSTS: Final = ("parameters", "flops", "bits_per_token")  # what is known before training
HIGHER: Final = ("psnr",)  # what of a metric's name says that more is better
BOTH: Final = "postgresql:// or the journal file, which is the usual one, hand each trial out once"


class Objective(BaseModel):
    """What is sought: a record's key of the last stage, measured on the validation split, whose last value counts, not its
    best; or what the model costs."""

    model_config = STRICT
    metric: str = Field(
        description="val/psnr and the like, as it is at the end of the last stage; or parameters, flops, bits_per_token"
    )
    goal: Literal["maximize", "minimize"] | None = Field(None, description="which way; of known metrics it is known")

    @model_validator(mode="after")
    def _known(self) -> "Objective":
        _refuse_other_metric(self.metric)
        return self

    @property
    def direction(self) -> str:
        """maximize or minimize; "" where nobody says it, which ``refusals`` refuses."""
        if self.goal:
            return self.goal
        name = self.metric.partition("/")[2]
        return "minimize" if self.metric in COSTS else "maximize" if name.startswith(HIGHER) else ""


class Constraint(BaseModel):
    """What a trial must keep to. One of the model's cost is known before training: what breaks it is not trained."""

    model_config = STRICT
    metric: str = Field(description="parameters, flops, bits_per_token, or val/...")
    at_most: float | None = None
    at_least: float | None = None

    @model_validator(mode="after")
    def _one(self) -> "Constraint":
        _refuse_other_metric(self.metric)
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("say either at_most or at_least")
        return self

    def broken_by(self, value: float) -> float:
        """How far it is broken; 0 or less where it is kept."""
        return value - self.at_most if self.at_most is not None else float(self.at_least or 0) - value

    @property
    def name(self) -> str:
        return f"{self.metric} at {'most' if self.at_most is not None else 'least'} {self._bound:g}"

    @property
    def _bound(self) -> float:
        return float(self.at_most if self.at_most is not None else self.at_least or 0)


class WinnerRule(BaseModel):
    """Which trial is taken. Of one objective the best; of several ``first`` (the best by the first objective) or ``knee``
    (on the Pareto front the nearest to the best of each objective, each scaled to its range on the front). Only trials
    that keep every constraint are looked at; of equals the earliest is taken."""

    model_config = STRICT
    by: Literal["objective", "first", "knee"] = "objective"


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


def _spelled(value: Any) -> Any:
    return {"metric": value} if isinstance(value, str) else value


AnObjective = Annotated[Objective, BeforeValidator(_spelled)]


class Search(BaseModel):
    """The key ``search:`` of a sweep: what is searched within each arm, by whom, for what, how long."""

    model_config = STRICT
    space: dict[str, AnyParameter] = Field(description="{path: range or values}")
    objective: Annotated[tuple[AnObjective, ...], Strict(False), BeforeValidator(_listed), Field(min_length=1)] = Field(
        description="one or several of {metric, goal}; a bare name where the better direction is known"
    )
    trials: Count = Field(
        description="how many suggestions in total, whatever became of each; raising it goes on. An arm of which 5 in a row "
        "fail alike is given up before"
    )
    hours: Positive | None = Field(None, description="hours of training in total after which no trial is begun")
    sampler: Sampler = SAMPLERS.default("tpe")
    pruner: Pruner = PRUNERS.default("none")
    constraints: Annotated[tuple[Constraint, ...], Strict(False)] = ()
    warm_start: Annotated[tuple[str, ...], Strict(False)] = Field((), description="sweeps whose trials are known here")
    winner: WinnerRule = WinnerRule()
    seed: Annotated[int, Field(ge=0)] = Field(0, description="of the suggestions; not the seeds of training")

    def identity(self) -> dict[str, Any]:
        """All that decides what is suggested and who wins: everything but how long it goes on."""
        said = plain(self)
        return {key: value for key, value in said.items() if key not in ("trials", "hours")}

    @property
    def directions(self) -> list[str]:
        return [objective.direction for objective in self.objective]


def refusals(search: Search, said: Map, path: str = "search") -> list[Fault]:
    """What of a search cannot be, each at its line. ``said``: its text; ``path``: what stands before the dotted paths."""
    inside = space_faults(search.space, said["space"])
    faults = [one._replace(path=f"{path}.space.{one.path}".rstrip(".")) for one in inside]
    for key, why in _refused(search, sound=not faults):
        faults.append(Fault(mark_of(said, key), ".".join([path, str(key[0])]), why))
    return faults


def _refused(search: Search, *, sound: bool) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(where in the text, why)."""
    metrics = [objective.metric for objective in search.objective]
    sampler, pruner, several = search.sampler.type, search.pruner.type, len(metrics) > 1  # type: ignore[attr-defined]
    unsaid = "goal: say maximize or minimize; it is not known which way {} is better"
    yield from ((("objective",), unsaid.format(one.metric)) for one in search.objective if not one.direction)
    yield from ((("objective",), f"{m} stands twice") for i, m in enumerate(metrics) if m in metrics[:i])
    if several and pruner != "none":
        said = (
            "with several objectives nothing can be pruned: there is no one value to hold against the others; say none"
        )
        yield ("pruner",), said
    if pruner != "none" and metrics[0] in COSTS:
        yield ("pruner",), f"{metrics[0]} is known before training, so there is nothing to prune by; say none"
    if several and sampler not in MANY:
        yield ("sampler",), f"{sampler} takes one objective{near(sampler, sorted(MANY))}"
    if search.constraints and sampler not in CONSTRAINED:
        yield ("sampler",), f"{sampler} takes no constraints{near(sampler, sorted(CONSTRAINED))}"
    if sound and sampler == "cmaes" and not any(one.numeric and not one.when for one in made(search.space).values()):
        yield ("sampler",), "cmaes moves numbers that are always there, and the space has none; say tpe or random"
    if several == (search.winner.by == "objective"):
        others = "of several objectives say by: first or by: knee" if several else "of one objective say by: objective"
        yield ("winner",), f"{others}, not {search.winner.by}"


def _refuse_other_metric(metric: str) -> None:
    """Raises ValueError."""
    if metric.startswith("test/") or metric.startswith("train/"):
        raise ValueError(f"metric: a search looks at the validation split alone; say val/..., not {metric}")
    if metric not in COSTS and not (metric.startswith("val/") and len(metric) > 4):
        raise ValueError(f"metric: no {metric!r}{near(metric, ['val/psnr', 'val/psnr_clips', *COSTS])}")


def storage_refusal(url: str, workers: int) -> str:
    """Why a study cannot be kept there by so many workers; nothing where it can."""
    if url.startswith("sqlite") and workers > 1:
        return (
            f"SQLite locks no rows: to {workers} workers it would hand some trials out twice (15 to 20 % with 8); "
            f"say 1 worker, or {BOTH}"
        )
    return ""
