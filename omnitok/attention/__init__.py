"""Mixing tokens. One file an attention; one line here makes it nameable, swept and tested."""

from collections.abc import Callable
from typing import Annotated

from omnitok.attention.contract import Attention as Attention
from omnitok.attention.contract import Past as Past
from omnitok.attention.cosine import (
    CosineAttention,
    PublishedCosineAttention,
    PublishedTemporalCosineAttention,
    TemporalCosineAttention,
)
from omnitok.attention.full import FullAttention
from omnitok.attention.temporal import TemporalAttention
from omnitok.attention.window import PublishedWindowAttention, WindowAttention
from omnitok.spec import Registry

ATTENTION: Registry[Attention] = Registry(
    "attention",
    group="omnitok.attention",
    contract=Attention,
    full=FullAttention,
    window=WindowAttention,
    window_published=PublishedWindowAttention,
    cosine=CosineAttention,
    cosine_published=PublishedCosineAttention,
    temporal=TemporalAttention,
    temporal_cosine=TemporalCosineAttention,
    temporal_cosine_published=PublishedTemporalCosineAttention,
)
AttentionPart = Annotated[Callable[..., Attention], ATTENTION]
