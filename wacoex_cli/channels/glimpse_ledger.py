"""What a TAB press wants to know about channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.foundation.glimpse import glimpse

if TYPE_CHECKING:
    from pathlib import Path


def names(*, archived: bool, env_file: Path | None = None) -> list[tuple[str, str]]:
    """Name and phone number of each channel, the archived ones or the others, by name."""
    condition = "IS NOT NULL" if archived else "IS NULL"
    return [
        (str(name), str(phone))
        for name, phone in glimpse(
            f"SELECT name, phone FROM channels WHERE archived_at {condition} ORDER BY name",
            env_file=env_file,
        )
    ]
