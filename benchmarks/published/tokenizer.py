"""The published tokenizer: pixels in [-0.5, 0.5] -> tokens -> codes -> pixels. Its state dict has the authors' keys."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from einops.layers.torch import Rearrange
from torch import Tensor, nn

from benchmarks.published.layers import PEG, Attention, Grid, LayerNorm, WindowAttention, feed_forward

Options = Mapping[str, Any]
COMMITMENT, DECAY, SMALL = 0.25, 0.99, 1e-7


class Transformer(nn.Module):
    """A stack of blocks by their letters: ``t`` plain with PEG, ``w`` in windows."""

    def __init__(self, options: Options, letters: str, temporal: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(self._layer(options, letter, temporal) for letter in letters)
        self.norm_out = LayerNorm(options["embedding_dim"])

    @staticmethod
    def _layer(options: Options, letter: str, temporal: bool) -> nn.ModuleList:
        dim, heads = options["embedding_dim"], options["heads"]
        forward = feed_forward(dim, options["ff_mult"])
        if letter == "w":
            return nn.ModuleList([None, WindowAttention(dim, heads, options["twod_window_size"]), None, forward])
        causal = temporal and options["causal_in_temporal_transformer"]
        attention = Attention(dim, heads, options["dim_head"], causal, rope=not temporal)
        return nn.ModuleList([PEG(dim, options["causal_in_peg"]), attention, None, forward])

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        for peg, attention, _, forward in self.layers:
            if peg is not None:
                x = x + peg(x, grid)
            x = x + attention(x)
            x = x + forward(x)
        return self.norm_out(x)


class Encoder(nn.Module):
    def __init__(self, options: Options) -> None:
        super().__init__()
        d, p, q = (options[name] for name in ("embedding_dim", "patch_size", "temporal_patch_size"))
        first, rest = 3 * p * p, 3 * q * p * p
        self.to_patch_emb_first_frame = nn.Sequential(
            Rearrange("b c 1 (h p1) (w p2) -> b 1 h w (c p1 p2)", p1=p, p2=p),
            nn.LayerNorm(first), nn.Linear(first, d), nn.LayerNorm(d),
        )  # fmt: skip
        self.to_patch_emb = nn.Sequential(
            Rearrange("b c (t pt) (h p1) (w p2) -> b t h w (c pt p1 p2)", pt=q, p1=p, p2=p),
            nn.LayerNorm(rest), nn.Linear(rest, d), nn.LayerNorm(d),
        )  # fmt: skip
        self.enc_spatial_transformer = Transformer(options, options["enc_block"], temporal=False)
        self.enc_temporal_transformer = Transformer(options, "t" * options["temporal_depth"], temporal=True)

    def forward(self, video: Tensor) -> Tensor:
        x = self.to_patch_emb_first_frame(video[:, :, :1])
        if video.shape[2] > 1:
            x = torch.cat([x, self.to_patch_emb(video[:, :, 1:])], dim=1)
        b, t, h, w = grid = x.shape[:4]
        x = self.enc_spatial_transformer(rearrange(x, "b t h w d -> (b t) (h w) d"), grid)
        x = rearrange(x, "(b t) (h w) d -> (b h w) t d", b=b, h=h)
        x = self.enc_temporal_transformer(x, grid)
        return rearrange(x, "(b h w) t d -> b d t h w", b=b, h=h)


class Decoder(nn.Module):
    def __init__(self, options: Options) -> None:
        super().__init__()
        d, p, q = (options[name] for name in ("embedding_dim", "patch_size", "temporal_patch_size"))
        self.dec_temporal_transformer = Transformer(options, "t" * options["temporal_depth"], temporal=True)
        self.dec_spatial_transformer = Transformer(options, options["dec_block"], temporal=False)
        self.to_pixels_first_frame = nn.Sequential(
            nn.Linear(d, 3 * p * p), Rearrange("b 1 h w (c p1 p2) -> b c 1 (h p1) (w p2)", p1=p, p2=p)
        )
        self.to_pixels = nn.Sequential(
            nn.Linear(d, 3 * q * p * p),
            Rearrange("b t h w (c pt p1 p2) -> b c (t pt) (h p1) (w p2)", pt=q, p1=p, p2=p),
        )

    def forward(self, x: Tensor) -> Tensor:
        b, _, t, h, w = x.shape
        grid = (b, t, h, w)
        x = self.dec_temporal_transformer(rearrange(x, "b d t h w -> (b h w) t d"), grid)
        x = rearrange(x, "(b h w) t d -> (b t) (h w) d", b=b, h=h)
        x = rearrange(self.dec_spatial_transformer(x, grid), "(b t) (h w) d -> b t h w d", b=b, h=h)
        first = self.to_pixels_first_frame(x[:, :1])
        return first if t == 1 else torch.cat([first, self.to_pixels(x[:, 1:])], dim=2)


class Codebook(nn.Module):
    """Nearest codes by the whole matrix of distances, statistics by one-hot rows. No restart, as in the scripts; what
    data puts into it at the first call is left out."""

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("embeddings", torch.randn(size, dim))
        self.register_buffer("N", torch.zeros(size))
        self.register_buffer("z_avg", self.embeddings.clone())
        self.register_buffer("codebook_usage", torch.zeros(size))
        self.called = False

    def forward(self, z: Tensor) -> dict[str, Tensor]:
        size = self.embeddings.shape[0]
        flat = rearrange(z, "b c t h w -> (b t h w) c")
        distances = (
            (flat**2).sum(dim=1, keepdim=True)
            - 2 * flat @ self.embeddings.t()
            + (self.embeddings.t() ** 2).sum(dim=0, keepdim=True)
        )
        encodings = torch.argmin(distances, dim=1)
        one_hot = F.one_hot(encodings, size).type_as(flat)
        encodings = encodings.view(z.shape[0], *z.shape[2:])
        embeddings = rearrange(F.embedding(encodings, self.embeddings), "b t h w c -> b c t h w")
        commitment = COMMITMENT * F.mse_loss(z, embeddings.detach())
        if self.training:
            self._follow(flat.detach(), one_hot)
        shares = one_hot.mean(dim=0)
        perplexity = torch.exp(-(shares * torch.log(shares + 1e-10)).sum())
        return {
            "embeddings": z + (embeddings - z).detach(),
            "encodings": encodings,
            "commitment_loss": commitment,
            "perplexity": perplexity,
        }

    @torch.no_grad()
    def _follow(self, flat: Tensor, one_hot: Tensor) -> None:
        hits, sums = one_hot.sum(dim=0), one_hot.t() @ flat
        self.N.mul_(DECAY).add_(hits, alpha=1 - DECAY)
        self.z_avg.mul_(DECAY).add_(sums, alpha=1 - DECAY)
        total = self.N.sum()
        weights = (self.N + SMALL) / (total + len(self.N) * SMALL) * total
        self.embeddings.copy_(self.z_avg / weights.unsqueeze(1))
        usage = hits / hits.sum()
        self.codebook_usage.copy_(DECAY * self.codebook_usage + (1 - DECAY) * usage if self.called else usage)
        self.called = True

    def dictionary(self, encodings: Tensor) -> Tensor:
        return F.embedding(encodings, self.embeddings)


class PublishedTokenizer(nn.Module):
    """``options``: the authors' command line options by name, with rotary positions and the fused attention."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        d, c = options["embedding_dim"], options["codebook_dim"]
        self.unit, self.gaussian = options["l2_code"], options["use_vae"]
        self.encoder, self.decoder = Encoder(options), Decoder(options)
        self.pre_vq_conv = nn.Sequential(
            Rearrange("b d t h w -> b t h w d"),
            nn.Linear(d, 2 * c if self.gaussian else c),
            Rearrange("b t h w c -> b c t h w"),
        )
        self.post_vq_conv = nn.Sequential(
            Rearrange("b c t h w -> b t h w c"), nn.Linear(c, d), Rearrange("b t h w d -> b d t h w")
        )
        self.codebook = Codebook(options["n_codes"], c)

    def moments(self, video: Tensor) -> tuple[Tensor, Tensor]:
        """Of the Gaussian latents: mean and logarithm of the variance."""
        mean, logvar = self.pre_vq_conv(self.encoder(video)).chunk(2, dim=1)
        return mean, logvar.clamp(-30.0, 20.0)

    def quantise(self, video: Tensor) -> dict[str, Tensor]:
        z = self.pre_vq_conv(self.encoder(video))
        return self.codebook(F.normalize(z, dim=1) if self.unit else z)

    def encode(self, video: Tensor) -> Tensor:
        """The codes [b t h w]."""
        return self.quantise(video)["encodings"]

    def decode(self, encodings: Tensor) -> Tensor:
        return self.decode_latents(rearrange(self.codebook.dictionary(encodings), "b t h w c -> b c t h w"))

    def decode_latents(self, latents: Tensor) -> Tensor:
        return self.decoder(self.post_vq_conv(latents))

    def forward(self, video: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        found = self.quantise(video)
        return self.decode_latents(found["embeddings"]), found
