"""A user's own pictures and videos through a trained tokenizer, in and out."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch

from omnitok.data import DataError, Media, as_clip, as_pixels, read_clip, write_clip
from omnitok.data.pixels import Pixels, cropped_to, resized_to
from omnitok.metrics import psnr
from omnitok.model import NonFinite, Reconstructor
from omnitok.model.files import read_tokenizer
from omnitok.spec import Fault, Mark, SpecError, near
from omnitok.trial import load

Fit = Literal["exact", "crop", "resize"]


class Written(NamedTuple):
    """One file done: where it went, its size, how near it came (PSNR in dB), the codes it took."""

    source: Path
    target: Path
    frames: int
    height: int
    width: int
    psnr: float
    codes: int


@torch.no_grad()
def reconstruct(
    run: Path, files: Sequence[Path], out: Path, *, fit: Fit = "exact", side_by_side: bool = False
) -> list[Written]:
    """Write the reconstruction of each file by a finished run into ``out``: a picture as PNG, a video as MP4. ``run``:
    its folder, or a tokenizer's file.

    ``fit``: what to do where the model's patches do not divide a file's size: refuse, cut to the largest centred part
    (and leave off last frames), or resize to the nearest size. Raises SpecError with a fault a file, before anything
    is written: files that cannot be read or do not fit, targets that would overwrite a source or each other.
    """
    if fit not in get_args(Fit):
        raise SpecError([Fault(Mark(f"fit={fit}"), "", f"no such way to fit{near(fit, get_args(Fit))}")])
    codec = load(run) if run.is_dir() else read_tokenizer(run)
    faults: list[Fault] = []
    clips: list[tuple[Path, Media]] = []
    for path in files:
        try:
            media = read_clip(path)
            clips.append((path, Media(fitted(codec, media.frames, fit), media.fps)))
        except (DataError, ValueError) as error:
            said = str(error).removeprefix(f"{path}: ")
            faults.append(Fault(Mark(str(path)), "", said))
    targets = [target_of(path, media, out) for path, media in clips]
    faults += _overwritten(files, [path for path, _ in clips], targets)
    if faults:
        raise SpecError(faults)
    out.mkdir(parents=True, exist_ok=True)
    return [_one(codec, *clip, target, side_by_side) for clip, target in zip(clips, targets, strict=True)]


def target_of(path: Path, media: Media, out: Path) -> Path:
    """The file's own name, with the ending of what is written where it has another."""
    suffix = ".png" if len(media.frames) == 1 else ".mp4"
    return out / (path.name if path.suffix.lower() == suffix else f"{path.name}{suffix}")


def _overwritten(files: Sequence[Path], paths: Sequence[Path], targets: Sequence[Path]) -> Iterator[Fault]:
    """A fault for every target that is a source, or the target of an earlier path."""
    sources = {path.resolve(): path for path in files}
    first: dict[Path, Path] = {}
    for path, target in zip(paths, targets, strict=True):
        place = target.resolve()
        if place in sources:
            said = "" if place == path.resolve() else f" by that of {path}"
            sentence = f"would be overwritten{said}; choose another folder with --out"
            yield Fault(Mark(str(sources[place])), "", sentence)
        elif place in first:
            yield Fault(Mark(str(path)), "", f"would be written to {target}, and so would {first[place]}")
        first.setdefault(place, path)


def fitted(codec: Reconstructor, frames: Pixels, fit: Fit) -> Pixels:
    """The frames at a size that the model takes. Raises ValueError where ``fit`` is exact and they are not."""
    multiple, step = codec.multiple, codec.frame_step
    spare = (len(frames) - 1) % step
    if fit == "exact":
        height, width = frames.shape[1:3]
        if height % multiple or width % multiple:
            raise ValueError(f"{height} x {width} pixels: {multiple} must divide both; say --crop or --resize")
        if spare:
            raise ValueError(f"{len(frames)} frames: must be 1 more than a multiple of {step}; say --crop or --resize")
        return frames
    frames = frames[: len(frames) - spare]
    return cropped_to(frames, multiple) if fit == "crop" else resized_to(frames, multiple)


def _one(codec: Reconstructor, path: Path, media: Media, target: Path, side_by_side: bool) -> Written:
    frames = media.frames
    original = as_clip(frames)[None]
    try:
        clip, codes = codec.reconstruct(original)
    except (ValueError, NonFinite) as error:  # a published model takes square frames only
        raise SpecError([Fault(Mark(str(path)), "", str(error))]) from None
    back = as_pixels(clip[0])
    shown = np.concatenate([frames, back], axis=2) if side_by_side else back
    try:
        write_clip(target, shown, media.fps)
    except DataError as error:
        raise SpecError([Fault(Mark(str(path)), "", str(error))]) from None
    count, height, width, _ = frames.shape
    return Written(path, target, count, height, width, psnr(original, as_clip(back)[None]).item(), codes.numel())
