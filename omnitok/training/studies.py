"""Where the studies of searches are kept, as the environment says it. The address may hold a password: it is shown hidden."""

import os
from typing import Final

from omnitok.spec import hidden, near

KINDS: Final = ("postgresql", "sqlite")


def study_url() -> str:
    """What OMNITOK_STUDY says: a database for the studies of searches; "" for a journal file beside each search.

    Raises ValueError, without the password, where it is no URL of a database that is known here."""
    url = os.environ.get("OMNITOK_STUDY") or ""
    kind, colon, _ = url.partition("://")
    name, _, driver = kind.partition("+")
    if url and (not colon or name not in KINDS):
        raise ValueError(f"OMNITOK_STUDY={hidden(url)}: no address of a study{near(name, [f'{k}://' for k in KINDS])}")
    if driver not in ("", "psycopg2", "pysqlite"):
        raise ValueError(
            f"OMNITOK_STUDY={hidden(url)}: the driver {driver!r} is not installed with omnitok; leave it out"
        )
    return url
