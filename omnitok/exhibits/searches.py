"""How the searches of a sweep's arms went, as tables of words."""

from omnitok.exhibits.contract import Pieces, Plain
from omnitok.results import Results
from omnitok.results.searched import COUNTS, HEADS


def searches(results: Results) -> Pieces:
    """What was searched in each arm and what won, and what could be drawn; nothing where nothing is searched."""
    said = results.searches
    if said is None:
        return Pieces()
    caption = (
        f"What was searched in each arm for {said.goals} on the validation split, by {said.sampler}, pruned by "
        f"{said.pruner}, with training seed {said.seed}. "
        "Only what won was trained on every seed and stands in the ablation; with that seed its run is the search's own."
    )
    numeric = tuple(range(2, 2 + len(COUNTS)))
    heads = ("choice", "values", "how many", "where", "arms")
    return Pieces.of(
        Plain("searches", f"{results.slug}-searches", caption, HEADS, said.arms, numeric),
        Plain("space", f"{results.slug}-space", "What could be drawn.", heads, said.space, (2,)),
    )
