"""The search for a code: exact, in tiles, so that memory never grows with tokens x codes."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from omnitok.quantizers.contract import precise

TILE = 2**20  # scores at a time: 128 tokens x 8192 codes fit a CPU's cache
TILE_ELSEWHERE = 2**25  # an accelerator wants fewer, larger pieces
MOST_ROWS = 1024
BLOCK = 128  # scores of a token that are looked at together
TIE = 1e-13  # scores of float64 so near each other, of the largest there may be, are one


@torch.no_grad()
def nearest(tokens: Float[Tensor, "n z"], codebook: Float[Tensor, "k z"]) -> Int[Tensor, " n"]:
    """The index of the code with the least squared Euclidean distance, as float64 has it; ties to the lowest."""
    with precise(tokens):
        centre = codebook.double().mean(0)  # far from the origin the expanded square would lose its digits
        codes = codebook.double() - centre
        keys = torch.cat([codes, codes.square().sum(-1, keepdim=True) / -2], -1)
        return _best(tokens, keys, lambda rows: F.pad(rows.double() - centre, (0, 1), value=1.0))


@torch.no_grad()
def likeliest(tokens: Float[Tensor, "n z"], codebook: Float[Tensor, "k z"]) -> Int[Tensor, " n"]:
    """The index of the code with the largest inner product, as float64 has it; ties to the lowest."""
    with precise(tokens):
        return _best(tokens, codebook.double(), lambda rows: rows.double())


def rows_at_once(x: Tensor, codes: int) -> int:
    """How many tokens a tile of ``x`` x ``codes`` has."""
    return min(MOST_ROWS, max(1, TILE // codes)) if x.is_cpu else max(1, TILE_ELSEWHERE // codes)


def _best(
    tokens: Float[Tensor, "n z"], keys: Float[Tensor, "k y"], queries: Callable[[Tensor], Tensor]
) -> Int[Tensor, " n"]:
    """Where ``queries(tokens) @ keys.T`` is largest. Where two are so near that rounding may have turned them, float64
    decides; there are few of those."""
    found = torch.empty(len(tokens), dtype=torch.long, device=tokens.device)
    lead = torch.empty(len(tokens), dtype=tokens.dtype, device=tokens.device)  # over the second, beyond rounding
    narrow, blocks = keys.to(tokens.dtype), -(-len(keys) // BLOCK)
    rows = rows_at_once(tokens, blocks * BLOCK)
    scratch = tokens.new_full((min(rows, len(tokens)), blocks * BLOCK), -torch.inf)
    unit = 2 * (keys.shape[1] + 3) * torch.finfo(tokens.dtype).eps * narrow.norm(dim=-1).max()
    for some, index, ahead in zip(tokens.split(rows), found.split(rows), lead.split(rows), strict=True):
        asked, scores = queries(some).to(tokens.dtype), scratch[: len(some)]
        torch.mm(asked, narrow.T, out=scores[:, : len(keys)])
        first, second = _two_best(scores.view(len(some), blocks, BLOCK), index)
        ahead.copy_((first - second) - unit * asked.norm(dim=-1))
    if tokens.is_meta or tokens.dtype == torch.double:
        return found
    near = (lead <= 0).nonzero()[:, 0]
    for some in near.split(max(1, rows // 4)):
        scores = queries(tokens[some]) @ keys.T
        reach = scores.amax(-1, keepdim=True) - TIE * scores.abs().amax(-1, keepdim=True)
        found[some] = (scores >= reach).byte().max(-1).indices
    return found


def _two_best(
    scores: Float[Tensor, "m blocks inside"], index: Int[Tensor, " m"]
) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
    """The largest score of each token and the next, and into ``index`` where the largest is. Which block it is in is
    found first: the largest value takes a tenth of the time of the largest with its place."""
    best = scores.amax(-1)
    block = best.max(-1).indices
    inside = scores.flatten(0, 1).index_select(0, torch.arange(len(block), device=block.device) * best.shape[1] + block)
    first = inside.max(-1)
    torch.add(first.indices, block, alpha=BLOCK, out=index)
    inside.scatter_(1, first.indices[:, None], -torch.inf)
    best.scatter_(1, block[:, None], -torch.inf)
    return first.values, torch.maximum(inside.amax(-1), best.amax(-1))
