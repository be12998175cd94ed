"""Our variables of the environment: each has one reader, and all are looked at before anything runs."""

import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import omnitok
from omnitok.cli import main
from omnitok.spec import SpecError
from omnitok.training.environment import OF_WEIGHTS, READERS, check_environment

PACKAGE = Path(omnitok.__file__).parent
WRONG = [
    ("OMNITOK_ATTENTION", "nonsense", "OMNITOK_ATTENTION=nonsense must be one of auto, manual, sdpa, flex"),
    ("OMNITOK_COMPILE", "inducter", "is no backend of torch.compile; did you mean 'inductor'? (known: 0, 1, eager"),
    ("OMNITOK_RECOMPUTE", "maybe", "OMNITOK_RECOMPUTE=maybe: must be 0 or 1"),
    ("OMNITOK_DATA_WORKERS", "two", "OMNITOK_DATA_WORKERS=two: is no whole number from 0 on"),
    ("OMNITOK_DECODED", "-1", "OMNITOK_DECODED=-1: is no whole number from 0 on"),
    ("OMNITOK_DECODERS", "x", "OMNITOK_DECODERS=x: is no whole number from 0 on"),
    ("OMNITOK_DECODER_THREADS", "1.5", "OMNITOK_DECODER_THREADS=1.5: is no whole number from 0 on"),
    ("OMNITOK_DECODING", "all", "OMNITOK_DECODING=all: is no whole number from 0 on"),
    ("OMNITOK_DETERMINISTIC", "maybe", "OMNITOK_DETERMINISTIC=maybe: must be 0 or 1"),
    ("OMNITOK_DEVICE", "cudda", "OMNITOK_DEVICE=cudda: names no device"),
    ("OMNITOK_DEVICE", "cuda:99", "OMNITOK_DEVICE=cuda:99: is not here; GPUs that are:"),
    (
        "OMNITOK_DATA_WORKER",
        "2",
        "OMNITOK_DATA_WORKER: no such variable; did you mean 'OMNITOK_DATA_WORKERS'? (known: ",
    ),
    ("OMNITOK_WEIGHTS_LPIPSS", "a", "OMNITOK_WEIGHTS_LPIPSS: no weights 'lpipss'"),
]
RUNNING = [
    "run x.yaml", "plan x.yaml", "launch x.yaml", "reconstruct x x.png", "evaluate x", "tokenize x", "data check x",
    "evaluate --originals a --reconstructions b", "evaluate --data x --export-items o", "weights fetch x",
    "data procgen16", "data natural_mini", "data pack x --out x.tar.xz", "data unpack x",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _none_of_ours(monkeypatch):
    for name in list(os.environ):
        if name.startswith("OMNITOK_") and name not in ("OMNITOK_RUNS", "OMNITOK_DATA"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(("name", "value", "said"), WRONG)
def test_what_a_variable_says_wrongly_is_refused_in_a_sentence(name, value, said, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(SpecError) as caught:
        check_environment()
    assert str(caught.value).startswith(f"environment: {name}") and said in str(caught.value)


def test_all_that_is_wrong_is_said_at_once_and_empty_says_nothing(monkeypatch):
    for name in READERS:
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("OMNITOK_NOTHING", "")
    check_environment()
    monkeypatch.setenv("OMNITOK_DECODED", "much")
    monkeypatch.setenv("OMNITOK_RECOMPUTE", "yes")
    with pytest.raises(SpecError) as caught:
        check_environment()
    assert len(caught.value.faults) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OMNITOK_COMPILE", "1"), ("OMNITOK_COMPILE", "eager"), ("OMNITOK_RECOMPUTE", "1"), ("OMNITOK_DEVICE", "cpu"),
        ("OMNITOK_WEIGHTS_LPIPS_ALEX", "/a"), ("OMNITOK_GOLDEN", "/a"), ("OMNITOK_DECODING", "0"),
    ],
)  # fmt: skip
def test_what_is_legal_passes(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    check_environment()


@pytest.mark.parametrize("words", RUNNING)
def test_every_command_that_runs_something_refuses_before(words, monkeypatch):
    monkeypatch.setenv("OMNITOK_DECODERS", "x")
    done = CliRunner().invoke(main, words.split())
    assert done.exit_code == 2
    assert done.stderr == "environment: OMNITOK_DECODERS=x: is no whole number from 0 on\n"


def test_doctor_says_what_is_wrong(monkeypatch):
    monkeypatch.setenv("OMNITOK_DECODERS", "x")
    from omnitok.doctor import _environment

    assert _environment() == ("environment", False, "OMNITOK_DECODERS=x: is no whole number from 0 on")
    monkeypatch.setenv("OMNITOK_DECODERS", "3")
    assert _environment().fine and "OMNITOK_DECODERS=3" in _environment().seen


def test_the_table_has_every_variable_that_the_package_names():
    text = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    named = set(re.findall(r"\bOMNITOK_[A-Z]+(?:_[A-Z]+)*\b", text)) - {"OMNITOK_GOLDEN", "OMNITOK_REQUIRE_SERVICES"}
    assert named == set(READERS)
    assert OF_WEIGHTS not in READERS
