"""Whether the partner that is expected is there, and where an override leads. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from wacoex_cli.findings.model import Evidence
from wacoex_cli.partners.model import PARTNER_NAME, Expected, Seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.platforms.meta_answers import App

NO_PROOF = (
    "Meta has no list of partners: this is evidence, no proof;"
    " WhatsApp Manager, Account settings, Partners shows them"
)
META = "meta"
_SHOWN_USERS = 5


def expected(channel: Channel, own_app_id: str | None = None) -> Expected:
    """The app that `--partner-app-id` names, else our own, else respond.io.

    `own_app_id` is an app of ours that numbers are connected with; a channel that is at
    respond.io is not connected with it.
    """
    if channel.partner_app_id:
        return Expected(channel.partner_app_id)
    if own_app_id and channel.respondio_channel_id is None:
        return Expected(own_app_id)
    return Expected()


def is_expected(app: App, partner: Expected) -> bool:
    """Whether an app is the partner's: by its id, or by the name that it contains."""
    if partner.app_id:
        return app.id == partner.app_id
    return partner.name in (app.name or "").lower()


def is_seen(partner: Expected, seen: Seen | None) -> bool | None:
    """Whether the partner's app gets the webhooks of the WABA; None when that is not known."""
    if seen is None or seen.apps is None:
        return None
    return any(is_expected(one, partner) for one in seen.apps)


def evidence(
    partner: Expected, seen: Seen, values: Mapping[str, Any], observed_at: str
) -> list[Evidence]:
    """Everything that tells who holds the WABA (Meta: WhatsApp Business Account).

    `values` are the channel's facts, read at `observed_at`. None of it is proof: several partners
    may hold one number.
    """
    now_seen = [*_app_texts(partner, seen, values.get("token.app_id")), *_user_texts(seen)]
    return [
        *(Evidence(text, META, seen.observed_at) for text in now_seen),
        *(Evidence(text, META, observed_at) for text in _field_texts(values)),
    ]


def _app_texts(partner: Expected, seen: Seen, own_app_id: object) -> Iterator[str]:
    if seen.apps == ():
        yield "no app gets the webhooks of the account"
    for app in seen.apps or ():
        role = "our own app" if app.id and app.id == own_app_id else "another app"
        if is_expected(app, partner):
            role = "the expected partner"
        override = f", with an override to {place(app.override)}" if app.override else ""
        yield f"{app.label}, {role}, gets the webhooks{override}"


def _field_texts(values: Mapping[str, Any]) -> Iterator[str]:
    owner = values.get("waba.owner_business_info")
    if isinstance(owner, dict):
        yield f"the account belongs to {_business(owner)}"
    behalf = values.get("waba.on_behalf_of_business_info")
    if isinstance(behalf, dict):
        status = f", {behalf['status']}" if behalf.get("status") else ""
        yield f"on_behalf_of_business_info names {_business(behalf)}{status}"
    shared = values.get("waba.is_shared_with_partners")
    if isinstance(shared, bool):
        yield f"is_shared_with_partners is {str(shared).lower()}"


def _user_texts(seen: Seen) -> Iterator[str]:
    users = seen.users or ()
    for user in users[:_SHOWN_USERS]:
        yield f"assigned to {user.name}, tasks {', '.join(user.tasks) or 'not told'}"
    if len(users) > _SHOWN_USERS:
        yield f"assigned to {len(users) - _SHOWN_USERS} more users"


def _business(told: Mapping[str, Any]) -> str:
    name, business_id = told.get("name"), told.get("id")
    if name and business_id:
        return f"{name} ({business_id})"
    return str(name or business_id or "a business without a name")


def place(url: str) -> str:
    """The host that a callback leads to; its path may hold a key of somebody."""
    return _host(url) or "an address that cannot be read"


def leads_to(url: str, homes: Iterable[str | None], *, is_partner: bool) -> bool:
    """Whether a callback leads to one of the addresses, or to the partner's own domain."""
    host = _host(url)
    is_at_home = host in {_host(one) for one in homes if one}
    is_with_partner = is_partner and (host == PARTNER_NAME or host.endswith(f".{PARTNER_NAME}"))
    return bool(host) and (is_at_home or is_with_partner)


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
