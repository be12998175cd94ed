"""The authors' names of weights as ours."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from omnitok.published.options import Options

DEAD = ("context_norm", "relative_position_index", "num_batches_tracked")  # what no forward pass reads
KEPT = ("encoder.", "decoder.", "pre_vq_conv.", "post_vq_conv.")
STACKS = {
    "encoder.enc_spatial_transformer.": ("encoder", "spatial"),
    "encoder.enc_temporal_transformer.": ("encoder", "temporal"),
    "decoder.dec_temporal_transformer.": ("decoder", "temporal"),
    "decoder.dec_spatial_transformer.": ("decoder", "spatial"),
}
PROJECTIONS = {"pre_vq_conv.1.": "to_latents.", "post_vq_conv.1.": "from_latents."}
LINEAR = {
    "encoder.to_patch_emb_first_frame.1.": "patches.first.before.",
    "encoder.to_patch_emb_first_frame.2.": "patches.first.linear.",
    "encoder.to_patch_emb_first_frame.3.": "patches.first.after.",
    "encoder.to_patch_emb.1.": "patches.rest.before.",
    "encoder.to_patch_emb.2.": "patches.rest.linear.",
    "encoder.to_patch_emb.3.": "patches.rest.after.",
    "decoder.to_pixels_first_frame.0.": "patches.to_first.",
    "decoder.to_pixels.0.": "patches.to_rest.",
}
CONVOLVED = {
    "encoder.to_patch_emb_first_frame.0.": "patches.first.convolution.",
    "encoder.to_patch_emb_first_frame.1.": "patches.first.norm.",
    "encoder.to_patch_emb.0.": "patches.rest.convolution.",
    "encoder.to_patch_emb.1.": "patches.rest.norm.",
    "decoder.to_pixels_first_frame.1.": "patches.to_first.convolution.",
    "decoder.to_pixels_first_frame.2.": "patches.to_first.norm.",
    "decoder.to_pixels.1.": "patches.to_rest.convolution.",
    "decoder.to_pixels.2.": "patches.to_rest.norm.",
}
LAYER = {
    "0.dsconv.": "peg.convolution.kernel.",
    "1.norm.gamma": "attention.within.norm.weight",
    "1.norm.beta": "attention.within.norm.bias",
    "1.to_q.": "attention.within.to_q.",
    "1.to_kv.": "attention.within.to_kv.",
    "1.to_out.": "attention.within.out.",
    "1.q_scale": "attention.within.gains.q",
    "1.k_scale": "attention.within.gains.k",
    "1.qkv.": "attention.within.qkv.",
    "1.proj.": "attention.within.out.",
    "1.relative_position_bias_table": "attention.within.places.table",
    "1.spatial_rel_pos_bias.net.0.0.": "attention.within.places.net.0.",
    "1.spatial_rel_pos_bias.net.1.0.": "attention.within.places.net.2.",
    "1.spatial_rel_pos_bias.net.2.": "attention.within.places.net.4.",
    "3.0.": "feed_forward.norm.",
    "3.1.": "feed_forward.enter.",
    "3.4.": "feed_forward.leave.",
}
CODEBOOK = {
    "codebook.embeddings": "quantizer.codebook",
    "codebook.N": "quantizer.hits",
    "codebook.z_avg": "quantizer.sums",
    "codebook.codebook_usage": "quantizer.usage",
}


def renamed(theirs: Mapping[str, Tensor], said: Options) -> dict[str, Tensor]:
    """Their weights under our names; what their code never reads is left out, and so are discriminators and LPIPS. A
    name that is none of theirs stays as it is."""
    found = {}
    for key, value in theirs.items():
        if any(word in key for word in DEAD) or not key.startswith(KEPT):
            continue
        stack = next((name for name in STACKS if key.startswith(name)), None)
        if stack is None:
            found[_replaced(key, PROJECTIONS | (CONVOLVED if said.convolved else LINEAR))] = value
        elif not ("temporal" in stack and "spatial_rel_pos_bias" in key):  # theirs owns it there and never asks it
            found[_inside(key.removeprefix(stack), *STACKS[stack], said)] = value
    if not said.variational:
        found |= {mine: theirs[key] for key, mine in CODEBOOK.items() if key in theirs}
        found["quantizer.filled"] = torch.tensor(True)  # theirs is not saved, so that going on would fill it anew
    return found


def _replaced(key: str, table: Mapping[str, str]) -> str:
    old = next((name for name in table if key.startswith(name)), None)
    return key if old is None else table[old] + key.removeprefix(old)


def _inside(key: str, side: str, kind: str, said: Options) -> str:
    """The name of what a stack of theirs calls ``key``; our blocks of one side are one list."""
    spatial = len(said.blocks["enc" if side == "encoder" else "dec"])
    first = side == "encoder" and kind == "spatial" or side == "decoder" and kind == "temporal"
    pools = sum(said.deferred) if side == "decoder" else 0
    before = 0 if first else (spatial if side == "encoder" else said.temporal_depth) + 1
    depth = spatial if kind == "spatial" else said.temporal_depth
    if key.startswith("norm_out."):
        return f"{side}.{pools + before + depth}.norm.{'weight' if key.endswith('gamma') else 'bias'}"
    layer = re.fullmatch(r"layers\.(\d+)\.(.+)", key)
    if layer is None or int(layer[1]) >= depth:
        return f"{side}: {key}"
    return f"{side}.{pools + before + int(layer[1])}.layers.0.{_replaced(layer[2], LAYER)}"
