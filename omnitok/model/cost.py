"""What a model costs, in one place: parameters, floating-point operations, tokens, bits. Nothing is computed for it."""

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from omnitok.model.contract import Reconstructor, refuse_other_shape
from omnitok.model.tokenizer import Tokenizer

T = TypeVar("T")


class Cost(NamedTuple):
    """Of a model and one clip. FLOPs are those of matrix products and convolutions, 2 for each multiplication with its
    addition, a convolution's padding included; what is done number by number (norms, softmax, activations) is left out,
    as is usual. Parameters are what an optimizer trains."""

    parameters: int
    encode: int
    decode: int
    tokens: int
    bits_per_token: float
    pixels: int  # of all frames

    @property
    def flops(self) -> int:
        """Of encoding and decoding together."""
        return self.encode + self.decode

    @property
    def bits_per_pixel(self) -> float:
        return self.tokens * self.bits_per_token / self.pixels


def cost(model: Reconstructor, frames: int, resolution: int) -> Cost:
    """What a model on the meta device, as it is after training, spends on a square clip that comes back at
    ``resolution``.

    Raises ValueError with both numbers where something does not fit."""
    clip = torch.empty(1, 3, frames, resolution, resolution, device="meta")
    with _trained(model):
        if isinstance(model, Tokenizer):
            encode, found = counted(lambda: model.encode(model.reduced(clip)))
            decode, back = counted(lambda: model.decode(found.latents))
            codes = found.codes
        else:
            (encode, decode), (back, codes) = (0, 0), model.reconstruct(clip)
    refuse_other_shape(back, clip)
    tokens = math.prod(codes.shape[1:-1])
    return Cost(parameters(model), encode, decode, tokens, model.bits_per_token, frames * resolution**2)


@contextmanager
def _trained(model: nn.Module) -> Iterator[None]:
    """Without what only training computes."""
    before = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


def parameters(module: nn.Module) -> int:
    """How many numbers an optimizer trains; a moving average, such as a codebook that follows, is none."""
    return sum(parameter.numel() for parameter in module.parameters())


def counted(work: Callable[[], T]) -> tuple[int, T]:
    """(its floating-point operations, what ``work`` gives)."""
    counter = _Counter()
    with torch.inference_mode(False), torch.no_grad(), counter:
        made = work()
    return counter.flops, made


class _Made(NamedTuple):
    """What an operation on the meta device came to."""

    flops: int
    alone: bool  # one tensor, and not a sequence of one
    outlines: tuple[Any, ...]

    def again(self) -> Any:
        made = [torch.empty_strided(size, stride, dtype=dtype, device="meta") for size, stride, dtype in self.outlines]
        return made[0] if self.alone else tuple(made)


_KNOWN: dict[Any, _Made] = {}  # by operation and the outlines of its arguments; an operation is a function of those


class _Counter(TorchDispatchMode):
    """Sums torch's own formulas of every product and convolution that is dispatched. Its ``FlopCounterMode`` does so too,
    and tracks modules meanwhile, which takes half as long again and fails at views of parameters without gradients.

    The meta device takes milliseconds for the shape of a norm, a softmax or an activation, and models repeat their
    layers: each operation is asked once for each shape, so that a sweep is planned in a third of the time."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        key = (func, _outline(args), _outline(kwargs)) if _only_makes(func) and _is_meta((args, kwargs)) else None
        if key in _KNOWN:
            self.flops += _KNOWN[key].flops
            return _KNOWN[key].again()
        made = func(*args, **kwargs)
        formula = flop_registry.get(func._overloadpacket)
        flops = formula(*args, **kwargs, out_val=made) if formula else 0
        self.flops += flops
        several = made if isinstance(made, tuple | list) else (made,)
        if key and all(isinstance(one, Tensor) and one.is_meta for one in several):
            _KNOWN[key] = _Made(flops, isinstance(made, Tensor), tuple(map(_outline, several)))
        return made


@functools.cache
def _only_makes(func: Any) -> bool:
    """Whether an operation neither writes into its arguments nor gives a view of one."""
    return not any(part.alias_info for part in (*func._schema.arguments, *func._schema.returns))


def _is_meta(value: Any) -> bool:
    """Whether no tensor in it has numbers."""
    if isinstance(value, Tensor):
        return value.is_meta
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    return all(map(_is_meta, inside))


def _outline(value: Any) -> Any:
    """All that is to be known of an argument without numbers, to be looked up by."""
    if isinstance(value, Tensor):
        return value.shape, value.stride(), value.dtype
    if isinstance(value, dict):
        return tuple((name, _outline(one)) for name, one in value.items())
    if isinstance(value, tuple | list):
        return tuple(map(_outline, value))
    return type(value), value
