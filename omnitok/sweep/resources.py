"""How a sweep is run, never what: nothing here changes a result, so nothing here is in a digest."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from omnitok.cluster.asked import SLURM, option_fault
from omnitok.cluster.submit import TOGETHER
from omnitok.spec import STRICT, Count, Fault, Map, Mark, Positive, near, refused_key

NEAR = ("slurm_partition", "slurm_account")


class JobResources(BaseModel):
    """What a job is given."""

    model_config = ConfigDict(**{**STRICT, "extra": "allow"})
    timeout_min: Count | None = Field(
        None,
        description="Slurm: minutes that a job may take, however many trainings are packed into it; then it is requeued",
    )
    nodes: Count | None = Field(
        None, description="Slurm: nodes that train one model together, each its share of a batch"
    )
    tasks_per_node: Count | None = Field(None, description="Slurm: processes of a node that do; each has cpus_per_task")
    gpus_per_node: Annotated[int, Field(ge=0)] | None = Field(None, description="Slurm: GPUs of a node of the job")
    cpus_per_task: Count | None = Field(None, description="Slurm: cores of a task")
    mem_gb: Positive | None = Field(None, description="Slurm: memory of a node of the job")
    pack: Count | None = Field(
        None, description="Slurm: how many independent trainings a job does one after another; default 1"
    )

    @model_validator(mode="after")
    def _only_slurm_more(self) -> "JobResources":
        for name, value in (self.model_extra or {}).items():
            if not name.startswith(SLURM):
                raise refused_key(name, f"no such resource{near(name, [*type(self).model_fields, *NEAR])}")
            if wrong := option_fault(name, value):
                raise refused_key(name, wrong)
        return self

    @property
    def job(self) -> dict[str, Any]:
        """What is said of a job, by the names that submitit has for it."""
        said = self.model_dump(include=set(JobResources.model_fields), exclude_none=True)
        return {**said, **(self.model_extra or {})}


class Resources(JobResources):
    """How, never what: nothing here changes a result, so nothing here is in a digest."""

    workers: Count | None = Field(None, description="processes at once on this machine; default cores / threads")
    threads: Count = Field(1, description="threads of a process; results are to the bit only at equal threads")
    checkpoint_every_s: Positive = Field(30.0, description="seconds between two checkpoints")
    data_workers: Annotated[int, Field(ge=0)] | None = Field(None, description="processes that load a training's data")
    recompute: bool | None = Field(None, description="memory for time: layers are computed anew for their gradients")
    compile: bool | None = Field(None, description="torch.compile in training; equal to rounding")
    deterministic: bool | None = Field(
        None, description="a GPU adds up in one order: a resumed run then ends with the same bits; slower"
    )
    attention: Literal["auto", "manual", "sdpa", "flex"] | None = Field(
        None, description="how attentions are computed; equal to rounding; default auto, by shape and device"
    )
    missing_weights: Literal["refuse", "n/a"] = Field(
        "refuse", description="a metric whose pretrained weights are not here is refused, or left out and shown as n/a"
    )
    max_parallel: Count | None = Field(
        None, description="Slurm: jobs of an array that run at once, default all; other resources are another array"
    )
    search_workers: Count | None = Field(
        None,
        description="how many workers search for an arm at once; default on Slurm 4, else as many as there is room",
    )
    keeper: bool = Field(True, description="Slurm: a small job resubmits, by the policies of failures, what ends badly")
    arms: dict[str, JobResources] = Field({}, description="Slurm: by an arm's name or a value's label")
    stages: dict[str, JobResources] = Field({}, description="Slurm: by a stage's name; wins over arms")

    @property
    def environment(self) -> dict[str, str]:
        """What is said here of what processes read from their environment."""
        said = self.model_dump(
            include={"recompute", "compile", "data_workers", "deterministic", "attention"}, exclude_none=True
        )
        return {f"OMNITOK_{name.upper()}": str(int(v) if isinstance(v, bool) else v) for name, v in said.items()}


class Used(NamedTuple):
    """A stage, and the arms that use it: {an arm's name: the labels of its values}. ``batch``: the samples of a batch that
    several processes share; None where there is nothing to share, as for a baseline."""

    stage: str
    arms: Mapping[str, Iterable[str]]
    batch: int | None = None


def given(resources: Resources, used: Used) -> dict[str, Any]:
    """What the jobs of a stage are given: the sweep's; over it an arm's, its name's over its labels'; over all the stage's.

    A stage that several arms use is given the largest number that one of them asks for. Raises ValueError where they ask
    for what cannot be compared, such as two partitions.
    """
    own = resources.stages[used.stage].job if used.stage in resources.stages else {}
    asked: dict[str, Any] = {}
    for arm, labels in used.arms.items() if resources.arms else [("", ())]:
        for option, value in _of_arm(resources, arm, labels).items():
            if option not in own:
                asked[option] = _larger(used.stage, option, asked.get(option, value), value)
    found = asked | own
    return found if used.batch else {option: value for option, value in found.items() if option not in TOGETHER}


def _larger(stage: str, option: str, one: Any, other: Any) -> Any:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return max(one, other)
    if one != other:
        said = f"arms that share the stage {stage!r} ask for {option}={one} and for {option}={other}"
        raise ValueError(f"{said}; say which under resources.stages.{stage}")
    return one


def _of_arm(resources: Resources, arm: str, labels: Iterable[str]) -> dict[str, Any]:
    said = resources.job
    for label in (*labels, arm):
        said |= resources.arms[label].job if label in resources.arms else {}
    return said


def resource_faults(
    resources: Resources, said: Map, factors: Mapping[str, Iterable[str]], stages: Iterable[Used]
) -> list[Fault]:
    """What resources speak of and the sweep does not have, and what arms that share a stage cannot both have.

    said: the sweep's text; factors: path -> labels."""
    stages, faults = list(stages), []
    named = dict.fromkeys(label for labels in factors.values() for label in labels)
    named |= dict.fromkeys(arm for used in stages for arm in used.arms)
    known = {"arms": ("no arm or value", named), "stages": ("no stage", {used.stage for used in stages})}
    for kind, (none, names) in known.items():
        for name in getattr(resources, kind):
            if name not in names:
                mark = said["resources"][kind].marks[name]
                faults.append(Fault(mark, f"resources.{kind}.{name}", f"{none} is called {name!r}{near(name, names)}"))
    for used in stages if not faults else []:
        try:
            found = given(resources, used)
        except ValueError as error:
            return [Fault(said["resources"].marks["arms"], "resources.arms", str(error))]
        if wrong := _together(used, found):
            where = said_at(said["resources"], used, TOGETHER) or (said.marks["resources"], "resources")
            faults.append(Fault(*where, wrong))
    return faults


def _together(used: Used, found: Mapping[str, Any]) -> str:
    """Why processes cannot train a stage together; "" where they can, or where one does."""
    nodes, tasks = (found.get(name, 1) for name in TOGETHER)
    if nodes * tasks == 1:
        return ""
    if used.batch is not None and used.batch % (nodes * tasks):
        count = f"{nodes * tasks} processes (nodes {nodes} x tasks_per_node {tasks})"
        return (
            f"batch={used.batch} of the stage {used.stage!r} cannot be shared by {count}: it must be a multiple of it"
        )
    if found.get("pack", 1) > 1:
        return (
            f"pack={found['pack']}: what several processes train together is a job of its own; leave out one of the two"
        )
    return ""


def said_at(said: Map, used: Used, options: Sequence[str]) -> tuple[Mark, str] | None:
    """Where resources say one of these of a stage, in the order in which one wins over the other; None where nowhere."""
    arms = [label for arm, labels in used.arms.items() for label in (arm, *labels)]
    for kind, names in (("stages", [used.stage]), ("arms", arms)):
        for name in names:
            here = said.get(kind, {}).get(name, {})
            for option in options:
                if option in here:
                    return here.marks[option], f"resources.{kind}.{name}.{option}"
    return next(((said.marks[one], f"resources.{one}") for one in reversed(options) if one in said), None)
