"""What holds on a GPU: the numbers of the CPU, to rounding; a resumed run; a real shortage of memory; a replay."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny import EXPERIMENT

from omnitok import run_experiment, runs, trial
from omnitok.attention import ATTENTION
from omnitok.inspection.replay import replay
from omnitok.model import Tokenizer
from omnitok.networks.i3d import I3D
from omnitok.networks.inception import Inception
from omnitok.networks.lpips import Lpips
from omnitok.quantizers import QUANTIZERS
from omnitok.randomness import generator
from omnitok.spec import resolve

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    pytest.mark.filterwarnings("default"),  # of a driver or a library that is newer than the ones here
]
MOVING = EXPERIMENT.replace("{type: embedded, short_side: 32}", "{type: moving_shapes, clips: 6, length: 5}")


@pytest.fixture(autouse=True)
def _float32():
    """Products in float32, not in the ten bits of TF32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def close(found: torch.Tensor, wanted: torch.Tensor, tolerance: float = 1e-4) -> None:
    assert found.device.type == "cuda"
    assert (found.cpu() - wanted).norm() <= tolerance * wanted.norm() + 1e-7


@pytest.mark.parametrize("name", list(ATTENTION))
@pytest.mark.parametrize("way", ["auto", "manual", "sdpa"])
def test_an_attention_gives_the_numbers_and_gradients_of_the_cpu(name, way, monkeypatch):
    monkeypatch.setenv("OMNITOK_ATTENTION", way)
    torch.manual_seed(0)
    here, there = (resolve(ATTENTION.default(name))(64).eval() for _ in range(2))
    there.load_state_dict(here.state_dict())
    x = torch.randn(2, 3, 8, 8, 64)
    grads = []
    for module, where in ((here, "cpu"), (there, "cuda")):
        given = x.to(where, copy=True).requires_grad_()
        out = module.to(where)(given)
        out.square().mean().backward()
        grads.append((out.detach(), given.grad))
    for wanted, found in zip(*grads, strict=True):
        close(found, wanted)


@pytest.mark.parametrize("name", list(QUANTIZERS))
def test_a_quantizer_chooses_the_codes_of_the_cpu(name):
    made = resolve(QUANTIZERS.default(name))()
    x = torch.randn(2, 3, 4, 4, made.in_channels)
    made.train()(x, generator(0, "test", 0))  # a codebook that has seen something
    made.eval()
    wanted = made(x)
    found = made.cuda()(x.cuda())
    assert found.latents.device.type == "cuda"
    agreeing = (found.codes.cpu() == wanted.codes).float().mean() if wanted.codes.numel() else 1.0
    assert agreeing > 0.99
    if agreeing == 1.0:
        close(found.latents, wanted.latents)


@pytest.mark.parametrize(
    ("network", "shape"),
    [(Inception, (2, 3, 299, 299)), (I3D, (1, 3, 16, 224, 224))],
    ids=["inception", "i3d"],
)
def test_a_network_of_a_metric_gives_the_features_of_the_cpu(network, shape):
    made = network().eval().requires_grad_(False)
    for value in made.parameters():
        torch.nn.init.kaiming_normal_(value) if value.ndim > 1 else torch.nn.init.normal_(value, std=0.1)
    x = torch.rand(shape) * 2 - 1
    wanted = _flat(made(x))
    close(_flat(made.cuda()(x.cuda())), wanted, 1e-3)


def test_lpips_gives_the_distances_of_the_cpu():
    made = Lpips("vgg").eval().requires_grad_(False)
    one, other = (F.interpolate(torch.rand(2, 3, 8, 8), 64) * 2 - 1 for _ in range(2))
    wanted = made(one, other)
    close(made.cuda()(one.cuda(), other.cuda()), wanted, 1e-3)


def _flat(found) -> torch.Tensor:
    parts = found if isinstance(found, tuple | list) else found.values() if isinstance(found, dict) else [found]
    return torch.cat([part.flatten() for part in parts])


def trained(folder: Path, monkeypatch, where: str, text: str = MOVING) -> list[Path]:
    folder.mkdir(exist_ok=True)
    (folder / "tiny.yaml").write_text(text)
    monkeypatch.setenv("OMNITOK_RUNS", str(folder / "runs"))
    monkeypatch.setenv("OMNITOK_DEVICE", where)
    return run_experiment(folder / "tiny.yaml").folders


def test_training_follows_the_cpu_to_rounding(tmp_path, monkeypatch):
    there = trained(tmp_path / "gpu", monkeypatch, "cuda")
    here = trained(tmp_path / "cpu", monkeypatch, "cpu")
    for a, b in zip(there, here, strict=True):
        assert runs.read_json(a / runs.PROVENANCE)["device"] == torch.cuda.get_device_name(0)
        for on_gpu, on_cpu in zip(runs.records(a), runs.records(b), strict=True):
            assert on_gpu.values == pytest.approx(on_cpu.values, rel=2e-2, abs=1e-4), on_gpu.step


@pytest.mark.parametrize("in_order", [False, True])
def test_a_run_that_was_stopped_goes_on_where_it_was(in_order, tmp_path, monkeypatch):
    monkeypatch.setenv("OMNITOK_DETERMINISTIC", str(int(in_order)))
    long = MOVING.replace("steps: 5", "steps: 40")
    whole = trained(tmp_path / "whole", monkeypatch, "cuda", long)[0]
    cut = tmp_path / "cut" / whole.name
    cut.mkdir(parents=True)
    (cut / runs.EXPERIMENT).write_bytes((whole / runs.EXPERIMENT).read_bytes())
    seen: list[int] = []
    with pytest.raises(trial.Stopped):
        trial.run(cut, stop=lambda: len(seen) >= 15, on_record=lambda record: seen.append(record.step))
    trial.run(cut)
    assert runs.attempts(cut)[1]["from_step"] == runs.attempts(cut)[0]["to_step"] == 15
    for one, other in zip(runs.records(cut), runs.records(whole), strict=True):
        assert one.values == pytest.approx(other.values, rel=1e-3, abs=1e-5), one.step
    equal = (cut / runs.WEIGHTS).read_bytes() == (whole / runs.WEIGHTS).read_bytes()
    print(json.dumps({"in order": in_order, "resumed to the bit": equal}))
    assert equal or not in_order


def test_a_replay_on_the_same_gpu_does_not_diverge(tmp_path, monkeypatch):
    folder = trained(tmp_path / "once", monkeypatch, "cuda", MOVING.replace("steps: 5", "steps: 40"))[0]
    found = replay(folder)
    print(json.dumps({"replay": found.verdict}))
    assert found.verdict in ("bitwise equal", "within tolerance"), found


def test_a_shortage_of_memory_is_called_so():
    def more() -> None:
        torch.empty(2 * torch.cuda.get_device_properties(0).total_memory, dtype=torch.uint8, device="cuda")

    failed = trial.attempt(more)
    assert failed is not None
    assert failed.kind == "out_of_memory"
    torch.cuda.empty_cache()


def test_a_tokenizer_reconstructs_a_clip_as_on_the_cpu():
    torch.manual_seed(0)
    made = Tokenizer(dim=32).eval()
    clip = torch.rand(1, 3, 5, 32, 32) * 2 - 1
    with torch.no_grad():
        wanted, codes = made.reconstruct(clip)
        found, again = made.cuda().reconstruct(clip.cuda())
    assert (again.cpu() == codes).float().mean() > 0.99
    close(found, wanted, 0.05)
