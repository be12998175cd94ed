"""What every exhibit promises: a function of one sweep's data frames and its own choices, that makes tables and figures."""

from pathlib import Path
from typing import Any, Final, NamedTuple

from omnitok.exhibits.table import Table

VECTORS: Final = "svg"
PIXELS: Final = "png"


class Picture(NamedTuple):
    """A figure as it was drawn, its file's stem, what it shows in words, and in which form a page has it."""

    stem: str
    figure: Any
    caption: str
    inline: str = VECTORS


class Clip(NamedTuple):
    """A video of a gallery: its frames side by side in one picture, which is where there is no such file None."""

    title: str
    strip: Path | None


class Clips(NamedTuple):
    """Videos to be played on the page: a row an item, a clip for the original and for what each arm made of it."""

    stem: str
    caption: str
    frames: int
    rows: tuple[tuple[str, tuple[Clip, ...]], ...]


class Plain(NamedTuple):
    """A table of words: heads, rows of as many cells, and which columns are numbers."""

    stem: str
    slug: str
    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[int, ...]


class Silence(NamedTuple):
    """An exhibit that was asked for and has nothing to show of these runs, in a sentence."""

    stem: str
    caption: str


Piece = Table | Plain | Picture | Clips | Silence


class Pieces(tuple[Piece, ...]):
    """What an exhibit shows, in order; nothing where there is nothing to show."""

    __slots__ = ()

    @classmethod
    def of(cls, *pieces: Piece | None) -> "Pieces":
        return cls(piece for piece in pieces if piece is not None)


class Unfit(Exception):
    """A choice of an exhibit does not fit the sweep; the message says what is legal. ``choice``: which of its choices."""

    def __init__(self, choice: str, sentence: str) -> None:
        super().__init__(sentence)
        self.choice = choice
