"""Pictures and videos. One file a dataset; one line here makes it nameable, swept and tested."""

from collections.abc import Callable
from typing import Annotated

from omnitok.data.check import Checked as Checked
from omnitok.data.check import check_folder as check_folder
from omnitok.data.contract import DataError as DataError
from omnitok.data.contract import Dataset as Dataset
from omnitok.data.contract import Split as Split
from omnitok.data.contract import span as span
from omnitok.data.crops import CROPS as CROPS
from omnitok.data.media import Media as Media
from omnitok.data.media import read_clip as read_clip
from omnitok.data.media import write_clip as write_clip
from omnitok.data.mixture import Mixture
from omnitok.data.packing import pack_dataset as pack_dataset
from omnitok.data.packing import unpack_dataset as unpack_dataset
from omnitok.data.parts import PARTS
from omnitok.data.pixels import as_clip as as_clip
from omnitok.data.pixels import as_pixels as as_pixels
from omnitok.data.placing import Placed as Placed
from omnitok.data.placing import place_natural as place_natural
from omnitok.data.recording import Made as Made
from omnitok.data.recording import make_procgen as make_procgen
from omnitok.data.views import VIEWS as VIEWS
from omnitok.spec import Registry

DATASETS: Registry[Dataset] = Registry(
    "dataset",
    group="omnitok.datasets",
    contract=Dataset,
    mixture=Mixture,
    **PARTS.own,  # type: ignore[arg-type]
)
DatasetPart = Annotated[Callable[..., Dataset], DATASETS]
