"""What is kept of a clip: the codes of a bottleneck that has them, else what it needs to sample its latents."""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from omnitok.model import Tokenizer
from omnitok.model.contract import refuse_non_finite
from omnitok.quantizers.gaussian import GaussianBottleneck
from omnitok.spec import Spec, digest, plain, versions
from omnitok.training.devices import device

FLIPPED = "_flipped"  # the end of a tensor's name where it is of the clip mirrored left to right


@torch.no_grad()
def encoded(codec: Tokenizer, clip: Float[Tensor, "b c T H W"], flip: bool = False) -> dict[str, Tensor]:
    """Tensors by name, of ``clip`` and if asked of its mirror image, on the CPU, as narrow as they are kept.

    Raises ValueError where the clip does not fit the tokenizer, NonFinite where its weights give what is no number."""
    found = _kept(codec, codec.reduced(clip.to(device())))
    if flip:
        mirrored = _kept(codec, codec.reduced(clip.flip(-1).to(device())))
        found |= {f"{name}{FLIPPED}": tensor for name, tensor in mirrored.items()}
    return {name: tensor.cpu().contiguous() for name, tensor in found.items()}


def _kept(codec: Tokenizer, clip: Float[Tensor, "b c T H W"]) -> dict[str, Tensor]:
    if not isinstance(codec.quantizer, GaussianBottleneck):
        quantized = codec.encode_soundly(clip)
        if codec.codebook_sizes:
            return {"codes": narrowed(quantized.codes, codec.codebook_sizes)}
        return {"latents": quantized.latents.bfloat16()}
    projected = codec.project(clip)
    refuse_non_finite("latents", projected)
    mean, log_variance = codec.quantizer.moments(projected)
    return {"mean": mean.bfloat16(), "logvar": log_variance.bfloat16()}


def narrowed(codes: Int[Tensor, "b t h w q"], sizes: tuple[int, ...]) -> Tensor:
    """In the narrowest unsigned type that holds every code of a codebook."""
    kinds = [(1 << 16, torch.uint16), (1 << 32, torch.uint32)]
    return codes.to(next((kind for bound, kind in kinds if max(sizes) <= bound), torch.int64))


def tokenizer_digest(spec: Spec, weights: Mapping[str, Tensor]) -> str:
    """The hash of what a tokenizer is built from and of every byte of its weights: whoever has it makes the same tokens,
    to the rounding of sums."""
    found = hashlib.sha256(digest([plain(spec), versions(spec)]).encode())
    for name, tensor in sorted(weights.items()):
        found.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def described(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
    """{name: dtype and shape of one item}."""
    return {
        name: {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape[1:])}
        for name, tensor in tensors.items()
    }
