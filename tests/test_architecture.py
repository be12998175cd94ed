"""The rooms and their doors: which module may import which. A new door is a decision, made here."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import omnitok

PACKAGE = Path(__file__).parent.parent / "omnitok"
FLOORS = [
    {"spec", "runs", "provenance", "processes"},
    {"randomness", "networks", "attention", "quantizers", "discriminators", "schedules"},
    {"losses", "metrics", "data", "model"},
    {"training", "published"},
    {"trial", "tracking"},
    {"search"},
    {"cluster"},
    {"sweep", "reconstruct", "evaluation", "exchange", "tokenization", "doctor"},
    {"launching", "results"},
    {"reviewing", "exhibits"},
    {"report", "catalogue", "inspection"},
    {"cli"},
]
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.name != "__init__.py")
LONG: set[str] = set()
CALLS = set(omnitok.__all__)  # the package's own calls: for the command line, and for no room below it


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def doors(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [f"omnitok.{alias.name}" for alias in node.names]
            yield from names if node.module == "omnitok" else [node.module or "."]


def refusals(path: Path, imported: list[str]):
    here = room(path)
    for name in imported:
        top, _, rest = name.partition(".")
        there = rest.split(".")[0]
        height = FLOOR["cli"] - 0.5 if there in CALLS else FLOOR[there] if top == "omnitok" else 0
        if top == "omnitok" and there != here and height >= FLOOR[here]:
            yield f"{path.relative_to(PACKAGE.parent)}: {here} may not import {there}"
    if here in {"spec", "runs", "provenance", "tracking", "results", "exhibits", "report"} and "torch" in {
        n.split(".")[0] for n in imported
    }:
        yield f"{path.relative_to(PACKAGE.parent)}: {here} knows no tensors"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path):
    assert not list(refusals(path, list(doors(path))))


def test_a_door_upwards_is_refused_in_a_sentence():
    found = list(refusals(PACKAGE / "attention" / "window.py", ["omnitok.training.task"]))
    assert found == ["omnitok/attention/window.py: attention may not import training"]
    assert list(refusals(PACKAGE / "report" / "section.py", ["torch.nn"]))


def test_every_room_has_a_floor():
    assert {room(path) for path in MODULES} == set(FLOOR)


def test_files_stay_small():
    lines = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in MODULES}
    assert {name for name, count in lines.items() if count > 300} <= LONG
    assert max(lines.values()) <= 400


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import omnitok.cli", {"torch", "mlflow", "pandas", "pydantic"}),
        ("import omnitok.sweep.stored", {"torch", "mlflow", "pandas"}),
        ("import omnitok.report.command", {"torch"}),
        ("import omnitok.cluster", {"torch", "mlflow", "pandas", "submitit"}),
        ("import omnitok.tracking", {"torch", "mlflow"}),
        ("import omnitok.trial", {"mlflow", "pandas"}),
    ],
)
def test_a_module_loads_only_what_it_needs(statement, absent):
    code = f"{statement}; import sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not absent & set(loaded)
