"""What the state file keeps about channels: evidence, facts, and the ids they had before."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wacoex_cli.channels import registry
from wacoex_cli.channels.facts import CHANNELS, project, stored_facts
from wacoex_cli.channels.model import (
    AccountEvent,
    Channel,
    Details,
    EvidenceKind,
    Fact,
    FormerId,
    Sign,
    address_of,
    addresses_of,
    by_channel,
    concerns,
    in_order,
)
from wacoex_cli.channels.store import (
    _FIRST,
    _NEWEST,
    AccountEvents,
    Channels,
    Facts,
    Signs,
    SignSearch,
)
from wacoex_cli.errors import StateError
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.state import State, open_state
from wacoex_cli.platforms.events import Event, Kind, Source
from wacoex_cli.schema import migrations

SHOP = Channel(phone="+6560000001", phone_number_id="1001", channel_id=3, name="shop")
ID, PHONE, OWN = "phone_number_id:1001", "phone:+6560000001", "channel:3"
EVER = "2027-01-01T00:00:00.000Z"


def at(day: int) -> str:
    return f"2026-11-{day:02}T12:00:00.000Z"


def echo(address: str, day: int, source: str = "meta") -> Sign:
    return Sign(address, EvidenceKind.ECHO, at(day), source)


def keep(state: State, *signs: Sign) -> None:
    with state.transaction():
        Signs(state).add(signs)


def newest_day(state: State, *, until: str = EVER, since: str | None = None) -> str | None:
    found = Signs(state).newest([ID, PHONE, OWN], EvidenceKind.ECHO, until=until, since=since)
    return found.at if found else None


def test_the_newest_evidence_counts_under_any_address(state: State) -> None:
    keep(state, echo(ID, 3), echo(PHONE, 5), echo(OWN, 4), echo("phone:+6560000002", 9))

    assert newest_day(state) == at(5)


def test_both_ends_of_the_time_asked_for_are_included(state: State) -> None:
    keep(state, echo(ID, 3), echo(ID, 5))

    assert newest_day(state, until=at(5)) == at(5)
    assert newest_day(state, until=at(4)) == at(3)
    assert newest_day(state, until=at(4), since=at(3)) == at(3)
    assert newest_day(state, until=at(4), since=at(4)) is None


def test_other_kinds_and_an_empty_log_are_not_echoes(state: State) -> None:
    keep(state, Sign(ID, EvidenceKind.PHONEBOOK, at(3), "meta"))

    assert newest_day(state) is None
    assert Signs(state).newest([], EvidenceKind.ECHO, until=EVER) is None
    assert Signs(state).first_of([SignSearch([], EvidenceKind.ECHO)]) == [None]
    assert Signs(state).newest_of([]) == []


def test_the_same_evidence_is_kept_once(state: State) -> None:
    keep(state, echo(ID, 3))
    keep(state, echo(ID, 3), echo(ID, 3))

    assert state.value("SELECT COUNT(*) FROM evidence") == 1


def test_the_order_of_arrival_does_not_decide_between_equal_times(state: State) -> None:
    keep(state, echo(ID, 3, "respondio"))
    keep(state, echo(PHONE, 3, "meta"))

    found = Signs(state).newest([PHONE, ID], EvidenceKind.ECHO, until=EVER)

    assert found == echo(ID, 3, "respondio")


def test_several_searches_are_answered_in_their_order(state: State) -> None:
    confirmed = Sign(OWN, EvidenceKind.CONFIRMED, at(9), "person", "Ana")
    keep(state, echo(ID, 3), echo(PHONE, 5), confirmed)
    every = [ID, PHONE, OWN]

    assert Signs(state).newest_of(
        [
            SignSearch(every, EvidenceKind.CONFIRMED),
            SignSearch(every, EvidenceKind.CONFIRMED, until=at(8)),
            SignSearch([ID], EvidenceKind.ECHO),
            SignSearch(every, EvidenceKind.ECHO, since=at(4), until=at(6)),
        ]
    ) == [confirmed, None, echo(ID, 3), echo(PHONE, 5)]


def test_the_first_of_a_kind_is_found(state: State) -> None:
    keep(state, echo(ID, 5), echo(PHONE, 4), echo(OWN, 6))

    searched = SignSearch([ID, PHONE, OWN], EvidenceKind.ECHO)
    assert Signs(state).first_of([searched]) == [echo(PHONE, 4)]


def test_a_channel_without_its_id_is_known_by_the_ids_meta_uses_for_its_number(
    state: State,
) -> None:
    with state.transaction():
        Signs(state).note_numbers(
            [("1001", "+6560000001"), ("1001", "+6560000001"), ("900", "+6560000001")]
        )
    nameless = Channel(phone="+6560000001", respondio_channel_id=7, channel_id=3)

    assert Signs(state).ids_of_phones(["+6560000001"]) == {"+6560000001": ["1001", "900"]}
    assert Signs(state).addresses_for(nameless) == (
        OWN,
        ID,
        "phone_number_id:900",
        PHONE,
        "respondio_channel_id:7",
    )
    assert Signs(state).addresses_for(SHOP) == addresses_of(SHOP, ("1001", "900"))
    assert Signs(state).addresses_by_channel([nameless]) == {
        3: Signs(state).addresses_for(nameless)
    }


@pytest.mark.parametrize(
    ("reported", "address"),
    [
        ({"phone_number_id": "1001", "phone": "+6560000001"}, ID),
        ({"phone": "+6560000001", "respondio_channel_id": 7}, PHONE),
        ({"respondio_channel_id": 7}, "respondio_channel_id:7"),
        ({}, None),
    ],
)
def test_evidence_is_kept_under_the_surest_name(
    reported: dict[str, str], address: str | None
) -> None:
    nothing = {"phone_number_id": None, "phone": None, "respondio_channel_id": None}

    assert address_of(**{**nothing, **reported}) == address  # type: ignore[arg-type]


def test_every_read_looks_up_the_key_and_scans_nothing(state: State) -> None:
    searched = json.dumps([(0, ID, "echo", "", EVER), (1, PHONE, "echo", "", EVER)])
    queries = [
        (_NEWEST, [searched]),
        (_FIRST, [searched]),
        ("SELECT phone_number_id FROM numbers_seen WHERE phone = ?", [PHONE]),
    ]
    for sql, parameters in queries:
        plan = [row["detail"] for row in state.rows(f"EXPLAIN QUERY PLAN {sql}", parameters)]

        assert not [step for step in plan if step.startswith(("SCAN evidence", "SCAN numbers"))]
        assert not [step for step in plan if "TEMP B-TREE" in step]


NOW = datetime(2026, 11, 7, 12, 30, tzinfo=UTC)


def fact(name: str, value: object, at: str = "2026-11-07T12:00:00.000Z") -> Fact:
    return Fact(name, value, "meta", at)


def test_a_newer_observation_takes_the_place_of_the_older(state: State) -> None:
    registry.add_channel(state, "shop", Details("+6560000001"), NOW)
    later = fact("status", {"any": ["json", None]}, "2026-11-07T13:00:00.000Z")

    for facts in ([fact("status", "CONNECTED"), fact("name_status", None)], [later]):
        with state.transaction():
            Facts(state).store(1, facts)

    assert Facts(state).facts_by_channel() == {
        1: {"name_status": fact("name_status", None), "status": later}
    }


def test_a_fact_that_is_not_available_keeps_its_reason(state: State) -> None:
    registry.add_channel(state, "shop", Details("+6560000001"), NOW)
    refused = Fact("username", None, "meta", "2026-11-07T12:00:00.000Z", "Meta refused")
    with state.transaction():
        Facts(state).store(1, [refused])

    kept = Facts(state).facts_by_channel()[1]["username"]

    assert kept == refused
    assert kept.to_json()["value"] == "not_available"


def test_reads_are_counted_in_their_clock_hour(state: State) -> None:
    for moment in (NOW, NOW + timedelta(minutes=29)):
        with state.transaction():
            Facts(state).count_calls({"900": 3}, moment)

    assert Facts(state).calls_in_hour(NOW) == {"900": 6}
    assert Facts(state).calls_in_hour(NOW + timedelta(hours=1)) == {}


def test_a_state_file_from_before_facts_is_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.db"
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", migrations.STEPS[:3])
        old = open_state(path)
        with old.transaction():
            Channels(old).insert("shop", Details("+6560000001"), NOW)
        old.close()

    state = open_state(path)

    assert [channel.name for channel in Channels(state).all_channels()] == ["shop"]
    assert Facts(state).facts_by_channel() == {}
    state.close()


@pytest.mark.parametrize("value", ["1, 2", "CONNECTED", ""])
def test_a_value_that_another_program_wrote_is_taken_for_no_other_fact(
    state: State, value: str
) -> None:
    registry.add_channel(state, "shop", Details("+6560000001"), NOW)
    with state.transaction():
        Facts(state).store(1, [fact("name_status", "APPROVED"), fact("status", "CONNECTED")])
        state.execute("UPDATE facts SET value = ? WHERE name = 'status'", [value])

    with pytest.raises(StateError, match=r"a fact of channel 1 .* impossible value"):
        Facts(state).facts_by_channel()


def test_facts_are_shown_in_a_fixed_order() -> None:
    names = ["waba.name", "token.is_valid", "z", "quality_rating", "a", "status"]

    assert list(in_order({name: fact(name, 1) for name in names})) == [
        "status",
        "quality_rating",
        "token.is_valid",
        "waba.name",
        "a",
        "z",
    ]


THEN = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
CHANGED = THEN + timedelta(days=3)
LATER = CHANGED + timedelta(days=1)
OLD = {"phone_number_id": "1001", "waba_id": "20", "respondio_channel_id": 7}
NEW = {"phone_number_id": "1002", "waba_id": "30", "respondio_channel_id": 8}


@pytest.fixture
def shop(state: State) -> Channel:
    """`shop` with other ids since `CHANGED`."""
    registry.add_channel(state, "shop", Details("+6560000001", **OLD), THEN)  # type: ignore[arg-type]
    return registry.edit_channel(state, "shop", NEW, CHANGED)


def reported(at: datetime, **ids: Any) -> AccountEvent:
    return AccountEvent(f"{at} {ids}", "PARTNER_REMOVED", to_text(at), **ids)


def test_a_replaced_id_is_kept_as_a_former_id(state: State, shop: Channel) -> None:
    until = to_text(CHANGED)

    assert shop.former_ids == (
        FormerId("phone_number_id", "1001", until),
        FormerId("respondio_channel_id", "7", until),
        FormerId("waba_id", "20", until),
    )
    assert Channels(state).all_channels() == [shop]
    assert registry.known(state, "shop") == shop


def test_a_first_same_or_removed_id_is_not_a_former_id(state: State) -> None:
    registry.add_channel(state, "shop", Details("+6560000001", phone_number_id="1001"), THEN)
    for changes in ({"waba_id": "20"}, {"waba_id": "20", "owner": "Ana"}, {"waba_id": None}):
        edited = registry.edit_channel(state, "shop", changes, CHANGED)

    assert edited.former_ids == ()


def test_an_id_that_comes_back_is_no_longer_a_former_id(state: State, shop: Channel) -> None:
    back = registry.edit_channel(state, "shop", OLD, LATER)

    assert {entry.value for entry in back.former_ids} == {"1002", "30", "8"}


def test_a_dry_run_keeps_nothing(state: State, shop: Channel) -> None:
    registry.edit_channel(state, "shop", OLD, LATER, dry_run=True)

    assert registry.known(state, "shop") == shop


def test_a_mistyped_id_of_another_channel_is_not_kept(state: State, shop: Channel) -> None:
    lab = Details("+6560000002", phone_number_id="1001", respondio_channel_id=7)
    registry.add_channel(state, "lab", lab, LATER)

    assert registry.known(state, "shop").former_ids == (
        FormerId("waba_id", "20", to_text(CHANGED)),
    )


@pytest.mark.parametrize(
    ("at", "ids", "concerned"),
    [
        (THEN, {"waba_id": "20"}, True),
        (CHANGED, {"entry_id": "20"}, True),
        (LATER, {"waba_id": "20"}, False),
        (LATER, {"waba_id": "30"}, True),
        (THEN, {"phone_number_id": "1001", "waba_id": "20"}, True),
        (LATER, {"phone_number_id": "1001"}, False),
        (LATER, {"phone_number_id": "1002"}, True),
        (THEN, {"waba_id": "77"}, False),
    ],
    ids=str,
)
def test_an_account_event_counts_while_the_id_was_the_channels(
    shop: Channel, at: datetime, ids: dict[str, Any], concerned: bool
) -> None:
    event = reported(at, **ids)

    assert concerns(shop, event) is concerned
    assert bool(by_channel([shop], [event])[shop.channel_id]) is concerned


def test_a_removal_of_the_old_account_counts_only_from_before_the_change(
    state: State, shop: Channel
) -> None:
    def connection(*events: AccountEvent) -> str | None:
        with state.transaction():
            AccountEvents(state).add(events)
        found = stored_facts(state, [shop], LATER)[shop.channel_id].connection.state
        return found.value if found else None

    assert connection(reported(LATER, waba_id="20")) is None
    assert connection(reported(THEN, waba_id="20")) == "removed"


@pytest.mark.parametrize(
    "address", ["phone_number_id:1001", "respondio_channel_id:7", "phone_number_id:1002"]
)
def test_evidence_under_an_old_id_still_counts(state: State, shop: Channel, address: str) -> None:
    with state.transaction():
        Signs(state).add([Sign(address, EvidenceKind.ECHO, to_text(THEN), "meta")])

    addresses = Signs(state).addresses_for(shop)
    newest = Signs(state).newest(addresses, EvidenceKind.ECHO, until=to_text(LATER))

    assert newest is not None
    assert len(addresses) == len(set(addresses))


def test_show_lists_the_former_ids(run) -> None:
    run("channel", "add", "shop", "--phone", "+6560000001", "--waba-id", "20")
    run("channel", "edit", "shop", "--waba-id", "30")

    [former] = run("channel", "show", "shop", "--json").data["former_ids"]

    assert (former["name"], former["value"]) == ("waba_id", "20")
    assert f"former waba_id\t20 until {former['until']}\n" in run("channel", "show", "shop").out


def test_events_of_the_old_account_are_listed_with_the_channel(run, state: State) -> None:
    env = {"WACOEX_STATE": str(state.path)}
    body = (
        '{"object": "whatsapp_business_account", "entry": [{"id": "20", "time": 1793000000,'
        ' "changes": [{"field": "message_template_status_update", "value":'
        ' {"event": "APPROVED", "message_template_id": 1, "message_template_name": "offer",'
        ' "message_template_language": "en"}}]}]}'
    )
    run("channel", "add", "shop", "--phone", "+6560000001", "--waba-id", "20", env=env)
    run("events", "import", "-", stdin=body, env=env)
    run("channel", "edit", "shop", "--waba-id", "30", env=env)

    def listed(channel: str) -> list[str | None]:
        events = run("events", "list", "-c", channel, "--json", env=env).data["events"]
        return [entry["channel"] for entry in events]

    assert listed("shop") == ["shop"]

    run("channel", "add", "lab", "--phone", "+6560000002", "--waba-id", "20", env=env)

    assert listed("lab") == ["lab"]


def test_an_archived_channel_is_hidden_kept_and_restored_completely(
    state: State, shop: Channel
) -> None:
    put_away = registry.archive_channel(state, "shop", LATER)
    assert put_away.former_ids == shop.former_ids

    assert registry.restore_channel(state, "shop") == shop


PROJECTED_AT = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
TABLES = ("evidence", "account_events", "numbers_seen")


def event(kind: Kind, number: int = 1, **more: object) -> Event:
    answer: dict[str, object] = {
        "key": f"meta:{kind}:{number}",
        "source": Source.META,
        "at": f"2026-11-07T12:00:{number:02}.000Z",
        "phone_number_id": "1001",
        "phone": "+6560000001",
        "waba_id": "2002",
    }
    return Event(kind=kind, **{**answer, **more})  # type: ignore[arg-type]


REMOVED = event(
    Kind.ACCOUNT_UPDATE,
    phone_number_id=None,
    data={
        "event": "PARTNER_REMOVED",
        "reason": "PRIMARY_INACTIVITY",
        "initiated_by": "SYSTEM",
        "entry_id": "2002",
        "solution_id": "55",
    },
)
EVENTS = [
    event(Kind.ECHO),
    event(Kind.ECHO, 2, phone_number_id=None),
    event(Kind.ECHO, 3, source=Source.RESPONDIO, phone_number_id=None, phone=None,
          respondio_channel_id=7),
    event(Kind.CONTACT_SYNC, 4),
    event(Kind.MESSAGE, 5, phone_number_id="1009"),
    event(Kind.STATUS, 6),
    REMOVED,
]  # fmt: skip


def take(state: State, *events: Event) -> None:
    with state.transaction():
        project(state, events, PROJECTED_AT)


def content(state: State) -> dict[str, list[str]]:
    return {
        table: sorted(str(row) for row in state.rows(f"SELECT * FROM {table}")) for table in TABLES
    }


def test_echoes_and_phonebook_changes_are_evidence_and_nothing_else_is(state: State) -> None:
    take(state, *EVENTS)

    assert state.rows("SELECT address, kind, at, source, said_by FROM evidence ORDER BY at") == [
        {
            "address": address,
            "kind": kind,
            "at": f"2026-11-07T12:00:{second:02}.000Z",
            "source": source,
            "said_by": "",
        }
        for second, address, kind, source in [
            (1, "phone_number_id:1001", "echo", "meta"),
            (2, "phone:+6560000001", "echo", "meta"),
            (3, "respondio_channel_id:7", "echo", "respondio"),
            (4, "phone_number_id:1001", "phonebook", "meta"),
        ]
    ]


def test_an_echo_without_a_known_number_is_not_evidence(state: State) -> None:
    take(state, event(Kind.ECHO, phone_number_id=None, phone=None))

    assert state.value("SELECT COUNT(*) FROM evidence") == 0


def test_an_echo_without_a_time_is_not_evidence(state: State) -> None:
    take(state, event(Kind.ECHO, data={"undated": True}))

    assert content(state)["evidence"] == []


def account_events(state: State) -> list[AccountEvent]:
    rows = state.rows("SELECT * FROM account_events ORDER BY at, event_key")
    return [AccountEvent(**row) for row in rows]


def test_an_account_event_is_kept_with_reason_and_initiator(state: State) -> None:
    take(state, REMOVED)

    assert account_events(state) == [
        AccountEvent(
            event_key="meta:account_update:1",
            event="PARTNER_REMOVED",
            at="2026-11-07T12:00:01.000Z",
            waba_id="2002",
            phone="+6560000001",
            entry_id="2002",
            reason="PRIMARY_INACTIVITY",
            initiated_by="SYSTEM",
            data='{"solution_id": "55"}',
        )
    ]


def test_an_account_event_without_anything_known_is_kept_too(state: State) -> None:
    take(state, event(Kind.ACCOUNT_UPDATE, waba_id=None, phone=None, data={}))

    [kept] = account_events(state)
    assert (kept.event, kept.reason) == ("", None)


def test_every_event_shows_which_id_meta_uses_for_a_number(state: State) -> None:
    take(state, *EVENTS)

    seen = state.rows("SELECT phone_number_id, phone FROM numbers_seen ORDER BY phone_number_id")
    assert [tuple(row.values()) for row in seen] == [
        ("1001", "+6560000001"),
        ("1009", "+6560000001"),
    ]


def test_the_kinds_are_kinds_of_events() -> None:
    assert CHANNELS.kinds >= {Kind.ECHO, Kind.CONTACT_SYNC, Kind.ACCOUNT_UPDATE}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    state = open_state(tmp_path_factory.mktemp("once") / "wacoex.db")
    take(state, *EVENTS)
    found = content(state)
    state.close()
    return found


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32), pieces=st.integers(1, 4))
def test_order_repetition_and_splitting_change_nothing(
    state: State, expected: dict[str, list[str]], seed: int, pieces: int
) -> None:
    chance = random.Random(seed)
    order = EVENTS + chance.choices(EVENTS, k=5)
    chance.shuffle(order)
    with state.transaction():
        for table in TABLES:
            state.execute(f"DELETE FROM {table}")

    for start in range(pieces):
        take(state, *order[start::pieces])

    assert content(state) == expected
