"""The pages in docs/ are tried as they are written: their shell blocks are run, one after another, in one shell."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from cluster import Cluster
from daemons import free_ports
from faulted import long, text
from packages import search_path
from services import Postgres

from omnitok import plan_sweep

DOCS = Path(__file__).parent.parent.parent / "docs"
OMNITOK = """#!/bin/sh
exec {} -m omnitok.cli "$@"
"""


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


class Reader:
    """Somebody who has the environment activated, a home folder and nothing else."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "bin").mkdir(parents=True)
        command = home / "bin" / "omnitok"
        command.write_text(OMNITOK.format(sys.executable))
        command.chmod(0o755)
        path = [str(home / "bin"), str(Path(sys.executable).parent), search_path()]
        self.own = {"HOME": str(home), "PATH": os.pathsep.join(path)}

    @property
    def environment(self) -> dict[str, str]:
        return {**{name: value for name, value in os.environ.items() if name != "PGPASSFILE"}, **self.own}

    def does(self, *scripts: str, **more: str) -> str:
        """Types them in one shell, where the first command that fails ends it. -> what it said."""
        script = "\n".join(["set -euo pipefail", *scripts])
        made = subprocess.run(["bash", "-c", script], cwd=self.home, env={**self.environment, **more},
                              capture_output=True, text=True, check=False, timeout=400)  # fmt: skip
        assert made.returncode == 0, f"{made.stdout}\n{made.stderr}"
        return made.stdout


@pytest.fixture
def reader(tmp_path: Path, runs_root: Path) -> Reader:
    runs_root.mkdir()
    return Reader(tmp_path / "home")


def asked_for_passwords(postgres: Postgres, lines: str) -> None:
    """As the page says, but that the tests' own superuser goes on without one."""
    path = Path(postgres.ask("SHOW hba_file"))
    path.write_text(f"{lines}\n{path.read_text()}")


def test_the_page_on_postgresql(reader: Reader, postgres: Postgres) -> None:
    asked_for_passwords(postgres, *blocks("postgresql.md", "pg_hba"))
    superuser = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "PGUSER": "omnitok"}
    said = reader.does(*blocks("postgresql.md", "sh"), 'echo "study: $OMNITOK_STUDY"', **superuser)
    assert f"study: postgresql://studies@127.0.0.1:{postgres.port}/studies" in said
    assert (reader.home / "studies.dump").stat().st_size > 0
    refused = ["psql", f"postgresql://studies@127.0.0.1:{postgres.port}/studies", "--no-password", "-c", "SELECT 1"]
    made = subprocess.run(refused, env={**reader.environment, "HOME": "/nowhere"}, capture_output=True, check=False)
    assert made.returncode and b"password" in made.stderr


def test_the_page_on_mlflow(reader: Reader, database: str, tmp_path: Path) -> None:
    sweep = tiny.write(tmp_path, long(3), text(shares="[0.5]"))
    reader.does(f"omnitok launch {sweep} --cluster debug")
    *first, last = blocks("mlflow.md", "sh")
    told = {
        "BACKEND": database.replace("://", "+psycopg2://"),
        "PORT": str(free_ports(1)),
        "PLACE": str(reader.home / "mlflow"),
    }
    said = reader.does("set +m", 'trap "kill $(cat $PLACE/pid 2>/dev/null) 2>/dev/null || true" ERR',
                       *first, "omnitok sync", last, "wait || true", **told)  # fmt: skip
    assert "3 stage runs and 2 trials in http://127.0.0.1" in said and "nothing to do" in said


def test_the_page_on_slurm(reader: Reader, cluster: Cluster, tmp_path: Path) -> None:
    (reader.home / "sweeps").mkdir()
    (reader.home / "sweeps" / "tiny.yaml").write_text(long(5))
    (reader.home / "sweeps" / "mine.yaml").write_text(text())
    said = reader.does(*blocks("slurm.md", "sh"))
    assert "report: " in said and "cancelled " in said
    assert "3 done" in said.rpartition("cancelled ")[2]
    assert not cluster.ask("squeue", "--noheader")


def test_what_the_page_on_slurm_says_in_yaml_is_legal(tmp_path: Path, runs_root: Path) -> None:
    said = blocks("slurm.md", "yaml")
    assert [block.partition(":")[0] for block in said] == ["resources", "failures"]
    asked = text().partition("resources:")[0] + "".join(said)
    planned = plan_sweep(tiny.write(tmp_path, long(3).replace("batch: 2", "batch: 8"), asked))
    assert planned.asked.file.resources.stages["joint"].nodes == 2
