"""Facts about this machine: who may read the files, room on the disk, the clock, the keyring."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.foundation.clock import from_text
from wacoex_cli.foundation.settings import SECRET_VARIABLES, settings_origins

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace


class Exposed(NamedTuple):
    """A file that others may read, or a directory that others may write; `mode` as chmod has it."""

    path: str
    mode: int
    what: str


class Machine(NamedTuple):
    """What was found here. Sizes are bytes, `clock_skew_seconds` is Meta's clock minus ours."""

    exposed: tuple[Exposed, ...]
    disk: str
    free_bytes: int
    newest_stored_at: datetime | None
    clock_skew_seconds: float | None = None
    keyring_problem: str | None = None


def look_at(
    workspace: Workspace,
    newest_stored_at: datetime | None,
    *,
    clock_skew_seconds: float | None,
    offline: bool,
) -> Machine:
    """Gather the facts. `offline` leaves the keyring alone."""
    state_path = workspace.settings.state
    return Machine(
        exposed=tuple(_exposed(workspace)),
        disk=str(state_path.parent),
        free_bytes=shutil.disk_usage(state_path.parent).free,
        newest_stored_at=newest_stored_at,
        clock_skew_seconds=clock_skew_seconds,
        keyring_problem=None if offline else _keyring_problem(workspace),
    )


def newest_stored_at(state: State) -> datetime | None:
    """The latest moment at which anything was recorded; None in a fresh file.

    To be asked before anything new is stored.
    """
    found = state.value(
        "SELECT MAX(moment) FROM ("
        " SELECT MAX(observed_at) AS moment FROM facts"
        " UNION ALL SELECT MAX(created_at) FROM channels"
        " UNION ALL SELECT MAX(last_active_at) FROM broadcast_runs) AS moments"
    )
    return from_text(found) if found else None


def _keyring_problem(workspace: Workspace) -> str | None:
    """Only where somebody asked for the keyring: by default it is just one place to look."""
    is_asked_for = settings_origins(workspace.sources)["keyring"] != "default"
    if not (workspace.settings.keyring and is_asked_for):
        return None
    return workspace.secrets.keyring_problem()


def _exposed(workspace: Workspace) -> Iterator[Exposed]:
    others_read = stat.S_IRGRP | stat.S_IROTH
    others_write = stat.S_IWGRP | stat.S_IWOTH
    for path, what in _private_files(workspace):
        yield from _with_mode(path, others_read | others_write, what)
    directory = workspace.settings.config_dir
    yield from _with_mode(directory, others_write, "decides where secrets and numbers are sent")


def _private_files(workspace: Workspace) -> Iterator[tuple[Path, str]]:
    sources = workspace.sources
    yield workspace.settings.state, "holds phone numbers"
    if any(_is_secret(name) and not _names_file(name) for name in sources.dotenv):
        yield sources.dotenv_path, "holds a secret"
    named = {*_files_in(sources.environ), *_files_in(sources.dotenv)}
    for path in sorted({*named, *_entries(workspace.settings.config_dir / "secrets")}):
        yield path, "holds a secret"


def _files_in(variables: Mapping[str, str]) -> Iterator[Path]:
    for name, value in variables.items():
        if value and _is_secret(name) and _names_file(name):
            yield Path(value).expanduser()


def _is_secret(name: str) -> bool:
    """A secret's variable, alone or with a channel or `_FILE` behind it."""
    return any(name == one or name.startswith(f"{one}_") for one in SECRET_VARIABLES.values())


def _names_file(name: str) -> bool:
    variables = SECRET_VARIABLES.values()
    return name.endswith("_FILE") or any(name.startswith(f"{one}_FILE_") for one in variables)


def _entries(directory: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(directory)]
    except OSError:
        return []


def _with_mode(path: Path, unwanted: int, what: str) -> Iterator[Exposed]:
    try:
        found = path.stat()
    except OSError:
        return
    is_plain = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
    if is_plain and found.st_mode & unwanted:
        yield Exposed(str(path), stat.S_IMODE(found.st_mode), what)
