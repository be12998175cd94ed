"""An evaluation: what its numbers are called, what it refuses before anything is paid for, what it leaves out and says."""

import pickle
from pathlib import Path

import pretend
import pytest
import tiny
import torch
from report_sweep import Synthetic, name_of

from omnitok import runs
from omnitok.cli.tables import print_results
from omnitok.data import DataError, Dataset
from omnitok.exhibits.ablation import ablation
from omnitok.launching.launch import launch
from omnitok.metrics import METRICS, Identity, Measured, Metric, Pair
from omnitok.metrics.fidelity import PeakSignalToNoise
from omnitok.model import MeanColour
from omnitok.report import render
from omnitok.results import gathered
from omnitok.spec import SpecError, decode, read_value, resolve
from omnitok.sweep.file import read_sweep
from omnitok.sweep.plan import plan, plan_sweep, to_json
from omnitok.training import EVALUATIONS, evaluate
from omnitok.training.evaluate import Evaluation, Seen, key_of, refuse_unfit, spread


def evaluation(text: str) -> Evaluation:
    return resolve(decode(EVALUATIONS, read_value(f"{{{text}}}", "here")))(Path())


PHOTOS = "data: {type: embedded, short_side: 32}, frames: 1, resolution: 16"


def test_a_protocol_is_the_metrics_own_with_the_datas_view_and_n_in_it():
    metric = PeakSignalToNoise(Identity())
    assert Seen("f", "cc256", 50000).protocol(metric) == metric.protocol[:-1] + ", cc256, n=50000]"
    metric.protocol = "plain"
    assert Seen("f", "cc256", 3).protocol(metric) == "plain[cc256, n=3]"


def test_items_are_spread_evenly_and_their_number_is_in_the_protocol():
    assert spread(8, 8) == list(range(8)) and spread(100, 4) == [12, 37, 62, 87]
    made = evaluation(f"{PHOTOS}, items: 2, metrics: [psnr]")
    assert made.indices == (2, 6) and made.seen.n == 2
    whole = evaluation(f"{PHOTOS}, metrics: [psnr]")
    found, every = (one.measure(MeanColour(), [PeakSignalToNoise(Identity())]) for one in (made, whole))
    assert found.items == (every.items[2], every.items[6])
    assert found.measured[0].per_item == tuple(every.measured[0].per_item[i] for i in (2, 6))
    some = decode(EVALUATIONS, read_value(f"{{{PHOTOS}, items: 2}}", "here"))
    assert key_of(some).endswith(".1x16.n2")
    with pytest.raises(ValueError, match="items=9: the test split has 8 of 1 frame$"):
        evaluation(f"{PHOTOS}, items: 9").shape()


def test_what_is_in_an_item_stands_beside_it_where_the_dataset_knows_it():
    made = evaluation("data: moving_shapes, frames: 5, resolution: 16, items: 6, metrics: [psnr]")
    found = made.measure(MeanColour(), [PeakSignalToNoise(Identity())])
    assert found.classes == tuple(made.dataset.classes[made.dataset.label(i, 5)] for i in made.indices)
    assert len(found.classes) == len(found.items) == 6
    assert evaluation(f"{PHOTOS}, metrics: [psnr]").measure(MeanColour(), []).classes == ()


class Wanting(Metric):
    """Wants more than there is."""

    label = "wanting"
    better = "lower"
    protocol = "wanting[x]"
    least_side, least_frames, least_items = 32, 10, 2049

    def __init__(self, codec, *, few: bool = False) -> None: ...
    def add(self, pair: Pair) -> None: ...
    def result(self) -> Measured:
        return Measured(0.0)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((16, 16, 9999), "resolution=16: wanting needs 32 pixels a side"),
        ((9, 32, 9999), "frames=9: wanting needs 10 frames"),
        ((10, 32, 2048), "items=2048: wanting needs 2049; few: true takes fewer"),
    ],
)
def test_what_a_metric_needs_is_refused_with_both_numbers(size, message):
    with pytest.raises(ValueError) as caught:
        refuse_unfit(Wanting(Identity()), *size)
    assert str(caught.value) == message


@pytest.mark.parametrize("threads", [1, 4])
def test_the_next_batch_is_decoded_meanwhile_in_order_and_its_error_is_raised(monkeypatch, threads):
    monkeypatch.setenv("OMNITOK_DECODING", str(threads))
    made = evaluation(f"{PHOTOS}, metrics: [psnr]")
    monkeypatch.setattr(evaluate, "MOST_ITEMS", 3)
    found = made.measure(MeanColour(), [PeakSignalToNoise(Identity())])
    assert found.items == made.dataset.items(1) and len(found.measured[0].per_item) == 8
    decode_item = type(made.dataset).item

    def torn(self: Dataset, index: int, frames: int, resolution: int) -> torch.Tensor:
        if index == 7:
            raise DataError("cat.png: torn")
        return decode_item(self, index, frames, resolution)

    monkeypatch.setattr(type(made.dataset), "item", torn)
    with pytest.raises(DataError, match=r"cat.png: torn"):
        made.measure(MeanColour(), [PeakSignalToNoise(Identity())])


def test_large_items_are_taken_fewer_at_once():
    assert evaluate.batch_size(64 * 64) == evaluate.MOST_ITEMS
    assert evaluate.batch_size(17 * 128**2) == 7 and evaluate.batch_size(300 * 1080 * 1920) == 1


@pytest.fixture
def lpips(tmp_path, runs_root):
    """A sweep that measures LPIPS, with its weights in a folder of their own."""
    place = tmp_path / "weights"
    place.mkdir()
    path = tiny.write(tmp_path)
    text = path.read_text().replace("  stages.joint.schedule.image_share: [0.0, 0.5]\n", "")
    text = text.replace("seeds: [0, 1]", "seeds: [0]").replace("psnr, codebook_usage", "psnr, lpips_alex")
    path.write_text(text.replace("resolution: 16, m", "resolution: 32, m") + "resources: {missing_weights: n/a}\n")
    with pretend.pretended(place):
        yield path, place / "lpips_alex.ckpt"


COMMAND = "run: omnitok weights fetch lpips_alex"


def test_missing_weights_are_refused_unless_the_sweep_leaves_them_out(lpips):
    sweep, file = lpips
    file.rename(file.with_suffix(".away"))
    with pytest.raises(SpecError) as caught:
        plan(read_sweep(sweep, ["resources.missing_weights=refuse"]))
    assert f"ask.yaml:10: evaluate[0]: lpips_alex: it is not here; {COMMAND}" in str(caught.value)
    file.write_bytes(pickle.dumps("another"))
    with pytest.raises(SpecError, match="lpips_alex: .* has the sha256"):  # what is another file is never left out
        plan_sweep(sweep)


def test_a_metric_without_weights_is_n_a_and_measured_once_they_are_there(lpips, tmp_path):
    sweep, file = lpips
    file.rename(away := file.with_suffix(".away"))
    sweep.write_text(sweep.read_text().replace("metric: psnr", "metric: lpips_alex"))
    (notice,) = plan_sweep(sweep).notices
    assert notice.startswith("photos/lpips_alex is not measured") and COMMAND in notice
    done = launch(sweep)
    assert {state.status for state in done.states} == {"done"} and done.measured == 3
    out = render(done.folder, tmp_path / "out")
    assert out.complete and out.verdicts[0].status == "not run" and COMMAND in out.verdicts[0].reason
    table = (tmp_path / "out" / "tables" / "ablation.md").read_text()
    assert "n/a<sup>" in table and "omnitok weights fetch lpips" in table.replace("\\_", "_")
    away.rename(file)
    again = launch(sweep)
    assert (again.trained, again.measured) == (0, 3) and not plan_sweep(sweep).notices
    row = runs.read_json(next((runs.root()).glob("*/evaluations/*.json")))
    assert row["n"] == len(row["items"])
    found = [one for path in runs.root().glob("*/evaluations/*.json") if (one := runs.read_json(path))["networks"]]
    assert len(found) == 3 and set(found[0]["networks"]) == {"lpips_alex"}
    assert found[0]["protocol"].endswith(f"n={found[0]['n']}]")


def test_too_few_items_for_a_distance_are_refused_at_planning_with_both_numbers(tmp_path, runs_root):
    sweep = tiny.write(tmp_path)
    sweep.write_text(sweep.read_text().replace("codebook_usage]", "rfid]"))
    with pytest.raises(SpecError) as caught:
        plan_sweep(sweep)
    assert "ask.yaml:11: evaluate[0]: items=8: rfid needs 2049; few: true takes fewer" in str(caught.value)


def test_other_weights_are_another_evaluation(lpips, monkeypatch):
    sweep, _ = lpips
    spec = plan_sweep(sweep).measurements[0]
    metric = spec.possible[1]
    before = evaluate.evaluation_digest("a", spec.spec, metric, spec.seen)
    weights = evaluate.networks.WEIGHTS
    with monkeypatch.context() as patch:  # undone before the weights are the real ones again
        patch.setitem(weights, "lpips_alex", weights["lpips_alex"]._replace(sha256="0" * 64))
        assert evaluate.evaluation_digest("a", spec.spec, metric, spec.seen) != before
    other = spec.seen._replace(view="squash32")
    assert evaluate.evaluation_digest("a", spec.spec, spec.possible[0], other) != evaluate.evaluation_digest(
        "a", spec.spec, spec.possible[0], spec.seen
    )


def test_two_protocols_in_one_column_are_refused_with_both(tmp_path, runs_root):
    sweep = tiny.write(tmp_path)
    done = launch(sweep)
    planned = to_json(plan_sweep(sweep))["evaluations"][0]["metrics"][0]["protocol"]
    assert planned.startswith("psnr[rgb, ") and planned.endswith("n=8]")
    path = next(one for one in runs.root().glob("*/evaluations/*.json") if runs.read_json(one)["label"] == "psnr")
    runs.write_json(path, runs.read_json(path) | {"protocol": "psnr[y channel, cc256, n=8]"})
    with pytest.raises(SpecError) as caught:
        render(done.folder, tmp_path / "out")
    assert "was measured by psnr[y channel, cc256, n=8], and its column has psnr[rgb" in str(caught.value)


def test_an_interval_over_items_is_shown_where_there_is_one_run_only(tmp_path):
    sweep = Synthetic(tmp_path)
    sweep.write()
    for name in ("mean_colour", "patch_mean"):
        path = (
            tmp_path
            / sweep.baseline(name)
            / runs.EVALUATIONS
            / f"{name_of(sweep.baseline(name), 'photos', 'psnr')}.json"
        )
        runs.write_json(path, runs.read_json(path) | {"interval": [11.25, 12.75], "details": {"n=4": 12.5}})
    arm = sweep.last("vq+joint", 0)
    path = tmp_path / arm / runs.EVALUATIONS / f"{name_of(arm, 'photos', 'psnr')}.json"
    runs.write_json(path, runs.read_json(path) | {"interval": [21.0, 23.0]})
    results = gathered(sweep.stored)
    (table,) = ablation(results)
    said = {row.name: row.cells[0].hover for row in table.rows}
    assert "95 % interval over items 11.25 to 12.75" in said["mean_colour"]
    assert "interval" not in said["vq+joint"]  # three seeds show their own spread
    assert results.rows["photos/psnr low"].notna().sum() == 3
    assert (render(sweep.stored, tmp_path / "out").page).is_file()


def test_results_are_printed_with_interval_details_and_protocol(capsys):
    one = {"key": "pets.test.1x64/rfid", "value": 12.25, "unit": "", "interval": [11.5, 13.0], "n": 4096,
           "details": {"n=2048": 14.5}, "protocol": "rfid[tf2015, cc64, n=4096]", "label": "rfid",
           "metric": {"type": "rfid", "few": False}}  # fmt: skip
    usage = {"key": "pets.test.1x64/usage", "label": "usage", "metric": {"type": "usage"}, "note": "no codebook"}
    nothing = one | {"value": None, "interval": None, "details": {}} | usage
    print_results([one, nothing], details=True)
    out = capsys.readouterr().out
    assert "12.25" in out and "[11.5, 13]" in out and "4096" in out and "n=2048" in out
    assert "pets.test.1x64/usage: n/a: no codebook" in out and "no details" not in out
    assert out.count("rfid[tf2015, cc64, n=4096]") == 2 and "few" not in out
    print_results([one], details=False)
    assert "n=2048" not in capsys.readouterr().out
    few = one | {"details": {}, "note": "too few", "metric": {"type": "rfid", "few": True}}
    print_results([one, few], details=True)
    out = capsys.readouterr().out
    assert "rfid {few: true}" in out and "rfid {few: false}" in out  # told apart by what differs
    assert "pets.test.1x64/rfid: no details: too few" in out


def test_what_has_no_value_or_no_details_says_why():
    made = evaluation(f"{PHOTOS}, metrics: [psnr]")
    texts = ["chunk_parity", "codebook_usage", "causality_leak"]
    metrics = [resolve(decode(METRICS, text))(MeanColour()) for text in texts]
    found = made.measure(MeanColour(), metrics).measured
    assert [one.value for one in found] == [None] * 3
    assert [one.note.split(",")[0] for one in found] == [
        "says nothing of images",
        "says nothing where there is no codebook",
        "says nothing of single images",
    ]
