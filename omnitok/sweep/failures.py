"""What is done about each kind of failure: how often it is tried again, with what, and when a whole sweep is stopped.

Nothing here is in a digest: a run that was tried again is the same run. What could change its numbers beyond nothing at
all is a deviation, which its provenance keeps. Loads no torch.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from omnitok.spec import STRICT, Count, Positive, near, refused_key
from omnitok.sweep.resources import JobResources

CALLED: Final = ConfigDict(**{**STRICT, "populate_by_name": True})
SCALED: Final = ("mem_gb", "timeout_min", "cpus_per_task", "gpus_per_node")
WHOLE: Final = ("timeout_min", "cpus_per_task", "gpus_per_node")
INEXACT: Final = ("recompute", "compile", "attention")  # equal to rounding, so a deviation


class With(JobResources):
    """What another try is given in place of what the sweep says."""

    recompute: bool | None = Field(None, description="memory for time; equal to rounding, so it is kept as a deviation")
    compile: bool | None = Field(None, description="torch.compile in training; a deviation")
    attention: str | None = Field(None, description="how attentions are computed; a deviation")
    data_workers: Annotated[int, Field(ge=0)] | None = Field(None, description="processes that load a training's data")

    @property
    def environment(self) -> dict[str, str]:
        """What of it processes read from their environment."""
        said = self.model_dump(include={*INEXACT, "data_workers"}, exclude_none=True)
        return {f"OMNITOK_{name.upper()}": str(int(v) if isinstance(v, bool) else v) for name, v in said.items()}

    @property
    def deviations(self) -> list[str]:
        """What of it could change a result."""
        said = self.model_dump(include=set(INEXACT), exclude_none=True)
        return [f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in said.items()]


class Policy(BaseModel):
    """What is done about one kind of failure."""

    model_config = CALLED
    retry: Annotated[int, Field(ge=0)] = Field(0, description="how often a job is tried again by itself")
    times: dict[str, Positive] = Field({}, description="{mem_gb: 2}: multiplied with each try; of what resources say")
    with_: With = Field(With(), alias="with", description="{recompute: true}: what another try is given instead")
    exclude: bool = Field(False, description="another try keeps away from the nodes where it failed")
    stop_after: Count | None = Field(
        None, description="so many jobs with one and the same traceback stop the sweep; default: nothing does"
    )

    @model_validator(mode="after")
    def _only_numbers_are_multiplied(self) -> "Policy":
        for name in self.times:
            if name not in SCALED:
                raise refused_key("times", f"{name!r} cannot be multiplied{near(name, SCALED)}")
        return self

    @property
    def as_it_was(self) -> bool:
        """Whether another try is given what the first one had, so that it also makes sense on this machine."""
        return not self.times and self.with_ == With()


DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType({
    "out_of_memory": {"retry": 2, "times": {"mem_gb": 2.0}},
    "nan": {},
    "time_out": {"retry": 3},
    "preempted": {"retry": 100},
    "node": {"retry": 3, "exclude": True},
    "import": {"stop_after": 2},
    "data": {"stop_after": 10},
    "disk": {"stop_after": 3},
    "killed": {"retry": 1},
    "lost": {"retry": 3},
    "cancelled": {},
    "bug": {"stop_after": 10},
})  # fmt: skip


def _default(kind: str) -> Policy:
    return Policy.model_validate(dict(DEFAULTS[kind]))


class Failures(BaseModel):
    """A policy for each kind of failure. What one does not say is as its default has it."""

    model_config = CALLED
    out_of_memory: Policy = Field(
        _default("out_of_memory"),
        description="of the host or of a GPU; tried again where resources say mem_gb or with says something",
    )
    nan: Policy = Field(_default("nan"), description="a loss is no number; the same choices come to it again")
    time_out: Policy = Field(_default("time_out"), description="a job that ended at its limit before it could save")
    preempted: Policy = Field(_default("preempted"), description="a job that was ended for another one, not requeued")
    node: Policy = Field(_default("node"), description="a node, its GPU or a file system broke")
    import_: Policy = Field(_default("import"), alias="import", description="something is not installed on the nodes")
    data: Policy = Field(_default("data"), description="a file that cannot be decoded, or is not there")
    disk: Policy = Field(_default("disk"), description="a full disk, or one that may not be written to")
    killed: Policy = Field(_default("killed"), description="a process that died and could not say why")
    lost: Policy = Field(_default("lost"), description="a job that neither the queue nor the accounting knows any more")
    cancelled: Policy = Field(_default("cancelled"), description="a job that somebody cancelled with Slurm's commands")
    bug: Policy = Field(_default("bug"), description="any other exception")

    @model_validator(mode="before")
    @classmethod
    def _over_defaults(cls, said: Any) -> Any:
        """A policy that is said in part."""
        if not isinstance(said, Mapping):
            return said
        return {k: {**DEFAULTS[k], **v} if k in DEFAULTS and isinstance(v, Mapping) else v for k, v in said.items()}

    def of(self, kind: str) -> Policy:
        """The policy for a kind of ``runs.KINDS``; for what is none of them, as a bug."""
        found: Policy = getattr(self, "import_" if kind == "import" else kind, self.bug)
        return found


def scaled(policy: Policy, given: Mapping[str, Any]) -> dict[str, Any]:
    """What ``times`` makes of what a job was given: whole numbers stay whole, and what was not said stays so."""
    found = {name: given[name] * factor for name, factor in policy.times.items() if name in given}
    return {name: -int(-value // 1) if name in WHOLE else value for name, value in found.items()}
