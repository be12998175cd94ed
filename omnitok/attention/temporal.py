"""Every place of the frame sees itself at other times."""

from typing import ClassVar, final

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from omnitok.attention.contract import Heads, Mixes, Past
from omnitok.attention.frames import OverFrames
from omnitok.attention.grid import OVER_TIME
from omnitok.attention.places import NoPlaces, PlacesPart
from omnitok.spec import Count


class _Temporal(OverFrames):
    mixes: ClassVar[Mixes] = "time"

    def __init__(self, dim: int, heads: int, places: PlacesPart) -> None:
        super().__init__()
        self.within = Heads(dim, heads, places, OVER_TIME)

    def _extend(self, x: Float[Tensor, "b t h w d"], past: Past | None) -> tuple[Float[Tensor, "b t h w d"], Past]:
        b, t, h, _, _ = x.shape
        at, places = self._grid(past, t), self.within.places
        q, k, v = self.within.split(rearrange(x, "b t h w d -> (b h w) t d"))
        seen, past = self._over_frames((places.turn(q, at), places.turn(k, at), v), at, past, places)
        return rearrange(self.within.joined(seen), "(b h w) t d -> b t h w d", b=b, h=h), past


@final
class TemporalAttention(_Temporal):
    """Causal attention over time, one sequence a place (OmniTokenizer, arXiv:2406.09399, without its leak).

    heads: how many mixtures are made side by side; must divide the width.
    context: how many latent frames a frame looks at, itself included; null is all, and then memory grows with a clip.
    places: how tokens know where they are.
    """

    causal = True

    def __init__(
        self, dim: int, *, heads: Count = 4, context: Count | None = None, places: PlacesPart = NoPlaces
    ) -> None:
        super().__init__(dim, heads, places)
        self.context = context


@final
class BidirectionalTemporalAttention(_Temporal):
    """Attention over all times, one sequence a place (the temporal half of ViViT's factorised attention,
    arXiv:2103.15691); an image does not stay what it is as the first frame of a clip.

    heads: how many mixtures are made side by side; must divide the width.
    places: how tokens know where they are.
    """

    def __init__(self, dim: int, *, heads: Count = 4, places: PlacesPart = NoPlaces) -> None:
        super().__init__(dim, heads, places)


@final
class BlockCausalTemporalAttention(_Temporal):
    """Frames of a block see each other and every block before (ElasticTok, arXiv:2410.08368). The first latent frame is a
    block of its own, so that an image is the first frame of a clip.

    heads: how many mixtures are made side by side; must divide the width.
    block: how many latent frames see each other; a larger one looks farther ahead and is waited for longer.
    context: how many latent frames a frame looks back, itself included; null is all, and then memory grows with a clip.
    places: how tokens know where they are.
    """

    causal = True

    def __init__(
        self,
        dim: int,
        *,
        heads: Count = 4,
        block: Count = 2,
        context: Count | None = None,
        places: PlacesPart = NoPlaces,
    ) -> None:
        super().__init__(dim, heads, places)
        self.block, self.context = block, context
