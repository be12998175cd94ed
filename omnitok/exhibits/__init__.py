"""Tables and figures: each a function of one sweep's data frames, by the name that a report file says."""

from collections.abc import Callable
from typing import Annotated

from omnitok.exhibits.ablation import ablation
from omnitok.exhibits.breakdown import breakdown
from omnitok.exhibits.clips import clips
from omnitok.exhibits.comparison import comparison
from omnitok.exhibits.components import components
from omnitok.exhibits.contract import Pieces as Pieces
from omnitok.exhibits.contract import Unfit as Unfit
from omnitok.exhibits.curves import curves
from omnitok.exhibits.deltas import deltas
from omnitok.exhibits.gallery import gallery
from omnitok.exhibits.grid import grid
from omnitok.exhibits.importance import importance
from omnitok.exhibits.interactions import interactions
from omnitok.exhibits.parallel import parallel
from omnitok.exhibits.pareto import pareto
from omnitok.exhibits.points import points
from omnitok.exhibits.scaling import scaling
from omnitok.exhibits.searches import searches
from omnitok.exhibits.usage import usage
from omnitok.spec import Registry

EXHIBITS: Registry[Pieces] = Registry(
    "exhibit",
    group="omnitok.exhibits",
    contract=Pieces,
    ablation=ablation,
    comparison=comparison,
    components=components,
    grid=grid,
    deltas=deltas,
    breakdown=breakdown,
    points=points,
    curves=curves,
    importance=importance,
    interactions=interactions,
    parallel=parallel,
    pareto=pareto,
    scaling=scaling,
    usage=usage,
    gallery=gallery,
    clips=clips,
    searches=searches,
)
ExhibitPart = Annotated[Callable[..., Pieces], EXHIBITS]
USUAL = (
    "ablation",
    "points",
    "curves",
    "usage",
    "gallery",
    "clips",
    "searches",
)  # of a sweep where nobody says what is shown
