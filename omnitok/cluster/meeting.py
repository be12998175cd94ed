"""The tasks of one job that train together: how they find each other, and how none outlives another unnoticed.

The first task listens at ports that the system chose, and writes them where only this start of this job looks. A line of
JSON each way is all that is said: a task that fails says why before it ends, so who closes its line without a word was
killed. What tensors go through is another matter, and is torch's.
"""

import json
import os
import secrets
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from omnitok import runs
from omnitok.runs import Failure

MEET_S = 600.0  # how long a task waits for the others to come
LOOK_S: Final = 0.1
LONGEST: Final = 256  # bytes of who says that it came
FOR_EVER: Final = timedelta(days=30)  # for a sum over all: who does not answer is noticed here


class Unmet(Exception):
    """Not all tasks of the job came."""


class Place(NamedTuple):
    """Which task this is, of how many; its number on its node; the file in which the first says where it listens."""

    rank: int
    world: int
    local: int
    file: Path


class Meeting:
    """Of all tasks of a job. Everything here is for the main thread but ``group``, which is for the one that trains."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.lines: dict[
            int, socket.socket
        ] = {}  # rank -> the line to it; the first has one to each, each one to the first
        self.heard: dict[int, bytes] = {}
        self.words: dict[int, Failure] = {}  # in the order in which they came
        self.silent: list[int] = []  # whose line was closed without a word
        self.held = self.over = False  # the first said that the job is requeued, or that it ends
        self.address: tuple[str, int] = ("", 0)
        self.server: socket.socket | None = None

    @property
    def lost(self) -> bool:
        """Whether they cannot train together any more."""
        return bool(self.words or self.silent or self.over)

    def meet(self) -> None:
        """Wait for all. Raises Unmet."""
        if self.place.rank == 0:
            self._receive()
        else:
            self._go()

    def close(self) -> None:
        """Hang up on all."""
        for line in [*self.lines.values(), *([self.server] if self.server else [])]:
            line.close()
        self.lines.clear()

    def look(self, seconds: float) -> None:
        """Listen for so long, or until something was said."""
        ready, _, _ = select.select(list(self.lines.values()), [], [], seconds) if self.lines else ([], [], [])
        if not self.lines:
            time.sleep(seconds)
        for rank in [rank for rank, line in self.lines.items() if line in ready]:
            self._hear(rank)

    def tell(self, **said: Any) -> None:
        """Everybody at the other end, as far as they are there."""
        for line in self.lines.values():
            try:
                line.sendall((json.dumps(said) + "\n").encode())
            except OSError:  # its end is heard of
                continue

    def reason(self, own: Failure | None) -> Failure | None:
        """Why it ends: of those that died who said nothing, or else said it first."""
        if self.silent:
            said = f"process {self.silent[0]} of {self.place.world} died"
            return Failure.here("killed", said, own.traceback if own else "")
        return next(iter(self.words.values()), own)

    @contextmanager
    def group(self) -> Iterator[None]:
        """The process group of all tasks."""
        import torch
        import torch.distributed as dist

        from omnitok.training.devices import device

        rank, world, local, _ = self.place
        backend = "nccl" if device().type == "cuda" else "gloo"
        if backend == "nccl":
            torch.cuda.set_device(local % torch.cuda.device_count())
        store = dist.TCPStore(
            *self.address,
            world,
            is_master=rank == 0,
            timeout=FOR_EVER,
            wait_for_workers=False,
            master_listen_fd=self.server.detach() if self.server else None,
        )
        dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=FOR_EVER)
        yield
        dist.barrier()
        dist.destroy_process_group()  # where somebody died it might wait for him

    def _receive(self) -> None:
        nonce, host = secrets.token_hex(16), os.environ.get("SLURMD_NODENAME") or socket.gethostname()
        with socket.create_server(("", 0), backlog=self.place.world) as roll:
            self.server = socket.create_server(("", 0), backlog=4 * self.place.world)
            self.address = (host, self.server.getsockname()[1])
            said = {"host": host, "roll": roll.getsockname()[1], "store": self.address[1], "nonce": nonce}
            runs.write_json(self.place.file, said)
            until = time.monotonic() + MEET_S
            while len(self.lines) < self.place.world - 1:
                if time.monotonic() > until:
                    there = {0, *self.lines}
                    gone = ", ".join(str(rank) for rank in range(self.place.world) if rank not in there)
                    raise Unmet(f"process {gone} of {self.place.world} did not come in {MEET_S / 60:.0f} minutes")
                if select.select([roll], [], [], LOOK_S)[0]:
                    self._admit(roll.accept()[0], nonce)

    def _admit(self, line: socket.socket, nonce: str) -> None:
        """Who says what only this job knows, and who it is."""
        line.settimeout(10.0)
        try:
            word = b""
            while (
                not word.endswith(b"\n") and len(word) < LONGEST and (got := line.recv(1))
            ):  # what follows stays there
                word += got
            said = json.loads(word)
            known = secrets.compare_digest(str(said["nonce"]), nonce) and 0 < said["rank"] < self.place.world
        except (OSError, ValueError, LookupError, TypeError):
            known = False
        if known:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self.lines[said["rank"]] = line
        else:
            line.close()

    def _go(self) -> None:
        until = time.monotonic() + MEET_S
        while not self.place.file.exists():
            if time.monotonic() > until:
                raise Unmet(f"process 0 of {self.place.world} did not come in {MEET_S / 60:.0f} minutes")
            time.sleep(LOOK_S)
        said = runs.read_json(self.place.file)
        self.address = (said["host"], said["store"])
        try:
            line = socket.create_connection((said["host"], said["roll"]), timeout=MEET_S)
        except OSError as error:
            raise Unmet(f"process 0 at {said['host']}: {error}") from None
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.lines[0] = line
        self.tell(nonce=said["nonce"], rank=self.place.rank)

    def _hear(self, rank: int) -> None:
        try:
            got = self.lines[rank].recv(65536)
        except OSError:
            got = b""
        *lines, self.heard[rank] = (self.heard.get(rank, b"") + got).split(b"\n")
        for line in lines:
            self._note(rank, json.loads(line))
        if not got and rank in self.lines:
            self.lines.pop(rank).close()
            if rank not in self.words and not self.over and not self.held:
                self.silent.append(rank)

    def _note(self, rank: int, said: dict[str, Any]) -> None:
        if "failed" in said:
            self.words[rank] = Failure(*said["failed"])
        if "bye" in said:
            self.lines.pop(rank).close()
        self.held = self.held or "held" in said
        self.over = self.over or "over" in said
