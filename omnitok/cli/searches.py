"""What a plan says of searches: what is searched in which arm, by whom, for what, and how it stands."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from omnitok.cli.tables import console, table_of
from omnitok.spec import counted, flow

if TYPE_CHECKING:
    from omnitok.sweep.searched import Searched


def print_searches(searches: Sequence["Searched"]) -> None:
    """Nothing where there are none."""
    from omnitok.sweep.searched import to_json
    from omnitok.sweep.stored import found_so_far

    if not searches:
        return
    out, said = console(), [to_json(one) for one in searches]
    table = table_of("arm", "searched", "what won")
    for one in searches:
        won = flow(one.values) if one.values is not None else "nothing" if one.over else "not known yet"
        table.add_row(escape(one.name), escape(found_so_far(one.standing)), escape(won))
    out.print()
    out.print(table)
    out.print(escape(_sentence(said[0], len(searches), sum(not one.over for one in searches))))
    out.print(_space(said))


def _sentence(said: dict[str, Any], arms: int, left: int) -> str:
    goals = ", ".join(f"{one['metric']} ({one['goal']})" for one in said["objectives"])
    hours = f", at most {said['hours']:g} hours" if said["hours"] else ""
    kept = f", keeping {' and '.join(said['constraints'])}" if said["constraints"] else ""
    after = f"; the trials of {counted(left, 'arm')} come after the search" if left else ""
    return (
        f"\nsearch within {counted(arms, 'arm')} for {goals}{kept}: {counted(said['target'], 'suggestion')} an arm{hours}, "
        f"by {said['sampler']}, pruned by {said['pruner']}{after}"
    )


def _space(said: Sequence[dict[str, Any]]) -> Any:
    from omnitok.sweep.stored import drawable

    table = table_of("choice", "values", "how many", "where", "arms", right=("how many",))
    for row in drawable(said):
        table.add_row(*map(escape, row))
    return table
