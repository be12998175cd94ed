"""How much memory a run had at its peak: on a GPU what torch held there, else what the process held of the machine's."""

import re
from pathlib import Path
from typing import Final

import torch

STATUS: Final = Path("/proc/self/status")
CLEAR: Final = Path("/proc/self/clear_refs")
PEAK: Final = "5"  # what resets the high-water mark of a process's resident memory (proc(5))


def begin(device: torch.device) -> bool:
    """Forget earlier peaks of this process; False where that cannot be done, and so none can be told."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        CLEAR.write_text(PEAK)
    except OSError:
        return False
    return STATUS.exists()


def peak(device: torch.device) -> int:
    """Bytes, since ``begin``."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    found = re.search(r"^VmHWM:\s*(\d+) kB", STATUS.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
