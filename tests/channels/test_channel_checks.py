"""What facts of a channel and of its token say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.channels.checks import (
    allow_for_settling,
    check_app_secret,
    check_can_send,
    check_token,
    check_version,
    missing_token,
)
from wacoex_cli.channels.facts import connection
from wacoex_cli.findings.model import Finding, Severity

SEEN = "2026-11-07T12:00:00.000Z"
NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
HEALTHY = {"is_on_biz_app": True, "platform_type": "CLOUD_API", "status": "CONNECTED"}


def found(node: dict[str, Any]) -> list[tuple[str, Severity]]:
    return [(entry.id, entry.severity) for entry in check_can_send(node, "shop", SEEN)]


def test_a_field_that_was_not_given_is_neither_good_nor_bad() -> None:
    assert found({}) == []


@pytest.mark.parametrize("field", ["is_on_biz_app", "platform_type", "status", "quality_rating"])
@pytest.mark.parametrize("value", ["A_NEW_WORD", 7, ["odd"], {"odd": 1}])
def test_a_value_of_a_newer_meta_is_unknown(field: str, value: object) -> None:
    [(_, severity)] = found({**HEALTHY, field: value})

    assert severity is Severity.UNKNOWN


@pytest.mark.parametrize("platform", ["ON_PREMISE", "NOT_APPLICABLE"])
def test_another_platform_is_not_coexistence(platform: str) -> None:
    assert found({"platform_type": platform}) == [("WX201", Severity.CRITICAL)]


def test_a_blocked_entity_names_its_error_and_metas_solution() -> None:
    entity = {
        "entity_type": "WABA",
        "can_send_message": "BLOCKED",
        "errors": [
            {
                "error_code": 141006,
                "error_description": "no payment method",
                "possible_solution": "add a payment method",
            }
        ],
    }
    node = {"health_status": {"can_send_message": "BLOCKED", "entities": [entity]}}

    [finding] = check_can_send(node, "shop", SEEN)

    assert (finding.id, finding.severity) == ("WX206", Severity.CRITICAL)
    assert [entry.text for entry in finding.evidence] == [
        "WABA is BLOCKED (141006: no payment method)"
    ]
    assert finding.remedy == ("add a payment method",)


def test_the_overall_word_counts_where_no_entity_explains_it() -> None:
    assert found({"health_status": {"can_send_message": "LIMITED"}}) == [
        ("WX206", Severity.WARNING)
    ]


@given(
    st.dictionaries(
        st.sampled_from(
            ["status", "is_on_biz_app", "platform_type", "health_status", "quality_rating"]
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(
                    st.sampled_from(["can_send_message", "entities", "errors", "additional_info"]),
                    inner,
                )
            ),
            max_leaves=8,
        ),
    )
)
def test_no_answer_of_meta_breaks_the_checks(node: dict[str, Any]) -> None:
    assert all(isinstance(entry, Finding) for entry in check_can_send(node, "shop", SEEN))


def settled(values: dict[str, Any]) -> dict[str, Severity]:
    findings = check_can_send(values, "shop", SEEN)
    judged = allow_for_settling(findings, values, "shop", NOW, SEEN)
    return {entry.id: entry.severity for entry in judged}


def just_connected(**values: object) -> dict[str, Any]:
    moment = (NOW - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S+0000")
    return {**HEALTHY, "last_onboarded_time": moment, **values}


def test_right_after_connecting_the_channel_is_settling_not_disconnected() -> None:
    values = just_connected(is_on_biz_app=False, status="PENDING")

    assert connection(values, NOW) == "settling"
    assert settled(values) == {
        "WX201": Severity.INFO,
        "WX206": Severity.INFO,
        "WX208": Severity.INFO,
    }


def test_settling_excuses_no_ban() -> None:
    assert settled(just_connected(status="BANNED"))["WX206"] is Severity.CRITICAL


@pytest.mark.parametrize("moment", ["2026-11-06T11:59:00+0000", "later", None, 10**30])
def test_without_a_recent_time_nothing_is_settling(moment: object) -> None:
    values = {**HEALTHY, "last_onboarded_time": moment}

    assert connection(values, NOW) == "connected"
    assert settled(values) == {}


def test_an_unproven_connection_is_not_called_connected() -> None:
    assert connection({}, NOW) is None
    assert connection({**HEALTHY, "status": "DISCONNECTED"}, NOW) is None


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

    assert [entry.severity for entry in found] == severities
    assert {entry.id for entry in found} <= {"WX701"}


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

    assert [(entry.id, entry.title) for entry in found] == ([("WX703", title)] if title else [])
