"""The picture of a plan shows what training then does, and the same plan is the same bytes."""

import json
from pathlib import Path

import pytest
import tiny
from click.testing import CliRunner
from test_step import task

import omnitok
from omnitok.cli import main
from omnitok.exhibits.overview import HEIGHTS, overview, write_overview
from omnitok.schedules.curves import delayed
from omnitok.spec import SpecError
from omnitok.sweep.picture import PANELS, POINTS, Stretch, Whole, wholes

IMAGES, CLIPS, PIXELS, RATE, WEIGHT = PANELS
SWEEP = """\
question: What is trained when?
experiment: tiny.yaml
vary:
  model.quantizer: [vq, fsq]
  stages.joint.schedule:
    half: {type: joint, frames: 3}
    rates: {type: frame_rates, frames: 3, strides: [4, 2], scales: [0.5, 1.0]}
seeds: [0, 1]
baselines: [mean_colour]
"""


@pytest.fixture
def sweep(tmp_path, runs_root):
    return tiny.write(tmp_path, sweep=SWEEP)


def stretches(sweep, *sets):
    return wholes(omnitok.plan_sweep(sweep, ["seeds=[0]", *sets]))[0].stretches


def test_arms_that_train_alike_are_one_run_and_baselines_none(sweep):
    found = wholes(omnitok.plan_sweep(sweep))
    assert [whole.arms for whole in found] == [["vq+half", "fsq+half"], ["vq+rates", "fsq+rates"]]
    assert [[stretch.stage for stretch in whole.stretches] for whole in found] == [["images", "joint"]] * 2


def test_what_is_drawn_is_what_training_records(sweep):
    images, joint = stretches(sweep)
    for stretch, made in ((images, task(0)), (joint, task(1))):
        records = [record.values for record in made.train()]
        assert stretch.at == list(range(len(records)))
        assert stretch.panels[RATE]["optimizer.lr"] == pytest.approx([values["train/lr"] for values in records])
        seen = [values["train/frames"] for values in records]
        assert stretch.panels[IMAGES][""] == [seen.count(1) / len(seen)] * len(seen)  # so few are counted together
        assert set(stretch.panels[CLIPS]["frames"]) == {max(seen)}
        assert {values["train/resolution"] for values in records} == set(stretch.panels[PIXELS]["largest"]) == {16.0}


def test_weights_follow_their_curves_and_what_has_none_is_left_out(sweep):
    gan = "{type: patch_gan, begin_at: 3, video_weight: 0.0, weight_curve: {type: delayed, rise_share: 1.0}}"
    losses = (
        "[{type: l1, weight: 2.0}, {type: l2, weight: 3.0, curve: {type: delayed, begin_share: 0.25, rise_share: 0.5}}]"
    )
    images, _ = stretches(sweep, "steps=8", f"adversary={gan}", f"losses={losses}")
    lines = images.panels[WEIGHT]
    assert list(lines) == ["l1", "l2", "adversary.image_weight", "adversary.feature_weight", "bottleneck"]
    assert lines["l1"] == [2.0] * 8 and lines["bottleneck"] == [1.0] * 8
    assert lines["l2"] == [3 * delayed(step, 8, begin_share=0.25, rise_share=0.5) for step in range(8)]
    assert lines["adversary.feature_weight"] == pytest.approx([0, 0, 0, *(4 * (step + 1) / 8 for step in range(3, 8))])
    assert list(images.panels[RATE]) == ["optimizer.lr", "adversary.optimizer.lr"]


def test_a_long_stage_is_asked_here_and_there_from_its_first_step_to_its_last(sweep):
    (images, joint) = stretches(sweep, "steps=500000", "stages.joint.steps=70000", "stages.joint.step={type: shared, accumulate: 2}")  # fmt: skip
    assert len(images.at) == POINTS and (images.at[0], images.at[-1]) == (0, 499999)
    assert set(joint.panels[IMAGES][""]) == {0.5}
    ramp = "stages.joint.schedule={type: mixing, points: [[0, 1.0], [0.5, 0.0], [1, 1.0]], frames: 3}"
    (_, bent) = stretches(sweep, "vary={model.dim: [12, 24]}", "stages.joint.steps=70000", ramp)
    there = [abs(1 - 2 * (step + 0.5) / 70000) for step in bent.at]
    assert bent.panels[IMAGES][""] == pytest.approx(there, abs=1 / 32)


def test_strides_scales_and_frozen_parts_are_shown(sweep):
    frozen = wholes(omnitok.plan_sweep(sweep, ["stages.joint.frozen=[encoder]"]))[1].stretches
    assert [stretch.frozen for stretch in frozen] == [[], ["encoder"]]
    panels = frozen[1].panels
    assert panels[CLIPS] == {"frames": [3.0] * 4, "stride": [4.0, 4.0, 2.0, 2.0]}
    assert panels[PIXELS] == {"smallest": [8.0] * 4, "largest": [16.0] * 4}


def test_every_run_has_its_panels_and_names_its_stages(sweep):
    figure = overview("ask", wholes(omnitok.plan_sweep(sweep, ["stages.joint.frozen=[decoder]"])))
    assert len(figure.axes) == 2 * len(HEIGHTS) == 2 * (1 + len(PANELS))
    said = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {"images", "joint", "grey: frozen"} <= said
    figure.canvas.draw()
    for axes in figure.axes:
        boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
        assert all(a.x1 < b.x0 for a, b in zip(boxes, boxes[1:], strict=False))
        assert axes.get_window_extent().height > 0.3 * figure.dpi


def plain(name: str, steps: int = 4) -> Whole:
    rising = {"optimizer.lr": [step / steps for step in range(steps)]}
    return Whole([name], [Stretch("a", steps, list(range(steps)), {RATE: rising}, ["encoder"])])


def test_of_too_many_runs_the_first_are_drawn_and_the_title_says_so(monkeypatch):
    monkeypatch.setattr("omnitok.exhibits.overview.MOST", 2)
    figure = overview("ask", [plain(f"arm {i}", i + 1) for i in range(5)])
    assert len(figure.axes) == 2 * len(HEIGHTS)
    assert figure.get_suptitle() == "ask: what is trained when, the first 2 of 5 distinct ones"


@pytest.mark.parametrize(("suffix", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_same_plan_is_the_same_bytes(suffix, begins, tmp_path):
    files = [tmp_path / f"{name}.{suffix}" for name in ("one", "two")]
    for file in files:
        write_overview(file, "ask", [plain("an $arm$")])
    one, two = (file.read_bytes() for file in files)
    assert one == two and one.startswith(begins)


def test_the_command_says_what_it_wrote_and_json_stays_json(sweep, tmp_path, capsys):
    main(["plan", str(sweep), "--json", "--plot", str(tmp_path / "a.svg")], standalone_mode=False)
    said = capsys.readouterr()
    assert json.loads(said.out)["seeds"] == [0, 1]
    assert said.err == f"wrote: {tmp_path / 'a.svg'}\n" and (tmp_path / "a.svg").is_file()
    main(["plan", str(sweep), "--plot", str(tmp_path / "b.png")], standalone_mode=False)
    assert capsys.readouterr().out.endswith(f"wrote: {tmp_path / 'b.png'}\n") and (tmp_path / "b.png").is_file()


def test_other_kinds_of_files_and_missing_folders_are_refused(sweep, tmp_path):
    for name in ("a.gif", "png", "a.PNG"):
        result = CliRunner().invoke(main, ["plan", "no/such.yaml", "--plot", name])
        assert result.exit_code == 2 and "must end in one of .png, .pdf, .svg" in result.output
        with pytest.raises(SpecError, match=f"'{name}' must end in"):
            omnitok.plan_sweep(sweep, plot=name)
        assert not Path(name).exists()
    gone = str(tmp_path / "gone")
    result = CliRunner().invoke(main, ["plan", "no/such.yaml", "--plot", f"{gone}/a.png"])
    assert result.exit_code == 2 and result.output == f"--plot: '{gone}/a.png': there is no folder '{gone}'\n"
