"""`events subscribe`: attach our app to a WABA, and see which webhooks are on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.model import Provider
from wacoex_cli.channels.registry import meta_for
from wacoex_cli.errors import CredentialError, RefusedError, UsageError, WacoexError
from wacoex_cli.events.checks import (
    FIELDS,
    SILENCE_WINDOW,
    Subscribed,
    check_silence,
    check_subscription,
)
from wacoex_cli.events.store import EventLog
from wacoex_cli.findings.model import Finding, worst_first
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.secrets import Secret
from wacoex_cli.platforms.events import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from wacoex_cli.channels.facts import ChannelFacts
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.platforms.meta_answers import App

_WHATSAPP = "whatsapp_business_account"


@dataclass(frozen=True)
class Subscription:
    """What Meta says about our app on a channel's WABA.

    `override` is a callback of its own that this WABA has, `callback_url` the app's own.
    """

    channel: str
    waba_id: str
    seen: Subscribed
    override: str | None = None
    callback_url: str | None = None

    def to_json(self) -> dict[str, object]:
        """The `data` of `events subscribe`, without findings."""
        on = self.seen.fields
        return {
            "channel": self.channel,
            "waba_id": self.waba_id,
            "app_id": self.seen.app_id,
            "attached": self.seen.is_attached,
            "override_callback_uri": self.override,
            "callback_url": self.callback_url,
            "active": self.seen.is_active if on else None,
            "fields": [
                {
                    "name": one.name,
                    "on": None if on is None else one.name in on,
                    "severity": one.severity.value,
                    "purpose": one.purpose,
                }
                for one in FIELDS
            ],
            "other_fields": sorted((on or frozenset()) - {one.name for one in FIELDS}),
        }


async def look(
    workspace: Workspace, channel: Channel, *, patience_seconds: float | None = None
) -> Subscription:
    """Ask Meta; changes nothing. What the access at hand cannot tell is left open, with the reason.

    `patience_seconds` shortens how long a failed read is tried again.

    Raises:
        UsageError: the channel has no waba_id.
        CredentialError, RefusedError, TemporaryError: Meta cannot be asked about the WABA.
    """
    waba_id = channel.demand_waba_id()
    meta = meta_for(workspace, channel, patience_seconds=patience_seconds)
    apps = await meta.subscribed_apps(waba_id)
    app_id, why = await _own_app_id(workspace, channel, meta)
    return await _subscription(workspace, channel, apps, (app_id, why), patience_seconds)


async def look_beside(
    workspace: Workspace, facts: ChannelFacts, *, patience_seconds: float | None = None
) -> Subscription | None:
    """The same where apps and token were asked about; None where the apps were not told."""
    if facts.apps is None or facts.apps.apps is None:
        return None
    token_app = next((fact for fact in facts.facts if fact.name == "token.app_id"), None)
    app_id = workspace.settings_for(facts.name).meta_app_id or (token_app and token_app.value)
    failed = facts.failures.get("token")
    reason = failed.message if failed else token_app and token_app.reason
    why = "" if app_id else f"which app is ours is not known: {reason or 'Meta does not say'}"
    own = (str(app_id) if app_id else None, why)
    return await _subscription(workspace, facts.channel, facts.apps.apps, own, patience_seconds)


async def _subscription(
    workspace: Workspace,
    channel: Channel,
    apps: Iterable[App],
    own_app: tuple[str | None, str],
    patience_seconds: float | None,
) -> Subscription:
    app_id, why = own_app
    own = next((app for app in apps if app_id is not None and app.id == app_id), None)
    hook, why_no_fields = await _hook(workspace, channel, app_id, patience_seconds)
    return Subscription(
        channel=channel.name,
        waba_id=channel.demand_waba_id(),
        seen=Subscribed(
            app_id=app_id,
            is_attached=None if app_id is None else own is not None,
            fields=None if hook is None else _fields(hook),
            is_active=(hook or {}).get("active") is not False,
            why=why or why_no_fields,
        ),
        override=own.override if own else None,
        callback_url=_text((hook or {}).get("callback_url")),
    )


async def look_if_ours(
    workspace: Workspace, channel: Channel, *, patience_seconds: float | None = None
) -> Subscription | None:
    """Like `look`, but None for a channel that works without Meta: no own app, nothing to miss.

    Raises what `look` raises.
    """
    try:
        return await look(workspace, channel, patience_seconds=patience_seconds)
    except (CredentialError, UsageError) as error:
        is_left_out = error.code in {"credentials_missing", "channel_incomplete"}
        if channel.provider is Provider.META or not is_left_out:
            raise
        return None


async def attach(workspace: Workspace, channel: Channel) -> Subscription:
    """Attach our app to the channel's WABA; returns what Meta says afterwards.

    Raises what `look` raises, and RefusedError when Meta agrees and yet does not do it.
    """
    await meta_for(workspace, channel).subscribe_app(channel.demand_waba_id())
    found = await look(workspace, channel)
    if found.seen.is_attached is False:
        raise RefusedError(
            f"Meta took the request, but app {found.seen.app_id} is not attached",
            hint="the token may belong to another app: see `wacoex auth status`, and compare"
            " `WACOEX_META_APP_ID`",
            code="not_attached",
        )
    return found


def findings(state: State, found: Subscription | None, now: datetime) -> list[Finding]:
    """WX210 from what Meta said, and WX108 from what came in; worst first."""
    told = check_subscription(found.seen, found.channel, to_text(now)) if found else []
    for source in Source:
        newest = EventLog(state).newest_arrival(source)
        if newest is not None:
            hours = EventLog(state).arrival_hours(source, newest - SILENCE_WINDOW)
            told += check_silence(hours, now, source)
    return worst_first(told)


async def _own_app_id(workspace: Workspace, channel: Channel, meta: Meta) -> tuple[str | None, str]:
    configured = workspace.settings_for(channel.name).meta_app_id
    if configured:
        return configured, ""
    try:
        app_id = (await meta.debug_token()).app_id
    except WacoexError as error:
        return None, f"which app is ours is not known: {error.message}"
    return app_id, "" if app_id else "which app is ours is not known: Meta does not say"


async def _hook(
    workspace: Workspace, channel: Channel, app_id: str | None, patience_seconds: float | None
) -> tuple[Mapping[str, Any] | None, str]:
    """The app's webhook for WhatsApp, empty when it has none; None when it cannot be read."""
    secret = workspace.secrets.find("meta-app-secret", channel.name)
    if app_id is None or secret is None:
        return None, "there is no meta-app-secret, and Meta shows the fields to the app alone"
    try:
        as_app = _as_app(workspace, channel, app_id, secret, patience_seconds)
        hooks = await as_app.app_subscriptions(app_id)
    except WacoexError as error:
        return None, f"the fields cannot be read: {error.message}"
    return next((one for one in hooks if one.get("object") == _WHATSAPP), {}), ""


def _as_app(
    workspace: Workspace,
    channel: Channel,
    app_id: str,
    secret: Secret,
    patience_seconds: float | None,
) -> Meta:
    """The Graph API as the app itself. Source: "Meta: access tokens, app access tokens"."""
    from wacoex_cli.platforms.meta import Meta

    settings = workspace.settings_for(channel.name)
    token = Secret(f"{app_id}|{secret.reveal()}", secret.source)
    return Meta(
        workspace.http,
        token,
        settings.meta_base_url,
        settings.meta_api_version,
        patience_seconds=patience_seconds,
    )


def _fields(hook: Mapping[str, Any]) -> frozenset[str]:
    listed = hook.get("fields")
    named = [one.get("name") if isinstance(one, dict) else one for one in listed or ()]
    return frozenset(one for one in named if isinstance(one, str))


def _text(value: object) -> str | None:
    return str(value) if isinstance(value, str | int) and value else None
