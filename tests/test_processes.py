"""Two processes that share every batch are one process with the whole batch, to rounding."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import yaml
from test_step import GAN, task
from tiny import EXPERIMENT

from omnitok import runs
from omnitok.launching.launch import run_experiment
from omnitok.processes import average_gradients, gathered, mean_values, share, total
from omnitok.spec import SpecError
from omnitok.training import NonFinite
from omnitok.trial.failure import failing_into

EVERYTHING = {
    "adversary": GAN,
    "schedule": {"type": "joint", "frames": 3, "scales": [0.5, 1.0]},
    "average": "ema",
    "steps": 4,
    "batch": 4,
}
NOISY = {
    "type": "patch_gan_published",
    "image": {"type": "patch_image_published", "channels": 2, "layers": 1},
    "video": {"type": "patch_video_published", "channels": 2, "layers": 1},
}
CASES = [
    (
        {"type": "vq", "codebook_size": 16, "code_dim": 4, "restart_below": 0.2, "entropy_weight": 0.1},
        {"step": "shared"},
    ),
    ({"type": "vq", "codebook_size": 16, "code_dim": 4}, {"step": {"type": "shared", "accumulate": 2}}),
    ({"type": "vq", "codebook_size": 16, "code_dim": 4}, {"frozen": ["encoder", "quantizer"]}),
    ({"type": "gaussian", "latent_channels": 4}, {"step": "two_passes_published", "adversary": NOISY}),
    ({"type": "gaussian", "latent_channels": 4}, {"patches": {"type": "cnn", "patch": 4, "temporal_patch": 2}}),
]


def meet(place: str, rank: int, world: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=world)


def spawned(work, tmp_path: Path, world: int, *words):
    """What each of ``world`` processes gives."""
    place = tmp_path / f"{work.__name__}{world}"
    torch.multiprocessing.spawn(_call, (work, str(place), world, words), nprocs=world)
    return [torch.load(f"{place}.{rank}") for rank in range(world)]


def _call(rank, work, place, world, words):
    meet(place, rank, world)
    torch.save(work(*words), f"{place}.{rank}")
    dist.destroy_process_group()


def _trained(quantizer, more):
    model = yaml.safe_load(EXPERIMENT)["stages"]["images"]["model"] | {"quantizer": quantizer}
    model |= {name: more[name] for name in more if name == "patches"}
    made = task(**EVERYTHING | {name: more[name] for name in more if name != "patches"}, model=model)
    records = [record.values for record in made.train()]
    return records, made.weights(), made.weights("ema"), dict(made.judges().state_dict())


def _all_trained():
    return [_trained(*case) for case in CASES]


@pytest.mark.service
def test_two_processes_are_one(tmp_path):
    both = spawned(_all_trained, tmp_path, 2)
    for i, one in enumerate(_all_trained()):
        first, second = (found[i] for found in both)
        for mine, theirs in zip(first[0], one[0], strict=True):
            assert without_psnr(mine) == pytest.approx(without_psnr(theirs), rel=1e-5, abs=1e-5)
        for part in (1, 2, 3):
            for name, value in one[part].items():
                torch.testing.assert_close(first[part][name], second[part][name], rtol=0, atol=0)
                if not name.endswith(BEFORE_NORM):
                    torch.testing.assert_close(first[part][name], value, rtol=1e-3, atol=1e-4)


BEFORE_NORM = ("convolution.bias", "norm.running_mean")  # the gradient of that bias is rounding alone


def without_psnr(values):
    return {name: value for name, value in values.items() if "psnr" not in name}


def _shared():
    rank = dist.get_rank()
    x = torch.tensor([1.0 + rank], requires_grad=True)
    (total(x) * (rank + 1)).sum().backward()
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([1.0, 2.0]) * (rank + 1)
    average_gradients([parameter, torch.nn.Parameter(torch.zeros(1))])
    rows = torch.arange(4.0)
    return x.grad, parameter.grad, share(rows), gathered(share(rows)), mean_values({"a": float(rank)})


@pytest.mark.service
def test_sums_shares_and_means_are_over_both(tmp_path):
    first, second = spawned(_shared, tmp_path, 2)
    assert first[0].item() == second[0].item() == 3.0
    assert torch.equal(first[1], torch.tensor([1.5, 3.0]))
    assert first[2].tolist() == [0, 1] and second[2].tolist() == [2, 3]
    assert first[3].tolist() == second[3].tolist() == [0, 1, 2, 3]
    assert first[4] == second[4] == {"a": 0.5}


def _nan_in_the_second():
    made = task(adversary=GAN)
    if dist.get_rank() == 1:
        with torch.no_grad():
            made.adversary.discriminators["image"].last.bias.fill_(float("nan"))
    with pytest.raises(NonFinite) as caught:
        list(made.train())
    return str(caught.value)


@pytest.mark.service
def test_a_term_that_is_no_number_in_one_process_is_named_by_all(tmp_path):
    assert spawned(_nan_in_the_second, tmp_path, 2) == ["train/gan_image is nan at step 0"] * 2


def test_of_several_processes_the_first_to_die_says_why(tmp_path, monkeypatch):
    for count, kind in ((2, "nan"), (1, "bug")):
        monkeypatch.setattr("omnitok.trial.failure.world", lambda count=count: count)
        for error in (NonFinite("train/l1 is nan at step 3"), RuntimeError("connection closed by peer")):
            with pytest.raises(type(error)), failing_into(tmp_path):
                raise error
        assert runs.failure(tmp_path).kind == kind


def test_a_batch_that_the_processes_do_not_divide_is_refused(monkeypatch):
    monkeypatch.setattr("omnitok.training.reconstruct.world", lambda: 2)
    with pytest.raises(ValueError, match="batch=3 must be a multiple of the processes, which are 2"):
        next(task(batch=3).train())


@pytest.fixture
def experiment(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(EXPERIMENT)
    return path


@pytest.mark.service
def test_an_experiment_trained_by_two_has_one_folder_a_stage_and_the_result_of_one(
    experiment, runs_root, tmp_path, monkeypatch
):
    done = run_experiment(experiment, processes=2)
    assert done.trained == 2 and all((folder / runs.RESULT).exists() for folder in done.folders)
    found = [runs.read_json(folder / runs.RESULT)["train/loss"] for folder in done.folders]
    monkeypatch.setenv("OMNITOK_RUNS", str(tmp_path / "alone"))
    alone = run_experiment(experiment)
    assert found == pytest.approx([runs.read_json(f / runs.RESULT)["train/loss"] for f in alone.folders], rel=1e-3)
    records = [json.loads(line)["step"] for line in (done.folders[0] / runs.RECORDS).read_text().splitlines()]
    assert records == list(range(5))


@pytest.mark.service
def test_when_one_process_dies_the_other_is_ended_and_the_folder_says_so(experiment, runs_root):
    parent = _started(experiment)
    try:
        folder = _begun(runs_root, parent)
        _members(parent.pid)[1].send_signal(signal.SIGKILL)
        parent.wait(timeout=60)
    finally:
        parent.kill()
        parent.wait()
    found = runs.failure(folder)
    assert (found.kind, found.sentence) == ("killed", "process 1 of 2 died (exit code -9)")


@pytest.mark.service
def test_none_goes_on_when_the_process_that_started_them_is_killed(experiment, runs_root):
    parent = _started(experiment)
    try:
        folder = _begun(runs_root, parent)
        members = _members(parent.pid)
    finally:
        parent.kill()
        parent.wait()
    for _ in range(100):  # of a process that is gone by its name, other threads may hold its lease for a moment
        gone = not any(one.is_running() and one.status() != "zombie" for one in members)
        if gone and runs.status(folder) == "interrupted":
            break
        time.sleep(0.05)
    assert len(members) == 2
    assert not any(one.is_running() and one.status() != "zombie" for one in members)
    assert runs.status(folder) == "interrupted"


@pytest.mark.service
def test_two_that_are_asked_to_stop_keep_a_checkpoint_and_no_error(experiment, runs_root):
    parent = _started(experiment)
    try:
        folder = _begun(runs_root, parent)
        parent.send_signal(signal.SIGTERM)
        parent.wait(timeout=60)
    finally:
        parent.kill()
        parent.wait()
    assert (folder / runs.CHECKPOINT).exists() and runs.failure(folder) is None
    assert runs.status(folder) == "interrupted"


def _started(experiment: Path) -> subprocess.Popen:
    text = "from omnitok.launching.launch import run_experiment; print(run_experiment({!r}, ['stages.images.steps=100000'], processes=2))"
    words = [sys.executable, "-c", text.format(str(experiment))]
    return subprocess.Popen(words, env={**os.environ}, stderr=subprocess.DEVNULL)


def _begun(root: Path, parent: subprocess.Popen) -> Path:
    for _ in range(600):
        for records in root.glob("*/records.jsonl"):
            if records.stat().st_size:
                return records.parent
        assert parent.poll() is None
        time.sleep(0.1)
    raise AssertionError("it never began")


def _members(pid: int):
    import psutil  # noqa: PLC0415

    found = [p for p in psutil.Process(pid).children() if "omnitok.launching.group" in p.cmdline()]
    return sorted(found, key=lambda process: int(process.cmdline()[-1]))


def test_processes_that_cannot_share_a_batch_are_refused_before_anything_runs(experiment, runs_root):
    with pytest.raises(SpecError, match=r"--processes 3: stages.images.batch: batch=2 must be a multiple of it"):
        run_experiment(experiment, processes=3)
    assert not runs_root.exists()
