"""Runs of an older schema: a choice added since, which keeps behaviour at its default, must not orphan them."""

import os
from collections.abc import Iterable
from pathlib import Path

from omnitok import runs
from omnitok.spec import SpecError
from omnitok.training.stage import from_json, restated


def adopt(root: Path, wanted: Iterable[str]) -> dict[str, str]:
    """Folders that are, under today's schema, what is wanted. -> {wanted digest: name of the old folder}.

    An old folder is found by re-decoding what it stored; a link in its new name leads to it from then on.
    """
    missing = {digest for digest in wanted if not (root / digest).exists()}
    if not missing:
        return {}
    for digest in missing:
        if (root / digest).is_symlink():  # to a folder that is gone
            (root / digest).unlink(missing_ok=True)
    today = _today(root)
    adopted = {digest: folder for folder, digest in today.items() if digest in missing}
    for digest, folder in adopted.items():
        link = root / f".{digest}.{os.getpid()}"
        link.symlink_to(folder)
        link.replace(root / digest)
    return adopted


def _today(root: Path) -> dict[str, str]:
    """{folder: the digest that it would have now}, parents first, for every real folder that differs."""
    stored = {
        path.parent.name: from_json(runs.read_json(path))
        for path in root.glob(f"*/{runs.EXPERIMENT}")
        if not path.parent.is_symlink()
    }
    found: dict[str, str] = {}

    def now(name: str) -> str:
        if name not in stored:
            return now((root / name).resolve().name) if (root / name).is_symlink() else name
        if name not in found:
            parents = {role: now(parent) for role, parent in stored[name].parents.items()}
            try:
                found[name] = restated(stored[name], parents)
            except SpecError:
                found[name] = name
        return found[name]

    return {name: digest for name in stored if (digest := now(name)) != name}
