"""Arrays from a pickle, and nothing else: a file of weights runs no code here."""

import pickle
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
