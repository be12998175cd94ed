"""The code as it is at submission: copied once, so that what runs later is what was there then."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from omnitok import provenance
from omnitok.spec.plugins import claims

CODE = "code"  # below the runs' folder
TRIES = 5  # to find the sources at rest


class Moving(Exception):
    """The sources changed again and again while they were read."""


def freeze(root: Path) -> Path:
    """Copy this package, and each that brings components, to ``root/code/<hash>``, whole or not at all.

    Submissions of the same sources at the same commit share one copy. Beside the sources ``frozen.json`` says how each
    stood to its commit, since the copy is in no repository. -> the folder, for PYTHONPATH: of code that runs from such a
    copy, that one. Raises Moving.
    """
    if (provenance.PACKAGE.parent / provenance.FROZEN).exists():
        return provenance.PACKAGE.parent
    places = [provenance.PACKAGE, *_others()]
    for _ in range(TRIES):
        files = dict(_files(places))
        stood = {place.name: provenance.standing(place) for place in places}
        if files == dict(_files(places)):
            return _store(root / CODE, files | {provenance.FROZEN: json.dumps(stood, sort_keys=True).encode()})
    raise Moving(f"{provenance.PACKAGE}: the sources change while they are read; submit when they are at rest")


def _others() -> list[Path]:
    """The outermost modules of other packages that components come from."""
    modules = sorted({claim.origin.module for claim in claims()} - {provenance.PACKAGE.name})
    return [place for module in modules for place in provenance.sources_of(module)]


def _files(places: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    for place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and "__pycache__" not in path.parts:
                yield str(path.relative_to(place.parent)), path.read_bytes()


def _store(code: Path, files: dict[str, bytes]) -> Path:
    seen = hashlib.sha256()
    for name, content in sorted(files.items()):
        seen.update(f"{name}\0{len(content)}\0".encode() + content)
    folder = code / seen.hexdigest()[:16]
    if not folder.exists():
        code.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=code, prefix=f".{folder.name}."))
        try:
            for name, content in files.items():
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                (partial / name).write_bytes(content)
            partial.chmod(0o755)
            partial.rename(folder)
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)
            if not folder.exists():  # otherwise another submission was first
                raise
    return folder
