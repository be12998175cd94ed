"""A real PostgreSQL and a real MLflow server for the tests, and what is said where a service cannot be had."""

import os
from pathlib import Path

import packages
import psutil
import pytest
from daemons import Failed
from mlflow import MlflowClient
from packages import Missing, need, nothing_starts, unavailable
from services import Mlflow, Postgres


def test_postgres_keeps_what_was_committed_through_a_crash(postgres: Postgres, database: str) -> None:
    name = database.rpartition("/")[2]
    postgres.ask("CREATE TABLE t (x int)", name)
    postgres.ask("INSERT INTO t VALUES (1), (2)", name)
    postgres.crash()
    with pytest.raises(Failed, match="refused"):
        postgres.ask("SELECT 1")
    postgres.start()
    assert postgres.ask("SELECT sum(x) FROM t", name) == "3"
    postgres.freeze()
    with pytest.raises(Failed, match="timed out|timeout"):
        postgres.ask("SELECT 1", seconds=2)
    postgres.thaw()
    assert postgres.ask("SELECT 1") == "1"


def test_each_database_is_a_new_one(postgres: Postgres, database: str) -> None:
    assert postgres.create() != database
    assert (
        postgres.ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", database.rpartition("/")[2]) == "0"
    )


def test_mlflow_keeps_its_runs_while_it_is_down(mlflow_server: Mlflow) -> None:
    client = MlflowClient(mlflow_server.url)
    run = client.create_run(client.create_experiment("kept"))
    client.log_metric(run.info.run_id, "loss", 0.5)
    mlflow_server.stop()
    assert not mlflow_server.daemons.family()
    mlflow_server.start()
    assert client.get_run(run.info.run_id).data.metrics == {"loss": 0.5}


def test_services_listen_on_loopback_only(postgres: Postgres, mlflow_server: Mlflow) -> None:
    pids = {process.pid for service in (postgres, mlflow_server) for process in service.daemons.family()}
    sockets = [s for s in psutil.net_connections(kind="inet") if s.pid in pids and s.status == psutil.CONN_LISTEN]
    assert {s.laddr for s in sockets} == {("127.0.0.1", postgres.port), ("127.0.0.1", mlflow_server.port)}


def test_what_is_missing_is_said_in_one_line_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Missing) as refused:
        need("Slurm", {"no-such-daemon": "slurm-wlm", "sh": "dash"})
    said = "Slurm is not here (no-such-daemon): apt-get install --no-install-recommends slurm-wlm, as root on Debian"
    assert str(refused.value) == said


def test_a_missing_service_skips_unless_services_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMNITOK_REQUIRE_SERVICES", raising=False)
    with pytest.raises(pytest.skip.Exception, match="^no Slurm$"):
        unavailable(Missing("no Slurm"))
    monkeypatch.setenv("OMNITOK_REQUIRE_SERVICES", "1")
    with pytest.raises(pytest.fail.Exception, match="but no Slurm$"):
        unavailable(Missing("no Slurm"))


def test_a_policy_that_was_there_stays_and_ours_goes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(packages, "POLICY", tmp_path / "policy-rc.d")
    with nothing_starts():
        assert os.access(packages.POLICY, os.X_OK)
    assert not packages.POLICY.exists()
    packages.POLICY.write_text("theirs")
    with nothing_starts():
        pass
    assert packages.POLICY.read_text() == "theirs"


APT = """#!/bin/sh
# As on a fresh machine: what there is to install is not known before somebody asks.
here=$(dirname "$0")
echo "$*" >> "$here/said"
case "$*" in
  update) touch "$here/lists" ;;
  *install*) [ -e "$here/lists" ] || { echo "E: Unable to locate package no-such-package" >&2; exit 100; }
    printf '#!/bin/sh\\n' > "$here/no-such-daemon"; chmod +x "$here/no-such-daemon" ;;
esac
"""


def test_on_a_fresh_machine_the_lists_of_packages_are_fetched_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = tmp_path / "bin"
    place.mkdir()
    (place / "apt-get").write_text(APT)
    (place / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(packages, "POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    need("A daemon", {"no-such-daemon": "no-such-package", "sh": "dash"})
    said = (place / "said").read_text().splitlines()
    assert [line.split()[-1] for line in said] == ["no-such-package", "update", "no-such-package"]
    assert all("--no-install-recommends" in line for line in said if "install" in line)
    need("A daemon", {"no-such-daemon": "no-such-package"})
    assert len((place / "said").read_text().splitlines()) == 3  # what is there is not installed again


def test_a_package_that_cannot_be_had_is_said_with_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = tmp_path / "bin"
    place.mkdir()
    (place / "apt-get").write_text("#!/bin/sh\necho 'E: no network' >&2; exit 100\n")
    (place / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(packages, "POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(Missing, match="no-such-package failed: E: no network"):
        need("A daemon", {"no-such-daemon": "no-such-package"})
