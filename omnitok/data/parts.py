"""Every dataset that a mixture can be made of, which is every one but mixtures. One line here makes it nameable."""

from collections.abc import Callable
from typing import Annotated

from omnitok.data.contract import Dataset
from omnitok.data.embedded import Embedded
from omnitok.data.folder import Folder
from omnitok.data.moving import MovingShapes
from omnitok.data.natural import NaturalMini
from omnitok.data.procgen import Procgen
from omnitok.spec import Registry

PARTS: Registry[Dataset] = Registry(
    "part",
    group="omnitok.parts",
    contract=Dataset,
    embedded=Embedded,
    folder=Folder,
    moving_shapes=MovingShapes,
    natural_mini=NaturalMini,
    procgen16=Procgen,
)
PartPart = Annotated[Callable[..., Dataset], PARTS]
