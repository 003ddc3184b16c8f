"""`events subscribe`: attach our app to a WABA, and see which webhooks are on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.channels.model import Provider
from wacoex_cli.channels.registry import choose_channel, meta_for
from wacoex_cli.errors import CredentialError, RefusedError, UsageError, WacoexError
from wacoex_cli.events.checks import FIELDS, Subscribed, arrivals, check_silence, check_subscription
from wacoex_cli.findings.model import Finding, Severity, check_exit_status, worst, worst_first
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from wacoex_cli.channels.facts import ChannelFacts
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.channels.nodes import Once
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.answers import App
    from wacoex_cli.terminal.options import Invocation

    Hooks = list[dict[str, Any]]

_WHATSAPP = "whatsapp_business_account"
MAY_RESPOND = (
    "an app of your own may count as one more responder of the number: where Conversation Routing"
    " is set up in Meta Business Suite, check there afterwards that your partner is still the"
    " primary responder (`wacoex explain WX211`)"
)
"""What to know before an app is attached. Whether it counts Meta does not say (2026-11)."""


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

    def fields(self) -> list[dict[str, Any]]:
        """The webhook fields that matter; `on` is None where it cannot be known."""
        on = self.seen.fields
        return [
            {
                "name": field.name,
                "on": None if on is None else field.name in on,
                "severity": field.severity.value,
                "purpose": field.purpose,
            }
            for field in FIELDS
        ]

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
            "fields": self.fields(),
            "other_fields": sorted((on or frozenset()) - {field.name for field in FIELDS}),
        }


async def look(workspace: Workspace, channel: Channel) -> Subscription:
    """Ask Meta; changes nothing. What the access at hand cannot show is left open, with the reason.

    Raises:
        UsageError: the channel has no waba_id.
        CredentialError, RefusedError, TemporaryError: Meta cannot be asked about the WABA.
    """
    meta = meta_for(workspace, channel)
    apps = await meta.subscribed_apps(channel.demand_waba_id())
    app_id, reason = workspace.settings_for(channel.name).meta_app_id, None
    if not app_id:
        try:
            app_id = (await meta.debug_token()).app_id
        except WacoexError as error:
            reason = error.message
    return await _subscription(workspace, channel, apps, app_id, reason)


async def look_beside(
    workspace: Workspace,
    facts: ChannelFacts,
    once: Once,
    *,
    patience_seconds: float | None = None,
) -> Subscription | None:
    """The same where apps and token were asked about; None where the apps were not given.

    `once` asks one time for all channels with the same key. Raises TemporaryError when the answer
    took too long.
    """
    if facts.apps is None or facts.apps.apps is None:
        return None
    token_app = facts.facts.get("token.app_id")
    app_id = workspace.settings_for(facts.name).meta_app_id or (token_app and token_app.value)
    failed = facts.failures.get("token")
    reason = failed.message if failed else token_app and token_app.reason
    own = str(app_id) if app_id else None
    apps, channel = facts.apps.apps, facts.channel
    return await _subscription(workspace, channel, apps, own, reason, once, patience_seconds)


async def _subscription(
    workspace: Workspace,
    channel: Channel,
    apps: Iterable[App],
    app_id: str | None,
    reason: str | None,
    once: Once | None = None,
    patience_seconds: float | None = None,
) -> Subscription:
    why = (
        "" if app_id else f"wacoex does not know which app is ours: {reason or 'Meta does not say'}"
    )
    own = next((app for app in apps if app_id is not None and app.id == app_id), None)
    hook, why_no_fields = await _hook(workspace, channel, app_id, once, patience_seconds)
    listed = (hook or {}).get("fields") or ()
    named = [field.get("name") if isinstance(field, dict) else field for field in listed]
    fields = frozenset(name for name in named if isinstance(name, str))
    callback_url = (hook or {}).get("callback_url")
    return Subscription(
        channel=channel.name,
        waba_id=channel.demand_waba_id(),
        seen=Subscribed(
            app_id=app_id,
            is_attached=None if app_id is None else own is not None,
            fields=None if hook is None else fields,
            is_active=(hook or {}).get("active") is not False,
            why=why or why_no_fields,
        ),
        override=own.override if own else None,
        callback_url=callback_url if callback_url and isinstance(callback_url, str) else None,
    )


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


class Checked(NamedTuple):
    """What `events subscribe --check` came to. `subscription` is None without an own app."""

    subscription: Subscription | None
    findings: list[Finding]
    failures: tuple[WacoexError, ...] = ()

    @property
    def exit_status(self) -> int:
        """0 ok, 1 warning, 2 critical, 3 unknown or not checked."""
        severities = [finding.severity for finding in self.findings]
        return check_exit_status(Severity.UNKNOWN if self.failures else worst(severities))


def check(workspace: Workspace, invocation: Invocation) -> Checked:
    """WX210 from what Meta says about the channel, WX108 from what came in; worst first.

    A channel that works without Meta has no own app, and nothing to miss.
    """
    found: Subscription | None = None
    failures: tuple[WacoexError, ...] = ()
    try:
        channel = choose_channel(workspace, invocation)
        try:
            found = workspace.run(look(workspace, channel))
        except (CredentialError, UsageError) as error:
            is_left_out = error.code in {"credentials_missing", "channel_incomplete"}
            if channel.provider is Provider.META or not is_left_out:
                raise
    except WacoexError as error:
        failures = (error,)
    now = workspace.clock.now()
    findings = missing(found, now) if found else []
    for source, hours in arrivals(workspace.state).items():
        findings += check_silence(hours, now, source)
    return Checked(found, worst_first(findings), failures)


def missing(found: Subscription, now: datetime) -> list[Finding]:
    """WX210 from what Meta said, worst first."""
    return worst_first(check_subscription(found.seen, found.channel, to_text(now)))


async def _hook(
    workspace: Workspace,
    channel: Channel,
    app_id: str | None,
    once: Once | None,
    patience_seconds: float | None,
) -> tuple[Mapping[str, Any] | None, str]:
    """The app's webhook for WhatsApp, empty when it has none; None when it cannot be read."""
    secret = workspace.secrets.find("meta-app-secret", channel.name)
    if app_id is None or secret is None:
        return None, "there is no meta-app-secret, and Meta shows the fields to the app alone"
    # Imported only now: who looks offline needs nothing of what asks.
    from wacoex_cli.platforms.meta import Meta

    settings = workspace.settings_for(channel.name)
    token = Secret(f"{app_id}|{secret.reveal()}", secret.source)
    # As the app itself. Source: "Meta: access tokens, app access tokens".
    meta = Meta(
        workspace.http,
        token,
        settings.meta_base_url,
        settings.meta_api_version,
        patience_seconds=patience_seconds,
    )

    async def read() -> Hooks:
        return await meta.app_subscriptions(app_id)

    hooks: Hooks | WacoexError
    try:
        hooks = await (once((meta.caller, "subscriptions"), read) if once else read())
    except WacoexError as error:
        hooks = error
    if isinstance(hooks, WacoexError):
        if hooks.code == "too_slow":
            raise hooks
        return None, f"the fields cannot be read: {hooks.message}"
    return next((hook for hook in hooks if hook.get("object") == _WHATSAPP), {}), ""
