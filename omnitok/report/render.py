"""Sections -> files: a page that needs nothing else, Markdown, LaTeX, data, figures. Same input, same bytes."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import jinja2
from markupsafe import Markup

from omnitok import runs
from omnitok.exhibits import figures
from omnitok.exhibits.claims import Verdict
from omnitok.exhibits.contract import Clip, Clips, Picture, Plain
from omnitok.exhibits.numbers import full
from omnitok.exhibits.table import Table, letter
from omnitok.report import formats
from omnitok.report.film import film
from omnitok.report.section import Section

TEMPLATES: Final = Path(__file__).parent / "templates"
MIME: Final = {"png": "image/png", "svg": "image/svg+xml"}
PIXELS: Final = 125  # of the page for an inch of a figure, so that its 8 points read like the text around it


class Rendered(NamedTuple):
    """Where the report is, the answer to the question of each sweep, and the verdicts behind it."""

    page: Path
    answer: str
    verdicts: tuple[Verdict, ...]
    complete: bool
    notes: tuple[str, ...] = ()  # what could not be made of it


class Head(NamedTuple):
    """The title page: of a paper, or of one sweep."""

    title: str
    authors: tuple[str, ...] = ()
    abstract: str = ""


class Image(NamedTuple):
    """A drawn figure as the templates need it: its file beside the page, its data URI, its width on the page."""

    file: str
    data: str
    width: int


class Video(NamedTuple):
    """A clip as the templates need it: its file beside the page, its data URI, its size in pixels; "" where it has none."""

    title: str
    file: str = ""
    data: str = ""
    width: int = 0
    height: int = 0


Reel = tuple[tuple[str, tuple[Video, ...]], ...]  # (item, its videos) in order


def write(head: Head, sections: Sequence[Section], out: Path) -> Rendered:
    """Print sections into ``out``; with several, every file's name begins with that of its sweep."""
    images: dict[tuple[str, str], Image] = {}
    reels: dict[tuple[str, str], Reel] = {}
    for folder in ("tables", "data", "figures"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for one in sections:
        prefix = f"{one.slug}-" if len(sections) > 1 else ""
        for name, text in texts(one, prefix).items():
            runs.write(out / name, text.encode())
        for piece in one.pieces:
            if isinstance(piece, Picture):
                images[one.slug, piece.stem] = _drawn(piece, out / "figures" / f"{prefix}{piece.stem}")
            elif isinstance(piece, Clips):
                reels[one.slug, piece.stem] = _filmed(piece, out / "figures" / f"{prefix}{piece.stem}")
    said = {"head": head, "sections": sections, "images": images, "reels": reels}
    runs.write(out / "index.html", _page(said).encode())
    runs.write(out / "report.md", _template("report.md", markdown=True).render(said, tables=formats).encode())
    verdicts = tuple(verdict for one in sections for verdict in one.verdicts)
    titled = len(sections) > 1
    answers = "\n".join(f"{one.title}: {one.answer}" if titled else one.answer for one in sections)
    return Rendered(out / "index.html", answers, verdicts, not any(one.holes for one in sections))


def texts(one: Section, prefix: str) -> dict[str, str]:
    """{file: its text} of the tables and the data of a section."""
    texts = {f"data/{prefix}rows.csv": _rows(one)}
    for piece in one.pieces:
        if isinstance(piece, Table | Plain):
            texts[f"tables/{prefix}{piece.stem}.tex"] = formats.latex(piece)
            texts[f"tables/{prefix}{piece.stem}.md"] = formats.markdown(piece)
        if isinstance(piece, Table):
            texts[f"data/{prefix}{piece.stem}.csv"] = formats.csv(piece)
    if one.suggestions is not None:
        texts[f"data/{prefix}suggestions.csv"] = formats.inert(one.suggestions)
    return texts


def _rows(one: Section) -> str:
    """The rows as CSV, lists as words with blanks between."""
    plain = one.frame.map(lambda cell: " ".join(map(str, cell)) if isinstance(cell, tuple) else cell)
    return formats.inert(plain)


def _drawn(piece: Picture, stem: Path) -> Image:
    """Write a figure in every format; gives it as the page has it."""
    written = figures.save(piece.figure, stem)[piece.inline]
    data = f"data:{MIME[piece.inline]};base64,{base64.b64encode(written).decode()}"
    return Image(f"figures/{stem.name}.png", data, round(piece.figure.get_figwidth() * PIXELS))


def _filmed(piece: Clips, stem: Path) -> Reel:
    """Write the videos; a file is named by the numbers of its item and column, 0 the originals."""
    return tuple(
        (item, tuple(_video(clip, piece.frames, f"{stem}-{i}-{k}") for k, clip in enumerate(clips)))
        for i, (item, clips) in enumerate(piece.rows, start=1)
    )


def _video(clip: Clip, frames: int, stem: str) -> Video:
    if clip.strip is None:
        return Video(clip.title)
    path, made = Path(f"{stem}.webm"), film(clip.strip, frames)
    runs.write(path, made.webm)
    data = f"data:video/webm;base64,{base64.b64encode(made.webm).decode()}"
    return Video(clip.title, f"figures/{path.name}", data, made.width, made.height)


def _page(said: dict[str, Any]) -> str:
    """The HTML, whose policy admits this one style sheet, this one script and what is in the page, and nothing else."""
    style, script = ((TEMPLATES / name).read_text() for name in ("style.css", "page.js"))
    policy = (
        f"default-src 'none'; img-src data:; media-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return _template("index.html").render(said, style=Markup(style), script=Markup(script), policy=policy)


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _template(name: str, markdown: bool = False) -> jinja2.Template:
    """A template in which every value is escaped, unless it is Markup (which our own formats return)."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=not markdown, undefined=jinja2.StrictUndefined,
        finalize=_escaped if markdown else None, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["letter"] = letter
    environment.filters["code"] = _code
    environment.filters["raw"] = Markup
    environment.globals |= {"groups": formats.groups, "number": full, "kind": lambda piece: type(piece).__name__}
    return environment.get_template(name)


def _escaped(value: Any) -> Any:
    return value if isinstance(value, Markup) else formats.markdown_escaped(str(value))


def _code(text: str) -> Markup:
    """A line of code in Markdown: a fence longer than any run of backticks in it."""
    line, fence = " ".join(text.split()), "`"
    while fence in line:
        fence += "`"
    return Markup(f"{fence} {line} {fence}" if len(fence) > 1 else f"`{line}`")
