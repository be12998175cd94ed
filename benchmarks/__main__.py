"""``python -m benchmarks [NAME...]``: measure everything, or what is named; print the table, write it beside this file."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # before torch is loaded, here and in children

from rich.console import Console  # noqa: E402

from benchmarks.attention import attending  # noqa: E402
from benchmarks.commands import helping, stored_status  # noqa: E402
from benchmarks.data import data  # noqa: E402
from benchmarks.distances import distances  # noqa: E402
from benchmarks.gpu import gpu
from benchmarks.launching import in_pool, in_process  # noqa: E402
from benchmarks.networks import networks  # noqa: E402
from benchmarks.planning import decoding, planning  # noqa: E402
from benchmarks.quantizers import quantizing, searching  # noqa: E402
from benchmarks.reporting import reporting  # noqa: E402
from benchmarks.sharing import sharing  # noqa: E402
from benchmarks.stepping import mirroring, stepping  # noqa: E402
from benchmarks.sweeps import sweeps  # noqa: E402
from benchmarks.table import machine, readme, table  # noqa: E402
from benchmarks.tokenizer import coding, streaming, training  # noqa: E402

ALL = (
    planning,
    decoding,
    sharing,
    helping,
    stepping,
    mirroring,
    in_process,
    in_pool,
    stored_status,
    reporting,
    coding,
    streaming,
    training,
    searching,
    quantizing,
    attending,
    networks,
    distances,
    data,
    sweeps,
)


ELSEWHERE = (gpu,)  # measured where it is named, and not by make bench


def main(names: Sequence[str]) -> None:
    """``names``: of functions above, and only those are measured; their table goes into a file beside the README."""
    known = {benchmark.__name__: benchmark for benchmark in (*ALL, *ELSEWHERE)}
    if wrong := [name for name in names if name not in known]:
        sys.exit(f"no benchmark {wrong[0]!r} (known: {', '.join(known)})")
    console, on = Console(), machine()
    if not console.is_terminal:
        console.width = 160
    rows = []
    for benchmark in [known[name] for name in names] or ALL:
        console.print(f"measuring: {benchmark.__module__.rpartition('.')[2]}.{benchmark.__name__}", style="dim")
        rows += benchmark()
    console.print(table(rows))
    console.print(on, highlight=False)
    Path(__file__).with_name(f"{'_'.join(names) or 'README'}.md").write_text(readme(rows, on, names))


if __name__ == "__main__":
    main(sys.argv[1:])
