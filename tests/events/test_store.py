"""The log keeps each thing once, gives it to its readers, and loses only what is old."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from freezegun import freeze_time

from wacoex_cli.app import projections
from wacoex_cli.channels.model import EvidenceKind
from wacoex_cli.channels.store import Signs
from wacoex_cli.events.checks import _ECHOES, _HEARD, _MESSAGES_SINCE, TRAFFIC
from wacoex_cli.events.store import (
    _ACTIVE,
    _ALL_OR,
    _ANSWERS_OF_NUMBERS,
    _DELIVERED_AFTER_ALL,
    _EDITS,
    _FEW_OF_EACH,
    _FIRST_SEEN,
    _OF_EACH,
    NUMBER,
    EventLog,
    Numbers,
    catch_up,
)
from wacoex_cli.foundation.clock import SystemClock, to_text
from wacoex_cli.platforms.events import Event, Kind, Payload, Projection, Source, Via

NOW = datetime(2026, 11, 7, 12, 30, tzinfo=UTC)


def event(name: str, kind: Kind = Kind.MESSAGE, at: str = "2026-11-07T12:00:00.000Z", **more):
    return Event(f"meta:{kind}:{name}", kind, Source.META, at, **more)


def payload(digest: str, *events: Event, source: Source = Source.META) -> Payload:
    return Payload(source, digest, 100, json.dumps({"digest": digest}), events)


def store(state, *payloads: Payload, via: Via = Via.LISTEN, now: datetime = NOW):
    with state.transaction():
        return EventLog(state).store(payloads, via, now)


def keys(events: Iterable[Event]) -> list[str]:
    return [entry.key.rpartition(":")[2] for entry in events]


def test_a_payload_is_stored_once_however_often_it_is_delivered(state):
    first = payload("a", event("1"), event("2", Kind.STATUS))

    answer = [store(state, first)[0] for _ in range(5)]

    assert [stored.is_new for stored in answer] == [True, False, False, False, False]
    assert answer[0].events == {Kind.MESSAGE: 1, Kind.STATUS: 1}
    assert answer[1].events == {}
    assert state.value("SELECT COUNT(*) FROM payloads") == 1
    assert state.value("SELECT COUNT(*) FROM events") == 2


def test_within_one_batch_too(state):
    first, other = payload("a", event("1")), payload("b", event("1"), event("2"))

    answer = store(state, first, first, other, payload("c", event("2")))

    assert [stored.is_new for stored in answer] == [True, False, True, False]
    assert keys(EventLog(state).find(newest_first=False)) == ["1", "2"]


def test_an_event_reported_again_in_another_payload_is_not_new(state):
    store(state, payload("a", event("1")))

    again, mixed, empty = store(
        state, payload("b", event("1")), payload("c", event("1"), event("2")), payload("d")
    )

    assert (again.is_new, mixed.is_new, empty.is_new) == (False, True, True)
    assert mixed.events == {Kind.MESSAGE: 1}


def test_an_event_comes_back_as_it_was(state):
    first = event(
        "1",
        phone_number_id="106",
        phone="+6560000001",
        waba_id="20",
        respondio_channel_id=4242,
        contact="+6591234567",
        message_id="wamid.A",
        data={"type": "text", "pricing": {"billable": True}, "code": 131060},
    )
    store(state, payload("a", first))

    [found] = EventLog(state).find()

    assert (found.key, found.kind, found.source, found.at) == (
        first.key,
        first.kind,
        "meta",
        first.at,
    )
    assert found.data == first.data
    assert found.respondio_channel_id == 4242
    assert found.event_id == 1


def test_a_transaction_that_is_undone_leaves_nothing(state):
    with pytest.raises(ZeroDivisionError), state.transaction():
        EventLog(state).store([payload("a", event("1"))], Via.LISTEN, NOW)
        raise ZeroDivisionError

    assert store(state, payload("a", event("1")))[0].is_new


def test_a_payload_with_thousands_of_events_is_stored_whole(state):
    many = [event(str(number)) for number in range(2_500)]

    [answer] = store(state, payload("a", *many))
    [again] = store(state, payload("b", *reversed(many)))

    assert (answer.events, again.is_new) == ({Kind.MESSAGE: 2_500}, False)


def projection(seen: list[str], *kinds: Kind) -> Projection:
    def project(state, events, now):
        seen.extend(keys(events))

    return Projection("test", frozenset(kinds), project)


def test_a_reader_gets_each_event_of_its_kinds_once(state, clock):
    seen: list[str] = []
    echoes = projection(seen, Kind.ECHO)
    store(state, payload("a", event("1", Kind.ECHO), event("2"), event("3", Kind.ECHO)))

    given = catch_up(state, [echoes], clock, events_at_once=1)
    store(state, payload("b", event("4", Kind.ECHO)))
    catch_up(state, [echoes], clock)

    assert (given, seen) == (2, ["1", "3", "4"])
    assert not EventLog(state).behind(["test"])


def test_a_reader_of_rare_kinds_is_soon_at_the_end(state, clock):
    seen: list[str] = []
    store(state, payload("a", *(event(str(number)) for number in range(25_000))))

    assert EventLog(state).behind(["test"])
    with state.transaction():
        events, reached = EventLog(state).after(0, {Kind.ALERT}, 500)
        assert (events, reached) == ([], 10_000)
    assert catch_up(state, [projection(seen, Kind.ALERT)], clock) == 0
    assert not EventLog(state).behind(["test"])
    assert EventLog(state).cursor("test") == 25_000


def test_a_reader_is_not_held_up_by_events_that_were_removed(state):
    store(state, payload("a", *(event(str(number)) for number in range(30_000))))
    with state.transaction():
        state.execute("DELETE FROM events WHERE event_id < 29990")

    events, reached = EventLog(state).after(0, {Kind.MESSAGE}, 5)

    assert [entry.event_id for entry in events] == [29990, 29991, 29992, 29993, 29994]
    assert reached == 29994


def test_a_failed_step_is_done_again(state, clock):
    seen: list[str] = []
    store(state, payload("a", event("1", Kind.ECHO)))

    def fail(state, events, now):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        catch_up(state, [Projection("test", frozenset({Kind.ECHO}), fail)], clock)
    catch_up(state, [projection(seen, Kind.ECHO)], clock)

    assert seen == ["1"]


def filled(state) -> None:
    many = [
        event(
            f"{number:04}",
            (Kind.MESSAGE, Kind.ECHO, Kind.STATUS)[number % 3],
            at=f"2026-11-0{1 + number % 5}T12:00:00.000Z",
            phone_number_id=str(100 + number % 2),
            waba_id="20",
        )
        for number in range(3_000)
    ]
    account = event("account", Kind.ACCOUNT_UPDATE, "2026-11-06T00:00:00.000Z", waba_id="20")
    store(state, payload("a", *many, account))


def test_events_are_found_in_order_of_time_for_any_order_of_arrival(state):
    filled(state)

    newest = list(EventLog(state).find())
    oldest = list(EventLog(state).find(newest_first=False))

    assert len(newest) == 3_001
    assert oldest == newest[::-1]
    assert oldest == sorted(oldest, key=lambda entry: (entry.at, entry.event_id))


def test_events_are_found_by_kind_time_and_address(state):
    filled(state)
    since = datetime(2026, 11, 5, tzinfo=UTC)

    kinds = {Kind.ECHO, Kind.STATUS}
    found = list(EventLog(state).find(kinds=kinds, since=since, addresses=["phone_number_id:101"]))

    assert found == [
        entry
        for entry in EventLog(state).find()
        if entry.kind in kinds and entry.at >= to_text(since) and entry.phone_number_id == "101"
    ]
    assert len(found) == 200
    assert len(list(EventLog(state).find(kinds=kinds, most=1_500))) == 1_500
    assert keys(EventLog(state).find(most=1)) == ["account"]


def test_an_account_is_found_without_what_concerns_its_numbers(state):
    filled(state)

    assert keys(EventLog(state).find(addresses=["waba_id:20"])) == ["account"]
    assert list(EventLog(state).find(addresses=["channel:1"])) == []
    assert list(EventLog(state).find(addresses=[])) == []


def test_the_oldest_event_of_some_kinds_is_known(state):
    filled(state)

    assert EventLog(state).oldest_at({Kind.ECHO, Kind.STATUS}) == datetime(
        2026, 11, 1, 12, tzinfo=UTC
    )
    assert EventLog(state).oldest_at({Kind.REVOKE}) is None


def test_arrivals_are_counted_by_the_hour_but_not_imports(state):
    store(state, payload("a"), payload("b", source=Source.RESPONDIO))
    store(state, payload("a"), now=NOW + timedelta(minutes=20))
    store(state, payload("c"), now=NOW - timedelta(minutes=20))
    store(state, payload("d"), now=NOW + timedelta(hours=2), via=Via.PULL)
    store(state, payload("e"), now=NOW + timedelta(hours=9), via=Via.IMPORT)

    assert EventLog(state).arrival_hours(Source.META, NOW) == [
        ("2026-11-07T12:00:00.000Z", 3, "2026-11-07T12:50:00.000Z"),
        ("2026-11-07T14:00:00.000Z", 1, "2026-11-07T14:30:00.000Z"),
    ]
    assert EventLog(state).newest_arrival(Source.RESPONDIO) == NOW
    assert EventLog(state).newest_arrival(Source.META) == NOW + timedelta(hours=2)


def test_nothing_came_in_yet(state):
    assert EventLog(state).newest_arrival(Source.META) is None
    assert not EventLog(state).behind(["test"])
    assert EventLog(state).after(0, {Kind.ECHO}, 10) == ([], 0)


TODAY = datetime(2026, 11, 20, 12, tzinfo=UTC)
ADDRESS = "phone_number_id:106"


@pytest.fixture
def reported(state):
    """An echo that came in some days ago, as an event in a payload of its own."""

    def call(days_ago: float, contact: str = "+6591000001", *, projected: bool = True) -> None:
        at = TODAY - timedelta(days=days_ago)
        name = f"{days_ago}-{contact[-2:]}"
        echo = Event(
            f"meta:echo:wamid.{name}",
            Kind.ECHO,
            Source.META,
            to_text(at),
            phone_number_id="106",
            contact=contact,
            message_id=f"wamid.{name}",
        )
        body = json.dumps({"from": "6560000001", "to": contact[1:]})
        with state.transaction():
            EventLog(state).store([Payload(Source.META, name, 9, body, (echo,))], Via.LISTEN, at)
        if projected:
            catch_up(state, projections(), SystemClock())

    return call


@pytest.fixture
def wacoex(run, state):
    def call(*arguments: object, **more: Any):
        with freeze_time(TODAY):
            env = {"WACOEX_STATE": str(state.path)}
            return run("state", *map(str, arguments), env=env, **more)

    return call


def test_old_events_go_and_newer_ones_stay(wacoex, reported, state):
    for days in (400, 200, 10):
        reported(days)

    tried = wacoex("prune", "--older-than", 100, "--dry-run", "--json")
    before = len(list(EventLog(state).find()))
    pruned = wacoex("prune", "--older-than", 100, "--yes", "--json")

    removed = {"payloads": 2, "events": 2, "active_contacts": 2}
    assert tried.data["removed_events"] == pruned.data["removed_events"] == removed
    assert before == 3
    assert [entry.event_id for entry in EventLog(state).find()] == [3]
    assert state.value("SELECT COUNT(*) FROM payloads") == 1
    assert state.value("SELECT COUNT(*) FROM active_contacts") == 1
    assert wacoex("check").code == 0


def test_when_the_app_was_opened_is_not_forgotten(wacoex, reported, state):
    for days in (400, 399.9, 399.8, 300, 5):
        reported(days)

    wacoex("prune", "--older-than", 1, "--yes")

    newest = Signs(state).newest([ADDRESS], EvidenceKind.ECHO, until=to_text(TODAY))
    assert newest is not None
    assert newest.at == to_text(TODAY - timedelta(days=5))
    assert state.value("SELECT COUNT(*) FROM evidence") == 3


def test_unread_events_are_kept(wacoex, reported, state):
    reported(400)
    reported(399, projected=False)
    reported(398, projected=False)

    pruned = wacoex("prune", "--older-than", 100, "--yes", "--json")

    assert pruned.data["removed_events"]["events"] == 1
    assert catch_up(state, projections(), SystemClock()) > 0


def test_the_newest_event_stays_so_that_readers_see_the_next_one(wacoex, reported, state):
    reported(400)
    reported(399)

    wacoex("prune", "--older-than", 100, "--yes")
    reported(1)

    assert [entry.event_id for entry in EventLog(state).find()] == [3, 2]
    assert state.value("SELECT COUNT(*) FROM evidence") == 3
    assert wacoex("check").code == 0


def test_a_person_is_asked_before_events_go(wacoex, reported, state):
    reported(400)
    reported(1)

    declined = wacoex("prune", "--older-than", 100, stdin="n\n", tty=True)

    assert declined.code == 1
    assert "remove 1 event in 1 payload and 1 active contact of old months for good?" in (
        declined.err
    )
    assert len(list(EventLog(state).find())) == 2


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("DELETE FROM payloads", "1 event without a payload"),
        ("UPDATE cursors SET event_id = 9 WHERE consumer = 'mac'", "`mac` has read events up to 9"),
    ],
)
def test_a_log_that_lost_something_is_reported(wacoex, reported, state, harm, words):
    reported(1)
    with state.transaction():
        state.execute(harm)

    checked = wacoex("check", "--json")

    assert checked.code == 8
    [problem] = checked.data["problems"]
    assert words in problem["problem"]
    assert problem["remedy"]


def test_an_export_gives_no_number_and_no_body_away(wacoex, reported):
    reported(1)

    shared, whole = wacoex("export").out, wacoex("export", "--show-numbers").out

    assert {"events", "payloads", "evidence", "active_contacts", "cursors"} <= {
        json.loads(line)["table"] for line in shared.splitlines()
    }
    assert "91000001" not in shared
    assert "60000001" not in shared
    assert "6591000001" in whole
    assert "6560000001" in whole


def test_an_event_of_an_older_version_is_read_with_what_it_lacks(state):
    with state.transaction():
        state.execute(
            "INSERT INTO events (event_id, event_key, payload_id, kind, source, at, data)"
            " VALUES (7, 'meta:status:wamid.A:sent', 1, 'status', 'meta', ?, ?)",
            ["2026-11-07T12:00:00.000Z", '{"a_field_of_once":[1],"status":"sent"}'],
        )
    [found] = EventLog(state).find()
    assert (found.event_id, found.kind, found.contact) == (7, Kind.STATUS, None)
    assert (found.data.get("status"), found.data.get("code")) == ("sent", None)


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        (_OF_EACH.removeprefix(_ALL_OR), "events_by_number"),
        (f"SELECT * FROM events WHERE kind = 'echo' AND {NUMBER} = ? ORDER BY at, event_id LIMIT ?",
         "events_by_number"),
        (_FIRST_SEEN[0], "events_by_contact"),
        (_FIRST_SEEN[1], "echoes_by_contact"),
        (_EDITS, "echoes_by_contact"),
        (_FEW_OF_EACH.removeprefix(_ALL_OR), "events_by_number"),
        (_DELIVERED_AFTER_ALL, "events_by_number"),
        (_ANSWERS_OF_NUMBERS, "events_by_number"),
        (_HEARD, "events_by_number"),
        (_HEARD, "sqlite_autoindex_traffic_1"),
        (_ECHOES, "sqlite_autoindex_traffic_1"),
        (_MESSAGES_SINCE, "sqlite_autoindex_traffic_1"),
        (_ACTIVE, "sqlite_autoindex_active_contacts_1"),
    ],
)  # fmt: skip
def test_events_of_a_number_or_a_person_are_looked_up(state, sql: str, index: str):
    """A log of everybody's events is not read for it."""
    wanted = [json.dumps(["1001"])] * sql.count("?")

    plan = [row["detail"] for row in state.rows(f"EXPLAIN QUERY PLAN {sql}", wanted)]

    assert any(f"INDEX {index} " in step for step in plan), plan
    scanned = [step for step in plan if step.startswith("SCAN")]
    assert all("json_each" in step or "wanted" in step or "people" in step for step in scanned)
    assert not [step for step in plan if "events_by_kind" in step]
    if "ORDER BY at, event_id" in sql:
        assert not [step for step in plan if "FOR ORDER BY" in step]


@pytest.mark.parametrize(("most", "expected"), [(None, ["4", "3", "1"]), (2, ["4", "3"])])
def test_events_of_each_number_are_the_same_whether_their_kind_is_rare(state, most, expected):
    """Of a rare kind everybody's are read, of any other those of each number."""
    ids = ("106", "999", "106", "106", "999", "999")
    moments = [f"2026-11-07T12:00:0{place}.000Z" for place in range(1, 7)]
    pairs = enumerate(zip(ids, moments, strict=True), start=1)
    events = [event(str(n), Kind.EDIT, at, phone_number_id=key) for n, (key, at) in pairs]
    store(state, payload("a", *events), payload("b", event("7", phone_number_id="106")))

    for others in (1, 100):
        addresses = {place: [f"phone_number_id:2{place}"] for place in range(2, others)}
        numbers = Numbers(state, {1: ["phone_number_id:106"], **addresses})
        found = EventLog(state).of_each(numbers, Kind.EDIT, NOW - timedelta(days=1), most)
        assert keys(found.pop(1)) == expected
        assert not any(found.values())


def test_a_value_that_is_an_id_and_a_phone_at_once_has_its_owner_once(state):
    numbers = Numbers(state, {1: ("phone_number_id:6560000001", "phone:6560000001")})

    assert numbers.owners("6560000001", {"phone:6560000001"}) == [1]


def test_traffic_that_is_given_again_is_not_counted_again(state, clock):
    written = [event(name, data={"direction": "in"}, phone="+6560000001") for name in "abc"]
    store(state, payload("1", *written[:2]))
    catch_up(state, [TRAFFIC], clock)
    store(state, payload("2", *written[2:]))
    with state.transaction():
        state.execute("DELETE FROM cursors WHERE consumer = 'traffic'")
    catch_up(state, [TRAFFIC], clock)

    assert state.value("SELECT messages FROM traffic") == 3
