"""The authors' weights: their options and state dict -> our tokenizer, which takes and gives clips in [-1, 1]."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from omnitok.model import MODELS, Tokenizer
from omnitok.spec import Map, Mark, decode, near, resolve

HALF_RANGE = 0.5  # their pixels are in [-0.5, 0.5]
DEAD = ("context_norm", "relative_position_index")


def load_official(state_dict: Mapping[str, Tensor], options: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that computes what the authors' code computes with these weights and command line options.

    ``options``: by the names of their flags, ``causal_*`` or ``casual_*``; ``attention_path`` is ``sdpa`` (all released
    weights but one) or ``eager``. Raises ValueError where weights and options do not fit, naming the first key.
    """
    said = _Options(options)
    text = Map(said.model(), Mark("options"), dict.fromkeys(said.model(), Mark("options")))
    tokenizer: Tokenizer = resolve(decode(MODELS, text))()
    weights = _renamed(state_dict, said)
    mine = tokenizer.state_dict()
    odd = sorted(mine.keys() ^ weights.keys()) or [n for n in mine if mine[n].shape != weights[n].shape]
    if odd:
        sizes = [str(tuple(side[odd[0]].shape)) if odd[0] in side else "nothing" for side in (weights, mine)]
        raise ValueError(f"{odd[0]!r}: the weights have {sizes[0]}, the options ask for {sizes[1]}")
    tokenizer.load_state_dict(weights)
    return tokenizer.eval()


class _Options:
    """Their flags, by name; what is not said is refused where it is needed."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options
        self.fused = str(self.option("attention_path", "sdpa")) == "sdpa"
        self.causal = bool(self.either("causal_in_temporal_transformer"))
        self.causal_peg = bool(self.either("causal_in_peg"))
        self.relative = self.option("spatial_pos") == "rel"
        self.deferred = [bool(self.option(f"defer_{what}_pool", False)) for what in ("spatial", "temporal")]

    def option(self, name: str, *default: Any) -> Any:
        if name not in self.options and not default:
            raise ValueError(f"option {name!r} is missing{near(name, self.options)}")
        return self.options.get(name, *default)

    def either(self, name: str) -> Any:
        """Released files spell two of the options ``casual_*``."""
        return self.option(name, self.options.get(name.replace("causal", "casual"), False))

    def model(self) -> dict[str, Any]:
        """The experiment's ``model:`` that says the same."""
        spatial, temporal = self.deferred
        before = [{"type": "pool_space"}] * spatial + [{"type": "pool_time"}] * temporal
        after = [{"type": "repeat_time"}] * temporal + [{"type": "repeat_space"}] * spatial
        time = [*[self.plain("time")] * int(self.option("temporal_depth")), {"type": "norm"}]
        encoder, decoder = (
            [*(self.block(letter) for letter in self.option(f"{side}_block")), {"type": "norm"}]
            for side in ("enc", "dec")
        )
        return {
            "dim": int(self.option("embedding_dim")),
            "patches": self.patches(),
            "encoder": [*encoder, *time, *before],
            "decoder": [*after, *time, *decoder],
            "quantizer": self.quantizer(),
            "position": "none",
        }

    def patches(self) -> dict[str, Any]:
        spatial, temporal = self.deferred
        said: dict[str, Any] = {
            "patch": int(self.option("patch_size")) // (2 if spatial else 1),
            "temporal_patch": int(self.option("temporal_patch_size")) // (2 if temporal else 1),
            "half_range": HALF_RANGE,
        }
        if self.option("patch_embed", "linear") == "cnn":
            return {"type": "cnn", **said}
        return {"type": "linear_published", **said, "upscale": int(self.option("gen_upscale", None) or 1)}

    def block(self, letter: str) -> dict[str, Any]:
        if letter == "w":
            window = {
                "type": "window",
                "heads": int(self.option("heads")),
                "window": int(self.option("twod_window_size")),
            }
            return {"type": "transformer", "attention": window, "feed_forward": self.feed_forward}
        if letter != "t":
            raise ValueError(f"block letter {letter!r} is in no released weights{near(letter, ['t', 'w'])}")
        return self.plain("space")

    def plain(self, mixes: str) -> dict[str, Any]:
        heads = {"heads": int(self.option("heads")), "dim_head": int(self.option("dim_head"))}
        if mixes == "space":
            bias = "continuous_bias_dropped" if self.fused else "continuous_bias"
            attention = {"type": "cosine_published", **heads, "places": bias if self.relative else "rope"}
        else:
            places = "alibi" if self.causal and not self.fused else "none"
            attention = {"type": "temporal_cosine_published", **heads, "places": places, "causal": self.causal}
        peg = {"type": "scrambled", "causal": self.causal_peg}
        return {"type": "transformer", "attention": attention, "peg": peg, "feed_forward": self.feed_forward}

    def quantizer(self) -> dict[str, Any]:
        width = int(self.option("codebook_dim"))
        if self.option("use_vae", False):
            return {"type": "gaussian", "latent_channels": width}
        size, unit = int(self.option("n_codes")), bool(self.option("l2_code", False))
        return {"type": "vq", "codebook_size": size, "code_dim": width, "normalise": unit}

    @property
    def feed_forward(self) -> float:
        return float(self.option("ff_mult", 4.0))


STACKS = {
    "encoder.enc_spatial_transformer": ("encoder", 0),
    "encoder.enc_temporal_transformer": ("encoder", 1),
    "decoder.dec_temporal_transformer": ("decoder", 0),
    "decoder.dec_spatial_transformer": ("decoder", 1),
}
OUTSIDE = {
    "encoder.to_patch_emb_first_frame": "patches.first",
    "encoder.to_patch_emb": "patches.rest",
    "decoder.to_pixels_first_frame": "patches.to_first",
    "decoder.to_pixels": "patches.to_rest",
    "pre_vq_conv.1": "to_latents",
    "post_vq_conv.1": "from_latents",
}
INSIDE = [
    ("0.dsconv.", "peg.convolution.kernel."),
    ("1.norm.gamma", "attention.within.norm.weight"),
    ("1.norm.beta", "attention.within.norm.bias"),
    ("1.to_q.", "attention.within.to_q."),
    ("1.to_kv.", "attention.within.to_kv."),
    ("1.to_out.", "attention.within.out."),
    ("1.q_scale", "attention.within.gains.q"),
    ("1.k_scale", "attention.within.gains.k"),
    ("1.qkv.", "attention.within.qkv."),
    ("1.proj.", "attention.within.out."),
    ("1.relative_position_bias_table", "attention.bias.table"),
    ("1.spatial_rel_pos_bias.net.0.0.", "attention.within.places.net.0."),
    ("1.spatial_rel_pos_bias.net.1.0.", "attention.within.places.net.2."),
    ("1.spatial_rel_pos_bias.net.2.", "attention.within.places.net.4."),
    ("3.0.", "feed_forward.norm."),
    ("3.1.", "feed_forward.enter."),
    ("3.4.", "feed_forward.leave."),
]


def _renamed(theirs: Mapping[str, Tensor], said: _Options) -> dict[str, Tensor]:
    """Their keys as ours; what their code never reads is left out."""
    spatial, temporal = len(said.option("enc_block")), int(said.option("temporal_depth"))
    pools = sum(said.deferred)
    first = {"encoder": 0, "decoder": pools}
    second = {"encoder": spatial + 1, "decoder": pools + temporal + 1}
    found: dict[str, Tensor] = {}
    for key, value in theirs.items():
        stack = next((name for name in STACKS if key.startswith(name + ".")), None)
        if any(word in key for word in DEAD):
            continue
        if stack is not None:
            side, order = STACKS[stack]
            start = (first, second)[order][side]
            depth = (
                temporal if "temporal" in stack else len(said.option("enc_block" if side == "encoder" else "dec_block"))
            )
            if "temporal" in stack and "spatial_rel_pos_bias" in key:
                continue
            found[_inside(side, start, depth, key.removeprefix(stack + "."))] = value
        elif key.startswith(("encoder.", "decoder.", "pre_vq", "post_vq")):
            found[_outside(key, said)] = value
    if not said.option("use_vae", False):
        found |= _codebook(theirs)
    return found


def _inside(side: str, start: int, depth: int, key: str) -> str:
    if key.startswith("norm_out."):
        return f"{side}.{start + depth}.norm.{'weight' if key.endswith('gamma') else 'bias'}"
    _, layer, rest = key.split(".", 2)
    old, new = next((pair for pair in INSIDE if rest.startswith(pair[0])), (rest, rest))
    return f"{side}.{start + int(layer)}.layers.0.{new}{rest.removeprefix(old)}"


def _outside(key: str, said: _Options) -> str:
    old, new = next(pair for pair in OUTSIDE.items() if key.startswith(pair[0] + "."))
    index, _, rest = key.removeprefix(old + ".").partition(".")
    if not rest:
        return f"{new}.{index}"
    out = new.startswith("patches.to_")
    if said.option("patch_embed", "linear") == "cnn":
        return f"{new}.{('convolution', 'norm')[int(index) - out]}.{rest}"
    return f"{new}.{rest}" if out else f"{new}.{('before', 'linear', 'after')[int(index) - 1]}.{rest}"


def _codebook(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = {"codebook": "embeddings", "hits": "N", "sums": "z_avg"}
    return {f"quantizer.{mine}": theirs[f"codebook.{name}"] for mine, name in names.items()} | {
        "quantizer.filled": torch.tensor(True)
    }
