"""A training, an evaluation, a borrowed run: taken over, or on a full disk, at each of its writes."""

import errno
import os
from functools import partial

import pytest
from tiny import EXPERIMENT

from omnitok import provenance, runs, trial
from omnitok.runs import holding, leases, pools
from omnitok.spec import decode, read_value
from omnitok.training import EVALUATIONS
from omnitok.training.stage import bind, read_stages


def seen(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("n", range(4))
def test_who_was_put_out_while_it_borrows_from_a_pool_links_nothing_more(tmp_path, monkeypatch, n):
    lent, mine = tmp_path / "lent", tmp_path / "mine"
    for place in (lent, mine):
        place.mkdir()
    for name in (runs.RECORDS, runs.WEIGHTS, runs.RESULT):
        (lent / name).write_text("{}")
    (mine / runs.CHECKPOINT).touch()
    there = {}

    def taken_over():
        [place] = (mine / "attempts").iterdir()
        leases._rename_away(place)
        with runs.lease(mine) as other:
            other.write(mine / runs.EXPERIMENT, b"trained by another")
        there.update(seen(mine))

    with pytest.raises(runs.Fenced), runs.lease(mine) as held:
        Nth(monkeypatch, leases.Held, "_draft", n, taken_over)
        pools.borrow(held, lent, {"pool": "lent"}, measured=False)
    assert seen(mine) == there and not (mine / runs.RESULT).exists()


def still(patched):
    """The sources are at rest: what is compared must not hang on who edits them meanwhile."""
    patched.setattr(provenance, "code", lambda: "as it is")
    patched.setattr(provenance, "diff", lambda: "one line\n")


def planned():
    return bind(read_stages(read_value(EXPERIMENT.replace("steps: 5", "steps: 2"), "tiny.yaml"))[0], 0, {})


@pytest.fixture
def folder(runs_root, monkeypatch):
    still(monkeypatch)
    return trial.create(runs_root, planned())


PHOTOS = "{data: {type: embedded, short_side: 32}, frames: 1, resolution: 16, metrics: [psnr]}"


def work(folder):
    trial.run(folder, checkpoint_every_s=0.0)
    trial.evaluate_run(folder, decode(EVALUATIONS, read_value(PHOTOS, "here")))


def everything(folder):
    """All that a run is, without what tells the time."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    told = {runs.PROVENANCE, runs.ATTEMPTS}
    whole = {name: path.read_bytes() for name, path in files.items() if name not in told}
    measured = {name: runs.read_json(files[name]) for name in whole if name.startswith(runs.EVALUATIONS)}
    return whole | {name: said | {"seconds": 0} for name, said in measured.items()}, [
        (one["from_step"], one["to_step"], one["ended"]) for one in runs.attempts(folder)
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    whole = trial.create(tmp_path_factory.mktemp("undisturbed"), planned())
    with pytest.MonkeyPatch.context() as patched:
        still(patched)
        work(whole)
    return everything(whole)


def empty(folder):
    """As it was before anything ran."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.name != runs.EXPERIMENT:
            path.rmdir() if path.is_dir() else path.unlink()


class Nth:
    """Does something the nth time that ``name`` of ``owner`` is called, before that is."""

    def __init__(self, monkeypatch, owner, name, n, does):
        self.left, self.does, self.really = n, does, getattr(owner, name)
        monkeypatch.setattr(owner, name, self)

    def __get__(self, held, owner):
        return partial(self, held)

    def __call__(self, *words):
        self.left -= 1
        if self.left == -1:
            self.does()
        return self.really(*words)


WRITES = [
    (leases.Held, "_draft"),
    (os, "fsync"),
    (leases.Held, "check"),
]  # before each, in its middle, and at each look


@pytest.mark.parametrize(("owner", "name"), WRITES)
def test_a_stale_copy_changes_nothing_wherever_it_was_frozen(folder, undisturbed, monkeypatch, owner, name):
    places, n = [], 0

    def taken_over():
        [place] = (folder / "attempts").iterdir()
        leases._rename_away(place)  # as who finds it stale does
        work(folder)
        places.append(everything(folder))

    while len(places) == n:
        with monkeypatch.context() as patched:
            hook = Nth(patched, owner, name, n, taken_over)
            try:
                work(folder)
            except runs.Fenced:
                assert hook.left < 0
        if len(places) > n:
            assert everything(folder) == places[n] and not (folder / runs.ERROR).exists()
            assert places[n][0] == undisturbed[0]
            assert runs.status(folder) == "done" and not (folder / "attempts").exists()
        n += 1
        empty(folder)
    assert n > 5  # places there were


def full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(("owner", "name"), [*WRITES[:2], (leases, "_locked"), (holding.Growing, "append")])
def test_a_disk_that_is_full_at_any_write_costs_nothing_but_time(folder, undisturbed, monkeypatch, owner, name):
    n, died = 0, True
    while died:
        with monkeypatch.context() as patched:
            hook = Nth(patched, owner, name, n, full)
            try:
                work(folder)
            except OSError as error:
                assert error.errno == errno.ENOSPC
            died = hook.left < 0
        work(folder)
        whole, tries = everything(folder)
        assert whole == undisturbed[0], n
        assert all(one[2] in ("done", "failed") for one in tries), n
        n += 1
        empty(folder)
    assert n > 2


def test_a_record_that_a_full_disk_tears_is_measured_again(folder, undisturbed, monkeypatch):
    def torn(self, content):
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        full()

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(holding.Growing, "append", torn)
        work(folder)
    assert runs.failure(folder).kind == "disk" and not list(runs.records(folder))
    work(folder)
    assert everything(folder)[0] == undisturbed[0]


def test_a_full_disk_does_not_hide_why_a_run_died(folder, monkeypatch):
    from omnitok.training.reconstruct import Reconstruct

    def die(self, start=0):
        monkeypatch.setattr(os, "fsync", lambda number: full())
        raise KeyError("the reason")
        yield

    monkeypatch.setattr(Reconstruct, "train", die)
    died = trial.attempt(lambda: trial.run(folder))
    assert died.kind in ("bug", "disk") and "the reason" in died.traceback
    assert not runs.leased(folder)
