"""LPIPS (arXiv:1801.03924), under either of the two networks that its authors' numbers are of."""

from typing import ClassVar, Literal, final

import torch
from einops import rearrange

from omnitok.metrics.contract import Codec, MeanOfItems, Pair
from omnitok.networks import folding
from omnitok.networks.lpips import BACKBONES, Network, pretrained

AT_ONCE = 32  # frames


class _Lpips(MeanOfItems):
    better: ClassVar[Literal["higher", "lower", "neither"]] = "lower"
    network: ClassVar[Network]

    def __init__(self, codec: Codec) -> None:
        super().__init__(codec)
        self.networks = (BACKBONES[self.network].weights,)
        self.protocol = f"{self.label}[v0.1, rgb, per frame, clamped, no resize]"

    def add(self, pair: Pair) -> None:
        network = pretrained(self.network, pair.device)
        sides = (pair.reconstruction.clamp(-1, 1), pair.original)
        frames = (rearrange(side, "b c t h w -> (b t) c h w").split(AT_ONCE) for side in sides)
        with folding.float32(pair.device):
            parts = [network(*(part.to(pair.device) for part in both)).cpu() for both in zip(*frames, strict=True)]
        self.values += torch.cat(parts).double().view(len(pair.original), -1).mean(1).tolist()


@final
class LpipsAlex(_Lpips):
    """How far a reconstruction is from the original as AlexNet sees it (LPIPS): each frame, the mean over frames, the mean over items."""

    label: ClassVar[str] = "lpips_alex"
    network: ClassVar[Network] = "alex"
    least_side: ClassVar[int] = BACKBONES["alex"].smallest


@final
class LpipsVgg(_Lpips):
    """How far a reconstruction is from the original as VGG16 sees it (LPIPS): each frame, the mean over frames, the mean over items."""

    label: ClassVar[str] = "lpips_vgg"
    network: ClassVar[Network] = "vgg"
    least_side: ClassVar[int] = BACKBONES["vgg"].smallest
