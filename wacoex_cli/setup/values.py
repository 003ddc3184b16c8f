"""The values TAB offers, each with a word of explanation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.terminal.options import Candidate, ValueSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


def channels(env_file: Path | None) -> Iterable[Candidate]:
    """Names of the channels that are not archived, with their numbers."""
    from wacoex_cli.channels import glimpse_ledger

    return glimpse_ledger.names(archived=False, env_file=env_file)


def archived_channels(env_file: Path | None) -> Iterable[Candidate]:
    """Names of the archived channels, with their numbers."""
    from wacoex_cli.channels import glimpse_ledger

    return glimpse_ledger.names(archived=True, env_file=env_file)


def broadcasts(env_file: Path | None) -> Iterable[Candidate]:
    """Ids of the newest broadcasts, with status and name."""
    from wacoex_cli.broadcast import figures

    return figures.newest(env_file=env_file)


def topics(env_file: Path | None) -> Iterable[Candidate]:
    """Finding ids, topics and codes that `explain` has a text for, with a few words."""
    from wacoex_cli.diagnosis import explain

    return explain.candidates()


SOURCES: Mapping[str, ValueSource] = {
    "channel": channels,
    "archived channel": archived_channels,
    "broadcast": broadcasts,
    "topic": topics,
}
