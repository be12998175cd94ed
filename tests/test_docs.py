"""What the documents say is so."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from omnitok.cli import main
from omnitok.sweep.plan import plan_sweep

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)


def test_the_readmes_experiment_and_sweep_plan(tmp_path, runs_root):
    experiment, sweep = BLOCKS
    for folder in ("experiments", "sweeps"):
        (tmp_path / folder).mkdir()
    (tmp_path / "experiments" / "quickstart.yaml").write_text(experiment)
    (tmp_path / "sweeps" / "mine.yaml").write_text(sweep)
    planned = plan_sweep(tmp_path / "sweeps" / "mine.yaml")
    assert len(planned.trials) == 4 * 3 + 2


@pytest.mark.parametrize("line", re.findall(r"^(?:\| `)?omnitok (\w+(?: check)?)", README, flags=re.MULTILINE))
def test_every_command_of_the_readme_exists(line):
    assert CliRunner().invoke(main, [*line.split(), "--help"]).exit_code == 0


def test_every_command_is_in_the_readme():
    assert all(f"omnitok {name}" in README for name in main.commands)


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_no_link_of_a_document_is_broken(name):
    text = (ROOT / name).read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_the_quickstart_is_written_as_the_readme_promises():
    text = (ROOT / "sweeps" / "quickstart.yaml").read_text()
    assert re.search(r"^seeds: \[0, 1, 2\]$", text, flags=re.MULTILINE)
