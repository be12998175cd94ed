"""Fronts, parallel coordinates, importance, interactions, usage, scaling and error maps, against numbers worked out by hand
and by brute force."""

import itertools
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import AxesImage, imread
from matplotlib.text import Text
from PIL import Image
from report_sweep import Synthetic, scene
from scipy import stats

from omnitok.exhibits import EXHIBITS
from omnitok.exhibits.axes import Axis, Tried, labelled, numbers
from omnitok.exhibits.contract import Picture, Pieces, Unfit
from omnitok.exhibits.figures import encoded
from omnitok.exhibits.gallery import LEAST, brightest, error_map, gallery
from omnitok.exhibits.importance import SEED, importance, shares_of
from omnitok.exhibits.interactions import interactions
from omnitok.exhibits.parallel import AWAY, parallel
from omnitok.exhibits.pareto import FEW, GREY, front, pareto, spread
from omnitok.exhibits.scaling import exponent, fitted, scaling
from omnitok.exhibits.sheet import contact_sheet
from omnitok.exhibits.shown import whose
from omnitok.exhibits.usage import bars, usage
from omnitok.results import Results, gathered
from omnitok.spec import resolve

HOSTILE = "<script>alert('%')</script> $x_1^2$ & \\frac{a}{b} 🙂 " + "long " * 30
FIGURES = ("pareto", "parallel", "importance", "interactions", "usage", "scaling", "gallery")
SIZES = {"model.dim": ["16", "64", "256"], "model.quantizer": ["vq", "fsq"]}


def results(root: Path, **said: Any) -> Results:
    sweep = Synthetic(root, **said)
    sweep.pictures = False
    return gathered(sweep.write())


def set_by(found: Results, column: str, value: Any) -> Results:
    """``value``: a function of an arm's name and a seed."""
    rows = found.rows
    some = rows["kind"] == "arm"
    rows.loc[some, column] = [
        value(arm, seed) for arm, seed in zip(rows.loc[some, "arm"], rows.loc[some, "seed"], strict=True)
    ]
    return found


def figure(pieces: Pieces, stem: str = "") -> Figure:
    found = [piece for piece in pieces if isinstance(piece, Picture) and piece.stem.startswith(stem)]
    assert len(found) == 1
    return found[0].figure


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    made = Synthetic(tmp_path_factory.mktemp("exhibits"))
    made.write()
    return made


@pytest.fixture
def found(sweep: Synthetic) -> Results:
    return gathered(sweep.stored)


@pytest.mark.parametrize(("better_x", "better_y"), [*itertools.product(["higher", "lower"], repeat=2)])
def test_a_front_is_what_no_other_point_beats(better_x: str, better_y: str) -> None:
    sign = np.array([1 if better == "higher" else -1 for better in (better_x, better_y)])
    for seed in range(20):
        points = np.random.default_rng(seed).integers(0, 6, size=(15, 2)).astype(float)  # with ties and doubles
        good = points * sign
        alone = {i for i, one in enumerate(good) if not any((o >= one).all() and (o > one).any() for o in good)}
        ours = front([(x, y) for x, y in points], better_x, better_y)
        assert set(ours) == alone
        along = [good[i][0] for i in ours]
        assert along == sorted(along, reverse=True)


def test_the_steps_of_a_front_go_through_what_can_be_had(found: Results) -> None:
    flops = {"vq+joint": 1e9, "vq+progressive": 2e9, "fsq+joint": 3e9, "fsq+progressive": 60e9}
    psnr = {"vq+joint": 20.0, "vq+progressive": 24.0, "fsq+joint": 22.0, "fsq+progressive": 25.0}
    set_by(found, "flops", lambda arm, _: int(flops[arm]))
    set_by(found, "photos/psnr", lambda arm, seed: psnr[arm] + 0.1 * (seed - 1))
    panel = figure(pareto(found, x="flops", y="photos/psnr")).axes[0]
    assert panel.get_xscale() == "log", "it spans more than a decade"
    (steps,) = [line for line in panel.lines if len(line.get_xdata()) > 3]
    x, y = map(list, steps.get_data())
    assert (x[1:-1], y[1:-1]) == (pytest.approx([1, 2, 2, 60, 60]), pytest.approx([20, 20, 24, 24, 25]))
    assert (y[0], x[-1]) == (panel.get_ylim()[0], panel.get_xlim()[1]), (
        "to the edges at which nothing better is to be had"
    )
    named = {text.get_text(): text.get_color() for text in panel.texts}
    assert named == dict.fromkeys(psnr, "black") | {"fsq+joint": GREY}, "few arms are all named"
    assert len(panel.containers) == 4 and all(one.has_yerr and not one.has_xerr for one in panel.containers)
    (bar,) = panel.containers[0].lines[2]
    assert np.ptp(bar.get_segments()[0][:, 1]) == pytest.approx(2 * 0.1), "twice the sd of 0, 0.1, 0.2"


def test_a_throughput_is_better_high_and_a_metric_without_a_direction_has_no_front(found: Results) -> None:
    set_by(found, "throughput", lambda arm, seed: {"vq+joint": 5.0, "fsq+joint": 9.0}.get(arm, 1.0) + seed)
    set_by(found, "photos/psnr", lambda arm, _: {"vq+joint": 30.0, "fsq+joint": 29.0}.get(arm, 20.0))
    panel = figure(pareto(found, x="throughput", y="photos/psnr")).axes[0]
    assert {text.get_text() for text in panel.texts if text.get_color() == "black"} == {"vq+joint", "fsq+joint"}
    assert "→ better" in panel.get_xlabel()
    assert all(one.has_xerr for one in panel.containers), "what was measured differs from seed to seed"
    for choices in ({"y": "photos/usage"}, {"x": "photos/usage"}):
        with pytest.raises(Unfit, match="neither direction") as refused:
            pareto(found, **choices)
        assert refused.value.choice == next(iter(choices))
    with pytest.raises(Unfit, match="photos/psnr"):
        pareto(found, y="photos/psmr")


def test_one_seed_has_no_bars_and_names_keep_apart(tmp_path: Path) -> None:
    one = results(tmp_path, seeds=(0,), factors={"a": [f"{i:02}" for i in range(30)]})
    set_by(one, "flops", lambda arm, _: 10**9 * (1 + int(arm)))
    set_by(
        one, "photos/psnr", lambda arm, _: 20 + 1e-6 * int(arm)
    )  # all on the front, all at one height but for a hair
    drawn = figure(pareto(one, x="flops", y="photos/psnr"))
    assert not any(bars.has_yerr for bars in drawn.axes[0].containers)
    encoded(drawn, "png")
    boxes = sorted((Text.get_window_extent(text) for text in drawn.axes[0].texts), key=lambda box: box.y0)
    assert len(boxes) == 30
    assert all(below.y1 <= above.y0 + 1 for below, above in itertools.pairwise(boxes))
    assert all(0 <= box.x0 < box.x1 <= drawn.bbox.x1 and box.y0 >= 0 and box.y1 <= drawn.bbox.y1 for box in boxes)


@pytest.mark.parametrize("arms", [FEW, FEW + 1])
def test_of_few_arms_all_are_named_and_of_many_those_on_the_front(tmp_path: Path, arms: int) -> None:
    some = results(tmp_path, seeds=(0,), factors={"a": [f"{i:02}" for i in range(arms)]})
    set_by(some, "flops", lambda arm, _: 10**9 * (1 + int(arm)))
    set_by(
        some, "photos/psnr", lambda arm, _: 20.0 - 1e-6 * int(arm)
    )  # the first beats all, at one height but for a hair
    (piece,) = pareto(some, x="flops", y="photos/psnr")
    assert isinstance(piece, Picture)
    few = arms == FEW
    assert f"1 of {arms} arms is on it, {'the rest is named in grey' if few else 'and is named'}." in piece.caption
    assert "standard deviation" not in piece.caption, "one seed has no bar"
    encoded(piece.figure, "png")
    boxes = sorted((text.get_window_extent() for text in piece.figure.axes[0].texts), key=lambda box: box.y0)
    assert len(boxes) == (FEW if few else 1)
    assert all(below.y1 <= above.y0 + 1 for below, above in itertools.pairwise(boxes))


def test_of_a_long_front_some_arms_are_named_and_both_ends(tmp_path: Path) -> None:
    long = results(tmp_path, seeds=(0,), factors={"a": [f"{i:02}" for i in range(60)]})
    set_by(long, "flops", lambda arm, _: 10**9 * (1 + int(arm)))
    set_by(long, "photos/psnr", lambda arm, _: 20.0 + int(arm))
    (piece,) = pareto(long, x="flops", y="photos/psnr")
    assert isinstance(piece, Picture) and "60 of 60 arms are on it, and 40 of them are named" in piece.caption
    named = [text.get_text() for text in piece.figure.axes[0].texts]
    assert len(set(named)) == 40 and {"00", "59"} <= set(named)


def test_places_are_spread_within_their_room() -> None:
    assert spread([1.0, 2.0, 2.05], 0.5, 10) == pytest.approx([1.0, 2.0, 2.5])
    assert spread([9.9, 9.9, 9.9], 0.5, 10) == pytest.approx([8.75, 9.25, 9.75])
    assert spread([], 0.5, 10) == []


def test_a_line_goes_through_the_labels_of_its_arm_and_ends_at_its_mean(found: Results) -> None:
    page = figure(parallel(found, metric="photos/psnr")).axes[0]
    means = found.rows[found.rows["kind"] == "arm"].groupby("arm")["photos/psnr"].mean()
    ends = (means - means.min()) / (means.max() - means.min())
    lines = [line.get_ydata() for line in page.lines if len(line.get_xdata()) == 3]
    assert len(lines) == 4
    order = [list(labels) for labels in found.factors.values()]
    for arm, end in ends.items():
        (own,) = [line for line in lines if line[-1] == pytest.approx(end)]
        bands = [int(2 * height) for height in own[:2]]
        assert [order[i][band] for i, band in enumerate(bands)] == list(found.arms[str(arm)].values())
    assert len({round(line[0], 9) for line in lines}) == 4, "lines through one label lie side by side"


def test_an_axis_of_numbers_has_its_scale_and_a_place_for_what_is_not_there(found: Results) -> None:
    known = found.rows["kind"] == "arm"
    found.rows["optimizer.lr"] = np.where(known, np.nan, np.nan)
    set_by(
        found,
        "optimizer.lr",
        lambda arm, _: {"vq+joint": 1e-4, "vq+progressive": 1e-3, "fsq+joint": 1e-2}.get(arm, math.nan),
    )
    (piece,) = parallel(found, axes=("optimizer.lr",))
    assert isinstance(piece, Picture) and "—: as the experiment says, or not there." in piece.caption
    page = piece.figure.axes[0]
    starts = sorted(
        line.get_ydata()[0] for line in page.lines if len(line.get_xdata()) == 2 and np.ptp(line.get_xdata()) == 1
    )
    assert starts == pytest.approx([AWAY, 0, 0.5, 1]), "by the logarithm"
    with pytest.raises(Unfit, match="did you mean 'optimizer.lr'"):
        parallel(found, axes=("optimizer.lt",))
    with pytest.raises(Unfit, match="schedule"):
        parallel(found, axes=("shedule",))


def test_labels_keep_the_order_of_the_sweep_and_numbers_are_only_numbers() -> None:
    said = pd.Series(["b", None, "a", "b"])
    assert labelled("x", "x", said, ["a", "b", "c"]).labels == ("—", "a", "b")
    assert labelled("x", "x", pd.Series(["8", "16"]), ["8", "16"]).labels == ("8", "16"), "a factor has labels"
    assert labelled("x", "x", pd.Series([8, None])).labels == ()
    assert numbers(pd.Series(["1e-3", "5"])).tolist() == [0.001, 5.0]  # type: ignore[union-attr]
    for none in (["1", "two"], [True, False], [None], ["nan"], ["inf", "1"]):
        assert numbers(pd.Series(none, dtype=object)) is None
    assert Axis("x", "x", pd.Series([1.0, 10.0])).log is False
    assert Axis("x", "x", pd.Series([1.0, 10.5])).log is True
    assert Axis("x", "x", pd.Series([-1.0, 10.5])).log is False


def tried(effect: Any, seeds: tuple[int, ...] = (0, 1, 2)) -> Tried:
    """A full grid of "strong" by "weak" by "idle", ``effect`` a function of their places and the seed."""
    rows = list(itertools.product(range(3), range(2), range(2), seeds))
    axes = tuple(Axis(name, name, pd.Series([f"{name} {row[i]}" for row in rows]), tuple(f"{name} {j}" for j in range(3 if i == 0 else 2)))
                 for i, name in enumerate(("strong", "weak", "idle")))  # fmt: skip
    y = pd.Series([effect(*row) for row in rows], dtype=float)
    seed = pd.Series([row[3] for row in rows])
    return Tried(axes, y, "psnr", "higher", pd.Series([str(row[:3]) for row in rows]), seed, "arms")


def test_a_factor_that_matters_is_above_one_that_does_not_and_chance_is_the_seeds() -> None:
    noise = np.random.default_rng(0)
    found = shares_of(tried(lambda strong, weak, idle, seed: 4 * strong + 1.5 * weak + 0.1 * noise.normal()))
    mean = {share.title: share.mean for share in found}
    assert [share.title for share in found][:2] == ["strong", "weak"]
    assert mean["idle"] < 0.01 and mean[SEED] < 0.01
    variance = {"strong": 16 * 2 / 3, "weak": 1.5**2 / 4}
    for name, own in variance.items():
        assert mean[name] == pytest.approx(own / sum(variance.values()), abs=0.05), (
            "the share of the analysis of variance"
        )
    assert all(share.low <= share.mean <= share.high for share in found)
    by_seed = shares_of(tried(lambda strong, weak, idle, seed: seed + 0.01 * strong))
    assert by_seed[0].title == SEED, "where only the seed matters, that is said"


def test_what_factors_do_only_together_is_of_neither() -> None:
    alone, together = (
        sum(share.mean for share in shares_of(tried(effect)))
        for effect in (
            lambda strong, weak, idle, _: weak + idle,
            lambda strong, weak, idle, _: (weak - 0.5) * (idle - 0.5),
        )
    )
    assert alone > 0.8 and together < 0.3


@pytest.mark.parametrize(
    "factors", [{"a": ["x", "y", "z", "u", "v"]}, {"a": ["x"], "b": ["y", "z"]}, {"a": ["x", "y"], "b": ["u"]}]
)
def test_importance_says_nothing_of_fewer_than_two_factors(tmp_path: Path, factors: dict[str, list[str]]) -> None:
    assert importance(results(tmp_path, factors=factors)) == ()


def test_importance_of_equal_numbers_or_three_settings_is_not_asked(found: Results) -> None:
    equal = tried(lambda *_: 1.0)
    assert shares_of(equal) == []
    some = tried(lambda strong, weak, idle, seed: strong)
    kept = [0, 3, 6]
    few = some._replace(axes=tuple(one._replace(values=one.values[kept]) for one in some.axes), y=some.y[kept],
                        seed=some.seed[kept], arm=some.arm[kept])  # type: ignore[index]  # fmt: skip
    assert shares_of(few) == []
    titles = [label.get_text() for label in figure(importance(found)).axes[0].get_yticklabels()]
    assert sorted(titles) == ["quantizer", "schedule", SEED]


def suggestions(found: Results, monkeypatch: pytest.MonkeyPatch, goal: str = "minimize") -> None:
    """As if twelve suggestions had ended in each of two arms, and others had not: lr matters in one, what only it has in the other."""
    lrs, noise = [10 ** (-4 + i / 4) for i in range(12)], np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for i, lr in enumerate(lrs):
        own = {"state": "complete", "number": i, "value optimizer.lr": lr, "objective val/loss": 0.01 * noise.normal()}
        rows.append(
            {
                **own,
                "arm": "vq",
                "value model.dim": 8 * (1 + i % 3),
                "objective val/loss": own["objective val/loss"] + math.log10(lr),
            }
        )
        rows.append(
            {
                **own,
                "arm": "fsq",
                "value model.levels": "abc"[i % 3],
                "objective val/loss": own["objective val/loss"] + i % 3,
            }
        )
    rows += [
        {"state": "pruned", "arm": "vq", "value optimizer.lr": 5.0, "objective val/loss": 99.0},
        {"state": "failed", "arm": "vq"},
    ]
    monkeypatch.setattr(found, "searches", SimpleNamespace(trials=pd.DataFrame(rows)))
    monkeypatch.setitem(found.sweep.plan, "searches", [{"objectives": [{"metric": "val/loss", "goal": goal}]}])


def test_of_a_search_each_arm_has_its_own_importance(found: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    suggestions(found, monkeypatch)
    (piece,) = importance(found)
    assert isinstance(piece, Picture) and "from 12 of vq, 12 of fsq suggestions" in piece.caption
    told = {
        panel.get_title(loc="left"): [one.get_text() for one in panel.get_yticklabels()] for panel in piece.figure.axes
    }
    assert told == {"vq": ["lr", "dim"], "fsq": ["levels", "lr"]}


def test_of_a_search_a_line_is_a_complete_suggestion_and_less_may_be_better(
    found: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    suggestions(found, monkeypatch)
    page = figure(parallel(found)).axes[0]
    lines = [line for line in page.lines if len(line.get_xdata()) == 5]  # arm, lr, dim, levels, loss
    assert len(lines) == 24, "neither pruned nor failed ones"
    dark = min(lines, key=lambda line: sum(line.get_color()[:3]))
    assert dark.get_ydata()[-1] == pytest.approx(0), "the lowest loss"
    assert any("val/loss ↓" in text.get_text() for text in page.texts)
    monkeypatch.setattr(found, "searches", SimpleNamespace(trials=pd.DataFrame()))
    page = figure(parallel(found)).axes[0]
    assert sum(len(line.get_xdata()) == 3 for line in page.lines) == 4, (
        "before the first suggestion, what arms there are"
    )


def test_an_interaction_is_a_difference_of_differences(found: Results) -> None:
    psnr = {"vq+joint": 20.0, "vq+progressive": 21.0, "fsq+joint": 22.0, "fsq+progressive": 26.0}
    wobble = {("fsq+progressive", 0): 0.3, ("fsq+progressive", 1): -0.3}
    set_by(found, "photos/psnr", lambda arm, seed: psnr[arm] + 5 * seed + wobble.get((arm, seed), 0.0))
    first, second, pair = figure(interactions(found, metric="photos/psnr")).axes
    assert [c.get_label() for c in pair.containers] == ["joint", "progressive"]
    heights = [c.lines[0].get_ydata().tolist() for c in pair.containers]
    assert heights == [pytest.approx([25, 27]), pytest.approx([26, 31])]
    assert first.containers[0].lines[0].get_ydata() == pytest.approx([25.5, 29])
    assert second.containers[0].lines[0].get_ydata() == pytest.approx([26, 28.5])
    low, high = stats.t.interval(0.95, 2, loc=3, scale=stats.sem([3.3, 2.7, 3.0]))
    assert pair.get_title(loc="left").startswith("interaction 3.0 (")
    ends = pair.get_title(loc="left").partition("(")[2].rstrip(")").split(" to ")
    assert [float(end) for end in ends] == pytest.approx([low, high], abs=0.05)
    ((bar,),) = [c.lines[2] for c in pair.containers[:1]]
    half = stats.sem([20, 25, 30]) * stats.t.ppf(0.975, 2)
    assert np.ptp(bar.get_segments()[0][:, 1]) / 2 == pytest.approx(half)


def test_many_factors_have_six_pairs_and_a_word(tmp_path: Path) -> None:
    many = results(tmp_path, seeds=(0,), factors={f"f{i}": ["a", "b"] for i in range(5)})
    (piece,) = interactions(many)
    assert isinstance(piece, Picture)
    assert len(piece.figure.axes) == 5 + 6
    assert "Of 10 pairs the first 6 are shown." in piece.caption
    assert len(figure(interactions(many, factors=("f3", "f1"))).axes) == 3
    with pytest.raises(Unfit, match="two factors"):
        interactions(many, factors=("f3",))
    with pytest.raises(Unfit, match="f9"):
        interactions(many, factors=("f3", "f9"))


def test_where_arms_leave_the_experiment_in_one_factor_effects_are_held_against_it(tmp_path: Path) -> None:
    alone = results(tmp_path, design="one_at_a_time", factors={"a": ["one"], "b": ["x"]})
    set_by(alone, "photos/psnr", lambda arm, seed: {"base": 10.0, "one": 20.0, "x": 40.0}[arm])
    (piece,) = interactions(alone)
    assert isinstance(piece, Picture) and "No two factors were crossed." in piece.caption
    heights = [panel.containers[0].lines[0].get_ydata().tolist() for panel in piece.figure.axes]
    assert heights == [[10, 20], [10, 40]], "not the mean of all arms that leave a factor alone"


def histogram(arm: str, seed: int, counts: dict[str, float], evaluation: str = "photos") -> list[dict[str, Any]]:
    fixed = {"kind": "arm", "arm": arm, "seed": seed, "evaluation": evaluation}
    return [{**fixed, "detail": name, "value": value} for name, value in counts.items()]


def test_usage_is_shares_of_the_codebook_over_seeds() -> None:
    some = histogram("a", 0, {"unused": 50, "used 2^-6": 10, "used 2^-4": 10, "used 2^0": 20, "used 2^9": 10})
    some += histogram("a", 1, {"unused": 30, "used 2^-3": 10, "used 2^1": 60, "tokens": 7})
    some += histogram("b", 0, {"used 2^-1": 4}) + histogram("c", 0, {"share of tail": 0.5})
    first, second = bars(pd.DataFrame(some), ["b", "a", "c"])
    assert (first.arm, first.shares, first.sd, first.n) == ("b", (0, 0, 0, 1, 0, 0), None, 1)
    assert second.arm == "a"
    assert second.shares == pytest.approx((0.4, 0.1, 0.05, 0.1, 0.3, 0.05))
    assert (second.sd, second.n) == (pytest.approx(math.sqrt(0.02)), 2)


def test_usage_of_runs_that_do_not_say_it_is_nothing(found: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    assert usage(found) == ()
    arms = list(found.arms)
    rows = [row for arm in arms for row in histogram(arm, 0, {"unused": 3, "used 2^0": 1}, "clips")]
    monkeypatch.setattr(found, "details", lambda label: pd.DataFrame(rows if label == "codebook_usage" else []))
    panel = figure(usage(found)).axes[0]
    assert panel.get_title(loc="left") == "clips"
    assert [label.get_text() for label in panel.get_yticklabels()] == arms
    assert [patch.get_width() for patch in panel.containers[0]] == [0.75] * 4
    assert len(panel.figure.axes) == 1


def test_a_fit_is_that_of_scipy_and_finds_a_known_exponent() -> None:
    draw, inside = np.random.default_rng(0), 0
    for _ in range(200):
        x = 10 ** draw.uniform(4, 8, 8)
        y = 3 * x**-0.34 * np.exp(0.1 * draw.normal(size=8))
        b, interval = exponent(fitted(x, y, decibels=False), decibels=False)
        theirs = stats.linregress(np.log(x), np.log(y))
        half = stats.t.ppf(0.975, 6) * theirs.stderr
        assert (b, interval.low, interval.high) == pytest.approx((theirs.slope, b - half, b + half))
        inside += interval.low <= -0.34 <= interval.high
    assert 180 <= inside <= 198, "95 of 100 times"


def test_decibels_are_logarithms_already() -> None:
    x = np.array([1e4, 1e5, 1e6, 1e7])
    error = 0.5 * x**-0.25 * np.array([1.1, 0.9, 1.0, 1.05])
    of_error, of_psnr = fitted(x, error, decibels=False), fitted(x, -10 * np.log10(error), decibels=True)
    (b, ends), (same, others) = exponent(of_error, decibels=False), exponent(of_psnr, decibels=True)
    assert (b, *ends) == pytest.approx((same, *others))
    assert b == pytest.approx(-0.25, abs=0.02)
    line, half = of_psnr.line(np.log10(x))
    assert (half > 0).all() and (np.abs(line + 10 * np.log10(error)) < 0.6).all()


def test_scaling_takes_means_of_arms_and_refuses_what_cannot_be_fitted(tmp_path: Path) -> None:
    found = results(tmp_path, factors=SIZES)
    size = {name: float(labels["model.dim"]) for name, labels in found.arms.items()}
    set_by(found, "photos/psnr", lambda arm, seed: 10 + 3 * math.log10(size[arm]) + (seed - 1) * 0.5)
    (piece,) = scaling(found, x="dim", y="photos/psnr")
    assert isinstance(piece, Picture)
    assert "3 dB a decade" in piece.caption and "−0.3" in piece.caption and "n = 6 arms" in piece.caption
    for choices, words in (
        ({"x": "parameters"}, "needs 3 distinct parameters, and the arms have 1"),
        ({"x": "quantizer"}, "labels of model.quantizer are no numbers: vq, fsq"),
        ({"x": "steps"}, "3 distinct steps"),
        ({"x": "flop"}, "did you mean 'flops'"),
        ({"x": "dim", "y": "photos/psmr"}, "photos/psnr"),
    ):
        with pytest.raises(Unfit, match=words):
            scaling(found, **choices)
    set_by(found, "photos/ssim", lambda arm, _: size[arm] - 16)
    with pytest.raises(Unfit, match="positive") as refused:
        scaling(found, x="dim", y="photos/ssim")
    assert refused.value.choice == "y"
    found.rows.loc[found.rows["arm"].str.startswith("64"), ["photos/psnr", "status"]] = [math.nan, "running"]
    assert scaling(found, x="dim", y="photos/psnr") == (), "more is to come"


def test_an_error_map_is_the_difference_of_the_pictures_below_what_was_made(sweep: Synthetic, found: Results) -> None:
    drawn = figure(gallery(found, evaluations=("photos",)), "samples")
    plain = figure(gallery(found, evaluations=("photos",), errors=False), "samples")
    images = [one for one in drawn.axes[0].images if isinstance(one, AxesImage)]
    maps = [one for one in images if one.get_cmap().name == "magma"]
    folder = sweep.root / sweep.last("vq+joint", 0) / "samples" / "photos-test"
    a, b = (imread(folder / f"00-{name}.png").astype(float) for name in ("original", "reconstruction"))
    (own,) = [
        one
        for one in maps
        if one.get_array().shape == (64, 64) and np.allclose(one.get_array(), np.abs(a - b).mean(-1))
    ]
    (made,) = [one for one in images if one.get_array().shape == b.shape and np.allclose(one.get_array(), b)]
    assert own.get_extent()[:2] == made.get_extent()[:2], "in the same column"
    assert own.get_extent()[3] < made.get_extent()[2], "below"
    columns = len(found.arms) + len(found.baselines)
    assert len(maps) == 3 * (columns + 1), "a map a column and the scale, for each of three items"
    assert len({one.get_clim() for one in maps if one.get_array().shape == (64, 64)}) == 1, "one scale for all"
    assert len(plain.axes[0].images) == 3 * (columns + 1)
    assert not any(one.get_cmap().name == "magma" for one in plain.axes[0].images)
    (piece,) = gallery(found, evaluations=("photos",))
    assert isinstance(piece, Picture)
    assert f"the brightest is {own.get_clim()[1]:.2g} or more" in piece.caption
    assert {text.get_text() for text in drawn.axes[0].texts} >= {f"{own.get_clim()[1]:.2g}", "error"}


def test_of_a_clip_the_middle_frame_has_an_error_map(sweep: Synthetic, found: Results) -> None:
    drawn = figure(gallery(found, evaluations=("clips",), arms=("fsq+joint",)), "samples")
    maps = [one for one in drawn.axes[0].images if one.get_cmap().name == "magma" and one.get_array().shape == (64, 64)]
    assert len(maps) == 2 * 3, "two clips, an arm and two baselines"
    folder = sweep.root / sweep.last("fsq+joint", 0) / "samples" / "clips-test"
    a, b = (
        imread(folder / f"00-{name}.png").astype(float)[:, 4 * 64 : 5 * 64] for name in ("original", "reconstruction")
    )
    assert sum(np.allclose(one.get_array(), np.abs(a - b).mean(-1)) for one in maps) == 1


def test_the_scale_is_of_the_arms_and_other_sizes_have_no_map(tmp_path: Path, found: Results) -> None:
    columns = found.shown("photos")
    originals = sorted(columns[0].folder.glob("*-original.png"))  # type: ignore[union-attr]
    arms = [column for column in columns if column.kind == "arm"]
    whole = [
        error_map(o, column.folder / o.name.replace("original", "reconstruction"), 0, 1)
        for o in originals
        for column in arms
    ]  # type: ignore[operator]
    assert brightest(columns, originals, 1) == pytest.approx(np.quantile(np.stack(whole), 0.99))
    assert brightest(columns[-2:], originals, 1) > brightest(columns, originals, 1)  # type: ignore[operator]
    assert brightest([columns[0]._replace(folder=None)], originals, 1) is None
    Image.fromarray(scene(0, 0)[:32]).save(tmp_path / "other.png")
    assert error_map(originals[0], tmp_path / "other.png", 0, 1) is None
    for original in originals:
        (tmp_path / original.name.replace("original", "reconstruction")).write_bytes(original.read_bytes())
    assert brightest([arms[0]._replace(folder=tmp_path)], originals, 1) == LEAST, (
        "nothing is wrong, and nothing divides by it"
    )


def test_a_contact_sheet_has_every_frame_of_every_row(sweep: Synthetic, found: Results) -> None:
    drawn = figure(gallery(found, evaluations=("clips",), sheet=True), "sheet")
    assert len(drawn.axes[0].images) == 9 * (1 + len(found.arms) + len(found.baselines))
    strip = imread(sweep.root / sweep.last("vq+joint", 0) / "samples" / "clips-test" / "00-original.png")
    for frame, image in enumerate(drawn.axes[0].images[:9]):
        assert np.array_equal(image.get_array(), strip[:, 64 * frame : 64 * (frame + 1)])
    assert [piece.stem for piece in gallery(found, evaluations=("photos",), sheet=True)] == ["samples-photos"], (
        "no clip"
    )
    assert contact_sheet([column._replace(folder=None) for column in found.shown("clips")], 9) is None


def captions(found: Results, **said: Any) -> str:
    (piece,) = gallery(found, evaluations=("photos",), **said)
    assert isinstance(piece, Picture)
    return piece.caption


def test_a_gallery_says_whose_samples_it_shows(tmp_path: Path, found: Results) -> None:
    assert "what every arm (seed 0) and every baseline made of it" in captions(found)
    one = captions(found, arms=("vq+joint",))
    assert "what vq+joint (seed 0) and every baseline made of it" in one and "of the arm's errors" in one
    failed = Synthetic(tmp_path, seeds=(0,))
    failed.write()
    for arm in failed.arms:
        failed.fail(failed.last(arm, 0))
    none = captions(gathered(failed.stored))
    assert "what the baselines made of it" in none and "of the baselines' errors" in none and "arm" not in none


def test_a_gallery_of_some_arms_has_few_names_in_its_caption(found: Results) -> None:
    arms = found.shown("photos")[:4]
    many = [arms[0]._replace(name=f"arm {i}") for i in range(9)]
    assert whose(many[:3], many) == "arm 0, arm 1, arm 2 (seed 0)"
    assert whose(many[:4], many) == "4 of 9 arms (seed 0)"
    assert whose([arms[0]._replace(folder=None), *arms[1:3]], arms) == f"{arms[1].name}, {arms[2].name} (seed 0)"


def test_a_gallery_has_its_arms_in_the_order_that_is_asked_for(found: Results) -> None:
    drawn = figure(gallery(found, evaluations=("photos",), arms=("fsq+joint", "vq+joint")), "samples")
    titles = sorted(
        (t.get_position()[0], t.get_text().replace("\n", "")) for t in drawn.axes[0].texts if "joint" in t.get_text()
    )
    assert [title for _, title in titles] == ["fsq+joint", "vq+joint"]


def chosen(name: str) -> Any:
    """An exhibit with choices that fit any sweep whose first factor is model.dim."""
    spec = EXHIBITS.default(name)
    return resolve(spec.model_copy(update={"x": "model.dim"}) if name == "scaling" else spec)


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_input_gives_the_same_bytes_and_names_are_printed_as_they_are(tmp_path: Path, name: str) -> None:
    factors = {"model.dim": ["16", "64", "256"], f"model.{HOSTILE}": [HOSTILE, "plain"]}
    sweep = Synthetic(tmp_path, seeds=(0, 1), factors=factors)
    sweep.pictures = name == "gallery"
    stored = sweep.write()
    drawn = []
    for _ in range(2):
        found = gathered(stored)
        rows = [row for arm in found.arms for row in histogram(arm, 0, {"unused": 3, "used 2^0": 1})]
        found.details = lambda label, rows=rows: pd.DataFrame(rows)  # type: ignore[method-assign, misc]
        pieces = chosen(name)(found)
        drawn.append([encoded(piece.figure, kind) for piece in pieces for kind in dict.fromkeys(("png", piece.inline))])
    assert drawn[0] and drawn[0] == drawn[1]


@pytest.mark.parametrize("name", FIGURES)
def test_what_has_not_run_or_failed_draws_nothing_and_refuses_nothing(tmp_path: Path, name: str) -> None:
    planned = Synthetic(tmp_path / "planned", factors=SIZES)
    assert chosen(name)(gathered(planned.store())) == ()
    failed = Synthetic(tmp_path / "failed", factors=SIZES)
    failed.baselines, failed.pictures = {}, False
    failed.write()
    for arm, seed in itertools.product(failed.arms, failed.seeds):
        failed.fail(failed.last(arm, seed))
    assert chosen(name)(gathered(failed.stored)) == ()
