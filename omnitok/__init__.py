"""Reproducible experiments with joint image-video tokenizers.

Each command of the command line is one call here; nothing is loaded until it is called. What a person says wrongly is
refused by ``omnitok.spec.SpecError``, before anything runs.
"""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    import pandas as pd

    from omnitok.catalogue import Entry
    from omnitok.cluster.site import Site
    from omnitok.data.check import Checked
    from omnitok.doctor import Finding
    from omnitok.evaluation.items import Items
    from omnitok.exchange import Exported
    from omnitok.inspection.garbage import Collected
    from omnitok.inspection.logs import Logs
    from omnitok.inspection.replay import Replayed
    from omnitok.inspection.why import Cell
    from omnitok.launching.cancel import Cancelled
    from omnitok.launching.drive import View
    from omnitok.launching.enqueue import Jobs
    from omnitok.launching.launch import Cluster, Experimented, Launched
    from omnitok.launching.watched import Watch
    from omnitok.model import Tokenizer
    from omnitok.networks.weights import Kept
    from omnitok.published.checkpoint import Imported
    from omnitok.reconstruct import Fit, Written
    from omnitok.report.render import Rendered
    from omnitok.reviewing.difference import Difference
    from omnitok.reviewing.review import Review
    from omnitok.sweep.plan import Plan
    from omnitok.sweep.stored import State
    from omnitok.tokenization import Tokenized, Tokens
    from omnitok.tracking import Synced

__all__ = [
    "cancel_sweep", "check_folder", "check_report", "collect_garbage", "compare_plan", "evaluate_pairs", "evaluate_run", "examine", "examine_site", "explain_cell", "export", "export_items", "fetch_weights", "import_official", "json_schemas",
    "launch_sweep", "list_components", "list_weights", "load", "outdated_report", "plan_sweep", "read_logs", "read_tokens", "reconstruct_files",
    "render_report", "replay_run", "retry_sweep", "review_plan", "rows", "run_experiment", "sweep_states", "sync", "tokenize", "watch_sweep",
]  # fmt: skip

P = ParamSpec("P")
R = TypeVar("R")


def _running(call: Callable[P, R]) -> Callable[P, R]:
    """A call that runs something: what the environment says wrongly is refused before."""

    @functools.wraps(call)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        from omnitok.training.environment import check_environment

        check_environment()
        return call(*args, **kwargs)

    return checked


@_running
def run_experiment(
    path: Path | str,
    sets: Sequence[str] = (),
    *,
    seed: int = 0,
    threads: int = 1,
    processes: int = 1,
    view: "View | None" = None,
) -> "Experimented":
    """``omnitok run``: train one experiment file in this process, or in ``processes`` that share every batch; again to
    resume or to do nothing."""
    from omnitok.launching.launch import run_experiment

    return run_experiment(Path(path), sets, seed=seed, threads=threads, processes=processes, view=view)


@_running
def plan_sweep(path: Path | str, sets: Sequence[str] = (), *, plot: Path | str | None = None) -> "Plan":
    """``omnitok plan``: what a sweep would run. Nothing is run.

    ``plot``: a .png, .svg or .pdf to write, with what is trained when over the whole run of every arm."""
    from omnitok.sweep.plan import plan_sweep

    if plot is None:
        return plan_sweep(Path(path), sets)
    from omnitok.exhibits.overview import refuse_file, write_overview
    from omnitok.sweep.picture import wholes

    refuse_file(Path(plot))
    planned = plan_sweep(Path(path), sets)
    write_overview(Path(plot), planned.asked.name, wholes(planned))
    return planned


@_running
def launch_sweep(
    path: Path | str,
    sets: Sequence[str] = (),
    *,
    cluster: "Cluster" = "local",
    workers: int | None = None,
    wait: bool = False,
    view: "View | None" = None,
    told: "Callable[[Jobs], None]" = lambda jobs: None,
) -> "Launched":
    """``omnitok launch``: run what of a sweep is missing, or submit it to Slurm. ``workers``: processes at once; None: cores /
    threads. ``wait``: watch Slurm's jobs to the end, after ``told`` has heard of them; all else is waited for anyway."""
    from omnitok.launching.launch import launch

    return launch(Path(path), sets, cluster=cluster, workers=workers, wait=wait, view=view, told=told)


def review_plan(plan: "Plan", *, told: Callable[[str], None] = lambda line: None, **asked: Any) -> "Review":
    """What ``omnitok plan`` says below a plan: hours, GPU hours and disk, what is done, queued and missing, what shared
    stages save, the arrays of jobs, and whether the arms are compared fairly. ``asked``: cluster, probe, budget_hours,
    budget_gpu_hours, as ``reviewing.review.Asked`` has them. Raises SpecError where training is estimated to take longer than a
    budget, or Slurm would never run a job of it."""
    from omnitok.reviewing.review import Asked, review

    return review(plan, Asked(**asked), told)


def compare_plan(plan: "Plan") -> "Difference":
    """``omnitok plan --diff``: what a launch would do now, against the runs' folders and what is on the cluster."""
    from omnitok import runs
    from omnitok.reviewing.difference import difference

    return difference(runs.root(), plan)


def sweep_states(sweep: Path | str, sets: Sequence[str] = ()) -> "list[State]":
    """``omnitok status``: how every trial of a launched sweep (its file, name or digest) stands."""
    from omnitok.launching.queued import sweep_states

    return sweep_states(str(sweep), sets)


def cancel_sweep(
    sweep: Path | str, arms: Sequence[str] = (), sets: Sequence[str] = (), *, really: bool = False
) -> "Cancelled":
    """``omnitok cancel``: what of a sweep (its file, name or digest) waits or runs on a cluster, or of some ``arms`` what no other
    needs; ``really`` cancels it, and waits until Slurm has ended it. Raises runs.Busy where a launcher is at it."""
    from omnitok import runs
    from omnitok.launching.cancel import cancel_sweep

    return cancel_sweep(runs.root(), str(sweep), arms, sets, really=really)


@_running
def retry_sweep(
    sweep: Path | str,
    trials: Sequence[str] = (),
    *,
    kind: str | None = None,
    cluster: "Cluster | None" = None,
    workers: int | None = None,
    wait: bool = False,
    view: "View | None" = None,
    told: "Callable[[Jobs], None]" = lambda jobs: None,
) -> "Launched":
    """``omnitok retry``: run again what of a launched sweep failed, was blocked or was cancelled, and nothing else; of
    ``trials`` (an arm, or ARM/SEED), or for one ``kind`` of failure. The rest as in ``launch_sweep``; ``cluster`` None: where
    it was launched."""
    from omnitok import runs
    from omnitok.launching.again import retry_sweep

    return retry_sweep(
        runs.root(), str(sweep), trials, kind=kind, cluster=cluster, workers=workers, wait=wait, view=view, told=told
    )


def watch_sweep(sweep: Path | str, sets: Sequence[str] = ()) -> "Watch":
    """``omnitok status --watch``: ``look()`` as often as you like: trials, what runs and how fast, jobs, hours."""
    from omnitok.launching.watched import Watch

    return Watch(str(sweep), sets)


def read_logs(run: str, *, lines: int = 10) -> "Logs":
    """``omnitok logs``: what the stages of a run (a digest, or SWEEP/ARM/SEED) wrote, with ``lines`` records of each."""
    from omnitok import runs
    from omnitok.inspection.logs import read_logs

    return read_logs(runs.root(), run, lines)


def explain_cell(sweep: Path | str, arm: str, metric: str) -> "Cell":
    """``omnitok why``: the runs, commits, choices and files behind one number of a launched sweep's table."""
    from omnitok import runs
    from omnitok.inspection.why import explain_cell

    return explain_cell(runs.root(), str(sweep), arm, metric)


def collect_garbage(
    *, adversaries: bool = False, stopped: bool = False, logs: bool = False, free: bool = False
) -> "Collected":
    """``omnitok gc``: what of the runs' folder can be deleted and lose nothing; ``free`` deletes it. The others say what
    more may go: discriminators, checkpoints of runs that a search stopped early, logs of finished sweeps."""
    from omnitok import runs
    from omnitok.inspection.garbage import collect_garbage

    return collect_garbage(runs.root(), adversaries=adversaries, stopped=stopped, logs=logs, free=free)


@_running
def replay_run(run: Path | str, *, steps: int | None = None, tolerance: float = 1e-3) -> "Replayed":
    """``omnitok replay``: train the last stage of a run (SWEEP/ARM/SEED, a digest, or its folder) again, elsewhere, and
    hold it to its records."""
    from omnitok import runs
    from omnitok.inspection.replay import replay
    from omnitok.sweep.stored import find_run

    here = (Path(run) / runs.EXPERIMENT).is_file()
    return replay(Path(run) if here else find_run(runs.root(), str(run)), steps=steps, tolerance=tolerance)


def sync() -> "Synced":
    """``omnitok sync``: bring MLflow up to date with the runs' folders. Raises TrackingError."""
    from omnitok import runs
    from omnitok.tracking import sync

    return sync(runs.root())


def rows(sweep: Path | str, sets: Sequence[str] = ()) -> "pd.DataFrame":
    """A row a trial of a launched sweep: labels, choices, status, metrics; what every table is made of."""
    from omnitok.report.command import rows

    return rows(str(sweep), sets)


def render_report(reference: Path | str, sets: Sequence[str] = (), out: Path | str | None = None) -> "Rendered":
    """``omnitok report``: of a launched sweep (file, name or digest) or of a report file. Raises TrackingError too."""
    from omnitok.report.command import render_report

    return render_report(str(reference), sets, None if out is None else Path(out))


def check_report(reference: Path | str, sets: Sequence[str] = (), out: Path | str | None = None) -> list[str]:
    """``omnitok report --check``: in what a rendered report is not that of its runs, a sentence each; writes nothing."""
    from omnitok.report.command import check_report

    return check_report(str(reference), sets, None if out is None else Path(out))


def outdated_report(sweep: Path | str, sets: Sequence[str] = ()) -> Path | None:
    """Of ``omnitok status``: the folder of a sweep's report (its file, name or digest) that is no longer that of its runs."""
    if not any(Path("reports/build").glob("*/report.lock")):  # as often; what follows loads all that draws
        return None
    from omnitok.report.command import outdated_report

    return outdated_report(sweep, sets)


def list_components(slot: str | None = None, *, bits: int | None = None) -> "list[Entry]":
    """``omnitok components``: of one slot, or of all; of quantizers with the settings that spend so many bits a token."""
    from omnitok.catalogue import entries

    return entries(slot, bits)


def json_schemas() -> dict[str, dict[str, Any]]:
    """``omnitok schema``: the JSON schemas of an experiment, a sweep and a report file, by these names."""
    from omnitok.catalogue import schemas
    from omnitok.report.paper import paper_schema

    return {**schemas(), "report": paper_schema()}


@_running
def reconstruct_files(
    run: Path | str,
    files: Path | str | Sequence[Path | str],
    out: Path | str = "reconstructions",
    *,
    fit: "Fit" = "exact",
    side_by_side: bool = False,
) -> "list[Written]":
    """``omnitok reconstruct``: pictures and videos through a finished run (SWEEP/ARM/SEED, a digest, or its folder) or a
    tokenizer's file."""
    from omnitok.reconstruct import reconstruct

    some = [files] if isinstance(files, str | Path) else files
    return reconstruct(_place(run), [Path(file) for file in some], Path(out), fit=fit, side_by_side=side_by_side)


@_running
def evaluate_run(run: Path | str, metrics: str | Sequence[str] | None = None, **asked: Any) -> list[dict[str, Any]]:
    """``omnitok evaluate``: measure a finished run or a tokenizer's file; what is measured already is read. -> a result
    file a metric.

    ``metrics``: names, or one text of names or YAML with commas; None: psnr and ssim, or as the preset says. ``asked``:
    data (as YAML), split, frames, resolution, items, preset, weights, as ``evaluation.asked.Asked`` has them; what is not said
    is the test split's images, as trained. Raises runs.Busy where another process works on the run.
    """
    from omnitok.evaluation.asked import Asked, evaluate_as_asked

    return evaluate_as_asked(_place(run), Asked(metrics, **asked))


@_running
def evaluate_pairs(
    originals: Path | str, reconstructions: Path | str, metrics: str | Sequence[str] = ("psnr", "ssim")
) -> list[dict[str, Any]]:
    """``omnitok evaluate --originals A --reconstructions B``: pictures and videos, and what became of each of them."""
    from omnitok.evaluation.pairs import evaluate_pairs

    return evaluate_pairs(Path(originals), Path(reconstructions), metrics)


@_running
def export_items(folder: Path | str, **asked: Any) -> "Items":
    """``omnitok evaluate --export-items``: the items of a split as lossless files. ``asked`` as in ``evaluate_run``."""
    from omnitok.evaluation.asked import Asked
    from omnitok.evaluation.items import export_items

    return export_items(Path(folder), Asked(**asked))


@_running
def check_folder(
    folder: Path | str,
    skip_broken: bool = False,
    layout: str = "plain",
    *,
    workers: int | None = 1,
    into: Path | str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> "Checked":
    """``omnitok data check``: decode every file of a folder and write its manifest.

    ``layout``: how it lies, a name or YAML with choices. ``workers``: processes, None: as many as there are processors; a
    script that asks for several does so below ``if __name__ == "__main__":``. ``into``: the folder of the manifest; None: that
    of the files. ``progress`` hears (files done, files in all).
    """
    from omnitok.data import check_folder
    from omnitok.spec import read_value

    said = read_value(layout, f"--layout {layout}")
    place = Path(into) if into is not None else None
    return check_folder(Path(folder), skip_broken, progress, layout=said, workers=workers, into=place)


def list_weights() -> "list[Kept]":
    """``omnitok weights``: every known file of pretrained weights, and where it lies."""
    from omnitok.networks.weights import listed

    return listed()


@_running
def fetch_weights(names: str | Sequence[str], *, progress: Callable[[str], None] = lambda line: None) -> list[Path]:
    """``omnitok weights fetch``: bring weights into the cache. ``progress``: told of each. Raises WeightsError too."""
    from omnitok.networks.weights import fetch_all

    return fetch_all([names] if isinstance(names, str) else names, progress)


def examine() -> "list[Finding]":
    """``omnitok doctor``: what is installed, reachable and writable here."""
    from omnitok.doctor import examine

    return examine()


def examine_site(*, probe: bool = False, nodes: int = 2, partition: str = "", wait: float = 300.0) -> "Site":
    """``omnitok doctor --cluster slurm``: the site that jobs go to, kept beside the runs as ``site.json``. ``probe``: by two
    short jobs, on so many ``nodes`` of a ``partition``, each cancelled after ``wait`` seconds. Raises SpecError where Slurm
    does not answer or refuses them."""
    from omnitok import runs
    from omnitok.doctor import examine_site

    return examine_site(runs.root(), probe=probe, nodes=nodes, partition=partition, seconds=wait)


def load(run: Path | str, *, weights: str = "raw") -> "Tokenizer":
    """The tokenizer of a finished run (SWEEP/ARM/SEED, a digest, or its folder) or of a file, in eval mode, on the CPU.

    ``weights`` of a run: raw, or ema where it kept a moving average."""
    from omnitok.exchange import load

    return load(_place(run), weights)


@_running
def tokenize(
    run: Path | str,
    out: Path | str | None = None,
    *,
    progress: Callable[[str], None] = lambda line: None,
    **asked: Any,
) -> "Tokenized":
    """``omnitok tokenize``: the codes or latents of every item of a split into shards, by a finished run (SWEEP/ARM/SEED, a
    digest, or its folder) or a tokenizer's file. ``asked``: data, split, frames, resolution, weights, flip, shard_items,
    as ``tokenization.Asked`` has them. Raises runs.Busy where another process writes there."""
    from omnitok.tokenization import Asked, tokenize

    return tokenize(_place(run), None if out is None else Path(out), Asked(**asked), progress)


def read_tokens(folder: Path | str) -> "Tokens":
    """What ``omnitok tokenize`` wrote, as a torch dataset: items by number, mapped and not read."""
    from omnitok.tokenization import Tokens

    return Tokens(folder)


def export(run: Path | str, file: Path | str, *, weights: str = "raw") -> "Exported":
    """``omnitok export``: write the tokenizer of a finished run to one safetensors file."""
    from omnitok.exchange import export

    return export(_finished(run), Path(file), weights)


def import_official(checkpoint: Path | str, out: Path | str, *, attention: str = "sdpa") -> "Imported":
    """``omnitok import-official``: a Lightning checkpoint of OmniTokenizer's authors as a file of ours.

    ``attention``: sdpa, as all that they released but imagenet_only, which is eager."""
    from omnitok.published.checkpoint import import_official

    return import_official(Path(checkpoint), Path(out), attention)


def _place(run: Path | str) -> Path:
    """A tokenizer's file as it is, or the folder of a run that has ended well. Raises SpecError."""
    path = Path(run)
    return path if path.is_file() or path.suffix in {".safetensors", ".ckpt"} else _finished(run)


def _finished(run: Path | str) -> Path:
    """The folder of a run that has ended well. Raises SpecError."""
    from omnitok import runs
    from omnitok.spec import Fault, Mark, SpecError
    from omnitok.sweep.stored import find_run

    here = (Path(run) / runs.EXPERIMENT).is_file()
    folder = Path(run) if here else find_run(runs.root(), str(run))
    if (status := runs.status(folder)) != "done":
        raise SpecError([Fault(Mark(str(run)), "", f"this run is {status}; finish it first")])
    return folder
