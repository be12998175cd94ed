"""A plan and the folders of its runs: what is there, what is missing, and what says so."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omnitok import runs, trial
from omnitok.launching.work import Work
from omnitok.spec import plain
from omnitok.sweep.adopt import adopt, borrow
from omnitok.sweep.plan import Plan, Trial, to_json
from omnitok.training.evaluate import evaluation_digests, label_of
from omnitok.training.stage import StageRun


def settle(root: Path, planned: Plan) -> tuple[dict[str, str], dict[str, Any]]:
    """Make every folder, or find the old one that it is. -> ({digest: folder name}, the plan as stored)."""
    names = created(root, list(planned.runs.values()))
    return names, described(planned, names)


def found(root: Path, planned: Plan) -> "Settled":
    """A plan over the folders that are there; nothing is made, so a run that only an old folder has counts as missing."""
    names = {digest: _folder(root, digest) for digest in planned.runs}
    return Settled(planned, names, described(planned, names))


def described(planned: Plan, names: dict[str, str]) -> dict[str, Any]:
    """The plan as it is stored. ``names``: the folder of each run, by digest."""
    data = to_json(planned)
    data["stages"] = {names[digest]: facts for digest, facts in data["stages"].items()}
    for one in data["trials"]:
        one["stages"] = [names[digest] for digest in one["stages"]]
    digests = [
        (m.name, {label_of(spec): evaluation_digests(m.spec, spec, m.seen) for spec in m.possible})
        for m in planned.measurements
    ]
    lasts = {one["stages"][-1]: trial.on for one, trial in zip(data["trials"], planned.trials, strict=True)}
    data["evaluation_digests"] = {
        last: {
            name: {label: digest_of(last) for label, digest_of in of.items()}
            for name, of in digests
            if on is None or name in on
        }
        for last, on in lasts.items()
    }
    return data


class Settled(NamedTuple):
    """A plan, {digest: folder name} of its runs, and the plan as it is stored."""

    planned: Plan
    names: dict[str, str]
    data: dict[str, Any]


class Wanted(NamedTuple):
    """A piece of work, the files that say that it is done, and the one that says why not. Paths below the runs' folder."""

    work: Work
    files: tuple[str, ...]
    error: str

    def done(self, root: Path) -> bool:
        return all((root / file).exists() for file in self.files)

    def lent(self, root: Path, there: Mapping[str, tuple[Path, str]]) -> bool:
        """Whether it is done once a launch has borrowed ``there``, which is what ``lendable`` says; of a run that is older
        than its name the measurements stay where they are."""
        pool, name = there.get(self.work.stage, (root, ""))
        if not name or (self.work.evaluation and name != self.work.stage):
            return False
        return all(
            (root / file).exists() or (pool / file.replace(self.work.stage, name, 1)).exists() for file in self.files
        )


def works(root: Path, planned: Plan, names: dict[str, str], data: dict[str, Any]) -> list[Work]:
    """What is missing, parents before children, a stage before what is measured of it."""
    return [one.work for one in wanted(Settled(planned, names, data)) if not one.done(root)]


def wanted(settled: Settled) -> Iterator[Wanted]:
    """All work, done or not, parents before children, a stage before what is measured of it."""
    planned, names, data = settled
    label: dict[str, str] = {}
    for one in planned.trials:
        for digest in one.stages:
            label.setdefault(digest, trial_name(one))
    for digest, run in planned.runs.items():
        work = training(run, names, f"{run.name} {label[digest]}")
        yield Wanted(work, (f"{work.stage}/{runs.RESULT}",), f"{work.stage}/{runs.ERROR}")
    said = [{**plain(m.spec), "metrics": [plain(spec) for spec in m.possible]} for m in planned.measurements]
    for digest in {one.stages[-1]: None for one in planned.trials}:
        stage = names[digest]
        for m, evaluation, kept in zip(planned.measurements, said, data["evaluations"], strict=True):
            found = data["evaluation_digests"][stage].get(m.name, {}).values()
            work = Work(stage, f"{m.name} of {label[digest]}", 0, (stage,), evaluation)
            files = tuple(f"{stage}/{runs.EVALUATIONS}/{one}.json" for one in found)
            yield Wanted(work, files, f"{stage}/{runs.evaluation_error(kept['key'])}")


def trial_name(one: Trial) -> str:
    """How a trial is called: its arm and its seed."""
    return one.name if one.seed is None else f"{one.name}/{one.seed}"


def created(root: Path, wanted: Sequence[StageRun]) -> dict[str, str]:
    adopted = adopt(root, wanted)
    for run in wanted:
        if run.digest not in adopted:
            trial.create(root, run)
    borrow(root, wanted)
    return {run.digest: _folder(root, run.digest) for run in wanted}


def _folder(root: Path, digest: str) -> str:
    """The name of a run's folder: an older one where it was adopted."""
    return (root / digest).resolve().name if (root / digest).is_symlink() else digest


def training(run: StageRun, names: dict[str, str], label: str) -> Work:
    after = tuple(names[parent] for parent in run.parents.values() if parent in names)
    return Work(names[run.digest], label, int(run.spec.get("steps", 1)), after, {})
