"""The authors' computation a second time, from its description alone: slow, plain tensor operations on their own names
of weights, one token or one window at a time where that is clearer. For cases that no golden file covers."""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = Mapping[str, Tensor]
Options = Mapping[str, Any]


def normed(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = (x - mean).square().mean(-1, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt() * gain + shift


def unit(x: Tensor) -> Tensor:
    return x / x.square().sum(-1, keepdim=True).sqrt().clamp(min=1e-12)


def encode(w: Weights, o: Options, clip: Tensor) -> tuple[Tensor, Tensor]:
    """[b c T H W] in [-0.5, 0.5] -> (latents of the codebook [b t h w c], codes [b t h w])."""
    x = embedded(w, o, clip)
    x = stack(w, o, x, "encoder.enc_spatial_transformer")
    x = stack(w, o, x, "encoder.enc_temporal_transformer")
    z = x @ w["pre_vq_conv.1.weight"].T + w["pre_vq_conv.1.bias"]
    z = unit(z) if o["l2_code"] else z
    book = w["codebook.embeddings"]
    distances = z.square().sum(-1, keepdim=True) - 2 * z @ book.T + book.square().sum(-1)
    codes = distances.argmin(-1)
    return book[codes], codes


def decode(w: Weights, o: Options, latents: Tensor) -> Tensor:
    x = latents @ w["post_vq_conv.1.weight"].T + w["post_vq_conv.1.bias"]
    x = stack(w, o, x, "decoder.dec_temporal_transformer")
    x = stack(w, o, x, "decoder.dec_spatial_transformer")
    return pixels(w, o, x)


def embedded(w: Weights, o: Options, clip: Tensor) -> Tensor:
    p, q = o["patch_size"], o["temporal_patch_size"]
    steps = []
    for t in range(1 + (clip.shape[2] - 1) // q):
        name = "encoder.to_patch_emb" + ("_first_frame" if t == 0 else "")
        frames = clip[:, :, :1] if t == 0 else clip[:, :, 1 + (t - 1) * q : 1 + t * q]
        rows = []
        for i in range(0, clip.shape[3], p):
            patches = [frames[..., i : i + p, j : j + p].flatten(1) for j in range(0, clip.shape[4], p)]
            rows.append(torch.stack(patches, 1))
        x = normed(torch.stack(rows, 1), w[f"{name}.1.weight"], w[f"{name}.1.bias"])
        x = x @ w[f"{name}.2.weight"].T + w[f"{name}.2.bias"]
        steps.append(normed(x, w[f"{name}.3.weight"], w[f"{name}.3.bias"]))
    return torch.stack(steps, 1)


def pixels(w: Weights, o: Options, x: Tensor) -> Tensor:
    p, q = o["patch_size"] * (o["gen_upscale"] or 1), o["temporal_patch_size"]
    b, t, h, w_ = x.shape[:4]
    clip = x.new_zeros(b, 3, 1 + (t - 1) * q, h * p, w_ * p)
    for step in range(t):
        name = "decoder.to_pixels" + ("_first_frame" if step == 0 else "")
        frames = slice(0, 1) if step == 0 else slice(1 + (step - 1) * q, 1 + step * q)
        values = x[:, step] @ w[f"{name}.0.weight"].T + w[f"{name}.0.bias"]
        for i in range(h):
            for j in range(w_):
                patch = values[:, i, j].reshape(b, 3, -1, p, p)
                clip[:, :, frames, i * p : i * p + p, j * p : j * p + p] = patch
    return clip


def stack(w: Weights, o: Options, x: Tensor, name: str) -> Tensor:
    mixes = "time" if "temporal" in name else "space"
    letters = "t" * o["temporal_depth"] if mixes == "time" else o[f"{name.split('.')[1][:3]}_block"]
    for i, letter in enumerate(letters):
        layer = f"{name}.layers.{i}"
        if letter == "t":
            x = x + peg(w, o, x, f"{layer}.0.dsconv", mixes)
            x = x + attention(w, o, x, f"{layer}.1", mixes)
        else:
            x = x + windows(w, o, x, f"{layer}.1")
        x = x + gated(w, x, f"{layer}.3")
    return normed(x, w[f"{name}.norm_out.gamma"], w[f"{name}.norm_out.beta"])


def peg(w: Weights, o: Options, x: Tensor, name: str, mixes: str) -> Tensor:
    """Over time, the rows of (h w t) are cut into t, h, w without being put in that order first."""
    b, t, h, w_, d = x.shape
    if mixes == "time":
        x = x.permute(0, 2, 3, 1, 4).reshape(b, t, h, w_, d)
    before = 2 if o["causal_in_peg"] else 1
    padded = F.pad(x, (0, 0, 1, 1, 1, 1, before, 2 - before))
    kernel = w[f"{name}.weight"]
    y = w[f"{name}.bias"].expand(x.shape).clone()
    for dt in range(3):
        for di in range(3):
            for dj in range(3):
                y = y + padded[:, dt : dt + t, di : di + h, dj : dj + w_] * kernel[:, 0, dt, di, dj]
    if mixes == "time":
        y = y.reshape(b, h, w_, t, d).permute(0, 3, 1, 2, 4)
    return y


def attention(w: Weights, o: Options, x: Tensor, name: str, mixes: str) -> Tensor:
    b, t, h, w_, d = x.shape
    rows = x.reshape(b * t, h * w_, d) if mixes == "space" else x.permute(0, 2, 3, 1, 4).reshape(b * h * w_, t, d)
    q = normed(rows, w[f"{name}.norm.gamma"], w[f"{name}.norm.beta"]) @ w[f"{name}.to_q.weight"].T
    k, v = (rows @ w[f"{name}.to_kv.weight"].T).chunk(2, -1)
    fused, width = o["attention_path"] == "sdpa", o["dim_head"]
    count = rows.shape[1]
    causal = mixes == "time" and o["causal_in_temporal_transformer"]
    bias = x.new_zeros(o["heads"], count, count)
    if not fused and mixes == "space" and o["spatial_pos"] == "rel":
        bias = continuous(w, o, f"{name}.spatial_rel_pos_bias.net", w_, count)
    if not fused and causal:
        far = (torch.arange(count)[:, None] - torch.arange(count)).abs()
        bias = torch.stack([-slope * far for slope in slopes(o["heads"])])
    if causal:
        bias = bias.masked_fill(torch.ones(count, count).triu(1).bool(), -math.inf)
    heads = []
    for head in range(o["heads"]):
        part = slice(head * width, (head + 1) * width)
        one, other = q[..., part], k[..., part]
        if mixes == "space" and o["spatial_pos"] == "rope":
            one, other = turned(one, w_), turned(other, w_)
        one, other = unit(one) * w[f"{name}.q_scale"], unit(other) * w[f"{name}.k_scale"]
        heads.append((8 * one @ other.mT + bias[head]).softmax(-1) @ v[..., part])
    y = torch.cat(heads, -1) @ w[f"{name}.to_out.weight"].T
    return y.reshape(b, t, h, w_, d) if mixes == "space" else y.reshape(b, h, w_, t, d).permute(0, 3, 1, 2, 4)


def turned(x: Tensor, side: int) -> Tensor:
    """Each pair of features by its angle: even pairs by the column, odd ones by the row."""
    count, width = x.shape[-2:]
    place = torch.arange(count)
    y = x.clone()
    for pair in range(width // 2):
        turn = (place // side if pair % 2 else place % side) * 10000 ** (-4 * (pair // 2) / width)
        a, b = x[..., 2 * pair], x[..., 2 * pair + 1]
        y[..., 2 * pair] = a * turn.cos() - b * turn.sin()
        y[..., 2 * pair + 1] = a * turn.sin() + b * turn.cos()
    return y


def continuous(w: Weights, o: Options, name: str, side: int, count: int) -> Tensor:
    place = torch.stack([torch.arange(count) // side, torch.arange(count) % side], -1).float()
    u = place[:, None] - place
    u = u.sign() * (1 + u.abs()).log()
    for layer in ("0.0", "1.0"):
        u = F.leaky_relu(u @ w[f"{name}.{layer}.weight"].T + w[f"{name}.{layer}.bias"], 0.1)
    return (u @ w[f"{name}.2.weight"].T + w[f"{name}.2.bias"]).permute(2, 0, 1)


def slopes(heads: int) -> list[float]:
    below = 2 ** int(math.log2(heads))
    found = [2 ** (-8 * (i + 1) / below) for i in range(below)]
    more = [2 ** (-8 * (i + 1) / (2 * below)) for i in range(0, 2 * below, 2)]
    return found + more[: heads - below]


def windows(w: Weights, o: Options, x: Tensor, name: str) -> Tensor:
    b, t, h, w_, d = x.shape
    side, heads = o["twod_window_size"], o["heads"]
    width = d // heads
    rows = normed(x, w[f"{name}.norm.gamma"], w[f"{name}.norm.beta"]) @ w[f"{name}.qkv.weight"].T
    at = [(i, j) for i in range(side) for j in range(side)]
    entry = torch.tensor(
        [[(r1 - r2 + side - 1) * (2 * side - 1) + c1 - c2 + side - 1 for r2, c2 in at] for r1, c1 in at]
    )
    bias = w[f"{name}.relative_position_bias_table"][entry]
    y = torch.zeros_like(x)
    for i in range(0, h, side):
        for j in range(0, w_, side):
            q, k, v = (
                rows[:, :, i : i + side, j : j + side].flatten(2, 3).reshape(b, t, side**2, 3, heads, width).unbind(3)
            )
            logits = torch.einsum("btnhj,btmhj->bthnm", q * width**-0.5, k) + bias.permute(2, 0, 1)
            seen = torch.einsum("bthnm,btmhj->btnhj", logits.softmax(-1), v).flatten(3)
            y[:, :, i : i + side, j : j + side] = seen.reshape(b, t, side, side, d)
    return y @ w[f"{name}.proj.weight"].T + w[f"{name}.proj.bias"]


def gated(w: Weights, x: Tensor, name: str) -> Tensor:
    rows = normed(x, w[f"{name}.0.weight"], w[f"{name}.0.bias"]) @ w[f"{name}.1.weight"].T
    u, g = rows.chunk(2, -1)
    return (0.5 * g * (1 + torch.erf(g / math.sqrt(2))) * u) @ w[f"{name}.4.weight"].T


def random_weights(o: Options, seed: int) -> dict[str, Tensor]:
    """Every weight that their code would have at these options, none of them at a value that hides it; what their code
    never reads is there too."""
    d, c, codes = o["embedding_dim"], o["codebook_dim"], o["n_codes"]
    p, q, up = o["patch_size"], o["temporal_patch_size"], o["gen_upscale"] or 1
    shapes: dict[str, tuple[int, ...]] = {}
    for name, size, out in (("_first_frame", 3 * p * p, 3 * (p * up) ** 2), ("", 3 * q * p * p, 3 * q * (p * up) ** 2)):
        shapes |= _normed(f"encoder.to_patch_emb{name}.1", size) | _normed(f"encoder.to_patch_emb{name}.3", d)
        shapes |= _linear(f"encoder.to_patch_emb{name}.2", d, size) | _linear(f"decoder.to_pixels{name}.0", out, d)
    time = "t" * o["temporal_depth"]
    for name, letters in (
        ("encoder.enc_spatial_transformer", o["enc_block"]), ("encoder.enc_temporal_transformer", time),
        ("decoder.dec_temporal_transformer", time), ("decoder.dec_spatial_transformer", o["dec_block"]),
    ):  # fmt: skip
        shapes |= {f"{name}.norm_out.gamma": (d,), f"{name}.norm_out.beta": (d,)}
        for i, letter in enumerate(letters):
            relative = "temporal" in name or o["spatial_pos"] == "rel"
            shapes |= _layer(o, f"{name}.layers.{i}", letter, relative)
    shapes |= _linear("pre_vq_conv.1", c, d) | _linear("post_vq_conv.1", d, c)
    shapes |= {"codebook.embeddings": (codes, c), "codebook.z_avg": (codes, c)}
    shapes |= {"codebook.N": (codes,), "codebook.codebook_usage": (codes,)}
    draw = torch.Generator().manual_seed(seed)
    made = {name: _drawn(name, shape, draw) for name, shape in shapes.items()}
    made["perceptual_model.lin0.weight"] = torch.zeros(2)
    return made


def _layer(o: Options, layer: str, letter: str, relative: bool) -> dict[str, tuple[int, ...]]:
    d, heads, wide = o["embedding_dim"], o["heads"], o["heads"] * o["dim_head"]
    inner = int(o["ff_mult"] * (2 / 3) * d)
    shapes = _normed(f"{layer}.3.0", d) | {f"{layer}.3.1.weight": (2 * inner, d), f"{layer}.3.4.weight": (d, inner)}
    shapes |= {f"{layer}.1.norm.gamma": (d,), f"{layer}.1.norm.beta": (d,)}
    if letter == "w":
        side = o["twod_window_size"]
        shapes |= {f"{layer}.1.qkv.weight": (3 * d, d), **_linear(f"{layer}.1.proj", d, d)}
        shapes |= {f"{layer}.1.relative_position_bias_table": ((2 * side - 1) ** 2, heads)}
        return shapes | {f"{layer}.1.relative_position_index": (side**2, side**2)}
    shapes |= {f"{layer}.0.dsconv.weight": (d, 1, 3, 3, 3), f"{layer}.0.dsconv.bias": (d,)}
    shapes |= {f"{layer}.1.to_q.weight": (wide, d), f"{layer}.1.to_kv.weight": (2 * wide, d)}
    shapes |= {f"{layer}.1.to_out.weight": (d, wide), f"{layer}.1.context_norm.gamma": (d,)}
    shapes |= {f"{layer}.1.q_scale": (o["dim_head"],), f"{layer}.1.k_scale": (o["dim_head"],)}
    if relative:
        net = f"{layer}.1.spatial_rel_pos_bias.net"
        shapes |= _linear(f"{net}.0.0", d, 2) | _linear(f"{net}.1.0", d, d) | _linear(f"{net}.2", heads, d)
    return shapes


def _linear(name: str, out: int, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, size), f"{name}.bias": (out,)}


def _normed(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def _drawn(name: str, shape: tuple[int, ...], draw: torch.Generator) -> Tensor:
    x = torch.randn(shape, generator=draw)
    if name.endswith((".gamma", "_scale", "codebook.N")) or (name.endswith(".weight") and len(shape) == 1):
        return 1 + 0.2 * x
    if len(shape) == 1 or "table" in name or "codebook" in name:
        return 0.3 * x
    return x / math.sqrt(math.prod(shape[1:]))
