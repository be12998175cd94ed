"""A mixture draws from its parts by share, and is all of them otherwise."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from omnitok.data import DATASETS, DataError, check_folder
from omnitok.data.embedded import Embedded
from omnitok.data.folder import Folder
from omnitok.data.mixture import Mixture
from omnitok.data.moving import MovingShapes
from omnitok.spec import SpecError, decode, read_value, resolve
from omnitok.training.evaluate import key_of
from omnitok.training.stage import fingerprints

RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two folders of photos of one colour each."""
    for name, colour in (("reds", RED), ("blues", BLUE)):
        for i in range(3):
            path = tmp_path / name / "plain" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (24 + i, 24), colour).save(path)
        check_folder(tmp_path / name)
    return tmp_path


def folder(root: Path, name: str) -> Any:
    return partial(Folder, name=name, fingerprint=check_folder(root / name).fingerprint)


def colours(dataset: Mixture, count: int) -> Counter[bool]:
    draw = torch.Generator().manual_seed(0)
    return Counter(bool(dataset.sample(draw, 1, 8)[0].mean() > 0) for _ in range(count))


def test_samples_are_of_each_part_by_its_share_whatever_the_shares_sum_to(root: Path) -> None:
    of = (folder(root, "reds"), folder(root, "blues"))
    for shares, reds in (((1.0, 3.0), 0.25), ((0.9, 0.1), 0.9), ((5.0, 5.0), 0.5)):
        assert colours(Mixture(root, "train", of=of, shares=shares), 600)[True] / 600 == pytest.approx(reds, abs=0.06)


def test_clips_come_from_the_parts_that_have_so_long_ones_and_single_frames_from_those_with_photos(root: Path) -> None:
    of = (folder(root, "reds"), MovingShapes, partial(MovingShapes, length=9))
    dataset = Mixture(root, "val", of=of, shares=(1.0, 1.0, 8.0))
    assert dataset.photos
    assert colours(dataset, 40) == {True: 40}
    assert [name.partition("/")[0] for name in dataset.items(1)] == ["reds"]
    assert {name.partition("/")[0] for name in dataset.items(5)} == {"moving_shapes", "moving_shapes.2"}
    assert {name.partition("/")[0] for name in dataset.items(12)} == {"moving_shapes"}
    only = MovingShapes(root, "val").sample
    for seed in range(8):  # of the one part that is left, the share is whole
        mixed, alone = (torch.Generator().manual_seed(seed) for _ in range(2))
        torch.rand((), generator=alone, dtype=torch.float64)
        assert torch.equal(dataset.sample(mixed, 6, 16, 2), only(alone, 6, 16, 2))
    without = Mixture(root, "val", of=of[1:], shares=(1.0, 1.0))
    assert len(without.items(1)) == 96


def test_items_labels_classes_and_views_are_those_of_the_parts(root: Path) -> None:
    of = (MovingShapes, folder(root, "blues"), partial(Embedded, short_side="native"), folder(root, "reds"))
    dataset = Mixture(root, "test", of=of, shares=(1.0,) * 4)
    assert dataset.classes == (
        "moving_shapes/disc", "moving_shapes/square", "moving_shapes/triangle", "blues/plain", "reds/plain",
    )  # fmt: skip
    names = dataset.items(1)
    assert dataset.count(1) == len(names) == len(set(names)) == 1 + 8 + 1
    labels = [dataset.label(i, 1) for i in range(len(names))]
    assert labels == [3, *[None] * 8, 4]
    assert torch.equal(dataset.item(9, 1, 16), folder(root, "reds")(root, "test").item(0, 1, 16))
    assert [dataset.label(i, 5) for i in range(4)] == [0, 1, 2, 0]
    for wrong in (-1, 10):
        with pytest.raises(IndexError):
            dataset.item(wrong, 1, 16)
    assert dataset.finest(1) == 24
    assert dataset.view(1, 16) == (
        "blues: cc256->16 bicubic; embedded: grid 2x2 of native->16 bicubic; reds: cc256->16 bicubic"
    )
    alike = Mixture(root, "test", of=(of[1], of[3]), shares=(1.0, 1.0))
    assert alike.view(1, 16) == "cc256->16 bicubic"


def test_what_is_no_mixture_is_refused(root: Path) -> None:
    reds, blues = folder(root, "reds"), folder(root, "blues")
    for of, shares, said in [
        ((), (), "of: a mixture has at least one part"),
        ((reds, blues), (1.0,), "shares: 1 of them for 2 parts"),
        ((reds, blues), (1.0, 0.0), r"shares: 0\.0 is not above 0"),
        (
            (reds, blues, partial(reds, flip=False)),
            (1.0,) * 3,
            r"of: reds\.2 is the same dataset as reds; name it once",
        ),
        ((reds, partial(blues, fingerprint="0")), (1.0, 1.0), r"of\[1\] \(blues\): .*its fingerprint is"),
    ]:
        with pytest.raises(DataError, match=said):
            Mixture(root, "train", of=of, shares=shares)
    for text, said in [
        ("{type: mixture, of: [embedded], shares: [0]}", r"shares\[0\]: must be greater than 0"),
        ("{type: mixture, of: [{type: mixture}], shares: [1]}", "no part 'mixture'"),
        ("{type: mixture, of: [{type: embedded, flop: true}], shares: [1]}", r"of\[0\]\.flop: .*did you mean 'flip'"),
        ("{type: mixture, shares: [1]}", "of: must be said"),
    ]:
        with pytest.raises(SpecError, match=said):
            decode(DATASETS, read_value(text, "x"))


def test_a_part_that_breaks_later_is_named(root: Path) -> None:
    dataset = Mixture(root, "val", of=(MovingShapes, folder(root, "reds")), shares=(1.0, 1.0))
    for path in (root / "reds" / "plain").iterdir():
        path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(DataError, match=r"of\[1\] \(reds\): .*png: its bytes are not those of the manifest"):
        dataset.item(0, 1, 9)
    with pytest.raises(DataError, match=r"of\[1\] \(reds\): .*png: its bytes are not those of the manifest"):
        dataset.sample(torch.Generator(), 1, 9)


def test_a_parts_bytes_are_in_the_identity_of_stages_and_its_choices_in_the_names_of_evaluations(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from omnitok.training import EVALUATIONS

    monkeypatch.setenv("OMNITOK_DATA", str(root))

    def evaluation(more: str = "") -> Any:
        printed = check_folder(root / "reds").fingerprint
        data = f"{{type: mixture, of: [moving_shapes, {{type: folder, name: reds, fingerprint: {printed}{more}}}], shares: [1, 2]}}"
        said = read_value(f"{{data: {data}, frames: 1, resolution: 16}}", "x")
        return decode(EVALUATIONS, said), said

    spec, said = evaluation()
    first = fingerprints(spec, said)
    assert first["data"] == resolve(spec.data)(root, "train").fingerprint
    assert key_of(spec) != key_of(evaluation(", flip: false")[0])
    Image.fromarray(np.full((24, 24, 3), 9, np.uint8)).save(root / "reds" / "plain" / "3.png")
    assert fingerprints(*evaluation())["data"] != first["data"]
