"""What events change about broadcasts: what became of each message, and when one must pause."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from wacoex_cli.audience.ledger import add_optout
from wacoex_cli.audience.projection import OPTOUTS
from wacoex_cli.broadcast import stopping
from wacoex_cli.broadcast.model import RowState, Status
from wacoex_cli.broadcast.stopping import why_stop
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.channels import registry
from wacoex_cli.channels.account import concerns
from wacoex_cli.channels.projection import account_event
from wacoex_cli.events import ledger as events_ledger
from wacoex_cli.events.model import Kind, Source
from wacoex_cli.events.projection import Projection, catch_up
from wacoex_cli.platforms.error_codes import classify
from wacoex_cli.templates.model import Template

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
_EVENTS_AT_ONCE = 50


def project(state: State, events: Sequence[Event], now: datetime) -> None:
    """Move rows on by what statuses say, and pause what an event speaks against."""
    this_file = Broadcasts(state).state_id
    for one in events:
        if one.kind is Kind.STATUS:
            _move_on(state, one, this_file, now)
        else:
            _pause(state, one)


def project_known(state: State, message_ids: Sequence[str], now: datetime) -> None:
    """Move rows on by statuses of respond.io that had come in before their message was known.

    Inside a transaction.
    """
    for one in message_ids:
        prefix = f"{Source.RESPONDIO}:{Kind.STATUS}:{one}:"
        project(state, events_ledger.events_with_key(state, prefix), now)


def _move_on(state: State, event: Event, this_file: str, now: datetime) -> None:
    reached = _STATES.get(str(event.data.get("status")))
    target = _target(state, event, this_file)
    if reached is None or target is None:
        return
    broadcast_id, row, attempt = target
    code = event.data.get("code") if reached is RowState.FAILED else None
    Rows(state, broadcast_id).move_on(
        row,
        attempt,
        reached,
        code=code if isinstance(code, int) else None,
        message_id=event.message_id,
    )
    if isinstance(code, int) and classify(code).opts_out:
        # Whether or not the row moved: which status comes first must not decide it.
        phone = Rows(state, broadcast_id).phone_of(row)
        if phone is not None:
            add_optout(state, phone, f"meta-{code}", None, now)


def _target(state: State, event: Event, this_file: str) -> tuple[int, int, int] | None:
    """The broadcast, row and attempt that a status is about.

    Of Meta's only the attempt id tells: an ambiguous row has no message id. respond.io knows no
    attempt ids, and its statuses come when somebody asks about a message id.
    """
    if event.source is Source.RESPONDIO:
        return Broadcasts(state).row_of_message(str(event.data.get("respondio_message_id")))
    attempt = _ATTEMPT.fullmatch(str(event.data.get("attempt_id")))
    if attempt is None or attempt[1] != this_file:
        return None
    return int(attempt[2]), int(attempt[3]), int(attempt[4])


def _pause(state: State, event: Event) -> None:
    """Only what came after the newest run began counts: who resumes has seen the rest."""
    told = account_event(event)
    for broadcast in Broadcasts(state).of_channel(None, Status.SENDING):
        why = why_stop(event, Template.from_json(json.loads(broadcast.template)))
        if (
            why
            and concerns(registry.known(state, broadcast.channel), told)
            and event.at >= Broadcasts(state).last_started_at(broadcast.broadcast_id)
        ):
            Broadcasts(state).set_status(broadcast.broadcast_id, Status.PAUSED, reason=why)


DELIVERIES = Projection("deliveries", stopping.KINDS | {Kind.STATUS}, project)


def bring_up_to_date(state: State, clock: Clock) -> None:
    """Let broadcasts and the opt-out list learn what has come in, a little at a time."""
    catch_up(state, (OPTOUTS, DELIVERIES), clock, events_at_once=_EVENTS_AT_ONCE)
