"""LPIPS: how far two pictures are apart to a network that was trained to name what is in them (arXiv:1801.03924)."""

import functools
from contextlib import nullcontext
from typing import Final, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from omnitok.networks.unpickle import load_arrays
from omnitok.networks.weights import locate

Network = Literal["vgg", "alex"]
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's mean and deviation, of pixels in [-1, 1]
SMALL: Final = 1e-10  # so that where no feature answers nothing is divided by nothing


class Convolution(NamedTuple):
    """One convolution, with a rectifier after it."""

    channels: int
    side: int = 3
    stride: int = 1
    padding: int = 1


class Backbone(NamedTuple):
    """Convolutions by scale: features are compared after each scale, and pooled before it as ``pools`` says."""

    weights: str  # the name of its file, and what it is called in it
    key: str
    pools: tuple[int, ...]  # the side of what is pooled, at a stride of 2; 0: nothing is
    scales: tuple[tuple[Convolution, ...], ...]
    smallest: int  # pixels a side


BACKBONES: Final[dict[Network, Backbone]] = {
    "vgg": Backbone(
        "lpips_vgg",
        "VGG16_0",
        (0, 2, 2, 2, 2),
        tuple((Convolution(width),) * count for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))),
        16,
    ),
    "alex": Backbone(
        "lpips_alex",
        "AlexNet_0",
        (0, 3, 3, 0, 0),
        (
            (Convolution(64, 11, 4, 2),),
            (Convolution(192, 5, 1, 2),),
            (Convolution(384),),
            (Convolution(256),),
            (Convolution(256),),
        ),
        31,
    ),
}


class Lpips(nn.Module):
    """The distance of two pictures in [-1, 1]: squared differences of unit feature vectors, weighted by channel, their
    mean over places, summed over scales. Frozen; a gradient flows to the first picture alone. Always in float32."""

    shift: Float[Tensor, "c 1 1"]
    scale: Float[Tensor, "c 1 1"]

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.backbone = BACKBONES[network]
        for name, value in _scaling().items():
            self.register_buffer(name, value)
        self.scales, self.heads, width = nn.ModuleList(), nn.ModuleList(), len(SHIFT)
        for convolutions in self.backbone.scales:
            made = nn.ModuleList()
            for one in convolutions:
                made.append(nn.Conv2d(width, one.channels, one.side, one.stride, one.padding))
                width = one.channels
            self.scales.append(made)
            self.heads.append(nn.Linear(width, 1, bias=False))
        self.eval().requires_grad_(False)

    def forward(self, picture: Float[Tensor, "n c H W"], reference: Float[Tensor, "n c H W"]) -> Float[Tensor, " n"]:
        channels, height, width = picture.shape[1:]
        if channels != len(self.shift):
            raise ValueError(f"LPIPS looks at {len(self.shift)} channels, not {channels}")
        if min(height, width) < (smallest := self.backbone.smallest):
            raise ValueError(f"LPIPS of {self.network} needs {smallest} pixels a side, not {height} x {width}")
        with nullcontext() if picture.is_meta else torch.autocast(picture.device.type, enabled=False):
            mine, other = self._scaled(picture), self._scaled(reference.detach())
            found = []
            for i, head in enumerate(self.heads):
                mine = self._features(i, mine)
                with torch.no_grad():
                    other = self._features(i, other)
                    fixed = unit(other)
                found.append(head((unit(mine) - fixed).square().mean((2, 3)))[:, 0])
            return torch.stack(found).sum(0)

    def _scaled(self, picture: Tensor) -> Tensor:
        """Channels last, in which convolutions and norms over channels are 6 % faster on a CPU (128 pixels, measured)."""
        return ((picture.float() - self.shift) / self.scale).contiguous(memory_format=torch.channels_last)

    def _features(self, scale: int, x: Tensor) -> Tensor:
        """What the convolutions of one scale make of the features of the one before."""
        if side := self.backbone.pools[scale]:
            x = F.max_pool2d(x, side, 2)
        for convolution in self.scales[scale].children():
            x = F.relu_(convolution(x))
        return x


def unit(features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Vectors over channels at unit length. The norm's gradient at nothing is nothing, where that of a root is none."""
    return features / (torch.linalg.vector_norm(features, dim=1, keepdim=True) + SMALL)


@functools.cache
def pretrained(network: Network, device: torch.device) -> Lpips:
    """The network where its pictures are, read once a process; on the meta device nothing is read. Raises WeightsError."""
    with torch.device("meta"):
        made = Lpips(network)
    if device.type != "meta":
        with torch.inference_mode(False), torch.device("cpu"):  # one loaded while measuring also serves training
            state = {name: value.to(device) for name, value in _state(made.backbone).items()}
        made.load_state_dict(state, assign=True)
    return made.requires_grad_(False)


def _scaling() -> dict[str, Tensor]:
    return {"shift": torch.tensor(SHIFT)[:, None, None], "scale": torch.tensor(SCALE)[:, None, None]}


def _state(backbone: Backbone) -> dict[str, Tensor]:
    """The file's arrays by our names: kernels [h w i o] -> [o i h w]."""
    arrays = load_arrays(locate(backbone.weights))
    state = _scaling()
    places = [f"scales.{i}.{j}" for i, scale in enumerate(backbone.scales) for j in range(len(scale))]
    for number, place in enumerate(places):
        one = arrays[backbone.key][f"Conv_{number}"]
        kernel = torch.from_numpy(one["kernel"]).permute(3, 2, 0, 1)
        state[f"{place}.weight"] = kernel.clone(memory_format=torch.channels_last)
        state[f"{place}.bias"] = torch.from_numpy(one["bias"]).clone()
    for number in range(len(backbone.scales)):
        head = torch.from_numpy(arrays[f"NetLinLayer_{number}"]["Conv_0"]["kernel"])
        state[f"heads.{number}.weight"] = head[0, 0].T.clone()
    return state
