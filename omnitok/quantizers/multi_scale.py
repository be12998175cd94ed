"""Multi-scale residual quantization: one codebook, on grids that grow."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from omnitok.quantizers.contract import Quantized, Quantizer, precise, straight_through
from omnitok.quantizers.elements import ElementPart
from omnitok.quantizers.residual import MOST_BITS, refuse_unit_length
from omnitok.quantizers.vq import VectorQuantizer
from omnitok.spec import Count, Share, Weight


@final
class MultiScaleQuantizer(Quantizer):
    """Each scale names what is left over by the coarser ones, of each frame for itself: its mean over cells of a coarser
    grid, quantized by one codebook for all scales, brought back to the full grid by bicubic interpolation and half
    through a convolution (VAR, arXiv:2404.02905, algorithms 1 and 2). A scale of share s has ceil(s h) x ceil(s w)
    cells; its codes are given for each position of the full grid, the same within a cell. The codebook is searched for
    all scales first and then trained once on the remainders of all, by its own loss; to that come VAR's two terms.

    of: the codebook.
    scales: the sides of each grid as shares of the full one's, growing to 1; more keep more detail.
    convolutions: how many there are, shared by successive scales; more fit each scale better.
    blend: how much of each scale passes its convolution; 0 passes none.
    commitment_weight: how hard latents are pulled to the sum of scales so far, on the mean squared distance, of how hard
        that is pulled to them.
    """

    def __init__(
        self,
        *,
        of: ElementPart = partial(VectorQuantizer, normalise=False, commitment_weight=0.0),  # noqa: B008
        scales: tuple[Share, ...] = (0.25, 0.5, 1.0),
        convolutions: Count = 1,
        blend: Share = 0.5,
        commitment_weight: Weight = 0.25,
    ) -> None:
        super().__init__()
        if not scales or scales[-1] != 1 or min(scales) <= 0 or sorted(set(scales)) != list(scales):
            raise ValueError(f"scales={list(scales)} must grow from more than 0 to 1")
        if convolutions > len(scales):
            raise ValueError(f"convolutions={convolutions} are more than there are scales, {len(scales)}")
        self.element = of()
        refuse_unit_length(self.element)
        self.in_channels, self.channels = self.element.in_channels, self.element.channels
        self.codebook_sizes = self.element.codebook_sizes * len(scales)
        self.rates = tuple(scale * scale for scale in scales)
        self.scales, self.blend, self.commitment_weight = scales, blend, commitment_weight
        self.convolutions = nn.ModuleList(
            nn.Conv2d(self.channels, self.channels, 3, padding=1) for _ in range(convolutions)
        )

    @classmethod
    def settings(cls, bits: int) -> tuple[Mapping[str, Any], ...]:
        """Where the bits of a code are whole: three scales spend 21 / 16 codes a position, two 5 / 4. Exact where the
        grid has these scales, that is, where 4 or 2 divides its sides."""
        found = []
        for scales, spent, of in (([0.25, 0.5, 1.0], 21, 16), ([0.5, 1.0], 5, 4)):
            if bits > 0 and bits % spent == 0 and (each := bits // spent * of) <= MOST_BITS:
                said = {"type": "vq", "codebook_size": 2**each, "normalise": False, "commitment_weight": 0.0}
                found.append({"of": said, "scales": scales})
        return tuple(found)

    def forward(self, x: Float[Tensor, "b t h w z"], draw: torch.Generator | None = None) -> Quantized:
        with precise(x):
            latents = x.to(self.convolutions[0].weight.dtype)  # type: ignore[arg-type]
            full, grid = _frames(latents), latents.shape[:4]
            found, pulls = torch.zeros_like(full), []
            codes, remainders = [], []
            for i, size in enumerate(self._sizes(*full.shape[-2:])):
                cells = F.adaptive_avg_pool2d(full - found.detach(), size)
                remainders.append(_clip(cells, grid[0]))
                codes.append(self._searched(remainders[-1]))
                found = found + self._spread(codes[-1], i, grid)
                pulls.append(F.mse_loss(found, full.detach()) + self._commitment(full, found))
            loss = torch.stack(pulls).mean() + self._trained(remainders, draw)
            chosen = _clip(found, grid[0])
            repeated = torch.cat([_repeated(some, *grid[2:]) for some in codes], dim=-1)
            passed = straight_through(latents, chosen) if self.training else chosen
        return Quantized(passed, repeated, loss)

    def decode(self, codes: Int[Tensor, "b t h w q"]) -> Float[Tensor, "b t h w z"]:
        grid, each = codes.shape[:4], codes.shape[-1] // len(self.scales)
        with precise(codes):
            parts = zip(codes.split(each, dim=-1), self._sizes(*grid[2:]), strict=True)
            found = [self._spread(_picked(some, *size), i, grid) for i, (some, size) in enumerate(parts)]
            return _clip(torch.stack(found).sum(0), grid[0])

    def _sizes(self, rows: int, columns: int) -> list[tuple[int, int]]:
        return [(_cells(scale, rows), _cells(scale, columns)) for scale in self.scales]

    @torch.no_grad()
    def _searched(self, cells: Float[Tensor, "b t rows columns z"]) -> Int[Tensor, "b t rows columns q"]:
        """Codes of one scale; nothing is trained yet."""
        training = self.element.training
        try:
            codes: Int[Tensor, "b t rows columns q"] = self.element.eval()(cells.detach()).codes
        finally:
            self.element.train(training)
        return codes

    def _spread(
        self, codes: Int[Tensor, "b t rows columns q"], place: int, grid: tuple[int, ...]
    ) -> Float[Tensor, "frames z h w"]:
        """What one scale adds on the full grid."""
        cells = _frames(self.element.decode(codes))
        if cells.shape[-2:] != grid[2:]:
            cells = F.interpolate(cells, size=grid[2:], mode="bicubic")
        convolution = self.convolutions[place * len(self.convolutions) // len(self.scales)]
        return torch.lerp(cells, convolution(cells), self.blend)

    def _commitment(self, full: Tensor, found: Tensor) -> Float[Tensor, ""]:
        return self.commitment_weight * F.mse_loss(full, found.detach())

    def _trained(self, remainders: list[Tensor], draw: torch.Generator | None) -> Float[Tensor, ""]:
        """The codebook's own loss, and its one step, with the remainders of all scales, each [b t rows columns z]."""
        together = torch.cat([some.flatten(1, 3) for some in remainders], dim=1)
        loss: Float[Tensor, ""] = self.element(together[:, None, None], draw).loss
        return loss


def _cells(scale: float, side: int) -> int:
    return math.ceil(scale * side - 1e-9)  # 0.07 * 100 is more than 7


def _frames(x: Float[Tensor, "b t h w z"]) -> Float[Tensor, "frames z h w"]:
    return x.flatten(0, 1).permute(0, 3, 1, 2)


def _clip(x: Float[Tensor, "frames z h w"], samples: int) -> Float[Tensor, "b t h w z"]:
    return x.permute(0, 2, 3, 1).unflatten(0, (samples, -1))


def _repeated(codes: Int[Tensor, "b t rows columns q"], h: int, w: int) -> Int[Tensor, "b t h w q"]:
    """Each position has the code of the cell that it lies in."""
    rows, columns = (torch.arange(n, device=codes.device) for n in (h, w))
    return codes[:, :, rows * codes.shape[2] // h][:, :, :, columns * codes.shape[3] // w]


def _picked(codes: Int[Tensor, "b t h w q"], rows: int, columns: int) -> Int[Tensor, "b t rows columns q"]:
    """The code of each cell, from the first position that lies in it."""
    h, w = codes.shape[2:4]
    row, column = (torch.arange(n, device=codes.device) for n in (rows, columns))
    return codes[:, :, -(-row * h // rows)][:, :, :, -(-column * w // columns)]
