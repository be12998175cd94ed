"""The words of sentences that people read."""

import difflib
import re
from collections.abc import Iterable


def closest(word: str, known: Iterable[str]) -> str:
    """The end of a refusal where what is legal is too much to list: the nearest name, if there is one."""
    found = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def counted(number: int, noun: str, nouns: str = "") -> str:
    """How many there are: 1 shard, 2 shards. ``nouns``: of several, where that is more than an s."""
    return f"{number:,} {noun if number == 1 else nouns or f'{noun}s'}"


def hidden(url: str) -> str:
    """An address that may be printed and stored: what stands for its password is gone."""
    return re.sub(r"(://[^/@:]*):.*@", r"\1:***@", re.sub(r"(?i)(password=)[^&]*", r"\1***", url))
