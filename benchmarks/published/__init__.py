"""The published computation once more, as a user of PyTorch writes it from its description: what speed and memory are
held against. It shares nothing with ``omnitok``; the authors' golden data says whether it is theirs."""

from benchmarks.published.adversary import LPIPS, PatchDiscriminator
from benchmarks.published.step import PublishedStep
from benchmarks.published.tokenizer import PublishedTokenizer

PAPER = {
    "embedding_dim": 512, "n_codes": 8192, "codebook_dim": 8, "l2_code": True, "use_vae": False,
    "patch_size": 8, "temporal_patch_size": 4, "enc_block": "ttww", "dec_block": "tttt", "temporal_depth": 4,
    "twod_window_size": 8, "heads": 8, "dim_head": 64, "ff_mult": 4.0, "spatial_pos": "rope",
    "causal_in_temporal_transformer": True, "causal_in_peg": True,
}  # fmt: skip

__all__ = ["LPIPS", "PAPER", "PatchDiscriminator", "PublishedStep", "PublishedTokenizer"]
