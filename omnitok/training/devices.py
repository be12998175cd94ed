"""Where tensors live: a resource, never a choice."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from omnitok.data import DataError
from omnitok.data.resources import resource
from omnitok.model import Reconstructor
from omnitok.spec import near

USUAL: Final = {
    "": "",
    "0": "",
    "1": "inductor",
    "inductor": "inductor",
}  # what OMNITOK_COMPILE says without asking torch


def device() -> torch.device:
    """OMNITOK_DEVICE, or the accelerator where there is one, or the CPU. Raises DataError where it names none, or a GPU
    that is not here."""
    said = os.environ.get("OMNITOK_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        named = torch.device(said)
    except RuntimeError:
        raise DataError(f"OMNITOK_DEVICE={said}: names no device; say cpu, cuda, or cuda:1") from None
    if named.type == "cuda" and (named.index or 0) >= (there := torch.cuda.device_count()):
        raise DataError(f"OMNITOK_DEVICE={said}: is not here; GPUs that are: {there}")
    return named


def recomputes() -> bool:
    """OMNITOK_RECOMPUTE: whether what is inside a layer is computed anew for its gradients instead of being kept, which
    costs a third of the time and most of the memory of training. Raises DataError where it is neither 0 nor 1."""
    said = os.environ.get("OMNITOK_RECOMPUTE") or "0"
    if said not in ("0", "1"):
        raise DataError(f"OMNITOK_RECOMPUTE={said}: must be 0 or 1")
    return said == "1"


def compiler() -> str:
    """OMNITOK_COMPILE: the backend of torch.compile for training; 1: inductor; 0 or empty: none. Raises DataError where
    torch has no such backend."""
    said = os.environ.get("OMNITOK_COMPILE", "")
    if said in USUAL:
        return USUAL[said]
    if said not in torch.compiler.list_backends(exclude_tags=()):
        known = ["0", "1", "eager", "aot_eager", *torch.compiler.list_backends()]
        raise DataError(f"OMNITOK_COMPILE={said}: is no backend of torch.compile{near(said, known)}")
    return said


def deterministic() -> bool:
    """OMNITOK_DETERMINISTIC: whether a GPU adds up in one order, so that a run that was resumed there ends with the bits of
    one that was not; slower, and refused by torch where an operation has no such order. A CPU at equal threads always
    does. Raises DataError where it is neither 0 nor 1."""
    said = os.environ.get("OMNITOK_DETERMINISTIC") or "0"
    if said not in ("0", "1"):
        raise DataError(f"OMNITOK_DETERMINISTIC={said}: must be 0 or 1")
    return said == "1"


@contextmanager
def in_order() -> Iterator[None]:
    """What is inside adds up in one order where ``deterministic`` says so."""
    before = torch.are_deterministic_algorithms_enabled()
    if deterministic():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product is made
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """What is inside computes with so many on the CPU, on which sums depend."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def decoding() -> int:
    """OMNITOK_DECODING: how many fixed items are decoded at once, to measure or to tokenize; 0 or unsaid: one where the processor computes too,
    else one a core, eight at most. Raises DataError where it is no number."""
    usual = 1 if device().type == "cpu" else min(8, os.cpu_count() or 1)
    return resource("OMNITOK_DECODING", usual) or usual


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@final
class OnDevice:
    """A codec where tensors live, asked from the CPU and answering there: what metrics take it for."""

    def __init__(self, codec: Reconstructor) -> None:
        self.codec = codec.to(device())
        self.codebook_sizes, self.rates, self.bits_per_token = codec.codebook_sizes, codec.rates, codec.bits_per_token
        self.multiple, self.frame_step, self.chunk_step = codec.multiple, codec.frame_step, codec.chunk_step

    def reconstruct(
        self, clip: Float[Tensor, "b c T H W"]
    ) -> tuple[Float[Tensor, "b c T H W"], Int[Tensor, "b t h w q"]]:
        back, codes = self.codec.reconstruct(clip.to(device()))
        return back.cpu(), codes.cpu()

    def reconstruct_chunks(
        self, clip: Float[Tensor, "b c T H W"], frames: Sequence[int]
    ) -> Float[Tensor, "b c T H W"] | None:
        back = self.codec.reconstruct_chunks(clip.to(device()), frames)
        return None if back is None else back.cpu()
