"""Evidence is found by address, kind and time, however much there is."""

from __future__ import annotations

import pytest

from wacoex_cli.channels import store
from wacoex_cli.channels.model import Channel, EvidenceKind, Sign, address_of, addresses_of
from wacoex_cli.channels.store import Signs
from wacoex_cli.foundation.state import State

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


def test_the_newest_counts_whatever_address_it_is_kept_under(state: State) -> None:
    keep(state, echo(ID, 3), echo(PHONE, 5), echo(OWN, 4), echo("phone:+6560000002", 9))

    assert newest_day(state) == at(5)


def test_both_ends_of_the_time_asked_for_are_included(state: State) -> None:
    keep(state, echo(ID, 3), echo(ID, 5))

    assert newest_day(state, until=at(5)) == at(5)
    assert newest_day(state, until=at(4)) == at(3)
    assert newest_day(state, until=at(4), since=at(3)) == at(3)
    assert newest_day(state, until=at(4), since=at(4)) is None


def test_other_kinds_and_nothing_at_all_are_no_echo(state: State) -> None:
    keep(state, Sign(ID, EvidenceKind.PHONEBOOK, at(3), "meta"))

    assert newest_day(state) is None
    assert Signs(state).newest([], EvidenceKind.ECHO, until=EVER) is None
    assert Signs(state).first_at([], EvidenceKind.ECHO) is None


def test_the_same_evidence_is_kept_once(state: State) -> None:
    keep(state, echo(ID, 3))
    keep(state, echo(ID, 3), echo(ID, 3))

    assert state.value("SELECT COUNT(*) FROM evidence") == 1


def test_of_the_same_moment_the_order_of_arrival_does_not_decide(state: State) -> None:
    keep(state, echo(ID, 3, "respondio"))
    keep(state, echo(PHONE, 3, "meta"))

    found = Signs(state).newest([PHONE, ID], EvidenceKind.ECHO, until=EVER)

    assert found == echo(ID, 3, "respondio")


def test_what_claims_to_be_from_later_is_found_apart(state: State) -> None:
    keep(state, echo(ID, 3), Sign(OWN, EvidenceKind.CONFIRMED, at(9), "person", "Ana"))

    def after(moment: str) -> Sign | None:
        return Signs(state).newest_after([ID, PHONE, OWN], moment)

    assert after(at(2)) == Sign(OWN, EvidenceKind.CONFIRMED, at(9), "person", "Ana")
    assert after(at(9)) is None


def test_the_first_of_a_kind_is_found(state: State) -> None:
    keep(state, echo(ID, 5), echo(PHONE, 4), echo(OWN, 6))

    assert Signs(state).first_at([ID, PHONE, OWN], EvidenceKind.ECHO) == at(4)


def test_a_channel_without_its_id_is_known_by_the_ids_meta_uses_for_its_number(
    state: State,
) -> None:
    with state.transaction():
        Signs(state).note_numbers(
            [("1001", "+6560000001"), ("1001", "+6560000001"), ("900", "+6560000001")]
        )
    nameless = Channel(phone="+6560000001", respondio_channel_id=7, channel_id=3)

    assert Signs(state).phone_number_ids_of("+6560000001") == ("1001", "900")
    assert Signs(state).addresses_for(nameless) == (
        OWN,
        ID,
        "phone_number_id:900",
        PHONE,
        "respondio_channel_id:7",
    )
    assert Signs(state).addresses_for(SHOP) == addresses_of(SHOP, ("1001", "900"))


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ({"phone_number_id": "1001", "phone": "+6560000001"}, ID),
        ({"phone": "+6560000001", "respondio_channel_id": 7}, PHONE),
        ({"respondio_channel_id": 7}, "respondio_channel_id:7"),
        ({}, None),
    ],
)
def test_evidence_is_kept_under_the_surest_name(told: dict[str, str], address: str | None) -> None:
    nothing = {"phone_number_id": None, "phone": None, "respondio_channel_id": None}

    assert address_of(**{**nothing, **told}) == address  # type: ignore[arg-type]


def test_every_read_looks_up_the_key_and_scans_nothing(state: State) -> None:
    kinds = [(ID, "echo", "", EVER), (PHONE, "echo", "", EVER)]
    queries = [
        store._all_of(store._NEWEST, kinds),
        store._all_of(store._NEWEST_AFTER, [one[:3] for one in kinds]),
        store._all_of(store._FIRST, [one[:2] for one in kinds]),
        ("SELECT phone_number_id FROM numbers_seen WHERE phone = ?", [PHONE]),
    ]
    for sql, parameters in queries:
        plan = [row["detail"] for row in state.rows(f"EXPLAIN QUERY PLAN {sql}", parameters)]

        assert not [step for step in plan if step.startswith(("SCAN evidence", "SCAN numbers"))]
        assert not [step for step in plan if "TEMP B-TREE" in step]
