"""I3D of RGB, trained on Kinetics-400 (arXiv:1705.07750), whose logits FVD compares (arXiv:1812.01717)."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.networks import folding, resize
from omnitok.networks.unpickle import load_arrays
from omnitok.networks.weights import locate

SIDE: Final = 224
LEAST: Final = 10  # frames; what the ports of this network ask for
WEIGHTS: Final = "i3d_kinetics400"
Output = Literal["logits", "pooled"]
Preprocessing = Literal["bilinear", "tf", "crop"]
Port = Literal["google", "videogpt"]
WIDTHS: Final[dict[Output, int]] = {"logits": 400, "pooled": 1024}
SHORT: Final[dict[Preprocessing, str]] = {"bilinear": "bilinear", "tf": "tf1-bilinear", "crop": "bilinear-crop"}
EPSILON: Final[dict[Port, float]] = {"google": 1e-3, "videogpt": 1e-5}
Volume = Float[Tensor, "n t h w c"]  # channels last throughout, so that a 1x1x1 convolution is a product of matrices
Strided = Float[Tensor, "n t2 h2 w2 d"]

MIXED: Final = {
    "3b": (192, 64, 96, 128, 16, 32, 32),
    "3c": (256, 128, 128, 192, 32, 96, 64),
    "4b": (480, 192, 96, 208, 16, 48, 64),
    "4c": (512, 160, 112, 224, 24, 64, 64),
    "4d": (512, 128, 128, 256, 24, 64, 64),
    "4e": (512, 112, 144, 288, 32, 64, 64),
    "4f": (528, 256, 160, 320, 32, 128, 128),
    "5b": (832, 256, 160, 320, 32, 128, 128),
    "5c": (832, 384, 192, 384, 48, 128, 128),
}  # channels: of the input; alone; before and after the two of 3x3x3; after the pool
POOLS: Final = {"4b": ((3, 3, 3), 2), "5b": ((2, 2, 2), 2)}  # what comes before a block


class Convolution(nn.Module):
    """A convolution with TensorFlow's SAME padding, then max(x, 0)."""

    def __init__(self, width: int, out: int, side: int, stride: int = 1) -> None:
        super().__init__()
        self.side, self.stride = side, stride
        self.weight = nn.Parameter(torch.empty(out, width, side, side, side))
        self.bias = nn.Parameter(torch.empty(out))

    def forward(self, x: Volume) -> Strided:
        if self.side == 1:
            return F.relu_(F.linear(x, self.weight.flatten(1), self.bias))
        missing = same(x.shape[1:4], (self.side,) * 3, (self.stride,) * 3)
        padding = [one // 2 for one in missing]
        if any(one % 2 for one in missing):
            t, h, w = ((one // 2, one - one // 2) for one in missing)
            x, padding = F.pad(x, (0, 0, *w, *h, *t)), [0, 0, 0]
        found = F.conv3d(x.permute(0, 4, 1, 2, 3), self.weight, self.bias, self.stride, padding)
        return F.relu_(found.permute(0, 2, 3, 4, 1))


class Mixed(nn.Module):
    """Four branches side by side; the 1x1x1 convolutions of the first three share their input and are one."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        width, alone, before, after, few, some, pooled = widths
        self.widths = alone, before, few
        self.entry = Convolution(width, sum(self.widths), 1)
        self.many, self.some = Convolution(before, after, 3), Convolution(few, some, 3)
        self.pooled = Convolution(width, pooled, 1)

    def forward(self, x: Volume) -> Float[Tensor, "n t h w d"]:
        alone, many, few = self.entry(x).split(self.widths, -1)
        return torch.cat([alone, self.many(many), self.some(few), self.pooled(pool(x, (3, 3, 3), (1, 1, 1)))], -1)


class I3D(nn.Module):
    """Clips of 224x224 in [-1, 1] -> the logits of 400 classes, or the 1,024 features that they are made of; means over
    time of what it finds in windows. Frozen, float32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.ModuleList([Convolution(3, 64, 7, 2), Convolution(64, 64, 1), Convolution(64, 192, 3)])
        self.mixed = nn.ModuleDict({name: Mixed(widths) for name, widths in MIXED.items()})
        self.logits = nn.Linear(1024, 400)

    def forward(self, clip: Float[Tensor, "n 3 T 224 224"], output: Output = "logits") -> Float[Tensor, "n d"]:
        x = self.stem[0](clip.permute(0, 2, 3, 4, 1))
        x = pool(x, (1, 3, 3), (1, 2, 2))
        x = pool(self.stem[2](self.stem[1](x)), (1, 3, 3), (1, 2, 2))
        for name, mixed in self.mixed.items():
            if name in POOLS:
                sides, stride = POOLS[name]
                x = pool(x, sides, (stride,) * 3)
            x = mixed(x)
        x = x.mean((2, 3))  # of 7x7
        x = ((x[:, :-1] + x[:, 1:]) / 2).mean(1)  # over windows of two, and over all of these
        return self.logits(x) if output == "logits" else x


def same(sizes: Sequence[int], sides: Sequence[int], strides: Sequence[int]) -> list[int]:
    """How much TensorFlow's SAME padding adds, so that there are as many results as the size divided by the stride, rounded
    up: half of it before, the rest, which is one more of an odd number, after."""
    each = zip(sizes, sides, strides, strict=True)
    return [max((-(-size // stride) - 1) * stride + side - size, 0) for size, side, stride in each]


def pool(x: Volume, sides: tuple[int, int, int], strides: tuple[int, int, int]) -> Strided:
    """The largest, SAME padded, where a window may reach beyond the end."""
    padding = [one // 2 for one in same(x.shape[1:4], sides, strides)]
    return F.max_pool3d(x.permute(0, 4, 1, 2, 3), sides, strides, padding, ceil_mode=True).permute(0, 2, 3, 4, 1)


@dataclass(frozen=True)
class I3DFeatures:
    """Features of clips, for FVD: [b c T H W] in [-1, 1], ten frames or more -> [b 1 width].

    A frame is rounded to the levels 0 to 255 of a file.

    preprocessing: how frames come to 224x224. bilinear: squashed by PyTorch's bilinear, as TATS does; tf: squashed by
        TensorFlow 1's, as Google's FVD does; crop: the shorter side by PyTorch's, then the centre, as VideoGPT does. The
        first and the last are one for square frames.
    output: logits: the 400 that FVD means; pooled: the 1,024 features before them.
    port: whose batch norm. google: the epsilon of 1e-3 that it was trained with; videogpt: the 1e-5 of that repository's
        port in PyTorch, with which OmniTokenizer (arXiv:2406.09399) measured. The two differ in nothing else. Between black and white clips of 15 frames,
        where there is nothing but means, FVD is 133.91 with the first and 134.21 with the second.
    """

    preprocessing: Preprocessing = "bilinear"
    output: Output = "logits"
    port: Port = "google"
    weights: ClassVar[str] = WEIGHTS

    @property
    def width(self) -> int:
        return WIDTHS[self.output]

    @property
    def name(self) -> str:
        """As protocols say it."""
        network = "i3d-k400" if self.port == "google" else f"i3d-k400-{self.port}"
        return f"{network} {self.output}, {SHORT[self.preprocessing]}"

    def __call__(self, clip: Float[Tensor, "b c T H W"]) -> Float[Tensor, "b 1 width"]:
        """Where the clip lies, one clip after another. Raises WeightsError; ValueError for fewer than ten frames and for
        other than 3 channels."""
        folding.check_colours(clip)
        if clip.shape[2] < LEAST:
            raise ValueError(f"I3D looks at {LEAST} frames or more, not {clip.shape[2]}")
        network = pretrained(clip.device, self.port)
        at_once = 2 if clip.device.type == "cpu" else 8  # one alone is not given to oneDNN
        with folding.float32(clip.device):
            found = torch.cat([network(self.prepared(part), self.output) for part in clip.split(at_once)])
        return found.clone()[:, None]

    def prepared(self, clip: Float[Tensor, "n c T H W"]) -> Float[Tensor, "n c T 224 224"]:
        """What the network is given."""
        samples, _, length = clip.shape[:3]
        frames = resize.levels(clip).transpose(1, 2).flatten(0, 1)
        resized = {"bilinear": resize.bilinear, "tf": resize.tf_bilinear, "crop": resize.bilinear_crop}
        found = resized[self.preprocessing](frames, SIDE) / 127.5 - 1
        return found.unflatten(0, (samples, length)).transpose(1, 2)


@functools.cache
def pretrained(device: torch.device, port: Port = "google") -> I3D:
    """The network where its clips are, read once a process. Raises WeightsError."""
    return folding.filled(I3D, lambda made: _state(EPSILON[port]), device)


def _state(epsilon: float) -> dict[str, Tensor]:
    """The file's arrays by our names, batch norms folded; kernels [t h w i o] -> [o i t h w]."""
    arrays = load_arrays(locate(WEIGHTS))
    sources: dict[str, Sequence[str]] = {
        "stem.0": ("Conv3d_1a_7x7",),
        "stem.1": ("Conv3d_2b_1x1",),
        "stem.2": ("Conv3d_2c_3x3",),
    }
    for block in MIXED:
        inside = f"Mixed_{block}/Branch_"
        sources[f"mixed.{block}.entry"] = [f"{inside}{branch}/Conv3d_0a_1x1" for branch in range(3)]
        sources[f"mixed.{block}.many"] = (f"{inside}1/Conv3d_0b_3x3",)
        sources[f"mixed.{block}.some"] = (f"{inside}2/Conv3d_0b_3x3",)
        sources[f"mixed.{block}.pooled"] = (f"{inside}3/Conv3d_0b_1x1",)
    state = {}
    for place, names in sources.items():
        kernels, biases = zip(*(_folded(arrays, name, epsilon) for name in names), strict=True)
        state[f"{place}.weight"] = torch.cat(kernels).contiguous(memory_format=torch.channels_last_3d)
        state[f"{place}.bias"] = torch.cat(biases)
    last = arrays["params"]["Logits/Conv3d_0c_1x1"]["Conv_0"]
    state["logits.weight"] = torch.from_numpy(last["kernel"][0, 0, 0]).T.contiguous()
    state["logits.bias"] = torch.from_numpy(last["bias"]).clone()
    return state


def _folded(arrays: Mapping[str, Any], name: str, epsilon: float) -> tuple[Tensor, Tensor]:
    kept, seen = _at(arrays["params"], name), _at(arrays["batch_stats"], name)["BatchNorm_0"]
    kernel = kept["Conv_0"]["kernel"].transpose(4, 3, 0, 1, 2)
    return folding.fold(kernel, seen["mean"], seen["var"], kept["BatchNorm_0"]["bias"], epsilon=epsilon)


def _at(arrays: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A layer's arrays: those of a block lie in its mapping, under what follows the first slash."""
    block, _, layer = name.partition("/")
    return arrays[block][layer] if layer else arrays[block]
