"""Components of other packages: a throw-away one goes the whole way, and what is wrong in one breaks nothing else."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch

from omnitok import provenance
from omnitok.quantizers import Quantizer
from omnitok.quantizers.fsq import FiniteScalarQuantizer
from omnitok.spec import Registry, SpecError, decode, packages, plain, read_value, resolve, versions
from omnitok.spec.plugins import PREFIX, claims

PROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "Their_Parts"
version = "0.3"

[tool.setuptools]
packages = ["their_parts"]

[project.entry-points."omnitok.quantizers"]
signs = "their_parts.parts:Signs"

[project.entry-points."omnitok.attention"]
running_mean = "their_parts.parts:RunningMean"

[project.entry-points."omnitok.schedules"]
clips_last = "their_parts.parts:clips_last"
"""
PARTS = '''\
"""Made for a test."""

from typing import ClassVar

import torch
from torch import nn

from omnitok.attention import Attention
from omnitok.quantizers import Quantized, Quantizer
from omnitok.schedules import StepPlan
from omnitok.spec import Count, Share


class Signs(Quantizer):
    """The sign of every channel, one code for all of them (arXiv:2310.05737).

    bits: how many channels there are; larger keeps more.
    """

    version = 3

    def __init__(self, *, bits: Count = 4) -> None:
        super().__init__()
        self.in_channels = self.channels = bits
        self.codebook_sizes = (2**bits,)
        self.register_buffer("powers", 2 ** torch.arange(bits), persistent=False)

    def forward(self, x, draw=None):
        hard = torch.where(x > 0, 1.0, -1.0).to(x.dtype)
        codes = ((x > 0) * self.powers).sum(-1, keepdim=True)
        return Quantized(x + (hard - x).detach(), codes, x.new_zeros(()).float())

    def decode(self, codes):
        return (codes // self.powers % 2 * 2 - 1).float()


class RunningMean(Attention):
    """The mean of all frames so far."""

    version = 1
    mixes: ClassVar = "time"
    causal = True

    def __init__(self, dim: int, *, slack: Share = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x, *rest):
        return self.norm(x).cumsum(1) / torch.arange(1, x.shape[1] + 1, device=x.device).view(-1, 1, 1, 1)


def clips_last(step: int, total: int, *, frames: Count = 3) -> StepPlan:
    """Images, then clips.

    frames: how many frames a clip has.
    """
    return StepPlan(1 if 2 * step < total else frames)
'''
QUANTIZER = """\
from omnitok.quantizers import Quantizer

class Mine(Quantizer):
    version = 1
    def __init__(self, *, size: int = 5) -> None: ...
    def forward(self, x, draw=None): ...
    def decode(self, codes): ...

"""


def install(site: Path, name: str, source: str, points: dict[str, str], version: str = "1.0") -> None:
    """What pip would leave of a package of one module, ``points`` {"group.name": object}."""
    (site / f"{name}.py").write_text(source)
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    sections = ((*point.rsplit(".", 1), value) for point, value in points.items())
    lines = "".join(f"[{PREFIX}{group}]\n{entry} = {name}:{value}\n" for group, entry, value in sections)
    (info / "entry_points.txt").write_text(lines)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of packages that this process sees; a table that is made afterwards has what is there."""
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.syspath_prepend(place)
    claims.cache_clear()
    yield place
    claims.cache_clear()
    for name in [n for n, module in sys.modules.items() if str(place) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]


def taking(arguments: str) -> str:
    return QUANTIZER.replace("*, size: int = 5", arguments)


def table() -> Registry[Quantizer]:
    return Registry("quantizer", group="omnitok.quantizers", contract=Quantizer, fsq=FiniteScalarQuantizer)


def say(registry: Registry[Quantizer], name: str):
    return decode(registry, read_value(f"{{type: {name}}}", "here"))


def refusal(registry: Registry[Quantizer], name: str) -> str:
    with pytest.raises(SpecError) as caught:
        say(registry, name)
    return str(caught.value)


def test_a_group_is_called_like_its_table():
    import omnitok.catalogue  # imports every table

    assert omnitok.catalogue.SLOTS
    named = {
        (name, value)
        for module in [module for key, module in sys.modules.items() if key.startswith("omnitok")]
        for name, value in vars(module).items()
        if isinstance(value, Registry)
    }
    closed = {name for name, registry in named if registry.group is None}
    assert closed == {
        "MODELS",
        "EVALUATIONS",
        "PARAMETERS",
    }  # of one component each, whose parts are slots; of what Optuna draws
    assert {PREFIX + name.lower() for name, registry in named} - {registry.group for _, registry in named} == {
        PREFIX + name.lower() for name in closed
    }


def test_a_component_of_another_package_is_one_like_any_other(site):
    install(site, "their_own", QUANTIZER.replace("version = 1", "version = 7"), {"quantizers.mine": "Mine"})
    registry = table()
    spec = say(registry, "mine, size: 5")
    assert resolve(spec).keywords == {"size": 5} and plain(spec) == {"type": "mine", "size": 5}
    assert list(registry) == ["fsq", "mine"] and str(registry.origins["mine"]) == "their-own 1.0"
    assert versions(spec) == {"quantizer.mine of their-own": 7}  # the name is not enough to be the same component
    assert packages(spec) == {"their-own": ("their_own",)}
    assert refusal(registry, "mine, sise: 5").startswith(
        "here: sise: no such choice of quantizer 'mine'; did you mean 'size'?"
    )


def test_a_package_is_loaded_when_its_slot_is_first_read_and_once(site, capsys):
    install(site, "noisy", f"{QUANTIZER}print('loaded')\n", {"quantizers.mine": "Mine"})
    registry = table()
    assert capsys.readouterr().out == ""
    assert "mine" in registry.components and "mine" in table().specs and say(registry, "mine")
    assert capsys.readouterr().out == "loaded\n"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("raise SystemExit('no licence')", "SystemExit: no licence"),
        ("raise OSError('one\\ntwo')", "OSError: one"),
        ("pass", "AttributeError: module 'broken' has no attribute 'Mine'"),
        ("class Mine: ...", "it is no Quantizer"),
        ("Mine = 3", "it is no class, as every quantizer is"),
        ("def Mine(*, a: int = 1) -> Quantizer: ...", "it is no class, as every quantizer is"),
        ("class Mine(Quantizer): ...", "it lacks decode, forward"),
        (taking("*, a=1"), "choice 'a' needs a type"),
        (taking("*, a: int"), "a choice needs a default, or REQUIRED"),
        (taking("*, copy: int = 1"), "a choice cannot be called 'copy'"),
        (taking("*, type: int = 1"), "a choice cannot be called 'type'"),
        (taking("*, a: int = None"), "a file could not say the default of a: Input should be a valid integer"),
        (taking("*, a: Quantizer = 1"), "PydanticSchemaGenerationError: "),
        (taking("*, a: 'Nothing' = 1"), "NameError: name 'Nothing' is not defined"),
        (taking("a: int = 1"), "left of the bare * stands a, where a quantizer has nothing"),
        (taking("*, a: int = 1, **rest"), "**rest hides which choices exist; spell them out"),
        (QUANTIZER.replace("version = 1", "version = 'two'"), "ValueError: invalid literal"),
    ],
)
def test_what_is_broken_is_refused_where_its_name_is_said_and_nowhere_else(site, source, reason):
    install(site, "broken", f"from omnitok.quantizers import Quantizer\n{source}", {"quantizers.mine": "Mine"})
    registry = table()
    assert say(registry, "fsq") and list(registry) == ["fsq"]
    assert refusal(registry, "mime") == "here: no quantizer 'mime' (known: fsq)"
    said = refusal(registry, "mine")
    start = "quantizer 'mine' of broken 1.0 (entry point broken:Mine) cannot be used: "
    assert said.startswith(f"here: {start}{reason}") and "\n" not in said
    assert registry.refused == {"mine": said.removeprefix("here: ")}


def test_a_name_that_is_taken_is_refused_with_both_who_take_it(site):
    install(site, "first", QUANTIZER, {"quantizers.mine": "Mine", "quantizers.fsq": "Mine", "quantizers.good": "Mine"})
    install(site, "second", QUANTIZER, {"quantizers.mine": "Mine"}, version="2.0")
    registry = table()
    both = "first 1.0 (entry point first:Mine) and of second 2.0 (entry point second:Mine)"
    assert refusal(registry, "mine") == f"here: quantizer 'mine' is of {both}: uninstall one"
    assert "'fsq' is built in and also of first 1.0 (entry point first:Mine)" in refusal(registry, "fsq")
    assert resolve(registry.default("fsq")).func is FiniteScalarQuantizer  # as a default it stays what it is
    assert say(registry, "good")


def test_a_package_that_is_there_twice_is_the_one_that_python_imports(site, tmp_path, monkeypatch):
    install(site, "again", QUANTIZER, {"quantizers.mine": "Mine"}, version="2.0")
    (tmp_path / "later").mkdir()
    install(tmp_path / "later", "again", "", {"quantizers.mine": "Mine"})
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "later")])
    assert str(table().origins["mine"]) == "again 2.0"


def test_a_component_that_needs_its_own_table_has_no_end_and_is_refused(site, monkeypatch):
    source = "import test_plugins as here\nfrom typing import Annotated\n" + taking(
        "*, part: Annotated[object, here.RECURSIVE] = 5"
    )
    install(site, "endless", source, {"quantizers.mine": "Mine"})
    registry = table()
    monkeypatch.setattr(sys.modules[__name__], "RECURSIVE", registry, raising=False)
    assert "that table itself is needed" in refusal(registry, "mine") and say(registry, "fsq")


def test_where_a_package_stands_is_recorded(site):
    install(site, "checked_out", QUANTIZER, {"quantizers.mine": "Mine"})
    known = provenance.package("checked-out", ["checked_out"])
    assert known == {"version": "1.0", "commit": None, "dirty": False, "code": provenance.code(site / "checked_out.py")}
    (site / "checked_out-1.0.dist-info" / "direct_url.json").write_text('{"vcs_info": {"commit_id": "c0ffee"}}')
    assert provenance.package("checked-out", ["checked_out"])["commit"] == "c0ffee"
    me = ["-c", "user.name=a", "-c", "user.email=a@b", "-C", str(site)]
    for words in (["init", "-q"], ["add", "checked_out.py"], ["commit", "-q", "-m", "one"]):
        subprocess.run(["git", *me, *words], check=True)
    provenance.commit.cache_clear()
    (site / "checked_out.py").write_text(QUANTIZER + "# more\n")
    here = provenance.package("checked-out", ["checked_out"])
    assert len(here["commit"]) == 40 and here["dirty"] and here["code"] == known["code"]  # of what was imported


WHOLE = """\
import json, sys
import omnitok, omnitok.catalogue, omnitok.doctor, omnitok.launching.launch
from omnitok.cli import main
from omnitok.exhibits.ablation import ablation
from omnitok.report.section import section
from omnitok.results import gathered
from omnitok.spec import SpecError

assert "their_parts" not in sys.modules, "loaded before anything was asked"
slots = ("quantizer", "attention", "schedule")
found = {"components": [entry._asdict() for slot in slots for entry in omnitok.list_components(slot)]}
main(["components", "quantizer"], standalone_mode=False)
found["doctor"] = omnitok.doctor._plugins()
found["schema"] = list(omnitok.catalogue.schemas()["experiment"]["$defs"])
try:
    omnitok.plan_sweep("wrong.yaml")
except SpecError as error:
    found["refused"] = str(error).splitlines()
done = omnitok.launch_sweep("ask.yaml", cluster="local", workers=1)
found["status"] = [state.status for state in done.states]
results = gathered(done.folder)
found["table"] = [row.name for row in ablation(results)[0].rows]
found["provenance"] = dict(section(results).provenance)
with open("found.json", "w") as file:
    json.dump(found, file)
"""
SWEEP = """\
question: Does a quantizer of another package go the whole way?
experiment: tiny.yaml
vary:
  model.quantizer: {theirs: {type: signs}, ours: {type: fsq, levels: [4, 4]}}
evaluate:
  - {name: photos, data: {type: embedded, short_side: 32}, frames: 1, resolution: 16, metrics: [psnr]}
seeds: [0]
"""
BROKEN = "broken 1.0 (entry point broken:Lost) cannot be used: ModuleNotFoundError: No module named 'nowhere_at_all'"
WRONG = SWEEP.replace(
    "{theirs: {type: signs}, ours: {type: fsq, levels: [4, 4]}}",
    """
    one: {type: signs, bits: 0}
    two: {type: signs, bit: 1}
    three: sings
    four: lost""",
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Site-packages as pip leaves them, with a broken package beside the good one."""
    project, place = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("site")
    (project / "their_parts").mkdir()
    (project / "their_parts" / "__init__.py").touch()
    (project / "their_parts" / "parts.py").write_text(PARTS)
    (project / "pyproject.toml").write_text(PROJECT)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--disable-pip-version-check", "--target", place, project], check=True)
    install(place, "broken", "import nowhere_at_all", {"quantizers.lost": "Lost", "quantizer.mine": "Mine"})
    return place


@pytest.fixture(scope="module")
def whole(installed, tmp_path_factory):
    """What one process saw that asked for everything there is to ask."""
    folder = tmp_path_factory.mktemp("work")
    experiment = tiny.EXPERIMENT.replace("{type: joint, frames: 3}", "{type: clips_last, frames: 5}").replace(
        "attention: {type: temporal, heads: 2}", "attention: running_mean", 1
    )
    tiny.write(folder, experiment, SWEEP)
    (folder / "wrong.yaml").write_text(WRONG)
    paths = [str(installed), str(provenance.PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    more = {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "OMNITOK_RUNS": str(folder / "runs")}
    command, env = [sys.executable, "-c", WHOLE], {**os.environ, **more, "MLFLOW_TRACKING_URI": ""}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {**json.loads((folder / "found.json").read_text()), "out": done.stdout, "runs": folder / "runs"}


def test_it_is_listed_with_where_it_is_from_and_so_is_what_is_broken(whole):
    theirs = [entry for entry in whole["components"] if entry["origin"]]
    assert {(one["slot"], one["name"], one["origin"]) for one in theirs} == {
        ("quantizer", "signs", "their-parts 0.3"),
        ("attention", "running_mean", "their-parts 0.3"),
        ("schedule", "clips_last", "their-parts 0.3"),
    }
    signs = theirs[0]
    assert signs["bits"] == 4 and signs["choices"] == [["bits", "4", "how many channels there are; larger keeps more."]]
    (lost,) = [entry["fault"] for entry in whole["components"] if entry["fault"]]
    assert lost == f"quantizer 'lost' of {BROKEN}"
    said = " ".join(whole["out"].split())
    assert "(of their-parts 0.3)" in said and "nowhere_at_all" in said
    fine = ["package their-parts 0.3", True, "attention running_mean; quantizer signs; schedule clips_last"]
    broken, good = whole["doctor"]
    assert good == fine and broken[:2] == ["package broken 1.0", False]
    assert broken[2].startswith("no slot reads 'omnitok.quantizer'; did you mean 'omnitok.quantizers'?")
    assert broken[2].endswith(lost)


def test_it_is_in_the_schema_and_refused_like_one_of_ours(whole):
    assert {"quantizer_signs", "attention_running_mean", "schedule_clips_last"} <= set(whole["schema"])
    one, two, three, four = whole["refused"]
    assert one == "wrong.yaml:5: stages.images.model.quantizer.bits: must be greater than or equal to 1, not 0"
    assert two.endswith("quantizer.bit: no such choice of quantizer 'signs'; did you mean 'bits'? (known: bits)")
    assert three.startswith("wrong.yaml:7: stages.images.model.quantizer: no quantizer 'sings'; did you mean 'signs'?")
    assert four == f"wrong.yaml:8: stages.images.model.quantizer: quantizer 'lost' of {BROKEN}"


def test_it_is_planned_trained_in_a_pool_and_reported(whole):
    assert whole["status"] == ["done", "done"] and sorted(whole["table"]) == ["ours", "theirs"]
    assert whole["provenance"]["other packages"] == "their-parts 0.3 (commit none)"
    stages = [json.loads(path.read_text()) for path in sorted(whole["runs"].glob("*/experiment.json"))]
    assert {stage["versions"].get("quantizer.signs of their-parts") for stage in stages} == {None, 3}
    ran = [json.loads(path.read_text()) for path in whole["runs"].glob("*/provenance.json")]
    assert len(ran) == 4 and {one["packages"]["their-parts"]["version"] for one in ran} == {"0.3"}


def test_it_keeps_the_contract_that_ours_keep(site):
    """The contract tests run over whatever is installed, so an author runs them in a checkout: ``-k signs``."""
    (site / "parts.py").write_text(PARTS)
    import parts
    import test_quantizers

    checks = {
        name: check
        for name, check in vars(test_quantizers).items()
        if name.startswith("test_") and {"quantizer"} <= set(inspect.signature(check).parameters) <= {"quantizer", "x"}
    }
    assert len(checks) >= 6
    for check in checks.values():
        given = {"quantizer": parts.Signs(), "x": torch.randn(2, 3, 2, 4, 4, requires_grad=True)}
        check(**{name: given[name] for name in inspect.signature(check).parameters})
