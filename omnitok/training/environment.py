"""Every variable of the environment that is ours, and the one look at all of them before anything runs.

Each is read by one small function, which knows alone what is legal; all of these are called here.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from omnitok import provenance, runs
from omnitok.attention import backends
from omnitok.data import DataError, decoders, resources
from omnitok.networks import weights
from omnitok.runs import pools
from omnitok.spec import Fault, Mark, SpecError, hidden, near
from omnitok.training import devices, loader, stage, studies

PREFIX: Final = "OMNITOK_"
OF_WEIGHTS: Final = f"{PREFIX}WEIGHTS_"  # and the name of a weight file, in capitals
OF_TESTS: Final = ("OMNITOK_GOLDEN", "OMNITOK_REQUIRE_SERVICES")  # what the project's own tests read

READERS: Final[Mapping[str, Callable[[], Any]]] = MappingProxyType({
    "OMNITOK_ATTENTION": backends.asked,
    "OMNITOK_COMPILE": devices.compiler,
    "OMNITOK_DATA": stage.data_root,
    "OMNITOK_DATA_WORKERS": loader.data_workers,
    "OMNITOK_DECODED": resources.kept_mib,
    "OMNITOK_DECODERS": decoders.open_decoders,
    "OMNITOK_DECODER_THREADS": decoders.threads,
    "OMNITOK_DECODING": devices.decoding,
    "OMNITOK_DETERMINISTIC": devices.deterministic,
    "OMNITOK_DEVIATIONS": provenance.deviations,
    "OMNITOK_DEVICE": devices.device,
    "OMNITOK_POOLS": pools.pools,
    "OMNITOK_RECOMPUTE": devices.recomputes,
    "OMNITOK_RUNS": runs.root,
    "OMNITOK_STUDY": studies.study_url,
    "OMNITOK_WEIGHTS": weights.cache,
})  # fmt: skip


def check_environment() -> None:
    """Raises SpecError with a fault for every variable of ours that is unknown or says what is not legal."""
    if faults := [Fault(Mark("environment"), "", said) for said in _faults()]:
        raise SpecError(faults)


def said() -> dict[str, str]:
    """The variables of ours that say something, by name; a password in one is hidden."""
    return {name: hidden(value) for name, value in sorted(os.environ.items()) if name.startswith(PREFIX) and value}


def _faults() -> Iterator[str]:
    for name in said():
        if name.startswith(OF_WEIGHTS):
            known = {one.upper() for one in weights.WEIGHTS}
            if (one := name.removeprefix(OF_WEIGHTS)) not in known:
                yield f"{name}: no weights {one.lower()!r}{near(one.lower(), weights.WEIGHTS)}"
        elif name in READERS:
            try:
                READERS[name]()
            except (DataError, ValueError) as error:
                yield str(error)
        elif name not in OF_TESTS:
            yield f"{name}: no such variable{near(name, READERS)}"
