"""The tokenizer and what it is made of; the baselines that it has to beat."""

from collections.abc import Callable
from typing import Annotated

from omnitok.model.baselines import Baseline as Baseline
from omnitok.model.baselines import MeanColour as MeanColour
from omnitok.model.baselines import PatchMean as PatchMean
from omnitok.model.contract import Inflatable as Inflatable
from omnitok.model.contract import NonFinite as NonFinite
from omnitok.model.contract import Reconstruction as Reconstruction
from omnitok.model.contract import Reconstructor as Reconstructor
from omnitok.model.tokenizer import Tokenizer as Tokenizer
from omnitok.spec import Registry

MODELS: Registry[Tokenizer] = Registry("model", usual="omnitok", omnitok=Tokenizer)
ModelPart = Annotated[Callable[..., Tokenizer], MODELS]
