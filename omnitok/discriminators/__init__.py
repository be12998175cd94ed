"""What tells reconstructions from originals. One file a kind; one line here makes it nameable, swept and tested."""

from collections.abc import Callable
from typing import Annotated

from omnitok.discriminators.contract import Discriminator as Discriminator
from omnitok.discriminators.contract import Judged as Judged
from omnitok.discriminators.inflation import Inflation as Inflation
from omnitok.discriminators.inflation import inflated as inflated
from omnitok.discriminators.patch import PatchImage, PatchVideo, PublishedPatchImage, PublishedPatchVideo
from omnitok.discriminators.published_keys import renamed as renamed
from omnitok.spec import Registry

DISCRIMINATORS: Registry[Discriminator] = Registry(
    "discriminator",
    group="omnitok.discriminators",
    contract=Discriminator,
    patch_image=PatchImage,
    patch_video=PatchVideo,
    patch_image_published=PublishedPatchImage,
    patch_video_published=PublishedPatchVideo,
)
DiscriminatorPart = Annotated[Callable[..., Discriminator], DISCRIMINATORS]
