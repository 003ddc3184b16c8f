"""The checks before a broadcast leaves: made when it is planned and again when it is sent."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.broadcast import checks, ledger
from wacoex_cli.channels.checks import SENDING_FIELDS, check_can_send
from wacoex_cli.errors import RefusedError
from wacoex_cli.findings.model import Finding, Severity, worst_first
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State
    from wacoex_cli.platforms.meta import Meta


async def check_channel(
    meta: Meta, channel: Channel, now: datetime
) -> tuple[list[Finding], object]:
    """What Meta says about the number now, and the portfolio's messaging limit (None: not said).

    Raises:
        CredentialError, RefusedError, TemporaryError: Meta could not be asked.
    """
    node = await meta.phone_number(channel.demand_phone_number_id(), SENDING_FIELDS)
    found = check_can_send(node, channel.name, to_text(now))
    return found, node.get("whatsapp_business_manager_messaging_limit")


def check_audience(
    state: State,
    broadcast_id: int,
    channel: Channel,
    *,
    tier: object,
    category: str,
    now: datetime,
) -> list[Finding]:
    """What the recipients of a planned broadcast mean for the limits."""
    observed_at = to_text(now)
    recipients = ledger.open_rows(state, broadcast_id)
    taken = ledger.taken_since(state, channel.phone, now - timedelta(hours=24))
    plus_one = ledger.open_rows(state, broadcast_id, calling_code="+1")
    return [
        *checks.check_messaging_limit(tier, recipients, taken, channel.name, observed_at),
        *checks.check_us_marketing(category, plus_one, channel.name, observed_at),
    ]


def refuse_critical(findings: Collection[Finding], overruled: Collection[str]) -> None:
    """Refuse when a critical finding is not overruled by its id.

    Raises:
        RefusedError: nothing was sent; details hold the findings.
    """
    standing = [
        one
        for one in worst_first(findings)
        if one.severity is Severity.CRITICAL and one.id not in overruled
    ]
    if not standing:
        return
    said = "; ".join(
        f"{one.id} {one.title} ({', '.join(fact.text for fact in one.evidence)})"
        for one in standing
    )
    flags = " ".join(f"--overrule {one.id}" for one in standing)
    raise RefusedError(
        f"nothing was sent: {said}",
        hint=f"{standing[0].remedy[0]}; to send all the same, add `{flags}`",
        code="preflight",
        details={"findings": [one.to_json() for one in standing]},
    )
