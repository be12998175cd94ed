"""What the files of a run are called."""

from typing import Final

EXPERIMENT: Final = "experiment.json"
PROVENANCE: Final = "provenance.json"
RECORDS: Final = "records.jsonl"
ATTEMPTS: Final = "attempts.jsonl"
CHECKPOINT: Final = "checkpoint.pt"
WEIGHTS: Final = "weights.safetensors"
AVERAGED: Final = "weights.ema.safetensors"
ADVERSARY: Final = "adversary.safetensors"
RESULT: Final = "result.json"
ERROR: Final = "error.txt"
EVALUATIONS: Final = "evaluations"
SAMPLES: Final = "samples"
