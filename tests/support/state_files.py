"""State files as tests need them: with a draft of no list, or as a newer version leaves them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.model import Provider

if TYPE_CHECKING:
    from pathlib import Path

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


def make_newer(path: Path) -> None:
    """Let a state file name a migration that this version does not know."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " VALUES ('wacoex', 'm999_from_the_future', '2030-01-01')"
        )
