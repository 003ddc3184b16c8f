"""Whether a channel is connected, was removed, or is about to come back. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.channels.model import (
    RE_REGISTERED,
    EvidenceKind,
    Sign,
    channel_address,
)
from wacoex_cli.foundation.clock import from_text, to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from wacoex_cli.channels.model import AccountEvent, Channel


FACTS = ("last_onboarded_time", "is_on_biz_app", "status", "platform_type")
"""The facts that `connection_of` looks at."""
SETTLES_WITHIN = timedelta(hours=24)
CANNOT_SEND = frozenset(
    {"DISCONNECTED", "UNVERIFIED", "RESTRICTED", "BANNED", "MIGRATED", "DELETED", "PENDING"}
)
"""Values of `status` of a number that cannot send (Meta: phone number)."""
_CLOCKS_DIFFER_AT_MOST = timedelta(minutes=5)
_OFFBOARDED = "ACCOUNT_OFFBOARDED"
_REMOVED = "PARTNER_REMOVED"
_RECONNECTED = "ACCOUNT_RECONNECTED"
_CONNECTING = frozenset({"PARTNER_ADDED", _RECONNECTED})


class ConnectionState(StrEnum):
    """How a channel is connected."""

    SETTLING = "settling"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    REMOVED = "removed"
    ARCHIVED = "archived"


class Connection(NamedTuple):
    """How a channel is connected and since when (RFC 3339, UTC); None where nothing tells.

    `reason` and `initiated_by` are Meta's words for a loss, where it gave them.
    """

    state: ConnectionState | None = None
    since: str | None = None
    reason: str | None = None
    initiated_by: str | None = None

    @property
    def is_lost(self) -> bool:
        """Nothing can be sent or received through the API."""
        return self.state in {ConnectionState.RECONNECTING, ConnectionState.REMOVED}

    @property
    def loss_finding(self) -> str:
        """The id of the finding that says what to do about a loss; empty when there is none."""
        if not self.is_lost:
            return ""
        return "WX204" if self.state is ConnectionState.RECONNECTING else "WX203"

    def to_json(self) -> dict[str, object]:
        """The keys that commands show about it."""
        return {
            "connection": self.state.value if self.state else None,
            "connection_since": self.since,
            "connection_reason": self.reason,
            "connection_initiated_by": self.initiated_by,
        }


def connection_of(
    channel: Channel, events: Iterable[AccountEvent], values: Mapping[str, Any], now: datetime
) -> Connection:
    """How a channel is connected, from the account events about it and its stored facts.

    A loss holds until Meta tells of a connection that is not older: facts may look well for a
    while after one (Meta: account_update). The order of the events does not matter.
    """
    if channel.archived_at:
        return Connection(ConnectionState.ARCHIVED, channel.archived_at)
    told = sorted(
        events,
        key=lambda one: (one.at, one.event, one.reason or "", one.initiated_by or ""),
    )
    onboarded = connected_at(values)
    gained = max((one.at for one in told if one.event in _CONNECTING), default="")
    connected = max(gained, to_text(onboarded) if onboarded else "")
    # Of the same moment: a number comes back after it was lost, so coming back is the later.
    loss = _loss([one for one in told if one.at > connected])
    if loss:
        return loss
    state = connection(values, now)
    # Facts that were given and prove no connection are believed once they cannot lag.
    may_lag = bool(gained) and now - from_text(gained) < SETTLES_WITHIN
    if state is None and gained and (may_lag or "status" not in values):
        state = ConnectionState.CONNECTED
    return Connection(state, connected or None) if state else Connection()


def reconnections(channel: Channel, events: Iterable[AccountEvent]) -> tuple[Sign, ...]:
    """Evidence that the app was open: WhatsApp brought the partner back after a registration."""
    address = channel_address(channel.channel_id)
    return tuple(
        Sign(address, EvidenceKind.CONNECTED, one.at, one.source, one.event)
        for one in events
        if one.event == _RECONNECTED
    )


def _loss(events: Sequence[AccountEvent]) -> Connection | None:
    """What happened since the number was last connected; None when it was not lost."""
    offboarded = next((one for one in reversed(events) if one.event == _OFFBOARDED), None)
    removed = next((one for one in reversed(events) if one.event == _REMOVED), None)
    is_final = offboarded and any(
        one.event == _REMOVED and one.at >= offboarded.at and not _heals(one) for one in events
    )
    if offboarded and not is_final:
        beside = removed if removed and _heals(removed) else offboarded
        return Connection(
            ConnectionState.RECONNECTING, offboarded.at, beside.reason, beside.initiated_by
        )
    if removed:
        return Connection(ConnectionState.REMOVED, removed.at, removed.reason, removed.initiated_by)
    return None


def _heals(removal: AccountEvent) -> bool:
    # Meta did not always tell a reason; beside an offboarding the registration is the likely one.
    return removal.reason in {None, RE_REGISTERED}


def connected_at(values: Mapping[str, Any]) -> datetime | None:
    """When the number was last onboarded, as Meta tells it; None without a usable time."""
    return moment_of(values.get("last_onboarded_time"))


def moment_of(told: object) -> datetime | None:
    """A moment that Meta gives as Unix seconds or as ISO 8601; None when it is neither."""
    try:
        if isinstance(told, int | float):
            return datetime.fromtimestamp(told, UTC)
        moment = datetime.fromisoformat(str(told))
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def is_settling(values: Mapping[str, Any], now: datetime) -> bool:
    """Connected less than 24 hours ago: what Meta says of such a number lags behind."""
    moment = connected_at(values)
    return moment is not None and -_CLOCKS_DIFFER_AT_MOST <= now - moment < SETTLES_WITHIN


def connection(values: Mapping[str, Any], now: datetime) -> ConnectionState | None:
    """`settling`, `connected`, or None where the facts do not prove either."""
    if is_settling(values, now):
        return ConnectionState.SETTLING
    is_connected = (
        values.get("is_on_biz_app") is True
        and values.get("status") == "CONNECTED"
        and values.get("platform_type", "CLOUD_API") == "CLOUD_API"
    )
    return ConnectionState.CONNECTED if is_connected else None
