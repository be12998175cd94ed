"""A rendered report held against its runs: each way in which it can be another is told, and nothing is written."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from report_sweep import Synthetic, name_of

from omnitok import runs
from omnitok.cli import main
from omnitok.report import checked, render
from omnitok.report.command import check_report, render_paper
from omnitok.report.paper import read_paper
from omnitok.spec import SpecError

CLAIM = {"metric": "psnr", "on": "photos", "better": "progressive", "than": "joint", "margin": 0.0, "where": {},
         "source": ""}  # fmt: skip


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Synthetic, Path]:
    monkeypatch.setenv("OMNITOK_RUNS", str(tmp_path / "runs"))
    sweep = Synthetic(tmp_path / "runs")
    sweep.pictures, sweep.claims = False, [CLAIM]
    sweep.write()
    render(sweep.stored, tmp_path / "out")
    return sweep, tmp_path / "out"


def evaluation(sweep: Synthetic, arm: str, seed: int, name: str = "photos", label: str = "psnr") -> Path:
    run = sweep.last(arm, seed)
    return sweep.root / run / runs.EVALUATIONS / f"{name_of(run, name, label)}.json"


def say(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(root.rglob("*")) if p.is_file()}


def test_a_report_that_is_that_of_its_runs_differs_in_nothing_and_nothing_is_written(
    done: tuple[Synthetic, Path], tmp_path: Path
) -> None:
    before = tree(tmp_path)
    assert check_report("quickstart", out=done[1]) == []
    assert tree(tmp_path) == before


def test_a_number_that_changed_is_told_with_its_column_arm_and_both_values(done: tuple[Synthetic, Path]) -> None:
    sweep, out = done
    say(evaluation(sweep, "fsq+joint", 1), value=3.25)
    was = sweep.values["fsq+joint", 1]["photos/psnr"]
    found = check_report("quickstart", out=out)
    assert f"photos/psnr of fsq+joint, seed 1: {was} in the report, 3.25 now" in found


def test_a_verdict_that_changed_is_told(done: tuple[Synthetic, Path]) -> None:
    sweep, out = done
    for seed in sweep.seeds:
        for arm in sweep.arms:
            say(evaluation(sweep, arm, seed), value=(10.0 if "progressive" in arm else 30.0) + seed + len(arm) / 100)
    said = "progressive is better than joint on photos/psnr: supported in the report, contradicted now"
    assert said in check_report("quickstart", out=out)


def test_a_run_that_failed_since_and_one_that_is_new_or_gone_are_told(done: tuple[Synthetic, Path]) -> None:
    sweep, out = done
    sweep.fail(sweep.last("vq+joint", 2))
    assert "status of vq+joint, seed 2: done in the report, failed now" in check_report("quickstart", out=out)
    plan = runs.read_json(sweep.stored / "plan.json")
    plan["trials"] = [one for one in plan["trials"] if (one["name"], one["seed"]) != ("vq+joint", 2)]
    runs.write_json(sweep.stored / "plan.json", plan)
    assert "vq+joint, seed 2 is no longer in the plan" in check_report("quickstart", out=out)
    render(sweep.stored, out)
    sweep.store()
    assert "vq+joint, seed 2 is new" in check_report("quickstart", out=out)


def test_a_run_whose_folder_is_gone_is_said_to_be_gone_and_nothing_more_of_its_row(
    done: tuple[Synthetic, Path], tmp_path: Path
) -> None:
    sweep, out = done
    last, first = sweep.last("fsq+joint", 1), sweep.first("vq+joint", 0)
    shutil.move(sweep.root / last, tmp_path / "gone")
    shutil.move(sweep.root / first, tmp_path / "first")
    found = check_report("quickstart", out=out)
    assert [said for said in found if "fsq+joint, seed 1" in said] == [
        f"the run of fsq+joint, seed 1 is gone: there is no folder {last}"
    ]
    assert [said for said in found if "vq+progressive, seed 0" in said] == [
        f"an earlier stage of vq+progressive, seed 0 is gone: there is no folder {first}"
    ]


def test_a_run_that_is_there_since_is_said_to_be_new_and_nothing_more_of_its_row(
    done: tuple[Synthetic, Path], tmp_path: Path
) -> None:
    sweep, out = done
    folder = sweep.root / sweep.last("fsq+joint", 1)
    shutil.move(folder, tmp_path / "later")
    render(sweep.stored, out)
    assert check_report("quickstart", out=out) == []
    shutil.move(tmp_path / "later", folder)
    found = check_report("quickstart", out=out)
    assert [said for said in found if "fsq+joint, seed 1" in said] == [
        "the run of fsq+joint, seed 1 is new: interrupted in the report, done now"
    ]


def test_files_are_told_first_then_runs_verdicts_metrics_choices_and_costs(
    done: tuple[Synthetic, Path], tmp_path: Path
) -> None:
    sweep, out = done
    (out / "tables" / "ablation.tex").unlink()
    shutil.move(sweep.root / sweep.last("vq+joint", 2), tmp_path / "gone")
    for arm in sweep.arms:
        for seed in sweep.seeds:
            if (arm, seed) != ("vq+joint", 2):
                say(
                    evaluation(sweep, arm, seed), value=(10.0 if "progressive" in arm else 30.0) + seed + len(arm) / 100
                )
    run = sweep.root / sweep.last("fsq+joint", 0)
    said = runs.read_json(run / runs.EXPERIMENT)
    runs.write_json(run / runs.EXPERIMENT, said | {"spec": said["spec"] | {f"choice_{i}": i for i in range(12)}})
    say(sweep.root / sweep.last("fsq+joint", 1) / runs.EXPERIMENT, spec=said["spec"] | {"steps": 301})
    runs.append_line(run / runs.ATTEMPTS, {"seconds": 2.5, "from_step": 300, "to_step": 400, "ended": "done"})
    found = check_report("quickstart", out=out)
    assert found[:3] == [
        "tables/ablation.tex is gone",
        f"the run of vq+joint, seed 2 is gone: there is no folder {sweep.last('vq+joint', 2)}",
        "progressive is better than joint on photos/psnr: supported in the report, contradicted now",
    ]
    assert all(one.startswith("photos/psnr of ") for one in found[3:-3]) and len(found[3:-3]) == 11
    assert found[-3:-1] == [
        "12 more columns of fsq+joint, seed 0", "steps of fsq+joint, seed 1: 300 in the report, 301 now"
    ]  # fmt: skip
    assert found[-1].startswith("seconds, ") and found[-1].endswith(" of fsq+joint, seed 0 are others now")


def test_a_report_of_another_file_in_the_folder_is_said_to_be_one(
    done: tuple[Synthetic, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, out = done
    (tmp_path / "quickstart.yaml").write_text("question: x\n")
    paper = tmp_path / "p.yaml"
    paper.write_text("title: A first look\nsections:\n- {sweep: quickstart.yaml}\n")
    monkeypatch.setattr("omnitok.report.command.locate", lambda *_: sweep.stored)
    say(evaluation(sweep, "fsq+joint", 1), value=3.25)
    alone = "the sweep sweeps/quickstart.yaml --set batch=8"
    (said,) = check_report(paper, out=out)
    assert said.startswith(f"the report in {out} is of {alone}, and not of the report file p.yaml; ")
    render_paper(read_paper(paper), [sweep.stored], out)
    assert str(tmp_path) not in json.dumps(json.loads((out / checked.LOCK).read_text())["of"])
    (said,) = check_report("quickstart", out=out)
    assert said.startswith(f"the report in {out} is of the report file p.yaml, and not of {alone}; ")
    paper.write_text("title: A second look\nsections:\n- {sweep: quickstart.yaml}\n")
    assert check_report(paper, out=out) == ["paper.tex would read otherwise now"]
    sweep.say(set=["batch=16"])
    render(sweep.stored, out)
    sweep.say(set=["batch=8"])
    assert "--set batch=16, and not of " in check_report("quickstart", out=out)[0]


def test_a_lock_that_says_not_what_its_report_is_of_is_held_against_the_runs(done: tuple[Synthetic, Path]) -> None:
    lock = json.loads((done[1] / checked.LOCK).read_text())
    (done[1] / checked.LOCK).write_text(json.dumps({key: lock[key] for key in lock if key != "of"}))
    assert check_report("quickstart", out=done[1]) == []


def test_a_file_that_is_gone_or_was_changed_is_told(done: tuple[Synthetic, Path]) -> None:
    out = done[1]
    (out / "tables" / "ablation.tex").unlink()
    with (out / "report.md").open("a") as file:
        file.write("and more\n")
    assert check_report("quickstart", out=out) == [
        "report.md was changed after it was rendered", "tables/ablation.tex is gone"
    ]  # fmt: skip


def test_curves_that_figures_were_drawn_of_are_held_too(done: tuple[Synthetic, Path]) -> None:
    sweep, out = done
    run = sweep.last("vq+joint", 0)
    runs.append_line(sweep.root / run / runs.RECORDS, {"step": 300, "values": {"train/loss": 1.0}})
    assert check_report("quickstart", out=out) == [f"run {run} is not as it was: records"]


def test_words_that_changed_are_told_by_their_files(done: tuple[Synthetic, Path]) -> None:
    done[0].say(question="And what else?")
    assert check_report("quickstart", out=done[1]) == ["paper.tex would read otherwise now"]


def test_other_code_may_print_otherwise_but_not_other_numbers(
    done: tuple[Synthetic, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, out = done
    monkeypatch.setattr(checked, "_code", lambda: "another")
    sweep.say(question="And what else?")
    assert check_report("quickstart", out=out) == []
    say(evaluation(sweep, "fsq+joint", 1), value=3.25)
    assert len(check_report("quickstart", out=out)) >= 1


def test_a_folder_where_nothing_was_rendered_is_said_to_be_one(done: tuple[Synthetic, Path], tmp_path: Path) -> None:
    (said,) = check_report("quickstart", out=tmp_path / "elsewhere")
    assert "nothing was rendered there" in said
    assert not (tmp_path / "elsewhere").exists()


def test_the_command_fails_where_something_differs(done: tuple[Synthetic, Path]) -> None:
    sweep, out = done
    words = ["report", "quickstart", "--out", str(out), "--check"]
    good = CliRunner().invoke(main, words)
    assert (good.exit_code, good.output) == (0, "the report is that of its runs\n")
    say(evaluation(sweep, "fsq+joint", 1), value=3.25)
    bad = CliRunner().invoke(main, words)
    assert bad.exit_code == 1
    assert "photos/psnr of fsq+joint, seed 1" in bad.output


def test_claims_that_were_edited_since_are_told_though_nobody_launched_them(
    done: tuple[Synthetic, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, out = done

    class File:
        question, claims = "Does a progressive schedule help, whatever the quantizer?", ()

    class Asked:
        digest, file = sweep.stored.name, File

    (tmp_path / "x.yaml").write_text("")
    sweep.say(path=str(tmp_path / "x.yaml"))
    monkeypatch.setattr("omnitok.report.command.read_sweep", lambda *_: Asked)
    monkeypatch.setattr("omnitok.report.command.unmeasured", lambda _: [])
    assert "sweeps/quickstart.yaml has other claims by now" in check_report("quickstart", out=out)


def test_a_report_of_several_sweeps_tells_whose_number_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNITOK_RUNS", str(tmp_path / "runs"))
    sweeps = []
    for name in ("one", "two"):
        sweep = Synthetic(tmp_path / "runs", seeds=(0,), factors={f"model.{name}": ["vq", "fsq"]})
        sweep.name, sweep.pictures = name, False
        sweep.write()
        sweeps.append(sweep)
        (tmp_path / f"{name}.yaml").write_text("question: x\n")
    paper = tmp_path / "p.yaml"
    paper.write_text("title: Both\nsections:\n- {sweep: one.yaml}\n- {sweep: two.yaml, title: The second}\n")
    stored = {sweep.name: sweep.stored for sweep in sweeps}
    monkeypatch.setattr("omnitok.report.command.locate", lambda _, name, *__: stored[Path(name).stem])
    render_paper(read_paper(paper), [sweep.stored for sweep in sweeps], tmp_path / "out")
    assert check_report(paper, out=tmp_path / "out") == []
    (tmp_path / "out" / "data" / "one-rows.csv").rename(tmp_path / "kept.csv")
    assert check_report(paper, out=tmp_path / "out") == ["data/one-rows.csv is gone"]
    shutil.move(tmp_path / "kept.csv", tmp_path / "out" / "data" / "one-rows.csv")
    path = sweeps[1].root / sweeps[1].last("vq", 0) / runs.EVALUATIONS
    say(path / f"{name_of(sweeps[1].last('vq', 0), 'clips', 'psnr')}.json", value=1.5)
    found = check_report(paper, out=tmp_path / "out")
    assert [said for said in found if said.startswith("The second: clips/psnr of vq, seed 0: ")]


def test_what_an_earlier_report_left_is_taken_away_and_nobodys_own_files(done: tuple[Synthetic, Path]) -> None:
    sweep, out = done
    (out / "notes.txt").write_text("mine")
    lock = json.loads((out / checked.LOCK).read_text())
    (out / "tables" / "old.tex").write_text("x")
    lock["files"]["tables/old.tex"] = "0"
    (out / checked.LOCK).write_text(json.dumps(lock))
    render(sweep.stored, out)
    assert not (out / "tables" / "old.tex").exists()
    assert (out / "notes.txt").read_text() == "mine"
    assert check_report("quickstart", out=out) == []
    assert [path.name for path in out.parent.iterdir() if path.name.startswith(".out")] == []


def test_what_was_still_running_is_said_before_all_else(
    done: tuple[Synthetic, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, out = done
    run = sweep.root / sweep.last("fsq+joint", 1)
    (run / runs.RESULT).unlink()
    monkeypatch.setattr("omnitok.runs.standing.leased", lambda folder: folder == run)
    render(sweep.stored, out)
    said = "1 trial was still running when this was rendered"
    assert said in (out / "report.md").read_text().splitlines()[0]
    assert said in (out / "index.html").read_text()
    assert said in (out / "paper.tex").read_text().partition("maketitle")[0]
    runs.write_json(run / runs.RESULT, {"steps": 300})
    monkeypatch.undo()
    monkeypatch.setenv("OMNITOK_RUNS", str(sweep.root))
    assert "status of fsq+joint, seed 1: running in the report, done now" in check_report("quickstart", out=out)


def test_the_commands_bring_the_data_and_weights_first(done: tuple[Synthetic, Path]) -> None:
    sweep, out = done
    path = sweep.root / sweep.last("fsq+joint", 1) / runs.EXPERIMENT
    data = {"type": "mixture", "parts": [{"type": "natural_mini"}, {"type": "folder", "name": "my cats", "fingerprint": "ab"},
                                         {"type": "procgen16", "name": "procgen16-64-32", "fingerprint": "cd"}]}  # fmt: skip
    said = runs.read_json(path)
    losses = [{"type": "lpips", "network": "vgg"}, {"type": "l1"}]
    runs.write_json(path, said | {"spec": said["spec"] | {"data": data, "losses": losses}})
    for arm in sweep.arms:
        for seed in sweep.seeds:
            say(evaluation(sweep, arm, seed), networks={"inception_2015": "00"})
    render(sweep.stored, out)
    text = (out / "report.md").read_text()
    lines = [
        line.removeprefix("- ").strip("`")
        for line in text.partition("To reproduce:")[2].splitlines()
        if line[:1] == "-"
    ]
    assert lines[1:6] == [
        "omnitok data natural_mini",
        "# data: 'my cats' below OMNITOK_DATA, fingerprint ab",
        "omnitok data procgen16 --side 64 --clips 32",
        "omnitok weights fetch inception_2015 lpips_vgg",
        "omnitok launch sweeps/quickstart.yaml --set batch=8",
    ]


def test_a_metric_without_a_number_says_itself_why(done: tuple[Synthetic, Path]) -> None:
    sweep, out = done
    for seed in sweep.seeds:
        say(evaluation(sweep, "fsq+joint", seed, label="usage"), value=None, note="no codebook & so no use of it")
    render(sweep.stored, out)
    assert r"n/a: no codebook \& so no use of it" in (out / "tables" / "ablation.tex").read_text()
    assert "n/a: no codebook &amp; so no use of it" in (out / "tables" / "ablation.md").read_text()
    assert 'title="no codebook &amp; so no use of it"' in (out / "index.html").read_text()


@pytest.mark.parametrize("name", ["paper.tex", "data/rows.csv", "index.html/", "figures"])
def test_files_of_somebody_else_are_not_written_over(done: tuple[Synthetic, Path], tmp_path: Path, name: str) -> None:
    sweep, mine = done[0], tmp_path / "mine"
    (mine / name).parent.mkdir(parents=True)
    if name.endswith("/"):
        (mine / name).mkdir()
    else:
        (mine / name).write_text("my own words")
    before = tree(mine)
    with pytest.raises(SpecError, match="not written by a report; move it away"):
        render(sweep.stored, mine)
    assert tree(mine) == before


def test_what_stops_a_report_before_it_is_made_leaves_the_earlier_one_whole(
    done: tuple[Synthetic, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, out = done
    before = tree(out)
    say(evaluation(sweep, "fsq+joint", 1), value=3.25)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "index.html")

    monkeypatch.setattr(checked, "document", full)
    with pytest.raises(OSError, match="No space left"):
        render(sweep.stored, out)
    assert tree(out) == before
    assert {path.name for path in out.iterdir()} == {
        "index.html", "report.md", "paper.tex", "macros.tex", "report.lock", "tables", "data", "figures"
    }  # fmt: skip


def test_what_stops_a_report_while_its_files_are_moved_is_told_and_the_next_one_is_whole(
    done: tuple[Synthetic, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, out = done
    say(evaluation(sweep, "fsq+joint", 1), value=3.25)
    lock = json.loads((out / checked.LOCK).read_text())
    (out / "tables" / "old.tex").write_text("x")
    say(out / checked.LOCK, files=lock["files"] | {"tables/old.tex": "0"})
    move = Path.replace

    def stopped(path: Path, to: Path) -> Path:
        if to.name == "index.html":
            raise KeyboardInterrupt
        return move(path, to)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            render(sweep.stored, out)
    assert "index.html was changed after it was rendered" in check_report("quickstart", out=out)
    render(sweep.stored, out)
    assert check_report("quickstart", out=out) == []
    assert not (out / "tables" / "old.tex").exists()


@pytest.mark.parametrize("name", ["../precious.txt", "/precious.txt", "tables/../../precious.txt"])
def test_a_lock_takes_nothing_away_outside_of_its_folder(
    done: tuple[Synthetic, Path], tmp_path: Path, name: str
) -> None:
    sweep, out = done
    (tmp_path / "precious.txt").write_text("mine")
    where = str(tmp_path / "precious.txt") if name.startswith("/") else name
    lock = json.loads((out / checked.LOCK).read_text())
    say(out / checked.LOCK, files=lock["files"] | {where: "0"})
    render(sweep.stored, out)
    assert (tmp_path / "precious.txt").read_text() == "mine"


@pytest.mark.parametrize("text", ["", "<<<<<<< ours", "[]", "{}", '{"files": 1}', '{"code": "", "files": {}, "runs": {}, "claims": [[1]]}',
                                  '{"code": "", "files": {}, "runs": [], "claims": []}'])  # fmt: skip
def test_a_lock_that_is_none_is_said_to_be_none(done: tuple[Synthetic, Path], text: str) -> None:
    (done[1] / checked.LOCK).write_text(text)
    (said,) = check_report("quickstart", out=done[1])
    assert "has no report.lock" in said


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe\x00", b"kind,arm,seed\nonly\n"])
def test_data_that_somebody_broke_is_told_and_no_traceback(done: tuple[Synthetic, Path], content: bytes) -> None:
    (done[1] / "data" / "rows.csv").write_bytes(content)
    assert check_report("quickstart", out=done[1])[0] == "data/rows.csv was changed after it was rendered"


def test_status_says_that_the_report_of_a_sweep_is_outdated_and_nothing_where_it_is_not(
    done: tuple[Synthetic, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, _ = done
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("omnitok.sweep_states", lambda *_: [])
    words = ["status", "quickstart"]
    assert "report" not in CliRunner().invoke(main, words).output
    build = tmp_path / "reports" / "build" / "quickstart"
    render(sweep.stored, build)
    good = CliRunner().invoke(main, words)
    assert (good.exit_code, "report" in good.output) == (0, False)
    (build / checked.LOCK).rename(tmp_path / "kept")
    (build / checked.LOCK).write_text("<<<<<<< ours")
    assert "report" not in CliRunner().invoke(main, words).output
    (tmp_path / "kept").rename(build / checked.LOCK)
    say(evaluation(sweep, "fsq+joint", 1), value=3.25)
    bad = CliRunner().invoke(main, words)
    said = "the report in reports/build/quickstart is no longer that of its runs; next: omnitok report quickstart"
    assert bad.exit_code == 0 and said in bad.output.splitlines()
    render(sweep.stored, build)
    plan = runs.read_json(sweep.stored / "plan.json")
    plan["trials"] = plan["trials"][1:]
    runs.write_json(sweep.stored / "plan.json", plan)
    assert said in CliRunner().invoke(main, words).output.splitlines()
