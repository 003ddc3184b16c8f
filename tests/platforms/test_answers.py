"""What Meta says about a token, and what is worth a warning."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from wacoex_cli.platforms.answers import AccessToken, access_token_in

NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
SCOPES = ["whatsapp_business_management", "whatsapp_business_messaging"]


def test_an_answer_is_understood() -> None:
    token = access_token_in(
        {
            "is_valid": True,
            "type": "SYSTEM_USER",
            "app_id": "1",
            "expires_at": 1_800_000_000,
            "data_access_expires_at": 0,
            "scopes": SCOPES,
        }
    )

    assert token == AccessToken(
        is_valid=True,
        type="SYSTEM_USER",
        app_id="1",
        expires_at=datetime(2027, 1, 15, 8, 0, tzinfo=UTC),
        data_access_expires_at=None,
        scopes=("whatsapp_business_management", "whatsapp_business_messaging"),
    )
    assert token.warnings(NOW) == []


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"is_valid": "yes", "type": 3, "scopes": "all", "expires_at": "soon"},
        {"expires_at": 10**30, "data_access_expires_at": -5},
        {"expires_at": True, "data_access_expires_at": None, "scopes": None},
    ],
)
def test_an_answer_that_cannot_be_understood_is_unknown(said: dict[str, object]) -> None:
    assert access_token_in(said) == AccessToken()
    assert AccessToken().warnings(NOW) == []


@pytest.mark.parametrize(
    ("left", "reported"),
    [
        (timedelta(days=14, seconds=1), []),
        (timedelta(days=14), ["it expires in 14 days (2026-11-21)"]),
        (timedelta(days=1, hours=2), ["it expires in 1 day (2026-11-08)"]),
        (timedelta(hours=3), ["it expires within a day (2026-11-07)"]),
        (timedelta(0), ["it expires on 2026-11-07, which has passed"]),
    ],
)
def test_an_end_within_fourteen_days_is_warned_about(left: timedelta, reported: list[str]) -> None:
    assert AccessToken(expires_at=NOW + left).warnings(NOW) == reported


def test_the_end_of_data_access_is_warned_about_too() -> None:
    token = AccessToken(data_access_expires_at=NOW + timedelta(days=3))

    assert token.warnings(NOW) == ["its access to data ends in 3 days (2026-11-10)"]


@pytest.mark.parametrize(
    ("scopes", "reported"),
    [
        ((), ["`whatsapp_business_management` and `whatsapp_business_messaging`"]),
        ((SCOPES[0],), ["`whatsapp_business_messaging`"]),
        ((*SCOPES, "email"), []),
    ],
)
def test_missing_permissions_are_named(scopes: tuple[str, ...], reported: list[str]) -> None:
    expected = [f"it lacks the permission {entry}" for entry in reported]

    assert AccessToken(scopes=scopes).warnings(NOW) == expected
