"""What goes wrong in a rehearsal, and whose fault it is said to be."""

from typing import Any

import pytest

from omnitok.sweep import rehearse
from omnitok.sweep.rehearse import theirs

STAGE: Any = type("Stage", (), {"spec": None})


@pytest.mark.parametrize(
    "error", [AttributeError("no in_channels"), RuntimeError("a and b must have same"), KeyError("x")]
)
def test_what_a_component_of_another_package_does_wrong_is_refused_with_its_packages_name(monkeypatch, error):
    monkeypatch.setattr(rehearse, "packages", lambda spec: {"mine-pkg": ()})
    with pytest.raises(ValueError, match="components of mine-pkg are in it, and it fails: ") as caught, theirs(STAGE):
        raise error
    assert "\n" not in str(caught.value) and type(error).__name__ in str(caught.value)


def test_a_bug_of_ours_stays_one_and_a_refusal_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(rehearse, "packages", lambda spec: {})
    with pytest.raises(AttributeError), theirs(STAGE):
        raise AttributeError("ours")
    monkeypatch.setattr(rehearse, "packages", lambda spec: {"mine-pkg": ()})
    with pytest.raises(ValueError, match="^dim=3 is odd$"), theirs(STAGE):
        raise ValueError("dim=3 is odd")
