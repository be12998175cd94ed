"""natural_mini: its table holds together, its files come out of packages by their hashes, and grey sequences are exact."""

import hashlib
import io
import itertools
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from omnitok import runs
from omnitok.cli import main
from omnitok.data import DataError, as_pixels, held, natural, place_natural, placing
from omnitok.data.embedded import manifest as embedded
from omnitok.data.grey import read_grey
from omnitok.data.natural import NAME, Natural, NaturalFile, NaturalMini, table
from omnitok.data.packages import Package, find, members
from omnitok.data.pixels import Reading

SPLITS = ("train", "val", "test")
REAL = Path(os.environ.get("OMNITOK_DATA") or "data")
there = pytest.mark.skipif(not (REAL / NAME).is_dir(), reason="omnitok data natural_mini was not run")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def deb(files: dict[str, bytes], compression: str = "xz") -> bytes:
    """A Debian package as dpkg-deb makes it: an ar archive of a version and two tar archives."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=f"w:{compression}") as tar:
        folder = tarfile.TarInfo("./usr")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    packed = b"!<arch>\n"
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", f"data.tar.{compression}": data.getvalue()}
    for name, content in parts.items():
        packed += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content
        packed += b"\n" * (len(content) % 2)
    return packed


def wheel(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def png(seed: int, mode: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 32), dtype=np.uint8)).save(file, mode)
    return file.getvalue()


GREYS = {f"seq/image.{i:04}.pgm": png(10 + i, "PPM") for i in range(6)}
DEB = deb({"usr/a.png": png(0), "usr/other.png": png(9)} | dict(reversed(GREYS.items())))
WHEEL = wheel({"pictures/b.png": png(1), "pictures/run.py": b"raise SystemExit"})


def listed(**changes: str) -> Natural:
    """A table of three files in two packages; ``changes``: other hashes of files."""
    packages = (
        Package(name="Some-pictures", version="1.0", kind="wheel", sha256=sha256(WHEEL), bytes=len(WHEEL)),
        Package(name="some-data", version="4:1.2+dfsg-3", kind="deb", sha256=sha256(DEB), bytes=len(DEB)),
    )
    rows = [("a", "some-data", "usr/a.png", png(0)), ("b", "Some-pictures", "pictures/b.png", png(1)),
            ("c", "some-data", "seq/image.*.pgm", b"".join(GREYS.values()))]  # fmt: skip
    files = [
        NaturalFile(
            path=f"{'clips' if name == 'c' else 'photos'}/{name}{Path(member).suffix}",
            split="train",
            name=name,
            kind="clip" if name == "c" else "photo",
            sha256=changes.get(name, sha256(content)),
            bytes=len(content),
            width=32,
            height=24,
            frames=6 if name == "c" else 1,
            fps=None,
            package=package,
            member=member,
            licence="CC0",
            author="a test",
            origin="a test",
        )  # fmt: skip
        for name, package, member, content in rows
    ]
    return Natural(packages=packages, files=tuple(files))


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    folder = tmp_path / "archives"
    folder.mkdir()
    (folder / "some-data_4%3a1.2+dfsg-3_all.deb").write_bytes(DEB)
    (folder / "Some_pictures-1.0-py3-none-any.whl").write_bytes(WHEEL)
    return folder


# The table


def test_every_source_is_in_one_split_by_its_bytes_its_name_and_its_photographer() -> None:
    files = table().files
    for key in ("path", "name", "sha256", "member"):
        assert len({getattr(file, key) for file in files}) == len(files) == 55
    unknown = {"not stated", "Inria"}
    authors = [(name, file.split) for file in files for name in file.author.split(", ") if name not in unknown]
    assert all(
        len({split for _, split in found}) == 1 for _, found in itertools.groupby(sorted(authors), lambda a: a[0])
    )
    for split in SPLITS:
        assert {file.kind for file in files if file.split == split} == {"photo", "clip"}
    assert sum(file.frames for file in files if file.kind == "clip") == 2082


def test_what_the_embedded_files_hold_out_is_held_out_too() -> None:
    of = {file.sha256: file for file in table().files}
    assert all((of[file.sha256].split, of[file.sha256].cuts) == (file.split, file.cuts) for file in embedded())


def test_every_file_says_its_terms_its_maker_and_a_package_that_is_listed() -> None:
    packages = {package.name: package for package in table().packages}
    assert set(packages) == {file.package for file in table().files}
    assert all(text.strip() for file in table().files for text in (file.licence, file.author, file.origin))
    for package in packages.values():
        assert (len(package.sha256) == 64 and package.bytes > 0) if package.kind != "installed" else package.module
    assert not any(bad in file.path.lower() for file in table().files for bad in ("megamind", "lena", "messi"))


def test_the_fingerprint_is_of_what_training_sees_and_not_of_who_made_it() -> None:
    first, *rest = table().files
    said = {"author": "another"}, {"split": "val"}, {"cuts": (3,)}, {"sha256": "0" * 64}
    found = [Natural(packages=(), files=(first.model_copy(update=one), *rest)).fingerprint for one in said]
    assert found[0] == table().fingerprint
    assert len({table().fingerprint, *found}) == 4


# Fetching


def test_only_the_listed_files_are_taken_out_and_a_second_call_does_nothing(archives: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    placed = place_natural(tmp_path, archives, listed=listed(), progress=heard.append)
    assert placed.new == 3
    assert len(heard) == 2
    found = {str(path.relative_to(placed.folder)): path.read_bytes() for path in placed.folder.rglob("*.p*")}
    assert found == {"photos/a.png": png(0), "photos/b.png": png(1), "clips/c.pgm": b"".join(GREYS.values())}
    for path in archives.iterdir():
        path.unlink()
    assert place_natural(tmp_path, archives, listed=listed()).new == 0
    (placed.folder / "photos" / "b.png").write_bytes(png(2))
    archives.joinpath("Some_pictures-1.0-py3-none-any.whl").write_bytes(WHEEL)
    assert place_natural(tmp_path, archives, listed=listed()).new == 1
    assert (placed.folder / "photos" / "b.png").read_bytes() == png(1)


def test_a_fetch_that_was_stopped_goes_on_with_the_package_at_which_it_was(
    archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def stopped(package: Package, folder: Path) -> Path:
        asked.append(package.name)
        (folder / "half.deb").write_bytes(DEB[:100])
        if len(asked) == 2:
            raise KeyboardInterrupt
        return find(package, archives) or folder

    monkeypatch.setattr(placing, "fetch", stopped)
    with pytest.raises(KeyboardInterrupt):
        place_natural(tmp_path, listed=listed())
    assert place_natural(tmp_path, listed=listed()).new == 2
    assert asked == ["Some-pictures", "some-data", "some-data"]
    assert sorted(path.name for path in (tmp_path / NAME).iterdir()) == ["clips", "photos"]
    (tmp_path / NAME / "photos" / "a.png").unlink()
    with runs.lease(tmp_path / NAME), pytest.raises(runs.Busy):
        place_natural(tmp_path, archives, listed=listed())


def test_another_archive_another_file_and_a_file_that_is_gone_are_refused(archives: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a: usr/a\.png of some-data 4:1\.2\+dfsg-3 has the sha256 \w+, not 000"):
        place_natural(tmp_path, archives, listed=listed(a="000"))
    gone = listed().files[0].model_copy(update={"member": "usr/gone.png"})
    with pytest.raises(DataError, match=r"some-data_.*\.deb: has no file usr/gone\.png"):
        place_natural(tmp_path, archives, listed=Natural(packages=listed().packages, files=(gone,)))
    (archives / "some-data_4%3a1.2+dfsg-3_all.deb").write_bytes(DEB + b"\n")
    with pytest.raises(DataError, match=r"some-data_.*\.deb: has the sha256 \w+, some-data 4:1\.2\+dfsg-3 has \w+"):
        place_natural(tmp_path, archives, listed=listed())
    with pytest.raises(DataError, match="no such folder of packages"):
        place_natural(tmp_path, archives / "gone", listed=listed())


def test_an_installed_package_that_is_missing_or_has_another_file_says_the_pip_command(tmp_path: Path) -> None:
    rocket = next(file for file in table().files if file.name == "rocket")
    image = next(package for package in table().packages if package.name == rocket.package)
    for change, said in [
        (
            image.model_copy(update={"module": "no_such_package"}),
            r"'no_such_package' is not installed: pip install sci",
        ),
        (image, r"rocket: data/rocket\.jpg of scikit-image==.* not 000: pip install --force-reinstall --no-deps sci"),
    ]:
        with pytest.raises(DataError, match=said):
            files = (rocket.model_copy(update={"sha256": "000"}),)
            place_natural(tmp_path, listed=Natural(packages=(change,), files=files))


def test_a_machine_without_apt_or_index_is_told_in_one_line_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("OMNITOK_DATA", str(tmp_path))
    only = next(package for package in table().packages if package.name == "palapeli-data")
    files = tuple(file for file in table().files if file.package == only.name)
    monkeypatch.setattr(placing, "table", lambda: Natural(packages=(only,), files=files))
    found = CliRunner().invoke(main, ["data", "natural_mini"])
    assert found.exit_code == 1
    assert found.output.splitlines()[-1] == (
        "Error: there is no apt-get here that could bring palapeli-data 4:22.12.3-1; "
        "bring palapeli-data_*22.12.3-1_*.deb into a folder yourself and add: --packages FOLDER"
    )
    apt = tmp_path / "apt-get"
    apt.write_text("#!/bin/sh\necho \"E: Version '4:22' for 'palapeli-data' was not found\" >&2\nexit 100\n")
    apt.chmod(0o755)
    with pytest.raises(
        DataError, match="apt-get could not download .*'palapeli-data' was not found; apt-get update may"
    ):
        place_natural(tmp_path)
    apt.write_text("#!/bin/sh\necho other > x_1_all.deb\n")
    with pytest.raises(DataError, match="apt-get has brought the sha256 .*, not 69a15dce"):
        place_natural(tmp_path)
    lost = subprocess.CompletedProcess([], 1, stderr="ERROR: No matching distribution found\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: lost)
    with pytest.raises(DataError, match=r"pip could not download Some-pictures==1\.0: No matching .*--packages FOLDER"):
        place_natural(tmp_path / "other", listed=listed())


@pytest.mark.parametrize("compression", ["xz", "gz"])
def test_a_debian_package_is_read_without_dpkg_and_a_damaged_one_is_refused(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "x.deb"
    path.write_bytes(deb({"usr/a.png": png(0), "usr/b.png": png(1)}, compression))
    assert dict(members(path, lambda name: name.endswith("a.png"))) == {"usr/a.png": png(0)}
    whole = path.read_bytes()
    for content in (b"", whole[:40], whole[: len(whole) // 2], b"PK" + whole[2:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"x\.deb: cannot be read"):
            list(members(path, lambda name: True))
    path = path.rename(tmp_path / "x.whl")
    with pytest.raises(DataError, match=r"x\.whl: cannot be read"):
        list(members(path, lambda name: True))


# Grey sequences


def test_a_grey_window_is_the_pictures_themselves_and_a_wrong_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.pgm"
    path.write_bytes(b"".join(GREYS.values()))
    frames = np.stack([np.asarray(Image.open(io.BytesIO(content)).convert("RGB")) for content in GREYS.values()])
    assert np.array_equal(read_grey(path, range(6)), frames)
    assert np.array_equal(read_grey(path, (1, 4, 5)), frames[[1, 4, 5]])
    means = frames.reshape(6, 12, 2, 16, 2, 3).mean((2, 4))
    assert np.abs(read_grey(path, range(6), Reading(12, filter="area")) - means).max() <= 1
    with pytest.raises(DataError, match=r"c\.pgm: has no frame 6"):
        read_grey(path, range(2, 7))
    path.write_bytes(b"".join(list(GREYS.values())[:2]) + b"P5 16 48 255\n" + bytes(32 * 24))
    with pytest.raises(DataError, match="its frames differ in size"):
        read_grey(path, range(3))
    for content in (png(0), b"P5\n8 8\n65535\n" + bytes(128), b""):
        path.write_bytes(content)
        with pytest.raises(DataError, match="is no sequence of 8-bit PGM pictures"):
            read_grey(path, range(1))
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_grey(tmp_path / "gone.pgm", range(1))


# The dataset


def test_files_that_are_not_there_are_refused_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No such file or directory; bring it with: omnitok data natural_mini$"):
        NaturalMini(tmp_path, "train")


def test_a_file_that_is_cut_or_another_is_refused_when_it_is_looked_at(
    archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(natural, "table", listed)
    folder = place_natural(tmp_path, archives, listed=listed()).folder
    draw = torch.Generator().manual_seed(0)
    dataset = NaturalMini(tmp_path, "train", flip=False)
    grey = as_pixels(dataset.sample(draw, 3, 16))
    assert (grey[..., 0] == grey[..., 1]).all()
    for name, frames in (("photos/a.png", 1), ("clips/c.pgm", 2)):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:-1] + b"?")
        held.decoded.cache_clear()
        with pytest.raises(DataError, match="its bytes are not those of the manifest; bring it with: omnitok data"):
            [NaturalMini(tmp_path, "train", short_side=12).item(i, frames, 8) for i in range(4)]
        (folder / name).write_bytes(whole[:-1])
        with pytest.raises(DataError, match=rf"has {len(whole) - 1} bytes, the manifest says {len(whole)}; bring it"):
            NaturalMini(tmp_path, "train")
        (folder / name).write_bytes(whole)


@there
@pytest.mark.parametrize("split", SPLITS)
def test_the_real_files_are_as_the_table_says_and_give_every_split_clips_and_photos(split) -> None:
    dataset = NaturalMini(REAL, split, short_side=32)
    for file in dataset.sources:
        frames = dataset.read(file, range(file.frames), Reading(32, filter="area"))
        share = 32 / min(file.width, file.height)
        assert frames.shape == (file.frames, round(file.height * share), round(file.width * share), 3)
        change = np.abs(np.diff(frames.astype(float), axis=0)).mean((1, 2, 3))
        for cut in file.cuts:  # each stands out of the eight changes around it
            near = np.concatenate([change[max(0, cut - 5) : cut - 1], change[cut : cut + 4]])
            assert change[cut - 1] > 1.5 * near.max(), (file.name, cut)
    assert len(dataset.items(1)) == 4 * sum(file.kind == "photo" for file in dataset.sources)
    assert {"train": 30, "val": 9, "test": 10}[split] <= len(dataset.items(17))


@pytest.mark.service
def test_a_small_debian_package_is_really_fetched(tmp_path: Path) -> None:
    only = next(package for package in table().packages if package.name == "palapeli-data")
    files = tuple(file for file in table().files if file.package == only.name)
    try:
        placed = place_natural(tmp_path, listed=Natural(packages=(only,), files=files))
    except DataError as error:
        pytest.skip(str(error))
    assert placed.new == 5
    assert sys.getsizeof(placed.folder.joinpath("photos/castle_maintenon.jpg").read_bytes()) > 1e5
