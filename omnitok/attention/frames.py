"""Frames that see frames, the clip given whole or piece by piece."""

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from omnitok.attention.backends import mixed
from omnitok.attention.contract import Attention, Past
from omnitok.attention.grid import Grid
from omnitok.attention.masks import FrameCausal
from omnitok.attention.places import Places


class OverFrames(Attention):
    """An attention that mixes time. ``context``: how many latent frames a causal frame looks at; None is all."""

    context: int | None = None

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b t h w d"]:
        return self._extend(x, None)[0]

    def extend(self, x: Float[Tensor, "b t h w d"], past: Past) -> tuple[Float[Tensor, "b t h w d"], Past]:
        if not self.causal:
            return super().extend(x, past)
        frames = x.shape[1] + _seen(past)
        if (frames - 1) % self.block:
            raise ValueError(
                f"block={self.block} must divide the latent frames after the first, which are {frames - 1}"
            )
        return self._extend(x, past)

    @abstractmethod
    def _extend(self, x: Float[Tensor, "b t h w d"], past: Past | None) -> tuple[Float[Tensor, "b t h w d"], Past]:
        """None: nothing comes before, and nothing after."""

    def _grid(self, past: Past | None, frames: int, rows: int = 1, columns: int = 1) -> Grid:
        """Where the tokens of the frames after those of ``past`` stand."""
        return Grid(frames, rows, columns, first=_seen(past))

    def _over_frames(
        self,
        turned: tuple[Float[Tensor, "s heads n e"], Float[Tensor, "s heads n e"], Float[Tensor, "s heads n e"]],
        at: Grid,
        past: Past | None,
        places: Places,
        scale: float | None = None,
    ) -> tuple[Float[Tensor, "s heads n e"], Past]:
        """Queries, keys and values, turned, of tokens ``at`` a grid -> what they mix to, with the past before them."""
        q, k, v = turned
        tokens = at.rows * at.columns
        k, v, past = _extended(past, k, v, self.context, tokens)
        frames = k.shape[2] // tokens
        known = at._replace(frames=frames, first=at.first + at.frames - frames)
        bias = places.bias(at, known, q.device)
        mask = None
        if self.causal:
            bounded = self.context is not None and self.context < frames
            mask = FrameCausal(
                at.frames,
                frames,
                tokens,
                context=self.context if bounded else None,
                block=self.block,
                first=known.first % self.block,
            )
        return mixed(q, k, v, bias, scale=scale, mask=mask), past


def _seen(past: Past | None) -> int:
    return past[2] if past else 0


def _extended(past: Past | None, k: Tensor, v: Tensor, context: int | None, tokens: int) -> tuple[Tensor, Tensor, Past]:
    """Keys and values with those of the past before them, and what the frames after these will look at, with how many
    frames there were. None: nothing comes after."""
    if past is None:
        return k, v, ()
    seen = k.shape[2] // tokens + _seen(past)
    if past:
        k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
    kept = 0 if context is None else max(k.shape[2] - (context - 1) * tokens, 0)
    return k, v, (_alone(k[:, :, kept:]), _alone(v[:, :, kept:]), seen)


def _alone(x: Tensor) -> Tensor:
    """A tensor that is all of its storage."""
    return x if x.untyped_storage().nbytes() == x.nbytes else x.clone()
