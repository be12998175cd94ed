"""One package as pip downloads it: held to its hash before anything looks into it, and installed nowhere."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path


class PipError(Exception):
    """A package could not be had; one sentence that names it."""


def download(requirement: str, sha256: str, folder: Path) -> Path:
    """The archive of ``requirement`` in ``folder``, of the hash that is asked for. Raises PipError.

    Of a source archive pip asks the name and version, which runs that archive's ``setup.py``, known by the same hash.
    """
    wanted, got = folder / "requirements.txt", folder / "got"
    wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--no-deps"]
    command += ["--require-hashes", "--progress-bar=off", f"--dest={got}", f"--requirement={wanted}"]
    if importlib.util.find_spec("setuptools"):
        command.append("--no-build-isolation")  # else pip fetches a setuptools that no hash vouches for
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PipError(f"pip could not download {requirement}: {_reason(done.stderr)}")
    (archive,) = got.iterdir()
    return archive


def _reason(said: str) -> str:
    """What pip gives as the reason: both hashes where it is about these, else its last error, else its last line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    hashes = [" ".join(line.split()) for line in lines if re.match(r"(Expected sha256|Got) ", line)]
    if hashes:
        return f"its hash is another one: {'; '.join(hashes)}"
    unreachable = "; the package index cannot be reached" if "Retrying (" in said else ""
    return (errors or lines or ["it does not say why"])[-1] + unreachable
