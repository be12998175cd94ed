"""The command that says what a launch would run, and what it would cost, before it is paid for."""

import json
import sys
from pathlib import Path
from typing import Any, Final

import click

from omnitok.cli.words import SETS, example

DIFFERS: Final = 3  # the exit code of a difference that a launch would act on


@click.command(
    "plan",
    epilog=example(
        "omnitok plan sweeps/quickstart.yaml",
        "omnitok plan sweeps/quickstart.yaml --json | jq .trials[0]",
        "omnitok plan sweeps/quickstart.yaml --cluster slurm --probe --budget-gpu-hours 500",
        "omnitok plan sweeps/quickstart.yaml --diff",
        "omnitok plan sweeps/quickstart.yaml --plot quickstart.png",
    ),
)
@click.argument("sweep", type=click.Path(path_type=Path))
@SETS
@click.option("--json", "as_json", is_flag=True, help="The plan, or the difference, as JSON.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE",
              help="Also draw what is trained when, over whole runs, into a .png, .svg or .pdf.")  # fmt: skip
@click.option("--diff", is_flag=True,
              help="Only what a launch would do now. Exit code 0: nothing; 3: something.")  # fmt: skip
@click.option("--cluster", type=click.Choice(["slurm"]),
              help="Ask Slurm for its limits, refuse what it would never run, show the arrays of jobs.")  # fmt: skip
@click.option("--probe", is_flag=True,
              help="Time a few steps here of each kind of stage that no run of before is like.")  # fmt: skip
@click.option("--budget-hours", type=click.FloatRange(min=0), metavar="H",
              help="Refuse a plan that is estimated to train longer.")  # fmt: skip
@click.option("--budget-gpu-hours", type=click.FloatRange(min=0), metavar="H",
              help="Refuse a plan that is estimated to take more: hours times the GPUs of each stage.")  # fmt: skip
def plan(sweep: Path, sets: tuple[str, ...], as_json: bool, diff: bool, **how: Any) -> None:
    """Show what SWEEP would run: its arms, what they cost, what is done, queued and missing, how long it takes by the runs
    of before, and in what the arms differ beside what is varied. Nothing is run but what --probe times."""
    from omnitok import plan_sweep

    if diff:
        _refuse_with_diff(**how)
        _diff(plan_sweep(sweep, sets), as_json)
    plot = how.pop("plot")
    _show(plan_sweep(sweep, sets, plot=plot), as_json, **how)
    if plot:
        click.echo(f"wrote: {plot}", err=as_json)


def _show(planned: Any, as_json: bool, cluster: str | None, **how: Any) -> None:
    from omnitok import review_plan, runs
    from omnitok.cli.reviewed import print_review, review_as_json
    from omnitok.cli.searches import print_searches
    from omnitok.cli.tables import print_aliases, print_plan
    from omnitok.launching.searching import on_cluster, refuse_storage, unshared
    from omnitok.sweep.adopt import lendings
    from omnitok.sweep.plan import to_json

    workers = on_cluster(planned.asked.file.resources)
    if cluster:
        refuse_storage(planned, workers)
    review = review_plan(planned, told=lambda line: click.echo(line, err=True), cluster=bool(cluster), **how)
    data = to_json(planned)
    if as_json:
        click.echo(json.dumps({**data, "review": review_as_json(review)}, indent=1))
        return
    print_plan(data, planned.asked.file.question)
    print_aliases(data.get("aliases"))
    print_searches(planned.searches)
    if said := unshared(planned, workers):
        click.echo(f"note: {said}")
    print_review(review, {"hours": how["budget_hours"], "GPU hours": how["budget_gpu_hours"]})
    for said in lendings(runs.root(), list(planned.runs.values())):
        click.echo(said)


def _refuse_with_diff(cluster: str | None, **others: Any) -> None:
    if said := [f"--{name.replace('_', '-')}" for name, value in others.items() if value]:
        raise click.UsageError(f"--diff says nothing else; leave out {', '.join(said)}")


def _diff(planned: Any, as_json: bool) -> None:
    from omnitok import compare_plan
    from omnitok.cli.reviewed import difference_as_json, print_difference

    found = compare_plan(planned)
    if as_json:
        click.echo(json.dumps(difference_as_json(found), indent=1))
    else:
        print_difference(found)
    sys.exit(DIFFERS if found.submit else 0)
