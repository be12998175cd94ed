"""The table of what a tokenizer has to beat: what anybody could make without training, and what others have made."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar, final

from jaxtyping import Float
from torch import Tensor

from omnitok.model import Baseline, MeanColour, PatchMean, Reconstruction, Tokenizer
from omnitok.model.files import read_spec, read_tokenizer
from omnitok.provenance import sha256 as hashed
from omnitok.spec import PLACE, REQUIRED, Registry, resolve
from omnitok.training.recorded import Recorded


@final
class TokenizerFile(Baseline):
    """A tokenizer that was exported or imported, as its file has it.

    file: where it lies; not part of the identity.
    sha256: the hash of the file; what lies there must have it.
    """

    fits: ClassVar[bool] = False

    def __init__(self, *, file: Annotated[str, PLACE, REQUIRED], sha256: Annotated[str, REQUIRED]) -> None:
        super().__init__()
        self.file = Path(file)
        if not self.file.is_file():
            raise ValueError(f"file={file}: no such file")
        if (found := hashed(self.file)) != sha256:
            raise ValueError(f"sha256={sha256}: the file {file} has {found}")
        self.tokenizer: Tokenizer = resolve(read_spec(self.file))()  # its weights come with ``take``

    @property
    def codec(self) -> Tokenizer:
        return self.tokenizer

    def take(self) -> None:
        self.tokenizer.load_state_dict(read_tokenizer(self.file).state_dict())

    def reconstruct(self, clip: Float[Tensor, "b c T H W"]) -> Reconstruction:
        back: Reconstruction = self.tokenizer.reconstruct(clip)
        return back


BASELINES: Registry[Baseline] = Registry(
    "baseline",
    group="omnitok.baselines",
    contract=Baseline,
    mean_colour=MeanColour,
    patch_mean=PatchMean,
    tokenizer=TokenizerFile,
    recorded=Recorded,
)
BaselinePart = Annotated[Callable[..., Baseline], BASELINES]
