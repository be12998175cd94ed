"""The Inception of 2015-12-05, whose features FID compares (arXiv:1512.00567, arXiv:1706.08500)."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.networks import folding, resize
from omnitok.networks.folding import Rectified
from omnitok.networks.unpickle import load_archive
from omnitok.networks.weights import locate

SIDE: Final = 299
WEIGHTS: Final = "inception_2015"
Preprocessing = Literal["tf", "pytorch_fid", "clean"]
Width = Literal[64, 192, 768, 2048]
SHORT: Final[dict[Preprocessing, str]] = {"tf": "tf1-bilinear", "pytorch_fid": "bilinear", "clean": "clean-bicubic"}
Sources = Mapping[str, Sequence[str]]  # which convolutions of the file one of ours is made of


class Mixed(nn.Module):
    """Several branches, side by side in the result."""

    sources: Sources


class Entry(nn.Module):
    """The 1x1 convolutions of one input as one: of ``widths``, rectified, and of ``pooled`` that are averaged over 3x3
    before they are. An average over places and a sum over channels may change places, and there are fewer channels
    afterwards; of the border the average takes only what is there, as TensorFlow's does."""

    def __init__(self, width: int, widths: Sequence[int], pooled: int = 0) -> None:
        super().__init__()
        self.widths, self.pooled = tuple(widths), pooled
        self.all = nn.Conv2d(width, sum(widths) + pooled, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.all(x)
        whole = sum(self.widths)
        parts = list(F.relu_(x[:, :whole]).split(self.widths, 1))
        if self.pooled:
            parts.append(F.relu_(F.avg_pool2d(x[:, whole:], 3, 1, 1, count_include_pad=False)))
        return parts


class MixedA(Mixed):
    """At 35x35."""

    sources = {
        "entry.all": ("conv", "tower.conv", "tower_1.conv", "tower_2.conv"),
        "five": ("tower.conv_1",),
        "threes.0": ("tower_1.conv_1",),
        "threes.1": ("tower_1.conv_2",),
    }

    def __init__(self, width: int, pooled: int) -> None:
        super().__init__()
        self.entry = Entry(width, (64, 48, 64), pooled)
        self.five = Rectified(48, 64, 5, padding=2)
        self.threes = nn.Sequential(Rectified(64, 96, 3, padding=1), Rectified(96, 96, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        own, five, threes, pooled = self.entry(x)
        return torch.cat([own, self.five(five), self.threes(threes), pooled], 1)


class MixedB(Mixed):
    """From 35x35 to 17x17."""

    sources = {
        "three": ("conv",),
        "threes.0": ("tower.conv",),
        "threes.1": ("tower.conv_1",),
        "threes.2": ("tower.conv_2",),
    }

    def __init__(self) -> None:
        super().__init__()
        self.three = Rectified(288, 384, 3, 2)
        self.threes = nn.Sequential(Rectified(288, 64, 1), Rectified(64, 96, 3, padding=1), Rectified(96, 96, 3, 2))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.three(x), self.threes(x), F.max_pool2d(x, 3, 2)], 1)


class MixedC(Mixed):
    """At 17x17."""

    sources = {
        "entry.all": ("conv", "tower.conv", "tower_1.conv", "tower_2.conv"),
        **{f"once.{i}": (f"tower.conv_{i + 1}",) for i in range(2)},
        **{f"twice.{i}": (f"tower_1.conv_{i + 1}",) for i in range(4)},
    }

    def __init__(self, narrow: int) -> None:
        super().__init__()
        self.entry = Entry(768, (192, narrow, narrow), 192)
        self.once = nn.Sequential(_row(narrow, narrow, 7), _column(narrow, 192, 7))
        self.twice = nn.Sequential(
            _column(narrow, narrow, 7), _row(narrow, narrow, 7), _column(narrow, narrow, 7), _row(narrow, 192, 7)
        )

    def forward(self, x: Tensor) -> Tensor:
        own, once, twice, pooled = self.entry(x)
        return torch.cat([own, self.once(once), self.twice(twice), pooled], 1)


class MixedD(Mixed):
    """From 17x17 to 8x8."""

    sources = {
        "entry.all": ("tower.conv", "tower_1.conv"),
        "three": ("tower.conv_1",),
        **{f"sevens.{i}": (f"tower_1.conv_{i + 1}",) for i in range(3)},
    }

    def __init__(self) -> None:
        super().__init__()
        self.entry = Entry(768, (192, 192))
        self.three = Rectified(192, 320, 3, 2)
        self.sevens = nn.Sequential(_row(192, 192, 7), _column(192, 192, 7), Rectified(192, 192, 3, 2))

    def forward(self, x: Tensor) -> Tensor:
        three, sevens = self.entry(x)
        return torch.cat([self.three(three), self.sevens(sevens), F.max_pool2d(x, 3, 2)], 1)


class MixedE(Mixed):
    """At 8x8. The last one pools the largest where the others average: a slip of 2015 that its weights were trained
    with."""

    def __init__(self, width: int, largest: bool) -> None:
        super().__init__()
        self.entry = Entry(width, (320, 384, 448), 0 if largest else 192)
        self.once = nn.ModuleList([_row(384, 384, 3), _column(384, 384, 3)])
        self.three = Rectified(448, 384, 3, padding=1)
        self.twice = nn.ModuleList([_row(384, 384, 3), _column(384, 384, 3)])
        self.pooled = Rectified(width, 192, 1) if largest else None
        entry = ("conv", "tower_conv", "tower_1_conv")
        last = {"entry.all": entry, "pooled": ("tower_2_conv",)} if largest else {"entry.all": (*entry, "tower_2_conv")}
        self.sources = last | {
            "once.0": ("tower_mixed_conv",),
            "once.1": ("tower_mixed_conv_1",),
            "three": ("tower_1_conv_1",),
            "twice.0": ("tower_1_mixed_conv",),
            "twice.1": ("tower_1_mixed_conv_1",),
        }

    def forward(self, x: Tensor) -> Tensor:
        own, once, three, *rest = self.entry(x)
        twice = self.three(three)
        if self.pooled is not None:
            rest = [self.pooled(F.max_pool2d(x, 3, 1, 1))]
        return torch.cat([own, *(one(once) for one in self.once), *(one(twice) for one in self.twice), *rest], 1)


class Inception(nn.Module):
    """Pictures of 299x299 in about [-1, 1] -> vectors: pool3 (2048), or the means over places of what comes before the
    third block of convolutions (64), the first mixed block (192), the last reduction (768). Frozen, float32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.ModuleList(
            [
                nn.Sequential(Rectified(3, 32, 3, 2), Rectified(32, 32, 3), Rectified(32, 64, 3, padding=1)),
                nn.Sequential(Rectified(64, 80, 1), Rectified(80, 192, 3)),
            ]
        )
        a = MixedA(192, 32), MixedA(256, 64), MixedA(288, 64)
        c = [MixedC(narrow) for narrow in (128, 160, 160, 192)]
        self.mixed = nn.ModuleList([*a, MixedB(), *c, MixedD(), MixedE(1280, False), MixedE(2048, True)])

    def forward(self, x: Float[Tensor, "n 3 299 299"], width: Width = 2048) -> Float[Tensor, "n width"]:
        x = x.contiguous(memory_format=torch.channels_last)
        for stem, reached in zip(self.stem, (64, 192), strict=True):
            x = F.max_pool2d(stem(x), 3, 2)
            if width == reached:
                return x.mean((2, 3))
        for mixed in self.mixed[:8] if width == 768 else self.mixed:
            x = mixed(x)
        return x.mean((2, 3))


@dataclass(frozen=True)
class InceptionFeatures:
    """Features of frames, for FID, KID, precision and recall: [b c T H W] in [-1, 1] -> [b T width].

    A frame is rounded to the levels 0 to 255 of a file, from which all the packages read.

    preprocessing: tf: TensorFlow 1's bilinear to 299, as the graph of 2015, ADM's evaluator and torch-fidelity do;
        pytorch_fid: PyTorch's bilinear, which is that package's; clean: PIL's bicubic without rounding, as clean-fid does.
    width: which layer; 2048 is pool3, which FID means.
    """

    preprocessing: Preprocessing = "tf"
    width: Width = 2048
    weights: ClassVar[str] = WEIGHTS

    @property
    def name(self) -> str:
        """As protocols say it: whose network, which layer if it is not pool3, how pictures are resized."""
        layer = "" if self.width == 2048 else f" {self.width}-d"
        return f"tf2015{layer}, {SHORT[self.preprocessing]}"

    def __call__(self, clip: Float[Tensor, "b c T H W"]) -> Float[Tensor, "b T width"]:
        """Where the clip lies. Raises WeightsError; ValueError for other than 3 channels."""
        network = pretrained(clip.device)
        at_once = 16 if clip.device.type == "cpu" else 64  # from 16 on oneDNN also makes the 1x1 convolutions
        return folding.by_frame(clip, lambda frames: network(self.prepared(frames), self.width), at_once)

    def prepared(self, frames: Float[Tensor, "n c H W"]) -> Float[Tensor, "n c 299 299"]:
        """What the network is given."""
        found = resize.levels(frames)
        if self.preprocessing == "pytorch_fid":
            return resize.bilinear(found / 255, SIDE) * 2 - 1
        resized = resize.tf_bilinear if self.preprocessing == "tf" else resize.bicubic
        return (resized(found, SIDE) - 128) / 128


@functools.cache
def pretrained(device: torch.device) -> Inception:
    """The network where its pictures are, read once a process. Raises WeightsError."""
    return folding.filled(Inception, _state, device)


def _row(width: int, out: int, side: int) -> Rectified:
    return Rectified(width, out, (1, side), padding=(0, side // 2))


def _column(width: int, out: int, side: int) -> Rectified:
    return Rectified(width, out, (side, 1), padding=(side // 2, 0))


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name


def _state(made: Inception) -> dict[str, Tensor]:
    """The file's arrays by our names, batch norms folded."""
    arrays = load_archive(locate(WEIGHTS))
    places = ("stem.0.0", "stem.0.1", "stem.0.2", "stem.1.0", "stem.1.1")
    sources: dict[str, Sequence[str]] = {place: (_numbered("conv", i),) for i, place in enumerate(places)}
    for i, mixed in enumerate(part for part in made.mixed if isinstance(part, Mixed)):
        inside = {
            place: [f"{_numbered('mixed', i)}.{name}" for name in names] for place, names in mixed.sources.items()
        }
        sources |= {f"mixed.{i}.{place}": names for place, names in inside.items()}
    state = {}
    for place, names in sources.items():
        kernels, biases = zip(*(_folded(arrays, f"net.layers.{name}") for name in names), strict=True)
        state[f"{place}.weight"] = torch.cat(kernels).contiguous(memory_format=torch.channels_last)
        state[f"{place}.bias"] = torch.cat(biases)
    return state


def _folded(arrays: Mapping[str, Any], name: str) -> tuple[Tensor, Tensor]:
    kernel, mean, variance, shift = (arrays[f"{name}.{part}"] for part in ("weight", "mean", "var", "beta"))
    return folding.fold(kernel, mean, variance, shift)
