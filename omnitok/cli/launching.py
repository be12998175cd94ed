"""The commands that run a sweep, here or on a cluster, and say how it stands."""

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
    from omnitok.sweep.progress import view

    done = launch_sweep(sweep, sets, view=view(runs.root()), told=_say_jobs, **how)
    if done.interrupted and done.jobs is not None:
        click.echo(f"no longer watched; the jobs go on. To cancel them: {_cancel(done.folder)}", err=True)
        sys.exit(130)
    if done.interrupted:
        click.echo("stopped; checkpoints are kept, the same command goes on from them", err=True)
        sys.exit(130)
    _say_done(done, sweep, sets, watched=done.jobs is None or how["wait"])


def _say_done(done: Any, sweep: Path, sets: tuple[str, ...], *, watched: bool) -> None:
    """What was done and what comes next; the exit code says whether all is done, where it was waited for."""
    from omnitok.cli.tables import print_states
    from omnitok.spec import counted

    finished = all(state.status == "done" for state in done.states)
    if done.trained or done.measured:
        click.echo(f"trained {counted(done.trained, 'stage')}, measured {counted(done.measured, 'evaluation')}")
    elif finished:
        click.echo("nothing to train and nothing to measure: everything is done")
    elif watched:
        click.echo("nothing new could be done")
    print_states(done.states, only_open=True)
    words = [str(sweep), *(word for said in sets for word in ("--set", said))]
    following = ["omnitok", "report" if watched or finished else "status", *words]
    click.echo(f"stored as {done.folder.name}; next: {shlex.join(following)}")
    sys.exit(0 if finished or not watched else 1)


def _say_jobs(jobs: Any) -> None:
    """What Slurm has now, and what it could not be given."""
    from omnitok.spec import counted

    pieces = counted(len(jobs.submitted), "job")
    parts = [f"submitted {pieces}: {_ids(one.job for one in jobs.submitted)}"] if jobs.submitted else []
    parts += [f"{counted(jobs.queued, 'is', 'are')} queued or running already"] if jobs.queued else []
    if jobs.left:
        parts.append(
            f"{jobs.left} not submitted: the site lets one user have no more; launch again when some have ended"
        )
    if parts:
        click.echo("; ".join(parts))


def _ids(jobs: Iterable[str]) -> str:
    """12[0-2], 15: jobs, of an array the first task and the last."""
    tasks: dict[str, list[int]] = {}
    for job in jobs:
        name, _, index = job.partition("_")
        tasks.setdefault(name, []).extend([int(index)] if index else [])
    many = {
        name: f"_[{min(found)}-{max(found)}]" if len(found) > 1 else "_0" * len(found) for name, found in tasks.items()
    }
    return ", ".join(f"{name}{said}" for name, said in many.items())


def _cancel(folder: Path) -> str:
    from omnitok.cluster.questions import job_name

    return shlex.join(["scancel", f"--name={job_name(folder)}"])


@click.command("status", epilog=example("omnitok status sweeps/quickstart.yaml"))
@click.argument("sweep")
@SETS
def status(sweep: str, sets: tuple[str, ...]) -> None:
    """How every trial of a launched SWEEP (file, name or digest) stands, with its job. Exit code 1 if one failed."""
    from omnitok import sweep_states
    from omnitok.cli.tables import print_states

    states = sweep_states(sweep, sets)
    print_states(states)
    sys.exit(1 if any(state.status in {"failed", "blocked"} for state in states) else 0)
