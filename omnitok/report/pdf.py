"""A report as one LaTeX document, and as a PDF where an engine is present. Same input and engine, same bytes."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from omnitok import runs
from omnitok.exhibits.contract import Picture, Plain, Silence
from omnitok.exhibits.table import Table
from omnitok.report.latex import breakable, escaped

TEMPLATES: Final = Path(__file__).parent / "templates"
PAPER: Final = "paper"
SECONDS: Final = 120.0  # that one pass may take
PASSES: Final = 4  # until references stand; more never help
TEXT: Final = 6.5  # inches that the text is wide

# latexmk is not among them: it runs what a latexmkrc in the folder says
ENGINES: Final[Mapping[str, tuple[str, ...]]] = {
    name: (name, "-no-shell-escape", "-halt-on-error", "-interaction=nonstopmode", "-file-line-error")
    for name in ("pdflatex", "lualatex", "xelatex")
} | {"tectonic": ("tectonic", "--untrusted", "--only-cached", "--keep-logs")}  # fmt: skip


def document(said: Mapping[str, Any]) -> str:
    r"""``paper.tex``: title, abstract, a section a sweep, tables by ``\input``, figures by ``\includegraphics``.

    ``said``: ``head``, ``sections`` and ``images``, as the page's template has them.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=False, undefined=jinja2.StrictUndefined,
        finalize=_escaped, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        block_start_string="<%", block_end_string="%>", variable_start_string="<<", variable_end_string=">>",
        comment_start_string="<#", comment_end_string="#>",
    )  # fmt: skip
    environment.filters |= {"raw": Markup, "wide": _wide, "lines": _lines, "code": _code}
    prefix = "{}-" if len(said["sections"]) > 1 else ""
    kinds: dict[type, str] = {Table: "table", Plain: "table", Picture: "picture", Silence: "silence"}
    return environment.get_template("paper.tex").render(
        said, kind=lambda piece: kinds.get(type(piece), ""), prefix=lambda one: Markup(prefix.format(one.slug))
    )


def typeset(folder: Path, engines: Mapping[str, tuple[str, ...]] = ENGINES) -> str:
    """Make ``paper.pdf`` of the ``paper.tex`` in a folder; gives a sentence where there is none, else ""."""
    name = next((name for name in engines if shutil.which(engines[name][0])), None)
    if name is None:
        return f"no paper.pdf: no LaTeX is here ({', '.join(engines)}); paper.tex is what to give one"
    with tempfile.TemporaryDirectory() as made:
        try:
            failed = _passes(name, engines[name], folder.resolve(), Path(made))
        except subprocess.TimeoutExpired:
            failed = f"it took more than {SECONDS:.0f} s"
        except OSError as error:
            failed = f"it cannot be started ({error.strerror})"
        if not failed:
            runs.write(folder / f"{PAPER}.pdf", (Path(made) / f"{PAPER}.pdf").read_bytes())
            return ""
    return f"no paper.pdf: {name} failed on paper.tex: {failed}"


def _passes(name: str, command: tuple[str, ...], folder: Path, made: Path) -> str:
    """Run an engine until what it leaves for the next pass stays as it is; gives why it failed, else ""."""
    where = ("--outdir" if name == "tectonic" else "-output-directory", str(made))
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "max_print_line": "1000",
                   "openin_any": "p", "openout_any": "p", "TEXMFOUTPUT": str(made)}  # fmt: skip
    before: bytes | None = None
    for _ in range(PASSES):
        done = subprocess.run(
            [*command, *where, f"{PAPER}.tex"], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        if done.returncode or not (made / f"{PAPER}.pdf").exists():
            return _why((done.stdout + done.stderr).decode(errors="replace")) or f"exit code {done.returncode}"
        after = (made / f"{PAPER}.aux").read_bytes() if (made / f"{PAPER}.aux").exists() else None
        if after == before:
            break
        before = after
    return ""


def _why(log: str) -> str:
    """The first error of a log, in its own words."""
    found = re.search(r"^(?:\./)?([^\s:]+:\d+: .+)$|^!\s*(.+)$|^error: (.+)$", log, re.MULTILINE)
    return " ".join(next(filter(None, found.groups())).split()) if found else ""


def _escaped(value: Any) -> Any:
    return value if isinstance(value, Markup) else breakable(str(value))


def _lines(text: str) -> Markup:
    """Text in paragraphs, as it has them."""
    return Markup("\n\n".join(breakable(part) for part in re.split(r"\n\s*\n", text)))


def _code(line: str) -> Markup:
    """A command as it is typed: its blanks and quotes stand, a line may end after any sign, and what follows hangs."""
    marks = {
        " ": r"\ \hspace{0pt}",
        "-": r"-{}",
        "'": r"\textquotesingle{}",
        "`": r"\textasciigrave{}",
        '"': r"\char34{}",
    }
    return Markup("".join(marks.get(c) or escaped(c) + ("" if c.isalnum() else r"\hspace{0pt}") for c in line))


def _wide(piece: Picture) -> Markup:
    """How wide a figure stands: as it was drawn, but within the text."""
    inches = float(piece.figure.get_figwidth())
    return Markup(r"\linewidth" if inches >= TEXT else f"{inches:.2f}in")
