"""Studies in a real PostgreSQL: each trial exactly once whoever is killed, and whatever becomes of the server meanwhile."""

import multiprocessing
import threading
import time
from pathlib import Path

import pytest
from search_campaign import Crew, begin, campaign, check_exactly_once, stand_in, starts
from services import Postgres

from omnitok.search.worker import work

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def study(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OMNITOK_STUDY", database)
    return database


def test_a_hundred_trials_by_eight_workers_of_whom_five_are_killed(study: str, tmp_path: Path) -> None:
    campaign(tmp_path, count=100, workers=8, kills=5)


def test_workers_of_several_searches_make_an_empty_database_together(study: str, tmp_path: Path) -> None:
    folders = [begin(tmp_path / name, 2) for name in "abcdef"]
    crew = [FORK.Process(target=work, args=(one,), kwargs={"train": stand_in(one)}) for one in folders]
    for process in crew:
        process.start()
    for process in crew:
        process.join(300)
    assert [process.exitcode for process in crew] == [0] * len(crew)
    for folder in folders:
        check_exactly_once(folder, 2, 0)


def test_workers_wait_for_a_database_that_is_down_and_go_on(postgres: Postgres, study: str, tmp_path: Path) -> None:
    folder = begin(tmp_path, 30)
    crew = Crew(folder, 3, takes_s=0.05)
    try:
        crew.wait(lambda: len(starts(folder)) >= 8, "the eighth trial")
        postgres.crash()
        time.sleep(3)
        postgres.start()
        crew.wait(lambda: len(starts(folder)) >= 20, "the twentieth trial")
        postgres.stop()
        time.sleep(1)
        postgres.start()
        crew.wait_for_all()
    finally:
        crew.dismiss()
    check_exactly_once(folder, 30, 6)


def test_who_waits_for_a_database_may_be_told_to_stop(postgres: Postgres, study: str, tmp_path: Path) -> None:
    folder = begin(tmp_path, 2)
    postgres.stop()
    asked = threading.Event()
    worked = []
    waiting = threading.Thread(target=lambda: worked.append(work(folder, asked.is_set, train=stand_in(folder))))
    waiting.start()
    time.sleep(1)
    asked.set()
    waiting.join(120)
    postgres.start()
    assert worked[0].stopped
    work(folder, train=stand_in(folder))
    check_exactly_once(folder, 2, 0)


def test_the_password_of_a_database_is_nowhere(
    postgres: Postgres,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OMNITOK_STUDY", database.replace("@", ":s3cret@", 1))  # loopback asks for none
    folder = begin(tmp_path, 2)
    postgres.stop()
    waiting = threading.Thread(target=work, args=(folder,), kwargs={"train": stand_in(folder)})
    waiting.start()
    time.sleep(1)
    postgres.start()
    waiting.join(120)
    check_exactly_once(folder, 2, 0)
    assert "does not answer" in capsys.readouterr().out
    assert not [path for path in folder.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
