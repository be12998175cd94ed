"""Calls of Slurm's commands, each with a deadline."""

import os
import signal
import subprocess
from typing import Final, NoReturn

from omnitok.spec import Fault, Mark, SpecError

DEADLINE_S: Final = 30.0  # for one command


class Unanswered(Exception):
    """A command of Slurm failed, or said nothing in time."""


class Silent(Unanswered):
    """It said nothing in time: what it was to do may still be done."""


def ask(*words: str, seconds: float = DEADLINE_S) -> str:
    """What a command prints. Raises SpecError where there is no such command, Unanswered where it fails, Silent where
    it hangs."""
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError:
        raise missing(words[0]) from None
    with process:
        try:
            out, error = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # and whatever it started, which holds the pipes
            raise Silent(f"{words[0]} said nothing in {seconds:g} seconds") from None
    if process.returncode:
        why = "; ".join(error.split("\n")).strip("; ") or f"exit code {process.returncode}"
        raise Unanswered(f"{words[0]}: {why}")
    return out


def refuse(*errors: Unanswered) -> NoReturn:
    said = f"Slurm does not answer ({'; '.join(map(str, errors))})"
    raise SpecError([Fault(Mark("--cluster slurm"), "", said)]) from None


def missing(command: str) -> SpecError:
    said = f"there is no {command} on this machine; launch where Slurm's commands are, or with --cluster local"
    return SpecError([Fault(Mark("--cluster slurm"), "", said)])
