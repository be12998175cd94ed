"""Pixels <-> tokens: the first frame and the rest have weights of their own, so an image is a clip of one frame."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.model.contract import Inflatable

FIRST = "b c 1 (h i) (w j) -> b 1 h w (c i j)"
REST = "b c (t q) (h i) (w j) -> b t h w (c q i j)"


class Patches(Inflatable):
    """Two linear maps, of p x p patches of the first frame and of q x p x p patches of the rest (arXiv:2406.09399).

    There is no normalisation of patches, which would make the tokenizer blind to brightness.
    """

    def __init__(self, dim: int, patch: int, temporal_patch: int) -> None:
        super().__init__()
        self.patch, self.temporal_patch = patch, temporal_patch
        self.first = nn.Linear(3 * patch * patch, dim)
        self.rest = nn.Linear(3 * temporal_patch * patch * patch, dim)

    def forward(self, clip: Float[Tensor, "b c T H W"]) -> Float[Tensor, "b t h w d"]:
        """Raises ValueError where the clip does not fit, with both numbers."""
        p, q = self.patch, self.temporal_patch
        frames, height, width = clip.shape[2:]
        if height % p or width % p:
            raise ValueError(f"patch={p} must divide the frame, which is {height} x {width}")
        if (frames - 1) % q:
            raise ValueError(f"frames={frames} must be 1 more than a multiple of temporal_patch={q}")
        first = self.first(rearrange(clip[:, :, :1], FIRST, i=p, j=p))
        if frames == 1:
            return first
        return torch.cat([first, self.rest(rearrange(clip[:, :, 1:], REST, q=q, i=p, j=p))], dim=1)

    @torch.no_grad()
    def inflate(self) -> None:
        """The rest's weights from the first frame's, shared out over time: a still clip then embeds as its picture."""
        weight = rearrange(self.first.weight, "d (c p) -> d c 1 p", c=3) / self.temporal_patch
        weight = weight.expand(-1, -1, self.temporal_patch, -1)
        self.rest.weight.copy_(rearrange(weight, "d c q p -> d (c q p)"))
        self.rest.bias.copy_(self.first.bias)


class Pixels(Inflatable):
    """The way back: tokens to the pixels of the first frame and of the rest."""

    def __init__(self, dim: int, patch: int, temporal_patch: int) -> None:
        super().__init__()
        self.patch, self.temporal_patch = patch, temporal_patch
        self.first = nn.Linear(dim, 3 * patch * patch)
        self.rest = nn.Linear(dim, 3 * temporal_patch * patch * patch)

    def forward(self, x: Float[Tensor, "b t h w d"]) -> Float[Tensor, "b c T H W"]:
        p, q = self.patch, self.temporal_patch
        first = rearrange(self.first(x[:, :1]), "b t h w (c i j) -> b c t (h i) (w j)", c=3, i=p, j=p)
        if x.shape[1] == 1:
            return first
        pattern = "b t h w (c q i j) -> b c (t q) (h i) (w j)"
        return torch.cat([first, rearrange(self.rest(x[:, 1:]), pattern, c=3, q=q, i=p, j=p)], dim=2)

    @torch.no_grad()
    def inflate(self) -> None:
        """The rest's weights from the first frame's, repeated over time: a still latent then decodes as its picture."""
        for old, new in [(self.first.weight, self.rest.weight), (self.first.bias, self.rest.bias)]:
            planes = rearrange(old, "(c p) ... -> c 1 p ...", c=3)
            planes = planes.expand(-1, self.temporal_patch, *planes.shape[2:])
            new.copy_(rearrange(planes, "c q p ... -> (c q p) ..."))
