"""Published protocols by name: each decodes, and what one fixes cannot be said again."""

import pytest
import tiny
from click.testing import CliRunner

from omnitok.cli import main
from omnitok.metrics import Identity
from omnitok.spec import Map, Mark, SpecError, decode, plain, read_value, resolve
from omnitok.sweep.plan import plan_sweep
from omnitok.training import EVALUATIONS
from omnitok.training.evaluate import metric_specs
from omnitok.training.presets import presets, spelled

FOLDER = "data: {type: folder, name: pets, fingerprint: ab}"
MORE = {"tokenbench_videos": ", frames: 17, resolution: 256"}  # what its source leaves open


def said(text: str) -> Map:
    """A file's mapping, with its marks."""
    values = read_value(f"{{{text}}}", "here")
    return Map(dict(values), Mark("here.yaml", 1), {name: Mark("here.yaml", i + 1) for i, name in enumerate(values)})


@pytest.mark.parametrize("name", list(presets()))
def test_a_preset_is_an_evaluation_with_a_source(name):
    spec = decode(EVALUATIONS, spelled(said(f"preset: {name}, {FOLDER}{MORE.get(name, '')}")))
    data = plain(spec)
    assert data["data"]["name"] == "pets" and data["data"]["view"] and data["metrics"]
    assert presets()[name].source and presets()[name].says.endswith(".")
    for key, value in presets()[name].fixed.items():
        assert key in ("data", "metrics") or data[key] == value


def test_what_omnitokenizer_did_is_what_its_preset_says():
    videos = plain(decode(EVALUATIONS, spelled(said(f"preset: omnitokenizer_videos, {FOLDER}"))))
    assert (videos["frames"], videos["resolution"], videos["split"], videos["items"]) == (17, 256, "test", 0)
    view = videos["data"]["view"]
    assert (view["fit"], view["fps"], view["start"], view["windows"], view["short"]) == (
        "squash",
        16,
        "centre",
        1,
        "pad",
    )
    (rfvd,) = videos["metrics"]
    assert (rfvd["type"], rfvd["preprocessing"], rfvd["port"]) == ("rfvd", "bilinear", "videogpt")
    pictures = plain(decode(EVALUATIONS, spelled(said(f"preset: omnitokenizer_images, {FOLDER}"))))
    assert (pictures["frames"], pictures["resolution"], pictures["split"], pictures["items"]) == (1, 256, "test", 0)
    assert (pictures["data"]["view"]["fit"], pictures["data"]["view"]["filter"]) == ("squash", "bicubic")
    assert pictures["metrics"][0]["preprocessing"] == "pytorch_fid"


WRONG = [
    ("preset: clean_fd", "here.yaml:1: preset: no preset 'clean_fd'; did you mean 'clean_fid'?"),
    ("preset: 3", "here.yaml:1: preset: no preset 3"),
    (
        f"{FOLDER}, resolution: 64, preset: clean_fid",
        "here.yaml:2: resolution: the preset 'clean_fid' fixes 256, and here it is 64; leave it out",
    ),
    (
        "preset: clean_fid, data: {type: folder, short_side: 99}",
        "data.short_side: the preset 'clean_fid' fixes native, and here it is 99",
    ),
    (
        "preset: clean_fid, data: {type: folder, view: squash}",
        "data.view: the preset 'clean_fid' fixes {fit: crop, filter: bicubic, enlarge: true}, and here it is squash",
    ),
    (
        f"{FOLDER}, preset: clean_fid, metrics: [psnr]",
        "metrics[0]: the preset 'clean_fid' does not measure psnr (known: rfid)",
    ),
    (
        f"{FOLDER}, preset: clean_fid, metrics: [{{type: rfid, few: true, preprocessing: tf}}]",
        "metrics[0].preprocessing: the preset 'clean_fid' fixes how rfid is measured; leave it out",
    ),
    (
        f"{FOLDER}, preset: vidtok_videos, metrics: [psnr, rfdv]",
        "metrics[1]: the preset 'vidtok_videos' does not measure rfdv; did you mean 'rfvd'?",
    ),
    (f"{FOLDER}, preset: clean_fid, metrics: rfid", "here.yaml:3: metrics: the preset 'clean_fid' fixes [{type: rfid"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_what_a_preset_fixes_cannot_be_said_again(text, message):
    with pytest.raises(SpecError) as caught:
        spelled(said(text))
    assert message in str(caught.value)


def test_metrics_beside_a_preset_choose_among_its_own_and_allow_few():
    few = said(f"preset: adm_fid, {FOLDER}, metrics: [{{type: rfid, few: true, resamples: 0}}]")
    spec = decode(EVALUATIONS, spelled(few))
    (rfid,) = plain(spec)["metrics"]
    assert (rfid["preprocessing"], rfid["few"], rfid["resamples"]) == ("tf", True, 0)
    metric = resolve(metric_specs(spec)[0])(Identity())
    assert metric.least_items == 2 and "n <= d allowed" in metric.protocol
    some = said(f"preset: tokenbench_videos, {FOLDER}{MORE['tokenbench_videos']}, metrics: [ssim, psnr_clip]")
    assert [one["type"] for one in plain(decode(EVALUATIONS, spelled(some)))["metrics"]] == ["ssim", "psnr_clip"]


def test_a_fault_in_what_a_preset_says_stands_in_its_file():
    text = spelled(said("preset: clean_fid, data: {type: procgen, fingerprint: ab}"))
    with pytest.raises(SpecError) as caught:
        decode(EVALUATIONS, text)
    assert "no dataset 'procgen'; did you mean 'procgen16'?" in str(caught.value)
    fixed = presets()["clean_fid"].evaluate
    assert fixed.marks["resolution"].source == "omnitok/training/presets.yaml" and fixed.marks["resolution"].line > 1
    assert text.marks["resolution"] == fixed.marks["resolution"]


def test_a_sweep_says_a_preset_and_is_refused_where_it_says_more(tmp_path, runs_root):
    sweep = tiny.write(tmp_path)
    text = sweep.read_text()
    entry = "{name: photos, data: {type: embedded, short_side: 32}, frames: 1, resolution: 16, metrics: [psnr, codebook_usage]}"
    assert entry in text
    sweep.write_text(text.replace(entry, "{name: photos, preset: clean_fid, data: embedded, frames: 1, items: 4}"))
    with pytest.raises(SpecError) as caught:
        plan_sweep(sweep)
    assert "ask.yaml:11: evaluate[0].frames: the preset 'clean_fid' fixes 1, and here it is 1" in str(caught.value)


def test_presets_are_listed_with_their_sources():
    done = CliRunner().invoke(main, ["components", "preset"])
    assert done.exit_code == 0 and "arXiv:2406.09399" in done.output and "omnitokenizer_videos" in done.output
    assert "no slot 'presets'; did you mean 'preset'?" in CliRunner().invoke(main, ["components", "presets"]).output
