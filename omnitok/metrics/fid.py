"""Fréchet distances of what pretrained networks see: FID, FVD, and two that fewer items suffice for."""

from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from omnitok.metrics.contract import Codec, Extractor, Measured, Pair
from omnitok.metrics.everywhere import everyones
from omnitok.metrics.features import EVERY_FRAME, Items, OfFeatures, Resamples
from omnitok.metrics.frechet import Moments, by_size, extrapolated, frechet, normal, pull
from omnitok.metrics.interval import interval
from omnitok.networks import i3d, inception
from omnitok.networks.efficientnet import EfficientNetFeatures
from omnitok.networks.i3d import I3DFeatures
from omnitok.networks.inception import InceptionFeatures

PARTS = 4  # of a set, of which distances at fewer items are made
WAITING = 1024  # vectors that wait to be added to moments together


class Stream:
    """Moments of one side in parts: each item's vectors go to the next part in turn."""

    def __init__(self, width: int) -> None:
        self.moments = [Moments.none(width)] * PARTS
        self.waiting: list[list[Tensor]] = [[] for _ in range(PARTS)]
        self.items = 0

    def add(self, items: Items) -> None:
        for part in range(PARTS):
            self.waiting[part].append(items[(part - self.items) % PARTS :: PARTS].flatten(0, 1))
        self.items += len(items)
        if sum(map(len, self.waiting[0])) >= WAITING:
            self._settle()

    def parts(self) -> list[Moments]:
        """Of all processes."""
        self._settle()
        return [one.everywhere() for one in self.moments]

    def _settle(self) -> None:
        for part, waiting in enumerate(self.waiting):
            if sum(map(len, waiting)):
                self.moments[part] = self.moments[part].merged(Moments.of(torch.cat(waiting)))
                waiting.clear()


class _Frechet(OfFeatures):
    """The Fréchet distance of the features before and after (arXiv:1706.08500), of unbiased covariances.

    Details: the distance at a half and a quarter of the vectors, as far as these are more than there are features, and
    at infinitely many: where the line through these ends (arXiv:1911.07023, which draws 15 sets of other sizes). The
    interval is that of the distance at this many items, with its bias.
    """

    better: ClassVar[Literal["higher", "lower", "neither"]] = "lower"

    def __init__(self, extractor: Extractor, terms: str, few: bool, resamples: int) -> None:
        super().__init__(extractor)
        self.resamples = resamples
        self.least_items = 2 if few else extractor.width + 1
        self.streams = Stream(extractor.width), Stream(extractor.width)
        allowed = ", n <= d allowed" if few else ""
        self.protocol = f"{self.label}[{extractor.name}, rounded to 8 bit, {terms}{allowed}]"

    def add(self, pair: Pair) -> None:
        for stream, found in zip(self.streams, self.found(pair), strict=True):
            stream.add(found)
        if self.resamples:
            super().add(pair)

    def result(self) -> Measured:
        items = int(everyones(torch.tensor([self.streams[0].items])).sum())
        self._enough(items)
        before, after = (side.flatten(0, 1) for side in (self.sides() if self.resamples else (self._nothing(),) * 2))
        sizes: dict[float, float] = {}
        if 0 < len(before) <= self.extractor.width:
            a, b = normal(before), normal(after)
        else:
            parts = [stream.parts() for stream in self.streams]
            sizes = by_size(*parts)
            a, b = (_together(side).normal() for side in parts)
        value = list(sizes.values())[-1] if sizes else frechet(a, b)
        pulls = pull(a, b, before, after).view(items, -1).mean(1) if self.resamples else torch.zeros(items)
        between = interval(value, pulls, self.resamples, self.label, least=0.0)
        few = f"no distance at fewer items: there are no more vectors than the {self.extractor.width} features"
        return Measured(value, (), between, _details(sizes), "" if sizes else few)


def _together(parts: list[Moments]) -> Moments:
    first, *rest = parts
    for part in rest:
        first = first.merged(part)
    return first


def _details(sizes: dict[float, float]) -> dict[str, float]:
    found = {f"n={size:.0f}": value for size, value in sizes.items()}
    return found | ({"n=infinity": extrapolated(sizes)} if len(sizes) > 1 else {})


@final
class FrechetInception(_Frechet):
    """FID of reconstructions: the Fréchet distance of the features of the Inception of 2015, of 2,048 numbers. A frame
    of a clip is a picture.

    preprocessing: how a picture comes to 299x299. tf: as the graph of 2015, ADM's evaluator and torch-fidelity do;
        pytorch_fid: as that package does; clean: as clean-fid does.
    few: whether 2,048 items and fewer are taken, of which the distance is far too large.
    resamples: how many sets of items the 95 % interval is made of; 0 keeps no features and makes none.
    """

    label: ClassVar[str] = "rfid"

    def __init__(
        self,
        codec: Codec,
        *,
        preprocessing: inception.Preprocessing = "tf",
        few: bool = False,
        resamples: Resamples = 1000,
    ) -> None:
        super().__init__(InceptionFeatures(preprocessing), EVERY_FRAME, few, resamples)


@final
class FrechetInceptionLayer(_Frechet):
    """The Fréchet distance of an earlier layer's features of the Inception of 2015, which fewer items suffice for. It is
    no FID. A frame of a clip is a picture.

    width: how many features: 64 and 192 are early layers, which see texture; 768 is a late one.
    preprocessing: how a picture comes to 299x299, as in rfid.
    few: whether as many items as features and fewer are taken, of which the distance is far too large.
    resamples: how many sets of items the 95 % interval is made of; 0 keeps no features and makes none.
    """

    label: ClassVar[str] = "frechet_inception"

    def __init__(
        self,
        codec: Codec,
        *,
        width: Literal[64, 192, 768] = 64,
        preprocessing: inception.Preprocessing = "tf",
        few: bool = False,
        resamples: Resamples = 1000,
    ) -> None:
        super().__init__(InceptionFeatures(preprocessing, width), EVERY_FRAME, few, resamples)


@final
class FrechetVideo(_Frechet):
    """FVD of reconstructions (arXiv:1812.01717): the Fréchet distance of the 400 logits of I3D trained on Kinetics-400, one
    vector a clip of ten frames or more.

    preprocessing: how frames come to 224x224. bilinear: squashed, as TATS does; tf: squashed as Google's FVD does; crop:
        the shorter side, then the centre, as VideoGPT does.
    port: whose batch norm. google: the epsilon that it was trained with; videogpt: that of VideoGPT's port, with which
        OmniTokenizer measured and, as far as its repository shows, TATS.
    few: whether 400 items and fewer are taken, of which the distance is far too large.
    resamples: how many sets of items the 95 % interval is made of; 0 keeps no features and makes none.
    """

    label: ClassVar[str] = "rfvd"
    least_frames: ClassVar[int] = i3d.LEAST

    def __init__(
        self,
        codec: Codec,
        *,
        preprocessing: i3d.Preprocessing = "bilinear",
        port: i3d.Port = "google",
        few: bool = False,
        resamples: Resamples = 1000,
    ) -> None:
        super().__init__(I3DFeatures(preprocessing, port=port), "a vector a clip", few, resamples)


@final
class FrechetClassifier(_Frechet):
    """The Fréchet distance of the 1,280 features of EfficientNet-Lite0, a small classifier of ImageNet's classes. It is no
    FID. A frame of a clip is a picture.

    few: whether 1,280 items and fewer are taken, of which the distance is far too large.
    resamples: how many sets of items the 95 % interval is made of; 0 keeps no features and makes none.
    """

    label: ClassVar[str] = "frechet_efficientnet"

    def __init__(self, codec: Codec, *, few: bool = False, resamples: Resamples = 1000) -> None:
        super().__init__(EfficientNetFeatures("pooled"), EVERY_FRAME, few, resamples)
