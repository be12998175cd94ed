"""The authors' command line options as our ``model:``."""

import difflib
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from omnitok.model import MODELS
from omnitok.spec import Map, Mark, Spec, decode, near

HALF_RANGE = 0.5  # their pixels are in [-0.5, 0.5]
ATTENTION_PATHS = ("sdpa", "eager")  # fused, as all released weights but one, or written out, which has position biases


class Options:
    """Their flags, by name, as a mapping or as the Namespace that their files hold; what is not said is refused where it
    is needed, and so is what no released weights have."""

    def __init__(self, options: Mapping[str, Any] | Namespace) -> None:
        self.options: Mapping[str, Any] = vars(options) if isinstance(options, Namespace) else options
        self.fused = self.one_of("attention_path", ATTENTION_PATHS) == "sdpa"
        self.convolved = self.one_of("patch_embed", ("linear", "cnn")) == "cnn"
        self.causal = bool(self.either("causal_in_temporal_transformer"))
        self.causal_peg = bool(self.either("causal_in_peg"))
        self.variational = bool(self.option("use_vae", False))
        self.relative = self.one_of("spatial_pos", ("rel", "rope"), said=True) == "rel"
        self.deferred = [bool(self.option(f"defer_{what}_pool", False)) for what in ("spatial", "temporal")]
        self.temporal_depth = self.count("temporal_depth")
        self.blocks = {side: str(self.option(f"{side}_block")) for side in ("enc", "dec")}
        if self.option("use_external_codebook", False):
            raise ValueError("option 'use_external_codebook': an external codebook is in no released weights")

    def option(self, name: str, *default: Any) -> Any:
        if name not in self.options and not default:
            close = difflib.get_close_matches(name, map(str, self.options), n=1)
            raise ValueError(f"option {name!r} is missing" + (f"; did you mean {close[0]!r}?" if close else ""))
        return self.options.get(name, *default)

    def one_of(self, name: str, known: Sequence[str], said: bool = False) -> str:
        """The first of ``known`` is meant where nothing is said, unless it must be."""
        value = str(self.option(name)) if said else str(self.option(name, known[0]))
        if value not in known:
            raise ValueError(f"option {name}={value!r} is in no released weights{near(value, known)}")
        return value

    def count(self, name: str) -> int:
        value = self.option(name)
        if type(value) is not int or value < 1:
            raise ValueError(f"option {name}={value!r} must be a whole number of at least 1")
        return value

    def number(self, name: str, *default: float) -> float:
        value = self.option(name, *default)
        if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
            raise ValueError(f"option {name}={value!r} must be a finite number")
        return float(value)

    def halved(self, name: str, pool: str, pooled: bool) -> int:
        """A patch's size before pooling makes it twice as large."""
        size = self.count(name)
        if pooled and size % 2:
            raise ValueError(f"option {name}={size} must be even with defer_{pool}_pool, which halves it")
        return size // 2 if pooled else size

    def either(self, name: str) -> Any:
        """Released files spell two of the options ``casual_*``."""
        other = name.replace("causal", "casual")
        said = [(key, self.options[key]) for key in (name, other) if key in self.options]
        if len({bool(value) for _, value in said}) > 1:
            raise ValueError("options " + " and ".join(f"{key}={value!r}" for key, value in said) + " contradict")
        return said[0][1] if said else False

    def model(self) -> Spec:
        """The experiment's ``model:`` that says the same. Raises SpecError where ours refuses what theirs said."""
        said = self.said()
        return decode(MODELS, Map(said, Mark("options"), dict.fromkeys(said, Mark("options"))))

    def said(self) -> dict[str, Any]:
        """The same as it would stand in a file."""
        spatial, temporal = self.deferred
        before = [{"type": "pool_space"}] * spatial + [{"type": "pool_time"}] * temporal
        after = [{"type": "repeat_time"}] * temporal + [{"type": "repeat_space"}] * spatial
        time = [*[self.plain("time")] * self.temporal_depth, {"type": "norm"}]
        encoder, decoder = (
            [*(self.block(letter) for letter in letters), {"type": "norm"}] for letters in self.blocks.values()
        )
        return {
            "dim": self.count("embedding_dim"),
            "patches": self.patches(),
            "encoder": [*encoder, *time, *before],
            "decoder": [*after, *time, *decoder],
            "quantizer": self.quantizer(),
            "position": "none",
        }

    def patches(self) -> dict[str, Any]:
        spatial, temporal = self.deferred
        said: dict[str, Any] = {
            "patch": self.halved("patch_size", "spatial", spatial),
            "temporal_patch": self.halved("temporal_patch_size", "temporal", temporal),
            "half_range": HALF_RANGE,
        }
        if self.option("gen_upscale", None) is not None:
            said["upscale"] = self.count("gen_upscale")
        return {"type": "cnn" if self.convolved else "linear_published", **said}

    def block(self, letter: str) -> dict[str, Any]:
        if letter == "w":
            window = {
                "type": "window_published",
                "heads": self.count("heads"),
                "window": self.count("twod_window_size"),
            }
            return {"type": "transformer", "attention": window, "feed_forward": self.feed_forward}
        if letter != "t":
            raise ValueError(f"block letter {letter!r} is in no released weights{near(letter, ['t', 'w'])}")
        return self.plain("space")

    def plain(self, mixes: str) -> dict[str, Any]:
        heads = {"heads": self.count("heads"), "dim_head": self.count("dim_head")}
        if mixes == "space":
            bias = "continuous_bias_dropped" if self.fused else "continuous_bias"
            attention = {"type": "cosine_published", **heads, "places": bias if self.relative else "rope"}
        else:
            places = "alibi" if self.causal and not self.fused else "none"
            attention = {"type": "temporal_cosine_published", **heads, "places": places, "causal": self.causal}
        peg = {"type": "scrambled", "causal": self.causal_peg}
        return {"type": "transformer", "attention": attention, "peg": peg, "feed_forward": self.feed_forward}

    def quantizer(self) -> dict[str, Any]:
        width = self.count("codebook_dim")
        if self.variational:
            return {"type": "gaussian", "latent_channels": width, "kl_weight": self.kl_weight}
        restarts = not self.option("no_random_restart", False)
        return {
            "type": "vq_published",
            "codebook_size": self.count("n_codes"),
            "code_dim": width,
            "normalise": bool(self.option("l2_code", False)),
            "restart_below": self.number("restart_thres", 1.0) if restarts else 0.0,
        }

    @property
    def kl_weight(self) -> float:
        """Theirs falls back to 1e-6 where none is said."""
        unsaid = self.option("kl_weight", None) is None
        return (0.0 if unsaid else self.number("kl_weight")) or 1e-6

    @property
    def feed_forward(self) -> float:
        return self.number("ff_mult", 4.0)
