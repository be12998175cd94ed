"""The figures: what is drawn where, and that many arms stay legible."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from report_sweep import Synthetic

from omnitok import runs
from omnitok.exhibits.curves import curves as exhibit
from omnitok.exhibits.figures import BANDS, COLOURS, learning_curves, looks
from omnitok.exhibits.gallery import CELL, COLUMNS, LABEL, galleries
from omnitok.exhibits.points import measured, points
from omnitok.results import Metric, gathered
from omnitok.results.collect import curves, read
from omnitok.results.pictures import shown


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    made = Synthetic(tmp_path_factory.mktemp("figures"), seeds=(0, 1))
    made.write()
    return made


def pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255


def test_two_factors_are_colour_and_dash_and_a_shared_stage_has_its_factors_colour(sweep: Synthetic) -> None:
    found = looks(sweep.arms, sweep.factors)
    assert found["vq"][0] == found["vq+joint"][0] == found["vq+progressive"][0] == COLOURS[0]
    assert found["vq+joint"][1] == found["fsq+joint"][1] != found["fsq+progressive"][1]
    many = {f"arm {i}": {"a": str(i)} for i in range(2 * len(COLOURS))}
    assert len(set(map(str, looks(many, {"a": list(map(str, range(14)))}).values()))) == len(many)


def test_a_curve_is_the_mean_over_seeds_and_its_band_their_extremes(sweep: Synthetic) -> None:
    frame = curves(sweep.stored, ["val/psnr"])
    figure = learning_curves(frame, looks(sweep.arms, sweep.factors))
    assert figure is not None
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["stage images", "stage joint"]
    said = frame[(frame["arm"] == "vq") & (frame["step"] == 100)]["value"]
    x, y = figure.axes[0].lines[0].get_data()
    assert x[2] == 100
    assert y[2] == pytest.approx(said.mean())
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert {round(v, 9) for v in band[band[:, 0] == 100, 1]} == {round(said.min(), 9), round(said.max(), 9)}


def test_long_curves_are_binned_and_no_record_is_lost(sweep: Synthetic) -> None:
    frame = curves(sweep.stored, ["train/loss"])
    figure = learning_curves(frame, looks(sweep.arms, sweep.factors))
    assert figure is not None
    x, y = figure.axes[0].lines[0].get_data()
    assert len(x) == 75, "150 steps in bins of two"
    said = frame[(frame["arm"] == "vq") & frame["step"].isin([0, 2])]["value"]
    assert (x[0], y[0]) == (1.0, pytest.approx(said.mean()))


def test_the_names_of_many_arms_lie_below_the_panels_and_in_the_figure(sweep: Synthetic) -> None:
    frame = curves(sweep.stored, ["val/psnr"])
    vq = frame[frame["arm"] == "vq+joint"]
    many = [vq.assign(arm=f"an arm with a name that goes on and on and on, number {i}") for i in range(20)]
    figure = learning_curves(type(frame)(np.concatenate(many), columns=frame.columns).infer_objects(), {})
    assert figure is not None
    figure.canvas.draw()
    legend = figure.axes[0].get_legend()
    assert legend is not None
    box, panel = legend.get_window_extent(), figure.axes[0].get_window_extent()
    assert box.y1 < panel.y0
    assert 0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert panel.height > figure.dpi, "the panel keeps an inch"
    assert len({text.get_text() for text in legend.get_texts()}) == 20, "shortened in the middle, so still distinct"


def test_arms_that_do_not_name_both_factors_still_look_different() -> None:
    arms = {"base": {}, "vq": {"model.quantizer": "vq"}, "joint": {"stages.joint.schedule": "joint"}}
    found = looks(arms, {"model.quantizer": ["vq"], "stages.joint.schedule": ["joint"]})
    assert len(set(map(str, found.values()))) == 3


def test_many_curves_are_means_without_bands(sweep: Synthetic) -> None:
    frame = curves(sweep.stored, ["val/psnr"])
    one = frame[frame["arm"] == "vq+joint"]
    for arms in (BANDS, BANDS + 1):
        figure = learning_curves(pd.concat([one.assign(arm=f"arm {i}") for i in range(arms)]), {})
        assert figure is not None
        assert (len(figure.axes[0].lines), len(figure.axes[0].collections)) == (arms, arms if arms == BANDS else 0)


def seen(figure: Figure, column: str) -> dict[str, list[int]]:
    """{axis label: how many points each of its lines has} of one stage's panels."""
    left = {axes.get_position().x0 for axes in figure.axes if axes.get_title(loc="left") == f"stage {column}"}
    there = [axes for axes in figure.axes if axes.axison and axes.get_position().x0 in left]
    return {axes.get_ylabel(): [len(line.get_xdata()) for line in axes.lines] for axes in there}


def names_of(figure: Figure) -> list[set[str]]:
    """The names in the legend of each column."""
    legends = [legend for axes in figure.axes if (legend := axes.get_legend())]
    return [{text.get_text() for text in legend.get_texts()} for legend in legends]


def record(arm: str, stage: str, quantity: str, values: list[float]) -> pd.DataFrame:
    steps = range(len(values))
    return pd.DataFrame([(arm, stage, 0, step, quantity, value) for step, value in zip(steps, values, strict=True)],
                        columns=["arm", "stage", "seed", "step", "quantity", "value"])  # fmt: skip


def test_arms_that_are_validated_on_clips_alone_have_their_own_panel() -> None:
    frame = pd.concat([
        record("clips only", "joint", "val/psnr_clips", [20.0, 21.0]), record("both", "joint", "val/psnr_clips", [22.0, 23.0]),
        record("both", "joint", "val/psnr", [24.0]), record("both", "images", "val/psnr", [18.0, 19.0]),
    ])  # fmt: skip
    figure = learning_curves(frame, {})
    assert figure is not None
    figure.canvas.draw()
    pictures, clips = "PSNR (dB),\nhigher is better", "PSNR of clips (dB),\nhigher is better"
    assert seen(figure, "joint") == {pictures: [1], clips: [2, 2]}
    assert seen(figure, "images") == {pictures: [2]}, "no panel where there is nothing"
    assert names_of(figure) == [{"clips only", "both"}, {"both"}]
    (images,) = [axes for axes in figure.axes if axes.get_title(loc="left") == "stage images"]
    assert images.get_xlabel() == "step" and any(
        tick.get_visible() and tick.get_text() for tick in images.get_xticklabels()
    )


def test_a_name_without_a_line_is_not_in_the_legend() -> None:
    gone = record("gone", "joint", "val/psnr", [float("nan"), float("inf")])
    figure = learning_curves(pd.concat([gone, record("here", "joint", "val/psnr", [20.0])]), {})
    assert figure is not None and names_of(figure) == [{"here"}] and len(figure.axes[0].lines) == 1
    assert learning_curves(gone, {}) is None


def test_a_report_draws_what_was_recorded_of_clips(tmp_path: Path) -> None:
    made = Synthetic(tmp_path, seeds=(0,))
    stored = made.write()
    for path in made.root.glob(f"*/{runs.RECORDS}"):
        path.write_text(path.read_text().replace("val/psnr", "val/psnr_clips"))
    picture = next(iter(exhibit(gathered(stored))), None)
    assert picture is not None
    assert all(clips.startswith("PSNR of clips") for clips in seen(picture.figure, "joint") if "PSNR" in clips)
    assert sum("PSNR" in label for label in seen(picture.figure, "joint")) == 1


def test_no_records_make_no_figure(sweep: Synthetic) -> None:
    assert learning_curves(curves(sweep.stored, ["no/such"]), {}) is None


def test_a_gallery_shows_each_arms_own_picture_beside_the_original(sweep: Synthetic) -> None:
    columns = shown(read(sweep.stored), "photos")
    assert [column.name for column in columns] == [*sweep.arms, "mean_colour", "patch_mean"]
    assert {column.seed for column in columns} == {0, None}
    (figure,) = galleries(columns, frames=1)
    picture, dpi = pixels(figure), figure.dpi
    bottom = 0.05 + CELL / 2  # the middle of the last row, in inches
    folder = sweep.root / sweep.last("vq+joint", 0) / "samples" / "photos-test"
    for left, name in ((LABEL, "original"), (LABEL + CELL + 0.12, "reconstruction")):
        drawn = picture[-int(bottom * dpi), int((left + CELL * 0.2) * dpi)]
        meant = imread(folder / f"02-{name}.png")[32, 12]
        assert drawn == pytest.approx(meant, abs=0.05), name


def test_of_a_clip_first_middle_and_last_frame_are_shown(sweep: Synthetic) -> None:
    (figure,) = galleries(shown(read(sweep.stored), "clips"), frames=9)
    said = [text.get_text() for text in figure.axes[0].texts]
    assert "bikes[0]\nframe 0" in said
    assert [text for text in said if text.startswith("frame")] == ["frame 4", "frame 8"] * 2


def test_the_first_seed_that_has_samples_is_shown_and_an_arm_without_is_a_hole(tmp_path: Path) -> None:
    sweep = Synthetic(tmp_path, seeds=(0, 1))
    sweep.write()
    sweep.fail(sweep.last("vq+joint", 0))
    for seed in (0, 1):
        sweep.fail(sweep.last("fsq+joint", seed))
    columns = shown(read(sweep.stored), "photos")
    assert [(column.seed, column.folder is None) for column in columns[:3]] == [(1, False), (0, False), (0, True)]
    (figure,) = galleries(columns, frames=1)
    assert [text.get_text() for text in figure.axes[0].texts].count("no sample") == 3


def test_many_columns_become_several_figures_with_the_same_originals(sweep: Synthetic) -> None:
    columns = shown(read(sweep.stored), "photos") * 3
    found = galleries(columns, frames=1)
    titles = [[text.get_text() for text in figure.axes[0].texts] for figure in found]
    assert len(found) == 3
    assert all(len(one.axes[0].images) <= 3 * (COLUMNS + 1) for one in found)
    assert all("original" in said and "chelsea[0,0]" in said for said in titles)
    assert galleries([column._replace(folder=None) for column in columns], frames=1) == []


def test_every_seed_that_was_measured_is_a_point_and_what_was_not_is_none():
    metrics = [
        Metric("photos", label, "k", "dB", better, "p") for label, better in [("psnr", "higher"), ("leak", "lower")]
    ]
    frame = pd.DataFrame(
        {
            "kind": ["arm", "arm", "arm", "baseline"],
            "arm": ["a", "a", "b", "mean"],
            "photos/psnr": [1.0, 3.0, None, 2.0],
            "photos/leak": [0.5, 0.5, 0.25, None],
        }
    )
    psnr, leak = measured(frame, metrics).axes
    drawn = [line.get_xdata().tolist() for line in psnr.lines]
    assert drawn == [[1.0, 3.0], [2.0], [], [2.0]]  # the seeds of a, their mean, no b, the baseline
    assert psnr.get_xlabel() == "dB, higher is better" and leak.get_xlabel() == "dB, lower is better"
    assert [label.get_text() for label in psnr.get_yticklabels()] == ["a", "b", "mean"]
    assert measured(frame.assign(**{"photos/psnr": None, "photos/leak": None}), metrics) is None


def test_a_caption_speaks_of_dots_and_bands_only_where_they_are_drawn(tmp_path: Path, sweep: Synthetic) -> None:
    alone = Synthetic(tmp_path, seeds=(0,))
    alone.write()
    one, two = gathered(alone.stored), gathered(sweep.stored)
    said = [[piece.caption for draw in (points, exhibit) for piece in draw(found)] for found in (one, two)]
    assert said == [
        [
            "What was measured, arm by arm: a ring is a seed.",
            "Learning curves of one seed each. A stage that arms share is drawn once.",
        ],
        [
            "What was measured, arm by arm: a ring is a seed, a dot the mean over seeds.",
            "Learning curves: the mean over seeds, with a band from the lowest to the highest seed. "
            "A stage that arms share is drawn once.",
        ],
    ]
