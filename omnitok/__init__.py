"""Reproducible experiments with joint image-video tokenizers.

Each command of the command line is one call here; nothing is loaded until it is asked for.
"""

from importlib import import_module
from typing import Any

_CALLS = {
    "run_experiment": "omnitok.sweep.launch:run_experiment",
    "plan_sweep": "omnitok.sweep.plan:plan_sweep",
    "launch_sweep": "omnitok.sweep.launch:launch",
    "sweep_states": "omnitok.sweep.stored:sweep_states",
    "sync": "omnitok.tracking:sync",
    "rows": "omnitok.report.command:rows",
    "render_report": "omnitok.report.command:render_report",
    "list_components": "omnitok.catalogue:entries",
    "json_schemas": "omnitok.catalogue:schemas",
    "reconstruct_files": "omnitok.reconstruct:reconstruct",
    "evaluate_run": "omnitok.trial:evaluate_run",
    "check_folder": "omnitok.data:check_folder",
    "examine": "omnitok.doctor:examine",
    "load": "omnitok.trial:load",
}
__all__ = list(_CALLS)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _CALLS:
        raise AttributeError(f"module 'omnitok' has no attribute {name!r}")
    module, _, call = _CALLS[name].partition(":")
    return getattr(import_module(module), call)
