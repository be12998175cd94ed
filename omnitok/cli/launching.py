"""The commands that run a sweep, here or on a cluster, and say how it stands."""

import contextlib
import json
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from omnitok.cli.words import SETS, example


@click.command(
    "launch",
    epilog=example(
        "omnitok launch sweeps/quickstart.yaml --cluster local",
        "omnitok launch sweeps/quickstart.yaml --set seeds=[0]",
        "omnitok launch sweeps/quickstart.yaml --cluster slurm",
    ),
)
@click.argument("sweep", type=click.Path(path_type=Path))
@SETS
@click.option("--cluster", type=click.Choice(["debug", "local", "slurm"]), default="local", show_default=True,
              help="debug: in this process; local: a pool of processes; slurm: jobs, which are submitted and left alone.")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), help="Processes at once (local); default: cores / threads.")
@click.option("--wait", is_flag=True, help="Watch the jobs to the end (slurm); ctrl-C leaves them alone.")
def launch(sweep: Path, sets: tuple[str, ...], **how: Any) -> None:
    """Run what of SWEEP is missing, or submit it; launch again to resume or to do nothing. Exit code 1 if an arm failed."""
    from omnitok import launch_sweep, runs
    from omnitok.launching.progress import view

    done = launch_sweep(sweep, sets, view=view(runs.root()), told=_say_jobs, **how)
    _say_done(done, [str(sweep), *(word for said in sets for word in ("--set", said))], wait=how["wait"])


def _say_done(done: Any, words: list[str], *, wait: bool) -> None:
    """What was done and what comes next; the exit code says whether all is done, where it was waited for."""
    from omnitok.cli.tables import print_states
    from omnitok.spec import counted

    watched = done.jobs is None or wait
    if done.interrupted:
        goes_on = (
            f"no longer watched; the jobs go on. To cancel them: {shlex.join(['omnitok', 'cancel', *words, '--yes'])}"
        )
        click.echo(
            goes_on if done.jobs else "stopped; checkpoints are kept, the same command goes on from them", err=True
        )
        sys.exit(130)
    finished = all(state.status == "done" for state in done.states)
    if done.trained or done.measured:
        click.echo(f"trained {counted(done.trained, 'stage')}, measured {counted(done.measured, 'evaluation')}")
    elif finished:
        click.echo("nothing to train and nothing to measure: everything is done")
    elif watched:
        click.echo("nothing new could be done")
    print_states(done.states, only_open=True)
    following = ["omnitok", "report" if watched or finished else "status", *words]
    click.echo(f"stored as {done.folder.name}; next: {shlex.join(following)}")
    sys.exit(0 if finished or not watched else 1)


def _say_jobs(jobs: Any) -> None:
    """What Slurm has now, what it could not be given, and what else is to be known."""
    from omnitok.spec import counted

    mine = dict.fromkeys(one.job for one in jobs.submitted)  # packed pieces share one
    parts = [f"submitted {counted(len(mine), 'job')}: {_ids(mine)}"] if mine else []
    parts += [f"{counted(jobs.queued, 'is', 'are')} queued or running already"] if jobs.queued else []
    if jobs.left:
        parts.append(f"{jobs.left} not submitted: the site lets one user have no more; {_later(jobs)}")
    for line in ("; ".join(parts), jobs.stopped, *jobs.notes):
        if line:
            click.echo(line)


def _later(jobs: Any) -> str:
    return "a keeper submits them when some have ended" if jobs.kept else "launch again when some have ended"


def _ids(jobs: Iterable[str]) -> str:
    """12_[0-2], 15_0, 16: jobs, of an array the first task and the last."""
    tasks: dict[str, list[int]] = {}
    for job in jobs:
        name, _, index = job.partition("_")
        tasks.setdefault(name, []).extend([int(index)] if index else [])
    return ", ".join(f"{name}{_range(found)}" for name, found in tasks.items())


def _range(tasks: list[int]) -> str:
    if not tasks:
        return ""
    return f"_{tasks[0]}" if len(tasks) == 1 else f"_[{min(tasks)}-{max(tasks)}]"


def _say_meant(sweep: str, names: tuple[str, ...], sets: tuple[str, ...] = ()) -> None:
    """Which arms the labels of values mean."""
    from omnitok import runs
    from omnitok.launching.cancel import meant

    for line in meant(runs.root(), sweep, names, sets) if names else ():
        click.echo(line)


@click.command("retry", epilog=example("omnitok retry quickstart", "omnitok retry quickstart fsq+ramp/0 --kind node"))
@click.argument("sweep")
@click.argument("trials", nargs=-1)
@click.option("--kind", metavar="KIND", help="Only what failed so: out_of_memory, nan, node, ...")
@click.option("--cluster", type=click.Choice(["debug", "local", "slurm"]), help="Default: where it was launched.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes at once (local); default: cores / threads.")
@click.option("--wait", is_flag=True, help="Watch the jobs to the end (slurm); ctrl-C leaves them alone.")
def retry(sweep: str, trials: tuple[str, ...], **how: Any) -> None:
    """Run again what of a launched SWEEP failed, was blocked or was cancelled: of all TRIALS (an arm, a value's label, or
    ARM/SEED), or of those named. Exit code 1 if one fails again."""
    from omnitok import retry_sweep, runs
    from omnitok.launching.progress import view

    _say_meant(sweep, trials)
    done = retry_sweep(sweep, trials, view=view(runs.root()), told=_say_jobs, **how)
    _say_done(done, [sweep], wait=how["wait"])


@click.command("cancel", epilog=example("omnitok cancel quickstart", "omnitok cancel quickstart fsq+ramp --yes"))
@click.argument("sweep")
@click.argument("arms", nargs=-1)
@SETS
@click.option("--yes", is_flag=True, help="Cancel; else only say what there is to cancel.")
def cancel(sweep: str, arms: tuple[str, ...], sets: tuple[str, ...], yes: bool) -> None:
    """Cancel the jobs of a launched SWEEP (file, name or digest), or of some ARMS (or of all that have a value,
    by its label) those that no other arm needs; nothing of it
    is submitted by itself until it is launched again. Exit code 1 if a job does not end."""
    from omnitok import cancel_sweep
    from omnitok.spec import counted

    _say_meant(sweep, arms, sets)
    found = cancel_sweep(sweep, arms, sets, really=yes)
    for one in found.jobs:
        click.echo(f"job {one.job} ({one.state}): {', '.join(one.trials)}")
    for one in found.kept:
        click.echo(f"job {one.job} stays, as other arms need it: {', '.join(one.trials)}")
    count = counted(len(found.jobs), "job") + (f" and {counted(len(found.keepers), 'keeper')}" if found.keepers else "")
    if not found.done:
        following = shlex.join(
            ["omnitok", "cancel", sweep, *arms, *(word for said in sets for word in ("--set", said)), "--yes"]
        )
        click.echo(f"would cancel {count}" + (f"; to do so: {following}" if found.jobs or found.keepers else ""))
    elif found.left:
        click.echo(f"asked Slurm to cancel {count}; these have not ended yet: {', '.join(found.left)}", err=True)
        sys.exit(1)
    else:
        click.echo(f"cancelled {count}")


@click.command(
    "status", epilog=example("omnitok status sweeps/quickstart.yaml", "omnitok status quickstart --watch --every 10")
)
@click.argument("sweep")
@SETS
@click.option("--watch", is_flag=True, help="Go on looking until nothing of it runs or waits, or ctrl-C.")
@click.option("--every", type=click.FloatRange(min=0.2), default=5.0, show_default=True, metavar="SECONDS",
              help="How often to look (--watch).")  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="List every trial, however many and however done.")
@click.option("--json", "as_json", is_flag=True, help="Trials, what runs, jobs and hours as JSON.")
def status(sweep: str, sets: tuple[str, ...], watch: bool, as_json: bool, **how: Any) -> None:
    """How every trial of a launched SWEEP (file, name or digest) stands, with its job. Exit code 1 if one failed."""
    from omnitok import sweep_states, watch_sweep
    from omnitok.cli.tables import print_states

    if watch and as_json:
        raise click.UsageError("--watch and --json: say one of them")
    if watch:
        states = _watched(watch_sweep(sweep, sets), how["every"])
    elif as_json:
        glance = watch_sweep(sweep, sets).look()
        click.echo(json.dumps(glance.to_json(), indent=1))
        states = glance.states
    else:
        states = sweep_states(sweep, sets)
        print_states(states, everything=how["everything"])
        _say_outdated(sweep, sets)
    sys.exit(1 if any(state.status in {"failed", "blocked"} for state in states) else 0)


def _say_outdated(sweep: str, sets: tuple[str, ...]) -> None:
    """Whether its report is of other runs by now; nothing where that cannot be read."""
    from omnitok import outdated_report

    with contextlib.suppress(OSError):
        if folder := outdated_report(sweep, sets):
            again = shlex.join(["omnitok", "report", sweep, *(word for said in sets for word in ("--set", said))])
            click.echo(f"the report in {folder} is no longer that of its runs; next: {again}")


def _watched(watch: Any, every_s: float) -> list[Any]:
    """How the trials stand at the end."""
    from omnitok.cli.watching import watched

    try:
        return list(watched(iter(watch.look, None), every_s).states)
    except KeyboardInterrupt:
        click.echo("no longer watched; what runs goes on", err=True)
        sys.exit(130)
