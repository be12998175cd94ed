"""The authors' weights: their options and state dict -> our tokenizer, which takes and gives clips in [-1, 1]."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from omnitok.model import Tokenizer
from omnitok.model.files import expected_weights
from omnitok.published.keys import renamed
from omnitok.published.options import Options
from omnitok.spec import resolve

COUNTERS = ("num_batches_tracked", "quantizer.usage")  # some copies leave them out


def load_official(state_dict: Mapping[str, Tensor], options: Mapping[str, Any] | Namespace) -> Tokenizer:
    """The tokenizer that computes what the authors' code computes with these weights and command line options.

    ``options``: by the names of their flags, ``causal_*`` or ``casual_*``; ``attention_path`` is ``sdpa`` (all released
    weights but one) or ``eager``. Raises ValueError where weights and options do not fit, naming the first key.
    """
    said = Options(options)
    spec, weights = said.model(), renamed(state_dict, said)
    mine = expected_weights(spec)
    counters = [name for name in mine if name.endswith(COUNTERS) and name not in weights]
    mine = {name: value for name, value in mine.items() if name not in counters}
    odd = sorted(mine.keys() ^ weights.keys()) or [n for n in mine if mine[n].shape != weights[n].shape]
    if odd:
        sizes = [str(tuple(side[odd[0]].shape)) if odd[0] in side else "nothing" for side in (weights, mine)]
        raise ValueError(f"{odd[0]!r}: the weights have {sizes[0]}, the options ask for {sizes[1]}")
    tokenizer: Tokenizer = resolve(spec)()
    fresh = tokenizer.state_dict()
    tokenizer.load_state_dict({name: fresh[name] for name in counters} | weights)
    return tokenizer.eval()
