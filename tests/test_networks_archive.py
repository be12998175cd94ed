"""Tensors out of a TorchScript archive, of which nothing runs."""

import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from omnitok.networks.unpickle import load_archive


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 5, 3, padding=(1, 2)), nn.BatchNorm2d(5, track_running_stats=False))
        self.shift = nn.Parameter(torch.randn(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x) + self.shift[0]


class Holds(nn.Module):
    def __init__(self, value: torch.Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(value)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def stored(module: nn.Module, path: Path) -> Path:
    torch.jit.script(module).save(path)
    return path


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_tensors_are_read_by_name_as_torch_reads_them(tmp_path):
    module = Small()
    found = load_archive(stored(module, tmp_path / "small.pt"))
    expected = dict(module.named_parameters())
    assert found.keys() == expected.keys()
    assert all(torch.equal(torch.from_numpy(found[name].copy()), value) for name, value in expected.items())


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.zeros(2, 3, dtype=torch.float64), "DoubleStorage is refused; only modules and float32 tensors are read"),
        (torch.zeros(2, 3).T, r"size \(3, 2\) has strides \(1, 3\); only contiguous ones are read"),
    ],
    ids=["float64", "transposed"],
)
def test_other_tensors_are_refused(tmp_path, value, message):
    with pytest.raises(pickle.UnpicklingError, match=message):
        load_archive(stored(Holds(value), tmp_path / "other.pt"))


class _Runs:
    def __init__(self, *call: object) -> None:
        self.call = call

    def __reduce__(self):
        return self.call[0], tuple(self.call[1:])


@pytest.mark.parametrize(
    ("call", "name"), [(os.system, "posix.system"), (eval, "__builtin__.eval"), (getattr, "__builtin__.getattr")]
)
def test_a_pickle_in_an_archive_that_would_run_something_is_refused_by_name(tmp_path, call, name):
    marker = tmp_path / "marker"
    said = f"touch {marker}" if call is os.system else f"open({str(marker)!r}, 'w')"
    with zipfile.ZipFile(tmp_path / "evil.pt", "w") as archive:
        archive.writestr("evil/data.pkl", pickle.dumps(_Runs(call, said), protocol=2))
    with pytest.raises(pickle.UnpicklingError, match=f"^the global {name} is refused; only modules"):
        load_archive(tmp_path / "evil.pt")
    assert not marker.exists()


def test_code_in_an_archive_is_not_read(tmp_path):
    """A class of the archive's own stands for nothing, whatever it is called."""
    pickled = b"\x80\x02c__torch__.os\nsystem\n)\x81}X\x05\x00\x00\x00valueK\x01sb."
    with zipfile.ZipFile(tmp_path / "named.pt", "w") as archive:
        archive.writestr("named/data.pkl", pickled)
        archive.writestr("named/code/__torch__/os.py", "raise RuntimeError('ran')")
    assert load_archive(tmp_path / "named.pt") == {}
