"""What Meta shows of a number before it is connected, as far as a token may look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels import access
from wacoex_cli.channels.look import read_waba
from wacoex_cli.channels.model import values_of
from wacoex_cli.errors import CredentialError, RefusedError
from wacoex_cli.onboarding.model import Route
from wacoex_cli.partners.model import PARTNER_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from wacoex_cli.onboarding.journey import Context
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.platforms.meta_answers import App


@dataclass(frozen=True)
class OnAccount:
    """The number as the list of its account shows it."""

    phone_number_id: str
    waba_id: str


async def number_on_account(context: Context) -> OnAccount | None:
    """The number on its WhatsApp Business Account.

    None without a token or a waba_id, when the token may not look, and when it is not there.
    Raises TemporaryError when Meta gives no usable answer.
    """
    channel, meta = context.channel, _meta(context)
    if meta is None or channel.waba_id is None:
        return None
    try:
        listed = await meta.phone_numbers(channel.waba_id)
    except (CredentialError, RefusedError) as error:
        context.dialogue.warn(f"the account {channel.waba_id} cannot be looked at: {error.message}")
        return None
    for number in listed:
        is_it = number.phone_number_id == channel.phone_number_id
        if is_it or f"+{number.digits}" == channel.phone:
            return OnAccount(number.phone_number_id, channel.waba_id)
    return None


async def partners(context: Context) -> tuple[str, ...]:
    """What hints at a partner other than the one to be connected: evidence, no proof.

    No edge of Meta lists partners, so names are compared: apps that get the webhooks, and the
    businesses behind the account. Raises TemporaryError when Meta gives no usable answer.
    """
    channel, meta = context.channel, _meta(context)
    if meta is None or channel.waba_id is None:
        return ()
    facts = await read_waba(meta, channel.waba_id, context.workspace.clock.now())
    try:
        apps = await meta.subscribed_apps(channel.waba_id)
    except (CredentialError, RefusedError) as error:
        context.dialogue.detail(f"the apps of the account cannot be seen: {error.message}")
        apps = ()
    own_app = context.workspace.settings_for(channel.name).meta_app_id
    expected = {channel.partner_app_id, own_app} - {None}
    is_respondio = context.journey.via is Route.RESPONDIO
    told = [*_apps(apps, expected), *_businesses(values_of(facts))]
    return tuple(text for name, text in told if not (is_respondio and PARTNER_NAME in name.lower()))


def _meta(context: Context) -> Meta | None:
    channel = context.channel
    if context.workspace.secrets.find("meta-token", channel.name) is None:
        return None
    return access.meta_for(context.workspace, channel)


def _apps(apps: Iterable[App], expected: set[str | None]) -> Iterator[tuple[str, str]]:
    for app in apps:
        name = app.name or "?"
        if app.id not in expected:
            yield name, f"the app {name} ({app.id or '?'}) gets its messages"


def _businesses(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    behalf = values.get("waba.on_behalf_of_business_info")
    name = behalf.get("name") if isinstance(behalf, dict) else None
    if name:
        yield str(name), f"the account is run on behalf of {name}"
