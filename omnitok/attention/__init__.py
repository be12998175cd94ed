"""Mixing tokens. One file an attention; one line here makes it nameable, swept and tested."""

from collections.abc import Callable
from typing import Annotated

from omnitok.attention.axial import AxialAttention
from omnitok.attention.contract import Attention as Attention
from omnitok.attention.contract import Mixes as Mixes
from omnitok.attention.contract import NotCausal as NotCausal
from omnitok.attention.contract import Past as Past
from omnitok.attention.cosine import (
    CosineAttention,
    PublishedCosineAttention,
    PublishedTemporalCosineAttention,
    TemporalCosineAttention,
)
from omnitok.attention.full import FullAttention
from omnitok.attention.global_tokens import GlobalTokensAttention
from omnitok.attention.linear import LinearAttention
from omnitok.attention.neighbourhood import NeighbourhoodAttention
from omnitok.attention.space_time import SpaceTimeAttention
from omnitok.attention.temporal import (
    BidirectionalTemporalAttention,
    BlockCausalTemporalAttention,
    TemporalAttention,
)
from omnitok.attention.window import PublishedWindowAttention, ShiftedWindowAttention, WindowAttention
from omnitok.spec import Registry

ATTENTION: Registry[Attention] = Registry(
    "attention",
    group="omnitok.attention",
    contract=Attention,
    full=FullAttention,
    window=WindowAttention,
    shifted_window=ShiftedWindowAttention,
    window_published=PublishedWindowAttention,
    axial=AxialAttention,
    neighbourhood=NeighbourhoodAttention,
    global_tokens=GlobalTokensAttention,
    linear=LinearAttention,
    cosine=CosineAttention,
    cosine_published=PublishedCosineAttention,
    temporal=TemporalAttention,
    temporal_bidirectional=BidirectionalTemporalAttention,
    temporal_block_causal=BlockCausalTemporalAttention,
    temporal_cosine=TemporalCosineAttention,
    temporal_cosine_published=PublishedTemporalCosineAttention,
    space_time=SpaceTimeAttention,
)
AttentionPart = Annotated[Callable[..., Attention], ATTENTION]
