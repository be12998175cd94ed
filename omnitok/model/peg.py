"""Position from a convolution: a depth-wise 3 x 3 x 3 kernel over the latent grid (CPVT, arXiv:2102.10882)."""

from collections.abc import Callable
from typing import Annotated, ClassVar, final

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.attention import Mixes, NotCausal, Past
from omnitok.spec import Registry

BACK = 2  # frames before its own that a causal kernel sees


class Peg(nn.Module):
    """The residual stream -> the residual stream, with position added. ``Component(dim, mixes, *, ...)``; ``mixes``:
    what the attention beside it mixes, "space", "time" or "both"."""

    version: ClassVar[int] = 1
    known_defects: ClassVar[tuple[str, ...]] = ()

    def extend(self, x: Float[Tensor, "b t h w d"], past: Past) -> tuple[Float[Tensor, "b t h w d"], Past]:
        """The same for the frames after those of ``past``. Raises NotCausal where the kernel looks ahead."""
        raise NotCausal(f"{type(self).__name__} is not causal, so a clip cannot be given to it piece by piece")


class _Convolution(nn.Module):
    """The kernel as three kernels of a frame each, one a lag: on a CPU 4 to 14 times as fast to train as one of three
    dimensions (measured), and frames of zeros before the first cost nothing."""

    def __init__(self, dim: int, causal: bool) -> None:
        super().__init__()
        self.before = BACK if causal else 1
        self.kernel = nn.Conv3d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        t = x.shape[1]
        assert self.kernel.bias is not None
        made = self._tap(x, self.before) + self.kernel.bias
        for tap in range(3):
            lag = self.before - tap
            if lag > 0 and t > lag:
                made[:, lag:] += self._tap(x[:, : t - lag], tap)
            elif lag < 0 and t > -lag:
                made[:, : t + lag] += self._tap(x[:, -lag:], tap)
        return made

    def _tap(self, x: Float[Tensor, "b t h w d"], tap: int) -> Float[Tensor, "b t h w d"]:
        frames = rearrange(x, "b t h w d -> (b t) d h w")
        found = F.conv2d(frames, self.kernel.weight[:, :, tap], padding=1, groups=x.shape[-1])
        return rearrange(found, "(b t) d h w -> b t h w d", b=x.shape[0])


@final
class NoPeg(Peg):
    """Nothing is added."""

    def __init__(self, dim: int, mixes: Mixes) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        return x

    def extend(self, x: Float[Tensor, "b t h w d"], past: Past) -> tuple[Float[Tensor, "b t h w d"], Past]:
        return x, ()


@final
class ConvolutionPeg(Peg):
    """The convolution over the grid as it is.

    causal: whether a frame sees only itself and what came before.
    """

    def __init__(self, dim: int, mixes: Mixes, *, causal: bool = True) -> None:
        super().__init__()
        self.causal = causal
        self.convolution = _Convolution(dim, causal)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        return x + self.convolution(x)

    def extend(self, x: Float[Tensor, "b t h w d"], past: Past) -> tuple[Float[Tensor, "b t h w d"], Past]:
        if not self.causal:
            return super().extend(x, past)
        before = past[0] if past else x.new_zeros(x.shape[0], BACK, *x.shape[2:])
        known = torch.cat([before, x], dim=1)
        return x + self.convolution(known)[:, known.shape[1] - x.shape[1] :], (known[:, -BACK:].clone(),)


@final
class ScrambledPeg(Peg):
    """As published: beside an attention over time the tokens, which lie as (row, column, time), are read as (time, row,
    column) without being moved, so the grid that is convolved is none and the future leaks (arXiv:2406.09399, its code).

    causal: whether the kernel looks back only; the scrambling defeats it.
    """

    known_defects: ClassVar[tuple[str, ...]] = ("scrambled PEG",)

    def __init__(self, dim: int, mixes: Mixes, *, causal: bool = True) -> None:
        super().__init__()
        self.mixes = mixes
        self.convolution = _Convolution(dim, causal)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        if self.mixes != "time":
            return x + self.convolution(x)
        lying = rearrange(x, "b t h w d -> b h w t d")
        added = self.convolution(lying.reshape(x.shape)).reshape(lying.shape)
        return x + rearrange(added, "b h w t d -> b t h w d")


PEGS: Registry[Peg] = Registry(
    "peg",
    group="omnitok.pegs",
    contract=Peg,
    none=NoPeg,
    convolution=ConvolutionPeg,
    scrambled=ScrambledPeg,
)
PegPart = Annotated[Callable[..., Peg], PEGS]
