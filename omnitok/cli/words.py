"""What commands have in common: the patches that they take, and what their help ends with."""

import click

SETS = click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="PATH=VALUE",
    help="Say one choice anew, e.g. --set model.dim=32. Repeatable.",
)


def example(*lines: str) -> str:
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)
