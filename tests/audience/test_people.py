"""Whom a row of a list names: by a number, by a user id, by both, or nobody."""

from __future__ import annotations

import pytest

from wacoex_cli.audience.model import SkipReason, SourceRow
from wacoex_cli.audience.people import NamedPerson, named_in, names_in
from wacoex_cli.audience.recipients_file import user_id_column

ANA = "SG.13491208655302741918"
NUMBER = "+6591234567"


def named(phone: str, user_id: str = "") -> NamedPerson:
    return named_in(SourceRow(2, phone, {}, None, user_id), "SG")


@pytest.mark.parametrize(
    ("phone", "user_id", "expected"),
    [
        (NUMBER, "", (NUMBER, None)),
        ("9123 4567", ANA, (NUMBER, ANA)),
        ("", f" {ANA} ", (None, ANA)),
        (ANA, "", (None, ANA)),
        (f"user_id:{ANA}", "", (None, ANA)),
        (NUMBER, "10234", (NUMBER, None)),
        (NUMBER, "SG.ENT.12345", (NUMBER, None)),
        ("n/a", ANA, (None, ANA)),
        ("@ana", ANA, (None, ANA)),
        (NUMBER, "@ana", (NUMBER, None)),
    ],
)
def test_a_row_names_somebody(phone: str, user_id: str, expected: tuple[str, str]) -> None:
    assert named(phone, user_id)[:2] == expected


@pytest.mark.parametrize(
    ("phone", "user_id", "reason", "detail"),
    [
        ("@ana", "", SkipReason.USERNAME, "a username (@ana)"),
        ("", "@ana.shop", SkipReason.USERNAME, "a username (@ana.shop)"),
        ("SG.ENT.12345", "", SkipReason.INVALID, "parent business"),
        ("", "10234", SkipReason.INVALID, "not a user id of Meta (10234)"),
        ("sg.12345", "sg.12345", SkipReason.INVALID, "not a user id of Meta (sg.12345)"),
        ("12", "", SkipReason.INVALID, "not a phone number"),
        ("", "", SkipReason.INVALID, "no number in this row"),
    ],
)
def test_a_row_names_nobody_and_says_why(
    phone: str, user_id: str, reason: SkipReason, detail: str
) -> None:
    found = named(phone, user_id)

    assert (found.phone, found.user_id, found.reason) == (None, None, reason)
    assert detail in (found.detail or "")


def test_a_row_that_cannot_be_trusted_names_nobody() -> None:
    found = named_in(SourceRow(2, NUMBER, {}, "a date, no phone number", ANA), None)

    assert found == NamedPerson(reason=SkipReason.INVALID, detail="a date, no phone number")


@pytest.mark.parametrize(
    ("phone", "user_id", "expected"),
    [(NUMBER, ANA, [NUMBER, ANA]), ("", ANA, [ANA]), (NUMBER, "7", [NUMBER]), (ANA, ANA, [ANA])],
)
def test_both_names_of_a_person_go_on_the_opt_out_list(
    phone: str, user_id: str, expected: list[str]
) -> None:
    assert names_in(SourceRow(2, phone, {}, None, user_id)) == expected


def test_the_column_named_most_exactly_holds_the_ids() -> None:
    assert user_id_column(["phone", "user_id", "BSUID"]) == "BSUID"
    assert user_id_column(["phone", "WhatsApp user ID", "user id"]) == "WhatsApp user ID"
    assert user_id_column(["phone", "parent_user_id", "username"]) is None
