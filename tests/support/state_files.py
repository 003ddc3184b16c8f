"""State files as tests need them: new, with a draft of no list, or as a newer version leaves."""

from __future__ import annotations

import functools
import sqlite3
import tempfile
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

from wacoex_cli.channels.model import Provider
from wacoex_cli.foundation.state import open_state

DRAFT: dict[str, Any] = {
    "channel_id": 1,
    "name": None,
    "template": "{}",
    "parameter_sources": "[]",
    "recipients_file": "-",
    "provider": Provider.META,
    "api_base_url": "http://127.0.0.1",
    "rate": 20.0,
}
"""The columns of a broadcast that was planned from no list, for `Broadcasts.start_draft`."""


def make_empty(path: Path) -> Path:
    """Put a state file there as the program makes a new one, with an id of its own."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(_empty())
    with closing(sqlite3.connect(path)) as connection, connection:
        new = [uuid.uuid4().hex[:12]]
        connection.execute("UPDATE about SET value = ? WHERE key = 'state_id'", new)
    return path


@functools.cache
def _empty() -> bytes:
    # Made once: all steps of the schema take longer than most tests.
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "wacoex.db")
        open_state(path).close()
        return path.read_bytes()


def make_newer(path: Path) -> None:
    """Let a state file name a migration that this version does not know."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " VALUES ('wacoex', 'm999_from_the_future', '2030-01-01')"
        )
