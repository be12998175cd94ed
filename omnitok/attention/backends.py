"""The ways to compute softmax(scale q k + bias) v, equal to rounding: which one is a resource, never a choice."""

import functools
import os
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from omnitok.attention.masks import FrameCausal, Mask, added, dense

SHORT = 64  # sequences up to here are faster as plain products on a CPU (5.3 ms against 17.3 at 5 tokens, measured)
LONG = 512  # from here on a fused kernel that skips what is hidden is worth being compiled


class Logits(NamedTuple):
    """What is made of the products of queries and keys: scale q k + bias, over what ``mask`` lets be seen."""

    bias: Tensor | None
    scale: float
    mask: Mask | None

    def added(self, like: Tensor) -> Float[Tensor, "#heads n m"] | None:
        """What is added to the scaled products."""
        hidden = None if self.mask is None else added(self.mask, like.device, like.dtype)
        if self.bias is None:
            return hidden
        bias = self.bias.to(like.dtype)
        return bias if hidden is None else bias + hidden


def mixed(
    q: Float[Tensor, "s heads n e"],
    k: Float[Tensor, "s heads m e"],
    v: Float[Tensor, "s heads m e"],
    bias: Float[Tensor, "#heads n m"] | None = None,
    *,
    scale: float | None = None,
    mask: Mask | None = None,
) -> Float[Tensor, "s heads n e"]:
    """softmax(scale q k + bias) v over the keys that ``mask`` lets a query see; without ``scale`` it is e ** -0.5.
    Minus infinity in ``bias`` hides a key too."""
    logits = Logits(bias, q.shape[-1] ** -0.5 if scale is None else scale, mask)
    if q.is_meta:
        return _counted(q, k, v, logits)
    return BACKENDS[chosen(q, k, mask)](q, k, v, logits)


def asked() -> str:
    """OMNITOK_ATTENTION: manual, sdpa or flex everywhere; auto or empty: by shape and device."""
    said = os.environ.get("OMNITOK_ATTENTION", "") or "auto"
    if said != "auto" and said not in BACKENDS:
        raise ValueError(f"OMNITOK_ATTENTION={said} must be one of {', '.join(['auto', *BACKENDS])}")
    return said


def chosen(q: Tensor, k: Tensor, mask: Mask | None) -> str:
    """The name of the backend for such a product."""
    said = asked()
    if said != "auto":
        return said
    if q.is_cpu:
        return "manual" if k.shape[2] <= SHORT else "sdpa"
    hides = mask is not None and mask.keys >= LONG and 2 * mask.pairs < mask.queries * mask.keys
    return "flex" if hides and q.dtype != torch.float64 else "sdpa"


def _manual(q: Tensor, k: Tensor, v: Tensor, logits: Logits) -> Tensor:
    made = (q * logits.scale) @ k.mT
    more = logits.added(made)
    if more is not None:
        made = made + more
    return made.softmax(-1).to(v.dtype) @ v


def _sdpa(q: Tensor, k: Tensor, v: Tensor, logits: Logits) -> Tensor:
    bias, scale, mask = logits
    parts = mask.parts() if mask is not None and mask.keys > SHORT else ()
    if not parts:
        return _fused(q, k, v, logits)
    found = []
    for (start, stop), (first, last), within in parts:
        of_part = Logits(None if bias is None else bias[:, start:stop, first:last], scale, within)
        found.append(_fused(q[:, :, start:stop], k[:, :, first:last], v[:, :, first:last], of_part))
    return torch.cat(found, dim=2)


def _fused(q: Tensor, k: Tensor, v: Tensor, logits: Logits) -> Tensor:
    bias, scale, mask = logits
    if bias is None and isinstance(mask, FrameCausal) and mask.triangular:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)
    more = logits.added(q)
    if more is not None:  # one of three dimensions, or one that asks for a gradient, is taken the slow way
        more = (more if torch.is_grad_enabled() else more.detach()).contiguous()[None]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=more, scale=scale)


def _flex(q: Tensor, k: Tensor, v: Tensor, logits: Logits) -> Tensor:
    if not q.is_cpu:
        return _flexed(q, k, v, logits)
    found: Tensor = _FlexOnCpu.apply(logits, q, k, v, logits.bias)
    return found


def _flexed(q: Tensor, k: Tensor, v: Tensor, logits: Logits) -> Tensor:
    from torch.nn.attention.flex_attention import flex_attention  # takes a second to load

    bias = None if logits.bias is None else logits.bias.to(q.dtype).expand(q.shape[1], -1, -1)
    score = None if bias is None else lambda made, _, head, query, key: made + bias[head, query, key]
    blocks = None if logits.mask is None else _blocks(logits.mask, q.device)
    kernel: Any = flex_attention if q.is_cpu or torch.compiler.is_compiling() else _compiled()
    with warnings.catch_warnings():  # on a CPU it warns of missing gradients, which _FlexOnCpu has
        warnings.simplefilter("ignore", UserWarning) if q.is_cpu else None
        found: Tensor = kernel(q, k, v, score_mod=score, block_mask=blocks, scale=logits.scale)
    return found


@functools.cache
def _compiled() -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention)


@functools.lru_cache(maxsize=32)
def _blocks(mask: Mask, device: torch.device) -> Any:
    """The mask as FlexAttention takes it."""
    from torch.nn.attention.flex_attention import create_block_mask

    seen = dense(mask, device) if device.type == "cpu" else None
    rule = (lambda _, __, i, j: mask.sees(i, j)) if seen is None else (lambda _, __, i, j: seen[i, j])
    with torch.inference_mode(False):
        return create_block_mask(rule, None, None, mask.queries, mask.keys, device=device)


class _FlexOnCpu(torch.autograd.Function):
    """There torch has FlexAttention without gradients: they are those of the plain products."""

    @staticmethod
    def forward(ctx: Any, logits: Logits, *tensors: Tensor | None) -> Tensor:
        ctx.save_for_backward(*tensors)
        ctx.logits = logits._replace(bias=None)
        q, k, v, bias = (x if x is None else x.detach() for x in tensors)
        assert q is not None and k is not None and v is not None
        return _flexed(q, k, v, logits._replace(bias=bias))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        leaves = [x.detach().requires_grad_() for x in ctx.saved_tensors if x is not None]
        with torch.enable_grad():
            made = _manual(leaves[0], leaves[1], leaves[2], ctx.logits._replace(bias=leaves[3] if leaves[3:] else None))
        return None, *torch.autograd.grad(made, leaves, gradient), *[None] * (4 - len(leaves))


def _counted(q: Tensor, k: Tensor, v: Tensor, logits: Logits) -> Tensor:
    """Without numbers: a shape, by products of just so many pairs as are seen, for what counts operations."""
    if logits.mask is None:
        return F.scaled_dot_product_attention(q, k, v)
    some_k, some_v = (x.narrow(2, 0, 1).expand(-1, -1, logits.mask.pairs, -1) for x in (k, v))
    made = F.scaled_dot_product_attention(q.narrow(2, 0, 1), some_k, some_v)
    return made.expand(-1, -1, q.shape[2], -1)


BACKENDS: dict[str, Callable[[Tensor, Tensor, Tensor, Logits], Tensor]] = {
    "manual": _manual,
    "sdpa": _sdpa,
    "flex": _flex,
}
