"""Where a study lies: a journal under torn lines, dead writers and full disks, SQLite, an address."""

import json
import os
import signal
import time
from pathlib import Path

import optuna
import pytest
from search_campaign import FORK, after, begin, stand_in

from omnitok import runs
from omnitok.search import standing
from omnitok.search.storage import Journal, open_storage
from omnitok.search.worker import work
from omnitok.spec import SpecError


def test_a_torn_last_line_of_the_journal_hinders_nobody(tmp_path):
    folder = begin(tmp_path, 4)
    work(folder, after(3), train=stand_in(folder))
    with (folder / "journal.log").open("ab") as file:
        file.write(b'{"op_code":4,"worker_id":"torn')
    reader = open_storage(folder)
    assert reader.get_all_studies()
    work(folder, train=stand_in(folder))
    assert standing(folder).complete == 4
    assert all(map(json.loads, (folder / "journal.log").read_bytes().splitlines()))


def test_optunas_own_journal_cannot_be_read_after_a_torn_line(tmp_path):
    own = optuna.storages.journal.JournalFileBackend(str(tmp_path / "own.log"))
    ours = Journal(str(tmp_path / "ours.log"))
    for backend in (own, ours):
        backend.append_logs([{"a": 1}])
        with Path(backend._file_path).open("ab") as file:
            file.write(b'{"torn')
        backend.append_logs([{"b": 2}])
        backend.append_logs([{"c": 3}])
    assert list(ours.read_logs(0)) == [{"a": 1}, {"b": 2}, {"c": 3}]
    with pytest.raises(ValueError, match="Expecting|Unterminated|delimiter"):
        list(own.read_logs(0))


def test_a_dead_writers_lock_is_free_at_once(tmp_path):
    path = tmp_path / "journal.log"

    def dies():
        import fcntl

        file = path.open("ab+")
        fcntl.flock(file, fcntl.LOCK_EX)
        os.kill(os.getpid(), signal.SIGKILL)

    process = FORK.Process(target=dies)
    process.start()
    process.join(60)
    begun = time.monotonic()
    Journal(str(path)).append_logs([{"a": 1}])
    assert time.monotonic() - begun < 20, "Optuna's own lock is waited for 30 s"


def test_a_writer_that_is_frozen_in_a_line_of_the_journal_is_waited_for_and_a_stop_is_heard(
    tmp_path, monkeypatch, capsys
):
    import fcntl

    monkeypatch.setattr("omnitok.search.storage.LINE_S", 0.2)
    folder = begin(tmp_path, 3)
    work(folder, after(3), train=stand_in(folder))
    before = standing(folder)
    with (folder / "journal.log").open("ab+") as frozen:
        fcntl.flock(frozen, fcntl.LOCK_EX)
        until = time.monotonic() + 1
        assert work(folder, lambda: time.monotonic() > until, train=stand_in(folder)).stopped
    assert "the study does not answer" in capsys.readouterr().out and standing(folder) == before
    work(folder, train=stand_in(folder))
    assert standing(folder).complete == standing(folder).started == 3


def test_a_journal_that_the_disk_refuses_is_as_before(tmp_path, monkeypatch):
    journal = Journal(str(tmp_path / "journal.log"))
    journal.append_logs([{"a": 1}])

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        journal.append_logs([{"b": 2}])
    monkeypatch.undo()
    assert list(journal.read_logs(0)) == [{"a": 1}]


def test_one_worker_alone_may_use_sqlite(tmp_path, monkeypatch):
    monkeypatch.setenv("OMNITOK_STUDY", f"sqlite:///{tmp_path}/x.db")
    folder = begin(tmp_path, 2)
    (folder / "worker").mkdir()
    with runs.lease(folder / "worker"), pytest.raises(SpecError, match="out twice"):
        work(folder, train=stand_in(folder))
    assert len(work(folder, train=stand_in(folder)).trials) == 2


@pytest.mark.parametrize(
    ("said", "why"), [("mysql://a:pw@h/x", "no address of a study"), ("postgresql+pg8000://a:pw@h/x", "not installed")]
)
def test_a_studys_address_that_cannot_be_is_refused_without_its_password(monkeypatch, said, why):
    from omnitok.training.environment import check_environment
    from omnitok.training.environment import said as told

    monkeypatch.setenv("OMNITOK_STUDY", said)
    with pytest.raises(SpecError, match=why) as refused:
        check_environment()
    assert "pw" not in str(refused.value)
    assert "pw" not in told()["OMNITOK_STUDY"]
