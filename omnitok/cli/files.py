"""The commands that take a tokenizer out of its run, and take the authors' in."""

from pathlib import Path

import click

from omnitok.cli.words import example


@click.command("export", epilog=example("omnitok export quickstart/fsq+ramp/0 fsq.safetensors"))
@click.argument("run_reference", metavar="RUN")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--weights", default="raw", show_default=True, help="raw: as trained; ema: their moving average.")
def export(run_reference: str, file: Path, weights: str) -> None:
    """Write the tokenizer of a finished RUN (a digest, or SWEEP/ARM/SEED) to one safetensors FILE."""
    from omnitok import export as call

    done = call(run_reference, file, weights=weights)
    click.echo(f"wrote: {done.file}\nan experiment takes it as\n  init: {{file: {done.file}, sha256: {done.sha256}}}")


@click.command(
    "import-official", epilog=example("omnitok import-official imagenet_k600.ckpt --out authors.safetensors")
)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The safetensors file to write.")
@click.option("--attention", default="sdpa", show_default=True,
              help="sdpa: as all released weights but imagenet_only, which is eager.")  # fmt: skip
def import_official(checkpoint: Path, out: Path, attention: str) -> None:
    """Turn a CHECKPOINT of OmniTokenizer's authors into a file that is loaded, used and trained on from here."""
    from omnitok import import_official as call

    done = call(checkpoint, out, attention=attention)
    rest = f"; left out: {', '.join(done.left_out)}" if done.left_out else ""
    click.echo(f"wrote: {done.file}  {done.parameters} parameters{rest}")
    click.echo(f"an experiment takes it as\n  init: {{file: {done.file}, sha256: {done.sha256}}}")
