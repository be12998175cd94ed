"""Arrays from a pickle or a TorchScript archive, and nothing else: a file of weights runs no code here. What is read has its
known hash, so damage is not looked for."""

import math
import pickle
import zipfile
from collections import OrderedDict
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy._core.multiarray import _reconstruct

GLOBALS: Final = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}  # by the names under which numpy 1 wrote them


class _Arrays(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in GLOBALS:
            raise pickle.UnpicklingError(f"the global {module}.{name} is refused; only arrays of numpy are read")
        return GLOBALS[module, name]


def load_arrays(path: Path) -> Any:
    """Nested mappings of arrays. Raises pickle.UnpicklingError, naming the global, where there is anything else in it."""
    with path.open("rb") as file:
        return _Arrays(file).load()


def load_archive(path: Path) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Every float32 tensor of a TorchScript archive by its dotted name. Its code is not read: modules become empty
    objects, tensors are made of the bytes beside them. Raises pickle.UnpicklingError, naming what is refused."""
    found: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = {}
    with zipfile.ZipFile(path) as archive:
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        reader = _Archive(archive, pickled.removesuffix("data.pkl"), archive.read(pickled))
        _collect(reader.load(), "", found)
    return found


class _Module:
    """What stands for a module, of which the archive has the code: only the attributes that it was stored with."""


class _Storage:
    """What stands for ``torch.FloatStorage``: a name, of which nothing is called."""


class _Archive(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, folder: str, pickled: bytes) -> None:
        super().__init__(BytesIO(pickled))
        self.archive, self.folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch", "FloatStorage"): _Storage,
            ("torch.jit._pickle", "build_intlist"): list,
            ("collections", "OrderedDict"): OrderedDict,
        }
        if (module, name) in known:
            return known[module, name]
        if module.partition(".")[0] == "__torch__":
            return _Module
        raise pickle.UnpicklingError(
            f"the global {module}.{name} is refused; only modules and float32 tensors are read"
        )

    def persistent_load(self, pid: Any) -> Any:
        _, kind, key, _, count = pid
        if kind is not _Storage:
            raise pickle.UnpicklingError(f"the storage {key} is refused; only modules and float32 tensors are read")
        return np.frombuffer(self.archive.read(f"{self.folder}data/{key}"), np.float32, count)


def _tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Any:
    """Of a contiguous tensor, which those of weights are."""
    if tuple(stride) != tuple(math.prod(size[i + 1 :]) for i in range(len(size))):
        raise pickle.UnpicklingError(f"a tensor of size {size} has strides {stride}; only contiguous ones are read")
    return storage[offset : offset + math.prod(size)].reshape(size)


def _collect(part: object, name: str, found: dict[str, Any]) -> None:
    if isinstance(part, np.ndarray):
        found[name] = part
    elif isinstance(part, _Module):
        for key, value in vars(part).items():
            _collect(value, f"{name}.{key}" if name else key, found)
