"""Jobs whose ids were never learnt, as a kill or a silent controller came between: found by the token in their comment."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from omnitok.cluster.asking import Unanswered, ask
from omnitok.cluster.ledger import Entry, read, settle

TOKEN: Final = "omnitok:"  # and 32 hexadecimal digits, in a job's comment and on the command line that submitted it
SAID = re.compile(rf"{TOKEN}([0-9a-f]{{32}})")


def comment(said: str, token: str) -> str:
    """What a job's comment is, so that it is found."""
    return f"{said} {TOKEN}{token}".strip()


def job_name(folder: Path) -> str:
    """What all jobs of a sweep are called: its digest is in it."""
    return f"omnitok-{folder.name}"


def recover(folder: Path, patience_s: float) -> None:
    """Write down the ids of a sweep's jobs that Slurm has and the ledger does not; and of what Slurm does not have after
    so long, that nothing came of it. Raises Unanswered."""
    found = found_again(folder, [entry for entry in read(folder) if entry.token and not entry.job])
    jobs: dict[str, dict[int, str]] = {}
    for entry in found:
        if entry.job or entry.age_s > patience_s:
            jobs.setdefault(entry.token, {})[entry.task] = entry.job
    for token, each in jobs.items():
        settle(folder, token, [job for _, job in sorted(each.items()) if job])


def found_again(folder: Path, entries: Sequence[Entry]) -> list[Entry]:
    """The entries, those without a job with the one that Slurm knows by their token. Raises Unanswered."""
    lost = [entry for entry in entries if entry.token and not entry.job]
    if not lost:
        return list(entries)
    name = f"--name={job_name(folder)}"
    arrays = _read(ask("squeue", "--noheader", "--states=all", name, "--format=%F|%k").splitlines())
    if not arrays.keys() >= {entry.token for entry in lost}:
        hours = int(max(entry.age_s for entry in lost) / 3600) + 1
        words = ("--noheader", "--allocations", "--parsable2", name, f"--starttime=now-{hours}hours")
        with suppress(Unanswered):  # a site without accounting has the queue alone
            arrays = _read(ask("sacct", *words, "--format=JobID,SubmitLine").splitlines()) | arrays
    return [entry if entry.job else _named(entry, arrays.get(entry.token, "")) for entry in entries]


def _named(entry: Entry, number: str) -> Entry:
    return entry._replace(job=f"{number}_{entry.task}" if number and entry.size > 1 else number)


def _read(lines: Iterable[str]) -> dict[str, str]:
    """token -> the number of its job or array, from lines id|what a token stands in."""
    found = {}
    for line in lines:
        job, _, said = line.partition("|")
        if token := SAID.search(said):
            found[token[1]] = job.partition("_")[0]
    return found
