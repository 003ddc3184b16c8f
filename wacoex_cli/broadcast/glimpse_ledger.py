"""What a TAB press wants to know about broadcasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.foundation.glimpse import glimpse

if TYPE_CHECKING:
    from pathlib import Path


def newest(*, env_file: Path | None = None) -> list[tuple[str, str]]:
    """Id, and status with name or file, of the newest hundred broadcasts, newest first."""
    return [
        (str(broadcast_id), f"{status}, {name}")
        for broadcast_id, status, name in glimpse(
            "SELECT broadcast_id, status, COALESCE(name, recipients_file) FROM broadcasts"
            " ORDER BY broadcast_id DESC LIMIT 100",
            env_file=env_file,
        )
    ]
