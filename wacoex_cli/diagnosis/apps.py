"""What the list of apps that get an account's webhooks tells about a channel. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.channels.model import SUBSCRIBED_APPS, WABA_PREFIX, Provider
from wacoex_cli.events.checks import Subscribed, check_subscription
from wacoex_cli.findings.model import Severity
from wacoex_cli.partners.model import Seen
from wacoex_cli.platforms.meta_answers import App

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wacoex_cli.channels.model import Channel, Fact
    from wacoex_cli.findings.model import Finding

_LISTED = f"{WABA_PREFIX}{SUBSCRIBED_APPS}"
_TOKEN_APP = "token.app_id"  # noqa: S105 - the name of a fact
_BY_APP_ALONE = "which fields are on is told to the app alone"


def seen_in(facts: Iterable[Fact]) -> Seen | None:
    """The apps among the facts of a channel; None where they were never read."""
    fact = _fact(facts, _LISTED)
    if fact is None:
        return None
    if not (fact.is_available and isinstance(fact.value, list)):
        return Seen(fact.observed_at, why=fact.reason)
    listed = [one for one in fact.value if isinstance(one, dict)]
    apps = (App(one.get("id"), one.get("name"), one.get("override")) for one in listed)
    return Seen(fact.observed_at, apps=tuple(apps))


def check_attached(
    facts: Iterable[Fact], configured_app_id: str | None, channel: Channel
) -> list[Finding]:
    """WX210 when our own app is not among the subscribed ones, where we send through Meta.

    Ours is the configured one, else the token's. What cannot be read changes nothing here.
    """
    known = list(facts)
    token_app = _fact(known, _TOKEN_APP)
    app_id = configured_app_id or (str(token_app.value or "") if token_app else "")
    seen = seen_in(known)
    if not app_id or seen is None or seen.apps is None or channel.provider is not Provider.META:
        return []
    is_attached = any(one.id == app_id for one in seen.apps)
    told = Subscribed(app_id, is_attached, None, is_active=True, why=_BY_APP_ALONE)
    found = check_subscription(told, channel.name, seen.observed_at)
    return [one for one in found if one.severity is not Severity.UNKNOWN]


def _fact(facts: Iterable[Fact], name: str) -> Fact | None:
    return next((one for one in facts if one.name == name), None)
