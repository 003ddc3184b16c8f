"""A quick look into the state file, for a TAB press: read-only, brief, never an error."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wacoex_cli.errors import WacoexError
from wacoex_cli.foundation.settings import default_state_path, read_sources

if TYPE_CHECKING:
    from collections.abc import Mapping

LIMIT_SECONDS = 0.1
_STEPS_BETWEEN_LOOKS_AT_THE_CLOCK = 1000


def glimpse(
    sql: str, *, env_file: Path | None = None, environ: Mapping[str, str] | None = None
) -> list[tuple[Any, ...]]:
    """The rows of a query, or none when the file is missing, busy, damaged or slow (100 ms).

    Nothing is created, checked or migrated, and the settings are not validated: only what says
    where the state file lies is read.
    """
    try:
        path = _state_path(env_file, os.environ if environ is None else environ)
        with contextlib.closing(_open(path)) as connection:
            end = time.monotonic() + LIMIT_SECONDS
            connection.set_progress_handler(
                lambda: time.monotonic() > end, _STEPS_BETWEEN_LOOKS_AT_THE_CLOCK
            )
            return connection.execute(sql).fetchall()
    except (sqlite3.Error, OSError, ValueError, WacoexError):
        return []


def _state_path(env_file: Path | None, environ: Mapping[str, str]) -> Path:
    sources = read_sources(env_file=env_file, environ=environ)
    name = "WACOEX_STATE"
    given = environ.get(name) or sources.dotenv.get(name) or sources.toml.get("state")
    return Path(str(given)).expanduser().absolute() if given else default_state_path()


def _open(path: Path) -> sqlite3.Connection:
    # Without a log beside it nobody is writing, and a reader need not leave one behind.
    is_at_rest = not Path(f"{path}-wal").exists()
    uri = f"{path.as_uri()}?mode=ro{'&immutable=1' if is_at_rest else ''}"
    return sqlite3.connect(uri, uri=True, timeout=LIMIT_SECONDS)
