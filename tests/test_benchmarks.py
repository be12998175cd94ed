"""The benchmark runs and says what it measured; how fast anything is is not tested here."""

import math

import pytest

from benchmarks.commands import helping, stored_status
from benchmarks.launching import in_pool, in_process
from benchmarks.measure import Row
from benchmarks.planning import decoding, here, planning
from benchmarks.stepping import mirroring, stepping
from benchmarks.table import cells, readme

SMALLEST = {
    planning: {"repeats": 1, "values": 1, "seeds": 1, "models": 1, "timed": here},
    decoding: {"repeats": 2, "calls": 2},
    helping: {"repeats": 1},
    stepping: {"repeats": 1, "steps": 3},
    mirroring: {"repeats": 1, "folders": 1, "records": 2},
    in_process: {"repeats": 1, "seeds": 1, "jobs": 1},
    in_pool: {"repeats": 1, "seeds": 1, "jobs": 1, "most": 1},
    stored_status: {"repeats": 1, "values": 1, "seeds": 1},
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # submitit leaves its logs open
@pytest.mark.parametrize("benchmark", SMALLEST, ids=lambda benchmark: benchmark.__name__)
def test_a_benchmark_gives_finite_numbers_and_says_how(benchmark):
    rows = benchmark(**SMALLEST[benchmark])
    assert rows and all(row.samples and all(map(math.isfinite, row.samples)) for row in rows)
    assert all(row.what and row.how and row.unit for row in rows)


def test_a_row_says_its_median_its_range_and_whether_the_target_is_met():
    row = Row("wait", "with a clock", "s", (3.0, 1.0, 2.5), 2.0)
    assert cells(row) == ("wait", "< 2 s", "2.5 [1, 3] s", "3", "", "no")
    assert cells(row._replace(below=2.6, ratio="1 x b"))[4:] == ("1 x b", "yes")
    assert (
        cells(row._replace(below=None))[-1] == ""
        and cells(row._replace(samples=(1234.5,)))[2] == "1,234 [1,234, 1,234] s"
    )


def test_the_readme_has_every_row_and_how_it_was_measured():
    page = readme([Row("a | b", "with a clock", "ms", (1.0,), 2.0)], "A machine.")
    assert "| a \\| b | < 2 ms | 1 [1, 1] ms | 1 |  | yes |" in page.splitlines()
    assert "- **a | b**: with a clock." in page and "A machine." in page
