"""``python -m benchmarks``: measure everything, print the table, write the README."""

import os
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # before torch is loaded, here and in children

from rich.console import Console  # noqa: E402

from benchmarks.attention import attending  # noqa: E402
from benchmarks.commands import helping, stored_status  # noqa: E402
from benchmarks.launching import in_pool, in_process  # noqa: E402
from benchmarks.planning import decoding, planning  # noqa: E402
from benchmarks.quantizers import quantizing, searching  # noqa: E402
from benchmarks.stepping import mirroring, stepping  # noqa: E402
from benchmarks.table import machine, readme, table  # noqa: E402
from benchmarks.tokenizer import coding, streaming, training  # noqa: E402

ALL = (
    planning,
    decoding,
    helping,
    stepping,
    mirroring,
    in_process,
    in_pool,
    stored_status,
    coding,
    streaming,
    training,
    searching,
    quantizing,
    attending,
)


def main() -> None:
    console, on = Console(), machine()
    if not console.is_terminal:
        console.width = 160
    rows = []
    for benchmark in ALL:
        console.print(f"measuring: {benchmark.__module__.rpartition('.')[2]}.{benchmark.__name__}", style="dim")
        rows += benchmark()
    console.print(table(rows))
    console.print(on, highlight=False)
    Path(__file__).with_name("README.md").write_text(readme(rows, on))


if __name__ == "__main__":
    main()
