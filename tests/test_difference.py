"""What a launch would do now, and words of ``plan`` that do not go together."""

import json

import pytest
import tiny
from click.testing import CliRunner

from omnitok import runs
from omnitok.cli import main
from omnitok.launching.launch import launch
from omnitok.reviewing.difference import difference
from omnitok.sweep.plan import plan_sweep


@pytest.fixture
def sweep(tmp_path, runs_root):
    return tiny.write(tmp_path, sweep=tiny.ONE)


def test_a_difference_is_what_a_launch_would_do_and_the_exit_code_says_whether(sweep, runs_root):
    done = CliRunner().invoke(main, ["plan", str(sweep), "--diff"])
    assert done.exit_code == 3 and "to submit 3, queued 0, running 0, done 0 of 8 stages and evaluations" in done.output
    assert "+ joint vq+0.5/0" in done.output and not runs_root.exists()
    launch(sweep)
    done = CliRunner().invoke(main, ["plan", str(sweep), "--diff"])
    assert done.exit_code == 0 and "nothing to do" in done.output and "done 8 of 8" in done.output
    last = plan_sweep(sweep).trials[0].stages[-1]
    (runs_root / last / runs.RESULT).unlink()
    (runs_root / last / runs.ERROR).write_text("nan: the loss is nan at step 3\n\n")
    found = difference(runs_root, plan_sweep(sweep))
    assert [item.label for item in found.submit] == ["joint vq+0.5/0"] and found.done == 7
    assert [item.why for item in found.failed] == ["nan: the loss is nan at step 3"]
    assert found.arms["vq+0.5"] == {"done": 1, "failed": 1} and found.arms["fsq+0.5"] == {"done": 2}
    data = json.loads(CliRunner().invoke(main, ["plan", str(sweep), "--diff", "--json"]).output)
    assert [item["label"] for item in data["submit"]] == ["joint vq+0.5/0"] and data["failed"][0]["why"].startswith(
        "nan"
    )
    assert "failed before: nan" in CliRunner().invoke(main, ["plan", str(sweep), "--diff"]).output
    with runs.lease(runs_root / last):
        found = difference(runs_root, plan_sweep(sweep))
    assert not found.submit and [item.label for item in found.running] == ["joint vq+0.5/0"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--diff", "--probe"], "--diff says nothing else; leave out --probe"),
        (["--diff", "--budget-hours", "3", "--plot", "a.png"], "leave out --budget-hours, --plot"),
        (["--budget-gpu-hours", "-1"], "is not in the range x>=0"),
        (["--cluster", "local"], "is not 'slurm'"),
    ],
)
def test_words_that_do_not_go_together_are_refused(sweep, words, said):
    done = CliRunner().invoke(main, ["plan", str(sweep), *words])
    assert done.exit_code == 2 and said in done.output, done.output
