"""The sub-layers of the published transformer, as PyTorch's own modules and operations say them."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

LOGIT_SCALE = 8.0
Grid = tuple[int, int, int, int]  # batch, time, height, width


class LayerNorm(nn.Module):
    """The shift is a buffer, which nothing trains."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))
        self.register_buffer("beta", torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.gamma, self.beta)


class GEGLU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x, gate = x.chunk(2, dim=-1)
        return F.gelu(gate) * x


def feed_forward(dim: int, mult: float) -> nn.Sequential:
    inner = int(mult * (2 / 3) * dim)
    return nn.Sequential(
        nn.LayerNorm(dim),
        nn.Linear(dim, 2 * inner, bias=False),
        GEGLU(),
        nn.Dropout(0.0),
        nn.Linear(inner, dim, bias=False),
    )


class PEG(nn.Module):
    """A depth-wise convolution over (t, h, w). In temporal stacks [(b h w) t d] is read as [b t h w d] as it lies."""

    def __init__(self, dim: int, causal: bool) -> None:
        super().__init__()
        self.in_time = (2, 0) if causal else (1, 1)
        self.dsconv = nn.Conv3d(dim, dim, 3, groups=dim)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        shape = x.shape
        x = rearrange(x.reshape(*grid, shape[-1]), "b t h w d -> b d t h w")
        x = self.dsconv(F.pad(x, (1, 1, 1, 1, *self.in_time)))
        return rearrange(x, "b d t h w -> b t h w d").reshape(shape)


def rotation(tokens: int, width: int, device: torch.device) -> Tensor:
    """cos + i sin for each token of a square grid and each pair of features: x and y in turn. [n width/2]"""
    side = math.isqrt(tokens)
    n = torch.arange(tokens, device=device)
    x, y = (n % side).float(), torch.div(n, side, rounding_mode="floor").float()
    frequencies = 10000.0 ** (-torch.arange(0, width, 4, device=device).float() / width)
    angles = torch.stack([torch.outer(x, frequencies), torch.outer(y, frequencies)], dim=-1).flatten(1)
    return torch.polar(torch.ones_like(angles), angles)


def rotate(x: Tensor, by: Tensor) -> Tensor:
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * by).flatten(-2).type_as(x)


class PositionBias(nn.Module):
    """A continuous relative position bias. With rotary positions no stack uses its own; its weights are in the files."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        layers = [nn.Sequential(nn.Linear(ins, dim), nn.LeakyReLU(0.1)) for ins in (2, dim)]
        self.net = nn.ModuleList([*layers, nn.Linear(dim, heads)])


class Attention(nn.Module):
    """Queries from the normalised input, keys and values from the raw one; cosine logits; no bias in the fused path."""

    def __init__(self, dim: int, heads: int, dim_head: int, causal: bool, rope: bool) -> None:
        super().__init__()
        self.heads, self.causal, self.rope = heads, causal, rope
        inner = heads * dim_head
        self.norm = LayerNorm(dim)
        self.context_norm = LayerNorm(dim)  # never used
        self.to_q = nn.Linear(dim, inner, bias=False)
        self.to_kv = nn.Linear(dim, 2 * inner, bias=False)
        self.q_scale = nn.Parameter(torch.ones(dim_head))
        self.k_scale = nn.Parameter(torch.ones(dim_head))
        self.to_out = nn.Linear(inner, dim, bias=False)
        if not rope:
            self.spatial_rel_pos_bias = PositionBias(dim, heads)

    def forward(self, x: Tensor) -> Tensor:
        q = self.to_q(self.norm(x))
        k, v = self.to_kv(x).chunk(2, dim=-1)
        q, k, v = (rearrange(part, "b n (h d) -> b h n d", h=self.heads) for part in (q, k, v))
        if self.rope:
            by = rotation(q.shape[-2], q.shape[-1], q.device)
            q, k = rotate(q, by), rotate(k, by)
        q = F.normalize(q, dim=-1) * self.q_scale
        k = F.normalize(k, dim=-1) * self.k_scale
        out = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal, scale=LOGIT_SCALE)
        return self.to_out(rearrange(out, "b h n d -> b n (h d)"))


def into_windows(x: Tensor, side: int) -> Tensor:
    """[b h w d] -> [(b windows) (side side) d]"""
    b, h, w, d = x.shape
    x = x.view(b, h // side, side, w // side, side, d)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, side * side, d)


def from_windows(x: Tensor, side: int, h: int, w: int) -> Tensor:
    x = x.view(-1, h // side, w // side, side, side, x.shape[-1])
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, h, w, x.shape[-1])


class WindowAttention(nn.Module):
    """Ordinary attention in square windows, with a table of biases by relative position."""

    def __init__(self, dim: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads, self.side, self.scale = heads, side, (dim // heads) ** -0.5
        self.norm = LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * side - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        places = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")).flatten(1)
        apart = places[:, :, None] - places[:, None, :] + side - 1
        self.register_buffer("relative_position_index", apart[0] * (2 * side - 1) + apart[1])

    def forward(self, x: Tensor) -> Tensor:
        b, n, d = x.shape
        h = w = math.isqrt(n)
        windows = into_windows(self.norm(x).view(b, h, w, d), self.side)
        size = windows.shape[1]
        q, k, v = self.qkv(windows).reshape(-1, size, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        logits = (q * self.scale) @ k.transpose(-2, -1)
        bias = self.relative_position_bias_table[self.relative_position_index.view(-1)].view(size, size, -1)
        logits = logits + bias.permute(2, 0, 1).contiguous().unsqueeze(0)
        out = (logits.softmax(dim=-1) @ v).transpose(1, 2).reshape(-1, size, d)
        return from_windows(self.proj(out), self.side, h, w).view(b, n, d)
