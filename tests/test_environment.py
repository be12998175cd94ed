"""One environment, said in three files: the ranges in pyproject.toml, the lock that pip installs, and the one for conda."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECT = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]
LOCK = {
    canonicalize_name(name): version
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if not line.startswith("#")
    for name, version in [line.split("==")]
}
LEFT_TO_TORCH = re.compile(r"nvidia-|cuda-|triton")


def parts(name: str) -> list[Requirement]:
    """What an installed package needs here."""
    try:
        said = [Requirement(line) for line in requires(name) or []]
    except PackageNotFoundError:
        return []  # for another system or Python only
    return [part for part in said if part.marker is None or part.marker.evaluate({"extra": ""})]


def python(folder: Path, name: str, body: str) -> dict[str, str]:
    """An environment in which ``name`` is found and runs ``body``; nothing else is but what make itself calls."""
    for tool in ("sh", "test", "touch", "rm", "git", "make"):
        (folder / tool).symlink_to(str(shutil.which(tool)))
    (folder / name).write_text(f"#!{shutil.which('sh')}\n{body}\n")
    (folder / name).chmod(0o755)
    return {"PATH": str(folder)}


def test_every_dependency_is_locked_inside_its_range() -> None:
    outside = {part.name: LOCK.get(canonicalize_name(part.name)) for part in DIRECT}
    assert not {
        part.name: outside[part.name]
        for part in DIRECT
        if outside[part.name] is None or not part.specifier.contains(str(outside[part.name]))
    }


def test_the_lock_holds_what_its_packages_need() -> None:
    needed = {canonicalize_name(part.name): (name, part) for name in LOCK for part in parts(name)}
    wrong = {
        name: f"{who} needs {part}, the lock has {LOCK.get(name)}"
        for name, (who, part) in needed.items()
        if not LEFT_TO_TORCH.match(name) and (name not in LOCK or not part.specifier.contains(LOCK[name]))
    }
    assert not wrong


def test_torch_is_pinned_without_a_build() -> None:
    assert LOCK["torch"] == "2.13.0"
    assert not [version for version in LOCK.values() if "+" in version]


def test_conda_installs_the_same_lock() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert conda["dependencies"] == ["python=3.11", "pip", {"pip": ["-r requirements.lock", "-e ."]}]
    assert SpecifierSet(PROJECT["requires-python"]).contains("3.11")


def test_every_package_that_the_code_imports_is_a_dependency() -> None:
    owners = packages_distributions()
    said = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    wrong = set()
    for path in sorted((ROOT / "omnitok").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in {name.partition(".")[0] for name in names} - {"omnitok"} - sys.stdlib_module_names:
                if not said & {canonicalize_name(owner) for owner in owners.get(name, [])}:
                    wrong.add(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


@pytest.mark.parametrize(
    ("name", "body", "sentence"),
    [
        (
            "other",
            "exit 0",
            "omnitok needs Python 3.11 to 3.13 as python3: apt-get install python3 or say make PYTHON=...",
        ),
        (
            "python3",
            'case "$1" in -V) echo Python 3.9.2;; *) exit 1;; esac',
            "omnitok needs Python 3.11 to 3.13 but python3 is Python 3.9.2: say make PYTHON=...",
        ),
        (
            "python3",
            'case "$2" in *ensurepip*) exit 1;; esac',
            "omnitok needs the venv module of Python: apt-get install python3-venv",
        ),
    ],
)
def test_make_says_in_one_line_what_is_missing(tmp_path: Path, name: str, body: str, sentence: str) -> None:
    for file in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path)
    (tmp_path / "bin").mkdir()
    env = python(tmp_path / "bin", name, body)
    found = subprocess.run(["make", "unit"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert [line for line in found.stderr.splitlines() if not line.startswith("make")] == [sentence]
    assert not (tmp_path / ".venv").exists()


def test_make_says_that_git_is_missing(tmp_path: Path) -> None:
    for file in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path)
    (tmp_path / "bin").mkdir()
    env = python(tmp_path / "bin", "python3", "exit 0")
    (tmp_path / "bin" / "git").unlink()
    found = subprocess.run(["make", "unit"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert "omnitok needs git: apt-get install git\n" in found.stderr


def test_an_installation_that_was_cut_short_is_begun_anew_and_then_left_alone(tmp_path: Path) -> None:
    for file in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path)
    fake = tmp_path / "bin"
    fake.mkdir()
    log = tmp_path / "log"
    venv = (
        f'echo "$@" >> {log}\n'
        'case "$2" in\n'
        '  venv) mkdir -p .venv/bin && cp "$0" .venv/bin/python;;\n'
        f"  pip) if test -e {tmp_path}/cut; then rm {tmp_path}/cut; exit 1; fi;;\n"
        "esac"
    )
    env = python(fake, "python3", venv) | {"PATH": f"{fake}{os.pathsep}/usr/bin{os.pathsep}/bin"}

    def make() -> tuple[int, list[str]]:
        log.unlink(missing_ok=True)
        done = subprocess.run(["make", "unit"], cwd=tmp_path, env=env, capture_output=True, check=False)
        lines = log.read_text().splitlines()
        return done.returncode, [
            word for line in lines for word in ("venv .venv", "install", "pytest") if f" {word} " in f"{line} "
        ]

    (tmp_path / "cut").touch()
    assert make() == (2, ["venv .venv", "install"])
    (tmp_path / ".venv" / "half").touch()
    assert make() == (0, ["venv .venv", "install", "install", "pytest"])
    assert not (tmp_path / ".venv" / "half").exists()
    assert make() == (0, ["pytest"])
