"""What is done for thousands of trials at once comes to what is done for one."""

from pathlib import Path

import tiny

from omnitok import plan_sweep
from omnitok.launching.settled import settle
from omnitok.spec import identities, identity
from omnitok.training.evaluate import evaluation_digest, label_of
from omnitok.training.stage import StageRun


def test_a_digest_whose_shared_part_was_written_once_is_the_digest():
    spec, versions = {"b": [1.5, None], "a": {"z": "ü", "y": True}}, {"quantizer.vq": 2}
    rest = {"stage": "s", "alpha": 1, "zeta": {"k": [1]}, "versionless": None}
    assert identities(spec, versions)(**rest) == identity(spec, versions, **rest)
    assert identities(spec, versions)(**rest) != identities(spec, versions)(**rest | {"alpha": 2})


def test_every_run_and_every_measurement_of_a_plan_has_the_name_that_it_has_alone(tmp_path: Path, runs_root: Path):
    planned = plan_sweep(tiny.write(tmp_path))
    assert all(StageRun(*run).digest == digest for digest, run in planned.runs.items()) and len(planned.runs) > 5
    names, data = settle(runs_root, planned)
    assert names == {digest: digest for digest in planned.runs}
    (m,) = planned.measurements
    for last in {trial.stages[-1] for trial in planned.trials if trial.on is None}:
        alone = {label_of(spec): evaluation_digest(last, m.spec, spec, m.seen) for spec in m.possible}
        assert alone and data["evaluation_digests"][last] == {m.name: alone}
