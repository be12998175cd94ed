"""What a rendered report was made of is kept beside it (``report.lock``), so that it can be held against its runs.

The file has what the report is of, the sha256 of every file of it, of the code that made them and of what each run had
left, and the verdicts. Rendering is a function of these, so figures need not be drawn to know that they would be others.
"""

import csv
import functools
import hashlib
import io
import shlex
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from omnitok import runs
from omnitok.report.macros import macros
from omnitok.report.pdf import PAPER, document, typeset
from omnitok.report.render import Head, Rendered, texts, write
from omnitok.report.section import Section
from omnitok.results import Results
from omnitok.results.collect import ENDS
from omnitok.spec import Fault, Mark, SpecError

LOCK: Final = "report.lock"
KEY: Final = ("kind", "arm", "seed")  # what a row of a report's data is known by
COSTS: Final = ("seconds", "hours", "throughput", "memory")
FEW: Final = 3  # columns of a row that are told one by one, beside its status and its metrics
ORDER: Final = ("run", "verdict", "status", "metric", "rest", "cost")  # in which differences are told
PACKAGE: Final = Path(__file__).parent.parent
ROOMS: Final = ("results", "exhibits", "report")  # whose code makes a report of runs
PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "choices": (runs.EXPERIMENT,), "provenance": (runs.PROVENANCE,), "attempts": (runs.ATTEMPTS,),
    "records": (runs.RECORDS,), "evaluations": (f"{runs.EVALUATIONS}/*.json",), "state": (runs.RESULT, runs.ERROR),
}  # fmt: skip


Told = tuple[str, str]  # (which of ORDER, a sentence)
Row = Mapping[str, str | None]
Left = Mapping[str, Mapping[str, str]]  # {run: {what it left: hash}}


class Made(NamedTuple):
    """A report before it is printed. ``inputs``: {run: {what it left: hash}} of all runs behind it."""

    head: Head
    sections: tuple[Section, ...]
    inputs: Left


def inputs(results: Results) -> dict[str, dict[str, str]]:
    """What each run of a sweep has left; of sample pictures their names and sizes."""
    return {digest: _left(results.sweep.runs / digest) for digest in results.stages}


def publish(made: Made, out: Path, *, pdf: bool) -> Rendered:
    """Make a report, then move it into ``out`` and take away what an earlier one had and this one has not.

    What stops it before it is made leaves the earlier report as it is; what stops it while files are moved is told by
    ``differences``. ``pdf``: whether LaTeX is tried, where there is one. Raises SpecError where a file is in its way that no
    report has written.
    """
    out.mkdir(parents=True, exist_ok=True)
    before = _lock(out).get("files", {})
    with tempfile.TemporaryDirectory(prefix=".draft-", dir=out) as folder:
        draft = Path(folder)
        done = write(made.head, made.sections, draft)
        for name, text in _documents(made).items():
            runs.write(draft / name, text.encode())
        said = typeset(draft) if pdf else ""
        files = sorted(path for path in draft.rglob("*") if path.is_file())
        names = {path.relative_to(draft).as_posix(): path for path in files}
        lock = {"of": _of(made), "code": _code(), "files": {name: _sha256(path) for name, path in names.items()},
                "claims": _claims(made.sections), "runs": made.inputs}  # fmt: skip
        _refuse(out, names.keys() - before.keys())
        runs.write_json(
            out / LOCK, lock | {"files": before | lock["files"]}
        )  # all that is a report's, whatever stops this
        for name, path in names.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            path.replace(out / name)
        for name in before.keys() - names.keys():
            (out / name).unlink(missing_ok=True)
        runs.write_json(out / LOCK, lock)
    return done._replace(page=out / done.page.relative_to(draft), notes=(said,) if said else ())


def differences(made: Made, out: Path) -> list[str]:
    """In what the report in ``out`` is not that of its runs as they are now, a sentence each, what matters most first.

    Writes nothing. Of a report of another file that is all that is said; of what other code made, numbers and verdicts are
    compared, and not how they are printed.
    """
    lock = _lock(out)
    if not lock:
        return [f"{out} has no {LOCK}: nothing was rendered there, or by a version that kept none"]
    if said := _another(lock["of"], _of(made)):
        return [f"the report in {out} is of {said}; render this one anew, or say its folder with --out"]
    touched = list(_touched(out, lock["files"]))
    whole = lock["code"] == _code()
    several = len(made.sections) > 1
    left = (lock["runs"], made.inputs)
    told = [one for part in made.sections for one in _rows(part, f"{part.slug}-" if several else "", out, whole, left)]
    told += [("verdict", said) for said in _verdicts(lock["claims"], _claims(made.sections))]
    found = [said for _, said in sorted(told, key=lambda one: ORDER.index(one[0]))]
    if not found:
        found += _changed(*left)
    if not found and whole:
        found += _reads(made, lock["files"])
    return touched + found


def outdated(out: Path, folders: Mapping[str, Path]) -> bool:
    """Whether there is a report in ``out`` of other runs than these, {digest: its folder}, or of these as they no longer are."""
    known = _lock(out).get("runs")
    return known is not None and (
        known.keys() != folders.keys() or any(_left(folder) != known[digest] for digest, folder in folders.items())
    )


def _documents(made: Made) -> dict[str, str]:
    """What LaTeX has of a report beside its tables."""
    said = {"head": made.head, "sections": made.sections}
    return {f"{PAPER}.tex": document(said), "macros.tex": macros(made.sections)}


def _of(made: Made) -> dict[str, Any]:
    """What it is a report of: what was asked for, its title, and each sweep with what it was launched with."""
    launched, asked = ([_typed(one, word) for one in made.sections] for word in ("launch", "report"))
    file, *sets = asked[0]
    named = Path(file).name if Path(file).is_absolute() else file
    said = " ".join([f"the {'sweep' if asked == launched else 'report file'} {named}", *sets])
    sweeps = [" ".join([one.slug, *words[1:]]) for one, words in zip(made.sections, launched, strict=True)]
    return {"asked": said, "title": made.head.title, "sweeps": sweeps}


def _typed(one: Section, command: str) -> list[str]:
    """What stands after a command among those that make a section again: a file and its --set."""
    return next(shlex.split(said)[2:] for said in one.commands if said.startswith(f"omnitok {command} "))


def _another(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What the earlier report is of, and this one is not; nothing of one that was only renamed, or is asked for from elsewhere."""
    if not was or was["asked"] == now["asked"] or all(was[name] == now[name] for name in ("title", "sweeps")):
        return ""
    return f"{was['asked']}, and not of {now['asked']}"


def _lock(out: Path) -> dict[str, Any]:
    """What is kept of the report in a folder; nothing where there is none, or what is there is no such file.

    ``of`` is empty in that of a version that kept none. Of its files only those that are in the folder, whoever wrote it."""
    try:
        said = runs.read_json(out / LOCK)
        inside = {str(name): str(known) for name, known in said["files"].items() if _inside(PurePosixPath(name))}
        of = {key: said["of"][key] for key in ("asked", "title", "sweeps")} if "of" in said else {}
        claims = [(str(slug), str(claim), str(status)) for slug, claim, status in said["claims"]]
        left = {run: dict(parts) for run, parts in said["runs"].items()}
        return {"of": of, "code": str(said["code"]), "files": inside, "claims": claims, "runs": left}
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return {}


def _inside(name: PurePosixPath) -> bool:
    return not name.is_absolute() and ".." not in name.parts


def _refuse(out: Path, names: Iterable[str]) -> None:
    """Files of somebody else are not written over."""
    if found := sorted(name for name in names if (out / name).exists() or (out / name).parent.is_file()):
        sentence = "what is there was not written by a report; move it away, or say another folder with --out"
        raise SpecError([Fault(Mark(str(out / name)), "", sentence) for name in found])


def _touched(out: Path, files: Mapping[str, str]) -> Iterator[str]:
    for name, known in files.items():
        if not (out / name).is_file():
            yield f"{name} is gone"
        elif _sha256(out / name) != known:
            yield f"{name} was changed after it was rendered"


def _rows(one: Section, prefix: str, out: Path, whole: bool, left: tuple[Left, Left]) -> Iterator[Told]:
    """Rows and runs that came or went, and what is another number or word in those that stayed."""
    name, of = f"data/{prefix}rows.csv", f"{one.title}: " if prefix else ""
    now = _table(texts(one, prefix)[name])
    before = _table((out / name).read_bytes().decode(errors="replace")) if (out / name).is_file() else {}
    if before:
        yield from (("run", f"{of}{_whose(key)} is no longer in the plan") for key in before if key not in now)
        yield from (("run", f"{of}{_whose(key)} is new") for key in now if key not in before)
    measured = [f"{metric.column}{end}" for metric in one.metrics for end in ("", *(f" {side}" for side in ENDS))]
    for key, row in now.items():
        was = before.get(key, {})
        told, hidden = _went(_whose(key), was, row, left)
        columns = dict.fromkeys([*was, *row] if was else [])
        others = [name for name in columns if (was.get(name) or "") != (row.get(name) or "")]
        known = [name for name in others if whole or None not in (was.get(name), row.get(name))]
        told += [cell for cell in _cells(_whose(key), was, row, known, measured) if cell[0] not in hidden]
        yield from ((what, f"{of}{said}") for what, said in told)


def _went(whose: str, was: Row, row: Row, left: tuple[Left, Left]) -> tuple[list[Told], tuple[str, ...]]:
    """That the runs of a row are gone, or are there now, and what of ORDER need not be told of it beside that."""
    before, now = left
    *earlier, last = (row.get("digests") or "").split() or [""]
    gone = [digest for digest in (*earlier, last) if before.get(digest) and now.get(digest) == {}]
    if last in gone:
        return [("run", f"the run of {whose} is gone: there is no folder {last}")], ORDER
    if gone:
        said = f"an earlier stage of {whose} is gone: there is no folder {', '.join(gone)}"
        return [("run", said)], ("status", "rest", "cost")
    if before.get(last) == {} and now.get(last):
        states = f"{was.get('status') or 'nothing'} in the report, {row.get('status')} now"
        return [("run", f"the run of {whose} is new: {states}")], ORDER
    return [], ()


def _cells(whose: str, was: Row, row: Row, columns: Sequence[str], measured: Sequence[str]) -> Iterator[Told]:
    """What is another in a row, in ``columns``; of many that are neither its status nor measured, only how many."""
    kinds = {"status": "status"} | dict.fromkeys(measured, "metric") | dict.fromkeys(COSTS, "cost")
    rest, costs = [name for name in columns if name not in kinds], [name for name in columns if name in COSTS]
    together = {*(rest if len(rest) > FEW else ()), *(costs if len(costs) > 1 else ())}
    for column in columns:
        if column not in together:
            said = f"{was.get(column) or 'nothing'} in the report, {row.get(column) or 'nothing'} now"
            yield kinds.get(column, "rest"), f"{column} of {whose}: {said}"
    if len(rest) > FEW:
        yield "rest", f"{len(rest)}{' more' if len(columns) > len(rest) + len(costs) else ''} columns of {whose}"
    if len(costs) > 1:
        yield "cost", f"{', '.join(costs)} of {whose} are others now"


def _table(text: str) -> dict[tuple[str, ...], dict[str, str]]:
    rows = csv.DictReader(io.StringIO(text))
    return {tuple(row.get(name) or "" for name in KEY): row for row in rows}


def _whose(key: tuple[str, ...]) -> str:
    _, arm, seed = key
    return f"{arm}, seed {seed}" if seed else arm


def _claims(sections: Sequence[Section]) -> list[list[str]]:
    return [[one.slug, verdict.statement, verdict.status] for one in sections for verdict in one.verdicts]


def _verdicts(before: Sequence[Sequence[str]], now: Sequence[Sequence[str]]) -> Iterator[str]:
    was, said = ({(slug, claim): status for slug, claim, status in some} for some in (before, now))
    yield from (f"no longer claimed: {claim}" for slug, claim in was if (slug, claim) not in said)
    for key, status in said.items():
        if status != was.get(key, ""):
            yield f"{key[1]}: {was.get(key) or 'not claimed'} in the report, {status} now"


def _changed(before: Left, now: Left) -> Iterator[str]:
    for digest in dict.fromkeys([*before, *now]):
        was, left = before.get(digest, {}), now.get(digest, {})
        parts = [part for part in dict.fromkeys([*was, *left]) if was.get(part) != left.get(part)]
        if parts:
            yield f"run {digest} is not as it was: {', '.join(parts)}"


def _reads(made: Made, files: Mapping[str, str]) -> Iterator[str]:
    """Words that are others: titles, captions, what stands in a report file, notices."""
    several = len(made.sections) > 1
    now = _documents(made)
    for one in made.sections:
        now |= texts(one, f"{one.slug}-" if several else "")
    for name, text in now.items():
        if hashlib.sha256(text.encode()).hexdigest() != files.get(name):
            yield f"{name} would read otherwise now"


def _left(folder: Path) -> dict[str, str]:
    found = {part: [path for name in names for path in sorted(folder.glob(name))] for part, names in PARTS.items()}
    said = {part: _together(f"{path.name}\0".encode() + path.read_bytes() for path in paths)
            for part, paths in found.items() if paths}  # fmt: skip
    samples = sorted((folder / runs.SAMPLES).glob("*/*"))
    sizes = (f"{path.parent.name}/{path.name} {path.stat().st_size}\n".encode() for path in samples)
    return said | ({"samples": _together(sizes)} if samples else {})


def _together(contents: Iterator[bytes]) -> str:
    seen = hashlib.sha256()
    for content in contents:
        seen.update(content)
    return seen.hexdigest()[:16]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@functools.cache
def _code() -> str:
    """Of what makes a report of runs: another hash, and the same runs may read otherwise."""
    files = sorted(path for room in ROOMS for path in (PACKAGE / room).rglob("*") if path.is_file())
    known = [path for path in files if path.suffix in {".py", ".html", ".css", ".md", ".tex", ".js"}]
    return _together(f"{path.relative_to(PACKAGE)}\0".encode() + path.read_bytes() for path in known)
