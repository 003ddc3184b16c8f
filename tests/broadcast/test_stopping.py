"""What Meta tells while a broadcast is sent, and which of it pauses the broadcast."""

from __future__ import annotations

import json

import pytest

from wacoex_cli.broadcast.model import Status
from wacoex_cli.sandbox.webhooks import emit

RUNNING = "opening_hours"


@pytest.fixture
def running(shop):
    """A broadcast of template opening_hours (en_US) that is being sent."""
    broadcast = shop.planned(1)
    shop.send(broadcast)
    with shop.state.transaction():
        shop.state.execute("UPDATE broadcasts SET status = 'sending'")
    return broadcast


@pytest.fixture
def told(shop, cli, running):
    """Let Meta tell something, import it, and give the broadcast as it is then."""

    def tell(kind, **values):
        at = values.pop("at", shop.clock.now().timestamp() + 60)
        payloads = emit(shop.world, kind, at=at, **values).payloads
        file = shop.directory / "told.ndjson"
        file.write_text("".join(json.dumps(one) + "\n" for one in payloads))
        assert payloads
        assert cli("events", "import", file).code == 0
        return shop.current(running)

    return tell


def restricted(word, expiration=1_900_000_000):
    return {"restriction_info": [{"restriction_type": word, "expiration": expiration}]}


@pytest.mark.parametrize(
    ("kind", "values", "reason"),
    [
        (
            "template_status",
            {"event": "PAUSED", "name": RUNNING},
            "template opening_hours (en_US) is PAUSED (FIRST_PAUSE)",
        ),
        (
            "template_status",
            {"event": "REJECTED", "name": RUNNING, "language": "en-US", "reason": "SCAM"},
            "template opening_hours (en_US) is REJECTED (SCAM)",
        ),
        (
            "template_quality",
            {"name": RUNNING, "before": "GREEN", "now": "YELLOW"},
            "the quality of template opening_hours (en_US) is YELLOW",
        ),
        (
            "template_quality",
            {"name": RUNNING, "before": "UNKNOWN", "now": "RED"},
            "the quality of template opening_hours (en_US) is RED",
        ),
        ("quality", {"event": "FLAGGED"}, "the quality of the number is lower (FLAGGED)"),
        (
            "quality",
            {"event": "ONBOARDING", "old_limit": "TIER_2K", "limit": "TIER_250"},
            "the messaging limit fell from TIER_2K to TIER_250",
        ),
        (
            "account_update",
            {"event": "ACCOUNT_RESTRICTION"},
            "ACCOUNT_RESTRICTION (RESTRICTED_BIZ_INITIATED_MESSAGING)",
        ),
        (
            "account_update",
            {
                "event": "ACCOUNT_RESTRICTION",
                "details": restricted("RESTRICTED_CUSTOMER_INITIATED_MESSAGING"),
            },
            "ACCOUNT_RESTRICTION (RESTRICTED_CUSTOMER_INITIATED_MESSAGING)",
        ),
        ("account_update", {"event": "DISABLED_UPDATE"}, "DISABLED_UPDATE (DISABLE)"),
        ("account_update", {"event": "ACCOUNT_VIOLATION"}, "ACCOUNT_VIOLATION (SPAM)"),
        ("account_update", {"event": "ACCOUNT_DELETED"}, "ACCOUNT_DELETED"),
        (
            "account_update",
            {"event": "PARTNER_REMOVED", "reason": "CHANGE_NUMBER"},
            "PARTNER_REMOVED (CHANGE_NUMBER, SYSTEM)",
        ),
        (
            "alert",
            {"severity": "CRITICAL", "type": "SOMETHING_NEW"},
            "there is a critical alert (SOMETHING_NEW)",
        ),
    ],
)
def test_it_pauses_what_is_sent(told, kind, values, reason):
    paused = told(kind, **values)

    assert paused.status is Status.PAUSED
    assert paused.reason.startswith(f"Meta says {reason} at 20")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("template_status", {"event": "APPROVED", "name": RUNNING}),
        ("template_status", {"event": "PAUSED", "name": "another"}),
        ("template_status", {"event": "PAUSED", "name": RUNNING, "language": "ms"}),
        ("template_quality", {"name": RUNNING, "before": "YELLOW", "now": "GREEN"}),
        ("template_quality", {"name": RUNNING, "before": "GREEN", "now": "UNKNOWN"}),
        ("template_quality", {"name": "another", "now": "RED"}),
        ("quality", {"event": "THROUGHPUT_UPGRADE"}),
        ("quality", {"old_limit": "TIER_250", "limit": "TIER_2K"}),
        ("account_update", {"event": "ACCOUNT_RECONNECTED"}),
        ("account_update", {"event": "PARTNER_ADDED"}),
        (
            "account_update",
            {"event": "DISABLED_UPDATE", "details": {"ban_info": {"waba_ban_state": "REINSTATE"}}},
        ),
        (
            "account_update",
            {
                "event": "ACCOUNT_RESTRICTION",
                "details": restricted("RESTRICTED_ADD_PHONE_NUMBER_ACTION"),
            },
        ),
        (
            "account_update",
            {
                "event": "ACCOUNT_RESTRICTION",
                "details": restricted("RESTRICTED_BIZ_INITIATED_MESSAGING", 1_700_000_000),
            },
        ),
        ("alert", {"severity": "CRITICAL", "type": "OBA_REJECTED"}),
        ("alert", {"severity": "WARNING", "type": "SOMETHING_NEW"}),
        ("alert", {"severity": "CRITICAL", "status": "NONE", "type": "SOMETHING_NEW"}),
        ("capability", {}),
    ],
)
def test_it_lets_go_on_what_is_sent(told, kind, values):
    assert told(kind, **values).status is Status.SENDING


@pytest.mark.parametrize(("category", "status"), [("UTILITY", "paused"), ("MARKETING", "sending")])
def test_a_restriction_of_utility_templates_pauses_only_those(shop, told, category, status):
    with shop.state.transaction():
        shop.state.execute(
            "UPDATE broadcasts SET template = json_set(template, '$.category', ?)", [category]
        )

    details = restricted("RESTRICTED_UTILITY_TEMPLATES")

    assert told("account_update", event="ACCOUNT_RESTRICTION", details=details).status == status


def test_what_happened_before_the_run_pauses_nothing(shop, told):
    before = shop.clock.now().timestamp() - 3_600

    assert told("template_status", name=RUNNING, at=before).status is Status.SENDING
