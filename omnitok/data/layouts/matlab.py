"""The one table of MATLAB that a dataset comes with, read without a library that a damaged file can bring down."""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

HEAD: Final = 128  # bytes before the first element; its last two say the order of bytes
MOST: Final = 64 << 20  # bytes that any element may have when it is unpacked; the table of ImageNet has far fewer
MATRIX, PACKED, CHARS = 14, 15, 4
NUMBERS: Final = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}

Element = tuple[int, bytes]  # (what it is, its bytes)


def structs(content: bytes, name: str) -> Iterator[dict[str, str | int | float]]:
    """The fields of every struct of the array ``name`` of a MAT-file (level 5) that are one number or a text.

    Raises ValueError: it is no such file, is damaged, or has no such array.
    """
    if content[HEAD - 2 : HEAD] != b"IM":
        raise ValueError("it is no MAT-file of level 5 in little-endian order")
    arrays = (list(_elements(body)) for kind, body in _elements(content[HEAD:]) if kind == MATRIX)
    found = next((parts for parts in arrays if len(parts) > 4 and parts[2][1] == name.encode()), None)
    if found is None:
        raise ValueError(f"it has no array of structs called {name}")
    length, names = int.from_bytes(found[3][1], "little") or 1, found[4][1]
    fields = [names[i : i + length].rstrip(b"\0").decode() for i in range(0, len(names), length)]
    for i in range(5, len(found), len(fields)):
        values = zip(fields, map(_value, found[i:]), strict=False)
        yield {field: value for field, value in values if value is not None}


def _elements(data: bytes) -> Iterator[Element]:
    """The elements that follow each other; those that are packed as what they hold. Raises ValueError."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if small := kind >> 16:  # up to four bytes, in the place of the size's neighbour
            yield kind & 0xFFFF, data[at + 4 : at + 4 + small]
            at += 8
            continue
        body = data[at + 8 : at + 8 + size]
        if len(body) < size:
            raise ValueError("it is cut short")
        if kind == PACKED:
            yield from _elements(_unpacked(body))
        else:
            yield kind, body
        at += 8 + size + (-size % 8 if kind != PACKED else 0)


def _unpacked(body: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        found = unpacker.decompress(body, MOST)
    except zlib.error as error:
        raise ValueError(f"it is damaged: {error}") from None
    if not unpacker.eof:
        raise ValueError(f"it is damaged, or has more than {MOST} bytes")
    return found


def _value(element: Element) -> str | int | float | None:
    """What a matrix holds, if that is a text or begins with a number."""
    parts = list(_elements(element[1])) if element[0] == MATRIX else []
    if len(parts) < 4 or not parts[0][1]:
        return None
    kind, data = parts[3]
    if parts[0][1][0] == CHARS:
        return data.decode("utf-16-le" if kind in (4, 17) else "utf-8")
    if kind not in NUMBERS or len(data) < struct.calcsize(NUMBERS[kind]):
        return None
    return struct.unpack_from(f"<{NUMBERS[kind]}", data)[0]
