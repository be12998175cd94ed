"""EfficientNet-Lite0, trained on ImageNet: a small classifier, and its features (arXiv:1905.11946; Lite: no squeeze and
excitation, max(min(x, 6), 0) instead of swish)."""

import functools
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.networks import folding, resize
from omnitok.networks.weights import locate

SIDE: Final = 224
WEIGHTS: Final = "efficientnet_lite0"
Output = Literal["logits", "pooled"]
WIDTHS: Final[dict[Output, int]] = {"logits": 1000, "pooled": 1280}
STAGES: Final = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # blocks; side of their filters; stride of the first; how many times wider inside; channels of the result


class Convolution(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding of sides that the stride divides, cut to [0, 6] if ``cut``."""

    def __init__(
        self, width: int, out: int, side: int = 1, stride: int = 1, *, groups: int = 1, cut: bool = True
    ) -> None:
        missing = side - stride
        uneven = missing % 2 == 1
        super().__init__(width, out, side, stride, 0 if uneven else missing // 2, groups=groups)
        self.before = (missing // 2, missing - missing // 2) * 2 if uneven else ()
        self.cut = cut

    def forward(self, x: Tensor) -> Tensor:
        found = super().forward(F.pad(x, self.before) if self.before else x)
        return F.hardtanh_(found, 0, 6) if self.cut else found


class Block(nn.Module):
    """Wider, filtered channel by channel, narrow again; added to what came in where it is as large."""

    def __init__(self, width: int, out: int, side: int, stride: int, wider: int) -> None:
        super().__init__()
        inside = width * wider
        self.expand = Convolution(width, inside) if wider > 1 else nn.Identity()
        self.filter = Convolution(inside, inside, side, stride, groups=inside)
        self.project = Convolution(inside, out, cut=False)
        self.added = stride == 1 and width == out

    def forward(self, x: Tensor) -> Tensor:
        found = self.project(self.filter(self.expand(x)))
        return found.add_(x) if self.added else found


class EfficientNetLite0(nn.Module):
    """Pictures of 224x224, (level - 127) / 128 -> the logits of ImageNet's 1000 classes, or the 1,280 features before
    them. Frozen, float32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, 32, 3, 2)
        blocks, width = [], 32
        for count, side, stride, wider, out in STAGES:
            for i in range(count):
                blocks.append(Block(width, out, side, 1 if i else stride, wider))
                width = out
        self.blocks = nn.Sequential(*blocks)
        self.head = Convolution(width, 1280)
        self.logits = nn.Linear(1280, 1000)

    def forward(self, x: Float[Tensor, "n 3 224 224"], output: Output = "logits") -> Float[Tensor, "n d"]:
        x = self.head(self.blocks(self.stem(x.contiguous(memory_format=torch.channels_last)))).mean((2, 3))
        return self.logits(x) if output == "logits" else x


@dataclass(frozen=True)
class EfficientNetFeatures:
    """Of frames, for agreement about classes and Frechet distances at few items: [b c T H W] in [-1, 1] -> [b T width].

    A frame is rounded to the levels 0 to 255 and squashed to 224x224 by PIL's bicubic filter, without rounding.

    output: logits: those of ImageNet's 1000 classes, in its usual order; pooled: the 1,280 features before them.
    """

    output: Output = "logits"
    weights: ClassVar[str] = WEIGHTS

    @property
    def width(self) -> int:
        return WIDTHS[self.output]

    @property
    def name(self) -> str:
        """As protocols say it."""
        return f"efficientnet-lite0 {self.output}, clean-bicubic"

    def __call__(self, clip: Float[Tensor, "b c T H W"]) -> Float[Tensor, "b T width"]:
        """Where the clip lies. Raises WeightsError; ValueError for other than 3 channels."""
        network = pretrained(clip.device)
        at_once = 4 if clip.device.type == "cpu" else 128  # what lies in a cache
        return folding.by_frame(clip, lambda frames: network(self.prepared(frames), self.output), at_once)

    def prepared(self, frames: Float[Tensor, "n c H W"]) -> Float[Tensor, "n c 224 224"]:
        """What the network is given."""
        return (resize.bicubic(resize.levels(frames), SIDE) - 127) / 128


@functools.cache
def pretrained(device: torch.device) -> EfficientNetLite0:
    """The network where its pictures are, read once a process. Raises WeightsError."""
    return folding.filled(EfficientNetLite0, _state, device)


def _state(made: EfficientNetLite0) -> dict[str, Tensor]:
    """The file's arrays by our names, batch norms folded."""
    arrays = torch.load(locate(WEIGHTS), map_location="cpu", weights_only=True)
    sources = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    for i, block in enumerate(made.blocks):
        wide = isinstance(block.expand, Convolution)
        parts = [("expand", "_expand_conv", "_bn0")] if wide else []
        parts += [("filter", "_depthwise_conv", "_bn1"), ("project", "_project_conv", "_bn2")]
        sources |= {f"blocks.{i}.{ours}": (f"_blocks.{i}.{name}", f"_blocks.{i}.{norm}") for ours, name, norm in parts}
    state = {"logits.weight": arrays["_fc.weight"], "logits.bias": arrays["_fc.bias"]}
    for place, (name, norm) in sources.items():
        mean, variance, shift, scale = (
            arrays[f"{norm}.{part}"].numpy() for part in ("running_mean", "running_var", "bias", "weight")
        )
        kernel, bias = folding.fold(arrays[f"{name}.weight"].numpy(), mean, variance, shift, scale)
        state[f"{place}.weight"] = kernel.contiguous(memory_format=torch.channels_last)
        state[f"{place}.bias"] = bias
    return state
