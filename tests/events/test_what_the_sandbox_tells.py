"""The program understands everything the sandbox tells, as the kind it was told as."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from wacoex_cli.events.model import Kind, Source
from wacoex_cli.events.payloads import payload_of, source_of
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.webhooks import META_KINDS, RESPONDIO_KINDS, emit
from wacoex_cli.sandbox.world import PHONE, PHONE_NUMBER_ID, WABA_ID

NOW = datetime.fromtimestamp(1_790_000_000, UTC)


def events_of(kind: str, **values: Any) -> list[Any]:
    world = default_world(now=NOW.timestamp)
    payloads = emit(world, kind, **values).payloads
    found: list[Any] = []
    for body in payloads:
        source = source_of(json.loads(json.dumps(body)))
        assert source is not None
        assert source == values.get("source", "meta")
        found += payload_of(source, body, 0, key=b"key", received_at=NOW).events
    return found


@pytest.mark.parametrize("kind", META_KINDS)
def test_meta_kinds(kind: str) -> None:
    events = events_of(kind, days_ago=1)

    assert events
    expected = Kind.QUALITY if kind == "template_quality" else Kind(kind)
    assert {event.kind for event in events} == {expected}


@pytest.mark.parametrize("kind", RESPONDIO_KINDS)
def test_respond_io_kinds(kind: str) -> None:
    events = events_of(kind, source="respondio")

    expected = Kind.MESSAGE if kind == "outgoing" else Kind(kind)
    assert expected in {event.kind for event in events}
    assert {event.source for event in events} == {Source.RESPONDIO}


def test_an_echo_comes_with_its_number_and_its_time() -> None:
    [event] = events_of("echo", days_ago=1)

    assert (event.phone_number_id, event.phone) == (PHONE_NUMBER_ID, PHONE)
    assert event.at == "2026-09-20T14:13:20.000Z"


def test_a_removal_comes_with_reason_and_initiator() -> None:
    values = {"reason": "PRIMARY_INACTIVITY", "initiated_by": "SYSTEM", "shape": "reference"}
    [event] = events_of("account_update", **values)

    assert event.waba_id == WABA_ID
    assert event.data["reason"] == "PRIMARY_INACTIVITY"
    assert event.data["initiated_by"] == "SYSTEM"
