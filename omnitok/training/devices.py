"""Where tensors live: a resource, never a choice."""

import os

import torch


def device() -> torch.device:
    """OMNITOK_DEVICE, or the accelerator where there is one, or the CPU."""
    return torch.device(os.environ.get("OMNITOK_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu"))


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
