"""What is listed of components: what they cost, and the settings of quantizers that spend a number of bits."""

import inspect
import math
import re

import pytest
from click.testing import CliRunner

from omnitok.catalogue import CLIP, GRID, MEASURED, WIDTH, entries
from omnitok.cli import main
from omnitok.cli.tables import giga
from omnitok.exhibits import EXHIBITS
from omnitok.quantizers import QUANTIZERS
from omnitok.spec import SpecError, decode, flow, read_value, resolve


def call(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def by_name(slot: str):
    return {entry.name: entry for entry in entries(slot)}


def test_the_cost_of_an_attention_is_that_of_its_formula():
    tokens, frame = math.prod(GRID), GRID[1] * GRID[2]
    found = by_name("attention")
    projections = 2 * tokens * WIDTH * 4 * WIDTH
    assert found["full"].flops == projections + 2 * 2 * tokens * frame * WIDTH
    assert found["window"].flops == projections + 2 * 2 * tokens * 4 * 4 * WIDTH
    assert found["full"].parameters == 4 * WIDTH**2 + WIDTH + 2 * WIDTH
    assert all(entry.flops and entry.parameters for entry in found.values())


def test_patches_and_models_cost_what_a_clip_does_and_nothing_is_measured_where_all_slots_are_listed():
    frames, side = CLIP
    pixels = 3 * side * side
    assert by_name("patches")["linear"].flops == 2 * 2 * WIDTH * pixels * frames
    assert by_name("model")["omnitok"].flops > by_name("peg")["none"].flops == 0
    assert {entry.flops for entry in entries()} == {None}


@pytest.mark.parametrize("bits", [1, 8, 13, 16])
def test_every_setting_spends_the_bits_that_were_asked_for(bits):
    for entry in entries("quantizer", bits):
        for one in entry.settings:
            made = resolve(decode(QUANTIZERS, {"type": entry.name, **one.choices}))()
            assert one.bits == made.bits_per_token == pytest.approx(bits, abs=1e-9)
            assert (one.channels, one.codebook_sizes) == (made.channels, made.codebook_sizes)


def test_settings_are_printed_to_be_pasted_and_the_others_say_why():
    output = call("components", "quantizer", "--bits", "8")
    assert "{type: vq, codebook_size: 256}" in output and "continuous, so its latents have no codes" in output
    output = call("components", "quantizer", "--bits", "13")
    assert "none at 13 bits" in output and "  13 x 2  " in output and "  16 + 512  " in output
    header, *lines = output.split("\n\n")[0].splitlines()
    pasted = "\n".join(line[header.index("to be pasted") :] for line in lines)
    said = [text for text in re.split(r"^(?=[{a-z])", pasted, flags=re.M) if text.startswith("{")]
    assert len(said) == sum(len(entry.settings) for entry in entries("quantizer", 13))
    for text in said:
        assert resolve(decode(QUANTIZERS, read_value(text, "here")))().bits_per_token == 13


@pytest.mark.parametrize("words", [("attention",), ()])
def test_bits_of_another_slot_are_refused_with_what_to_say(words):
    with pytest.raises(SpecError, match="a quantizer spends bits, and nothing else does"):
        entries(*words, bits=13)
    assert "say: omnitok components quantizer --bits 13" in call("components", *words, "--bits", "13", code=2)
    assert "0 is not in the range" in call("components", "quantizer", "--bits", "0", code=2)


@pytest.mark.parametrize("slot", ["attention", "quantizer"])
def test_costs_are_printed_with_what_they_were_measured_at(slot):
    output = call("components", slot)
    assert "GFLOPs" in output and MEASURED[slot].split(",")[0] in output
    assert ("bits a token" in output) == (slot == "quantizer")


@pytest.mark.parametrize(
    "value",
    [{"type": "fsq", "levels": [8, 4]}, {"of": {"type": "vq", "normalise": False}, "depth": 2}, "no", 1.5, None],
)
def test_a_line_of_yaml_is_read_as_what_was_written(value):
    assert read_value(flow(value), "") == value


def test_large_numbers_stay_readable():
    assert [giga(flops) for flops in (0, 2.5e7, 8.512e10, 2.6213e13)] == ["0", "0.025", "85.1", "26,213"]


def test_exhibits_are_listed_with_the_choices_and_defaults_of_their_signatures():
    for name, entry in by_name("exhibit").items():
        asked = inspect.signature(EXHIBITS.components[name]).parameters.values()
        defaults = {one.name: one.default for one in asked if one.kind is one.KEYWORD_ONLY}
        required = {choice for choice, default in defaults.items() if default is inspect.Parameter.empty}
        assert {one.name for one in entry.choices if one.default == "(must be said)"} == required, name
        said = {one.name: read_value(one.default, "") for one in entry.choices if one.name not in required}
        assert said == {
            choice: list(default) if isinstance(default, tuple) else default
            for choice, default in defaults.items()
            if choice not in required
        }, name


def test_every_exhibit_is_printed_with_its_choices():
    lines = call("components", "exhibit").splitlines()
    assert re.sub(r"\W+", " ", lines[0]).strip() == "exhibit default what"
    assert [line.split()[0] for line in lines if re.match(r"\w", line)] == ["exhibit", *EXHIBITS]
    at = next(i for i, line in enumerate(lines) if line.startswith("deltas"))
    assert [line.split()[0] for line in lines[at:] if re.match(r"  \w", line)][:3] == ["base", "metrics", "arms"]
    whole = call("components").splitlines()
    assert any(line.startswith("pareto") and "x, y, caption" in line for line in whole)
