"""Codecs that metrics can be asked of, whose answers can be counted by hand."""

import torch

from omnitok.metrics import METRICS, Pair
from omnitok.model.contract import Reconstruction, Reconstructor
from omnitok.spec import resolve

SIZES = (16, 8)


class Looking(Reconstructor):
    """A frame comes back as itself and a share of the frame after it; its codes are their brightness."""

    codebook_sizes = SIZES
    bits_per_token = 7.0

    def __init__(self, share: float, *sizes: int) -> None:
        super().__init__()
        self.share = share
        self.codebook_sizes = sizes or SIZES

    def reconstruct(self, clip):
        after = torch.cat([clip[:, :, 1:], clip[:, :, -1:]], 2)
        back = clip + self.share * after
        code = (back.mean((1, 3, 4)) > 0).long().view(*clip.shape[:1], -1, 1, 1, 1)
        return Reconstruction(back, code.expand(-1, -1, 3, 4, 2))


def asked(name, codec, **said):
    """The metric of that name, of a codec, with its choices as said."""
    return resolve(METRICS.specs[name](**said))(codec)


def fed(metric, *batches):
    """What a metric finds in batches of (original, reconstruction, codes)."""
    for batch in batches:
        metric.add(Pair(*batch))
    return metric.result()


def no_codes(many=1):
    return torch.zeros(many, 1, 1, 1, 0, dtype=torch.long)
