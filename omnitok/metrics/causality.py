"""How much of the past a codec takes from the future: nothing, if a video is to be coded as it comes."""

from abc import abstractmethod
from typing import ClassVar, Literal, final

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor

from omnitok.metrics.contract import MeanOfItems, Pair


def other_future(clip: Float[Tensor, "b c T H W"], start: int) -> Float[Tensor, "b c T H W"]:
    """The clip with its frames from ``start`` on in the reverse order and as negatives."""
    return torch.cat([clip[:, :, :start], -clip[:, :, start:].flip(2)], 2)


class _Leak(MeanOfItems):
    """Asks the codec once for each clip as it is, and once for each of its cuts: behind every latent frame but the last
    the rest of the clip is made another one."""

    better: ClassVar[Literal["higher", "lower", "neither"]] = "lower"

    @torch.no_grad()
    def add(self, pair: Pair) -> None:
        original = pair.original
        cuts = range(1, original.shape[2], self.codec.frame_step)
        if cuts and self.applies():
            before = self.codec.reconstruct(original)
            found = [self.at(original, start, before) for start in cuts]
            self.values += torch.stack(found).mean(0).tolist()

    def applies(self) -> bool:
        return True

    @abstractmethod
    def at(self, clip: Float[Tensor, "b c T H W"], start: int, before: tuple[Tensor, Tensor]) -> Float[Tensor, " b"]:
        """The leak of each clip where frame ``start`` is the first that is changed; ``before`` is what came of it
        unchanged."""


@final
class CausalityLeak(_Leak):
    """How far a changed future moves the past: the root mean square by which earlier reconstructed pixels change, as a
    share of that by which later ones were changed. Exactly 0 for a causal codec; says nothing of single images."""

    label: ClassVar[str] = "causality_leak"
    silence: ClassVar[str] = "says nothing of single images"
    protocol = (
        "causality_leak[rms change of earlier pixels / rms change made of later ones, unclamped, later frames reversed in "
        "time and negated, mean over cuts behind each latent frame, then over items]"
    )

    def at(self, clip: Float[Tensor, "b c T H W"], start: int, before: tuple[Tensor, Tensor]) -> Float[Tensor, " b"]:
        changed = other_future(clip, start)
        after, _ = self.codec.reconstruct(changed)
        moved = _rms(after[:, :, :start], before[0][:, :, :start])
        made = _rms(changed[:, :, start:], clip[:, :, start:])
        return torch.where(made > 0, moved / made, moved)  # a future that is its own negative is not changed


@final
class CodeLeak(_Leak):
    """The share of earlier codes that a changed future changes. Exactly 0 for a causal encoder; says nothing of single
    images, nor where there is no codebook."""

    label: ClassVar[str] = "code_leak"
    silence: ClassVar[str] = "says nothing of single images, nor where there is no codebook"
    protocol = (
        "code_leak[share of earlier codes that change, later frames reversed in time and negated, mean over cuts behind "
        "each latent frame, then over items]"
    )

    def applies(self) -> bool:
        return bool(self.codec.codebook_sizes)

    def at(self, clip: Float[Tensor, "b c T H W"], start: int, before: tuple[Tensor, Tensor]) -> Float[Tensor, " b"]:
        _, after = self.codec.reconstruct(other_future(clip, start))
        earlier = 1 + (start - 1) // self.codec.frame_step
        differ = (after[:, :earlier] != before[1][:, :earlier]).double()
        return reduce(differ, "b t h w q -> b", "mean")


def _rms(a: Float[Tensor, "b c T H W"], b: Float[Tensor, "b c T H W"]) -> Float[Tensor, " b"]:
    return reduce((a.double() - b.double()).square(), "b c t h w -> b", "mean").sqrt()
