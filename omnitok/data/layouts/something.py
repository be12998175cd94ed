"""Something-Something v2 (arXiv:1706.04261)."""

import json
from collections.abc import Mapping
from typing import Any

from omnitok.data.contract import Split
from omnitok.data.layouts.contract import Layout, Listed, Listing, Tree, absent
from omnitok.spec import closest

FOLDER = "20bn-something-something-v2/"
LISTS = ("labels/", "labels/something-something-v2-", "something-something-v2-", "")


class SomethingSomething(Layout):
    """``20bn-something-something-v2/<id>.webm`` with ``labels.json``, ``train.json`` and ``validation.json`` in ``labels/`` or
    at the top, also called ``something-something-v2-train.json`` and so on. The class is the template without its
    brackets, in the order of ``labels.json``. The official validation set is test, since papers measure on it; val is 2 % of
    train by the hashes of the ids. The official test set is not used.
    """

    def read(self, tree: Tree) -> Listing:
        index = tree.need(*(f"{lists}labels.json" for lists in LISTS))
        numbers: Mapping[str, Any] = _json(tree, index, dict)
        if not all(str(number).isdecimal() for number in numbers.values()):
            raise tree.refuse(index, 0, "expected a number for every class")
        known = {_plain(label): label for label in numbers}
        files, missing = [], []
        parts: tuple[tuple[Split, str], ...] = (("train", "train"), ("test", "validation"))
        for split, part in parts:
            name = tree.need(index.removesuffix("labels.json") + f"{part}.json")
            for one in _json(tree, name, list):
                try:
                    number, template = str(one["id"]), str(one["template"])
                except (KeyError, TypeError):
                    raise tree.refuse(name, 0, f"expected an id and a template, not {one!r}") from None
                label = known.get(_plain(template))
                if label is None:
                    said = f"{number} is {template!r}, which {index} does not have{closest(template, known)}"
                    raise tree.refuse(name, 0, said)
                path = f"{FOLDER}{number}.webm"
                if path in tree.known:
                    files.append(Listed(path, split, label))
                else:
                    missing.append(absent(path, name, 0))
        return Listing(files, tuple(sorted(numbers, key=lambda label: int(numbers[label]))), missing, held=True)


def _json(tree: Tree, name: str, kind: type) -> Any:
    text = tree.text(name)
    try:
        found = json.loads(text)
    except ValueError as error:
        raise tree.refuse(name, 0, f"is no JSON: {error}") from None
    if not isinstance(found, kind):
        raise tree.refuse(name, 0, f"expected a {'mapping' if kind is dict else 'list'}")
    return found


def _plain(template: str) -> str:
    return template.replace("[", "").replace("]", "").lower()
