"""A state file with many channels of which each has a little of everything."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from wacoex_cli.channels.model import EvidenceKind, Sign
from wacoex_cli.channels.store import Signs
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.state import State
from wacoex_cli.platforms.events import Event, EventData, Kind, Payload, Source, Via
from wacoex_cli.templates.model import Template

_STATES = ("accepted", "failed", "ambiguous", "delivered", "rejected")


def fill(state: State, channels: int, now: datetime, *, events: int = 40, seed: int = 1) -> None:
    """Add `channels` channels, and to each about `events` events of the last 40 days."""
    chance = random.Random(seed)
    with state.transaction():
        for number in range(1, channels + 1):
            _add_channel(state, number, now, chance)
        payloads = [
            Payload(event.source, f"{place:064x}", 100, "{}", (event,))
            for place, event in enumerate(_events(channels, events, now, chance))
        ]
        EventLog(state).store(payloads, Via.LISTEN, now)


def _add_channel(state: State, number: int, now: datetime, chance: random.Random) -> None:
    def ago(**length: float) -> str:
        return to_text(now - timedelta(**length))

    def insert(table: str, **columns: object) -> None:
        marks = ", ".join("?" * len(columns))
        state.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", list(columns.values())
        )

    respondio_id = 9_000 + number if number % 3 == 0 else None
    insert(
        "channels", channel_id=number, name=f"shop{number}", phone=_phone(number),
        phone_number_id=_id(number), waba_id=_account(number), respondio_channel_id=respondio_id,
        provider="meta", created_at=ago(days=90),
    )  # fmt: skip
    insert("former_ids", channel_id=number, name="phone_number_id", value=f"7{_id(number)}",
           until=ago(days=50))  # fmt: skip
    for name, value in {
        "status": "CONNECTED",
        "is_on_biz_app": True,
        "platform_type": "CLOUD_API",
        "last_onboarded_time": ago(days=chance.randint(2, 40)),
        "quality_rating": chance.choice(["GREEN", "RED"]),
        "whatsapp_business_manager_messaging_limit": "TIER_250",
    }.items():
        insert("facts", channel_id=number, name=name, value=json.dumps(value), source="meta",
               observed_at=ago(hours=5))  # fmt: skip
    Signs(state).add(
        Sign(address, kind, ago(days=chance.uniform(-0.2, 30)), "meta", "Ana")
        for kind in EvidenceKind
        for address in (f"channel:{number}", f"phone_number_id:{_id(number)}")
        if chance.random() < 0.6
    )
    if number == 1:  # by a clock that goes ahead
        kinds = (EvidenceKind.CONFIRMED, EvidenceKind.CONNECTED)
        Signs(state).add(Sign("channel:1", kind, ago(days=-1), "person", "Ana") for kind in kinds)
    Signs(state).note_numbers([(f"8{_id(number)}", _phone(number))])
    insert("devices", device_id=2 * number, channel_id=number, kind="web", name="till",
           linked_at=ago(days=60), removed_at=ago(days=35))  # fmt: skip
    insert("devices", device_id=2 * number + 1, channel_id=number, kind="web", name="desk",
           linked_at=ago(days=chance.uniform(1, 20)))  # fmt: skip
    insert("device_confirmations", channel_id=number, confirmed_at=ago(days=30), confirmed_by="Ana",
           companions=0, last_device_id=2 * number)  # fmt: skip
    insert("probes", probe_id=number, channel_id=number, contact="+6591234567",
           began_at=ago(days=3), ended_at=ago(days=2.9), heard=1)  # fmt: skip
    for device, outcome in ((0, "seen"), (2 * number + 1, chance.choice(["seen", "not_seen"]))):
        insert("probe_words", probe_id=number, device_id=device, word=f"w{number}-{device}",
               outcome=outcome)  # fmt: skip
    for past in (0, 1):
        journey = 2 * number - past
        insert("journeys", journey_id=journey, channel_id=number, kind="connect", via="signup",
               started_at=ago(days=10), finished_at=ago(days=9) if past else None)  # fmt: skip
        for step in ("signup", "sync"):
            insert("journey_steps", journey_id=journey, step=step, state="settled",
                   at=ago(days=9), said_by="meta", answer="{}")  # fmt: skip
    offer = Template(
        *("offer", "en_US", "APPROVED", "MARKETING", "POSITIONAL"),
        components=({"type": "BODY", "text": "Hello"},),
        template_id="55",
    )
    for past in (0, 1):
        broadcast = 2 * number - past
        insert("broadcasts", broadcast_id=broadcast, channel_id=number,
               status="completed" if past else "paused", template=json.dumps(offer.to_json()),
               parameter_sources="[]", recipients_file="-", api_base_url="x",
               rate=20, recipients=6, planned_at=ago(days=1), started_at=ago(hours=20 + past),
               finished_at=ago(hours=10))  # fmt: skip
        for row in range(6):
            insert("recipients", broadcast_id=broadcast, row=row, line=row,
                   phone=f"+6592{row:06}", parameters="[]", state=chance.choice(_STATES),
                   code=chance.choice([None, 130429, 131049]), attempts=1,
                   claimed_at=ago(hours=11), answered_at=ago(hours=11))  # fmt: skip


def _events(channels: int, count: int, now: datetime, chance: random.Random) -> Iterator[Event]:
    kinds = (
        *[Kind.ECHO] * 5, *[Kind.MESSAGE] * 5, *[Kind.STATUS] * 2, Kind.UNSUPPORTED, Kind.EDIT,
        Kind.STANDBY, Kind.HANDOVER, Kind.TEMPLATE_STATUS, Kind.ACCOUNT_UPDATE, Kind.QUALITY,
    )  # fmt: skip
    for channel in range(1, channels + 1):
        # Of every second channel the echoes stop.
        stopped = timedelta(days=0 if channel % 2 else chance.uniform(3, 12))
        habit = timedelta(days=40 if channel % 5 else 27.99)
        for place in range(count):
            kind = chance.choice(kinds)
            at = now - chance.random() * habit
            if kind is Kind.ECHO:
                at -= stopped
            yield _event(channel, place, kind, at, chance)
    # However few channels there are: what fits none of them, and what was not understood.
    just_now = to_text(now - timedelta(hours=1))
    yield Event("meta:echo:nobody", Kind.ECHO, Source.META, just_now, phone="+6570000000")
    unclear = EventData(event="NEW_WORD", unclear=["event"])
    yield Event(
        "meta:quality:1", Kind.QUALITY, Source.META, just_now, phone=_phone(1), data=unclear
    )


def _event(channel: int, place: int, kind: Kind, at: datetime, chance: random.Random) -> Event:
    through_respondio = channel % 3 == 0 and chance.random() < 0.4
    is_of_account = kind in (Kind.TEMPLATE_STATUS, Kind.ACCOUNT_UPDATE)
    source = Source.RESPONDIO if through_respondio else Source.META
    # Meta names the number by its present id, a former one, one that nobody entered, or none.
    number_id = chance.choice([_id(channel), f"7{_id(channel)}", f"8{_id(channel)}", None])
    names = not (through_respondio or is_of_account)
    return Event(
        key=f"{source}:{kind}:{channel}-{place}",
        kind=kind,
        source=source,
        at=to_text(at),
        phone_number_id=number_id if names and kind is not Kind.QUALITY else None,
        phone=_phone(channel) if names else None,
        waba_id=None if through_respondio else _account(channel),
        respondio_channel_id=9_000 + channel if through_respondio else None,
        contact=None if is_of_account else f"+6591{chance.randint(0, 9):06}",
        message_id=f"wamid.{channel}-{chance.randint(0, 30)}",
        data=_data(kind, chance),
    )


def _data(kind: Kind, chance: random.Random) -> EventData:
    if kind in (Kind.MESSAGE, Kind.STANDBY):
        return {"direction": chance.choice(["in", "in", "out"]), "type": "text"}
    if kind is Kind.STATUS:
        priced = {"type": chance.choice(["regular", "free_customer_service"])}
        return {"status": "delivered", "pricing": {**priced, "category": "service"}}
    if kind is Kind.ACCOUNT_UPDATE:
        return {"event": chance.choice(["PARTNER_ADDED", "ACCOUNT_RECONNECTED", "VERIFIED"])}
    if kind is Kind.TEMPLATE_STATUS:
        return {"event": "APPROVED", "template_name": "offer", "template_id": "55"}
    if kind is Kind.UNSUPPORTED:
        return {"code": chance.choice([131051, 131060]), "unsupported_type": "unknown"}
    return {"type": "text"}


def _phone(channel: int) -> str:
    return f"+65{80_000_000 + channel}"


def _id(channel: int) -> str:
    return str(100_000_000 + channel)


def _account(channel: int) -> str:
    return str(500_000 + channel // 2)
