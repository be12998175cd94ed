"""The commands that look back: what a run wrote, where a number is from, what may be deleted, whether it comes again."""

import sys
from typing import Any

import click

from omnitok.cli.words import example


@click.command("logs", epilog=example("omnitok logs quickstart/fsq+ramp/0", "omnitok logs 10b9092e --lines 50"))
@click.argument("run_reference", metavar="RUN")
@click.option("--lines", type=click.IntRange(min=1), default=10, show_default=True, help="Records of each stage.")
def logs(run_reference: str, lines: int) -> None:
    """What every stage of RUN (a digest, or SWEEP/ARM/SEED) wrote: last records, attempts, errors, logs of its jobs."""
    from omnitok import read_logs
    from omnitok.cli.findings import print_logs

    print_logs(read_logs(run_reference, lines=lines))


@click.command(
    "why",
    epilog=example("omnitok why quickstart fsq+ramp clips/psnr", "omnitok why sweeps/quickstart.yaml vq+joint ssim"),
)
@click.argument("sweep")
@click.argument("arm")
@click.argument("metric")
def why(sweep: str, arm: str, metric: str) -> None:
    """Where a number of a table is from: of SWEEP (file, name or digest) the cell of ARM and METRIC, back to its runs."""
    from omnitok import explain_cell
    from omnitok.cli.findings import print_cell

    print_cell(explain_cell(sweep, arm, metric))


@click.command("gc", epilog=example("omnitok gc", "omnitok gc --adversaries --stopped --logs --yes"))
@click.option(
    "--adversaries", is_flag=True, help="Also the discriminators of finished runs that no unfinished run needs."
)
@click.option("--stopped", is_flag=True, help="Also the checkpoints of runs that a search stopped early.")
@click.option("--logs", is_flag=True, help="Also the logs of jobs and workers of finished sweeps.")
@click.option("--yes", is_flag=True, help="Delete; without it nothing is.")
def gc(yes: bool, **more: bool) -> None:
    """What can be deleted of the runs' folder and lose nothing: checkpoints of finished runs, what dead attempts left,
    frozen code that no job runs from any more, halves of files, dead links. Weights stay, and checkpoints of unfinished
    runs, and whatever unfinished runs stand on."""
    from omnitok import collect_garbage
    from omnitok.cli.findings import print_garbage

    print_garbage(collect_garbage(free=yes, **more), yes)


@click.command("replay", epilog=example("omnitok replay quickstart/fsq+ramp/0 --steps 50", "omnitok replay 10b9092e"))
@click.argument("run_reference", metavar="RUN")
@click.option(
    "--steps", type=click.IntRange(min=1), help="So many steps, without the weights; default: the whole stage."
)
@click.option(
    "--tolerance", type=click.FloatRange(min=0), default=1e-3, show_default=True, help="Relative, of a number."
)
def replay(run_reference: str, **how: Any) -> None:
    """Train the last stage of RUN (a digest, or SWEEP/ARM/SEED) again, elsewhere, and hold it to what was recorded. Exit
    code 1 if it diverges."""
    from omnitok import replay_run
    from omnitok.cli.findings import print_replayed

    found = replay_run(run_reference, **how)
    print_replayed(found)
    sys.exit(1 if found.verdict == "diverges" else 0)
