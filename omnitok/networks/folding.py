"""What the pretrained networks have in common: convolutions into which their batch norm is folded, and how clips are
given to them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

COLOURS: Final = 3
Network = TypeVar("Network", bound=nn.Module)


def filled(
    made: Callable[[], Network], state: Callable[[Network], Mapping[str, Tensor]], device: torch.device
) -> Network:
    """A network with its weights on a device, to be asked and not trained. It is no inference tensor's, whoever asks first."""
    with torch.inference_mode(False):
        with torch.device("meta"):
            network = made()
        network.load_state_dict({name: value.to(device) for name, value in state(network).items()}, assign=True)
    return network.eval().requires_grad_(False)


class Rectified(nn.Conv2d):
    """A convolution, then max(x, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(super().forward(x))


def fold(
    kernel: np.ndarray[Any, np.dtype[Any]],
    mean: np.ndarray[Any, np.dtype[Any]],
    variance: np.ndarray[Any, np.dtype[Any]],
    shift: np.ndarray[Any, np.dtype[Any]],
    scale: np.ndarray[Any, np.dtype[Any]] | float = 1.0,
    *,
    epsilon: float = 1e-3,
) -> tuple[Tensor, Tensor]:
    """The kernel [out ...] and the bias of a convolution with the batch norm after it; in float64, rounded once to
    float32. The epsilon is what all of these were trained with."""
    gain = np.asarray(scale, np.float64) / np.sqrt(variance.astype(np.float64).reshape(-1) + epsilon)
    folded = kernel.astype(np.float64) * gain.reshape(-1, *(1,) * (kernel.ndim - 1))
    bias = np.asarray(shift, np.float64).reshape(-1) - gain * mean.reshape(-1)
    return torch.from_numpy(folded.astype(np.float32)), torch.from_numpy(bias.astype(np.float32))


@contextmanager
def float32(device: torch.device) -> Iterator[None]:
    """Inside, a network computes in float32 without gradients, under autocast too; convolutions not in TF32, which is PyTorch's
    default for them. Products of matrices are exact by default, and nothing here says otherwise."""
    exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    with torch.inference_mode(), torch.autocast(device.type, enabled=False), exact:
        yield


def by_frame(
    clip: Float[Tensor, "b c T H W"], network: Callable[[Tensor], Tensor], at_once: int
) -> Float[Tensor, "b T d"]:
    """Each frame through the network, ``at_once`` of them at a time, so that memory is bounded."""
    check_colours(clip)
    samples, _, length = clip.shape[:3]
    frames = clip.transpose(1, 2).flatten(0, 1)
    with float32(clip.device):
        found = torch.cat([network(part) for part in frames.split(at_once)])
    return found.clone().view(samples, length, -1)


def check_colours(clip: Tensor) -> None:
    """Raises ValueError."""
    if clip.shape[1] != COLOURS:
        raise ValueError(f"a pretrained network looks at {COLOURS} channels, not {clip.shape[1]}")
