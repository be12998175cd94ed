"""What the documents say is so."""

import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from omnitok.cli import main
from omnitok.data import DATASETS
from omnitok.quantizers import Quantized, Quantizer
from omnitok.spec import Registry, decode, plain, read_value, resolve
from omnitok.sweep.plan import plan_sweep

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
*BLOCKS, SEARCH, FAIR, DATA = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def written(tmp_path, runs_root, monkeypatch):
    """The README's two files where it says that they lie."""
    monkeypatch.chdir(tmp_path)
    files = [Path("experiments/quickstart.yaml"), Path("sweeps/mine.yaml")]
    for path, text in zip(files, BLOCKS, strict=True):
        path.parent.mkdir()
        path.write_text(text)
    return files


def test_the_readmes_experiment_and_sweep_plan(written):
    planned = plan_sweep(written[1])
    assert len(planned.trials) == 4 * 3 + 2


def test_the_readmes_fair_comparison_plans(tmp_path, runs_root):
    head = f"question: q\nexperiment: {ROOT / 'experiments' / 'mini.yaml'}\nseeds: [0]\n"
    (tmp_path / "fair.yaml").write_text(head + FAIR)
    full, axial = plan_sweep(tmp_path / "fair.yaml").trials
    assert (full.name, axial.name) == ("full", "axial") and full.stages != axial.stages


def test_the_readmes_search_is_one_of_its_own_sweep(written):
    plain = plan_sweep(written[1])
    written[1].write_text(written[1].read_text() + SEARCH)
    planned = plan_sweep(written[1])
    assert [one.over for one in planned.searches] == [False] * 4 and len(planned.trials) == len(plain.trials) - 12


def test_the_readmes_dataset_is_one():
    said = decode(DATASETS, read_value(DATA, "README.md")["data"])
    assert [part["type"] for part in plain(said)["of"]] == ["folder", "folder"]


def test_the_readmes_refusals_are_what_its_own_files_get_for_these_two_mistakes(written):
    for path, right, wrong in zip(
        written, ["linear, patch: 4", "fsq, levels"], ["linear, patch: 5", "fsq, levls"], strict=True
    ):
        assert path.read_text().count(right) == 1
        path.write_text(path.read_text().replace(right, wrong))
    (sample,) = re.findall(r"all at once, like this:\n```\n(.*?)```", README, flags=re.DOTALL)
    result = CliRunner().invoke(main, ["plan", "sweeps/mine.yaml"])
    assert (result.exit_code, result.output) == (2, sample)


@pytest.mark.parametrize("line", re.findall(r"^(?:\| `)?omnitok ([\w-]+(?: check)?)", README, flags=re.MULTILINE))
def test_every_command_of_the_readme_exists(line):
    assert CliRunner().invoke(main, [*line.split(), "--help"]).exit_code == 0


def test_every_command_is_in_the_readme():
    assert all(f"omnitok {name}" in README for name in main.commands)


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        *(f"docs/{n}.md" for n in ("slurm", "mlflow", "postgresql", "reports", "notebook")),
    ],
)
def test_no_link_of_a_document_is_broken(name):
    text = (ROOT / name).read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or ((ROOT / name).parent / target).exists(), target


def test_the_quickstart_is_written_as_the_readme_promises():
    text = (ROOT / "sweeps" / "quickstart.yaml").read_text()
    assert re.search(r"^seeds: \[0, 1, 2\]$", text, flags=re.MULTILINE)


def test_the_quantizer_of_the_contributors_guide_keeps_its_contract():
    (source,) = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.DOTALL)
    said = {"torch": torch, "Tensor": torch.Tensor, "Quantized": Quantized, "Quantizer": Quantizer}
    exec(source, said)
    made = Registry("quantizer", contract=Quantizer, mine=said["Mine"])
    quantizer = resolve(made.specs["mine"](bits=5))().eval()
    out = quantizer(torch.randn(2, 3, 4, 4, 5))
    assert torch.equal(quantizer.decode(out.codes), out.latents) and out.codes.max() < 32
    assert quantizer.settings(5) == ({"bits": 5},) and quantizer.bits_per_token == 5
