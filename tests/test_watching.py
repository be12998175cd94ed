"""``status --watch`` and ``--json``: what goes on in a launched sweep, without torch and to its end."""

import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import tiny
from click.testing import CliRunner
from rich.console import Console

import omnitok
from omnitok import plan_sweep, runs
from omnitok.cli import main
from omnitok.cli.tables import LONG, print_states
from omnitok.cli.watching import BAR, bar, drawn, duration, in_a_line, watched
from omnitok.launching.settled import settle
from omnitok.runs import Record
from omnitok.sweep.stored import State, store


@pytest.fixture
def sweep(tmp_path: Path, runs_root: Path) -> Path:
    """Launched, and nothing of it begun."""
    path = tiny.write(tmp_path)
    planned = plan_sweep(path)
    data = settle(runs_root, planned)[1]
    store(runs_root, planned.asked, data)
    return path


def begun(folder: Path, steps: int) -> None:
    """As an attempt leaves it that has made so many steps."""
    lines = [runs.encode(Record(step, {"train/loss": 1.0})) for step in range(steps)]
    (folder / runs.RECORDS).write_bytes(b"".join(lines))
    runs.write_json(folder / runs.PROVENANCE, {"created": "2026-01-01T00:00:00+00:00"})


def test_what_is_being_measured_is_waited_for(sweep: Path, runs_root: Path):
    watch = omnitok.watch_sweep(sweep)
    stages = next(trial for trial in plan_sweep(sweep).trials if trial.seed == 0).stages
    for one in stages:
        runs.write_json(runs_root / one / runs.RESULT, {})
    with runs.lease(runs_root / stages[-1]):
        glance = watch.look()
        assert glance.counts["unevaluated"] == 1 and glance.busy
    assert not watch.look().busy


def test_a_stage_that_trains_has_its_step_its_pace_and_its_hours(sweep: Path, runs_root: Path):
    watch = omnitok.watch_sweep(sweep)
    assert not watch.look().busy
    one = next(trial for trial in plan_sweep(sweep).trials if trial.seed == 0).stages[0]
    begun(runs_root / one, 2)
    with runs.lease(runs_root / one):
        glance = watch.look()
        (running,) = glance.running
        assert (running.run, running.step, running.total, glance.busy) == (one, 2, 5, True)
        assert running.label.startswith("images ") and running.label.endswith("/0")
        assert running.pace and running.left_s == pytest.approx(3 / running.pace)
        begun(runs_root / one, 4)
        (again,) = watch.look().running
        assert again.step == 4 and again.pace and again.pace > 10 * running.pace  # by what was seen, not since January
    assert not watch.look().busy
    assert glance.hours.unknown > 0 and glance.hours.used == 0
    assert "images " in in_a_line(glance) and "2/5" in in_a_line(glance)
    out = io.StringIO()
    Console(width=160, file=out).print(drawn(glance))
    said = out.getvalue()
    assert "0/2" in said and "2/5" in said and "of which nothing is known yet" in said


def test_hours_to_come_are_read_off_like_stages_that_are_done(sweep: Path, runs_root: Path):
    planned = plan_sweep(sweep)
    first = next(trial for trial in planned.trials if trial.kind == "arm").stages[0]
    name = planned.runs[first].name
    runs.append_line(runs_root / first / runs.ATTEMPTS, {"from_step": 0, "to_step": 5, "seconds": 3600.0})
    runs.write_json(runs_root / first / runs.RESULT, {})
    for trial in planned.trials:  # so that the trials of this stage are done
        if trial.stages[0] == first:
            for stage in trial.stages[1:]:
                runs.write_json(runs_root / stage / runs.RESULT, {})
    folder = next(runs_root.glob("sweeps/*/plan.json")).parent
    for last, of in runs.read_json(folder / "plan.json")["evaluation_digests"].items():
        place = runs_root / last / runs.EVALUATIONS
        place.mkdir()
        for digest in (digest for found in of.values() for digest in found.values()):
            runs.write_json(place / f"{digest}.json", {})
    hours = omnitok.watch_sweep(sweep).look().hours
    alike = sum(run.name == name for run in planned.runs.values()) - 1
    assert hours.used == pytest.approx(1.0) and hours.left == pytest.approx(alike)


def test_status_as_json_is_what_the_glance_says(sweep: Path, runs_root: Path):
    done = CliRunner().invoke(main, ["status", str(sweep), "--json"])
    found = json.loads(done.output)
    assert done.exit_code == 0 and found["counts"] == {"planned": 9} and len(found["trials"]) == 9
    assert found["running"] == [] and found["jobs"] == {} and found["hours"]["used"] == 0
    assert set(found["trials"][0]) == {"kind", "name", "seed", "stages", "status", "reason"}
    refused = CliRunner().invoke(main, ["status", str(sweep), "--json", "--watch"])
    assert refused.exit_code == 2 and "say one of them" in refused.output


def test_watching_ends_where_nothing_goes_on_and_its_exit_code_is_that_of_status(sweep: Path, runs_root: Path):
    done = CliRunner().invoke(main, ["status", str(sweep), "--watch", "--every", "0.2"])
    assert done.exit_code == 0 and done.output.count("9 planned") == 1  # said once, though seen twice
    first = next(trial for trial in plan_sweep(sweep).trials if trial.kind == "arm").stages[0]
    runs.fail(runs_root / first, runs.Failure("nan", "the loss is nan", ""))
    done = CliRunner().invoke(main, ["status", str(sweep), "--watch", "--every", "0.2"])
    assert done.exit_code == 1 and "blocked" in done.output


def test_watching_goes_on_as_long_as_something_runs(sweep: Path, runs_root: Path, capsys: pytest.CaptureFixture[str]):
    watch = omnitok.watch_sweep(sweep)
    one = plan_sweep(sweep).trials[0].stages[0]
    slept: list[float] = []
    with runs.lease(runs_root / one):
        busy = [watch.look() for _ in range(3)]
    looks = iter([*busy[:1], watch.look(), *busy[1:], watch.look(), watch.look(), watch.look()])
    assert not watched(looks, 1.5, slept.append).busy
    assert len(slept) == 5 and next(looks, None) is not None


def test_of_many_trials_only_what_is_not_done_is_listed_and_what_failed_first(capsys: pytest.CaptureFixture[str]):
    def state(i: int, status: str) -> State:
        return State({"name": f"arm{i}", "seed": 0}, status, "")

    many = [state(i, "done") for i in range(9_000)] + [state(i, "queued") for i in range(9_000, 9_999)]
    many.append(state(9_999, "failed"))
    print_states(many)
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert "arm9999" in lines[1] and len(lines) == LONG + 3 and "arm5 " not in said
    assert lines[-2].startswith("... and 800 more") and lines[-1] == "9,000 done, 999 queued, 1 failed"
    print_states(many[8_950:9_050], everything=True)
    assert len(capsys.readouterr().out.splitlines()) == 102


def test_a_bar_is_as_wide_as_the_shares_are():
    text = bar(Counter(done=1, running=1, failed=2))
    assert len(text.plain) == BAR and [span.end - span.start for span in text.spans] == [6, 6, 12]
    assert duration(3723) == "1:02:03" and duration(59.6) == "1:00"


def test_watching_loads_no_torch(sweep: Path, runs_root: Path):
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom omnitok.cli import main\n"
        f"done = CliRunner().invoke(main, ['status', {str(sweep)!r}, '--watch', '--every', '0.2'])\n"
        "assert done.exit_code == 0, done.output\nassert 'torch' not in sys.modules and 'mlflow' not in sys.modules\n"
        f"done = CliRunner().invoke(main, ['status', {str(sweep)!r}, '--json'])\n"
        "assert done.exit_code == 0 and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
