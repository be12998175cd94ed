"""What a sweep file asks for: arms, shared stages, refusals, and where a launched sweep is found again."""

import json
from pathlib import Path

import pytest
import tiny

from omnitok import runs
from omnitok.launching.launch import settle
from omnitok.spec import SpecError, decode, resolve
from omnitok.sweep import stored
from omnitok.sweep.design import arms, name_of
from omnitok.sweep.file import read_sweep
from omnitok.sweep.plan import plan, plan_sweep, to_json
from omnitok.training import TASKS
from omnitok.training.stage import from_json

FACTORS = {"a": ["x", "y"], "b": ["1", "2", "3"]}


@pytest.mark.parametrize(
    ("design", "factors", "names"),
    [
        ("full", FACTORS, ["x+1", "x+2", "x+3", "y+1", "y+2", "y+3"]),
        ("one_at_a_time", FACTORS, ["base", "x", "y", "1", "2", "3"]),
        ("cumulative", FACTORS, ["base", "x", "x+1"]),
        ("leave_one_out", {"a": ["x"], "b": ["1"]}, ["base", "x", "1"]),
        ("zip", {"a": ["x", "y"], "b": ["1", "2"]}, ["x+1", "y+2"]),
    ],
)
def test_a_design_has_its_arms_in_order(design, factors, names):
    assert [name_of(arm) for arm in arms(design, factors)] == names


@pytest.mark.parametrize(("design", "message"), [("zip", "as many values"), ("leave_one_out", "one value a factor")])
def test_factors_that_do_not_suit_the_design_are_refused(design, message):
    with pytest.raises(ValueError, match=message):
        arms(design, FACTORS)


@pytest.fixture
def sweep(tmp_path, runs_root) -> Path:
    return tiny.write(tmp_path)


def test_a_shared_first_stage_is_one_stage(sweep):
    planned = plan_sweep(sweep)
    assert [trial.name for trial in planned.trials[::2]] == ["vq+0.0", "vq+0.5", "fsq+0.0", "fsq+0.5", "mean_colour"]
    assert len(planned.trials) == 9 and len(planned.runs) == 2 * 2 + 8 + 1
    vq, half = planned.trials[0], planned.trials[2]
    assert vq.stages[0] == half.stages[0] and vq.stages[1] != half.stages[1]
    assert vq.facts.bits_per_token == 4 and vq.facts.tokens == {"3x16": 32}


def test_planning_is_reproducible_and_prints_as_json(sweep):
    one, two = (json.dumps(to_json(plan_sweep(sweep))) for _ in range(2))
    assert one == two


def test_labels_resources_claims_and_evaluations_are_no_identity(sweep):
    before = set(plan_sweep(sweep).runs), read_sweep(sweep).digest
    text = (
        sweep.read_text()
        .replace("better: fsq, than: vq", "better: vq, than: fsq")
        .replace("metrics: [psnr", "metrics: [ssim, psnr")
    )
    sweep.write_text(text + "resources: {threads: 2, slurm_partition: gpu}\n")
    assert (set(plan_sweep(sweep).runs), read_sweep(sweep).digest) == before
    sweep.write_text(
        text.replace("vq: {", "vector: {").replace("than: fsq", "than: fsq").replace("better: vq", "better: vector")
    )
    assert set(plan_sweep(sweep).runs) == before[0]


def refused(sweep: Path, *sets: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        plan(read_sweep(sweep, sets))
    return str(caught.value).replace(f"{sweep.parent}/", "").splitlines()


WRONG = [
    ("question: Does it go the whole way?\n", "", "ask.yaml:1: question: must be said"),
    ("question:", "questoin:", "questoin: no such key; did you mean 'question'?"),
    ("experiment: tiny.yaml", "experiment: tny.yaml", "ask.yaml:2: experiment: no such file; did you mean 'tiny.yaml'?"),
    ("vary:", "vary: 3\nx:", "ask.yaml:3: vary: must be a mapping, not 3"),
    ("[0.0, 0.5]", "[0.5, 0.5]", "ask.yaml:7: vary.stages.joint.schedule.image_share: the label '0.5' stands twice"),
    ("[0.0, 0.5]", "{half: 0.5, same: 0.5}", "ask.yaml:3: vary: the arms 'vq+half' and 'vq+same' are the same runs"),
    ("[0.0, 0.5]", "0.5", "ask.yaml:7: vary.stages.joint.schedule.image_share: must be {label: value, ...} or a list"),
    ("[0.0, 0.5]", "[2.0]", "image_share: must be less than or equal to 1, not 2.0"),
    ("seeds: [0, 1]", "seeds: [0, 0]", "ask.yaml:8: seeds: a seed stands twice"),
    ("seeds: [0, 1]", "seeds: [-1]", "ask.yaml:8: seeds[0]: must be greater than or equal to 0"),
    ("seeds: [0, 1]", "seeds: []", "ask.yaml:8: seeds"),
    ("levels: [4, 4]", "levls: [4, 4]", "ask.yaml:6: stages.images.model.quantizer.levls: no such choice of quantizer 'fsq'"),
    ("type: fsq", "type: fsk", "ask.yaml:6: stages.images.model.quantizer: no quantizer 'fsk'; did you mean 'fsq'?"),
    ("stages.joint.sch", "stages.jiont.sch", "the patch cannot be applied: no stage 'jiont'; did you mean 'joint'?"),
    ("model.quantizer:", "model.dim.x:", "the patch cannot be applied: stages.images.model.dim is a whole number"),
    ("metrics: [psnr", "metrics: [psnrr", "ask.yaml:11: evaluate[0].metrics[0]: no metric 'psnrr'; did you mean 'psnr'?"),
    ("metrics: [psnr", "metrics: [psnr, psnr", "ask.yaml:11: evaluate[0].metrics: 'psnr' stands twice"),
    ("frames: 1", "frames: 2", "ask.yaml:11: evaluate[0]: frames=2 must be 1 more than a multiple of temporal_patch=2"),
    ("resolution: 16", "resolution: 18", "ask.yaml:11: evaluate[0]: patch=4 must divide the frame, which is 18 x 18"),
    ("better: fsq", "better: fsk", "ask.yaml:13: claims[0].better: no value is labelled 'fsk'; did you mean 'fsq'?"),
    ("than: vq", "than: '0.5'", "no one factor has both 'fsq' and '0.5'"),
    ("than: vq", "to: vq", "claims[0]: say either better and than, or equal and to"),
    ("metric: psnr", "metric: ssim", "claims[0].metric: no evaluation measures 'ssim'"),
    ("baselines: [mean_colour]", "baselines: [mean_color]", "baselines[0]: no baseline 'mean_color'; did you mean 'mean_colour'?"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), WRONG)
def test_a_wrong_sweep_is_refused_where_it_is_wrong(sweep, old, new, message):
    text = sweep.read_text()
    assert old in text
    sweep.write_text(text.replace(old, new, 1))
    assert message in "\n".join(refused(sweep))


WRONG_EXPERIMENT = [
    ("{type: window, heads: 2, window: 2}", "{type: window_published, heads: 2, window: 3}", "tiny.yaml:8: stages.images.model.encoder[0].attention.window: window=3 must divide the latent grid, which is 4 x 4"),
    ("frames: 3}", "frames: 4}", "tiny.yaml:19: stages.joint.schedule.frames: frames=4 must be 1 more than a multiple of temporal_patch=2"),
    ("frames: 3}", "frames: 999}", "tiny.yaml:19: stages.joint.schedule.frames: frames=999: the train split has nothing"),
    ("steps: 5", "steps: -5", "tiny.yaml:13: stages.images.steps: must be greater than or equal to 1, not -5"),
    ("patch: 4", "patch: 5", "tiny.yaml:6: stages.images.model.patches.patch: patch=5 must divide the frame, which is 16 x 16"),
    ("{type: embedded, short_side: 32}", "{type: folder, name: cats, fingerprint: ab}", "tiny.yaml:3: stages.images.data: "),
    ("heads: 2, window", "heads: 5, window", "stages.images.model.encoder[0].attention.heads: heads=5 must divide the width, which is dim=12"),
    ("init: images", "init: imges", "tiny.yaml:18: stages.joint.init: no earlier stage 'imges'; did you mean 'images'?"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), WRONG_EXPERIMENT)
def test_a_wrong_experiment_is_refused_where_it_is_wrong(sweep, old, new, message):
    path = sweep.parent / "tiny.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    assert message in "\n".join(refused(sweep))


MORE = [
    ("baselines: [mean_colour]", "baselines: [mean_colour, mean_colour]", "ask.yaml:9: baselines[1]: stands twice"),
    ("baselines: [mean_colour]", "baselines: [{type: patch_mean, ptch: 8}]", "baselines[0].ptch: no such choice of baseline"),
    ("resolution: 16", "resolution: 48", "resolution=48: the smallest picture of the test split has 32 pixels a side"),
    ("resolution: 16, metrics: [psnr", "resolution: 4, metrics: [ssim, psnr", "resolution=4: ssim needs 7 pixels a side"),
    ("levels: [4, 4]", "levels: [4096]", "levels[0]: must be less than or equal to 256"),
    ("levels: [4, 4]", "levels: [256, 256, 256, 256]", "name 4294967296 codes"),
    ("vary:\n", "vary:\n  optimizer.beta1: [1.0]\n", "beta1: must be less than 1, not 1.0"),
    ("vary:\n", "vary:\n  model.dim: [12000000000]\n", "stages.images.model"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), MORE)
def test_what_would_fail_after_the_training_is_refused_before_it(sweep, old, new, message):
    assert old in sweep.read_text()
    sweep.write_text(sweep.read_text().replace(old, new, 1))
    assert message in "\n".join(refused(sweep))


def test_two_arms_of_one_name_are_refused(sweep):
    sweep.write_text(
        "question: q\nexperiment: tiny.yaml\nseeds: [0]\ndesign: one_at_a_time\n"
        "vary: {stages.images.batch: [3, 4], stages.joint.batch: [3, 4]}\n"
    )
    assert "ask.yaml:5: vary: two arms would both be called '3'" in refused(sweep)[0]


def test_of_several_choices_of_one_name_the_one_with_the_refused_value_is_blamed(sweep):
    path = sweep.parent / "tiny.yaml"
    text = path.read_text().replace(
        "window: 2}}\n", "window: 2}}\n        - {attention: {type: window_published, heads: 2, window: 3}}\n"
    )
    path.write_text(text)
    assert refused(sweep)[0].startswith("tiny.yaml:9: stages.images.model.encoder[1].attention.window: window=3")


def test_set_reaches_experiments_that_are_varied_whole_and_their_texts_are_identity(sweep):
    (sweep.parent / "other.yaml").write_text(tiny.EXPERIMENT.replace("batch: 2", "batch: 3"))
    vary = "vary:\n  experiment: {a: tiny.yaml, b: other.yaml}\n"
    sweep.write_text(f"question: q\nexperiment: tiny.yaml\nseeds: [0]\n{vary}")
    planned = plan(read_sweep(sweep, ["stages.joint.steps=2"]))
    assert {run.spec["steps"] for run in planned.runs.values() if run.name == "joint"} == {2}
    before = read_sweep(sweep).digest
    (sweep.parent / "other.yaml").write_text(tiny.EXPERIMENT.replace("batch: 2", "batch: 4"))
    assert read_sweep(sweep).digest != before


def test_saying_a_default_is_no_other_sweep(sweep):
    before = read_sweep(sweep).digest
    sweep.write_text(sweep.read_text() + "design: full\n")
    assert read_sweep(sweep).digest == before


def test_imported_weights_are_rehearsed(sweep):
    import safetensors.torch
    import torch

    from omnitok.provenance import sha256

    planned = plan_sweep(sweep)
    path = sweep.parent / "w.safetensors"
    text = (sweep.parent / "tiny.yaml").read_text()

    def said(content: bytes) -> None:
        path.write_bytes(content)
        init = f"init: {{file: w.safetensors, sha256: {sha256(path)}}}\n    steps: 5"
        (sweep.parent / "tiny.yaml").write_text(text.replace("steps: 5", init))

    said(safetensors.torch.save({"odd": torch.zeros(2)}))
    assert "handover:" in refused(sweep)[0] and "does not fit" in refused(sweep)[0]
    said(b"no tensors")
    assert "stages.images" in refused(sweep)[0]
    run = next(
        run for run in planned.runs.values() if run.name == "images" and "levels" in run.spec["model"]["quantizer"]
    )
    fitting = resolve(decode(TASKS, run.spec))(0, Path()).weights()
    said(safetensors.torch.save(dict(fitting)))
    sweep.write_text(
        sweep.read_text().replace("    vq: {type: vq, codebook_size: 16, code_dim: 4}\n", "").split("claims")[0]
    )
    assert set(plan_sweep(sweep).trials[0].stages)
    assert refused(sweep, "init.sha256=ab")[0].endswith(f"the file 'w.safetensors' has {sha256(path)}")


def test_an_empty_vary_is_refused(sweep):
    sweep.write_text("question: q\nexperiment: tiny.yaml\nseeds: [0]\nvary: {}\n")
    assert refused(sweep) == ["ask.yaml:4: vary: is empty; name at least one path with two or more values"]


def test_all_faults_of_all_files_are_reported_at_once(sweep):
    sweep.write_text(sweep.read_text().replace("seeds: [0, 1]", "seeds: [0, 0]").replace("[4, 4]", "[1, x]"))
    assert len(refused(sweep, "stages.joint.steps=0", "batch=none")) == 5


def test_set_says_a_choice_anew_and_is_named_in_refusals(sweep):
    planned = plan(read_sweep(sweep, ["seeds=[7]", "model.dim=24", "stages.joint.steps=9"]))
    assert {run.seed for run in planned.runs.values()} == {7, None}
    assert {run.spec["model"]["dim"] for run in planned.runs.values() if run.task == "reconstruct"} == {24}
    assert {run.spec["steps"] for run in planned.runs.values() if run.name == "joint"} == {9}
    assert refused(sweep, "seed=[0]")[0].startswith("--set seed=[0]: seed: no such key; did you mean 'seeds'?")
    assert refused(sweep, "model.dmi=24")[0].startswith("--set model.dmi=24: stages.images.model.dmi: no such choice")
    assert "path=value" in refused(sweep, "model.dim")[0]


def test_stages_and_experiments_may_be_varied_whole(sweep):
    (sweep.parent / "short.yaml").write_text(tiny.EXPERIMENT[: tiny.EXPERIMENT.index("  joint")])
    sweep.write_text(
        "question: q\nexperiment: tiny.yaml\nseeds: [0]\nvary:\n  experiment: {long: tiny.yaml, short: short.yaml}\n"
    )
    long, short = plan_sweep(sweep).trials
    assert len(long.stages) == 2 and short.stages == long.stages[:1]


def test_a_later_stage_that_says_the_patched_path_itself_is_noticed(sweep):
    path = sweep.parent / "tiny.yaml"
    path.write_text(path.read_text() + "    model: {quantizer: {commitment_weight: 0.1}}\n")
    sweep.write_text(sweep.read_text().replace("    fsq: {type: fsq, levels: [4, 4]}\n", "").split("claims")[0])
    assert "the stage 'joint' says model.quantizer itself" in plan_sweep(sweep).notices[0]


def settled(sweep: Path, root: Path, *sets: str):
    root.mkdir(exist_ok=True)
    asked = read_sweep(sweep, sets)
    names, data = settle(root, plan(asked))
    return names, data, stored.store(root, asked, data)


def test_a_stored_sweep_is_found_by_file_name_and_digest_and_with_its_sets(sweep, runs_root):
    with pytest.raises(SpecError, match="not launched as it stands now; run: omnitok launch"):
        stored.locate(runs_root, str(sweep))
    _, _, folder = settled(sweep, runs_root)
    assert (
        stored.locate(runs_root, str(sweep))
        == stored.locate(runs_root, "ask")
        == stored.locate(runs_root, folder.name)
        == folder
    )
    with pytest.raises(SpecError, match="did you mean 'ask'"):
        stored.locate(runs_root, "aks")
    with pytest.raises(SpecError, match=f"as it was, it is {folder.name}"):
        stored.locate(runs_root, str(sweep), ["seeds=[5]"])
    _, _, other = settled(sweep, runs_root, "seeds=[5]")
    assert stored.locate(runs_root, str(sweep), ["seeds=[5]"]) == other
    assert stored.locate(runs_root, "ask") in (folder, other)  # of one name, the one launched last


def test_a_run_is_found_by_digest_and_by_sweep_arm_seed(sweep, runs_root):
    _, data, folder = settled(sweep, runs_root)
    last = data["trials"][0]["stages"][-1]
    for reference in (last, last[:6], "ask/vq+0.0/0", f"{sweep}/vq+0.0/0", f"{folder.name}/vq+0.0/0"):
        assert stored.find_run(runs_root, reference) == runs_root / last
    for reference, message in [
        ("ask/vq+0.1/0", "did you mean 'vq"),
        ("ffffff", "no run begins so"),
        ("nonsense", "SWEEP/ARM/SEED"),
    ]:
        with pytest.raises(SpecError, match=message):
            stored.find_run(runs_root, reference)


def test_claims_keep_their_first_hash_when_an_edit_changes_the_digest(sweep, runs_root):
    _, _, folder = settled(sweep, runs_root)
    first = runs.read_json(folder / stored.SWEEP)["claims_first"]
    sweep.write_text(sweep.read_text().replace("better: fsq, than: vq", "better: vq, than: fsq"))
    _, _, other = settled(sweep, runs_root, "seeds=[0, 1, 2]")
    assert other != folder and runs.read_json(other / stored.SWEEP)["claims_first"] == first


def test_an_evaluation_added_to_the_file_and_not_launched_is_noticed(sweep, runs_root):
    _, _, folder = settled(sweep, runs_root)
    assert stored.unmeasured(folder) == []
    sweep.write_text(sweep.read_text().replace("metrics: [psnr", "metrics: [ssim, psnr"))
    assert "is not what was launched; run: omnitok launch" in stored.unmeasured(folder)[0]


def test_a_broken_link_is_as_good_as_none(sweep, runs_root):
    planned = plan_sweep(sweep)
    runs_root.mkdir()
    for digest in planned.runs:
        (runs_root / digest).symlink_to("nowhere")
    names, _ = settle(runs_root, planned)
    assert all((runs_root / digest / runs.EXPERIMENT).is_file() for digest in names)


def test_claims_edited_after_the_first_launch_keep_the_first_ones_hash(sweep, runs_root):
    _, _, folder = settled(sweep, runs_root)
    first = runs.read_json(folder / stored.SWEEP)["claims_first"]
    sweep.write_text(sweep.read_text().replace("better: fsq, than: vq", "better: vq, than: fsq"))
    stored.refresh(folder)
    now = runs.read_json(folder / stored.SWEEP)
    assert now["claims"][0]["better"] == "vq" and now["claims_first"] == first


def test_a_defaulted_choice_added_later_orphans_no_run(sweep, runs_root):
    """Rewrite what an earlier schema, without ``clip_norm``, would have left: folders under other names."""
    names, _, _ = settled(sweep, runs_root)
    renamed = {}
    for digest in names.values():  # parents come before children
        said = runs.read_json(runs_root / digest / runs.EXPERIMENT)
        said["spec"].pop("clip_norm", None)
        said["parents"] = {role: renamed.get(parent, parent) for role, parent in said["parents"].items()}
        renamed[digest] = from_json(said).digest
        runs.write_json(runs_root / digest / runs.EXPERIMENT, said)
        (runs_root / digest).rename(runs_root / renamed[digest])
    assert len({*renamed, *renamed.values()}) > len(renamed)
    again, data, _ = settled(sweep, runs_root)
    assert again == renamed
    assert {stage for trial in data["trials"] for stage in trial["stages"]} == set(renamed.values())


def test_an_old_run_of_a_component_that_is_gone_is_nobodys_business(sweep, runs_root):
    names, _, _ = settled(sweep, runs_root)
    first = next(iter(names.values()))
    said = runs.read_json(runs_root / first / runs.EXPERIMENT)
    said["spec"]["model"]["quantizer"] = {"type": "gone"}
    (runs_root / "0123456789abcdef").mkdir()
    runs.write_json(runs_root / "0123456789abcdef" / runs.EXPERIMENT, said)
    (runs_root / first / runs.EXPERIMENT).unlink()
    (runs_root / first).rmdir()
    assert settled(sweep, runs_root)[0] == names


def test_every_state_is_read_off_the_folders(sweep, runs_root):
    _, data, folder = settled(sweep, runs_root)
    first, second = (runs_root / digest for digest in data["trials"][0]["stages"])
    assert {state.status for state in stored.states(folder)} == {"planned"}
    runs.fail(first, runs.Failure("nan", "train/l1 is nan", "Traceback"))
    by_name = {f"{s.trial['name']}/{s.trial['seed']}": s for s in stored.states(folder)}
    assert by_name["vq+0.0/0"][1:] == ("blocked", "stage 'images': nan: train/l1 is nan")
    (first / runs.ERROR).unlink()
    for done in (first, second):
        runs.write_json(done / runs.RESULT, {})
    assert stored.states(folder)[0].status == "unevaluated"
