"""What events change about broadcasts: what became of each message, and when one must pause."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from wacoex_cli.audience.ledger import add_optout
from wacoex_cli.audience.projection import OPTOUTS
from wacoex_cli.broadcast import delivery_ledger, ledger
from wacoex_cli.broadcast.model import RowState, Status
from wacoex_cli.channels import registry
from wacoex_cli.channels.account import concerns
from wacoex_cli.channels.projection import account_event
from wacoex_cli.events.model import Kind
from wacoex_cli.events.projection import Projection, catch_up
from wacoex_cli.platforms.error_codes import classify

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.events.model import Event
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State

_ATTEMPT = re.compile(r"wacoex-([0-9a-f]+)-([0-9]{1,18})-([0-9]{1,18})-([0-9]{1,9})")
_STATES = {
    "sent": RowState.SENT,
    "delivered": RowState.DELIVERED,
    "read": RowState.READ,
    "played": RowState.READ,
    "failed": RowState.FAILED,
}
# While one of these stands nothing sent through the API arrives (Meta: account_update).
_STOPS_SENDING = frozenset({"PARTNER_REMOVED", "ACCOUNT_OFFBOARDED"})
_EVENTS_AT_ONCE = 50


def project(state: State, events: Sequence[Event], now: datetime) -> None:
    """Move rows on by what statuses say, and pause what is sent on a channel that was removed."""
    this_file = ledger.state_id(state)
    for one in events:
        if one.kind is Kind.STATUS:
            _move_on(state, one, this_file, now)
        elif one.data.get("event") in _STOPS_SENDING:
            _pause(state, one)


def _move_on(state: State, event: Event, this_file: str, now: datetime) -> None:
    """Only the attempt id joins a status to its row: an ambiguous row has no message id."""
    reached = _STATES.get(str(event.data.get("status")))
    attempt = _ATTEMPT.fullmatch(str(event.data.get("attempt_id")))
    if reached is None or attempt is None or attempt[1] != this_file:
        return
    code = event.data.get("code") if reached is RowState.FAILED else None
    broadcast_id, row = int(attempt[2]), int(attempt[3])
    delivery_ledger.move_on(
        state,
        broadcast_id=broadcast_id,
        row=row,
        attempt=int(attempt[4]),
        reached=reached,
        code=code if isinstance(code, int) else None,
        message_id=event.message_id,
    )
    if isinstance(code, int) and classify(code).opts_out:
        # Whether or not the row moved: which status comes first must not decide it.
        phone = delivery_ledger.phone_of(state, broadcast_id, row)
        if phone is not None:
            add_optout(state, phone, f"meta-{code}", None, now)


def _pause(state: State, event: Event) -> None:
    told = account_event(event)
    why = ", ".join(one for one in (told.reason, told.initiated_by) if one)
    reason = f"Meta says {told.event}{f' ({why})' if why else ''} at {event.at}"
    for broadcast in ledger.of_channel(state, None, Status.SENDING):
        is_about_it = concerns(registry.known(state, broadcast.channel), told)
        if is_about_it and event.at >= delivery_ledger.last_started_at(
            state, broadcast.broadcast_id
        ):
            ledger.set_status(state, broadcast.broadcast_id, Status.PAUSED, reason=reason)


DELIVERIES = Projection("deliveries", frozenset({Kind.STATUS, Kind.ACCOUNT_UPDATE}), project)


def bring_up_to_date(state: State, clock: Clock) -> None:
    """Let broadcasts and the opt-out list learn what has come in, a little at a time."""
    catch_up(state, (OPTOUTS, DELIVERIES), clock, events_at_once=_EVENTS_AT_ONCE)
