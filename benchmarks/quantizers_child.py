"""What a process of its own measures of quantizers: ``python -m benchmarks.quantizers_child NAME JSON``."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

if __name__ == "__main__":  # before torch is loaded
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from vector_quantize_pytorch import FSQ, LFQ, ResidualVQ, SimVQ, VectorQuantize  # noqa: E402

from benchmarks.tokenizer_child import highest_memory, watch_memory  # noqa: E402
from omnitok.quantizers.bsq import BinarySphericalQuantizer  # noqa: E402
from omnitok.quantizers.contract import Quantizer  # noqa: E402
from omnitok.quantizers.fsq import FiniteScalarQuantizer  # noqa: E402
from omnitok.quantizers.lfq import LookupFreeQuantizer  # noqa: E402
from omnitok.quantizers.residual import ResidualQuantizer  # noqa: E402
from omnitok.quantizers.search import nearest  # noqa: E402
from omnitok.quantizers.simvq import SimVectorQuantizer  # noqa: E402
from omnitok.quantizers.vq import VectorQuantizer  # noqa: E402
from omnitok.quantizers.vq_learned import LearnedVectorQuantizer  # noqa: E402

DIM, BITS, LEVELS = 8, 13, (8, 8, 8, 5, 5)


class Pair(NamedTuple):
    """A quantizer of ours, given how many codes it has, and what it is held against."""

    ours: Callable[[int], Quantizer]
    theirs: Callable[[int], nn.Module]
    dim: int = DIM
    backward: bool = False  # whether the gradient is taken as well
    times: int = 1  # how many steps a sample is: what takes no time is taken often


def _level() -> Quantizer:
    return VectorQuantizer(codebook_size=1024, code_dim=DIM, normalise=False, start="spread")


PAIRS = {
    "vq": Pair(
        lambda codes: VectorQuantizer(codebook_size=codes, code_dim=DIM, start="spread"),
        lambda codes: VectorQuantize(DIM, codes, use_cosine_sim=True),
    ),
    "vq_learned": Pair(
        lambda codes: LearnedVectorQuantizer(codebook_size=codes, code_dim=DIM, start="spread"),
        lambda codes: VectorQuantize(DIM, codes, learnable_codebook=True, ema_update=False),
    ),
    "simvq": Pair(
        lambda codes: SimVectorQuantizer(codebook_size=codes, code_dim=DIM, estimator="rotation"),
        lambda codes: SimVQ(DIM, codes),
    ),
    "fsq": Pair(lambda _: FiniteScalarQuantizer(levels=LEVELS), lambda _: FSQ(list(LEVELS)), len(LEVELS), times=50),
    "lfq": Pair(
        lambda _: LookupFreeQuantizer(bits=BITS), lambda _: LFQ(codebook_size=2**BITS, dim=BITS), BITS, True
    ),
    "bsq": Pair(
        lambda _: BinarySphericalQuantizer(bits=BITS),
        lambda _: LFQ(codebook_size=2**BITS, dim=BITS, spherical=True),
        BITS,
        True,
    ),
    "residual": Pair(
        lambda _: ResidualQuantizer(of=_level, depth=4),
        lambda _: ResidualVQ(dim=DIM, num_quantizers=4, codebook_size=1024),
    ),
}  # fmt: skip


def _calls(name: str, codes: int, shape: Sequence[int]) -> dict[str, Callable[[], object]]:
    """One training step of each side on the same noise."""
    torch.manual_seed(0)
    pair = PAIRS[name]
    mine, theirs = pair.ours(codes).train(), pair.theirs(codes).train()
    x = torch.randn(*shape, pair.dim, requires_grad=True)

    def ours() -> None:
        out = mine(x, torch.Generator().manual_seed(0))
        _finish(pair, x, out.latents, out.loss)

    def peer() -> None:
        latents, _, loss, *_ = (*theirs(x.flatten(1, 3)), torch.zeros(()))
        _finish(pair, x, latents, loss)

    return {"ours": ours, "theirs": peer}


def _finish(pair: Pair, x: Tensor, latents: Tensor, loss: Tensor) -> None:
    if pair.backward:
        torch.autograd.grad(latents.sum() + loss.sum(), x)


def speeds(name: str, codes: int, shape: Sequence[int], repeats: int) -> dict[str, list[float]]:
    """Seconds of processor time of a training step, in turn."""
    calls = _calls(name, codes, shape)
    for call in calls.values():
        call()
    times = PAIRS[name].times
    taken = [{side: _processor(call, times) for side, call in calls.items()} for _ in range(repeats)]
    return {side: [one[side] for one in taken] for side in calls}


def _processor(call: Callable[[], object], times: int) -> float:
    begun = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - begun) / times


def peak(name: str, side: str, codes: int, shape: Sequence[int]) -> float:
    """MiB that a training step needs above what was there before it; a small step has loaded what is loaded once."""
    _calls(name, min(codes, 64), [1, 1, 4, 4])[side]()
    call = _calls(name, codes, shape)[side]
    before = watch_memory()
    call()
    return highest_memory() - before


def wrong(codes: int, shape: Sequence[int]) -> dict[str, int]:
    """Of how many tokens, how many get another code than the nearest in float64."""
    torch.manual_seed(0)
    tokens = F.normalize(torch.randn(*shape, DIM).flatten(0, -2), dim=-1)
    codebook = F.normalize(torch.randn(codes, DIM), dim=-1)
    exact = [_brute(some.double(), codebook.double()) for some in tokens.split(64)]
    return {"tokens": len(tokens), "wrong": int((nearest(tokens, codebook) != torch.cat(exact)).sum())}


def _brute(tokens: Tensor, codebook: Tensor) -> Tensor:
    return torch.cdist(tokens, codebook, compute_mode="donot_use_mm_for_euclid_dist").argmin(-1)


MEASURES: dict[str, Callable[..., Any]] = {"speeds": speeds, "peak": peak, "wrong": wrong}


if __name__ == "__main__":
    print(json.dumps(MEASURES[sys.argv[1]](**json.loads(sys.argv[2]))))
