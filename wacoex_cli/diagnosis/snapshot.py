"""Everything the doctor looks at, gathered once: checks read it and ask nobody."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.connection import ConnectionState
from wacoex_cli.channels.facts import values_of
from wacoex_cli.channels.removal import RETURNS_WITHIN
from wacoex_cli.foundation.clock import from_text, to_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from wacoex_cli.broadcast.checks import Trouble
    from wacoex_cli.channels.account import AccountEvent
    from wacoex_cli.channels.connection import Connection
    from wacoex_cli.channels.facts import Fact
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.devices.registry import Inventory
    from wacoex_cli.diagnosis.asked import Reading
    from wacoex_cli.diagnosis.machine import Machine
    from wacoex_cli.errors import WacoexError
    from wacoex_cli.events.echo_flow import EchoFlow
    from wacoex_cli.events.model import Event, Source
    from wacoex_cli.events.subscribe import Subscription
    from wacoex_cli.events.unsupported import Summary
    from wacoex_cli.inactivity.model import Standing
    from wacoex_cli.onboarding.model import Journey, Record
    from wacoex_cli.partners.model import Expected, Listed
    from wacoex_cli.templates.model import Template

STATE, META, RESPONDIO = "state", "meta", "respondio"
"""The sources of a snapshot."""


@dataclass(frozen=True)
class SourceSeen:
    """One source: whether it answered, or why it was not asked or did not answer.

    `ok` is None for a source that was not asked: offline, or without access to it.
    """

    name: str
    ok: bool | None
    reason: str | None = None

    def to_json(self) -> dict[str, object]:
        """The entry of `sources`."""
        return {"name": self.name, "ok": self.ok, "reason": self.reason}


@dataclass(frozen=True)
class Failed:
    """A source that could not be asked about one channel."""

    source: str
    channel: str
    error: WacoexError


@dataclass(frozen=True)
class ChannelView:
    """One channel. `facts` are the newest known, `reading` what came of asking just now.

    `zone` is the time zone its times are shown in, `partner` who is expected to hold its WABA.
    `journey` is the newest one of connecting, `records` its steps. `subscription` is None where
    there is no own app, `listed` where respond.io was not asked. `templates` are those of
    broadcasts to be sent, as planned and as Meta has them. `other_respondio_ids` are those
    of our other channels.
    """

    channel: Channel
    reading: Reading
    facts: tuple[Fact, ...]
    connection: Connection
    standing: Standing
    zone: str
    inventory: Inventory
    partner: Expected
    trouble: Trouble
    unsupported: Summary
    echo_flow: EchoFlow
    own_app_id: str | None = None
    public_url: str | None = None
    account_events: tuple[AccountEvent, ...] = ()
    template_events: tuple[Event, ...] = ()
    taken_in_24_hours: int = 0
    listed: Listed | None = None
    templates: tuple[tuple[Template, Template], ...] = ()
    other_respondio_ids: tuple[int, ...] = ()
    subscription: Subscription | None = None
    journey: Journey | None = None
    records: Mapping[str, Record] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The channel's name."""
        return self.channel.name

    @property
    def values(self) -> dict[str, Any]:
        """The values of the facts that were given, by name."""
        return values_of(self.facts)

    def must_wait(self, now: datetime) -> bool:
        """Whether WhatsApp may still bring the partner back by itself."""
        since = self.connection.since
        is_young = since is not None and now < from_text(since) + RETURNS_WITHIN
        is_reconnecting = self.connection.state is ConnectionState.RECONNECTING
        return is_reconnecting or (self.connection.is_lost and is_young)

    def seen_at(self, now: datetime) -> str:
        """When the oldest of the facts was read; now where there is none."""
        return min((one.observed_at for one in self.facts if one.observed_at), default=to_text(now))


@dataclass(frozen=True)
class Snapshot:
    """All channels and this machine at one moment.

    `arrivals` are the hours in which something came in, by source; `last_run` and `schedule` are
    the reminder's; `versions` the Graph versions in use.
    """

    now: datetime
    is_offline: bool
    channels: tuple[ChannelView, ...]
    machine: Machine
    sources: tuple[SourceSeen, ...] = ()
    failed: tuple[Failed, ...] = ()
    arrivals: Mapping[Source, list[tuple[str, int, str]]] = field(default_factory=dict)
    last_run: Mapping[str, Any] | None = None
    schedule: Mapping[str, Any] | None = None
    versions: tuple[str, ...] = ()

    @property
    def unsigned(self) -> list[str]:
        """The channels whose calls to Meta are not signed with an app secret."""
        return [one.name for one in self.channels if one.reading.lacks_app_secret]
