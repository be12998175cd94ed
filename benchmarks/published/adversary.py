"""What judges the published tokenizer's pictures in training: patch discriminators and LPIPS by VGG16."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDEST, SLOPE = 512, 0.2


class Noise(nn.Module):
    """The same noise in every channel, with a learned gain for each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        gain = self.weight.view(1, -1, *[1] * (x.ndim - 2))
        return x + gain * torch.randn_like(x[:, :1])


class PatchDiscriminator(nn.Module):
    """``dims``: 2 for images, 3 for video, whose last convolution has a norm and an activation too."""

    def __init__(self, dims: int, width: int, layers: int = 3, noise: bool = False) -> None:
        super().__init__()
        conv = {2: nn.Conv2d, 3: nn.Conv3d}[dims]
        norm = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dims]
        self.depth = layers + 2
        if noise:
            self.noise = Noise(3)
        self.noisy = noise
        self.model0 = nn.Sequential(conv(3, width, 4, 2, 2), nn.LeakyReLU(SLOPE))
        for i in range(1, layers):
            ins, width = width, min(2 * width, WIDEST)
            model = nn.Sequential(nn.Identity(), conv(ins, width, 4, 2, 2), norm(width), nn.LeakyReLU(SLOPE))
            self.add_module(f"model{i}", model)
        ins, width = width, min(2 * width, WIDEST)
        self.add_module(f"model{layers}", nn.Sequential(conv(ins, width, 4, 1, 2), norm(width), nn.LeakyReLU(SLOPE)))
        last = [conv(width, 1, 4, 1, 2), *([norm(1), nn.LeakyReLU(SLOPE)] if dims == 3 else [])]
        self.add_module(f"model{layers + 1}", nn.Sequential(*last))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits, and what each part gave."""
        x = self.noise(x) if self.noisy else x
        features = []
        for i in range(self.depth):
            x = self.get_submodule(f"model{i}")(x)
            features.append(x)
        return x, features


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    return 0.5 * (F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean())


def vanilla(real: Tensor, fake: Tensor) -> Tensor:
    return 0.5 * (F.softplus(-real).mean() + F.softplus(fake).mean())


def feature_matching(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    pairs = list(zip(real, fake, strict=True))[:-1]
    return sum((F.l1_loss(b, a.detach()) for a, b in pairs), start=torch.zeros((), device=fake[0].device))


VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class LPIPS(nn.Module):
    """The distance of two pictures in the features of VGG16 after its last activation at each of five scales."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1))
        self.slices, ins = nn.ModuleList(), 3
        for i, widths in enumerate(VGG16):
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if i else []
            for width in widths:
                layers += [nn.Conv2d(ins, width, 3, padding=1), nn.ReLU()]
                ins = width
            self.slices.append(nn.Sequential(*layers))
        self.lins = nn.ModuleList(nn.Conv2d(widths[-1], 1, 1, bias=False) for widths in VGG16)
        self.eval().requires_grad_(False)

    def features(self, x: Tensor) -> list[Tensor]:
        x, found = (x - self.shift) / self.scale, []
        for part in self.slices:
            x = part(x)
            found.append(x / (x.pow(2).sum(dim=1, keepdim=True).sqrt() + 1e-10))
        return found

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        pairs = zip(self.lins, self.features(a), self.features(b), strict=True)
        return sum(lin((x - y) ** 2).mean(dim=(2, 3)) for lin, x, y in pairs).mean()
