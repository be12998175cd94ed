"""Whether a codec gives the same for a frame in tiles, and for a clip in chunks, as for the whole."""

import itertools
from typing import Annotated, ClassVar, Literal, final

import torch
from einops import reduce
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from omnitok.metrics.contract import Clip, Codec, MeanOfItems, Measured, Pair
from omnitok.spec import Count


class _Parity(MeanOfItems):
    """The root mean square by which two reconstructions differ, as a share of the range of pixels; unclamped, so that
    nothing hides beyond it."""

    better: ClassVar[Literal["higher", "lower", "neither"]] = "lower"

    def __init__(self, codec: Codec) -> None:
        super().__init__(codec)
        self.largest = 0.0

    def compare(self, parts: Clip, whole: Clip) -> None:
        differ = (parts.double() - whole.double()) / 2
        self.values += reduce(differ.square(), "b c t h w -> b", "mean").sqrt().tolist()
        self.largest = max(self.largest, differ.abs().max().item())

    def result(self) -> Measured:
        found = super().result()
        return found._replace(details={"largest": self.largest}) if self.values else found


@final
class TilingParity(_Parity):
    """How far the reconstruction of a frame in tiles is from that of the whole: what it costs to tile frames that are too
    large. Tiles overlap and are blended linearly, the last of a row or column ends at the border. 0 where nothing looks
    farther than a tile. Says nothing of frames that are no larger than a tile, nor of a codec that takes none so small.
    Beside it the largest of any pixel.

    tile: side of a tile in pixels; a multiple of what the codec takes; larger differs less.
    overlap: what neighbouring tiles share at least, in pixels; a multiple of what the codec takes; larger hides seams.
    """

    label: ClassVar[str] = "tiling_parity"
    silence: ClassVar[str] = "says nothing of frames no larger than a tile, nor of a codec that takes none so small"

    def __init__(self, codec: Codec, *, tile: Count = 64, overlap: Annotated[int, Field(ge=0)] = 0) -> None:
        super().__init__(codec)
        if overlap >= tile:
            raise ValueError(f"overlap={overlap} must be less than tile={tile}")
        for name, size in [("tile", tile), ("overlap", overlap)]:
            if tile >= codec.multiple and size % codec.multiple:
                raise ValueError(
                    f"{name}={size} must be a multiple of the {codec.multiple} pixels that the codec takes"
                )
        self.tile, self.overlap = tile, overlap
        self.protocol = (
            f"tiling_parity[rms of in tiles - whole, rgb, unclamped, range 1, tile {tile}, overlap {overlap}, linear blend, "
            "last tiles at the border]"
        )

    @torch.no_grad()
    def add(self, pair: Pair) -> None:
        clip = pair.original
        if max(clip.shape[-2:]) <= self.tile or self.tile < self.codec.multiple:
            return
        (tops, rows), (lefts, columns) = (self._along(side) for side in clip.shape[-2:])
        blend = torch.outer(rows, columns)
        made, weight = torch.zeros_like(clip, dtype=torch.double), clip.new_zeros(clip.shape[-2:], dtype=torch.double)
        for top, left in itertools.product(tops, lefts):
            place = (..., slice(top, top + len(rows)), slice(left, left + len(columns)))
            made[place] += self.codec.reconstruct(clip[place].contiguous())[0] * blend
            weight[place] += blend
        self.compare(made / weight, self.codec.reconstruct(clip)[0])

    def _along(self, side: int) -> tuple[list[int], Float[Tensor, " n"]]:
        """Where tiles begin along a side, and how much each of the pixels of one counts."""
        tile = min(self.tile, side)
        starts = [*range(0, side - tile, self.tile - self.overlap), side - tile]
        inside = torch.arange(1, tile + 1, dtype=torch.double)
        return starts, torch.minimum(inside, inside.flip(0)).clamp_max(self.overlap + 1) / (self.overlap + 1)


@final
class ChunkParity(_Parity):
    """How far the reconstruction of a clip that is given chunk by chunk is from that of the whole: its first frame alone,
    then chunk after chunk, with what the codec keeps of the past between. 0 but for rounding for a tokenizer that is
    causal. Says nothing of images, nor of a codec that takes no chunks. Beside it the largest of any pixel.

    chunk: how much comes at once after the first frame, as a multiple of the fewest frames that the codec takes.
    """

    label: ClassVar[str] = "chunk_parity"
    silence: ClassVar[str] = "says nothing of images, nor of a codec that takes no chunks of such clips"

    def __init__(self, codec: Codec, *, chunk: Count = 1) -> None:
        super().__init__(codec)
        self.frames = chunk * codec.chunk_step
        self.protocol = (
            "chunk_parity[rms of in chunks - whole, rgb, unclamped, range 1, the first frame alone, then "
            f"{chunk} x the fewest frames that the codec takes]"
        )

    @torch.no_grad()
    def add(self, pair: Pair) -> None:
        clip = pair.original
        after = clip.shape[2] - 1
        if not after or after % self.codec.chunk_step:
            return
        plan = [1, *(min(self.frames, after - start) for start in range(0, after, self.frames))]
        made = self.codec.reconstruct_chunks(clip, plan)
        if made is not None:
            self.compare(made, self.codec.reconstruct(clip)[0])
