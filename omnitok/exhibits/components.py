"""Component check marks: which parts an arm has, and what it reaches."""

from omnitok.exhibits.cells import Cost, Measured, chosen, chosen_arms, factor_titles, own_columns, own_rows
from omnitok.exhibits.contract import Pieces
from omnitok.exhibits.table import Block, Column, Notes, Table, legend, over_seeds
from omnitok.results import Results

ON, OFF, BASE = "✓", "–", "base"
SWITCHES = {
    "true": ON,
    "on": ON,
    "yes": ON,
    "with": ON,
    "false": OFF,
    "off": OFF,
    "no": OFF,
    "without": OFF,
    "none": OFF,
}


def components(
    results: Results,
    *,
    metrics: tuple[str, ...] = (),
    arms: tuple[str, ...] = (),
    costs: tuple[Cost, ...] = (),
    ablated: bool = False,
    baselines: bool = False,
    caption: str = "",
) -> Pieces:
    """A row an arm, a check mark a factor that is switched on in it, its metrics over seeds. A factor is a switch where its arms
    have one label of it or none, or where its labels are words such as on and off; of any other the label stands there.

    metrics: which, as photos/psnr, or psnr where one evaluation has it; all where none is said.
    arms: which, in this order; all where none is said.
    costs: which of parameters, flops, bits_per_token, throughput, memory, hours.
    ablated: whether a factor's one label is what is there without the component (as in a leave_one_out design), so that arms
        without that label have the check mark.
    baselines: whether these stand below.
    caption: in place of the sweep's name.
    """
    titles = factor_titles(results)
    heads = (Column("arm", "arm"), *(Column(title, path) for path, title in titles.items()))
    notes, of = Notes(), Measured(heads, chosen(results, metrics), costs)
    columns = own_columns(results, of, notes)
    names = chosen_arms(results, arms)
    signs = {path: _signs(results, path, ablated) for path in results.factors}
    rows = tuple(
        row._replace(
            labels=(row.name, *(signs[path][results.arms[row.name].get(path, "")] for path in results.factors))
        )
        for row in own_rows(results, "arm", names, of, notes)
    )
    blocks = [Block("", rows)]
    if baselines:
        blocks.append(Block("Baselines", own_rows(results, "baseline", results.baselines, of, notes)))
    said = f"{caption or results.name}: {over_seeds(rows)}."
    stand = {label for row in rows for label in row.labels[1:]}
    if {ON, OFF} & stand:
        said += f" {ON}: the arm has the component{', not the label that ablates it' if ablated else ''}; {OFF}: it has not."
    if BASE in stand:
        said += f" {BASE}: as the experiment says."
    said += legend(rows)
    kept = tuple(block for block in blocks if block.rows)
    return Pieces.of(Table("components", f"{results.slug}-components", said, heads, columns, kept, tuple(notes.texts)))


def _signs(results: Results, path: str, ablated: bool) -> dict[str, str]:
    """{a factor's label, "" where an arm has none: what stands in its column}."""
    used = dict.fromkeys(labels.get(path, "") for labels in results.arms.values())
    said = [label for label in used if label]
    if len(said) <= 1 and "" in used:
        return {"": ON if ablated else OFF, **dict.fromkeys(said, OFF if ablated else ON)}
    switch = {label: SWITCHES.get(label.lower(), "") for label in said}
    if len(said) == 2 and set(switch.values()) == {ON, OFF}:
        return {"": BASE, **switch}
    return {"": BASE, **{label: label for label in said}}
