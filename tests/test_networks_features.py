"""Extractors of features: what each promises, with random weights; and the published weights against other readings."""

import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from real import fetched
from skimage import data as photos
from torch import nn

from benchmarks.networks import here, networks
from benchmarks.published.networks import PlainEfficientNet, PlainI3D, same
from omnitok.metrics.contract import Extractor
from omnitok.networks import efficientnet, i3d, inception, weights
from omnitok.networks.efficientnet import EfficientNetFeatures
from omnitok.networks.i3d import I3DFeatures
from omnitok.networks.inception import InceptionFeatures
from omnitok.networks.unpickle import load_archive, load_arrays
from omnitok.networks.weights import WeightsMissing

CPU = torch.device("cpu")
NETWORKS = {
    InceptionFeatures: (inception, inception.Inception),
    I3DFeatures: (i3d, i3d.I3D),
    EfficientNetFeatures: (efficientnet, efficientnet.EfficientNetLite0),
}
USUAL = [InceptionFeatures(), I3DFeatures(), EfficientNetFeatures()]
CHOICES = [
    *USUAL,
    InceptionFeatures("pytorch_fid"),
    InceptionFeatures("clean"),
    InceptionFeatures(width=768),
    InceptionFeatures(width=64),
    I3DFeatures("tf"),
    I3DFeatures("crop"),
    I3DFeatures(output="pooled"),
    I3DFeatures(port="videogpt"),
    EfficientNetFeatures("pooled"),
]


@pytest.fixture(scope="session")
def random_networks():
    """Each with random weights under which what comes in is seen in what comes out."""
    torch.manual_seed(0)
    made = {}
    for extractor, (_, network) in NETWORKS.items():
        made[extractor] = network().requires_grad_(False)
        for name, value in made[extractor].named_parameters():
            if name.endswith("weight"):
                nn.init.kaiming_normal_(value, nonlinearity="relu")
            else:
                nn.init.normal_(value, std=0.1)
    return made


@pytest.fixture
def pretended(random_networks, monkeypatch):
    for extractor, (module, _) in NETWORKS.items():
        monkeypatch.setattr(module, "pretrained", lambda *_, extractor=extractor: random_networks[extractor])


def clips(extractor: Extractor) -> torch.Tensor:
    frames = 10 if isinstance(extractor, I3DFeatures) else 2
    return torch.rand(2, 3, frames, 20, 28) * 2 - 1


def close(found: torch.Tensor, expected: torch.Tensor, share: float = 1e-5) -> None:
    """As far apart as a small share of the largest value."""
    torch.testing.assert_close(found.double(), expected.double(), rtol=0, atol=share * float(expected.abs().max()))


# What an extractor promises


@pytest.mark.usefixtures("pretended")
@pytest.mark.parametrize("extractor", CHOICES, ids=str)
def test_there_is_a_vector_a_frame_or_one_a_clip(extractor):
    clip = clips(extractor)
    found = extractor(clip)
    assert isinstance(extractor, Extractor) and extractor.weights in weights.WEIGHTS
    assert found.shape == (2, 1 if isinstance(extractor, I3DFeatures) else 2, extractor.width)
    assert found.dtype == torch.float32 and not found.requires_grad and not found.is_inference()
    assert torch.isfinite(found).all() and found.std() > 0


@pytest.mark.usefixtures("pretended")
@pytest.mark.parametrize("extractor", USUAL, ids=str)
def test_a_sample_is_seen_alone_in_float32_and_at_the_levels_of_a_file(extractor):
    clip = clips(extractor)
    expected = extractor(clip)
    close(extractor(clip[1:]), expected[1:])
    with torch.autocast("cpu", torch.bfloat16):
        found = extractor(clip.double().requires_grad_())
    assert torch.equal(found, expected)
    level = ((clip + 1) * 127.5).round() / 127.5 - 1
    beyond = torch.where(level == 1, 1.3, level + 0.3 / 127.5)
    assert torch.equal(extractor(beyond), expected)


@pytest.mark.usefixtures("pretended")
def test_frames_are_seen_one_by_one_in_their_order():
    extractor = InceptionFeatures(width=64)
    clip = torch.rand(3, 3, 7, 16, 16) * 2 - 1  # more frames than are computed at once
    close(extractor(clip)[2, 4], extractor(clip[2:, :, 4:5])[0, 0])


def test_equal_ones_are_one_and_every_choice_is_in_the_name():
    for one in CHOICES:
        assert one == replace(one) and hash(one) == hash(replace(one))
    for one, other in combinations(CHOICES, 2):
        assert one != other and one.name != other.name


@pytest.mark.usefixtures("pretended")
def test_what_cannot_be_looked_at_is_refused_in_a_sentence():
    for extractor in USUAL:
        with pytest.raises(ValueError, match="looks at 3 channels, not 1$"):
            extractor(clips(extractor)[:, :1])
    with pytest.raises(ValueError, match="^I3D looks at 10 frames or more, not 9$"):
        I3DFeatures()(torch.zeros(1, 3, 9, 20, 20))


@pytest.mark.parametrize("extractor", USUAL, ids=str)
def test_missing_weights_are_an_error_with_the_command(extractor, tmp_path, monkeypatch):
    monkeypatch.setenv("OMNITOK_WEIGHTS", str(tmp_path))
    monkeypatch.delenv(f"OMNITOK_WEIGHTS_{extractor.weights.upper()}", raising=False)
    module, _ = NETWORKS[type(extractor)]
    module.pretrained.cache_clear()
    with pytest.raises(WeightsMissing, match=f"run: omnitok weights fetch {extractor.weights}$"):
        extractor(clips(extractor))


# What layers compute


def test_convolutions_of_one_input_are_one_and_an_average_may_come_after_them():
    entry = inception.Entry(6, (3, 5), 4).double()
    x = torch.randn(2, 6, 9, 7, dtype=torch.float64)
    kernels, biases = entry.all.weight.split([3, 5, 4]), entry.all.bias.split([3, 5, 4])
    around = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    expected = [
        F.relu(F.conv2d(y, kernel, bias)) for y, kernel, bias in zip((x, x, around), kernels, biases, strict=True)
    ]
    for found, other in zip(entry(x), expected, strict=True):
        torch.testing.assert_close(found, other)


@pytest.mark.parametrize("size", [(4, 6, 8), (5, 7, 9), (3, 2, 5)], ids=str)
@pytest.mark.parametrize(("side", "stride"), [(7, 2), (3, 1), (3, 2), (2, 2), (1, 1)])
def test_i3d_pads_as_tensorflow_does(size, side, stride):
    x = torch.rand(2, *size, 3, dtype=torch.float64)
    plain = same(x.permute(0, 4, 1, 2, 3), (side,) * 3, (stride,) * 3)
    layer = i3d.Convolution(3, 4, side, stride).double()
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    expected = F.relu(F.conv3d(plain, layer.weight, layer.bias, stride))
    torch.testing.assert_close(layer(x).permute(0, 4, 1, 2, 3), expected)
    pooled = i3d.pool(x, (side,) * 3, (stride,) * 3).permute(0, 4, 1, 2, 3)
    torch.testing.assert_close(pooled, F.max_pool3d(plain, side, stride))


@pytest.mark.parametrize(("side", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2), (1, 1)])
def test_efficientnet_pads_as_tensorflow_does(side, stride):
    x = torch.randn(2, 4, 8, 12, dtype=torch.float64)
    layer = efficientnet.Convolution(4, 4, side, stride, groups=4).double()
    padded = same(x, (side, side), (stride, stride))
    expected = F.relu6(F.conv2d(padded, layer.weight, layer.bias, stride, groups=4))
    torch.testing.assert_close(layer(x), expected)


# The published weights


@pytest.fixture(scope="session")
def files():
    """Where each weight file is."""
    return fetched(*(one.weights for one in USUAL))


def clip_of(*pictures: np.ndarray, side: int = 240) -> torch.Tensor:
    """A clip a picture, of one frame."""
    crops = [np.ascontiguousarray(picture[:side, -side - 60 : -60]) for picture in pictures]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)[:, :, None].float() / 127.5 - 1


@pytest.mark.service
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_the_inception_of_2015_is_the_published_one(files):
    script = torch.jit.load(files[inception.WEIGHTS]).eval()
    arrays, parameters = load_archive(files[inception.WEIGHTS]), dict(script.named_parameters())
    assert arrays.keys() == parameters.keys() and sum(array.size for array in arrays.values()) == 21_802_784
    assert all(np.array_equal(arrays[name], value.detach().numpy()) for name, value in parameters.items())
    clip = torch.cat([clip_of(photos.coffee(), photos.astronaut()), torch.rand(1, 3, 1, 240, 240) * 2 - 1])
    for preprocessing in ("tf", "pytorch_fid", "clean"):
        extractor = InceptionFeatures(preprocessing)
        with torch.inference_mode():
            expected = script(extractor.prepared(clip[:, :, 0]))
        close(extractor(clip)[:, 0], expected)
    layers = dict(script.net.layers.named_children())
    x = InceptionFeatures().prepared(clip[:, :, 0])
    ends = {"pool0": 64, "pool1": 192, "mixed_7": 768}
    with torch.inference_mode():
        for name, layer in layers.items():
            x = layer(x)
            if name in ends:
                close(InceptionFeatures(width=ends[name])(clip)[:, 0], x.mean((2, 3)))
            if name == "mixed_7":
                break


@pytest.mark.service
def test_i3d_is_the_published_one_and_gives_the_frechet_distance_of_black_and_white(files):
    arrays = load_arrays(files[i3d.WEIGHTS])
    frames = [np.roll(photos.coffee()[:200, :300], 5 * i, 1) for i in range(11)]
    clip = torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    with torch.inference_mode():
        plain = PlainI3D(arrays, torch.float64)(I3DFeatures().prepared(clip))
    close(I3DFeatures()(clip)[:, 0], plain)
    ends = torch.stack([torch.full((3, 15, 64, 64), value) for value in (-1.0, 1.0)])
    for port, distance in (("google", 133.91), ("videogpt", 134.21)):
        black, white = I3DFeatures(port=port)(ends)[:, 0].double()
        assert float((black - white).square().sum()) == pytest.approx(distance, abs=0.01)
    pooled = I3DFeatures(output="pooled")(clip)[:, 0]
    close(i3d.pretrained(CPU).logits(pooled), plain)


@pytest.mark.service
def test_efficientnet_is_the_published_one_and_names_what_it_sees(files):
    state = torch.load(files[efficientnet.WEIGHTS], weights_only=True)
    coffee, cat = (torch.from_numpy(photo).permute(2, 0, 1)[None, :, None] for photo in (photos.coffee(), photos.cat()))
    for picture, name in ((coffee, 967), (cat, 285)):  # espresso, Egyptian cat
        clip = picture.float() / 127.5 - 1
        found = EfficientNetFeatures()(clip)[:, 0]
        with torch.inference_mode():
            plain = PlainEfficientNet(state, torch.float64)(EfficientNetFeatures().prepared(clip[:, :, 0]))
        close(found, plain)
        assert found.argmax() == name and found.softmax(-1).max() > 0.5
        close(efficientnet.pretrained(CPU).logits(EfficientNetFeatures("pooled")(clip)[:, 0]), plain)


@pytest.mark.service
@pytest.mark.usefixtures("files")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_the_benchmark_gives_finite_numbers_and_says_how():
    sizes = {"efficientnet": (1, 1, 32)}
    rows = networks(repeats=1, sizes=sizes, measured=here)
    assert len(rows) == 3 and all(np.isfinite(row.samples).all() and row.how and row.unit for row in rows)


def test_names_say_what_is_published_of_them():
    assert InceptionFeatures().name == "tf2015, tf1-bilinear"
    assert all(re.fullmatch(r"[\w .-]+, [\w-]+", one.name) for one in CHOICES)
