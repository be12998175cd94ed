"""Measuring a finished run, or a tokenizer's file, and writing out the items that it would be measured on."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from omnitok import runs, trial
from omnitok.data import DataError
from omnitok.metrics import METRICS, Identity
from omnitok.model.files import read_spec
from omnitok.provenance import sha256
from omnitok.spec import Fault, Map, Mark, Seq, Spec, SpecError, decode, read_value, resolve
from omnitok.training import EVALUATIONS, TASKS, Evaluation, NonFinite
from omnitok.training.evaluate import locate_networks
from omnitok.training.presets import spelled
from omnitok.training.stage import Lineage, Stage, StageRun, data_root, unseeded

USUAL: Final = {"split": "test", "frames": 1, "metrics": ["psnr", "ssim"]}


class Asked(NamedTuple):
    """What is to be measured on what; None is not said. ``data``: a dataset as YAML; ``metrics``: names, or one text of
    names or YAML with commas between."""

    metrics: str | Sequence[str] | None = None
    data: str | None = None
    split: str | None = None
    frames: int | None = None
    resolution: int | None = None
    items: int | None = None
    preset: str | None = None
    weights: str | None = None


def evaluate_as_asked(place: Path, asked: Asked) -> list[dict[str, Any]]:
    """The metrics asked for of a finished run, or of a tokenizer's file, as their files say them. What is not said is as
    it was trained, or as the preset says.

    Raises SpecError: an unknown metric, dataset or preset, items that do not fit the model, weights that are missing;
    Busy where somebody else measures.
    """
    file = {} if place.is_dir() else {"type": "tokenizer", "file": str(place), "sha256": _hash(place)}
    trained = runs.read_json(place / runs.EXPERIMENT)["spec"] if place.is_dir() else {}
    spec = spec_of(asked, trained)
    with refusing("evaluate"):
        check(resolve(spec)(data_root()))
    folder = foreign(file) if file else place
    with refusing("evaluate"):
        found = trial.evaluate_run(folder, spec)
    return results(folder, found)


def results(folder: Path, found: Sequence[str]) -> list[dict[str, Any]]:
    """What the files of evaluations say."""
    return [runs.read_json(folder / runs.EVALUATIONS / f"{digest}.json") for digest in found]


def spec_of(asked: Asked, trained: Mapping[str, Any]) -> Spec:
    """The evaluation that was asked for. ``trained``: what its run says of itself. Raises SpecError."""
    words = {name: value for name, value in asked._asdict().items() if value is not None}
    marks = {name: Mark(f"--{name} {_shown(value)}") for name, value in words.items()}
    said = {**words}
    if asked.data is not None:
        said["data"] = read_value(asked.data, f"--data {asked.data}")
    if asked.metrics is not None:
        said["metrics"] = read_metrics(asked.metrics)
    text = spelled(Map(said, Mark("evaluate"), marks))
    usual = {**USUAL, **{name: trained[name] for name in ("data", "resolution") if name in trained}}
    if asked.preset is not None:
        usual = {"split": USUAL["split"]}
    for name, value in usual.items():
        if name not in text:
            text = Map({**text, name: value}, text.mark, {**text.marks, name: text.mark})
    if missing := [name for name in ("data", "resolution") if name not in text]:
        raise SpecError(Fault(Mark("evaluate"), name, f"must be said with --{name}") for name in missing)
    return decode(EVALUATIONS, text)


def read_metrics(said: str | Sequence[str]) -> Seq:
    """Names, or metrics with choices as YAML, with commas between. Raises SpecError."""
    source = f"--metrics {_shown(said)}"
    values = _listed(said, source) if isinstance(said, str) else [name.strip() for name in said]
    if not values:
        raise SpecError([Fault(Mark(source), "metrics", "names no metric")])
    return Seq(list(values), Mark(source), [Mark(source)] * len(values))


def _listed(said: str, source: str) -> list[Any]:
    """YAML with commas between. Raises SpecError in terms of what was said, which has no brackets around it."""
    for opening, closing in ("[]", "{}"):
        if said.count(opening) != said.count(closing):
            odd = opening if said.count(opening) > said.count(closing) else closing
            raise SpecError([Fault(Mark(source), "metrics", f"not YAML: {odd!r} stands there without its partner")])
    return list(read_value(f"[{said}]", source))


def metrics_of(said: str | Sequence[str]) -> list[Spec]:
    """The same as specs. Raises SpecError."""
    found, faults = [], []
    for i, (value, mark) in enumerate(zip(values := read_metrics(said), values.marks, strict=True)):
        try:
            found.append(decode(METRICS, value))
        except SpecError as error:
            faults += [Fault(mark, f"metrics[{i}].{fault.path}".rstrip("."), fault.sentence) for fault in error.faults]
    if faults:
        raise SpecError(faults)
    return found


def check(evaluation: Evaluation) -> None:
    """Raises ValueError or DataError where the data or the weights are not there, or not enough for a metric."""
    evaluation.shape()
    for metric in evaluation.metrics:
        locate_networks(metric(Identity()))


def foreign_run(baseline: Mapping[str, str]) -> StageRun:
    """The run that something made elsewhere is; its digest is that of what was made. Raises SpecError."""
    mark = Mark("evaluate")
    inner = Map(dict(baseline), mark, dict.fromkeys(baseline, mark))
    text = Map({"task": "foreign", "baseline": inner}, mark, {"task": mark, "baseline": mark})
    run = unseeded(Stage("baseline", text, decode(TASKS, text), Lineage()))
    return run._replace(files={name: str(Path(place).resolve()) for name, place in run.files.items()})


def foreign(baseline: Mapping[str, str]) -> Path:
    """The folder of that run, made where it is not there. Raises SpecError."""
    run = foreign_run(baseline)
    root = runs.root()
    root.mkdir(parents=True, exist_ok=True)
    folder = trial.create(root, run)
    with refusing("evaluate"):
        trial.run(folder)
    return folder


def _hash(place: Path) -> str:
    """Of a tokenizer's file. Raises SpecError where it is none."""
    read_spec(place)
    return sha256(place)


@contextmanager
def refusing(source: str) -> Iterator[None]:
    """What is wrong with data, weights or sizes is refused in a sentence."""
    try:
        yield
    except SpecError:
        raise
    except (ValueError, DataError, NonFinite) as error:
        raise SpecError([Fault(Mark(source), "", str(error))]) from None


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else ",".join(map(str, value)) if isinstance(value, Sequence) else str(value)
