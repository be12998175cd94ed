"""Weight files of the right shapes with random numbers in them, so that what needs pretrained networks is tested without."""

import functools
import hashlib
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnitok.networks import lpips, weights


def arrays(network: lpips.Network) -> dict[str, Any]:
    """As the real file nests them; kernels [h w i o]."""
    draw, backbone = np.random.default_rng(0), lpips.BACKBONES[network]
    convolutions = [one for scale in backbone.scales for one in scale]
    widths = [3, *(one.channels for one in convolutions)]
    inside = {}
    for i, one in enumerate(convolutions):
        kernel = draw.standard_normal((one.side, one.side, widths[i], widths[i + 1]), dtype=np.float32)
        gain = np.float32((2 / (one.side**2 * widths[i])) ** 0.5)
        inside[f"Conv_{i}"] = {"kernel": kernel * gain, "bias": 0.1 * draw.standard_normal(widths[i + 1], np.float32)}
    heads = [draw.random((1, 1, scale[-1].channels, 1), np.float32) for scale in backbone.scales]
    return {backbone.key: inside} | {f"NetLinLayer_{i}": {"Conv_0": {"kernel": head}} for i, head in enumerate(heads)}


def pickled(content: Any) -> bytes:
    """As numpy 1 would have written it."""
    return pickle.dumps(content, protocol=3).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


@functools.cache
def written(folder: Path) -> dict[str, str]:
    """Every file into ``folder``. -> {name: sha256}."""
    hashes = {}
    for network, backbone in lpips.BACKBONES.items():
        content = pickled(arrays(network))
        (folder / f"{backbone.weights}.ckpt").write_bytes(content)
        hashes[backbone.weights] = hashlib.sha256(content).hexdigest()
    return hashes


@contextmanager
def pretended(folder: Path) -> Iterator[None]:
    """Inside, these are what the names stand for."""
    with pytest.MonkeyPatch.context() as patch:
        for name, found in written(folder).items():
            patch.setitem(weights.WEIGHTS, name, weights.WEIGHTS[name]._replace(sha256=found))
            patch.delenv(f"OMNITOK_WEIGHTS_{name.upper()}", raising=False)
        patch.setenv("OMNITOK_WEIGHTS", str(folder))
        lpips.pretrained.cache_clear()
        yield
    lpips.pretrained.cache_clear()
