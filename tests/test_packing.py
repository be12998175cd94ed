"""Packs: what is unpacked is what was packed or made so small, and nothing but what its manifest says is ever written."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import faked
import numpy as np
import pytest
from click.testing import CliRunner

from omnitok import runs
from omnitok.cli import main
from omnitok.data import DataError, make_procgen, natural, pack_dataset, recording, unpack_dataset
from omnitok.data.packing import NATURAL
from omnitok.data.procgen import FILE, Procgen
from omnitok.data.recording import ENVIRONMENTS, Step

Members = list[tuple[tarfile.TarInfo, bytes]]


def played(game: str, split: str, side: int) -> Iterator[Step]:
    draw = np.random.default_rng([len(game), len(split), *game.encode()])
    for step in range(300):
        frames = (
            draw.integers(0, 256, (ENVIRONMENTS, 8, 8, 3), dtype=np.uint8).repeat(side // 8, 1).repeat(side // 8, 2)
        )
        yield Step(frames, np.full(ENVIRONMENTS, step % 40 == 0), list(range(ENVIRONMENTS)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> recording.Made:
    return make_procgen(tmp_path_factory.mktemp("datasets"), 64, 5, play=played)


def contents(folder: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name != "lease"}


def rewritten(pack: Path, out: Path, change: Callable[[Members], Members]) -> Path:
    """The same tar with other members."""
    with tarfile.open(pack) as tar:
        members = [(member, content.read()) for member in tar if (content := tar.extractfile(member))]
    with tarfile.open(out, "w:xz", preset=0) as tar:
        for member, content in change(members):
            member.size = len(content) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(content))
    return out


@pytest.fixture(scope="module")
def pack(made: recording.Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_dataset(made.folder.parent, made.folder.name, tmp_path_factory.mktemp("packs") / "games.tar.xz", 2).file


def test_the_first_clips_are_the_folder_that_making_so_many_gives(pack: Path, tmp_path: Path) -> None:
    few = make_procgen(tmp_path / "made", 64, 2, play=played)
    found = unpack_dataset(tmp_path / "unpacked", pack)
    assert found.folder.name == few.folder.name == "procgen16-64-2"
    assert found.pack.fingerprint == few.manifest.fingerprint
    assert found.new == 30
    assert contents(found.folder) == contents(few.folder)
    dataset = Procgen(tmp_path / "unpacked", "val", name=found.folder.name, fingerprint=found.pack.fingerprint)
    assert len(dataset.items(17)) == 14


def test_a_whole_folder_is_packed_whole_and_twice_the_same(made: recording.Made, tmp_path: Path) -> None:
    one, two = (pack_dataset(made.folder.parent, made.folder.name, tmp_path / name) for name in ("a.xz", "b.xz"))
    assert one.file.read_bytes() == two.file.read_bytes()
    assert one.bytes == one.file.stat().st_size
    assert contents(unpack_dataset(tmp_path, one.file).folder) == contents(made.folder)


def test_a_second_unpacking_does_nothing_and_a_stopped_one_goes_on(pack: Path, tmp_path: Path) -> None:
    folder = unpack_dataset(tmp_path, pack).folder
    assert unpack_dataset(tmp_path, pack).new == 0
    whole = contents(folder)
    (folder / FILE).unlink()
    (folder / "val" / "heist.npy").unlink()
    (folder / "train" / "maze.npy").write_bytes(b"half")
    assert unpack_dataset(tmp_path, pack).new == 2
    assert contents(folder) == whole
    with runs.lease(folder), pytest.raises(runs.Busy):
        unpack_dataset(tmp_path, pack)


def test_natural_mini_is_packed_whole_and_unpacked_by_the_table_that_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, listed = faked.natural(tmp_path), tmp_path / "table.json"
    listed.write_text(table.model_dump_json())
    monkeypatch.setattr(natural, "table", lambda: table)
    monkeypatch.setattr(natural, "TABLE", listed)
    packed = pack_dataset(tmp_path, "natural_mini", tmp_path / "n.tar.xz")
    found = unpack_dataset(tmp_path / "there", packed.file)
    assert (found.new, found.pack.fingerprint) == (12, table.fingerprint)
    assert contents(found.folder) == contents(tmp_path / "natural_mini")
    with pytest.raises(DataError, match="natural_mini is packed whole; leave out the number"):
        pack_dataset(tmp_path, "natural_mini", tmp_path / "m.tar.xz", 3)
    (found.folder / table.files[0].path).write_bytes(b"another")
    with pytest.raises(DataError, match="its bytes are not those of the manifest; bring it with: omnitok data natural"):
        pack_dataset(tmp_path / "there", "natural_mini", tmp_path / "m.tar.xz")
    assert not list(tmp_path.glob("*m.tar.xz*"))
    older = table.model_copy(update={"files": table.files[1:]})
    monkeypatch.setattr(natural, "table", lambda: older)
    with pytest.raises(DataError, match=r"n\.tar\.xz: is of another version of natural_mini"):
        unpack_dataset(tmp_path / "there", packed.file)


def test_what_cannot_be_packed_is_refused(made: recording.Made, tmp_path: Path) -> None:
    root, name = made.folder.parent, made.folder.name
    with pytest.raises(DataError, match="has 5 clips of each game for training, so 1 to 5 can be packed"):
        pack_dataset(root, name, tmp_path / "x.tar.xz", 6)
    kinds = r"; procgen16-\.\.\. and natural_mini can be packed"
    with pytest.raises(DataError, match=rf"no such folder{kinds}; did you mean '{name}'\? \(known: {name}\)"):
        pack_dataset(root, name[:-2], tmp_path / "x.tar.xz")
    (tmp_path / "mine").mkdir()
    with pytest.raises(DataError, match=rf"mine: is no folder that omnitok made{kinds} \(known: none\)"):
        pack_dataset(tmp_path, "mine", tmp_path / "x.tar.xz")
    with pytest.raises(DataError, match=r"gone: no such folder"):
        pack_dataset(root, name, tmp_path / "gone" / "x.tar.xz")
    with pytest.raises(DataError, match=r"gone\.tar\.xz: no such file"):
        unpack_dataset(root, tmp_path / "gone.tar.xz")
    (tmp_path / "x.tar.xz").touch()
    with pytest.raises(DataError, match=r"x\.tar\.xz: is there already; choose another name"):
        pack_dataset(root, name, tmp_path / "x.tar.xz")
    damaged = make_procgen(tmp_path, 64, 1, play=played).folder
    array = damaged / "test" / "ninja.npy"
    array.write_bytes(array.read_bytes()[:-1] + b"\1")
    with pytest.raises(DataError, match=r"ninja\.npy: its bytes are not those of the manifest"):
        pack_dataset(tmp_path, damaged.name, tmp_path / "y.tar.xz")
    assert not (tmp_path / "y.tar.xz").exists()


def renamed(name: str, place: int = 1) -> Callable[[Members], Members]:
    def change(members: Members) -> Members:
        members[place][0].name = name
        return members

    return change


def linked(kind: bytes) -> Callable[[Members], Members]:
    def change(members: Members) -> Members:
        members[1][0].type, members[1][0].linkname = kind, "/etc/passwd"
        return members

    return change


def said(**changes: object) -> Callable[[Members], Members]:
    """Other words in the manifest of the first array."""

    def change(members: Members) -> Members:
        manifest = json.loads(members[0][1])
        manifest["arrays"][0] |= changes
        return [(members[0][0], json.dumps(manifest).encode()), *members[1:]]

    return change


FAULTS: dict[str, tuple[Callable[[Members], Members], str]] = {
    "upwards": (
        renamed("procgen16-64-2/../../evil"),
        "holds 'procgen16-64-2/../../evil', which is not as its manifest",
    ),
    "absolute": (renamed("/tmp/evil"), "holds '/tmp/evil', which is not as its manifest says"),
    "symbolic link": (linked(tarfile.SYMTYPE), "which is not as its manifest says"),
    "hard link": (linked(tarfile.LNKTYPE), "which is not as its manifest says"),
    "device": (linked(tarfile.CHRTYPE), "which is not as its manifest says"),
    "twice": (lambda members: [*members, members[1]], "holds .*bigfish.npy', which is not as its manifest says"),
    "another size": (lambda m: [m[0], (m[1][0], m[1][1] + b"x"), *m[2:]], "which is not as its manifest says"),
    "other bytes": (lambda m: [m[0], (m[1][0], m[1][1][:-1] + b"?"), *m[2:]], "has the sha256 .*, the manifest says"),
    "missing": (lambda members: members[:-1], "is cut short: 1 file is missing, the first is test/ninja.npy"),
    "no manifest": (lambda members: members[1:], "is no pack: it does not begin with the manifest of a dataset"),
    "no members": (lambda members: [], "is no pack: it does not begin with the manifest"),
    "a manifest elsewhere": (renamed("a/b/procgen16.json", 0), "is no pack: it does not begin"),
    "another name": (renamed("../procgen16.json", 0), "'..' is no name of a folder of procgen16"),
    "a wrong manifest": (lambda m: [(m[0][0], b"{}"), *m[1:]], "its manifest is wrong: Field required"),
    "a path upwards": (said(path="../../evil.npy"), "its manifest is wrong: .*is no plain path below a folder"),
    "a natural table": (renamed(f"natural_mini/{NATURAL}", 0), "its manifest is wrong: Field required"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_pack_that_is_not_as_it_should_be_writes_nothing_outside_and_is_never_complete(
    pack: Path, tmp_path: Path, fault: str
) -> None:
    change, sentence = FAULTS[fault]
    wrong = rewritten(pack, tmp_path / "wrong.tar.xz", change)
    with pytest.raises(DataError, match=sentence):
        unpack_dataset(tmp_path / "data", wrong)
    inside = tmp_path / "data" / "procgen16-64-2"
    assert not (inside / FILE).exists()
    outside = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()} - {Path("wrong.tar.xz")}
    assert all((tmp_path / path).is_relative_to(inside) for path in outside)
    assert not list(tmp_path.rglob("*.partial"))


def test_a_file_that_is_cut_or_no_tar_is_refused_and_so_is_another_dataset_of_the_name(
    pack: Path, tmp_path: Path
) -> None:
    whole = pack.read_bytes()
    cut = tmp_path / "cut.tar.xz"
    for content in (b"", whole[:100], whole[: len(whole) // 2], b"no archive" * 99):
        cut.write_bytes(content)
        with pytest.raises(DataError, match=r"cut\.tar\.xz: is no pack, or is cut short"):
            unpack_dataset(tmp_path, cut)
    rewritten(pack, tmp_path / "other.tar.xz", said(rand_seed=1))
    folder = unpack_dataset(tmp_path / "data", pack).folder
    with pytest.raises(DataError, match=f"{folder}: is there already with the fingerprint .*; move it away"):
        unpack_dataset(tmp_path / "data", tmp_path / "other.tar.xz")


def test_the_commands_say_the_size_and_what_an_experiment_says(
    made: recording.Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(*words: str, code: int = 0) -> str:
        found = CliRunner().invoke(main, ["data", *words], catch_exceptions=False)
        assert found.exit_code == code, found.output
        return found.output

    out = str(tmp_path / "games.tar.xz")
    monkeypatch.setenv("OMNITOK_DATA", str(made.folder.parent))
    words = ("pack", made.folder.name, "--clips", "1", "--out", out)
    assert "MB, procgen16-64-1, fingerprint" in call(*words)
    assert call(*words, code=2) == f"{out}: is there already; choose another name\n"
    monkeypatch.setenv("OMNITOK_DATA", str(tmp_path / "there"))
    output = call("unpack", out)
    assert "30 files were unpacked\n" in output
    assert "data: {type: procgen16, name: procgen16-64-1, fingerprint: " in output
    assert "already there; nothing was unpacked" in call("unpack", out)
    assert "no such file" in call("unpack", str(tmp_path / "gone"), code=2)
