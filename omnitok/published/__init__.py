"""The authors' weights: their options and state dict -> our tokenizer, which takes and gives clips in [-1, 1]."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from omnitok.model import Tokenizer
from omnitok.published.keys import renamed
from omnitok.published.options import Options
from omnitok.spec import resolve


def load_official(state_dict: Mapping[str, Tensor], options: Mapping[str, Any] | Namespace) -> Tokenizer:
    """The tokenizer that computes what the authors' code computes with these weights and command line options.

    ``options``: by the names of their flags, ``causal_*`` or ``casual_*``; ``attention_path`` is ``sdpa`` (all released
    weights but one) or ``eager``. Raises ValueError where weights and options do not fit, naming the first key.
    """
    said = Options(options)
    tokenizer: Tokenizer = resolve(said.model())()
    weights = renamed(state_dict, said)
    mine = tokenizer.state_dict()
    counted = {name: value for name, value in mine.items() if name.endswith(("num_batches_tracked", "quantizer.usage"))}
    weights = counted | weights  # counters, which some copies leave out
    odd = sorted(mine.keys() ^ weights.keys()) or [n for n in mine if mine[n].shape != weights[n].shape]
    if odd:
        sizes = [str(tuple(side[odd[0]].shape)) if odd[0] in side else "nothing" for side in (weights, mine)]
        raise ValueError(f"{odd[0]!r}: the weights have {sizes[0]}, the options ask for {sizes[1]}")
    tokenizer.load_state_dict(weights)
    return tokenizer.eval()
