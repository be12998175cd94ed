"""The pretrained networks written down plainly: channels first, every layer by itself, batch norms as they are. What ours
are tested and timed against."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

I3D_BLOCKS = ["3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c"]
I3D_POOLS = {"4b": ((3, 3, 3), (2, 2, 2)), "5b": ((2, 2, 2), (2, 2, 2))}
LITE0_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)


def same(x: Tensor, sides: tuple[int, ...], strides: tuple[int, ...]) -> Tensor:
    """Zeros around what is convolved or pooled, as TensorFlow's SAME has them."""
    pads: list[int] = []
    for length, side, stride in zip(x.shape[2:], sides, strides, strict=True):
        missing = max((math.ceil(length / stride) - 1) * stride + side - length, 0)
        pads = [missing // 2, math.ceil(missing / 2), *pads]
    return F.pad(x, pads)


class PlainI3D:
    """Layer by layer as the package of the weights has it; ``dtype`` is what it computes in."""

    def __init__(self, arrays: Mapping[str, Any], dtype: torch.dtype = torch.float32, epsilon: float = 1e-3) -> None:
        self.dtype, self.epsilon = dtype, epsilon
        self.layers = {name: [self._tensor(one) for one in layer] for name, layer in _layers(arrays)}

    def __call__(self, x: Tensor) -> Tensor:
        x = self.unit(x.to(self.dtype), "Conv3d_1a_7x7", 2)
        x = _pooled(x, (1, 3, 3), (1, 2, 2))
        x = self.unit(self.unit(x, "Conv3d_2b_1x1"), "Conv3d_2c_3x3")
        x = _pooled(x, (1, 3, 3), (1, 2, 2))
        for block in I3D_BLOCKS:
            if block in I3D_POOLS:
                x = _pooled(x, *I3D_POOLS[block])
            x = self.mixed(x, f"Mixed_{block}/Branch_")
        x = F.avg_pool3d(x, (2, 7, 7), 1)
        kernel, bias = self.layers["Logits/Conv3d_0c_1x1"]
        return F.conv3d(x, kernel, bias).flatten(2).mean(2)

    def mixed(self, x: Tensor, name: str) -> Tensor:
        deep = [self.unit(self.unit(x, f"{name}{i}/Conv3d_0a_1x1"), f"{name}{i}/Conv3d_0b_3x3") for i in (1, 2)]
        pooled = self.unit(_pooled(x, (3, 3, 3), (1, 1, 1)), f"{name}3/Conv3d_0b_1x1")
        return torch.cat([self.unit(x, f"{name}0/Conv3d_0a_1x1"), *deep, pooled], 1)

    def unit(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        kernel, mean, variance, shift = self.layers[name]
        x = F.conv3d(same(x, tuple(kernel.shape[2:]), (stride,) * 3), kernel, None, stride)
        return F.relu(F.batch_norm(x, mean, variance, None, shift, eps=self.epsilon))

    def _tensor(self, array: np.ndarray[Any, Any]) -> Tensor:
        return torch.from_numpy(array).to(self.dtype)


class PlainEfficientNet:
    """Likewise, of the state dict of EfficientNet-Lite0."""

    def __init__(self, state: Mapping[str, Tensor], dtype: torch.dtype = torch.float32) -> None:
        self.state = {name: value.to(dtype) for name, value in state.items()}
        self.dtype = dtype

    def __call__(self, x: Tensor) -> Tensor:
        x = self.unit(x.to(self.dtype), "_conv_stem", "_bn0", 2)
        for i, stride in enumerate(LITE0_STRIDES):
            inside, found = f"_blocks.{i}.", x
            if i:
                found = self.unit(found, f"{inside}_expand_conv", f"{inside}_bn0")
            found = self.unit(found, f"{inside}_depthwise_conv", f"{inside}_bn1", stride)
            found = self.unit(found, f"{inside}_project_conv", f"{inside}_bn2", cut=False)
            x = found + x if found.shape == x.shape else found
        x = self.unit(x, "_conv_head", "_bn1").mean((2, 3))
        return F.linear(x, self.state["_fc.weight"], self.state["_fc.bias"])

    def unit(self, x: Tensor, name: str, norm: str, stride: int = 1, *, cut: bool = True) -> Tensor:
        kernel = self.state[f"{name}.weight"]
        groups = x.shape[1] // kernel.shape[1]
        x = F.conv2d(same(x, tuple(kernel.shape[2:]), (stride,) * 2), kernel, None, stride, 0, 1, groups)
        mean, variance, scale, shift = (
            self.state[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        x = F.batch_norm(x, mean, variance, scale, shift, eps=1e-3)
        return F.relu6(x) if cut else x


def _pooled(x: Tensor, sides: tuple[int, ...], strides: tuple[int, ...]) -> Tensor:
    return F.max_pool3d(same(x, sides, strides), sides, strides)


def _layers(arrays: Mapping[str, Any]) -> Any:
    """Every layer by the name that the network's authors gave it."""
    for block, inside in arrays["params"].items():
        for layer, kept in {block: inside}.items() if "Conv_0" in inside else inside.items():
            name = layer if layer == block else f"{block}/{layer}"
            kernel = kept["Conv_0"]["kernel"].transpose(4, 3, 0, 1, 2)
            if "BatchNorm_0" not in kept:
                yield name, (kernel, kept["Conv_0"]["bias"])
                continue
            stored = arrays["batch_stats"][block]
            seen = (stored if layer == block else stored[layer])["BatchNorm_0"]
            yield name, (kernel, seen["mean"].reshape(-1), seen["var"].reshape(-1), kept["BatchNorm_0"]["bias"])
