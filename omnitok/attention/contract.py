"""What every attention promises."""

import functools
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

Past = tuple[Any, ...]  # what a module keeps of the frames that it has seen; () at the beginning
SHORT = 64  # sequences up to here are faster as plain products on a CPU (5.3 ms against 17.3 at 5 tokens, measured)


class Attention(nn.Module, ABC):
    """The residual stream -> what is to be added to it. ``Component(dim, *, ...)``; normalises for itself.

    An attention over space never looks into another frame; one over time never looks at another place, and a causal
    one never at a later frame, not by one bit. Samples are independent. Raises ValueError where ``heads`` does not
    divide ``dim``, or the grid does not fit. ``known_defects``: what a published component does wrong, on purpose.
    """

    version: ClassVar[int] = 2
    known_defects: ClassVar[tuple[str, ...]] = ()
    mixes: ClassVar[Literal["space", "time"]]
    causal: bool = False
    multiple: int = 1  # what both sides of the latent grid must be a multiple of

    @abstractmethod
    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]: ...

    def extend(self, x: Float[Tensor, "b t h w d"], past: Past) -> tuple[Float[Tensor, "b t h w d"], Past]:
        """The same for the frames that come after those that ``past`` is of. -> (what is to be added, the new past).

        Raises ValueError where the attention would have to see what comes later."""
        if self.mixes == "time":
            raise ValueError(f"{type(self).__name__} is not causal, so a clip cannot be given to it piece by piece")
        return self(x), ()


class Heads(nn.Module):
    """Scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762) within sequences of n normalised tokens."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"heads={heads} must divide the width, which is dim={dim}")
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim)

    def forward(
        self, x: Float[Tensor, "s n d"], bias: Float[Tensor, "heads n n"] | None = None
    ) -> Float[Tensor, "s n d"]:
        q, k, v = self.split(x)
        return self.joined(mixed(q, k, v, bias))

    def split(self, x: Float[Tensor, "s n d"]) -> Float[Tensor, "3 s heads n e"]:
        """Queries, keys and values."""
        return rearrange(self.qkv(self.norm(x)), "s n (three heads e) -> three s heads n e", three=3, heads=self.heads)

    def joined(self, x: Float[Tensor, "s heads n e"]) -> Float[Tensor, "s n d"]:
        return self.out(rearrange(x, "s heads n e -> s n (heads e)"))


def mixed(
    q: Float[Tensor, "s heads n e"],
    k: Float[Tensor, "s heads m e"],
    v: Float[Tensor, "s heads m e"],
    bias: Float[Tensor, "#heads n m"] | None = None,
    scale: float | None = None,
) -> Float[Tensor, "s heads n e"]:
    """softmax(scale q k + bias) v; without ``scale`` it is e ** -0.5. Minus infinity in ``bias`` hides a token."""
    if k.shape[2] > SHORT or not q.is_cpu:
        mask = None if bias is None else bias.to(q.dtype)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    logits = (q * (q.shape[-1] ** -0.5 if scale is None else scale)) @ k.mT
    if bias is not None:
        logits = logits + bias.to(logits.dtype)
    return logits.softmax(-1).to(v.dtype) @ v


def extended(past: Past | None, k: Tensor, v: Tensor, context: int | None) -> tuple[Tensor, Tensor, Past]:
    """Keys and values with those of the past before them, and what the frames after these will look at, with how many
    frames there were. None: nothing comes after."""
    if past is None:
        return k, v, ()
    seen = k.shape[2] + (past[2] if past else 0)
    if past:
        k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
    kept = 0 if context is None else max(k.shape[2] - (context - 1), 0)
    return k, v, (_alone(k[:, :, kept:]), _alone(v[:, :, kept:]), seen)


def _alone(x: Tensor) -> Tensor:
    """A tensor that is all of its storage."""
    return x if x.untyped_storage().nbytes() == x.nbytes else x.clone()


def causal_mask(queries: int, keys: int, context: int | None, like: Tensor) -> Float[Tensor, "1 n m"]:
    """0 where a frame looks, minus infinity elsewhere: at itself and at what came before, ``context`` frames in all.
    The last query stands at the last key."""
    return _mask(queries, keys, context, like.device, like.dtype)


@functools.lru_cache(maxsize=64)
def _mask(queries: int, keys: int, context: int | None, device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # one made while measuring also serves training
        back = torch.arange(keys - queries, keys, device=device)[:, None] - torch.arange(keys, device=device)
        hidden = (back < 0) | (back >= (keys if context is None else context))
        return torch.zeros(1, queries, keys, device=device, dtype=dtype).masked_fill(hidden, float("-inf"))
