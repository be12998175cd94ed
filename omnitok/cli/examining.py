"""The command that looks at what sweeps stand on: this machine, and the site that their jobs go to."""

import sys
from typing import Any

import click
from rich.markup import escape

from omnitok.cli.words import example

LEVELS = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "refused": "[red]NO[/]"}


@click.command(
    "doctor",
    epilog=example(
        "omnitok doctor",
        "omnitok doctor --cluster slurm",
        "omnitok doctor --cluster slurm --probe --nodes 4 --partition gpu",
    ),
)
@click.option("--cluster", type=click.Choice(["slurm"]), help="Also examine the site that jobs go to, and keep what was found for plans.")  # fmt: skip
@click.option("--probe", is_flag=True, help="Submit two short jobs to find out about nodes, the shared folder and requeued jobs.")  # fmt: skip
@click.option("--nodes", type=click.IntRange(min=1), default=2, show_default=True, help="Nodes to probe at once.")
@click.option("--partition", default="", help="Where the probe's jobs go; default: where Slurm puts them.")
@click.option("--wait", type=click.FloatRange(min=1), default=300, show_default=True, metavar="SECONDS",
              help="How long each of the two may take, waiting included.")  # fmt: skip
def doctor(cluster: str | None, probe: bool, **how: Any) -> None:
    """What is installed, reachable and writable, and how many accelerators; of a cluster: its limits, its accounting, what
    becomes of preempted jobs, its nodes. Exit code 1 if something is missing or refused."""
    from omnitok import examine
    from omnitok.cli.tables import print_findings

    if probe and not cluster:
        raise click.UsageError("--probe submits jobs: say --cluster slurm as well")
    findings = examine()
    print_findings(findings)
    fine = all(finding.fine for finding in findings)
    sys.exit(0 if (_site(probe, how) if cluster else True) and fine else 1)


def _site(probe: bool, how: dict[str, Any]) -> bool:
    """Whether nothing of the site is refused."""
    from omnitok import examine_site, runs
    from omnitok.cli.tables import console, table_of
    from omnitok.cluster.site import SITE, findings

    if probe:
        where = f"the partition {how['partition']}" if how["partition"] else "the default partition"
        asked = f"one of {how['nodes']} nodes for a minute, one of one core for a few"
        said = f"probing: two jobs in {where}, {asked}; at most {how['wait']:g} s each, then they are cancelled"
        click.echo(said, err=True)
    found = findings(examine_site(probe=probe, **how))
    table = table_of("", "site", "seen")
    for one in found:
        table.add_row(LEVELS[one.level], escape(one.what), escape(one.seen))
    console().print(table)
    kept = f"kept as {runs.root() / SITE}, which omnitok plan reads"
    click.echo(kept if probe else f"{kept}; its nodes are looked at with --probe")
    return all(one.level != "refused" for one in found)
