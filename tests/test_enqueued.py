"""What a watcher and a status make of the queue's answers, where no cluster is needed to hear them."""

import pytest
import tiny

from omnitok import launch_sweep, plan_sweep, runs, sweep_states
from omnitok.cluster import Queued, Submitted
from omnitok.cluster.asking import Unanswered
from omnitok.cluster.ledger import LEDGER, Entry, add
from omnitok.launching import enqueue as room
from omnitok.launching import queued, verdicts
from omnitok.launching import watch as watching
from omnitok.launching.launch import launch_asked
from omnitok.launching.progress import Silent
from omnitok.launching.settled import settle
from omnitok.runs import Failure
from omnitok.spec import Fault, Mark, SpecError
from omnitok.sweep.stored import asked_of

SMALL = tiny.SWEEP.replace("seeds: [0, 1]", "seeds: [0]").replace("vq: {type: vq, codebook_size: 16, code_dim: 4}", "")
ARMS = SMALL.replace("{metric: psnr, better: fsq, than: vq}", "{metric: psnr, better: '0.5', than: '0.0'}")


class Heard(Silent):
    """What a view is told."""

    def __init__(self):
        self.said = []

    def ended(self, work, outcome):
        self.said.append((work.label, outcome))


@pytest.fixture
def sweep(tmp_path, runs_root, monkeypatch):
    """Two arms that share a first stage, and a baseline; a Slurm that takes what it is given and answers in ``told``."""
    monkeypatch.setattr(watching, "ASK_S", 0.0)
    monkeypatch.setattr(watching, "LOOK_S", 0.01)
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")

    def submit(root, folder, pieces, resources, spare):
        (folder / LEDGER).touch()
        return [Submitted(piece.id, str(i)) for i, piece in enumerate(pieces, 1)]

    monkeypatch.setattr(room, "submit", submit)
    return tiny.write(tmp_path, sweep=ARMS)


def answering(monkeypatch, *answers):
    """The queue's answers, one after another, the last one for ever: {id of a piece: Queued}, or silence."""
    left = list(answers)

    def queue(folder):
        answer = left.pop(0) if len(left) > 1 else left[0]
        if answer is None:
            raise SpecError([Fault(Mark("--cluster slurm"), "", "Slurm does not answer")])
        return answer

    for module in (room, queued, watching):
        monkeypatch.setattr(module, "queue", queue)


def stages(sweep, root):
    """(the shared first stage, the last stage of each arm, the baseline's)."""
    planned = plan_sweep(sweep)
    _, data = settle(root, planned)
    one, two, three = (trial["stages"] for trial in data["trials"])
    return one[0], one[1], two[1], three[0]


def states(sweep):
    return [(state.status, state.reason) for state in sweep_states(str(sweep))]


def test_what_is_lost_is_said_and_what_waited_for_it_is_blocked(sweep, runs_root, monkeypatch):
    first, left, right, flat = stages(sweep, runs_root)
    lost = Queued("1", "lost", "Slurm does not know it", "lost")
    cancelled = Queued("2_0", "cancelled", "DependencyNeverSatisfied", "cancelled")
    failed = Queued("3", "failed", "OUT_OF_MEMORY", "out_of_memory")
    pending = dict.fromkeys((first, left, right, flat), Queued("1", "pending", "Priority"))
    answering(
        monkeypatch, pending, pending, pending, None, {first: lost, left: cancelled, right: cancelled, flat: failed}
    )
    heard = Heard()
    never = ["failures={lost: {retry: 0}, out_of_memory: {retry: 0}}", "resources={keeper: false}"]
    done = launch_sweep(sweep, never, cluster="slurm", wait=True, view=heard)
    assert dict(heard.said) == {
        "images fsq+0.0/0": Failure("lost", "job 1 is lost: Slurm does not know it", "", "1"),
        "baseline mean_colour": Failure("out_of_memory", "job 3 is failed: OUT_OF_MEMORY", "", "3"),
    }
    assert (done.trained, done.measured, done.interrupted) == (0, 0, False)
    blocked = ("blocked", "lost: job 1 is lost: Slurm does not know it")
    assert states(sweep) == [blocked, blocked, ("failed", "out_of_memory: job 3 is failed: OUT_OF_MEMORY")]


def test_what_ends_badly_is_submitted_again_and_what_waited_for_it_with_it(sweep, runs_root, monkeypatch):
    first, left, right, flat = stages(sweep, runs_root)
    waits = Queued("2", "pending", "Dependency")
    begun = {
        first: Queued("1", "running", "RUNNING"),
        left: waits,
        right: waits,
        flat: Queued("3", "running", "RUNNING"),
    }
    gone = Queued("2", "cancelled", "DependencyNeverSatisfied", "cancelled")
    ended = {first: Queued("1", "failed", "NODE_FAIL", "node", "node2"), left: gone, right: gone, flat: begun[flat]}
    answering(monkeypatch, {}, {}, begun, ended)
    asked = []

    def submit(root, folder, pieces, resources, spare):
        (folder / LEDGER).touch()
        asked.append({piece.id: piece.resources.get("slurm_exclude") for piece in pieces})
        if len(asked) > 1:  # the second time everything ends well
            for one in stages(sweep, runs_root):
                runs.write_json(runs_root / one / runs.RESULT, {})
        return [Submitted(piece.id, str(len(asked) * 10 + i)) for i, piece in enumerate(pieces)]

    monkeypatch.setattr(room, "submit", submit)
    launch_sweep(sweep, ["resources={keeper: false}", "evaluate=[]", "claims=[]"], cluster="slurm", wait=True)
    assert asked[:2] == [dict.fromkeys((first, left, right, flat)), {first: "node2"}]
    assert asked[2].items() >= dict.fromkeys((left, right)).items()
    folder = next(runs_root.glob("sweeps/*/plan.json")).parent
    (verdict,) = verdicts.history(folder).verdicts.values()
    assert (verdict.kind, verdict.does, verdict.given) == ("node", "retry", {"slurm_exclude": "node2"})
    (runs_root / first / runs.RESULT).unlink()  # nobody has submitted it again, as no node may
    assert sweep_states(folder.name)[0][1:] == ("queued", "is tried again after node: job 1 is failed: NODE_FAIL")
    monkeypatch.setattr(queued, "LATE_S", -1.0)
    status, reason = sweep_states(folder.name)[0][1:]
    assert status == "interrupted" and reason.endswith("NODE_FAIL; nobody did, so launch again")


def test_what_ends_well_between_a_look_at_the_folders_and_one_at_the_queue_is_done(sweep, runs_root, monkeypatch):
    everything = stages(sweep, runs_root)
    ended = {one: Queued(str(i), "done", "COMPLETED") for i, one in enumerate(everything)}
    answering(monkeypatch, {})
    short = ["evaluate=[]", "claims=[]"]
    folder = launch_sweep(sweep, short, cluster="slurm").folder

    def queue(folder):  # which only answers when all have ended
        for one in everything:
            runs.write_json(runs_root / one / runs.RESULT, {})
        return ended

    monkeypatch.setattr(room, "queue", queue)
    monkeypatch.setattr(room, "submit", lambda *_, **__: pytest.fail("there is nothing to submit"))
    jobs = retried(folder)
    assert (jobs.submitted, jobs.left, jobs.open) == ([], 0, [])
    assert not verdicts.history(folder).verdicts


def retried(folder):
    """What a keeper does."""
    return launch_asked(asked_of(folder), cluster="slurm", wish=room.Wish(by_hand=False)).jobs


def test_what_slurm_refuses_of_other_resources_is_over_for_all_that_would_be_given_them_and_for_nothing_else(
    sweep, runs_root, monkeypatch
):
    first, left, right, flat = stages(sweep, runs_root)
    runs.write_json(runs_root / first / runs.RESULT, {})
    answering(monkeypatch, {})
    how = ["resources={mem_gb: 1, keeper: false}", "evaluate=[]", "claims=[]"]
    folder = launch_sweep(sweep, how, cluster="slurm").folder
    for i, one in enumerate((left, right)):
        add(folder, Entry("2026-01-01T00:00:00+00:00", one, [one], str(i), 1, "code", {"mem_gb": 1.0}))
    starved = {one: Queued(str(i), "failed", "OUT_OF_MEMORY", "out_of_memory") for i, one in enumerate((left, right))}
    answering(monkeypatch, starved)
    said, asked = "Slurm refuses x: Access/permission denied", []

    def submit(root, folder, pieces, resources, spare):
        asked.append({piece.id: piece.resources.get("mem_gb") for piece in pieces})
        if any(piece.resources.get("mem_gb") == 2 for piece in pieces):
            raise SpecError([Fault(Mark("--cluster slurm"), "", said)])
        return [Submitted(piece.id, "9") for piece in pieces]

    monkeypatch.setattr(room, "submit", submit)
    with pytest.raises(SpecError, match="denied"):  # that is not about what was asked for
        retried(folder)
    assert {one.does for one in verdicts.history(folder).verdicts.values()} == {"retry"}
    said = "Slurm refuses x: Memory specification can not be satisfied"
    asked.clear()
    jobs = retried(folder)
    assert asked == [{left: 2, right: 2}, {flat: 1}]
    assert jobs.over.keys() == {left, right} and [one.piece for one in jobs.submitted] == [flat]


def test_a_controller_that_is_silent_when_a_sweep_is_stopped_is_said_and_no_traceback(sweep, runs_root, monkeypatch):
    first, *_ = stages(sweep, runs_root)
    answering(monkeypatch, {})
    folder = launch_sweep(sweep, ["failures.killed={retry: 0, stop_after: 1}"], cluster="slurm").folder
    add(folder, Entry("2026-01-01T00:00:00+00:00", first, [first], "1", 1, "code", {}))
    trace = 'Traceback (most recent call last):\n  File "/a/b.py", line 1, in run\nKeyError: 1\n'
    runs.fail(runs_root / first, Failure("killed", "gone", trace, "1"))
    flat = stages(sweep, runs_root)[3]
    answering(monkeypatch, {first: Queued("1", "failed", "FAILED", "killed"), flat: Queued("2", "pending", "Priority")})

    def silent(folder):
        raise Unanswered("squeue: no")

    monkeypatch.setattr(room.keeper, "waiting", silent)
    jobs = retried(folder)
    assert jobs.stopped.startswith("stopped after 1 jobs") and jobs.notes == ["squeue: no"] and not jobs.submitted


def test_a_trial_is_where_the_job_of_its_first_open_stage_is(sweep, runs_root, monkeypatch):
    first, left, right, flat = stages(sweep, runs_root)
    answering(monkeypatch, {})
    launch_sweep(sweep, cluster="slurm")
    waits, runs_now = Queued("2_0", "pending", "Dependency"), Queued("1", "running", "RUNNING")
    answering(monkeypatch, {first: runs_now, left: waits, right: waits, flat: Queued("3", "pending", "Priority")})
    assert states(sweep) == [("running", "job 1: RUNNING")] * 2 + [("queued", "job 3: Priority")]
    runs.write_json(runs_root / first / runs.RESULT, {})
    assert states(sweep)[0] == ("queued", "job 2_0: Dependency")
    runs.fail(runs_root / flat, Failure("nan", "the loss is not finite", ""))
    answering(monkeypatch, {flat: Queued("3", "failed", "FAILED")})
    assert states(sweep)[2][1].endswith("nan: the loss is not finite")  # the folder says more than the queue
    answering(monkeypatch, {flat: Queued("4", "pending", "Priority")})
    assert states(sweep)[2] == ("queued", "job 4: Priority")  # it is tried again
    answering(monkeypatch, {flat: Queued("4", "pending", "BeginTime")})
    assert states(sweep)[2] == ("queued", "job 4: BeginTime")
    place = next(runs_root.glob("sweeps/*/plan.json")).parent / queued.LOGS
    place.mkdir(exist_ok=True)
    (place / "4_0_log.err").touch()  # it was begun
    assert states(sweep)[2][1].startswith("job 4 was requeued, as its node died or it was preempted, and waits")
    answering(monkeypatch, {left: Queued("5", "cancelled", "CANCELLED by 0", "cancelled")})
    assert states(sweep)[0] == ("cancelled", "job 5 is cancelled by 0")
    answering(monkeypatch, None)
    assert states(sweep)[0][1] == "Slurm does not answer"


def test_a_queue_that_is_silent_for_long_ends_the_watch(sweep, runs_root, monkeypatch):
    monkeypatch.setattr(watching, "SILENCE_S", 0.05)
    answering(monkeypatch, None)
    with pytest.raises(SpecError, match="Slurm does not answer"):
        launch_sweep(sweep, cluster="slurm", wait=True)


def test_what_the_site_has_no_room_for_is_not_waited_for(sweep, runs_root, monkeypatch):
    monkeypatch.setattr(room, "submit", lambda root, folder, pieces, resources, spare: [Submitted(pieces[0].id, "1")])
    first, left, right, flat = stages(sweep, runs_root)
    answering(monkeypatch, {first: Queued("1", "lost", ""), flat: Queued("9", "running", "RUNNING")})
    told = []
    launch_sweep(sweep, cluster="slurm", told=told.append)
    (jobs,) = told
    assert (len(jobs.submitted), jobs.queued, jobs.left) == (1, 1, 2)
    assert {name for name, _ in jobs.open} == {first, flat}


def test_a_machine_without_slurm_is_refused_in_one_sentence_before_anything_is_planned(
    tmp_path, runs_root, monkeypatch
):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(SpecError) as caught:
        launch_sweep(tiny.write(tmp_path, experiment="stages: 3\n"), cluster="slurm")
    assert str(caught.value) == (
        "--cluster slurm: there is no sbatch on this machine; launch where Slurm's commands are, or with --cluster local"
    )
    assert not runs_root.exists()
