"""What a process of its own measures of tokenizers of the paper's size: ``python -m benchmarks.tokenizer_child NAME JSON``."""

import ctypes
import gc
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

THREADS = 2
if __name__ == "__main__":  # before torch is loaded; threads that wait do not take the processor from those that work
    os.environ |= {"OMP_NUM_THREADS": str(THREADS), "MKL_NUM_THREADS": str(THREADS), "OMP_WAIT_POLICY": "PASSIVE"}

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.measure import seconds  # noqa: E402
from benchmarks.published import PAPER, PublishedTokenizer  # noqa: E402
from benchmarks.tokenizer_steps import steps  # noqa: E402
from omnitok.model import MODELS, Tokenizer  # noqa: E402
from omnitok.model.tokenizer import START  # noqa: E402
from omnitok.published import load_official  # noqa: E402
from omnitok.spec import decode, read_value, resolve  # noqa: E402

MIB = 2.0**20
Options = Mapping[str, Any]


def reference(options: Options) -> PublishedTokenizer:
    """Random weights; codes of unit length, as those of unit latents are."""
    torch.manual_seed(0)
    made = PublishedTokenizer(options).eval()
    made.codebook.embeddings.copy_(torch.nn.functional.normalize(made.codebook.embeddings, dim=-1))
    return made


def ours(options: Options) -> Tokenizer:
    """The same weights in omnitok's published components."""
    return load_official(reference(options).state_dict(), options)


def corrected(options: Options, context: int | None = None) -> Tokenizer:
    """Random weights in the components without known defects: as many layers of the same widths."""
    heads = {"heads": options["heads"], "dim_head": options["dim_head"]}
    space = {"type": "cosine", **heads, "places": "rope"}
    time = {"type": "temporal_cosine", **heads, "context": context}
    window = {"type": "window", "heads": options["heads"], "window": options["twod_window_size"]}
    blocks = {
        "t": {"type": "transformer", "attention": space, "peg": "convolution"},
        "w": {"type": "transformer", "attention": window},
    }
    over_time = {"type": "transformer", "attention": time, "peg": "convolution", "depth": options["temporal_depth"]}
    said = {
        "dim": options["embedding_dim"],
        "patches": {"type": "linear", "patch": options["patch_size"], "temporal_patch": options["temporal_patch_size"]},
        "encoder": [*(blocks[letter] for letter in options["enc_block"]), "norm", over_time, "norm"],
        "decoder": [over_time, "norm", *(blocks[letter] for letter in options["dec_block"]), "norm"],
        "quantizer": {"type": "vq", "codebook_size": options["n_codes"], "code_dim": options["codebook_dim"]},
        "position": "none",
    }
    torch.manual_seed(0)
    made: Tokenizer = resolve(decode(MODELS, read_value(json.dumps(said), "corrected")))()
    return made.eval()


def clip_of(frames: int, side: int, seed: int = 1) -> Tensor:
    """Noise in [-1, 1]."""
    return torch.rand(1, 3, frames, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def through(tokenizer: Tokenizer, clip: Tensor) -> Tensor:
    return tokenizer.decode_codes(tokenizer.encode(clip).codes)


def through_bfloat16(tokenizer: Tokenizer, clip: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return through(tokenizer, clip)


@torch.inference_mode()
def speeds(options: Options, frames: int, side: int, repeats: int) -> dict[str, Any]:
    """Seconds of encode + decode, all in turn, and how far what came out is from what the reference gave."""
    clip = clip_of(frames, side)
    theirs, mine, right = reference(options), ours(options), corrected(options)
    calls: dict[str, Callable[[], object]] = {
        "published": lambda: theirs.decode(theirs.encode(clip / 2)),
        "ours": lambda: through(mine, clip),
        "corrected": lambda: through(right, clip),
        "bfloat16": lambda: through_bfloat16(mine, clip),
        "corrected_bfloat16": lambda: through_bfloat16(right, clip),
    }
    for call in calls.values():
        call()
    taken = [{name: seconds(call) for name, call in calls.items()} for _ in range(repeats)]
    return {name: [one[name] for one in taken] for name in calls} | _distances(theirs, mine, clip)


def _distances(theirs: PublishedTokenizer, mine: Tokenizer, clip: Tensor) -> dict[str, float]:
    """Pixels are compared from the same codes, since one other code changes a whole clip."""
    codes = theirs.encode(clip / 2)
    pixels = 2 * theirs.decode(codes)
    found, back = mine.encode(clip).codes[..., 0], mine.decode_codes(codes[..., None])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough_codes, rough = mine.encode(clip).codes[..., 0], mine.decode_codes(codes[..., None])
    error = (rough.float() - back).square().mean().item()
    return {
        "codes": codes.numel(),
        "codes_equal": int((found == codes).sum()),
        "largest_error": (back - pixels).abs().max().item(),
        "largest_pixel": pixels.abs().max().item(),
        "bfloat16_codes_equal": int((rough_codes == found).sum()),
        "bfloat16_psnr": 10 * math.log10((back.max() - back.min()).item() ** 2 / error),
    }


def peak(options: Options, which: str, frames: int, side: int) -> float:
    """MiB that encode + decode needs above the loaded weights."""
    clip = clip_of(frames, side)
    with torch.inference_mode():
        if which == "published":
            theirs = reference(options)
            return _peak(lambda x: theirs.decode(theirs.encode(x)), clip)
        tokenizer = {"ours": ours, "corrected": corrected, "bfloat16": ours}[which](options)
        return _peak(lambda x: (through_bfloat16 if which == "bfloat16" else through)(tokenizer, x), clip)


def _peak(call: Callable[[Tensor], object], clip: Tensor) -> float:
    """The call is made once for a corner of an image before, so that libraries have loaded what they load once."""
    call(clip[:, :, :1, : clip.shape[3] // 2, : clip.shape[4] // 2].contiguous())
    before = watch_memory()
    call(clip)
    return highest_memory() - before


def watch_memory() -> float:
    """Freed memory goes back to the system, the mark of the highest is taken down. -> MiB resident now."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def highest_memory() -> float:
    return _status("VmHWM")


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field + ":")).split()[1]) * 1024 / MIB


@torch.inference_mode()
def stream(options: Options, frames: int, side: int, context: int, chunk: int) -> dict[str, float]:
    """A clip of noise, made, encoded and decoded ``chunk`` latent frames at a time; nothing but the caches is kept."""
    tokenizer = corrected(options, context)
    through(tokenizer, clip_of(1, side))
    before, made, encoder, decoder = watch_memory(), 0, START, START
    for piece in _pieces(frames, options["temporal_patch_size"], chunk):
        quantized, encoder = tokenizer.encode_chunk(clip_of(piece, side, made), encoder)
        back, decoder = tokenizer.decode_chunk(quantized.latents, decoder)
        made += back.shape[2]
    kept = (encoder.nbytes + decoder.nbytes) / context / MIB
    return {"peak": highest_memory() - before, "frames": made, "cache": kept}


def _pieces(frames: int, step: int, chunk: int) -> Iterable[int]:
    yield 1 + step * (chunk - 1)
    for start in range(1 + step * (chunk - 1), frames, step * chunk):
        yield min(step * chunk, frames - start)


def trained(options: Options, frames: int, side: int, repeats: int, width: int) -> dict[str, list[float]]:
    """Seconds of training steps in turn: the published one, ours of the same maths, ours of corrected components."""
    mine = {"ours": ours(options), "corrected": corrected(options)}
    return steps(reference(options), mine, clip_of(frames, side), repeats, width)


MEASURES: dict[str, Callable[..., Any]] = {
    "speeds": speeds, "peak": peak, "stream": stream, "trained": trained,
}  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(MEASURES[sys.argv[1]](**{"options": PAPER} | json.loads(sys.argv[2]))))
