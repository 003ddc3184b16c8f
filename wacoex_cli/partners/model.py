"""Who was seen at a WABA and in a respond.io workspace, and who is expected there."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from wacoex_cli.platforms.events import Event

PARTNER_NAME = "respond.io"


class Expected(NamedTuple):
    """The partner that should hold the WABA: an app id, or a name that its app's name contains."""

    app_id: str | None = None
    name: str = PARTNER_NAME

    @property
    def label(self) -> str:
        """What it is called in findings and in the JSON output."""
        return self.app_id or self.name


class DriftKind(StrEnum):
    """How the state file and what is seen differ."""

    GONE = "gone"
    ANOTHER = "another"
    FORMER = "former"


class Drift(NamedTuple):
    """One id of the state file that is not what is seen; `use` is the id to take instead."""

    kind: DriftKind
    name: str
    stored: str
    text: str
    source: str
    observed_at: str
    use: str | None = None


class PartnerRows(NamedTuple):
    """What is known here about the partners of a channel.

    `own_app_id` is the configured app, `public_url` where `events listen` is reached. The events
    are those of its templates; `other_respondio_ids` belong to our other channels.
    """

    expected: Expected
    own_app_id: str | None = None
    public_url: str | None = None
    template_events: tuple[Event, ...] = ()
    other_respondio_ids: tuple[int, ...] = ()
