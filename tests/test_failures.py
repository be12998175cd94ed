"""Kinds of failure, what tells them, and what the policies of a sweep make of them."""

import errno

import pytest
import tiny
import torch
from click.testing import CliRunner

from omnitok import cancel_sweep, launch_sweep, provenance, retry_sweep, runs, sweep_states
from omnitok.cli import main
from omnitok.cluster import Piece, Queued, questions
from omnitok.cluster.ended import told_by_log
from omnitok.cluster.ledger import LEDGER, Entry, add
from omnitok.cluster.meeting import Meeting, Place
from omnitok.cluster.progress import IDLE, Stuck, check_progress
from omnitok.data import DataError
from omnitok.launching import cancel, verdicts
from omnitok.launching.judge import Case, judge
from omnitok.launching.verdicts import Verdict
from omnitok.runs import Failure
from omnitok.spec import SpecError, check, read_value
from omnitok.sweep.failures import DEFAULTS, Failures
from omnitok.sweep.file import SweepFile, read_sweep
from omnitok.training.reconstruct import Reconstruct
from omnitok.trial.failure import classify

TRACE = """Traceback (most recent call last):
  File "/a/code/123/omnitok/trial/train.py", line 12, in run
    return train(folder)
  File "/a/code/123/omnitok/model/trunk.py", line 7, in forward
    raise ValueError(f"{x}")
ValueError: {x}
"""


def raised(error, cause=None):
    try:
        raise error from cause
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "cause", "kind"),
    [
        (MemoryError("no room"), None, "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), None, "out_of_memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes"), None, "out_of_memory"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), None, "out_of_memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), None, "out_of_memory"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), None, "disk"),
        (OSError(errno.EIO, "Input/output error"), None, "node"),
        (OSError(errno.ESTALE, "Stale file handle"), None, "node"),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), None, "node"),
        (RuntimeError("a decoder failed"), DataError("cat.png: torn"), "data"),
        (RuntimeError("a component cannot be loaded"), ImportError("no module"), "import"),
        (RuntimeError("Connection closed by peer"), None, "bug"),  # of one process there is no peer
        (KeyError("mean"), None, "bug"),
        (ValueError("a model that says out of memory is not"), None, "bug"),
    ],
)
def test_an_exception_is_of_the_kind_that_a_policy_can_act_on(error, cause, kind):
    found = classify(raised(error, cause))
    assert found.kind == kind and kind in runs.KINDS
    assert "Traceback" in found.traceback


def test_a_peer_that_is_gone_was_killed(monkeypatch):
    monkeypatch.setattr("omnitok.trial.failure.world", lambda: 2)
    assert classify(raised(RuntimeError("Connection closed by peer [127.0.0.1]:1"))).kind == "killed"


def test_an_error_says_of_which_job_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "15")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setenv("SLURMD_NODENAME", "node2")
    runs.fail(tmp_path, classify(raised(ValueError("two\n\nlines"))))
    found = runs.failure(tmp_path)
    assert (found.kind, found.sentence, found.job, found.node) == ("bug", "ValueError: two", "12_3", "node2")
    assert found.traceback.startswith("Traceback")
    runs.fail(tmp_path, Failure("killed", "gone", "its output is elsewhere"))
    assert runs.failure(tmp_path) == Failure("killed", "gone", "its output is elsewhere")


SWEEP = "0123456789abcdef"


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "runs" / "sweeps" / SWEEP
    (found / "jobs").mkdir(parents=True)
    return found


def entry(piece, job, at="2026-01-01T00:00:00+00:00", **resources):
    return Entry(at, piece, [piece], job, 1, "code", resources)


SAID = [
    ("OUT_OF_MEMORY", "failed", "out_of_memory"),
    ("TIMEOUT", "failed", "time_out"),
    ("PREEMPTED", "failed", "preempted"),
    ("NODE_FAIL", "failed", "node"),
    ("BOOT_FAIL", "failed", "node"),
    ("FAILED", "failed", "killed"),
    ("CANCELLED by 1000", "cancelled", "cancelled"),
    ("COMPLETED", "done", ""),
    ("RUNNING", "running", ""),
]


@pytest.mark.parametrize("source", ["squeue", "sacct"])
@pytest.mark.parametrize("told", SAID)
def test_what_slurm_says_of_a_job_is_a_kind(folder, monkeypatch, source, told):
    said, state, kind = told
    add(folder, entry("a", "12_0"))

    def ask(command, *words, seconds=30.0):
        known = command == source and not (source == "sacct" and state == "running")
        return f"12_0|{said}|omnitok-{SWEEP}|None|node[1-2]\n" if known else ""

    monkeypatch.setattr(questions, "ask", ask)
    found = questions.queue(folder)["a"]
    if source == "sacct" and state == "running":  # what the queue does not have does not run
        assert found == Queued("12_0", "lost", "Slurm does not know it", "lost")
    else:
        assert found == Queued("12_0", state, said, kind, "node[1-2]")


def test_what_will_never_run_counts_as_ended(folder, monkeypatch):
    for piece in "abcd":
        add(folder, entry(piece, f"1_{'abcd'.index(piece)}"))
    name = f"omnitok-{SWEEP}"
    lines = [
        f"1_0|PENDING|{name}|launch failed requeued held|",
        f"1_1|PENDING|{name}|DependencyNeverSatisfied|",
        f"1_2|CANCELLED|{name}|Dependency|",
        f"1_3|CANCELLED by 0|{name}|Dependency|",
    ]
    monkeypatch.setattr(
        questions, "ask", lambda command, *words, seconds=30.0: "\n".join(lines) * (command == "squeue")
    )
    found = questions.queue(folder)
    assert (found["a"].state, found["a"].kind) == ("failed", "node")
    assert found["b"].reason == found["c"].reason == questions.ORPHANED and found["b"].state == "cancelled"
    assert found["d"].state == "cancelled" and found["d"].reason != questions.ORPHANED


@pytest.mark.parametrize(
    ("text", "kind", "sentence"),
    [
        (
            "slurmstepd: error: StepId=1.0 exceeded memory limit (9 > 8), being killed\n",
            "out_of_memory",
            "exceeded memory",
        ),
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=2.batch.\n", "out_of_memory", "oom-kill"),
        (TRACE.replace("ValueError: {x}", "ModuleNotFoundError: No module named 'gone'"), "import", "No module named"),
        (TRACE, "bug", "ValueError: {x}"),
        (TRACE.replace("ValueError: {x}", "omnitok.cluster.job.Failed: disk: No space left"), "disk", "No space left"),
        (TRACE.replace("ValueError: {x}", "omnitok.cluster.job.Failed: another process ended it"), "bug", "another"),
        (TRACE.replace("ValueError: {x}", "omnitok.cluster.meeting.Unmet: process 1 of 2 did"), "node", "process 1"),
        (TRACE.replace("ValueError: {x}", "subprocess.CalledProcessError: Command"), "preempted", "Command"),
        ("srun: error: node1: task 0: Killed\n", None, ""),
        ("", None, ""),
    ],
)
def test_a_log_tells_why_where_nobody_else_could(folder, text, kind, sentence):
    (folder / "jobs" / "12_3_0_log.err").write_text("x" * 30_000 + "\n" + text)
    (folder / "jobs" / "12_30_0_log.err").write_text("MemoryError: of another job, out of memory\n")
    found = told_by_log(folder, "12_3")
    assert (found and found.kind) == kind
    assert sentence in (found.sentence if found else "")


def broken(self, start=0):
    raise IndexError("of nothing")


def piece(name, *after):
    return Piece(name, name, (name,), (), after, {})


def case(folder, queued, *pieces):
    root = folder.parent.parent
    for one in pieces:
        (root / one.id).mkdir(exist_ok=True)
    return Case(root, folder, pieces, queued, {one.id: [f"{one.id}/{runs.ERROR}"] for one in pieces})


def policies(text="{}"):
    return check(Failures, read_value(text, "ask.yaml"))


def test_an_older_error_of_a_run_does_not_speak_for_this_job(folder):
    root, one = folder.parent.parent, piece("a")
    queued = {"a": Queued("7", "failed", "NODE_FAIL", "node", "node1")}
    add(folder, entry("a", "7"))
    here = case(folder, queued, one)
    runs.fail(root / "a", Failure("nan", "of before", "", "6", "node9"))
    (verdict,) = judge(here, policies()).new
    assert (verdict.kind, verdict.does, verdict.given) == ("node", "retry", {"slurm_exclude": "node1"})
    runs.fail(root / "a", Failure("nan", "now", "", "7", "node1"))
    (verdict,) = judge(here, policies()).new
    assert (verdict.kind, verdict.does, verdict.sentence) == ("nan", "over", "now")
    runs.fail(root / "a", Failure("killed", "a worker died", "", "7", "node1"))  # it only knows that it was
    assert (
        judge(here._replace(queued={"a": Queued("7", "failed", "OUT_OF_MEMORY", "out_of_memory")}), policies())
        .new[0]
        .kind
        == "out_of_memory"
    )


def test_a_death_among_several_tasks_and_a_job_that_gets_nowhere_are_of_their_kind_and_not_bugs(folder, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    root, one = folder.parent.parent, piece("a")
    here = case(folder, {"a": Queued("7", "failed", "FAILED", "killed")}, one)
    add(folder, entry("a", "7"))
    trace = TRACE.replace("ValueError: {x}", "omnitok.cluster.job.Failed: killed: process 2 of 4 died")
    (folder / "jobs" / "7_0_log.err").write_text(trace)
    meeting = Meeting(Place(0, 4, 0, folder / "meet.json"))
    meeting.silent.append(2)
    runs.fail(root / "a", meeting.reason(None))
    (verdict,) = judge(here, policies()).new
    assert (verdict.kind, verdict.sentence, verdict.does) == ("killed", "process 2 of 4 died", "retry")
    work = {"search": "", "stages": ["a"], "evaluations": []}
    with pytest.raises(Stuck):
        for _ in range(IDLE + 1):
            check_progress(folder / "7.0", root, [work])
    (verdict,) = judge(here, policies()).new
    assert (verdict.kind, verdict.does) == ("time_out", "retry")


def test_memory_grows_with_each_try_until_there_have_been_enough(folder):
    one, given = piece("a"), {"mem_gb": 1.0, "timeout_min": 60}
    for job in ("1", "2", "3"):
        add(folder, entry("a", job, **given))
        judged = judge(case(folder, {"a": Queued(job, "failed", "", "out_of_memory")}, one), policies())
        verdicts.add(folder, judged.new)
        assert judge(case(folder, {"a": Queued(job, "failed", "", "out_of_memory")}, one), policies()).new == []
        given |= judged.ready[0].resources if judged.ready else {}
    assert given["mem_gb"] == 4 and given["timeout_min"] == 60
    assert judged.over["a"].sentence.endswith("tried again 2 times")
    verdicts.forgive(folder, {"a": "3"})  # a person launches
    fresh = judge(case(folder, {"a": Queued("3", "failed", "", "out_of_memory")}, one), policies())
    assert fresh.new == [] and fresh.ready == [one]


def test_another_try_that_would_end_the_same_is_not_made(folder):
    queued = {"a": Queued("1", "failed", "", "out_of_memory")}
    add(folder, entry("a", "1"))
    assert "say resources.mem_gb" in judge(case(folder, queued, piece("a")), policies()).over["a"].sentence
    runs.fail(folder.parent.parent / "a", Failure("out_of_memory", "CUDA out of memory.", "", "1"))
    add(folder, entry("a", "1", mem_gb=1.0))
    assert "recompute" in judge(case(folder, queued, piece("a")), policies()).over["a"].sentence
    judged = judge(case(folder, queued, piece("a")), policies("{out_of_memory: {with: {recompute: true}}}"))
    environment = judged.ready[0].resources["environment"]
    assert environment == {"OMNITOK_RECOMPUTE": "1", "OMNITOK_DEVIATIONS": "recompute=true after out_of_memory"}


def test_what_waits_for_what_is_given_up_is_blocked_and_what_waits_for_another_try_is_not(folder):
    pieces = piece("a"), piece("b", "a"), piece("c", "b")
    orphan = Queued("2", "cancelled", questions.ORPHANED, "cancelled")
    queued = {"a": Queued("1", "failed", "FAILED", "killed"), "b": orphan, "c": orphan._replace(job="3")}
    for one, job in (("a", "1"), ("b", "2"), ("c", "3")):
        add(folder, entry(one, job))
    judged = judge(case(folder, queued, *pieces), policies())
    assert [one.id for one in judged.ready] == ["a", "b", "c"] and len(judged.new) == 1
    judged = judge(case(folder, queued, *pieces), policies("{killed: {retry: 0}}"))
    assert judged.ready == [] and judged.over.keys() == {"a"} and judged.blocked == {"b", "c"}


def test_one_traceback_in_several_jobs_stops_the_sweep_whatever_its_values(folder):
    names = ["a", "b", "c"]
    queued = {name: Queued(str(i), "failed", "FAILED", "killed") for i, name in enumerate(names)}
    here = case(folder, queued, *map(piece, names))
    for i, name in enumerate(names):
        add(folder, entry(name, str(i)))
        text = TRACE.replace("{x}", name).replace("/123/", f"/{i}/")
        runs.fail(folder.parent.parent / name, Failure("bug", f"ValueError: {name}", text, str(i)))
    assert judge(here, policies()).stop == ""
    stop = judge(here, policies("{bug: {stop_after: 3}}")).stop
    assert stop == "stopped after 3 jobs with the same traceback: bug: ValueError: c"
    runs.fail(folder.parent.parent / "c", Failure("bug", "", TRACE.replace("line 7", "line 8"), "2"))
    assert judge(here, policies("{bug: {stop_after: 3}}")).stop == ""


def test_a_job_is_judged_once_also_after_a_torn_line(folder):
    verdicts.add(folder, [Verdict("a", "1", "node", "gone", "", "retry", {}, "now")])
    with (folder / verdicts.VERDICTS).open("ab") as file:
        file.write(b'{"piece": "b", "jo')
    verdicts.add(folder, [Verdict("b", "2", "nan", "no number", "", "over", {}, "now")])
    assert list(verdicts.history(folder).verdicts) == [("a", "1"), ("b", "2")]


def test_policies_are_refused_with_the_nearest_name_and_have_defaults_for_every_kind():
    assert DEFAULTS.keys() == set(runs.KINDS)
    assert {kind: policies().of(kind) for kind in runs.KINDS} == {
        kind: policies(f"{{{kind}: {{}}}}").of(kind) for kind in runs.KINDS
    }
    assert policies("{node: {retry: 9}}").node.exclude  # what is not said is as its default has it
    wrong = "{nodes: {retry: 1}, nan: {retri: 1}, import: {stop_after: 0}, out_of_memory: {times: {mem: 2}, with: {recomput: true}}}"
    with pytest.raises(SpecError) as caught:
        policies(wrong)
    said = str(caught.value)
    assert "nodes: no such key; did you mean 'node'?" in said and "import.stop_after: must be greater than" in said
    assert "did you mean 'mem_gb'?" in said or "did you mean 'recompute'?" in said


def test_policies_are_in_no_digest(tmp_path, runs_root):
    sweep = tiny.write(tmp_path)
    before = read_sweep(sweep).digest
    assert read_sweep(sweep, ["failures={nan: {retry: 3}}"]).digest == before
    assert SweepFile.model_fields["failures"].default == Failures()


def test_deviations_add_up(monkeypatch):
    assert provenance.deviations() == []
    monkeypatch.setenv("OMNITOK_DEVIATIONS", "recompute=true after out_of_memory; compile=true after bug")
    found = provenance.deviations(["compile=true after bug", "attention=sdpa after bug"])
    assert found == ["compile=true after bug", "attention=sdpa after bug", "recompute=true after out_of_memory"]


SMALL = tiny.SWEEP.replace("seeds: [0, 1]", "seeds: [0]").replace("[0.0, 0.5]", "[0.5]")


def test_on_this_machine_too_a_failure_is_tried_again_and_one_traceback_stops_the_sweep(
    tmp_path, runs_root, monkeypatch
):
    sweep, train, begun = tiny.write(tmp_path, sweep=SMALL), Reconstruct.train, []

    def sick(self, start=0):
        begun.append(start)
        if len(begun) == 1:
            raise OSError(errno.EIO, "Input/output error")
        yield from train(self, start)

    monkeypatch.setattr(Reconstruct, "train", sick)
    assert {state.status for state in launch_sweep(sweep, cluster="debug").states} == {"done"}
    assert len(begun) > 4
    monkeypatch.setattr(Reconstruct, "train", broken)
    monkeypatch.setenv("OMNITOK_RUNS", str(tmp_path / "other"))
    done = launch_sweep(sweep, ["failures.bug={stop_after: 1}"], cluster="debug")
    by_status = sorted((state.status, state.reason.partition(":")[0]) for state in done.states)
    assert by_status[1] == ("cancelled", "stopped after 1 failures with the same traceback")
    monkeypatch.setattr(Reconstruct, "train", train)
    assert {state.status for state in retry_sweep(sweep, cluster="debug").states} == {"done"}


def test_names_that_are_not_there_are_refused_with_the_nearest(tmp_path, runs_root, monkeypatch):
    sweep = tiny.write(tmp_path, sweep=SMALL)
    monkeypatch.setattr(Reconstruct, "train", broken)
    launch_sweep(sweep, cluster="debug")
    with pytest.raises(SpecError, match=r"no trial 'fsq\+0.6/0'; did you mean 'fsq\+0.5/0'\?"):
        retry_sweep(sweep, ["fsq+0.6/0"])
    with pytest.raises(SpecError, match="no kind of failure; did you mean 'node'"):
        retry_sweep(sweep, kind="nodes")
    with pytest.raises(SpecError, match="did you mean 'slurm'"):
        retry_sweep(sweep, cluster="slrum")
    with pytest.raises(SpecError, match="nothing that failed"):
        retry_sweep(sweep, kind="nan")
    with pytest.raises(SpecError, match=r"no arm 'fsq\+0.6'; did you mean 'fsq\+0.5'\?"):
        cancel_sweep(sweep, ["fsq+0.6"])


def test_a_values_label_means_all_arms_that_have_it(tmp_path, runs_root, monkeypatch):
    sweep = tiny.write(tmp_path, sweep=SMALL.replace("[0.5]", "[0.0, 0.5]"))
    with monkeypatch.context() as sick:
        sick.setattr(Reconstruct, "train", broken)
        done = launch_sweep(sweep, cluster="debug")
    lasts = {state.trial["name"]: state.trial["stages"][-1] for state in done.states}
    for job, name in enumerate(lasts.values(), 1):
        add(done.folder, entry(name, str(job)))
    jobs = {name: Queued(str(job), "pending", "Priority") for job, name in enumerate(lasts.values(), 1)}
    monkeypatch.setattr(cancel, "queue", lambda folder: jobs)
    said = CliRunner().invoke(main, ["cancel", str(sweep), "fsq", "vq+0.5"]).output
    assert said.startswith("fsq: the arms fsq+0.0, fsq+0.5\n") and "would cancel 3 jobs" in said
    (done.folder / LEDGER).unlink()
    said = CliRunner().invoke(main, ["retry", str(sweep), "0.5", "--cluster", "debug"]).output
    assert said.startswith("0.5: the arms vq+0.5, fsq+0.5\n")
    stand = {state.trial["name"]: state.status for state in sweep_states(str(sweep))}
    assert {name for name, status in stand.items() if status == "done"} >= {"vq+0.5", "fsq+0.5"}
    assert {stand["vq+0.0"], stand["fsq+0.0"]} & {"done"} == set()


def test_cancelling_an_arm_leaves_what_others_need(tmp_path, runs_root, monkeypatch):
    text = SMALL.replace("  model.quantizer:\n    vq: {type: vq, codebook_size: 16, code_dim: 4}\n", "")
    text = text.replace("    fsq: {type: fsq, levels: [4, 4]}\n", "").replace("[0.5]", "[0.0, 0.5]")
    sweep = tiny.write(tmp_path, sweep=text.partition("claims:")[0])
    monkeypatch.setattr(Reconstruct, "train", broken)
    done = launch_sweep(sweep, cluster="debug")
    first, last = next(state.trial["stages"] for state in done.states if state.trial["name"] == "0.0")
    for name, job in ((first, "1"), (last, "2")):
        add(done.folder, entry(name, job))
    asked = []
    jobs = {first: Queued("1", "running", "RUNNING"), last: Queued("2", "pending", "Dependency")}

    def ask(*words, seconds=30.0):
        asked.append(words)
        jobs[last] = Queued("2", "cancelled", "CANCELLED by 0", "cancelled")
        return ""

    monkeypatch.setattr(cancel, "queue", lambda folder: dict(jobs))
    monkeypatch.setattr(cancel, "ask", ask)
    monkeypatch.setattr(cancel.keeper, "waiting", lambda folder: [])
    found = cancel_sweep(sweep, ["0.0"])
    assert ([one.job for one in found.jobs], [one.job for one in found.kept], asked) == (["2"], ["1"], [])
    found = cancel_sweep(sweep, ["0.0"], really=True)
    assert asked == [("scancel", "2")] and found.done and not found.left
    assert not verdicts.stopped(done.folder)
    assert verdicts.history(done.folder).verdicts[last, "2"].does == "over"
