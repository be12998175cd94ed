"""A second set of weights that follows the trained ones slowly, and is often the better one."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, ClassVar, final

import torch
from torch import Tensor, nn

from omnitok.spec import Registry, Share


class Average(ABC):
    """``Component(*, ...)``, then ``begin`` with the model when its first weights stand. ``kept``: whether there is one."""

    version: ClassVar[int] = 1
    kept: ClassVar[bool] = True

    @abstractmethod
    def begin(self, model: nn.Module) -> None: ...

    @abstractmethod
    def update(self, model: nn.Module) -> None:
        """After a step."""

    @abstractmethod
    def weights(self) -> Mapping[str, Tensor]:
        """The averaged state of the model; empty where none is kept."""

    @abstractmethod
    def load(self, weights: Mapping[str, Tensor]) -> None: ...


@final
class NoAverage(Average):
    """The trained weights are all that there is."""

    kept: ClassVar[bool] = False

    def begin(self, model: nn.Module) -> None: ...

    def update(self, model: nn.Module) -> None: ...

    def weights(self) -> Mapping[str, Tensor]:
        return {}

    def load(self, weights: Mapping[str, Tensor]) -> None: ...


@final
class MovingAverage(Average):
    """An exponential moving average of every weight, in at least single precision; what is no weight, such as a
    codebook with an average of its own, is as it is.

    decay: how much of its old value a weight keeps in a step; larger is slower.
    """

    def __init__(self, *, decay: Share = 0.999) -> None:
        self.decay = decay
        self.held: dict[str, Tensor] = {}

    def begin(self, model: nn.Module) -> None:
        self.held = {name: _own(value) for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        learned = dict(model.named_parameters())
        held = [self.held[name] for name in learned]
        torch._foreach_lerp_(held, [p.detach().to(h.dtype) for p, h in zip(learned.values(), held, strict=True)], 1 - self.decay)  # fmt: skip
        for name, value in model.state_dict().items():
            if name not in learned:
                self.held[name].copy_(value)

    def weights(self) -> Mapping[str, Tensor]:
        return self.held

    def load(self, weights: Mapping[str, Tensor]) -> None:
        for name, value in weights.items():
            self.held[name].copy_(value)


def _own(value: Tensor) -> Tensor:
    kind = torch.promote_types(value.dtype, torch.float32) if value.is_floating_point() else value.dtype
    return value.detach().to(kind, copy=True)


@contextmanager
def lent(model: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """``model`` with other weights for a while; its own come back to the bit."""
    own = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(weights)
    try:
        yield
    finally:
        model.load_state_dict(own)


AVERAGES: Registry[Average] = Registry(
    "average",
    group="omnitok.averages",
    contract=Average,
    none=NoAverage,
    ema=MovingAverage,
)
AveragePart = Annotated[Callable[..., Average], AVERAGES]
