"""What a process of its own measures of pretrained networks: ``python -m benchmarks.networks_child NAME JSON``."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

if __name__ == "__main__":  # before torch is loaded
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.published.networks import PlainEfficientNet, PlainI3D  # noqa: E402
from benchmarks.tokenizer_child import highest_memory, watch_memory  # noqa: E402
from omnitok.networks.efficientnet import EfficientNetFeatures  # noqa: E402
from omnitok.networks.i3d import I3DFeatures  # noqa: E402
from omnitok.networks.inception import InceptionFeatures  # noqa: E402
from omnitok.networks.unpickle import load_arrays  # noqa: E402
from omnitok.networks.weights import fetch  # noqa: E402

Features = Callable[[Tensor], Tensor]


def _inception() -> tuple[Features, Features]:
    ours = InceptionFeatures()
    network = torch.jit.load(fetch(ours.weights)).eval()
    return ours, lambda clip: network(ours.prepared(clip[:, :, 0]))


def _i3d() -> tuple[Features, Features]:
    ours = I3DFeatures()
    network = PlainI3D(load_arrays(fetch(ours.weights)))
    return ours, lambda clip: network(ours.prepared(clip))


def _efficientnet() -> tuple[Features, Features]:
    ours = EfficientNetFeatures()
    network = PlainEfficientNet(torch.load(fetch(ours.weights), weights_only=True))
    return ours, lambda clip: network(ours.prepared(clip[:, :, 0]))


SIDES = {"inception": _inception, "i3d": _i3d, "efficientnet": _efficientnet}


def _calls(name: str, size: Sequence[int]) -> dict[str, Callable[[], Tensor]]:
    ours, theirs = SIDES[name]()
    items, frames, side = size
    clip = torch.rand(items, 3, frames, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return {"ours": lambda: ours(clip), "theirs": lambda: theirs(clip)}


@torch.inference_mode()
def speeds(name: str, size: Sequence[int], repeats: int) -> dict[str, Any]:
    """Seconds of processor time, in turn, after each has run twice, in which TorchScript optimises; and how far they are
    apart."""
    calls = _calls(name, size)
    mine, other = ([call(), call()][0].flatten(1) for call in calls.values())
    taken = [{side: _processor(call) for side, call in calls.items()} for _ in range(repeats)]
    found: dict[str, Any] = {side: [one[side] for one in taken] for side in calls}
    largest = float(other.abs().max())
    return found | {
        "difference": float((mine - other).abs().max()) / largest,
        "where": f"which is {largest:.3g}, of noise",
    }


def _processor(call: Callable[[], object]) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun


@torch.inference_mode()
def peak(name: str, side: str, size: Sequence[int]) -> float:
    """MiB above what was there before; one small item has loaded what is loaded once."""
    _calls(name, (1, size[1], 32))[side]()
    call = _calls(name, size)[side]
    before = watch_memory()
    call()
    return highest_memory() - before


MEASURES: dict[str, Callable[..., Any]] = {"speeds": speeds, "peak": peak}


if __name__ == "__main__":
    print(json.dumps(MEASURES[sys.argv[1]](**json.loads(sys.argv[2]))))
