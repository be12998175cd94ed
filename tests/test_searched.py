"""A search within each arm of a sweep: planned, run here, its winner trained on every seed, told by status, report and MLflow."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tiny
from click.testing import CliRunner

from omnitok import cancel_sweep, launch_sweep, retry_sweep, runs, sweep_states
from omnitok.cli import main
from omnitok.cluster import Queued
from omnitok.cluster.ledger import Entry, add
from omnitok.doctor import examine
from omnitok.exhibits.contract import Plain
from omnitok.inspection.why import explain_cell
from omnitok.launching import cancel, queued, searching
from omnitok.launching.launch import prepared
from omnitok.launching.searching import search_here, search_pieces, unfinished
from omnitok.report import formats, render
from omnitok.results.collect import rows
from omnitok.reviewing import difference
from omnitok.runs import Failure
from omnitok.search import trials, winner
from omnitok.search.told import Outcome
from omnitok.spec import SpecError
from omnitok.sweep.corners import corners
from omnitok.sweep.file import read_sweep
from omnitok.sweep.plan import plan_sweep, to_json
from omnitok.tracking.wanted import stage_run, sweeps

EXPERIMENT = tiny.EXPERIMENT.partition("  joint:")[0]
SWEEP = """\
question: Which quantizer, when each is tuned alike?
experiment: tiny.yaml
vary:
  model.quantizer:
    vq: {type: vq, codebook_size: 16, code_dim: 4}
    fsq: {type: fsq, levels: [4, 4]}
search:
  space:
    optimizer.lr: {type: float, low: 1e-4, high: 1e-2, log: true}
    model.quantizer.codebook_size: {type: int, low: 8, high: 32, step: 8, when: {model.quantizer: vq}}
    model.quantizer.levels: {type: choice, of: {few: [3, 3], more: [5, 5]}, when: {model.quantizer: fsq}}
  objective: val/psnr
  trials: 3
  pruner: {type: median, startup: 1}
seeds: [0, 1]
evaluate:
  - {name: photos, data: {type: embedded, short_side: 32}, frames: 1, resolution: 16, metrics: [psnr]}
claims:
  - {metric: psnr, better: fsq, than: vq}
"""


@pytest.fixture
def sweep(tmp_path: Path, runs_root: Path) -> Path:
    return tiny.write(tmp_path, EXPERIMENT, SWEEP)


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory):
    """Launched once, in this process. -> (the sweep's path, the stored folder, what the launch came to)."""
    folder = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMNITOK_RUNS", str(folder / "runs"))
        patch.setenv("OMNITOK_DATA", str(folder / "data"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        path = tiny.write(folder, EXPERIMENT, SWEEP)
        done = launch_sweep(path, cluster="debug")
        yield path, done.folder, done


def refused(sweep: Path, *sets: str) -> str:
    with pytest.raises(SpecError) as caught:
        plan_sweep(sweep, sets)
    return str(caught.value).replace(f"{sweep.parent}/", "")


# Planning


def test_an_arm_is_searched_first_and_has_no_trials_until_then(sweep: Path) -> None:
    planned = plan_sweep(sweep)
    assert planned.trials == [] and planned.runs == {}
    assert [one.name for one in planned.searches] == ["vq", "fsq"]
    said = to_json(planned)["searches"]
    assert [list(one["space"]) for one in said] == [
        ["optimizer.lr", "model.quantizer.codebook_size"],
        ["optimizer.lr", "model.quantizer.levels"],
    ]
    assert said[0]["space"]["model.quantizer.codebook_size"] == {
        "values": "8 to 32 in steps of 8",
        "size": 4,
        "when": "",
    }
    assert said[1]["space"]["model.quantizer.levels"]["values"] == "few, more"
    assert said[0]["target"] == 3 and said[0]["objectives"] == [{"metric": "val/psnr", "goal": "maximize"}]


def test_both_ends_of_every_range_and_every_value_are_rehearsed(sweep: Path) -> None:
    one = plan_sweep(sweep).searches[0]
    from omnitok.search.space import made

    moved = [(path, drawn[path]) for path, drawn in corners(made(one.search.space))]
    assert ("optimizer.lr", 1e-4) in moved and ("optimizer.lr", 1e-2) in moved
    assert ("model.quantizer.codebook_size", 32) in moved


def test_without_vary_the_experiment_itself_is_the_one_arm(sweep: Path) -> None:
    text = SWEEP.partition("vary:")[0] + "vary: {}\n" + SWEEP[SWEEP.index("search:") :]
    kept = [line for line in text.splitlines() if "when:" not in line and "better:" not in line]
    sweep.write_text("\n".join(kept).replace("claims:", ""))
    assert [one.name for one in plan_sweep(sweep).searches] == ["base"]


WRONG = [
    ("optimizer.lr: {type: float", "optimzer.lr: {type: float", "ask.yaml:9: search.space.optimzer.lr: cannot be set: stages.images.optimzer"),
    ("high: 1e-2", "high: 1e-5", "ask.yaml:9: search.space.optimizer.lr.low: must be less than high"),
    ("optimizer.lr: {type: float, low: 1e-4, high: 1e-2, log: true}", "model.dim: {type: choice, of: [12, 13]}", "ask.yaml:9: search.space.model.dim: the suggestion 13 cannot be built"),
    ("optimizer.lr: {type: float, low: 1e-4, high: 1e-2, log: true}", "model.quantizer: {type: choice, of: {a: fsq, b: lfq}}", "ask.yaml:9: search.space.model.quantizer: vary says model.quantizer of each arm"),
    ("optimizer.lr: {type: float, low: 1e-4, high: 1e-2, log: true}", "stages.images.model: {type: choice, of: {a: {dim: 12}, b: {dim: 24}}}", "ask.yaml:9: search.space.stages.images.model: vary says model.quantizer of each arm"),
    ("when: {model.quantizer: fsq}", "when: {model.quantizer: fsk}", "ask.yaml:11: search.space.model.quantizer.levels.when: model.quantizer has no 'fsk'; did you mean 'fsq'?"),
    ("when: {model.quantizer: fsq}", "when: {optimizer.beta1: fsq}", "no 'optimizer.beta1' is searched"),
    ("objective: val/psnr", "objective: test/psnr", "a search looks at the validation split alone"),
    ("objective: val/psnr", "objective: {metric: val/psnr_clips, goal: maximize}", "ask.yaml:12: search.objective: the last stage measures no val/psnr_clips; did you mean 'val/psnr'?"),
    ("objective: val/psnr", "objective: val/psrn", "ask.yaml:12: search.objective: the last stage measures no val/psrn; did you mean 'val/psnr'?"),
    ("objective: val/psnr", "objective: {metric: val/ssim, goal: maximize}", "the last stage measures no val/ssim"),
    ("trials: 3", "trials: 0", "ask.yaml:13: search.trials"),
    ("seeds: [0, 1]", "match: {by: bits, solve: model.quantizer, to: 4}\nseeds: [0, 1]", "ask.yaml:7: search: match solves a choice"),
    ("  pruner:", "  warm_start: [nobody]\n  pruner:", "search.warm_start[0]: nobody names no launched sweep"),
]  # fmt: skip


def test_an_end_of_a_range_can_be_said_on_the_command_line(sweep: Path) -> None:
    space = plan_sweep(sweep, ['search.space["optimizer.lr"].high=2e-2']).searches[0].search.space
    assert space["optimizer.lr"].high == 2e-2


@pytest.mark.parametrize(("old", "new", "message"), WRONG)
def test_what_cannot_be_searched_is_refused_where_it_was_said(sweep: Path, old: str, new: str, message: str) -> None:
    assert old in SWEEP
    sweep.write_text(SWEEP.replace(old, new, 1))
    assert message in refused(sweep)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("optimizer.lr: {", "optimizer.rl: {", r"search.space.optimizer.rl: cannot be set: .*\(known: lr, "),
        (
            ", when: {model.quantizer: fsq}",
            "",
            r"levels: cannot be set: .*; if only some arms have it, say which: when: ",
        ),
    ],
)
def test_a_path_that_is_wrong_is_one_fault_and_other_lines_are_innocent(
    sweep: Path, old: str, new: str, message: str
) -> None:
    sweep.write_text(SWEEP.replace(old, new, 1))
    with pytest.raises(SpecError, match=message) as caught:
        plan_sweep(sweep)
    assert len(set(caught.value.faults)) == 1


def test_choices_that_fit_only_together_blame_neither(sweep: Path) -> None:
    space = "model.dim: {type: choice, of: [12, 13]}\n    model.quantizer.code_dim: {type: int, low: 2, high: 4}"
    kept = SWEEP.replace("model.quantizer.levels: {", "model.quantizer.levels: {").replace(
        "optimizer.lr: {type: float, low: 1e-4, high: 1e-2, log: true}",
        space.replace("high: 4", "high: 4, when: {model.quantizer: vq}"),
    )
    sweep.write_text(kept)
    with pytest.raises(SpecError) as caught:
        plan_sweep(sweep)
    assert {one.path for one in caught.value.faults} == {"search.space.model.dim"}


def test_a_plan_shows_what_arms_cost_before_their_search_is_over(sweep: Path) -> None:
    said = CliRunner().invoke(main, ["plan", str(sweep)]).output
    one = plan_sweep(sweep).searches[0]
    row = next(line for line in said.splitlines() if line.startswith("vq ") and "after the search" in line)
    assert f"{one.facts.parameters:,}" in row


def test_a_study_that_does_not_answer_refuses_a_launch_before_anything_is_stored(
    sweep: Path, runs_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMNITOK_STUDY", "postgresql://nobody:secret@127.0.0.1:1/x")
    for cluster in ("local", "debug"):
        with pytest.raises(SpecError, match="the study cannot be reached: .*refused") as caught:
            launch_sweep(sweep, cluster=cluster)
        assert "secret" not in str(caught.value) and "nobody:***@" in str(caught.value)
    assert not list(runs_root.glob("sweeps/*"))
    found = next(one for one in examine() if one.what == "study")
    assert not found.fine and "cannot be reached" in found.seen and "secret" not in found.seen


def test_a_plan_says_of_a_study_that_cannot_be_shared_how_many_would_share_it(
    sweep: Path, runs_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMNITOK_STUDY", f"sqlite:///{runs_root}/study.db")
    words = ["plan", str(sweep), "--set", "resources={search_workers: 2}"]
    said = CliRunner().invoke(main, words)
    assert said.exit_code == 0 and "note: OMNITOK_STUDY: SQLite locks no rows: to 2 workers" in said.output
    alone = CliRunner().invoke(main, [*words[:3], "resources={search_workers: 1}"])
    assert alone.exit_code == 0 and "SQLite" not in alone.output
    refused = CliRunner().invoke(main, [*words, "--cluster", "slurm"])
    assert refused.exit_code != 0 and "SQLite locks no rows: to 2 workers" in refused.output


def test_a_job_that_has_done_its_work_is_not_that_of_what_is_to_be_submitted(
    sweep: Path, runs_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, settled = prepared(runs_root, read_sweep(sweep))
    piece = search_pieces(runs_root, settled.planned)[0]
    add(folder, Entry("2026-01-01T00:00:00+00:00", piece.id, piece.folders, "20_1", 1, "code", {}))
    monkeypatch.setattr(difference, "queue", lambda folder: {piece.id: Queued("20_1", "done", "COMPLETED")})
    submit = difference.difference(runs_root, settled.planned).submit
    assert {one.job for one in submit if one.piece == piece.id} == {""}


def test_what_is_searched_is_the_sweeps_identity_and_how_long_is_not(sweep: Path) -> None:
    before = read_sweep(sweep).digest
    same = ["search.trials=40", "search.hours=2.0", "resources={search_workers: 2}"]
    assert [read_sweep(sweep, [one]).digest for one in same] == [before] * 3
    others = ["search.seed=1", "search.sampler=random", "search.pruner=none", "search.objective=parameters"]
    assert len({before, *(read_sweep(sweep, [one]).digest for one in others)}) == 5
    sweep.write_text(SWEEP.replace("high: 1e-2", "high: 1e-1"))
    assert read_sweep(sweep).digest != before


def test_a_cluster_is_given_so_many_workers_of_each_arm(sweep: Path, runs_root: Path) -> None:
    asked = read_sweep(sweep, ["resources={search_workers: 2, mem_gb: 1.0, arms: {fsq: {mem_gb: 2.0}}}"])
    folder, settled = prepared(runs_root, asked)
    found = search_pieces(runs_root, settled.planned)
    assert [one.label for one in found] == ["search vq", "search vq", "search fsq", "search fsq"]
    assert len({one.id for one in found}) == 4
    assert [runs_root / one.search for one in found] == [folder / "search" / arm for arm in ("vq", "vq", "fsq", "fsq")]
    assert [one.resources["mem_gb"] for one in found] == [1.0, 1.0, 2.0, 2.0]


# Running


def test_the_winner_is_trained_on_every_seed_and_its_own_seed_is_free(launched) -> None:
    _, folder, done = launched
    plan = runs.read_json(folder / "plan.json")
    assert [(one["name"], one["seed"]) for one in plan["trials"]] == [("vq", 0), ("vq", 1), ("fsq", 0), ("fsq", 1)]
    for arm in ("vq", "fsq"):
        won = winner(folder / "search" / arm)
        mine = [one for one in plan["trials"] if one["name"] == arm]
        assert [one["searched"] for one in mine] == [won["values"]] * 2
        assert mine[0]["stages"] == won["runs"]
        spec = runs.read_json(folder.parent.parent / mine[1]["stages"][0] / runs.EXPERIMENT)["spec"]
        assert spec["optimizer"]["lr"] == won["values"]["optimizer.lr"]
        assert len(trials(folder / "search" / arm)) == 3
    assert done.trained == 2  # the other seed of each arm
    assert done.measured == 4 and all(state.status == "done" for state in done.states)


def test_launched_again_nothing_is_done_and_more_trials_go_on(sweep: Path) -> None:
    first = launch_sweep(sweep, ["search.trials=2", "seeds=[0]"], cluster="debug")
    again = launch_sweep(sweep, ["search.trials=2", "seeds=[0]"], cluster="debug")
    assert (again.trained, again.measured) == (0, 0)
    before = trials(first.folder / "search" / "vq")
    more = launch_sweep(sweep, ["search.trials=3", "seeds=[0]"], cluster="debug")
    assert more.folder == first.folder
    after = trials(first.folder / "search" / "vq")
    assert [one["number"] for one in after] == [0, 1, 2] and after[:2] == before


def test_a_status_says_how_a_search_stands(sweep: Path, runs_root: Path) -> None:
    folder, _ = prepared(runs_root, read_sweep(sweep))
    with pytest.raises(SpecError, match="vq: has no trials yet: searching, 0/3"):
        explain_cell(runs_root, "ask", "vq", "psnr")
    found = sweep_states(sweep)
    assert [(one.trial["name"], one.status, one.reason) for one in found] == [
        ("vq", "searching", "0/3"), ("fsq", "searching", "0/3"),
    ]  # fmt: skip
    where = folder / "search" / "vq"
    runs.write_json(where / "winner.json", {"trial": None, "reason": "of 3 trials none came to an end", "values": {}})
    first = sweep_states(sweep)[0]
    assert first.status == "failed" and "none came to an end" in first.reason
    assert [one.name for one in plan_sweep(sweep).searches if not one.over] == ["fsq"]


def test_a_search_on_a_cluster_is_cancelled_by_its_arm_said_to_be_so_and_taken_up_again(
    sweep: Path, runs_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, settled = prepared(runs_root, read_sweep(sweep))
    jobs: dict[str, Queued] = {}
    for i, one in enumerate(search_pieces(runs_root, settled.planned)):
        add(folder, Entry("2026-01-01T00:00:00+00:00", one.id, one.folders, f"7_{i}", 1, "code", {}))
        jobs[one.id] = Queued(f"7_{i}", "running", "RUNNING")
    for room in (cancel, queued):
        monkeypatch.setattr(room, "queue", lambda folder: dict(jobs))
    monkeypatch.setattr(cancel.keeper, "waiting", lambda folder: [])

    def ask(*words: str) -> str:
        for name, job in jobs.items():
            if job.job in words:
                jobs[name] = Queued(job.job, "cancelled", "CANCELLED by 0", "cancelled")
        return ""

    monkeypatch.setattr(cancel, "ask", ask)
    found = cancel_sweep(sweep, ["vq"], really=True)
    assert [one.piece for one in found.jobs] == [f"search.vq.{i}" for i in range(3)] and not found.kept
    assert {one.trials for one in found.jobs} == {("search vq",)} and {job.state for job in jobs.values()} > {"running"}
    stand = {one.trial["name"]: (one.status, one.reason) for one in sweep_states(sweep)}
    assert stand["fsq"] == ("searching", "0/3")
    assert stand["vq"] == ("cancelled", "cancelled: cancelled by hand; no worker is left (0/3)")
    asked: list[Any] = []
    monkeypatch.setattr("omnitok.launching.again.launch_asked", lambda what, **how: asked.append(how["wish"].only))
    retry_sweep(sweep)
    assert asked == [{f"sweeps/{folder.name}/search/vq"}]
    assert {one.search for one in search_pieces(runs_root, settled.planned)} > asked[0]


def test_an_arm_that_was_given_up_says_why_and_whoever_launches_tries_it_again(
    sweep: Path, runs_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = ["search.trials=9", "seeds=[0]"]
    with monkeypatch.context() as broken:
        broken.setattr("omnitok.search.arm.Arm.train", lambda arm, labels, told: Outcome("failed", reason="bug: E: x"))
        first = launch_sweep(sweep, sets, cluster="debug", view=(heard := Heard()))
    said = "5 trials in a row failed alike: bug: E: x"
    assert heard.ends == [(f"search {arm}", Failure("search", said, "")) for arm in ("vq", "fsq")]
    assert {(one.status, one.reason) for one in first.states} == {("failed", f"the search has no winner: {said}")}
    monkeypatch.setattr("omnitok.search.arm.Arm.train", lambda arm, labels, told: Outcome("failed", reason="nan: x"))
    again = launch_sweep(sweep, sets, cluster="debug")
    assert {len(trials(again.folder / "search" / arm)) for arm in ("vq", "fsq")} == {9}


def test_ctrl_c_stops_the_workers_and_the_same_command_goes_on(sweep: Path, runs_root: Path) -> None:
    sweep.write_text(SWEEP + "resources: {workers: 2}\n")
    code = "from omnitok.cli import main; main()"
    words = [sys.executable, "-c", code, "launch", str(sweep), "--set", "search.trials=4", "--set", "seeds=[0]"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        until = time.monotonic() + 200
        while not list(runs_root.glob("sweeps/*/search/*/trials.jsonl")) and time.monotonic() < until:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=200)
    assert process.returncode == 130, said
    assert {one.status for one in sweep_states(sweep, ["search.trials=4", "seeds=[0]"])} <= {"searching", "planned"}
    done = launch_sweep(sweep, ["search.trials=4", "seeds=[0]"], cluster="debug")
    assert all(state.status == "done" for state in done.states)
    for arm in ("vq", "fsq"):
        assert [one["number"] for one in trials(done.folder / "search" / arm)] == list(range(4))


def test_a_study_that_workers_cannot_share_is_refused_before_any_of_them_starts(
    sweep: Path, runs_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMNITOK_STUDY", f"sqlite:///{runs_root}/study.db")
    with pytest.raises(SpecError, match="OMNITOK_STUDY: SQLite locks no rows"):
        launch_sweep(sweep, cluster="local", workers=2)
    assert not list(runs_root.glob("sweeps/*/search/*/logs"))


class Heard:
    """A view that remembers."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, object]] = []

    def begin(self, works) -> None:
        return None

    def look(self, active) -> None:
        return None

    def ended(self, work, outcome) -> None:
        self.ends.append((work.label, outcome))

    def close(self) -> None:
        return None


def test_an_arm_whose_workers_die_is_given_up_and_said(
    sweep: Path, runs_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = read_sweep(sweep)
    _, settled = prepared(runs_root, asked)
    monkeypatch.setattr(searching.sys, "executable", "/bin/false")
    heard = Heard()
    assert not search_here(runs_root, unfinished(settled.planned), asked.file.resources, 2, heard)
    assert sorted(label for label, _ in heard.ends) == ["search fsq", "search vq"]
    assert all(isinstance(outcome, Failure) and "died 4 times" in outcome.sentence for _, outcome in heard.ends)


def test_a_search_begins_with_what_another_sweep_has_found(launched, sweep: Path, runs_root: Path) -> None:
    _, folder, _ = launched
    os.environ["OMNITOK_RUNS"] = str(folder.parent.parent)
    text = SWEEP.replace("  pruner:", f"  warm_start: [{folder.name}]\n  pruner:").replace("seed: 0", "seed: 7")
    sweep.with_name("later.yaml").write_text(text)
    found = plan_sweep(sweep.with_name("later.yaml")).searches
    assert [one.warm for one in found] == [(f"sweeps/{folder.name}/search/{arm}",) for arm in ("vq", "fsq")]


# Told


def test_a_report_says_what_was_searched_and_rows_are_the_winners_alone(launched, tmp_path: Path) -> None:
    _, folder, _ = launched
    frame = rows(folder)
    assert list(zip(frame["arm"], frame["seed"], strict=True)) == [("vq", 0), ("vq", 1), ("fsq", 0), ("fsq", 1)]
    done = render(folder, tmp_path / "report")
    page, text = done.page.read_text(), (tmp_path / "report" / "report.md").read_text()
    assert done.complete and "What was searched in each arm" in page and "What was searched in each arm" in text
    won = winner(folder / "search" / "fsq")["values"]
    assert f"{won['optimizer.lr']:.4g}" in page and f"{won['optimizer.lr']:.4g}" in text
    table = (tmp_path / "report" / "tables" / "searches.tex").read_text()
    assert r"model.quantizer.codebook\_size" in table.replace(r"\hspace{0pt}", "")
    lines = (tmp_path / "report" / "data" / "suggestions.csv").read_text().splitlines()
    assert len(lines) == 1 + 6


def test_a_report_of_a_search_that_goes_on_has_a_hole_for_it(sweep: Path, runs_root: Path, tmp_path: Path) -> None:
    folder, _ = prepared(runs_root, read_sweep(sweep))
    done = render(folder, tmp_path / "report")
    text = (tmp_path / "report" / "report.md").read_text()
    assert not done.complete and "vq, seeds none: searching, 0/3" in text
    assert {verdict.status for verdict in done.verdicts} == {"not run"}


def test_what_a_search_says_is_escaped_in_every_format(sweep: Path, runs_root: Path, tmp_path: Path) -> None:
    folder, _ = prepared(runs_root, read_sweep(sweep))
    wicked = {"trial": None, "reason": "<script>alert(1)</script> | 50 % of a_b", "values": {}}
    runs.write_json(folder / "search" / "vq" / "winner.json", wicked)
    render(folder, tmp_path / "report")
    page, text = ((tmp_path / "report" / name).read_text() for name in ("index.html", "report.md"))
    assert page.count("<script") == 1 and "&lt;script&gt;alert(1)" in page
    assert "<script" not in text and "\\| 50" in text
    table = Plain("x", "x", "50 % of <a>", ("a_b", "n"), (("$1", "2"),), (1,))
    assert formats.markdown(table).startswith("| a\\_b | n |\n| --- | --: |\n| \\$1 | 2 |\n")
    assert r"a\_b & n \\" in formats.latex(table) and r"50 \% of \textless{}a" in formats.latex(table)


def test_mlflow_has_each_suggestion_once_and_what_was_ended_early_as_killed(launched) -> None:
    _, folder, _ = launched
    root = folder.parent.parent
    [known] = sweeps(root)
    suggested = [one for arm in ("vq", "fsq") for one in trials(folder / "search" / arm) if one["runs"]]
    for one in suggested:
        wanted = stage_run(root / one["runs"][-1], [known])
        arm = "vq" if one in trials(folder / "search" / "vq") else "fsq"
        assert f"{arm} {one['number']}" in wanted.tags["omnitok.suggestion"].split(", ")
        assert (wanted.tags["arm"], wanted.tags["sweep"]) == (arm, "ask")
        assert one["state"] in wanted.tags["omnitok.suggestion_state"]
    last = root / suggested[0]["runs"][-1]
    (last / runs.RESULT).rename(last / "aside")
    try:
        runs.write_json(last / "stopped.json", {"reason": "pruned", "sentence": "was pruned after 2 steps"})
        wanted = stage_run(last, [known])
        assert wanted.status == "KILLED" and wanted.tags["stopped"] == "was pruned after 2 steps"
    finally:
        (last / "stopped.json").unlink()
        (last / "aside").rename(last / runs.RESULT)


def test_why_says_what_won_of_a_cell(launched) -> None:
    _, folder, _ = launched
    cell = explain_cell(folder.parent.parent, "ask", "fsq", "psnr")
    assert cell.searched == winner(folder / "search" / "fsq")["values"]
    assert json.dumps(cell.searched)
