"""LPIPS against a reference: distances, gradients, precision, and what the published weights give."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pretend
import pytest
import torch
import torch.nn.functional as F
from real import fetched
from skimage import data as photos

from omnitok.networks import lpips

NETWORKS = list(lpips.BACKBONES)


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(params=NETWORKS)
def network(request, folder):
    """One with random numbers for weights."""
    with pretend.pretended(folder):
        yield lpips.pretrained(request.param, torch.device("cpu"))


def pair(height: int = 40, width: int = 36, samples: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.rand(2, samples, 3, height, width) * 2 - 1)


def reference(arrays, network: str, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The paper's distance, written down step by step in float64."""

    def features(x):
        inside, at = arrays[{"vgg": "VGG16_0", "alex": "AlexNet_0"}[network]], iter(range(13))

        def conv(x, stride=1, padding=1):
            one = inside[f"Conv_{next(at)}"]
            kernel = torch.from_numpy(np.ascontiguousarray(np.transpose(one["kernel"], (3, 2, 0, 1)))).double()
            return F.conv2d(x, kernel, torch.from_numpy(one["bias"]).double(), stride, padding).clamp(min=0)

        mean = torch.tensor([-0.030, -0.088, -0.188], dtype=torch.float64).view(1, 3, 1, 1)
        deviation = torch.tensor([0.458, 0.448, 0.450], dtype=torch.float64).view(1, 3, 1, 1)
        x = (x.double() - mean) / deviation
        if network == "vgg":
            for i, count in enumerate((2, 2, 3, 3, 3)):
                x = F.max_pool2d(x, 2, 2) if i else x
                for _ in range(count):
                    x = conv(x)
                yield x
        else:
            yield (x := conv(x, 4, 2))
            yield (x := conv(F.max_pool2d(x, 3, 2), 1, 2))
            yield (x := conv(F.max_pool2d(x, 3, 2)))
            yield (x := conv(x))
            yield conv(x)

    total = torch.zeros(len(a), dtype=torch.float64)
    for i, (x, y) in enumerate(zip(features(a), features(b), strict=True)):
        a, b = (f / (f.pow(2).sum(1, keepdim=True).sqrt() + 1e-10) for f in (x, y))
        head = torch.from_numpy(arrays[f"NetLinLayer_{i}"]["Conv_0"]["kernel"]).double().view(1, -1, 1, 1)
        total += ((a - b).pow(2) * head).sum(1).mean((1, 2))
    return total


def test_the_distance_and_its_gradient_are_those_of_the_reference(network):
    a, b = pair()
    mine, exact = a.clone().requires_grad_(), a.double().requires_grad_()
    found = network(mine, b)
    expected = reference(pretend.arrays(network.network), network.network, exact, b)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
    found.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(mine.grad.double(), exact.grad, rtol=1e-3, atol=1e-4 * float(exact.grad.abs().max()))


def test_it_is_nothing_at_identity_symmetric_and_by_sample(network):
    a, b = pair()
    assert torch.equal(network(a, a), torch.zeros(2))
    torch.testing.assert_close(network(a, b), network(b, a))
    torch.testing.assert_close(network(a, b)[1:], network(a[1:], b[1:]))


def test_only_the_first_picture_is_learned_from(network):
    a, b = (x.requires_grad_() for x in pair())
    network(a, b).sum().backward()
    assert a.grad.abs().max() > 0 and b.grad is None
    assert not any(p.requires_grad or p.grad is not None for p in network.parameters()) and not network.training


def test_where_no_feature_answers_there_is_no_distance_and_no_gradient(network):
    state = {name: value.clone() for name, value in network.state_dict().items()}
    dead = lpips.Lpips(network.network)
    dead.load_state_dict({n: v - 100 if n.endswith("bias") else v for n, v in state.items()})
    a, b = pair()
    found = dead(a.requires_grad_(), b)
    found.sum().backward()
    assert torch.equal(found, torch.zeros(2)) and torch.equal(a.grad, torch.zeros_like(a))


def test_it_is_computed_in_float32_whatever_surrounds_it(network):
    a, b = pair(samples=1)
    expected = network(a, b)
    with torch.autocast("cpu", torch.bfloat16):
        found = network(a, b)
    assert found.dtype == torch.float32 and torch.equal(found, expected)
    assert torch.equal(network(a.double(), b.double()), expected)
    half = a.bfloat16().requires_grad_()
    network(half, b).sum().backward()
    assert half.grad.dtype == torch.bfloat16 and half.grad.abs().max() > 0


def test_a_network_is_read_once_and_one_read_while_measuring_also_trains(network, monkeypatch):
    lpips.pretrained.cache_clear()
    with torch.inference_mode(), torch.device("meta"):
        again = lpips.pretrained(network.network, torch.device("cpu"))
    monkeypatch.setenv("OMNITOK_WEIGHTS", "nowhere")
    assert again is lpips.pretrained(network.network, torch.device("cpu"))
    a, b = pair(samples=1)
    again(a.requires_grad_(), b).sum().backward()
    assert torch.isfinite(a.grad).all()


def test_on_the_meta_device_nothing_is_read(network, monkeypatch):
    monkeypatch.setenv("OMNITOK_WEIGHTS", "nowhere")
    made = lpips.pretrained(network.network, torch.device("meta"))
    assert made(*(x.to("meta") for x in pair())).shape == (2,)


def test_what_it_cannot_look_at_is_refused_with_both_numbers(network):
    smallest = network.backbone.smallest
    assert torch.isfinite(network(*pair(smallest, smallest))).all()
    with pytest.raises(ValueError, match=f"needs {smallest} pixels a side, not {smallest + 1} x {smallest - 1}"):
        network(*pair(smallest + 1, smallest - 1))
    with pytest.raises(ValueError, match="3 channels, not 1"):
        network(*(x[:, :1] for x in pair()))


@pytest.fixture
def real():
    """Where the file of each network is."""
    files = fetched(*(backbone.weights for backbone in lpips.BACKBONES.values()))
    lpips.pretrained.cache_clear()
    yield {network: files[backbone.weights] for network, backbone in lpips.BACKBONES.items()}
    lpips.pretrained.cache_clear()


def photo(image: np.ndarray) -> torch.Tensor:
    """The middle of a photo, every second pixel, in [-1, 1]."""
    top, left = (side // 2 - 96 for side in image.shape[:2])
    crop = np.ascontiguousarray(image[top : top + 192 : 2, left : left + 192 : 2])
    return torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 127.5 - 1


@pytest.mark.service
@pytest.mark.parametrize("network", NETWORKS)
@torch.no_grad()
def test_the_published_weights_give_the_references_distances_of_photos(real, network):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # numpy.core
        arrays = pickle.loads(real[network].read_bytes())
    cat, coffee = photo(photos.chelsea()), photo(photos.coffee())
    blurred = F.avg_pool2d(F.pad(cat, (1, 1, 1, 1), mode="reflect"), 3, 1)
    found = lpips.pretrained(network, torch.device("cpu"))(torch.cat([coffee, blurred]), torch.cat([cat, cat]))
    expected = reference(arrays, network, torch.cat([coffee, blurred]), torch.cat([cat, cat]))
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    assert 0.05 < found[1] < found[0] < 1


@pytest.mark.service
def test_the_published_weights_are_torchvisions(real):
    first = lpips.pretrained("vgg", torch.device("cpu")).scales[0][0].weight
    torch.testing.assert_close(first[0, 0, 0], torch.tensor([-0.5537, 0.1427, 0.5290]), atol=5e-5, rtol=0)
    for network in NETWORKS:
        heads = [head.weight for head in lpips.pretrained(network, torch.device("cpu")).heads]
        assert all((head >= 0).all() for head in heads)
