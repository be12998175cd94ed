"""The command that measures: runs, tokenizers' files, and what somebody else's tokenizer made."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from omnitok.cli.words import example


@click.command(
    "evaluate",
    epilog=example(
        "omnitok evaluate quickstart/fsq+ramp/0 --metrics psnr,ssim --frames 5",
        "omnitok evaluate authors.safetensors --preset omnitokenizer_images --data '{type: folder, ...}'",
        "omnitok evaluate --export-items items --data embedded --frames 1 --resolution 64",
        "omnitok evaluate --originals items --reconstructions theirs --metrics 'psnr, {type: rfid, few: true}'",
    ),
)
@click.argument("run_reference", metavar="[RUN]", required=False)
@click.option("--data", help="A dataset as YAML, e.g. embedded; default: what the run was trained on.")
@click.option("--split", type=click.Choice(["val", "test"]), help="Default: test.")
@click.option("--frames", type=click.IntRange(min=1), help="Of an item; 1 is images. Default: 1.")
@click.option("--resolution", type=click.IntRange(min=1), help="Side in pixels; default: that of training.")
@click.option("--items", type=click.IntRange(min=0), help="How many, spread over the split; 0, and default: all.")
@click.option("--weights", type=click.Choice(["raw", "ema"]), help="As trained, or their moving average. Default: raw.")
@click.option(
    "--metrics",
    help="Names, or YAML, with commas between; default: psnr, ssim. Beside --preset: some of "
    "its own, of which few and resamples may be said.",
)
@click.option("--preset", help="A published protocol by name; omnitok components preset lists them.")
@click.option(
    "--originals", type=click.Path(path_type=Path), help="A folder of pictures and videos, or of exported items ..."
)
@click.option("--reconstructions", type=click.Path(path_type=Path), help="... and one of what became of them.")
@click.option("--export-items", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Measure nothing; write the items into a sub-folder of it, for somebody else's tokenizer; one folder "
                   "may hold those of several evaluations.")  # fmt: skip
@click.option("--details", is_flag=True, help="Also what belongs to a number, such as FID at fewer items.")
def evaluate(run_reference: str | None, details: bool, metrics: str | None, **asked: Any) -> None:
    """Measure a finished RUN (a digest, or SWEEP/ARM/SEED) or a tokenizer's file; or pairs of folders. What is measured
    already is not measured again."""
    from omnitok import evaluate_pairs, evaluate_run, runs
    from omnitok import export_items as write_items
    from omnitok.cli.tables import print_results
    from omnitok.spec import counted, flow
    from omnitok.training.recorded import exported

    said = {name: value for name, value in asked.items() if value is not None}
    originals, reconstructions, export_items = (
        said.pop(name, None) for name in ("originals", "reconstructions", "export_items")
    )
    _refuse(run_reference, originals, reconstructions, export_items, {**said, "metrics": metrics})
    if export_items:
        done = write_items(export_items, **said)
        equal = "" if done.files == done.n else f" as {counted(done.files, 'file')}, since some have equal pixels"
        click.echo(f"wrote {counted(done.n, 'item')} to {done.folder}{equal} ({done.view})")
        click.echo(f"reconstruct each into FOLDER/{done.folder.name}, under its name, then:\n  omnitok evaluate "
                   f"--originals {export_items} --reconstructions FOLDER\nthe items of other evaluations may be exported "
                   "beside them: a sweep takes one FOLDER for all")  # fmt: skip
        return
    if originals and reconstructions:
        found = evaluate_pairs(originals, reconstructions, "psnr, ssim" if metrics is None else metrics)
    else:
        found = evaluate_run(str(run_reference), metrics, **said)
    print_results(found, details)
    if originals and reconstructions and exported(originals):
        said = runs.read_json(runs.root() / found[0]["stage"] / runs.EXPERIMENT)["spec"]["baseline"]
        line = {"type": said["type"], "name": "NAME", "folder": str(reconstructions.resolve()), **said}
        click.echo(f"a sweep takes reconstructions of exported items as\n  baselines: [{flow(line)}]")


def _refuse(
    run: str | None, originals: Path | None, reconstructions: Path | None, items: Path | None, asked: Mapping[str, Any]
) -> None:
    """Raises SpecError where it is not said what is measured, or two things are."""
    from omnitok.spec import Fault, Mark, SpecError

    pairs = originals is not None or reconstructions is not None
    ways = {"RUN": run is not None, "--originals and --reconstructions": pairs, "--export-items": items is not None}
    chosen = [way for way, there in ways.items() if there]
    fixed = [f"--{name}" for name, value in asked.items() if value is not None and name != "metrics"]
    sentence = ""
    if len(chosen) != 1:
        what = f"{' and '.join(chosen)} cannot be said together" if chosen else "it is not said what is measured"
        sentence = f"{what}; say one of {', '.join(ways)}"
    elif pairs and (originals is None or reconstructions is None):
        sentence = f"--{'reconstructions' if originals else 'originals'} is missing beside the other folder"
    elif pairs and fixed:
        sentence = f"pairs of folders are taken as they are; leave out {', '.join(fixed)}"
    elif items is not None and asked["metrics"] is not None:
        sentence = "--export-items measures nothing; leave out --metrics"
    if sentence:
        raise SpecError([Fault(Mark("evaluate"), "", sentence)])
