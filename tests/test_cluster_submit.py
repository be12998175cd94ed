"""What is asked of Slurm and what its answers mean, with commands of our own in its place."""

import json
import re
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from omnitok import provenance, runs
from omnitok.cluster import Piece, Submitted, ledger, questions, queue, sbatch, submit
from omnitok.spec import SpecError


class Resources(NamedTuple):
    threads: int = 2
    checkpoint_every_s: float = 30.0
    max_parallel: int | None = None
    environment: dict[str, str] = {"OMNITOK_DATA_WORKERS": "3"}
    job: dict[str, Any] = {"timeout_min": 60}


class Slurm:
    """Commands on PATH that answer what a test says, and keep what they were told."""

    def __init__(self, folder):
        self.folder, self.bin = folder, folder / "bin"
        self.bin.mkdir()
        self.says("squeue", "")
        self.says("sacct", "")
        self.says("sacctmgr", "")
        self.says("srun", "")
        self.says("scontrol", "MaxArraySize            = 4\nMaxJobCount             = 10000\n")
        self.does(
            "sbatch",
            f'n=$(( $(ls {folder}/*.sh 2>/dev/null | wc -l) + 101 )); for last; do :; done; cp "$last" {folder}/$n.sh; '
            "echo Submitted batch job $n",
        )

    def does(self, command, line):
        path = self.bin / command
        path.write_text(f'#!/bin/sh\necho {command} "$@" >> {self.folder}/asked\n{line}\n')
        path.chmod(0o755)

    def says(self, command, text):
        (self.folder / command).write_text(text)
        self.does(command, f"cat {self.folder / command}")

    def fails(self, command, why):
        self.does(command, f"echo '{why}' >&2; exit 1")

    @property
    def asked(self):
        path = self.folder / "asked"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def scripts(self):
        """What each array was asked for: {an option of sbatch: its value}, and the lines of its set-up."""
        found = []
        for path in sorted(self.folder.glob("*.sh")):
            options = re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", path.read_text(), re.MULTILINE)
            found.append({**dict(options), "text": path.read_text()})
        return found


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    made = Slurm(tmp_path)
    monkeypatch.setenv("PATH", f"{made.bin}:/usr/bin:/bin")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return made


@pytest.fixture
def sweep(runs_root):
    folder = runs_root / "sweeps" / "0123456789abcdef"
    folder.mkdir(parents=True)
    return folder


NAME = "omnitok-0123456789abcdef"


def piece(name, *after, **resources):
    return Piece(name, f"arm {name}", (name,), (), after, resources)


def entry(name, stages, job, attempt=1):
    return ledger.Entry(provenance.now(), name, stages, job, attempt, "code", {})


def told(sweep, **jobs):
    """Submissions as an earlier launch left them."""
    before = ledger.attempts(sweep)
    for name, job in jobs.items():
        ledger.add(sweep, entry(name, [name], job, before[name] + 1))


def long_ago(sweep):
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="seconds")
    path = sweep / ledger.LEDGER
    path.write_text(re.sub(r'"at": "[^"]*"', f'"at": "{past}"', path.read_text()))


def test_the_roots_are_arrays_as_large_as_the_site_allows(slurm, runs_root, sweep):
    found = submit(runs_root, sweep, [piece(f"p{i}") for i in range(6)], Resources(max_parallel=2))
    assert found == [Submitted(f"p{i}", f"101_{i}") for i in range(4)] + [
        Submitted(f"p{i}", f"102_{i - 4}") for i in (4, 5)
    ]
    first, second = slurm.scripts
    assert (first["array"], second["array"]) == ("0-3%2", "0-1%2")
    assert first["job-name"] == NAME and first["time"] == "60"
    assert first["cpus-per-task"] == "5" and first["signal"] == "USR2@90"
    assert "requeue" in first and first["kill-on-invalid-dep"] == "yes" and "dependency" not in first
    code = next((runs_root / "code").iterdir())
    assert f"export PYTHONPATH={code}${{PYTHONPATH:+:$PYTHONPATH}}" in first["text"]
    assert "export OMP_NUM_THREADS=2" in first["text"] and "export SRUN_CPUS_PER_TASK=5" in first["text"]
    assert [entry.attempt for entry in ledger.read(sweep)] == [1] * 6


def test_children_are_an_array_that_waits_for_the_task_of_their_parent(slurm, runs_root, sweep):
    pieces = [piece("c", "b"), piece("b1", "a"), piece("b", "a"), piece("a"), piece("a2"), piece("d", "a2")]
    found = dict(submit(runs_root, sweep, pieces, Resources()))
    assert found == {"a": "101_0", "a2": "101_1", "b1": "102_0", "b": "102_1", "d": "103", "c": "104"}
    assert [script.get("dependency") for script in slurm.scripts] == [
        None,
        "afterok:101_0",
        "afterok:101_1",
        "afterok:102_1",
    ]


def test_other_resources_are_another_array_and_options_go_on_as_they_are(slurm, runs_root, sweep):
    pieces = [piece("a"), piece("b", mem_gb=2, slurm_partition="big"), piece("c")]
    resources = Resources(job={"slurm_setup": ["module load x"], "slurm_additional_parameters": {"nice": 5}})
    submit(runs_root, sweep, pieces, resources)
    first, second = slurm.scripts
    assert (first["array"], second["mem"], second["partition"]) == ("0-1%2", "2GB", "big")
    assert first["nice"] == "5" and first["time"] == "240"
    assert first["text"].index("module load x") < first["text"].index("export PYTHONPATH")


def test_what_is_done_or_with_slurm_is_not_submitted_again(slurm, runs_root, sweep):
    for name in ("done", "waits"):
        (runs_root / name).mkdir()
    runs.write_json(runs_root / "done" / runs.RESULT, {})
    told(sweep, runs="12_0", waits="12_1", died="12_2", young="13")
    slurm.says("squeue", f"12_0|RUNNING|{NAME}|None\n12_1|PENDING|{NAME}|Priority\n")
    slurm.says("sacct", f"12_0|RUNNING|{NAME}|None\n12_2|FAILED|{NAME}|None\n")
    names = ["done", "runs", "waits", "died", "young", "new"]
    found = submit(runs_root, sweep, [*map(piece, names), piece("child", "runs")], Resources())
    assert [one.piece for one in found] == ["died", "new", "child"]
    assert slurm.scripts[-1]["dependency"] == "afterok:12_0"
    assert {entry.piece: entry.attempt for entry in ledger.read(sweep)}["died"] == 2


def test_a_stage_that_another_sweep_has_with_slurm_is_waited_for_and_not_trained_beside_it(slurm, runs_root, sweep):
    other = sweep.with_name("fedcba9876543210")
    other.mkdir()
    ledger.add(other, entry("last", ["first", "last"], "12_0"))
    ledger.add(other, entry("x", ["x"], "13"))
    slurm.says("squeue", "12_0|RUNNING|omnitok-fedcba9876543210|None\n")
    pieces = [Piece("mine", "arm", ("first", "mine"), (), (), {}), piece("x"), piece("child", "mine")]
    submit(runs_root, sweep, pieces, Resources())
    assert [script.get("dependency") for script in slurm.scripts] == ["afterany:12_0", None, "afterok:101"]


def test_no_more_is_submitted_than_one_user_may_have(slurm, runs_root, sweep):
    slurm.does("sacctmgr", "printf '|\\n|5\\n|7\\n'")
    slurm.says("squeue", "1\n2\n")
    found = submit(runs_root, sweep, [piece(f"p{i}") for i in range(6)], Resources())
    assert len(found) == 3 and [script["array"] for script in slurm.scripts] == ["0-2%3"]


@pytest.mark.parametrize(
    ("accounts", "most"), [("", 40), ("|", 40), ("|30", 30), ("fast|", 9), ("fast|8", 8), ("idle|", questions.NO_LIMIT)]
)
def test_of_qualities_of_service_only_ones_own_limits_one(slurm, accounts, most):
    slurm.says("scontrol", "")
    services = "normal|40\ndebug|1\nfast|9\nidle|"
    slurm.does("sacctmgr", f'case "$*" in *qos*) echo "{services}";; *) echo "{accounts}";; esac')
    assert questions.limits().submitted == most


def test_a_job_submitted_from_inside_a_job_inherits_nothing_of_it(slurm, runs_root, sweep, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_CONF", "there")
    slurm.does("sbatch", f'env | grep ^SLURM_ > {slurm.folder}/inherited; echo "Submitted batch job 9"')
    assert submit(runs_root, sweep, [piece("a")], Resources()) == [("a", "9")]
    assert (slurm.folder / "inherited").read_text().split() == ["SLURM_CONF=there"]


def test_pieces_that_are_packed_share_a_job_but_for_those_that_others_wait_for(slurm, runs_root, sweep):
    pieces = [piece("trunk"), *(piece(f"p{i}") for i in range(5)), piece("big", mem_gb=8), piece("child", "trunk")]
    pieces += [Piece("found", "search of an arm", (), (), (), {}, search="sweeps/0123456789abcdef/search/arm")]
    found = dict(submit(runs_root, sweep, pieces, Resources(job={"pack": 2})))
    packs = {"p0": "101_1", "p1": "101_1", "p2": "101_2", "p3": "101_2", "p4": "101_3"}
    assert found == {"trunk": "101_0", **packs, "found": "102", "big": "103", "child": "104"}
    assert slurm.scripts[0]["array"] == "0-3%4"
    slurm.says("squeue", f"101_1|RUNNING|{NAME}|None\n101_2|FAILED|{NAME}|None\n101_0|RUNNING|{NAME}|None\n")
    stands = {name: one.state for name, one in queue(sweep).items()}
    assert (stands["p0"], stands["p1"], stands["p2"], stands["p3"]) == ("running", "running", "failed", "failed")
    again = submit(runs_root, sweep, [piece(f"p{i}") for i in range(4)], Resources(job={"pack": 2}))
    assert [one.piece for one in again] == ["p2", "p3"] and len({one.job for one in again}) == 1


def test_only_trainings_are_given_several_tasks_and_a_piece_has_an_environment_of_its_own(slurm, runs_root, sweep):
    many = {"nodes": 2, "tasks_per_node": 4}
    measured = Piece("a.evaluations", "arm", (), (("a", {"name": "x"}),), ("a",), {})
    searched = Piece("s", "arm", (), (), (), {}, search="there")
    own = piece("a", environment={"OMNITOK_RECOMPUTE": "1"})
    submit(runs_root, sweep, [own, measured, searched], Resources(job=many))
    by_nodes = sorted((one["nodes"], one["ntasks-per-node"]) for one in slurm.scripts)
    assert by_nodes == [("1", "1"), ("1", "1"), ("2", "4")]
    said = [runs.read_json(path) for path in sorted((sweep / "jobs").glob("*/tasks.json"))]
    environments = {one["tasks"][0][0]["id"]: one["resources"]["environment"] for one in said}
    assert environments["a"]["OMNITOK_RECOMPUTE"] == "1" and environments["a"]["OMNITOK_DATA_WORKERS"] == "3"
    assert "OMNITOK_RECOMPUTE" not in environments["s"]


def test_a_search_is_open_until_its_winner_is_known(slurm, runs_root, sweep):
    searched = Piece("s", "arm", (), (), (), {}, search="there")
    (runs_root / "there").mkdir()
    assert len(submit(runs_root, sweep, [searched], Resources())) == 1
    slurm.says("squeue", "")
    slurm.says("sacct", f"101|COMPLETED|{NAME}|None\n")
    assert len(submit(runs_root, sweep, [searched], Resources())) == 1
    (runs_root / "there" / "winner.json").write_text("{}")
    slurm.says("sacct", f"101|COMPLETED|{NAME}|None\n102|COMPLETED|{NAME}|None\n")
    assert submit(runs_root, sweep, [searched], Resources()) == []


def test_a_controller_that_hangs_is_refused_and_what_it_may_have_is_not_submitted_twice(
    slurm, runs_root, sweep, monkeypatch
):
    monkeypatch.setattr(sbatch, "SBATCH_S", 0.5)
    pieces = [piece("a"), piece("b")]
    slurm.does("sbatch", "sleep 60")
    with pytest.raises(
        SpecError, match=r"sbatch said nothing in 0.5 seconds; whether it has arm a is not known: launch"
    ):
        submit(runs_root, sweep, pieces, Resources())
    [token] = {entry.token for entry in ledger.read(sweep)}
    assert any(f"omnitok:{token}" in line for line in slurm.asked)
    assert any(f"--export=ALL --job-name={NAME} " in line for line in slurm.asked)  # whatever SBATCH_... says
    assert {one.state for one in queue(sweep).values()} == {"unknown"}
    assert submit(runs_root, sweep, pieces, Resources()) == [] and slurm.scripts == []
    slurm.does(
        "squeue",
        f"""case "$*" in *%k*) echo '77|/there omnitok:{token}';; *) printf '77_0|RUNNING|{NAME}|None\n77_1|PENDING|{NAME}|x\n';; esac""",
    )
    assert {name: (one.job, one.state) for name, one in queue(sweep).items()} == {
        "a": ("77_0", "running"), "b": ("77_1", "pending")
    }  # fmt: skip
    assert submit(runs_root, sweep, pieces, Resources()) == []
    assert [entry.job for entry in ledger.read(sweep)] == ["77_0", "77_1"]  # now it is written down


def test_what_slurm_never_got_is_submitted_again_after_two_minutes(slurm, runs_root, sweep, monkeypatch):
    slurm.fails("sbatch", "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")
    with pytest.raises(SpecError, match="Socket timed out .*; whether it has arm a is not known"):
        submit(runs_root, sweep, [piece("a")], Resources())
    slurm.does("sbatch", "echo Submitted batch job 9")
    assert submit(runs_root, sweep, [piece("a")], Resources()) == []
    long_ago(sweep)
    assert submit(runs_root, sweep, [piece("a")], Resources()) == [("a", "9")]
    assert [(entry.job, entry.attempt) for entry in ledger.read(sweep)] == [("9", 1)]  # nothing came of the first


def test_a_job_that_the_queue_has_forgotten_is_found_by_the_line_that_submitted_it(slurm, runs_root, sweep):
    mine = ledger.Entry(provenance.now(), "a", ["a"], "", 1, "code", {}, "f" * 32)
    ledger.intend(sweep, [mine])
    slurm.does(
        "sacct",
        f"""case "$*" in *SubmitLine*) echo '5|sbatch --comment=/x omnitok:{"f" * 32} /x/sbatch.sh';; *) echo '5|FAILED|{NAME}|None';; esac""",
    )
    assert [(one.job, one.state) for one in queue(sweep).values()] == [("5", "failed")]
    assert [one.piece for one in submit(runs_root, sweep, [piece("a")], Resources())] == ["a"]


def test_refusals_of_slurm_and_of_submitit_are_sentences(slurm, runs_root, sweep, capsys):
    with pytest.raises(SpecError, match=r"slurm_partitoin: no option of a Slurm job; .*slurm_partition"):
        submit(runs_root, sweep, [piece("a", slurm_partitoin="big")], Resources())
    slurm.fails("sbatch", "sbatch: error: invalid partition specified: big")
    with pytest.raises(SpecError, match="Slurm refuses arm a: sbatch: error: invalid partition specified: big"):
        submit(runs_root, sweep, [piece("a", slurm_partition="big")], Resources())
    assert ledger.read(sweep) == []


def test_what_the_task_is_told_is_plain_data(slurm, runs_root, sweep, monkeypatch):
    monkeypatch.setenv("OMNITOK_WEIGHTS", "/there")
    submit(runs_root, sweep, [piece("a")], Resources())
    [path] = (sweep / "jobs").glob("*/tasks.json")
    said = runs.read_json(path)
    assert (said["root"], said["timeout_min"]) == (str(runs_root), 60)
    assert [one["id"] for [one] in said["tasks"]] == ["a"]
    environment = said["resources"]["environment"]
    assert environment["OMNITOK_WEIGHTS"] == "/there" and environment["OMNITOK_DATA"].startswith("/")


def test_the_queue_is_one_call_each_and_states_are_few_words(slurm, sweep):
    assert queue(sweep) == {} and slurm.asked == []
    told(sweep, a="12_0", b="12_1", c="12_2", d="13", e="14", f="15", g="16")
    slurm.says("squeue", f"12_0|PENDING|{NAME}|Resources\n12_1|COMPLETING|{NAME}|None\n16|PENDING|other|None\n")
    slurm.says(
        "sacct",
        f"12_2|CANCELLED by 0|{NAME}|None\n13|COMPLETED|{NAME}|None\n14|OUT_OF_MEMORY|{NAME}|None\n15|RUNNING|{NAME}|None\n",
    )
    found = {name: (one.state, one.reason) for name, one in queue(sweep).items()}
    assert found == {
        "a": ("pending", "Resources"),
        "b": ("running", "COMPLETING"),
        "c": ("cancelled", "CANCELLED by 0"),
        "d": ("done", "COMPLETED"),
        "e": ("failed", "OUT_OF_MEMORY"),
        "f": ("unknown", "Slurm does not know it yet"),  # the accounting believes that it runs, the queue knows better
        "g": ("unknown", "Slurm does not know it yet"),  # the number is another's
    }
    assert len(slurm.asked) == 2 and all("--jobs=12,13,14,15,16" in line for line in slurm.asked)
    long_ago(sweep)
    assert {queue(sweep)[name].state for name in ("f", "g")} == {"lost"}


def test_a_number_that_was_given_out_again_is_its_new_owners(slurm, sweep):
    told(sweep, first="12")
    told(sweep, second="12")
    slurm.says("squeue", f"12|RUNNING|{NAME}|None\n")
    assert {name: one.state for name, one in queue(sweep).items()} == {"first": "unknown", "second": "running"}


def test_without_the_queue_the_accounting_is_believed_and_ranges_are_read(slurm, sweep):
    told(sweep, a="12_0", b="12_3", c="12_4", d="12_7")
    slurm.fails("squeue", "slurm_load_jobs error: Unable to contact slurm controller")
    slurm.says("sacct", f"12_0|RUNNING|{NAME}|None\n12_[3-5,7%2]|PENDING|{NAME}|None\n")
    assert [one.state for one in queue(sweep).values()] == ["running", "pending", "pending", "pending"]


def test_a_site_without_accounting_is_asked_for_the_queue_alone(slurm, sweep):
    told(sweep, a="12")
    slurm.fails("squeue", "slurm_load_jobs error: Invalid job id specified")
    slurm.fails("sacct", "Slurm accounting storage is disabled")
    assert queue(sweep)["a"].state == "unknown"
    long_ago(sweep)
    assert queue(sweep)["a"].state == "lost"


def test_no_question_hangs(slurm, sweep, monkeypatch):
    monkeypatch.setattr(questions.ask, "__kwdefaults__", {"seconds": 0.3})
    told(sweep, a="12")
    slurm.does("squeue", "sleep 60")
    slurm.does("sacct", "sleep 60")
    began = time.monotonic()
    with pytest.raises(
        SpecError, match="Slurm does not answer .*squeue said nothing in 0.3 seconds; sacct said nothing"
    ):
        queue(sweep)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("command", ["sbatch", "srun", "scontrol"])
def test_a_machine_without_slurm_says_so(slurm, runs_root, sweep, monkeypatch, command):
    monkeypatch.setenv("PATH", str(slurm.bin))
    (slurm.bin / command).unlink()
    with pytest.raises(SpecError, match=f"there is no {command} on this machine"):
        submit(runs_root, sweep, [piece("a")], Resources())


def test_the_ledger_survives_a_torn_line(sweep):
    told(sweep, a="12", b="13")
    path = sweep / ledger.LEDGER
    path.write_bytes(path.read_bytes()[:-9])
    assert [entry.piece for entry in ledger.read(sweep)] == ["a"]
    told(sweep, b="14")
    assert [(entry.piece, entry.job) for entry in ledger.read(sweep)] == [("a", "12"), ("b", "14")]


def test_lines_of_another_version_are_read_as_far_as_they_are_known(sweep):
    told(sweep, a="12")
    path = sweep / ledger.LEDGER
    newer = {**json.loads(path.read_text()), "piece": "b", "job": "13", "more": 1}
    older = {"at": newer["at"], "piece": "c", "job": "14", "stages": ["c"]}
    for line in (newer, older, {"another": "kind of line"}, ["no"], {"token": "unheard of", "jobs": ["1"]}):
        runs.append_line(path, line)
    assert [(entry.piece, entry.job, entry.attempt) for entry in ledger.read(sweep)] == [
        ("a", "12", 1), ("b", "13", 1), ("c", "14", 1)
    ]  # fmt: skip


def test_a_torn_answer_is_an_open_question(slurm, sweep):
    ledger.intend(sweep, [ledger.Entry(provenance.now(), "a", ["a"], "", 1, "code", {}, "f" * 32)])
    ledger.settle(sweep, "f" * 32, ["12"])
    path = sweep / ledger.LEDGER
    path.write_bytes(path.read_bytes()[:-9])
    assert [(entry.piece, entry.job) for entry in ledger.read(sweep)] == [("a", "")]
    ledger.settle(sweep, "f" * 32, ["12"])
    assert [(entry.piece, entry.job) for entry in ledger.read(sweep)] == [("a", "12")]


def test_a_number_that_another_submission_got_is_not_this_ones(slurm, sweep):
    for token, name, number in (("a" * 32, "first", "12_0"), ("b" * 32, "second", "12")):
        ledger.intend(sweep, [ledger.Entry(provenance.now(), name, [name], "", 1, "code", {}, token)])
        ledger.settle(sweep, token, [number])
    slurm.says("squeue", f"12|RUNNING|{NAME}|None\n")
    assert {name: one.state for name, one in queue(sweep).items()} == {"first": "unknown", "second": "running"}


def test_two_launchers_do_not_submit_at_once(slurm, runs_root, sweep, monkeypatch):
    monkeypatch.setattr(ledger, "PATIENCE_S", 0.2)
    with ledger.alone(sweep.parent), pytest.raises(runs.Busy, match="another launcher submits from here"):
        submit(runs_root, sweep, [piece("a")], Resources())
    assert slurm.scripts == []


def test_a_launcher_that_was_stopped_and_wakes_does_not_submit_beside_the_one_that_took_over(
    slurm, runs_root, sweep, monkeypatch
):
    place = sweep.parent / ledger.LAUNCHING

    def frozen(folder):
        next((place / "attempts").iterdir()).rename(place / ".fenced.it")  # as whoever takes it over does
        return {}

    monkeypatch.setattr(sys.modules["omnitok.cluster.submit"], "attempts", frozen)
    with pytest.raises(runs.Fenced):
        submit(runs_root, sweep, [piece("a")], Resources())
    assert slurm.scripts == [] and ledger.read(sweep) == []
