"""A stored sweep made by hand, file by file: what the report's tests read instead of anything that was trained."""

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from omnitok import runs, spec
from omnitok.sweep.design import arms
from omnitok.sweep.design import name_of as name_of_arm
from omnitok.sweep.file import Design

METRICS = {
    "photos": [("psnr", "dB", "higher"), ("ssim", "", "higher"), ("usage", "", "neither")],
    "clips": [("psnr", "dB", "higher")],
}
CLAIM: dict[str, Any] = {"metric": "psnr", "on": "photos", "better": "progressive", "than": "joint", "margin": 0.0, "where": {},
                         "source": "arXiv 2406.09399"}  # fmt: skip
FRAMES = {"photos": 1, "clips": 9}
ITEMS = {"photos": ["chelsea[0,0]", "coffee[64,32]", "rocket[0,64]"], "clips": ["bikes[0]", "carphone pristine[9]"]}


def name_of(*words: object) -> str:
    """A digest made of words, so that a test can say it again."""
    return hashlib.sha256("/".join(map(str, words)).encode()).hexdigest()[:16]


class Synthetic:
    """Two quantizers x two schedules x seeds, with two baselines, under ``root``. Change ``arms``' values, then write.

    ``values[arm, seed]["photos/psnr"]`` is what an evaluation says; None is "does not apply".
    """

    def __init__(
        self, root: Path, seeds: tuple[int, ...] = (0, 1, 2), factors: dict[str, list[str]] | None = None,
        design: Design = "full",
    ) -> None:  # fmt: skip
        self.root, self.seeds = root, seeds
        self.factors = factors or {"model.quantizer": ["vq", "fsq"], "stages.joint.schedule": ["joint", "progressive"]}
        self.arms = {name_of_arm(arm): arm for arm in arms(design, self.factors)}
        self.baselines = {"mean_colour": 12.0, "patch_mean": 18.0}
        self.claims: list[dict[str, Any]] = []
        self.values = {(arm, seed): self.usual(arm, seed) for arm in self.arms for seed in seeds}
        self.commits: dict[str, str | None] = {}
        self.stored = root / "sweeps" / name_of("sweep", *self.factors)
        self.name = "quickstart"
        self.pictures = True

    def usual(self, arm: str, seed: int) -> dict[str, float | None]:
        place = list(self.arms).index(arm)
        noise = np.random.default_rng([place, seed]).normal(size=4).tolist()
        gain = 0.6 * (place % 2) + 0.15 * (place // 2)
        return {
            "photos/psnr": 22.0 + gain + 0.4 * seed + 0.05 * noise[0],
            "photos/ssim": 0.71 + 0.02 * gain + 0.004 * noise[1],
            "photos/usage": None if "gaussian" in arm else 0.5 + 0.1 * place + 0.01 * noise[2],
            "clips/psnr": 21.0 + 0.3 * gain + 0.2 * noise[3],
        }  # fmt: skip

    def first(self, arm: str, seed: int) -> str:
        return name_of("images", next(iter(self.arms[arm].values()), "base"), seed)

    def last(self, arm: str, seed: int) -> str:
        return name_of("joint", arm, seed)

    def baseline(self, name: str) -> str:
        return name_of("baseline", name)

    def trials(self) -> list[dict[str, Any]]:
        arms = [
            {"kind": "arm", "name": arm, "arm": labels, "seed": seed,
             "stages": [self.first(arm, seed), self.last(arm, seed)], "parameters": 123456, "tokens": {"1x64": 64}}
            for arm, labels in self.arms.items() for seed in self.seeds
        ]  # fmt: skip
        return arms + [{"kind": "baseline", "name": name, "arm": {}, "seed": None, "stages": [self.baseline(name)],
                        "parameters": None, "tokens": {}} for name in self.baselines]  # fmt: skip

    def plan(self) -> dict[str, Any]:
        evaluations = [
            {"name": name, "key": f"embedded.test.{FRAMES[name]}x64",
             "spec": {"data": {"type": "embedded"}, "split": "test", "frames": FRAMES[name], "resolution": 64,
                      "weights": "raw"},
             "metrics": [{"label": label, "key": f"embedded.test.{FRAMES[name]}x64/{label}", "unit": unit,
                          "better": better, "protocol": f"{label}[rgb,mean of per-frame]"}
                         for label, unit, better in metrics]}
            for name, metrics in METRICS.items()
        ]  # fmt: skip
        lasts = [trial["stages"][-1] for trial in self.trials()]
        wanted = {last: {name: {label: name_of(last, name, label) for label, _, _ in metrics}
                         for name, metrics in METRICS.items()} for last in lasts}  # fmt: skip
        names = ("images", "joint")
        stages = {digest: {"stage": names[i]} for trial in self.trials() for i, digest in enumerate(trial["stages"])}
        return {"factors": self.factors, "seeds": list(self.seeds), "trials": self.trials(), "stages": stages,
                "evaluations": evaluations, "evaluation_digests": wanted, "notices": []}  # fmt: skip

    def store(self) -> Path:
        """The plan only, as before the first run."""
        self.stored.mkdir(parents=True, exist_ok=True)
        said = {"name": self.name, "file": "sweeps/quickstart.yaml", "path": "", "evaluate": [], "digest": self.stored.name, "set": ["batch=8"],
                "question": "Does a progressive schedule help, whatever the quantizer?", "claims": self.claims,
                "claims_first": {"sha256": spec.digest(self.claims), "at": "2026-11-23T16:00:00+00:00"},
                "launched": "2026-11-23T16:00:00+00:00"}  # fmt: skip
        runs.write_json(self.stored / "sweep.json", said)
        runs.write_json(self.stored / "plan.json", self.plan())
        return self.stored

    def write(self) -> Path:
        """Everything, as after a launch that went well."""
        for arm, seed in itertools.product(self.arms, self.seeds):
            model = {"quantizer": {"type": arm.partition("+")[0], "levels": [8, 5]}}
            self.run(self.first(arm, seed), "images", seed, {"model": model})
            choices = {"model": model, "steps": 300, "resolution": 64}
            folder = self.run(self.last(arm, seed), "joint", seed, choices)
            self.evaluate(folder, self.values[arm, seed], blur=2 + list(self.arms).index(arm))
        for name, value in self.baselines.items():
            folder = self.run(self.baseline(name), "baseline", None, {"task": "baseline"})
            said = {"photos/psnr": value, "photos/ssim": 0.3, "photos/usage": None, "clips/psnr": value - 1}
            self.evaluate(folder, said, blur=16 if name == "patch_mean" else 64)
        return self.store()

    def run(self, digest: str, stage: str, seed: int | None, choices: dict[str, Any]) -> Path:
        folder = self.root / digest
        if folder.exists():
            return folder
        folder.mkdir(parents=True)
        runs.write_json(folder / runs.EXPERIMENT, {"kind": "stage", "stage": stage, "spec": choices, "seed": seed})
        commit = self.commits.get(digest, "c0ffee" * 6 + "cafe")
        runs.write_json(folder / runs.PROVENANCE, {
            "commit": commit, "dirty": False, "code": "abcd", "device": "cpu", "threads": 1,
            "versions": {"python": "3.11", "torch": "2.13.0"}, "created": "2026-11-23T16:00:00+00:00",
        })  # fmt: skip
        if seed is not None and self.pictures:
            self.records(folder, int(digest[:4], 16) % 7 / 40 + 0.02 * seed)
        runs.append_line(folder / runs.ATTEMPTS, {"seconds": 12.5, "from_step": 0, "to_step": 300, "ended": "done"})
        runs.write_json(folder / runs.RESULT, {"steps": 300})
        return folder

    def records(self, folder: Path, shift: float) -> None:
        lines = []
        for step in range(0, 300, 2):
            values = {"train/loss": 0.1 + shift + 0.5 * float(np.exp(-step / 60))}
            if step % 50 == 0:
                values["val/psnr"] = 22 - 10 * shift - 8 * float(np.exp(-step / 80))
            lines.append(runs.encode(runs.Record(step, values)))
        runs.write(folder / runs.RECORDS, b"".join(lines))

    def evaluate(self, folder: Path, values: dict[str, float | None], blur: int) -> None:
        (folder / runs.EVALUATIONS).mkdir(exist_ok=True)
        for name, metrics in METRICS.items():
            samples = f"{name}-test"
            if self.pictures:
                self.samples(folder / runs.SAMPLES / samples, name, blur)
            for label, unit, better in metrics:
                digest = name_of(folder.name, name, label)
                said = {"digest": digest, "stage": folder.name, "label": label, "unit": unit,
                        "value": values[f"{name}/{label}"], "protocol": f"{label}[rgb,mean of per-frame]", "better": better, "items": ITEMS[name], "pictures": ITEMS[name], "per_item": [],
                        "samples": samples}  # fmt: skip
                runs.write_json(folder / runs.EVALUATIONS / f"{digest}.json", said)

    def samples(self, folder: Path, evaluation: str, blur: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for i, _ in enumerate(ITEMS[evaluation]):
            strip = np.concatenate([scene(i, frame) for frame in range(FRAMES[evaluation])], axis=1)
            Image.fromarray(strip).save(folder / f"{i:02}-original.png")
            picture = Image.fromarray(strip)
            made = picture.reduce(min(blur, 64)).resize(picture.size, Image.Resampling.NEAREST)
            made.save(folder / f"{i:02}-reconstruction.png")

    def fail(self, digest: str, kind: str = "out_of_memory", sentence: str = "CUDA out of memory at step 120") -> None:
        """As if this stage run had died: no result, no evaluations."""
        folder = self.root / digest
        (folder / runs.RESULT).unlink()
        for path in (folder / runs.EVALUATIONS).glob("*.json"):
            path.unlink()
        runs.fail(folder, runs.Failure(kind, sentence, "Traceback ..."))

    def say(self, **changes: Any) -> None:
        """Edit the stored sweep.json."""
        path = self.stored / "sweep.json"
        path.write_text(json.dumps(runs.read_json(path) | changes))


def scene(item: int, frame: int, size: int = 64) -> np.ndarray:
    """A coloured disc that moves over a ramp."""
    y, x = np.mgrid[:size, :size] / size
    centre = 0.25 + 0.06 * frame + 0.1 * item
    disc = (x - centre) ** 2 + (y - 0.5) ** 2 < 0.04
    picture = np.stack([x, y, np.full_like(x, 0.3 + 0.2 * item)], axis=-1)
    picture[disc] = [(0.9, 0.2, 0.2), (0.2, 0.8, 0.3), (0.95, 0.8, 0.2)][item]
    return (255 * picture).astype(np.uint8)


def half_failed(root: Path) -> Synthetic:
    """A sweep that is done but for one seed of one arm, which ran out of memory."""
    sweep = Synthetic(root)
    sweep.claims = [CLAIM]
    sweep.write()
    sweep.fail(sweep.last("fsq+progressive", 2))
    return sweep


def attacked(root: Path, name: str) -> Synthetic:
    """A sweep whose every name is ``name``, which is an attack."""
    sweep = Synthetic(root, seeds=(0,), factors={"model.quantizer": [name, "vq"]})
    sweep.name = name
    sweep.claims = [CLAIM | {"better": name, "than": "vq", "source": name}]
    sweep.baselines = {name: 12.0}
    sweep.write()
    sweep.fail(sweep.last("vq", 0), "bug", name)
    sweep.say(question=name, set=[f"x={name}"])
    return sweep
