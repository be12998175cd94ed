"""Every token of a clip sees tokens of the whole clip."""

from typing import ClassVar, final

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from omnitok.attention.contract import Heads, Mixes, Past
from omnitok.attention.frames import OverFrames
from omnitok.attention.grid import OVER_BOTH
from omnitok.attention.places import NoPlaces, PlacesPart
from omnitok.spec import Count


@final
class SpaceTimeAttention(OverFrames):
    """Joint attention over space and time (ViViT's first model, arXiv:2103.15691), by default causal over frames.

    heads: how many mixtures are made side by side; must divide the width.
    causal: whether a frame sees only itself, what came before, and its block.
    block: how many latent frames after the first see each other; a larger one looks farther ahead.
    context: how many latent frames a causal frame looks back, itself included; null is all, and then memory grows with
        a clip.
    places: how tokens know where they are.
    """

    mixes: ClassVar[Mixes] = "both"

    def __init__(
        self,
        dim: int,
        *,
        heads: Count = 4,
        causal: bool = True,
        block: Count = 1,
        context: Count | None = None,
        places: PlacesPart = NoPlaces,
    ) -> None:
        super().__init__()
        if not causal and block > 1:
            raise ValueError(f"block={block} is of a causal attention, and causal is false")
        if not causal and context is not None:
            raise ValueError(f"context={context} is of a causal attention, and causal is false")
        self.causal, self.block, self.context = causal, block, context
        self.within = Heads(dim, heads, places, OVER_BOTH)

    def _extend(self, x: Float[Tensor, "b t h w d"], past: Past | None) -> tuple[Float[Tensor, "b t h w d"], Past]:
        _, t, h, w, _ = x.shape
        at, places = self._grid(past, t, h, w), self.within.places
        q, k, v = self.within.split(rearrange(x, "b t h w d -> b (t h w) d"))
        seen, past = self._over_frames((places.turn(q, at), places.turn(k, at), v), at, past, places)
        return rearrange(self.within.joined(seen), "b (t h w) d -> b t h w d", t=t, h=h), past
