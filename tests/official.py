"""The authors' computation a second time, slowly and from its description alone: plain tensors, their names, their range
of pixels. What ``omnitok.published`` is held to where there is no golden data."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]


def norm(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * gain + shift


class Official:
    """``args``: the resolved options, as in a golden case's configuration."""

    def __init__(self, weights: Weights, args: dict[str, Any]) -> None:
        self.w, self.a = weights, args
        self.p, self.q = args["patch_size"], args["temporal_patch_size"]
        self.fused = args["attention_path"] == "sdpa"

    def encode(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """[B c F H W] -> latents before the codebook [B t h w c], indices [B t h w]."""
        x = self.patch(clip[:, :, :1], 1, "encoder.to_patch_emb_first_frame")
        if clip.shape[2] > 1:
            x = torch.cat([x, self.patch(clip[:, :, 1:], self.q, "encoder.to_patch_emb")], dim=1)
        b, t, h, w, d = x.shape
        x = self.stack(x.reshape(b * t, h * w, d), "encoder.enc_spatial_transformer", self.a["enc_block"], b, t, h)
        x = x.reshape(b, t, h, w, d).permute(0, 2, 3, 1, 4).reshape(b * h * w, t, d)
        x = self.stack(x, "encoder.enc_temporal_transformer", "t" * self.a["temporal_depth"], b, t, h)
        x = x.reshape(b, h, w, t, d).permute(0, 3, 1, 2, 4)
        z = x @ self.w["pre_vq_conv.1.weight"].T + self.w["pre_vq_conv.1.bias"]
        if self.a["l2_code"]:
            z = z / z.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        codes = self.w["codebook.embeddings"]
        distances = (z[..., None, :] - codes).square().sum(-1)
        return z, distances.argmin(-1)

    def decode(self, indices: Tensor) -> Tensor:
        """[B t h w] -> [B c F H W]."""
        x = self.w["codebook.embeddings"][indices]
        x = x @ self.w["post_vq_conv.1.weight"].T + self.w["post_vq_conv.1.bias"]
        b, t, h, w, d = x.shape
        x = x.permute(0, 2, 3, 1, 4).reshape(b * h * w, t, d)
        x = self.stack(x, "decoder.dec_temporal_transformer", "t" * self.a["temporal_depth"], b, t, h)
        x = x.reshape(b, h, w, t, d).permute(0, 3, 1, 2, 4).reshape(b * t, h * w, d)
        x = self.stack(x, "decoder.dec_spatial_transformer", self.a["dec_block"], b, t, h).reshape(b, t, h, w, d)
        first = self.pixels(x[:, :1], 1, "decoder.to_pixels_first_frame.0")
        return first if t == 1 else torch.cat([first, self.pixels(x[:, 1:], self.q, "decoder.to_pixels.0")], dim=2)

    def patch(self, frames: Tensor, q: int, key: str) -> Tensor:
        b, c, f, height, width = frames.shape
        p = self.p
        rows = frames.reshape(b, c, f // q, q, height // p, p, width // p, p).permute(0, 2, 4, 6, 1, 3, 5, 7)
        rows = norm(rows.flatten(4), self.w[f"{key}.1.weight"], self.w[f"{key}.1.bias"])
        rows = rows @ self.w[f"{key}.2.weight"].T + self.w[f"{key}.2.bias"]
        return norm(rows, self.w[f"{key}.3.weight"], self.w[f"{key}.3.bias"])

    def pixels(self, x: Tensor, q: int, key: str) -> Tensor:
        p = self.p * (self.a["gen_upscale"] or 1)
        b, t, h, w, _ = x.shape
        made = (x @ self.w[f"{key}.weight"].T + self.w[f"{key}.bias"]).reshape(b, t, h, w, 3, q, p, p)
        return made.permute(0, 4, 1, 5, 2, 6, 3, 7).reshape(b, 3, t * q, h * p, w * p)

    def stack(self, x: Tensor, key: str, letters: str, b: int, t: int, side: int) -> Tensor:
        temporal = "temporal" in key
        for i, letter in enumerate(letters):
            layer = f"{key}.layers.{i}"
            if letter == "t":
                x = x + self.peg(x, layer, b, t, side)
                x = x + self.attention(x, f"{layer}.1", temporal)
            else:
                x = x + self.window(x, f"{layer}.1", side)
            x = x + self.feed_forward(x, f"{layer}.3")
        return norm(x, self.w[f"{key}.norm_out.gamma"], self.w[f"{key}.norm_out.beta"])

    def peg(self, x: Tensor, key: str, b: int, t: int, side: int) -> Tensor:
        """Whatever the order of tokens, they are read as (time, row, column)."""
        grid = x.reshape(b, t, side, side, -1)
        weight, bias = self.w[f"{key}.0.dsconv.weight"], self.w[f"{key}.0.dsconv.bias"]
        before = 2 if self.a["causal_in_peg"] else 1
        padded = F.pad(grid, (0, 0, 1, 1, 1, 1, before, 2 - before))
        made = bias.expand(grid.shape).clone()
        for i in range(3):
            for j in range(3):
                for k in range(3):
                    made += padded[:, i : i + t, j : j + side, k : k + side] * weight[:, 0, i, j, k]
        return made.reshape(x.shape)

    def attention(self, x: Tensor, key: str, temporal: bool) -> Tensor:
        heads, width = self.a["heads"], self.a["dim_head"]
        s, n, _ = x.shape
        normed = norm(x, self.w[f"{key}.norm.gamma"], self.w[f"{key}.norm.beta"])
        keys, values = (x @ self.w[f"{key}.to_kv.weight"].T).split(heads * width, dim=-1)
        q, k, v = (
            part.reshape(s, n, heads, width).transpose(1, 2)
            for part in (normed @ self.w[f"{key}.to_q.weight"].T, keys, values)
        )
        if not temporal and self.a["spatial_pos"] == "rope":
            q, k = rotated(q), rotated(k)
        q, k = (
            part / part.norm(dim=-1, keepdim=True).clamp(min=1e-12) * self.w[f"{key}.{name}_scale"]
            for name, part in (("q", q), ("k", k))
        )
        logits = 8 * q @ k.transpose(-1, -2)
        causal = temporal and self.a["causal_in_temporal_transformer"]
        if not self.fused and not temporal and self.a["spatial_pos"] == "rel":
            logits = logits + self.relative(n, f"{key}.spatial_rel_pos_bias.net")
        if causal and not self.fused:
            slopes = torch.tensor([2 ** (-8 / heads * (i + 1)) for i in range(heads)])
            here = torch.arange(n)
            logits = logits - slopes[:, None, None] * (here[:, None] - here).abs()
        if causal:
            logits = logits.masked_fill(torch.ones(n, n).triu(1).bool(), -torch.inf)
        mixed = logits.softmax(-1) @ v
        return mixed.transpose(1, 2).reshape(s, n, -1) @ self.w[f"{key}.to_out.weight"].T

    def relative(self, n: int, key: str) -> Tensor:
        side = math.isqrt(n)
        places = torch.tensor([[i // side, i % side] for i in range(n)])
        apart = (places[:, None] - places).float()
        x = apart.sign() * (1 + apart.abs()).log()
        for name in ("0.0", "1.0"):
            x = F.leaky_relu(x @ self.w[f"{key}.{name}.weight"].T + self.w[f"{key}.{name}.bias"], 0.1)
        return (x @ self.w[f"{key}.2.weight"].T + self.w[f"{key}.2.bias"]).permute(2, 0, 1)

    def window(self, x: Tensor, key: str, side: int) -> Tensor:
        heads, s = self.a["heads"], self.a["twod_window_size"]
        frames, _, d = x.shape
        normed = norm(x, self.w[f"{key}.norm.gamma"], self.w[f"{key}.norm.beta"]).reshape(frames, side, side, d)
        table = self.w[f"{key}.relative_position_bias_table"]
        places = [(i // s, i % s) for i in range(s * s)]
        index = torch.tensor([[(r - u + s - 1) * (2 * s - 1) + (c - v + s - 1) for u, v in places] for r, c in places])
        made = torch.empty_like(normed)
        for i in range(0, side, s):
            for j in range(0, side, s):
                tokens = normed[:, i : i + s, j : j + s].reshape(frames, s * s, d)
                q, k, v = (tokens @ self.w[f"{key}.qkv.weight"].T).reshape(frames, s * s, 3, heads, -1).unbind(2)
                logits = torch.einsum("fnhe,fmhe->fhnm", q * (d // heads) ** -0.5, k) + table[index].permute(2, 0, 1)
                mixed = torch.einsum("fhnm,fmhe->fnhe", logits.softmax(-1), v).reshape(frames, s * s, d)
                mixed = mixed @ self.w[f"{key}.proj.weight"].T + self.w[f"{key}.proj.bias"]
                made[:, i : i + s, j : j + s] = mixed.reshape(frames, s, s, d)
        return made.reshape(x.shape)

    def feed_forward(self, x: Tensor, key: str) -> Tensor:
        x = norm(x, self.w[f"{key}.0.weight"], self.w[f"{key}.0.bias"])
        value, gate = (x @ self.w[f"{key}.1.weight"].T).chunk(2, dim=-1)
        return (gate * 0.5 * (1 + (gate / math.sqrt(2)).erf()) * value) @ self.w[f"{key}.4.weight"].T


def rotated(x: Tensor) -> Tensor:
    """Two axes, pairs of features in turn by column and by row."""
    n, width = x.shape[-2:]
    side, made = math.isqrt(n), torch.empty_like(x)
    for token in range(n):
        for pair in range(width // 2):
            place = token % side if pair % 2 == 0 else token // side
            angle = place * 10000.0 ** (-4 * (pair // 2) / width)
            a, b = x[..., token, 2 * pair], x[..., token, 2 * pair + 1]
            made[..., token, 2 * pair] = a * math.cos(angle) - b * math.sin(angle)
            made[..., token, 2 * pair + 1] = a * math.sin(angle) + b * math.cos(angle)
    return made


def drawn(args: dict[str, Any]) -> Weights:
    """Weights of every shape that the options ask for, under their names, with what their code owns and never uses."""
    d, c, p, q = (args[name] for name in ("embedding_dim", "codebook_dim", "patch_size", "temporal_patch_size"))
    wide, width = args["heads"] * args["dim_head"], 3 * p * p
    out = width * (args["gen_upscale"] or 1) ** 2
    shapes: dict[str, tuple[int, ...]] = {}

    def affine(key: str, after: int, before: int, bias: bool = True) -> None:
        shapes[f"{key}.weight"] = (after, before)
        if bias:
            shapes[f"{key}.bias"] = (after,)

    for key, size in [("to_patch_emb_first_frame", width), ("to_patch_emb", q * width)]:
        shapes |= {f"encoder.{key}.{i}.{n}": (s,) for i, s in ((1, size), (3, d)) for n in ("weight", "bias")}
        affine(f"encoder.{key}.2", d, size)
    affine("decoder.to_pixels_first_frame.0", out, d)
    affine("decoder.to_pixels.0", q * out, d)
    affine("pre_vq_conv.1", c, d)
    affine("post_vq_conv.1", d, c)
    shapes |= {f"codebook.{name}": (args["n_codes"], c) for name in ("embeddings", "z_avg")}
    shapes |= {f"codebook.{name}": (args["n_codes"],) for name in ("N", "codebook_usage")}
    inner = int(args["ff_mult"] * (2 / 3) * d)
    time = "t" * args["temporal_depth"]
    for stack, letters in [("encoder.enc_spatial", args["enc_block"]), ("encoder.enc_temporal", time),
                           ("decoder.dec_temporal", time), ("decoder.dec_spatial", args["dec_block"])]:  # fmt: skip
        shapes |= {f"{stack}_transformer.norm_out.{name}": (d,) for name in ("gamma", "beta")}
        for i, letter in enumerate(letters):
            key = f"{stack}_transformer.layers.{i}"
            shapes |= {f"{key}.1.norm.{name}": (d,) for name in ("gamma", "beta")}
            shapes |= {f"{key}.3.0.{name}": (d,) for name in ("weight", "bias")}
            affine(f"{key}.3.1", 2 * inner, d, bias=False)
            affine(f"{key}.3.4", d, inner, bias=False)
            if letter == "w":
                affine(f"{key}.1.qkv", 3 * d, d, bias=False)
                affine(f"{key}.1.proj", d, d)
                shapes[f"{key}.1.relative_position_bias_table"] = (
                    (2 * args["twod_window_size"] - 1) ** 2,
                    args["heads"],
                )
                continue
            shapes |= {f"{key}.0.dsconv.weight": (d, 1, 3, 3, 3), f"{key}.0.dsconv.bias": (d,)}
            shapes |= {f"{key}.1.context_norm.{name}": (d,) for name in ("gamma", "beta")}
            shapes |= {f"{key}.1.{name}_scale": (args["dim_head"],) for name in "qk"}
            affine(f"{key}.1.to_q", wide, d, bias=False)
            affine(f"{key}.1.to_kv", 2 * wide, d, bias=False)
            affine(f"{key}.1.to_out", d, wide, bias=False)
            if "temporal" in stack or args["spatial_pos"] == "rel":
                affine(f"{key}.1.spatial_rel_pos_bias.net.0.0", d, 2)
                affine(f"{key}.1.spatial_rel_pos_bias.net.1.0", d, d)
                affine(f"{key}.1.spatial_rel_pos_bias.net.2", args["heads"], d)
    draw = torch.Generator().manual_seed(0)
    gains = ("gamma", "_scale", "emb.1.weight", "emb.3.weight", "frame.1.weight", "frame.3.weight", "3.0.weight")
    return {
        name: torch.randn(shape, generator=draw) * (0.3 if len(shape) == 1 else shape[1:].numel() ** -0.5)
        + float(name.endswith(gains))
        for name, shape in ((name, torch.Size(size)) for name, size in shapes.items())
    }
