"""Runs that others have finished are borrowed: never trained again, never written to, and trained here once they are gone."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import tiny
from click.testing import CliRunner

import omnitok
from omnitok import runs
from omnitok.cli import main
from omnitok.launching.launch import launch
from omnitok.report.section import section
from omnitok.results import gathered
from omnitok.runs.pools import BORROWED, borrowed
from omnitok.spec import SpecError
from omnitok.sweep import adopt
from omnitok.sweep.stored import locate
from omnitok.tracking import sync
from omnitok.training.reconstruct import Reconstruct
from omnitok.training.stage import from_json

SMALL = tiny.SWEEP.replace("seeds: [0, 1]", "seeds: [0]").replace("[0.0, 0.5]", "[0.5]")


@pytest.fixture
def pool(tmp_path, monkeypatch):
    """What somebody else has trained of the same experiment."""
    place = tmp_path / "shared" / "runs"
    with pytest.MonkeyPatch.context() as theirs:
        theirs.setenv("OMNITOK_RUNS", str(place))
        theirs.setenv("OMNITOK_DATA", str(tmp_path / "data"))
        (tmp_path / "theirs").mkdir()
        launch(tiny.write(tmp_path / "theirs", sweep=SMALL))
    monkeypatch.setenv("OMNITOK_POOLS", str(place))
    return place


@pytest.fixture
def sweep(tmp_path, runs_root):
    return tiny.write(tmp_path, sweep=SMALL)


def stood(place: Path) -> dict[str, tuple[float, int]]:
    """Every file and folder below it, with what a write would change."""
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in [place, *place.rglob("*")]}


def call(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def test_what_a_pool_has_is_neither_trained_nor_measured_again(sweep, runs_root, pool, monkeypatch):
    before = stood(pool)
    monkeypatch.setattr(Reconstruct, "train", lambda *_: pytest.fail("trained"))
    assert f"5 stages are finished in {pool}: a launch borrows them" in call("plan", sweep)
    planned = call("plan", sweep, "--budget-hours", 0)
    assert "stages: 5 done\ntime: nothing is left to train\n" in planned and "0 B of them to be written" in planned
    assert call("plan", sweep, "--diff").splitlines()[-1] == "nothing to do"
    done = launch(sweep)
    assert (done.trained, done.measured) == (0, 0) and {state.status for state in done.states} == {"done"}
    assert {state.reason for state in done.states} == {f"borrowed from {pool}"}
    assert f"borrowed from {pool}" in call("status", sweep)
    assert f"5 stages are borrowed from {pool}" in call("plan", sweep)
    assert f"borrowed from {pool}" in call("why", sweep, "fsq+0.5", "psnr")
    assert ("borrowed from", str(pool)) in section(gathered(locate(runs_root, str(sweep)))).provenance
    for path in pool.glob(f"*/{runs.WEIGHTS}"):
        mine = runs_root / path.parent.name
        assert (
            not mine.is_symlink() and (mine / runs.WEIGHTS).is_symlink() and not (mine / runs.EXPERIMENT).is_symlink()
        )
        said = borrowed(mine)
        assert said and (said["pool"], said["run"]) == (str(pool), mine.name) and len(said["weights"]) == 64
    assert stood(pool) == before


def test_what_is_new_is_done_here_on_what_is_borrowed(sweep, runs_root, pool, tmp_path):
    """A new metric and a new last stage: the pool's runs are measured and gone on from, and the pool stays as it was."""
    before = stood(pool)
    text = SMALL.replace("[0.5]", "[0.5, 0.25]").replace("metrics: [psnr", "metrics: [ssim, psnr")
    text = text.replace("resolution: 16", "resolution: 32").replace("[ssim, psnr", "[psnr")
    done = launch(tiny.write(tmp_path, sweep=text))
    assert done.trained == 2 and done.measured == 5 and {state.status for state in done.states} == {"done"}
    assert stood(pool) == before
    assert omnitok.render_report(sweep, out=tmp_path / "report").complete
    assert sync(runs_root).writes == 0
    assert stood(pool) == before
    assert omnitok.replay_run("ask/fsq+0.5/0").verdict == "bitwise equal"
    gone = omnitok.collect_garbage(adversaries=True, free=True)
    assert not [one for one in gone.files if one.path.is_symlink()] and stood(pool) == before
    mine = [path for path in runs_root.glob("*/*.safetensors") if not path.is_symlink()]
    assert gone.weights == sum(path.stat().st_size for path in mine)


def test_a_pool_that_one_may_only_read_is_borrowed_from(sweep, pool):
    """By another user, where this one may write everything."""
    code = (
        "from omnitok.launching.launch import launch; import sys; print({s.status for s in launch(sys.argv[1]).states})"
    )
    with tempfile.TemporaryDirectory(prefix="omnitok-pool-") as name:
        place, home = Path(name), Path(name) / "home"
        shutil.copytree(pool, place / "shared")
        (place / "asked").mkdir()
        for path in sweep.parent.glob("*.yaml"):
            shutil.copy(path, place / "asked")
        home.mkdir()
        words = [sys.executable, "-c", code, str(place / "asked" / sweep.name)]
        if os.geteuid() == 0:
            if not all(map(anybody_reads, (Path(omnitok.__file__), Path(sys.executable)))):
                pytest.skip("none but root may read this checkout and its environment")
            os.chown(home, 65534, 65534)
            words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *words]
        for path in [
            *(place / "shared").rglob("*"),
            *(place / "asked").iterdir(),
            place / "shared",
            place / "asked",
            place,
        ]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        before = stood(place / "shared")
        variables = {"RUNS": home / "runs", "DATA": home / "data", "POOLS": place / "shared"}
        environment = {**os.environ, **{f"OMNITOK_{name}": str(path) for name, path in variables.items()}}
        environment |= {"HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": str(Path(omnitok.__file__).parent.parent)}
        made = subprocess.run(words, env=environment, cwd=home, capture_output=True, text=True, check=False)
        assert (made.returncode, made.stdout.strip()) == (0, "{'done'}"), made.stderr
        assert len(list((home / "runs").glob(f"*/{BORROWED}"))) == 5
        assert stood(place / "shared") == before
        for path in [place, *place.rglob("*")]:
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)


def anybody_reads(path: Path) -> bool:
    return all(place.stat().st_mode & 0o004 for place in [path, *path.parents])


def test_a_pool_that_goes_away_leaves_runs_to_be_trained_here(sweep, runs_root, pool, monkeypatch):
    launch(sweep)
    shutil.rmtree(pool)
    with pytest.raises(SpecError, match=f"OMNITOK_POOLS: there is no folder {pool}"):
        omnitok.launch_sweep(sweep)
    assert "there is no folder" in call("launch", sweep, code=2)
    monkeypatch.delenv("OMNITOK_POOLS")
    call("status", sweep)
    sync(runs_root)
    omnitok.collect_garbage(free=True)
    done = launch(sweep)
    assert done.trained == 5 and {state.status for state in done.states} == {"done"}
    assert not list(runs_root.glob(f"*/{BORROWED}"))
    assert not [path for path in runs_root.rglob("*") if path.is_symlink()]


def test_a_run_that_its_pool_lost_is_trained_here_and_the_others_stay(sweep, runs_root, pool):
    launch(sweep)
    lost = next(path.parent for path in sorted(pool.glob(f"*/{runs.WEIGHTS}")))
    shutil.rmtree(lost)
    done = launch(sweep)
    assert done.trained == 1 and borrowed(runs_root / lost.name) is None
    assert len(list(runs_root.glob(f"*/{BORROWED}"))) == 4


def broken_bytes(folder: Path) -> None:
    content = bytearray((folder / runs.WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / runs.WEIGHTS).write_bytes(content)


def cut_off(folder: Path) -> None:
    (folder / runs.WEIGHTS).write_bytes((folder / runs.WEIGHTS).read_bytes()[:-10])
    (folder / runs.ATTEMPTS).unlink()  # as of an older version, which wrote no sum


def another(folder: Path) -> None:
    said = runs.read_json(folder / runs.EXPERIMENT)
    (folder / runs.EXPERIMENT).write_text(json.dumps(said | {"seed": 7}))


@pytest.mark.parametrize(
    ("damage", "said"), [(broken_bytes, "were written"), (cut_off, "cannot be read"), (another, "is that of")]
)
def test_a_damaged_run_of_a_pool_is_refused(sweep, runs_root, pool, damage, said):
    hurt = next(path.parent for path in sorted(pool.glob(f"*/{runs.WEIGHTS}")))
    damage(hurt)
    with pytest.raises(SpecError, match=said) as refused:
        launch(sweep)
    assert [fault.path for fault in refused.value.faults] == [hurt.name]
    assert f"{hurt} is damaged" in call("launch", sweep, code=2)


def test_weights_that_change_after_they_were_borrowed_are_refused(sweep, runs_root, pool):
    launch(sweep)
    hurt = next(path.parent for path in sorted(pool.glob(f"*/{runs.WEIGHTS}")))
    os.utime(hurt / runs.WEIGHTS, (1, 1))
    launch(sweep)  # copied to another disk, but the same bytes
    broken_bytes(hurt)
    with pytest.raises(SpecError, match="changed since they were borrowed") as refused:
        launch(sweep)
    assert [fault.path for fault in refused.value.faults] == [hurt.name]


def outdated(pool: Path) -> dict[str, str]:
    """Every run of a pool as an older schema would have stored it, which did not know ``flip``. -> {digest of then: of now}."""
    found: dict[str, str] = {}
    for path in sorted(pool.glob(f"*/{runs.EXPERIMENT}"), key=lambda path: len(runs.read_json(path)["parents"])):
        said = runs.read_json(path)
        if "data" in said["spec"]:
            del said["spec"]["data"]["flip"]
        now = {new: then for then, new in found.items()}
        said["parents"] = {role: now.get(parent, parent) for role, parent in said["parents"].items()}
        found[from_json(said).digest] = path.parent.name
        path.write_text(json.dumps(said))
        path.parent.rename(pool / from_json(said).digest)
    return found


def test_what_was_trained_under_an_older_schema_is_borrowed_under_its_new_name(sweep, runs_root, pool, monkeypatch):
    then = outdated(pool)
    assert len([old for old, now in then.items() if old != now]) >= 4
    monkeypatch.setattr(Reconstruct, "train", lambda *_: pytest.fail("trained"))
    done = launch(sweep)
    assert done.trained == 0 and {state.status for state in done.states} == {"done"}
    assert {now: (borrowed(runs_root / now) or {})["run"] for now in then.values()} == {
        now: old for old, now in then.items()
    }


def test_a_folder_where_somebody_trains_is_left_alone(sweep, runs_root, pool):
    name = next(path.parent.name for path in sorted(pool.glob(f"*/{runs.WEIGHTS}")))
    (runs_root / name).mkdir(parents=True)
    planned = omnitok.plan_sweep(sweep)
    run = planned.runs[name]
    with runs.lease(runs_root / name):
        adopt.borrow(runs_root, [run])
        assert borrowed(runs_root / name) is None
    adopt.borrow(runs_root, [run])
    assert borrowed(runs_root / name)
