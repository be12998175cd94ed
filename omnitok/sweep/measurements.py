"""What a sweep measures: its ``evaluate:`` entries read, and told as a plan has them."""

from typing import Any

from omnitok.metrics import Identity
from omnitok.spec import Fault, Map, Spec, SpecError, decode, kind, plain, resolve
from omnitok.sweep.file import Asked
from omnitok.sweep.rehearse import Measurement
from omnitok.training import EVALUATIONS
from omnitok.training.evaluate import key_of, label_of, metric_key, metric_specs, protocol_of
from omnitok.training.presets import spelled


def read_measurements(asked: Asked) -> list[Measurement]:
    """Raises SpecError with every fault of every entry."""
    faults: list[Fault] = []
    found: list[Measurement] = []
    for i, said in enumerate(asked.said.get("evaluate", ())):
        mark = asked.said["evaluate"].marks[i]
        if not isinstance(said, Map):
            faults.append(Fault(mark, f"evaluate[{i}]", f"must be a mapping, not {kind(said)}"))
            continue
        rest = Map({k: v for k, v in said.items() if k != "name"}, said.mark, said.marks)
        try:
            spec = decode(EVALUATIONS, spelled(rest))
            name, metrics = said.get("name", key_of(spec)), labels_of(spec)
            twice = [label for j, label in enumerate(metrics) if label in metrics[:j]]
            faults += [Fault(mark, f"evaluate[{i}].metrics", f"{label!r} stands twice") for label in twice]
            if not isinstance(name, str) or name in {m.name for m in found}:
                taken = "stands twice" if isinstance(name, str) else f"must be text, not {kind(name)}"
                faults.append(Fault(mark, f"evaluate[{i}].name", f"{name!r} {taken}"))
            found.append(Measurement(str(name), spec))
        except SpecError as error:
            faults += [fault._replace(path=f"evaluate[{i}].{fault.path}".rstrip(".")) for fault in error.faults]
    if faults:
        raise SpecError(faults)
    return found


def labels_of(spec: Spec) -> list[str]:
    """Of an evaluation's metrics, in order."""
    return [label_of(metric) for metric in metric_specs(spec)]


def told(measurement: Measurement) -> dict[str, Any]:
    """A measurement as data: what a launch stores and a report reads."""
    spec = measurement.spec
    return {
        "name": measurement.name,
        "spec": protocol_of(spec),
        "key": key_of(spec),
        "metrics": [_metric(measurement, metric) for metric in metric_specs(spec)],
    }


def _metric(measurement: Measurement, metric: Spec) -> dict[str, Any]:
    made = resolve(metric)(Identity())
    fields = {"unit": made.unit, "better": made.better, "protocol": measurement.seen.protocol(made)}
    missing = measurement.missing.get(made.label, "")
    why = {"missing": missing} if missing else {}
    return {
        "label": made.label,
        "key": metric_key(key_of(measurement.spec), metric),
        **fields,
        "spec": plain(metric),
        **why,
    }
