"""Tables and figures: each a function of one sweep's data frames, by the name that a report file says."""

from collections.abc import Callable
from typing import Annotated

from omnitok.exhibits.ablation import ablation
from omnitok.exhibits.clips import clips
from omnitok.exhibits.contract import Pieces as Pieces
from omnitok.exhibits.contract import Unfit as Unfit
from omnitok.exhibits.curves import curves
from omnitok.exhibits.gallery import gallery
from omnitok.exhibits.points import points
from omnitok.exhibits.searches import searches
from omnitok.spec import Registry

EXHIBITS: Registry[Pieces] = Registry(
    "exhibit",
    group="omnitok.exhibits",
    contract=Pieces,
    ablation=ablation,
    points=points,
    curves=curves,
    gallery=gallery,
    clips=clips,
    searches=searches,
)
ExhibitPart = Annotated[Callable[..., Pieces], EXHIBITS]
USUAL = ("ablation", "points", "curves", "gallery", "clips", "searches")  # of a sweep where nobody says what is shown
