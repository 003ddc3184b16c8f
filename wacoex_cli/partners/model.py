"""Who was seen at a WABA and in a respond.io workspace, and who is expected there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wacoex_cli.errors import WacoexError
    from wacoex_cli.platforms.meta_answers import App, User
    from wacoex_cli.platforms.respondio_replies import WorkspaceChannel

PARTNER_NAME = "respond.io"


@dataclass(frozen=True)
class Expected:
    """The partner that should hold the WABA: an app id, or a name that its app's name contains."""

    app_id: str | None = None
    name: str = PARTNER_NAME

    @property
    def label(self) -> str:
        """What it is called in findings and in the JSON output."""
        return self.app_id or self.name


@dataclass(frozen=True)
class Seen:
    """What Meta shows of a WABA's partners beside its fields. `observed_at` is RFC 3339 in UTC.

    `apps` is None where that could not be read; `why` says why, and without an `error` the
    configured access cannot give it at all. `users` is None where they are not shown.
    """

    observed_at: str
    apps: tuple[App, ...] | None = None
    users: tuple[User, ...] | None = None
    why: str | None = None
    error: WacoexError | None = None

    @property
    def is_available(self) -> bool:
        """Whether Meta could be asked at all."""
        return self.apps is not None or self.error is not None


@dataclass(frozen=True)
class Listed:
    """The channels of a respond.io workspace. `channels` is None where they could not be read."""

    observed_at: str
    channels: tuple[WorkspaceChannel, ...] | None = None
    why: str | None = None
    error: WacoexError | None = None


class DriftKind(StrEnum):
    """How the state file and what is seen differ."""

    GONE = "gone"
    ANOTHER = "another"
    FORMER = "former"


@dataclass(frozen=True)
class Drift:
    """One id of the state file that is not what is seen; `use` is the id to take instead."""

    kind: DriftKind
    name: str
    stored: str
    text: str
    source: str
    observed_at: str
    use: str | None = None

    def to_json(self) -> dict[str, object]:
        """The entry of `drift`."""
        return {
            "kind": self.kind.value,
            "name": self.name,
            "stored": self.stored,
            "text": self.text,
            "source": self.source,
            "observed_at": self.observed_at,
            "use": self.use,
        }
