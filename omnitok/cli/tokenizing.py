"""The command that makes tokens of a dataset."""

from pathlib import Path
from typing import Any

import click

from omnitok.cli.words import example


@click.command(
    "tokenize",
    epilog=example("omnitok tokenize quickstart/fsq+ramp/0 --data embedded --frames 5 --resolution 32 --out tokens"),
)
@click.argument("run_or_file")
@click.option("--data", help="A dataset as YAML, e.g. embedded; default: what the run was trained on.")
@click.option("--split", default="train", show_default=True, help="train, val or test.")
@click.option("--frames", type=click.IntRange(min=1), default=1, show_default=True, help="1: images.")
@click.option("--resolution", type=click.IntRange(min=1), help="Side in pixels; default: that of training.")
@click.option("--weights", default="raw", show_default=True, help="raw: as trained; ema: their moving average.")
@click.option("--flip", is_flag=True, help="The mirror image of each item as well.")
@click.option("--shard-items", type=click.IntRange(min=1), default=1024, show_default=True, help="Items of a shard.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to; default: tokens/<data>-<what it is of>.")
def tokenize(run_or_file: str, out: Path | None, **asked: Any) -> None:
    """Write the codes of every item of a dataset, by RUN_OR_FILE (a digest, SWEEP/ARM/SEED, or a tokenizer's file), into
    shards for a generator to train on; again to go on or to do nothing."""
    from omnitok import tokenize as call
    from omnitok.spec import counted

    done = call(run_or_file, out, progress=click.echo, **asked)
    click.echo(
        f"{done.folder}: {counted(done.items, 'item')}; {counted(done.made, 'shard')} made, {done.kept} there before"
    )
