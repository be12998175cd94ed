"""The command line: each command is one call of the package, its words, and its exit code."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from omnitok.cli import files
from omnitok.cli.datasets import data as datasets
from omnitok.cli.evaluating import evaluate
from omnitok.cli.examining import doctor
from omnitok.cli.inspecting import gc, logs, replay, why
from omnitok.cli.launching import cancel, launch, retry, status
from omnitok.cli.planning import plan
from omnitok.cli.tokenizing import tokenize
from omnitok.cli.weights import weights
from omnitok.cli.words import SETS, example

MOST = 40  # differences of a report that are shown


class Group(click.Group):
    """Turns what a person did wrong into words and an exit code; what is a bug keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        from omnitok import runs
        from omnitok.spec import SpecError

        try:
            return super().invoke(ctx)
        except SpecError as error:
            click.echo(str(error), err=True)
            sys.exit(2)
        except runs.Busy as error:
            click.echo(f"omnitok: {error}; try again when it is done", err=True)
            sys.exit(1)
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            click.echo(f"omnitok: {place}{error.strerror or error}", err=True)
            sys.exit(1)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="omnitok")
def main() -> None:
    """Reproducible experiments with joint image-video tokenizers: write a sweep, launch it, read its report.

    \b
    Example:
      omnitok plan sweeps/quickstart.yaml
      omnitok launch sweeps/quickstart.yaml --cluster local
      omnitok report sweeps/quickstart.yaml
    """


def command(name: str, *lines: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A command whose help ends with an example."""
    return main.command(name, epilog=example(*lines))


@command("run", "omnitok run experiments/quickstart.yaml --seed 1 --set stages.images.steps=40")
@click.argument("file", type=click.Path(path_type=Path))
@SETS
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True,
              help="Results are to the bit only at equal threads.")  # fmt: skip
@click.option("--processes", type=click.IntRange(min=1), default=1, show_default=True,
              help="Train each stage in this many, each on its share of every batch; equal to rounding.")  # fmt: skip
def run(file: Path, sets: tuple[str, ...], seed: int, **how: int) -> None:
    """Train one experiment FILE, every stage, in this process; run again to resume or to do nothing."""
    from omnitok import run_experiment, runs
    from omnitok.launching.progress import shown, view

    done = run_experiment(file, sets, seed=seed, view=view(runs.root()), **how)
    if done.interrupted:
        click.echo("stopped; the checkpoint is kept, the same command goes on from it", err=True)
        sys.exit(130)
    if not done.trained and all((folder / runs.RESULT).exists() for folder in done.folders):
        click.echo("already done; nothing was trained")
    failed = False
    for folder in done.folders:
        died, record = runs.failure(folder), runs.last_record(folder)
        name = runs.read_json(folder / runs.EXPERIMENT)["stage"]
        said = f"failed: {died.kind}: {died.sentence}" if died else shown(record) if record else runs.status(folder)
        click.echo(f"{name}: {folder}  {said}")
        failed = failed or runs.status(folder) != "done"
    sys.exit(1 if failed else 0)


@command("sync", "omnitok sync", "omnitok sync --watch 30")
@click.option("--watch", type=click.FloatRange(min=1), metavar="SECONDS", help="Go on, this often, until ctrl-C.")
def sync(watch: float | None) -> None:
    """Bring MLflow up to date with the runs' folders; as often as you like, without duplicates."""
    import time

    from omnitok import runs
    from omnitok import sync as call
    from omnitok.tracking import TrackingError, ui_command

    try:
        while True:
            click.echo(str(call()))
            if not watch:
                break
            time.sleep(watch)
    except TrackingError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"look at it with: {ui_command(runs.root())}")


@command("report", "omnitok report sweeps/quickstart.yaml", "omnitok report reports/quickstart.yaml --check")
@click.argument("sweep_or_report")
@SETS
@click.option("--out", type=click.Path(path_type=Path), help="Where to; default: reports/build/<name>.")
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if the report there is not that of its runs.")
def report(sweep_or_report: str, sets: tuple[str, ...], out: Path | None, check: bool) -> None:
    """Render the report of a launched sweep, or of a report file, whatever state the runs are in."""
    import gc

    gc.disable()  # many objects and few circles of them: a sixth of the time went into looking for these
    click.get_current_context().call_on_close(gc.enable)
    from omnitok import check_report, render_report
    from omnitok.tracking import TrackingError

    try:
        if check:
            found = check_report(sweep_or_report, sets, out)
            click.echo("\n".join([*found[:MOST], *([f"and {len(found) - MOST} more"] if found[MOST:] else [])])
                       or "the report is that of its runs")  # fmt: skip
            sys.exit(1 if found else 0)
        done = render_report(sweep_or_report, sets, out)
    except TrackingError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"report: {done.page}")
    for note in done.notes:
        click.echo(note)
    click.echo(done.answer)


@command(
    "components",
    "omnitok components",
    "omnitok components quantizer",
    "omnitok components quantizer --bits 13",
)
@click.argument("slot", required=False)
@click.option("--bits", type=click.IntRange(min=1), help="The settings of each quantizer that spend so many a token.")
def components(slot: str | None, bits: int | None) -> None:
    """List the components of every SLOT: their choices, defaults, meaning, cost, papers."""
    from omnitok import list_components
    from omnitok.cli.listing import print_components, print_settings

    found = list_components(slot, bits=bits)
    if bits is None:
        print_components(found, whole=slot is not None)
    else:
        print_settings(found, bits)


@command("schema", "omnitok schema", "omnitok schema --check")
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if a schema file is out of date.")
def schema(check: bool) -> None:
    """Write experiments/, sweeps/ and reports/schema.json, by which an editor completes and checks YAML files."""
    from omnitok import json_schemas

    stale = []
    for name, data in json_schemas().items():
        path, text = Path(f"{name}s") / "schema.json", json.dumps(data, indent=1, sort_keys=True) + "\n"
        if not path.exists() or path.read_text() != text:
            stale.append(str(path))
            if not check:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
    click.echo("\n".join(f"{'out of date' if check else 'wrote'}: {name}" for name in stale) or "up to date")
    sys.exit(1 if check and stale else 0)


@command(
    "reconstruct",
    "omnitok reconstruct quickstart/fsq+ramp/0 cat.png clip.mp4 --crop --side-by-side --out out",
)
@click.argument("run_reference", metavar="RUN")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--crop", "fit", flag_value="crop", help="Cut to the largest centred part that fits; leave off last frames."
)
@click.option(
    "--resize", "fit", flag_value="resize", help="Resize to the nearest size that fits; leave off last frames."
)
@click.option("--side-by-side", is_flag=True, help="Original left, reconstruction right.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("reconstructions"), show_default=True)
def reconstruct(run_reference: str, files: tuple[Path, ...], fit: Any, side_by_side: bool, out: Path) -> None:
    """Pass your own pictures and videos through a trained tokenizer. RUN: a digest, SWEEP/ARM/SEED, or a file."""
    from omnitok import reconstruct_files
    from omnitok.spec import counted

    for done in reconstruct_files(run_reference, files, out, fit=fit or "exact", side_by_side=side_by_side):
        size = f"{done.frames} x {done.height} x {done.width}"
        click.echo(f"{done.source} -> {done.target}  {size}  {done.psnr:.2f} dB  {counted(done.codes, 'code')}")


for more in (
    launch,
    status,
    cancel,
    retry,
    doctor,
    evaluate,
    plan,
    files.export,
    files.import_official,
    datasets,
    weights,
    tokenize,
    logs,
    why,
    gc,
    replay,
):
    main.add_command(more)
