"""What every exhibit of the registry promises, in whatever state a sweep is."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.figure
import pytest
from report_sweep import ITEMS, METRICS, Synthetic, name_of

from omnitok import runs
from omnitok.exhibits import EXHIBITS, Pieces, Unfit
from omnitok.exhibits.contract import Clips, Picture, Plain
from omnitok.exhibits.table import Table, numbers
from omnitok.report import formats
from omnitok.results import Results, gathered
from omnitok.spec import choices

HOSTILE = "a_b&<script>alert(1)</script>%$x^2{}\\|`*#~\"'\U0001f600" + " and it is very long" * 4
FACTORS = {"model.quantizer": ["vq", "fsq"], "stages.joint.schedule": ["joint", "progressive"]}
PUBLISHED = """\
source: "A paper (arXiv 2406.09399)"
tables:
  table7:
    source: table 7
    columns:
      fid: {title: "rFID", metric: rfid, better: lower, protocol: "50,000 samples"}
    rows:
      - {name: theirs, type: image, values: {fid: 240}}
      - {name: also ours, ours: vq+joint, values: {fid: 1.11}}
"""
SAID: dict[str, dict[str, Any]] = {"comparison": {"published": "published.yaml"}}  # what has no default
CHOOSY = {"scaling"}  # what may refuse a finished sweep: a law takes three sizes


def bare(folder: Path, **said: Any) -> Synthetic:
    """Without samples and records, which take long to write."""
    sweep = Synthetic(folder, **said)
    sweep.pictures = False
    return sweep


def done(folder: Path) -> Synthetic:
    return with_items(Synthetic(folder))


def with_items(sweep: Synthetic) -> Synthetic:
    """Written, and every evaluation with a number an item, of two classes."""
    sweep.write()
    for trial in sweep.trials():
        for evaluation, metrics in METRICS.items():
            for label, _, _ in metrics:
                path = sweep.root / trial["stages"][-1] / runs.EVALUATIONS
                path /= f"{name_of(trial['stages'][-1], evaluation, label)}.json"
                said = runs.read_json(path)
                if said["value"] is not None:
                    per_item = [said["value"] + shift for shift in (-1.0, 0.0, 1.0)][: len(ITEMS[evaluation])]
                    classes = ["cat", "cat", HOSTILE][: len(per_item)]
                    runs.write_json(path, said | {"per_item": per_item, "classes": classes})
    return sweep


def no_runs(folder: Path) -> Synthetic:
    sweep = Synthetic(folder)
    sweep.store()
    return sweep


def one_seed(folder: Path) -> Synthetic:
    return with_items(bare(folder, seeds=(4,)))


def all_failed(folder: Path) -> Synthetic:
    sweep = bare(folder)
    sweep.write()
    for arm, seed in sweep.values:
        sweep.fail(sweep.last(arm, seed))
    return sweep


def one_arm(folder: Path) -> Synthetic:
    return with_items(bare(folder, factors={path: labels[:1] for path, labels in FACTORS.items()}))


def half(folder: Path) -> Synthetic:
    """One arm failed, one has one seed left, nothing is known of a third in one metric."""
    sweep = bare(folder)
    for seed in sweep.seeds:
        sweep.values["fsq+joint", seed]["photos/psnr"] = None
    with_items(sweep)
    for seed in sweep.seeds:
        sweep.fail(sweep.last("vq+joint", seed))
    for seed in sweep.seeds[1:]:
        sweep.fail(sweep.last("vq+progressive", seed), "nan", HOSTILE)
    return sweep


def hostile(folder: Path) -> Synthetic:
    sweep = Synthetic(
        folder, factors={f"model.{HOSTILE}": [HOSTILE, "vq"], "stages.joint.schedule": [f"2{HOSTILE}", "b"]}
    )
    sweep.name, sweep.baselines = HOSTILE, {HOSTILE: 12.0}
    return with_items(sweep)


def no_arms(folder: Path) -> Synthetic:
    """As where a search of each arm goes on."""
    sweep = bare(folder)
    sweep.arms, sweep.values = {}, {}
    sweep.write()
    return sweep


def nothing_measured(folder: Path) -> Synthetic:
    sweep = with_items(bare(folder))
    plan = runs.read_json(sweep.stored / "plan.json")
    runs.write_json(sweep.stored / "plan.json", plan | {"evaluations": [], "evaluation_digests": {}})
    return sweep


STATES = (done, no_runs, one_seed, all_failed, one_arm, half, hostile, no_arms, nothing_measured)


@pytest.fixture(scope="module", params=STATES, ids=lambda state: state.__name__)
def state(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Results]:
    make: Callable[[Path], Synthetic] = request.param
    folder = tmp_path_factory.mktemp(make.__name__)
    (folder / "published.yaml").write_text(PUBLISHED)
    return make.__name__, gathered(make(folder / "runs").stored, None, folder)


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Results]:
    """One stored sweep, read two times."""
    folder = tmp_path_factory.mktemp("twice")
    (folder / "published.yaml").write_text(PUBLISHED)
    stored = done(folder / "runs").stored
    return gathered(stored, None, folder), gathered(stored, None, folder)


@pytest.fixture(params=list(EXHIBITS))
def exhibit(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def shown(exhibit: str, results: Results) -> Pieces:
    component = EXHIBITS.components[exhibit]
    try:
        pieces = component(results, **SAID.get(exhibit, {}))
    except Unfit as refusal:
        assert exhibit in CHOOSY
        assert refusal.choice in choices(component)
        return Pieces()
    assert isinstance(pieces, Pieces)
    return pieces


def test_it_renders_whatever_state_the_sweep_is_in(state: tuple[str, Results], exhibit: str) -> None:
    name, results = state
    for piece in shown(exhibit, results):
        assert re.fullmatch(r"[A-Za-z0-9._-]+", piece.stem)
        assert piece.caption
        if isinstance(piece, Table):
            sound(piece, results)
            if name == "one_seed":
                assert not any(cell.spread or cell.mark for row in piece.rows for cell in row.cells)
        if isinstance(piece, Table | Plain):
            assert re.fullmatch(r"[A-Za-z0-9._-]+", piece.slug)
            for text in (formats.markdown(piece), formats.latex(piece)):
                assert "<script>" not in text
                assert HOSTILE[:12] not in text
        if isinstance(piece, Picture):
            assert isinstance(piece.figure, matplotlib.figure.Figure)
            piece.figure.draw_without_rendering()
        if isinstance(piece, Clips):
            assert {len(row) for _, row in piece.rows} == {len(piece.rows[0][1])}


def sound(table: Table, results: Results) -> None:
    """What a format may count on, and that all formats have its numbers."""
    names = {("arm", name) for name in results.arms} | {("baseline", name) for name in results.baselines}
    fulls = [column.full for column in (*table.heads, *table.columns)]
    assert len(set(fulls)) == len(fulls)
    used = {note for column in table.columns for note in column.notes}
    texts = formats.markdown(table), formats.latex(table)
    for row in table.rows:
        assert (len(row.labels), len(row.cells)) == (len(table.heads), len(table.columns))
        for cell in row.cells:
            used |= set(cell.notes)
            assert cell.whose is None or cell.whose in names
            assert cell.value in texts[0]
            assert formats.latex_escaped(cell.value) in texts[1]
    assert used == set(range(len(table.notes))), "each footnote is one of a number, and each number's is there"
    frame = numbers(table)
    assert len(frame) == len(table.rows)
    for column, name in enumerate(fulls[len(table.heads) :]):
        cells = [row.cells[column] for row in table.rows]
        if frame.size and all(cell.ends is None for cell in cells):
            printed = [None if value != value else value for value in frame[name].tolist()]  # noqa: PLR0124, which is NaN
            assert printed == [cell.number for cell in cells]


def test_it_shows_the_same_of_the_same(exhibit: str, twice: tuple[Results, Results]) -> None:
    first, second = (
        [piece._replace(figure=None) if isinstance(piece, Picture) else piece for piece in shown(exhibit, results)]
        for results in twice
    )
    assert first == second


def test_every_choice_of_it_is_explained(exhibit: str) -> None:
    component = EXHIBITS.components[exhibit]
    told = inspect.getdoc(component) or ""
    for choice in choices(component):
        assert re.search(rf"^{choice}: ", told, re.MULTILINE), choice
