"""What a trunk is made of: one line here makes a block nameable, swept and tested."""

from collections.abc import Callable
from typing import Annotated

from omnitok.model.block import Block, Norm, PoolSpace, PoolTime, RepeatSpace, RepeatTime, Transformer
from omnitok.model.latent_queries import FromQueries, LatentQueries
from omnitok.spec import Registry

BLOCKS: Registry[Block] = Registry(
    "block",
    usual="transformer",
    group="omnitok.blocks",
    contract=Block,
    transformer=Transformer,
    norm=Norm,
    pool_space=PoolSpace,
    pool_time=PoolTime,
    repeat_space=RepeatSpace,
    repeat_time=RepeatTime,
    latent_queries=LatentQueries,
    from_queries=FromQueries,
)
BlockPart = Annotated[Callable[..., Block], BLOCKS]
