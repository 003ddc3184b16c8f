"""Tokens, the app secret, and Graph versions that come to their end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from wacoex_cli.channels.checks import check_app_secret, check_token, check_version, missing_token
from wacoex_cli.findings.model import Severity

SEEN = "2026-11-07T12:00:00.000Z"
NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
SCOPES = ["whatsapp_business_messaging", "whatsapp_business_management"]


@pytest.mark.parametrize(
    ("values", "severities"),
    [
        ({"token.expires_at": "never", "token.scopes": SCOPES}, []),
        ({"token.expires_at": "2026-11-21T12:00:00.000Z"}, []),
        ({"token.expires_at": "2026-11-21T11:59:59.000Z"}, [Severity.WARNING]),
        ({"token.expires_at": "2026-11-07T12:00:00.000Z"}, [Severity.UNKNOWN]),
        ({"token.is_valid": False}, [Severity.UNKNOWN]),
        ({"token.scopes": SCOPES[:1]}, [Severity.WARNING]),
        ({"token.expires_at": "20261108", "token.scopes": "odd"}, [Severity.WARNING]),
        ({}, []),
    ],
)
def test_a_token_that_ended_is_unknown_and_one_that_soon_ends_a_warning(
    values: dict[str, Any], severities: list[Severity]
) -> None:
    found = check_token(values, "shop", NOW, SEEN)

    assert [one.severity for one in found] == severities
    assert {one.id for one in found} <= {"WX701"}


def test_a_missing_token_says_where_to_store_one() -> None:
    assert "wacoex auth login meta-token" in missing_token("shop", SEEN).remedy[-1]


def test_the_app_secret_is_missed_once_for_all_channels() -> None:
    [finding] = check_app_secret(["d", "c", "b", "a"], SEEN)

    assert (finding.id, finding.severity, finding.channel) == ("WX702", Severity.INFO, None)
    assert finding.evidence[0].text.endswith("for a, b, c, ...")
    assert check_app_secret([], SEEN) == []


@pytest.mark.parametrize(
    ("version", "title"),
    [
        ("v26.0", None),
        ("v27.0", None),
        ("v22.0", None),
        ("v21.0", "the Graph version ends soon"),
        ("v20.0", "the Graph version has ended"),
        ("v9.0", "the Graph version has ended"),
    ],
)
def test_a_version_is_warned_about_90_days_before_its_end(version: str, title: str | None) -> None:
    found = check_version(version, NOW, SEEN)

    assert [(one.id, one.title) for one in found] == ([("WX703", title)] if title else [])
