"""Learning curves of every stage that the arms went through."""

import pandas as pd

from omnitok.exhibits import figures
from omnitok.exhibits.contract import Picture, Pieces, Unfit
from omnitok.results import Results
from omnitok.results.collect import series
from omnitok.spec import near

QUANTITIES = ("train/loss", "val/psnr", "val/psnr_clips")


def curves(results: Results, *, quantities: tuple[str, ...] = QUANTITIES, caption: str = "") -> Pieces:
    """A column a stage, a row a quantity, a curve an arm; a stage that arms share is drawn once.

    quantities: which of what training records, as train/loss; one that no run has is refused where all runs are done.
    caption: in place of what is usually said.
    """
    if quantities != QUANTITIES:
        _known(results, quantities)
    names = list(dict.fromkeys(name for name, _ in series(results.sweep).values()))
    places = _places(results)
    found = results.curves(quantities)
    order = figures.Order(tuple(sorted(places, key=lambda stage: places[stage])), tuple(names))
    figure = figures.learning_curves(found, figures.looks(results.arms, results.factors), order)
    said, most = f"Learning curves{_over_seeds(found)}", found.groupby("stage")["arm"].nunique().max()
    if most > figures.NAMED:
        said += f"; {most} curves are too many to be named"
    said = caption or f"{said}. A stage that arms share is drawn once."
    return Pieces.of(Picture("curves", figure, said) if figure else None)


def _over_seeds(curves: pd.DataFrame) -> str:
    """What a curve is of, and its band where one is drawn."""
    several = curves.groupby(["stage", "quantity", "arm"])["seed"].transform("nunique") > 1
    if not several.any():
        return " of one seed each"
    few = curves.groupby("stage")["arm"].transform("nunique") <= figures.BANDS
    if not (several & few).any():
        return ": the mean over seeds"
    where = "" if few.all() else f" where a stage has {figures.BANDS} curves or fewer"
    return f": the mean over seeds, with a band from the lowest to the highest seed{where}"


def _known(results: Results, quantities: tuple[str, ...]) -> None:
    """Raises Unfit for what no run has recorded; of a run that goes on nobody knows it yet."""
    if not quantities:
        raise Unfit("quantities", f"say at least one, or leave it out for {', '.join(QUANTITIES)}")
    if (results.rows["status"] != "done").any():
        return
    found = results.curves(quantities)["quantity"].unique()
    for name in quantities:
        if name not in found:
            known = sorted(results.curves()["quantity"].unique())
            raise Unfit("quantities", f"no run has recorded {name}{near(name, known)}")


def _places(results: Results) -> dict[str, int]:
    """{stage name: its place in the longest path}."""
    places: dict[str, int] = {}
    for trial in results.sweep.plan["trials"]:
        for i, one in enumerate(trial["stages"]):
            name = results.stages[one].name
            places[name] = max(i, places.get(name, 0))
    return places
