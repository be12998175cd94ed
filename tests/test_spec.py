"""What can be said, and how what cannot is refused."""

import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator

from omnitok.spec import (
    REQUIRED,
    Count,
    Fault,
    Registry,
    Share,
    SpecError,
    assignment,
    check,
    decode,
    digest,
    expanded,
    flat,
    identity,
    parse_path,
    patched,
    plain,
    read_value,
    read_yaml,
    refused_key,
    resolve,
    versions,
)
from omnitok.spec.text import Mark


class Fsq:
    def __init__(self, *, levels: tuple[Annotated[int, "whole"], ...] = (8, 5)) -> None:
        self.levels = levels


class Vq:
    version = 3

    def __init__(self, *, codebook_size: Count = 8, decay: Share = 0.9, kind: Literal["a", "b"] = "a") -> None:
        self.said = (codebook_size, decay, kind)


QUANTIZERS: Registry[object] = Registry("quantizer", fsq=Fsq, vq=Vq)
Part = Annotated[Callable[..., object], QUANTIZERS]


class Window:
    def __init__(self, dim: int, *, window: Count = 8) -> None:
        self.said = (dim, window)


ATTENTION: Registry[object] = Registry("attention", window=Window)
Mix = Annotated[Callable[..., object], ATTENTION]


SMALL = partial(Vq, codebook_size=4)


class Model:
    def __init__(
        self,
        *,
        data: Annotated[str, REQUIRED],
        quantizer: Part = SMALL,
        spatial: tuple[Mix, ...] = (Window, Window),
        lr: float = 1.0,
    ) -> None:
        self.quantizer, self.spatial = quantizer(), [mix(16) for mix in spatial]


MODELS: Registry[object] = Registry("model", usual="plain", plain=Model)


@pytest.fixture
def said(tmp_path):
    def write(text: str):
        path = tmp_path / "x.yaml"
        path.write_text(text)
        return read_yaml(path, "x.yaml")

    return write


def refused(registry, data) -> list[str]:
    with pytest.raises(SpecError) as caught:
        decode(registry, data)
    return str(caught.value).splitlines()


def test_a_file_is_a_constructor_call_written_down(said):
    model = resolve(
        decode(
            MODELS,
            said("data: d\nquantizer: {type: fsq, levels: [3, 4]}\nspatial: [window, {type: window, window: 4}]\n"),
        )
    )()
    assert model.quantizer.levels == (3, 4)
    assert [mix.said for mix in model.spatial] == [(16, 8), (16, 4)]


def test_a_partial_as_default_is_said_with_its_choices():
    spec = decode(MODELS, read_value("{data: d}", "here"))
    assert plain(spec)["quantizer"] == {"type": "vq", "codebook_size": 4, "decay": 0.9, "kind": "a"}


def test_every_fault_of_a_file_is_reported_at_its_line_with_the_nearest_name(said):
    text = """\
quantizer:
  type: fsq
  levls: [8]
  levels: 3
spatial: [windw, {type: window, window: 4.5}, {window: 3}, 7]
zoo: 1
lr: fast
"""
    assert refused(MODELS, said(text)) == [
        "x.yaml:1: data: must be said; it has no default",
        "x.yaml:4: quantizer.levels: must be a list, not 3",
        "x.yaml:3: quantizer.levls: no such choice of quantizer 'fsq'; did you mean 'levels'? (known: levels)",
        "x.yaml:5: spatial[0]: no attention 'windw'; did you mean 'window'? (known: window)",
        "x.yaml:5: spatial[1].window: must be a whole number, not 4.5",
        "x.yaml:5: spatial[2]: which attention? say type: (known: window)",
        "x.yaml:5: spatial[3]: must name an attention, not a whole number (known: window)",
        "x.yaml:7: lr: must be a number, not 'fast' (text)",
        "x.yaml:6: zoo: no such choice of model 'plain' (known: data, quantizer, spatial, lr)",
    ]


def test_a_choice_named_like_its_component_is_placed_right(said):
    assert refused(MODELS, said("data: d\nspatial:\n  - type: window\n    window: -1\n")) == [
        "x.yaml:4: spatial[0].window: must be greater than or equal to 1, not -1"
    ]


@pytest.mark.parametrize("value", ["true", "'3'", "2.0", "[1]", "null", "08x"])
def test_a_whole_number_is_a_whole_number(value):
    assert refused(QUANTIZERS, read_value(f"{{type: vq, codebook_size: {value}}}", "here"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"x.yaml:1: the file is empty"),
        ("# nothing\n", r"x.yaml:1: the file is empty"),
        (
            "a: 1\nb: {c: 1, c: 2}\na: 2",
            r"x.yaml:2: b.c: said twice; first in line 2\nx.yaml:3: a: said twice; first in line 1",
        ),
        ("a: 1\n\tb: 3", r"x.yaml:2: not YAML: .*'\\t'"),
        ("a: [1", r"x.yaml:1: not YAML"),
        ("a: &x 1\nb: *x", r"x.yaml:1: anchors and aliases are not read"),
        ("a: !!python/object/apply:os.system ['true']", r"x.yaml:1: "),
        ("a: !thing 3", r"x.yaml:1: a: the tag '!thing' is not read"),
        ("b: 1\na: !!float abc", r"x.yaml:2: a: the tag '!!float' is not read; say the value plainly"),
        ("a: !!float ''", r"x.yaml:1: a: the tag '!!float'"),
        ("a: !!bool yes", r"x.yaml:1: a: the tag '!!bool'"),
        ("a: [1, !!int x, !!str 3]", r"x.yaml:1: a\[1\]: the tag '!!int'.*\n.*a\[2\]: the tag '!!str'"),
        ("a: ! 12", r"x.yaml:1: a: the tag '!' is not read"),
        ("a: !!map {b: 1}", r"x.yaml:1: a: the tag '!!map' is not read"),
        ("!!str a: 1", r"x.yaml:1: a name must be plain text"),
        ("a: 1\nb: .nan", r"x.yaml:2: b: a number must be finite, not .nan"),
        ("a: [-.INF, 1e400, 1.5]", r"x.yaml:1: a\[0\]: .* not -.INF\nx.yaml:1: a\[1\]: .* not 1e400$"),
        ("a: " + "9" * 5000, r"x.yaml:1: a: a whole number must be .*, not 9{20}\.\.\. \(5000 characters\)$"),
        ("a: -9223372036854775808", r"x.yaml:1: a: a whole number must be at most 9223372036854775807 in size"),
        ("a: " + "9" * 5000 + ".5", r"x.yaml:1: a: a number must be finite"),
        ("- 1", r"x.yaml:1: expected a mapping of names, not a list"),
        ("a: " + "[" * 1200, r"x.yaml:1: "),
    ],
)
def test_yaml_that_nobody_means_is_refused(said, text, message):
    with pytest.raises(SpecError, match=message):
        said(text)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: 1\nb: \xff")
    with pytest.raises(SpecError, match=r"x.yaml:2: not UTF-8: byte 0xff"):
        read_yaml(path)
    with pytest.raises(SpecError, match=r"y.yaml: no such file; did you mean 'x.yaml'"):
        read_yaml(tmp_path / "y.yaml")
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "mine.yaml").write_text("a: 1")
    with pytest.raises(SpecError, match=r"mine: no such file; did you mean '.*sweeps/mine.yaml'\?$"):
        read_yaml(tmp_path / "mine")


def test_scalars_are_what_people_mean():
    read = read_value("{a: 1e-4, b: no, c: on, d: 1_000, e: 2026-11-23, f: .5, g: +3, h: 0x10, i: ~, j: true}", "here")
    assert read == {
        "a": 1e-4, "b": "no", "c": "on", "d": "1_000", "e": "2026-11-23", "f": 0.5, "g": 3, "h": "0x10", "i": None,
        "j": True,
    }  # fmt: skip


def test_one_and_one_point_zero_are_the_same_run():
    one, same = (plain(decode(MODELS, read_value(f"{{data: d, lr: {lr}}}", ""))) for lr in ("1", "1.0"))
    assert digest(one) == digest(same)


def test_the_version_of_a_component_is_part_of_the_identity(monkeypatch):
    spec = decode(QUANTIZERS, read_value("vq", ""))
    before = identity(plain(spec), versions(spec))
    monkeypatch.setattr(Vq, "version", 4)
    assert identity(plain(spec), versions(spec)) != before


@pytest.mark.parametrize("make", [lambda *, x=1: x, lambda **rest: rest])
def test_a_signature_that_is_no_schema_is_a_type_error_at_once(make):
    with pytest.raises(TypeError, match="slot 'part'"):
        Registry("slot", part=make)


def test_a_required_choice_must_be_marked_so():
    def part(*, x: int) -> int:
        return x

    with pytest.raises(TypeError, match="needs a default"):
        Registry("slot", part=part)


def test_flat_names_are_dotted_paths():
    data = {"model": {"spatial": [{"type": "window"}], "levels": [8, 5]}, "lr": 1.0}
    assert flat(data) == {"model.spatial[0].type": "window", "model.levels": [8, 5], "lr": 1.0}


def patch(text: str, path: str, value: str):
    mark = Mark("--set")
    return patched(read_value(text, "base"), parse_path(path, mark), read_value(value, "--set"), mark)


def test_a_patch_replaces_a_slot_whole_and_shares_the_rest():
    assert patch("{model: {quantizer: {type: vq, decay: 1}}}", "model.quantizer", "{type: fsq}") == {
        "model": {"quantizer": {"type": "fsq"}}
    }
    assert patch("{a: [{b: 1}, {b: 2}]}", "a[1].b", "3") == {"a": [{"b": 1}, {"b": 3}]}
    assert patch("{}", "a.b", "3") == {"a": {"b": 3}}


def test_a_key_that_has_dots_is_named_in_quotes():
    assert parse_path('search.space["optimizer.lr"].of[1]', Mark("here")) == (
        "search",
        "space",
        "optimizer.lr",
        "of",
        1,
    )
    assert patch("{space: {a.b: {low: 1}, c: 2}}", 'space["a.b"].low', "3") == {"space": {"a.b": {"low": 3}, "c": 2}}


@pytest.mark.parametrize("path", ["a.b.c", "a.b[0]", "l[2]", "l.x"])
def test_a_patch_through_something_that_has_no_inside_is_refused(path):
    with pytest.raises(SpecError, match="the patch cannot be applied"):
        patch("{a: {b: 3}, l: [1, 2]}", path, "1")


@pytest.mark.parametrize(
    "path", ["", "a..b", "a[x]", "1a", "a b", "a.b.", f"a[{'9' * 5000}]", 'a["b"]', 'a["b.c]', '["b.c"]']
)
def test_a_path_that_is_none_is_refused(path):
    with pytest.raises(SpecError, match="not a dotted path"):
        parse_path(path, Mark("here"))


def test_an_assignment_needs_an_equals_sign():
    assert assignment("a.b=c=d") == ("a.b", "c=d")
    with pytest.raises(SpecError, match="path=value"):
        assignment("a.b")


def test_a_stage_inherits_the_one_before_it():
    said = read_value(
        "{one: {model: {type: a, x: 1, q: {type: vq, decay: 1}}, steps: 3, init: nobody},"
        " two: {model: {x: 2, q: {type: fsq}}}, three: {model: {q: {levels: 1}}}}",
        "here",
    )
    whole = expanded(said)
    assert whole["two"] == {"model": {"type": "a", "x": 2, "q": {"type": "fsq"}}, "steps": 3}
    assert whole["three"]["model"] == {"type": "a", "x": 2, "q": {"type": "fsq", "levels": 1}}


def test_the_largest_whole_number_and_leading_zeros_are_read():
    assert read_value(f"[9223372036854775807, -9223372036854775807, -{'0' * 5000}7, +0]", "here") == [
        9223372036854775807, -9223372036854775807, -7, 0,
    ]  # fmt: skip


class Sgd:
    def __init__(self, *, lr: float = 1.0, momentum: float = 0.0) -> None: ...


class Adam:
    def __init__(self, *, lr: float = 1.0, decay: float = 0.0, part: Part = SMALL) -> None: ...


OPTIMIZERS: Registry[object] = Registry("optimizer", usual="adam", adam=Adam, sgd=Sgd)


class Train:
    def __init__(self, *, optimizer: Annotated[Callable[..., object], OPTIMIZERS] = Adam) -> None: ...


TASKS: Registry[object] = Registry("task", tag="task", usual="train", train=Train)


def fsq(level: int):
    return {"type": "fsq", "levels": [level]}


def vq(size: int):
    return {"type": "vq", "codebook_size": size, "decay": 0.9, "kind": "a"}


SAID = "{lr: 3.0, decay: 0.5, part: {type: fsq, levels: [3]}}"


@pytest.mark.parametrize(
    ("one", "two", "whole"),
    [
        (SAID, "{type: adam, lr: 2.0}", {"type": "adam", "lr": 2.0, "decay": 0.5, "part": fsq(3)}),
        (SAID, "{part: {levels: [4]}}", {"type": "adam", "lr": 3.0, "decay": 0.5, "part": fsq(4)}),
        (SAID, "{part: {type: vq}}", {"type": "adam", "lr": 3.0, "decay": 0.5, "part": vq(8)}),
        (SAID, "{type: sgd}", {"type": "sgd", "lr": 1.0, "momentum": 0.0}),
        ("{type: sgd, lr: 3.0}", "{momentum: 0.5}", {"type": "sgd", "lr": 3.0, "momentum": 0.5}),
        ("{type: sgd, lr: 3.0}", "{type: adam}", {"type": "adam", "lr": 1.0, "decay": 0.0, "part": vq(4)}),
        ("sgd", "{momentum: 0.5}", {"type": "sgd", "lr": 1.0, "momentum": 0.5}),
        ("{type: sgd, lr: 3.0}", "sgd", {"type": "sgd", "lr": 1.0, "momentum": 0.0}),
    ],
)
def test_naming_the_usual_component_changes_nothing_and_naming_another_replaces(one, two, whole):
    stages = expanded(read_value(f"{{one: {{optimizer: {one}}}, two: {{optimizer: {two}}}}}", "here"), TASKS)
    assert plain(decode(TASKS, stages["two"]))["optimizer"] == whole


def test_without_a_registry_only_two_names_can_differ():
    stages = expanded(read_value("{one: {opt: {lr: 3, decay: 1}}, two: {opt: {type: adam, lr: 2}}}", "here"))
    assert stages["two"] == {"opt": {"lr": 2, "decay": 1, "type": "adam"}}


def test_a_component_named_by_nonsense_is_refused_and_no_crash():
    stages = expanded(read_value("{a: {optimizer: {lr: 1.0}}, b: {optimizer: {type: [1], part: {x: 1}}}}", "h"), TASKS)
    assert refused(TASKS, stages["b"]) == ["h: optimizer: no optimizer [1] (known: adam, sgd)"]


class Resources(BaseModel):
    model_config = ConfigDict(extra="allow")
    workers: int = 1

    @model_validator(mode="after")
    def _known(self) -> "Resources":
        for name in self.model_extra or {}:
            raise refused_key(name, "no such {resource}")
        if not self.workers:
            raise ValueError("say some workers")
        return self


class Asked(BaseModel):
    resources: Resources


def test_a_validators_refusal_is_its_own_words_at_the_key_that_it_names(said):
    for text, line in [
        ("resources:\n  workers: 2\n  worker: 2\n", "x.yaml:3: resources.worker: no such {resource}"),
        ("resources:\n  workers: 0\n", "x.yaml:1: resources: say some workers"),
        ("resources: []\n", "x.yaml:1: resources: must be a mapping, not a list"),
    ]:
        with pytest.raises(SpecError) as caught:
            check(Asked, said(text))
        assert str(caught.value) == line


def test_a_refusal_never_repeats_a_whole_mapping_or_a_long_text():
    assert refused(MODELS, read_value("{data: {a: 1}, lr: [1]}", "h")) == [
        "h: data: must be a string, not a mapping",
        "h: lr: must be a number, not a list",
    ]
    assert len(refused(MODELS, read_value(f"{{data: d, lr: {'x' * 5000}}}", "h"))[0]) < 120


def test_a_fault_that_a_stage_inherits_is_said_once_and_different_faults_are_all_said():
    mark = Mark("x", 3, 7)
    inherited = [Fault(mark, f"stages.{name}.model.spatial[0].window", "wrong") for name in ("one", "two")]
    assert SpecError(inherited).faults == inherited[:1]
    for other in [
        Fault(mark, "stages.one.model.spatial[1].window", "wrong"),
        Fault(mark, "stages.one.model.window", "wrong"),
        Fault(mark, "baselines[0].window", "wrong"),
        Fault(mark._replace(column=9), "stages.two.model.spatial[0].window", "wrong"),
        Fault(mark, "stages.two", "wrong"),
    ]:
        assert SpecError([inherited[0], other]).faults == [inherited[0], other]
    lines = refused(
        MODELS, read_value("{data: d, spatial: [{type: window, window: 0}, {type: window, window: 0}]}", "h")
    )
    assert [line.split(": ")[1] for line in lines] == ["spatial[0].window", "spatial[1].window"]


class Lists(BaseModel):
    some: Annotated[tuple[Count, ...], Strict(False), Field(min_length=1)] = (1,)
    pair: Annotated[tuple[int, int], Strict(False)] = (1, 2)


def test_a_list_of_the_wrong_length_is_refused_by_its_own_length_and_not_for_what_is_wrong_in_it(said):
    for text, line in [
        ("some: []", "some: must be a list of at least 1, not of 0"),
        ("some: [0]", "some[0]: must be greater than or equal to 1, not 0"),
        ("pair: [1, 2, 3]", "pair: must be a list of at most 2, not of 3"),
    ]:
        with pytest.raises(SpecError, match=f"^{re.escape('x.yaml:1: ' + line)}$"):
            check(Lists, said(text))
