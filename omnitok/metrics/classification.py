"""What a classifier makes of a reconstruction."""

from typing import ClassVar, Literal, final

from omnitok.metrics.contract import Codec, MeanOfItems, Pair
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
        self.protocol = f"{self.label}[{self.extractor.name}, 8 bit, top class of each frame]"

    def add(self, pair: Pair) -> None:
        original, reconstruction = (found.argmax(-1) for found in pair.features(self.extractor))
        self.values += (original == reconstruction).double().mean(1).tolist()
