"""The mirror's cursor: a sync that is killed, races or loses its cursor doubles nothing and loses nothing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mirrored import PSNR, Mlflow, evaluate, fresh, line, migrate, plan, start, write
from mlflow import MlflowClient

from omnitok import runs, tracking
from omnitok.tracking.rows import Rows, of


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrate(tmp_path_factory.mktemp("template"))


@pytest.fixture
def root(migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return fresh(migrated, tmp_path, monkeypatch)


def test_a_second_sync_writes_nothing(root: Path) -> None:
    folder = start(root, "aa" * 8, line(0, loss=1.0) + line(1, loss=float("nan")))
    write(folder / runs.RESULT, {"steps": 2})
    evaluate(folder, "e-" + "aa" * 8, PSNR, 1 / 3)
    (folder / "samples" / "photos").mkdir(parents=True)
    (folder / "samples" / "photos" / "00-original.png").write_bytes(b"png")
    plan(root, "5" * 16, "q", fsq=["aa" * 8])
    assert tracking.sync(root).writes > 0
    before = repr([run.to_dictionary() for run in Mlflow(root).runs])  # as text, for a NaN is not equal to itself
    again = tracking.sync(root)
    assert again[3:] == (0, 0, 0, 0, 0)
    assert str(again) == f"1 stage run and 1 trial in sqlite:///{root}/mlflow.db: nothing to do"
    assert repr([run.to_dictionary() for run in Mlflow(root).runs]) == before


def test_runs_are_read_out_of_a_database_as_the_client_gives_them(root: Path) -> None:
    for i, name in enumerate(("aa" * 8, "bb" * 8, "cc" * 8)):
        folder = start(root, name, line(0, loss=1.0 + i) + line(1, loss=0.5, odd=float("nan"), wide=float("inf")))
        evaluate(folder, f"e-{name}", PSNR, 20.5 + i)
    tracking.sync(root)
    client = Mlflow(root).client
    experiment = client.get_experiment_by_name("omnitok")
    assert experiment is not None
    client.delete_run(client.search_runs([experiment.experiment_id])[0].info.run_id)
    client.create_run(client.create_experiment("another"))
    theirs = client.search_runs([experiment.experiment_id])
    database = of(client)
    assert database is not None
    ours = database.runs(experiment.experiment_id)
    assert len(ours) == 2
    said = [
        [(one.info.run_id, one.info.status, one.info.start_time), one.data.tags, one.data.params, one.data.metrics]
        for one in ours
    ]
    assert repr(said) == repr([
        [(one.info.run_id, one.info.status, one.info.start_time), *({key: of[key] for key in mine} for of, mine in zip(
            (one.data.tags, one.data.params, one.data.metrics), kept[1:], strict=True))]
        for one, kept in zip(theirs, said, strict=True)
    ])  # fmt: skip
    assert [list(map(len, kept[1:])) for kept in said] == [
        [len(one.data.tags), len(one.data.params), len(one.data.metrics)] for one in theirs
    ]


def test_only_new_whole_lines_are_pushed(root: Path) -> None:
    folder = start(root, "aa" * 8, line(0, loss=1.0) + b'{"step": 1, "train/lo')
    tracking.sync(root)
    (folder / runs.RECORDS).write_bytes(line(0, loss=1.0) + line(1, loss=0.5) + line(2, loss=0.25))
    again = tracking.sync(root)
    assert (again.points, again.replaced) == (2, 0)
    assert [value for _, _, value in Mlflow(root).curve("joint aaaaaaaa", "train/loss")] == [1.0, 0.5, 0.25]


def test_a_lost_cursor_doubles_nothing(root: Path) -> None:
    start(root, "aa" * 8, b"".join(line(step, loss=1 / (step + 1), nan=float("nan")) for step in range(20)))
    tracking.sync(root)
    mlflow = Mlflow(root)
    rows = repr(mlflow.rows())
    mlflow.client.delete_tag(mlflow.run("joint aaaaaaaa").info.run_id, "omnitok.records")
    assert tracking.sync(root).created == 0
    assert repr(Mlflow(root).rows()) == rows


def test_more_values_than_a_batch_holds_all_arrive(root: Path) -> None:
    text = b"".join(line(step, a=step, b=-step, c=0.5) for step in range(700))
    spec = {f"choice_{i}": i for i in range(230)} | {"long": "x" * 6000 + "y" * 6000 + "z"}
    folder = start(root, "aa" * 8, text, **spec)
    evaluate(folder, "e1", "user[é]:x/psnr", 1.0)
    assert tracking.sync(root).points == 2101
    mlflow = Mlflow(root)
    assert [point[::2] for point in mlflow.curve("joint aaaaaaaa", "train/b")] == [(i, -i) for i in range(700)]
    params = mlflow.run("joint aaaaaaaa").data.params
    assert params["choice_229"] == "229"
    assert params["long"] + params["long:2"] + params["long:3"] == spec["long"]


def test_a_sync_killed_after_any_write_is_completed_by_the_next(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def folders(root: Path) -> None:
        folder = start(root, "aa" * 8, b"".join(line(step, a=step, b=-step) for step in range(600)))
        write(folder / runs.RESULT, {"steps": 600})
        evaluate(folder, "e-" + "aa" * 8, PSNR, 23.0)
        plan(root, "5" * 16, "q", fsq=["aa" * 8])

    clean = root.parent / "clean"
    shutil.copytree(root, clean)
    folders(clean)
    tracking.sync(clean)
    folders(root)

    def fatal(of: type, name: str):  # noqa: ANN202
        whole = getattr(of, name)

        def killed(*args: object, **options: object) -> None:
            whole(*args, **options)
            raise KeyboardInterrupt

        return killed

    kills = 0
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_run", fatal(MlflowClient, "create_run"))
        patch.setattr(Rows, "flush", fatal(Rows, "flush"))
        patch.setattr("omnitok.tracking.rows.AT_ONCE", 0)  # so that each write is a transaction
        while kills < 50:
            try:
                tracking.sync(root)
                break
            except KeyboardInterrupt:
                kills += 1
    assert 4 < kills < 50
    assert Mlflow(root).rows() == Mlflow(clean).rows()


def test_values_and_cursor_are_written_together_or_not_at_all(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(root, "aa" * 8, b"".join(line(step, loss=step) for step in range(30)))
    whole = Rows._put

    def killed(self: Rows, session: object, name: str, rows: list[object], *, over: bool = False) -> None:
        if name == "tags":
            raise KeyboardInterrupt
        whole(self, session, name, rows, over=over)

    with monkeypatch.context() as patch:
        patch.setattr(Rows, "_put", killed)
        with pytest.raises(KeyboardInterrupt):
            tracking.sync(root)
    assert Mlflow(root).curve("joint aaaaaaaa", "train/loss") == []
    tracking.sync(root)
    assert len(Mlflow(root).curve("joint aaaaaaaa", "train/loss")) == 30


@pytest.mark.parametrize("most", [7, 10_000])
def test_rows_are_what_the_client_would_have_written(root: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    odd = b"".join(line(step, loss=value) for step, value in enumerate((1.0, float("nan"), float("inf"), -0.5)))
    text = b"".join(line(step, loss=step / 3, psnr=-step) for step in range(25)) + odd.replace(b"Infinity", b"1e999")
    write(start(root, "aa" * 8, text) / runs.RESULT, {"steps": 25})
    evaluate(root / ("aa" * 8), "e1", PSNR, 21.0)
    theirs = root.parent / "theirs"
    shutil.copytree(root, theirs, copy_function=shutil.copy2)
    with monkeypatch.context() as patch:
        patch.setattr("omnitok.tracking.rows.MOST", most)
        patch.setattr("omnitok.tracking.rows.AT_ONCE", most)
        tracking.sync(root)
    with monkeypatch.context() as patch:
        patch.setattr("omnitok.tracking.rows.of", lambda client: None)
        tracking.sync(theirs)
    assert repr(Mlflow(root).rows()) == repr(Mlflow(theirs).rows())
    for name in ("train/loss", "train/psnr"):
        ours = Mlflow(root).curve("joint aaaaaaaa", name)
        assert repr(ours) == repr(Mlflow(theirs).curve("joint aaaaaaaa", name)) and len(ours) >= 25
    assert tracking.sync(root).writes == 0


def test_a_torn_line_in_the_middle_is_passed_over(root: Path) -> None:
    start(root, "aa" * 8, line(0, loss=1.0) + b'{"step": 1, "tra\n' + line(2, loss=0.25))
    assert tracking.sync(root).points == 2
    assert tracking.sync(root).writes == 0


def test_a_run_deleted_in_mlflow_comes_back(root: Path) -> None:
    start(root, "aa" * 8, line(0, loss=1.0))
    tracking.sync(root)
    mlflow = Mlflow(root)
    mlflow.client.delete_run(mlflow.run("joint aaaaaaaa").info.run_id)
    assert tracking.sync(root).created == 1


def test_two_syncs_at_once_on_a_fresh_database_make_one_mirror(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    for i in range(4):
        start(root, f"{i}" * 16, b"".join(line(step, loss=step) for step in range(50)))
    code = "import sys, pathlib; from omnitok import tracking; print(*tracking.sync(pathlib.Path(sys.argv[1]))[1:])"
    both = [subprocess.Popen([sys.executable, "-c", code, root], stdout=-1, stderr=-1, text=True) for _ in range(2)]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert [err for _, err in said] == ["", ""]  # neither MLflow nor its migrations talk
    assert sorted(out.split()[2] for out, _ in said) == ["0", "4"]
    mlflow = Mlflow(root)
    assert sorted(run.info.run_name for run in mlflow.runs) == [f"joint {str(i) * 8}" for i in range(4)]
    assert all(len(mlflow.curve(run.info.run_name, "train/loss")) == 50 for run in mlflow.runs)
