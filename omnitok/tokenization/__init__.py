"""The tokens of a dataset, written once, for a generator to train on.

A folder holds ``index.json``, which says everything, and shards, which anything reads that reads safetensors::

    import json
    import pathlib

    import safetensors.torch

    folder = pathlib.Path("tokens")
    index = json.loads((folder / "index.json").read_bytes())
    for shard in index["shards"]:
        tensors = safetensors.torch.load_file(folder / shard["file"])
        for codes, label in zip(tensors["codes"], tensors["label"]):
            print(codes.shape, codes.dtype, label.item())

``codes`` [t h w q] are uint16 or uint32; a Gaussian bottleneck has ``mean`` and ``logvar`` [t h w z] in bfloat16 instead,
any other without a codebook ``latents``. A ``label`` is a place in ``index["classes"]``, -1 where it is not known. The
items' names are in the head of each shard, as JSON under ``items``.
"""

from omnitok.tokenization.command import Asked as Asked
from omnitok.tokenization.command import Tokenized as Tokenized
from omnitok.tokenization.command import tokenize as tokenize
from omnitok.tokenization.tokens import Tokens as Tokens
