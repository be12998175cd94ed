"""Backbones to compare with: what each of them promises, and what is particular to it."""

import pytest
import torch

from omnitok.model import MODELS
from omnitok.model.patch import PATCHES
from omnitok.model.tokenizer import Part
from omnitok.randomness import initialise
from omnitok.spec import decode, read_value, resolve

PARTS: tuple[Part, ...] = ("encoder", "quantizer", "decoder")


def tokenizer(patches: str, **said: str):
    choices = {"encoder": "[norm]", "decoder": "[norm]", "quantizer": "gaussian", "position": "none"} | said
    text = ", ".join(f"{name}: {value}" for name, value in ({"dim": "12", "patches": patches} | choices).items())
    made = resolve(decode(MODELS, read_value(f"{{{text}}}", "here")))()
    initialise(made, 0)
    return made.double().eval()


@pytest.mark.parametrize("patches", list(PATCHES))
def test_every_parameter_and_buffer_belongs_to_one_part_and_only_that_part_uses_it(patches):
    model = tokenizer(patches, quantizer="vq", encoder="[transformer, norm]", decoder="[transformer, norm]").train()
    held = [id(p) for part in PARTS for p in model.parameters_of(part)]
    assert sorted(held) == sorted(map(id, model.parameters()))
    buffers = [id(b) for part in PARTS for module in model.modules_of(part) for b in module.buffers()]
    assert sorted(buffers) == sorted(map(id, model.buffers()))
    step = model.frame_step
    clip = torch.rand(1, 3, 1 + step, 16, 16, dtype=torch.double)
    latents = model.encode(clip).latents
    model.decode(latents.detach()).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters_of("decoder"))
    assert all(p.grad is None for part in PARTS[:2] for p in model.parameters_of(part))
    latents.square().sum().backward()
    assert all(p.grad is not None for p in model.parameters_of("encoder"))
