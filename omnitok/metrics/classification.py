"""What a classifier makes of a reconstruction."""

from typing import ClassVar, Literal, final

from omnitok.metrics.contract import Codec, MeanOfItems, Pair
from omnitok.metrics.features import finite
from omnitok.networks.efficientnet import EfficientNetFeatures


@final
class ClassAgreement(MeanOfItems):
    """How often EfficientNet-Lite0 finds the same of ImageNet's 1,000 classes in a reconstruction as in the original: of
    the frames of an item, then the mean over items."""

    label: ClassVar[str] = "class_agreement"
    better: ClassVar[Literal["higher", "lower", "neither"]] = "higher"

    def __init__(self, codec: Codec) -> None:
        super().__init__(codec)
        self.extractor = EfficientNetFeatures("logits")
        self.networks = (self.extractor.weights,)
        self.protocol = f"{self.label}[{self.extractor.name}, rounded to 8 bit, top class of each frame]"

    def add(self, pair: Pair) -> None:
        original, reconstruction = (side.argmax(-1) for side in finite(pair.features(self.extractor), self.label))
        self.values += (original == reconstruction).double().mean(1).tolist()
