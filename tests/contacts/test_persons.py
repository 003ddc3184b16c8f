"""Who is who: numbers and ids, joined by dated pairs of which the newest holds. Pure."""

from __future__ import annotations

from itertools import permutations

import pytest

from wacoex_cli.contacts.persons import Pair, Persons, current, identities_of
from wacoex_cli.foundation.phone_numbers import one_spelling
from wacoex_cli.foundation.state import State

ANA, BEN = "+6591234567", "+6598765432"
WABA = "waba_id:102290129340398"


def pair(phone: str, user_id: str, day: int, until: int | None = None) -> Pair:
    """A pair that was seen on one day of November."""
    at = moment(day)
    return Pair(WABA, phone, user_id, "message", at, at, moment(until) if until else None)


def moment(day: int) -> str:
    return f"2026-11-{day:02}T12:00:00.000Z"


def test_a_number_and_an_id_that_came_together_are_one_person() -> None:
    known = [pair(ANA, "SG.1", 1), pair(BEN, "SG.2", 1)]
    assert identities_of(ANA, known) == {ANA, "user_id:SG.1"}
    assert identities_of("user_id:SG.2", known) == {BEN, "user_id:SG.2"}
    assert identities_of("user_id:SG.3", known) == {"user_id:SG.3"}


def test_a_number_that_comes_with_another_id_has_another_owner() -> None:
    known = [pair(ANA, "SG.1", 1), pair(ANA, "SG.2", 5)]
    assert identities_of(ANA, known) == {ANA, "user_id:SG.2"}
    assert identities_of("user_id:SG.1", known) == {"user_id:SG.1"}


def test_an_id_that_comes_with_another_number_has_left_the_first() -> None:
    known = [pair(ANA, "SG.1", 1), pair(BEN, "SG.1", 5)]
    assert identities_of("user_id:SG.1", known) == {BEN, "user_id:SG.1"}
    assert identities_of(ANA, known) == {ANA}


def test_a_pair_that_somebody_ended_joins_nobody_until_it_is_seen_again() -> None:
    assert current([pair(ANA, "SG.1", 1, until=3)]) == []
    again = pair(ANA, "SG.1", 1, until=3)._replace(seen_at=moment(4))
    assert current([again]) == [again]


def test_an_ended_pair_does_not_bring_an_older_one_back() -> None:
    """Number 1 went from one person to the next, who gave it up: it is nobody's."""
    known = [pair(ANA, "SG.1", 1), pair(ANA, "SG.2", 5, until=7)]
    assert identities_of(ANA, known) == {ANA}


@pytest.mark.parametrize(
    "order",
    list(permutations([pair(ANA, "SG.1", 1), pair(ANA, "SG.2", 5), pair(BEN, "SG.1", 7)])),
)
def test_the_order_in_which_pairs_become_known_makes_no_difference(
    state: State, order: tuple[Pair, ...]
) -> None:
    persons = Persons(state)
    for each in order:
        with state.transaction():
            persons.note([each])
    assert persons.of(ANA, WABA) == {ANA, "user_id:SG.2"}
    assert persons.of("user_id:SG.1", WABA) == {BEN, "user_id:SG.1"}


def test_ids_of_another_business_end_no_pair_of_this_one(state: State) -> None:
    persons = Persons(state)
    other = pair(ANA, "SG.9", 9)._replace(account="waba_id:2")
    with state.transaction():
        persons.note([pair(ANA, "SG.1", 1), other])
    assert persons.of(ANA, WABA) == {ANA, "user_id:SG.1"}
    assert persons.of(ANA, "waba_id:2") == {ANA, "user_id:SG.9"}


@pytest.mark.parametrize(
    ("first", "other"),
    [
        ("+5531988888888", "+553188888888"),
        ("+5491123456789", "+541123456789"),
        ("+5215512345678", "+525512345678"),
    ],
)
def test_both_spellings_are_one_number(first: str, other: str) -> None:
    assert one_spelling(first) == one_spelling(other)
