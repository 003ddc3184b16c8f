"""Signup through an own Meta app: what it needs, the page, Meta's window, and what comes of it."""

from __future__ import annotations

import asyncio
import json
import webbrowser
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels import registry
from wacoex_cli.channels.access import meta_for
from wacoex_cli.channels.connection import connected_at
from wacoex_cli.channels.token_checks import refused_token
from wacoex_cli.errors import CredentialError, RefusedError, UsageError, WacoexError
from wacoex_cli.events import values
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.onboarding import checks, ledger
from wacoex_cli.onboarding.browser import has_windows
from wacoex_cli.onboarding.model import (
    Outcome,
    SignupEnd,
    SignupSetup,
    StepState,
    WindowCancelled,
    WindowClosed,
    WindowFailed,
    WindowFinished,
)
from wacoex_cli.platforms.access_token import access_token_in
from wacoex_cli.platforms.meta_signup import SignupApp, exchange_code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.secrets import Secret
    from wacoex_cli.foundation.stored_secrets import StoredSecrets
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.onboarding.journey import Context
    from wacoex_cli.onboarding.model import WindowReport
    from wacoex_cli.onboarding.signup_page import SignupPage
    from wacoex_cli.platforms.meta import Meta, Node

_TOKEN = "meta-token"  # noqa: S105 - the name of a secret
_APP_SECRET = "meta-app-secret"  # noqa: S105
_NO_APP = "; without an app of your own, connect with `--via respondio`"
WAITS_SECONDS = 600.0
"""How long the page waits for Meta's window to end."""

_CLOCKS_DIFFER = timedelta(minutes=1)
_TOO_LONG = "nothing came from the page within 10 minutes; run `wacoex connect {channel}` again"
ACTION = "signup"
"""The one-shot whose answer says that the token is kept and the rest may still be missing."""

_FIELDS = ("id", "display_phone_number", "is_on_biz_app", "platform_type")
_ONBOARDING_FIELDS = ("is_on_biz_app", "platform_type", "last_onboarded_time")
_SCOPE = "whatsapp_business_management"


async def signup_own_app(
    context: Context, *, open_page: Callable[[str], bool] = webbrowser.open
) -> Outcome:
    """Show the signup page on this machine, and see its end through.

    Goes on without a page when an interrupted walk has the token already. Neither `/register`
    nor `/deregister` is called: the number is registered (Meta: onboarding app users).

    Raises:
        UsageError: the own app is not configured, or the port is reserved.
        CredentialError: there is no app secret or a wrong one, or no place for the token.
        TemporaryError: the port is taken, or Meta gives no usable answer.
    """
    kept = kept_signup(context)
    token = context.workspace.secrets.find("meta-token", context.channel_name)
    if kept is not None and token is not None:
        outcome = await finish(context, kept)
        if outcome.state is StepState.SETTLED:
            return outcome
        context.dialogue.note(f"the last signup cannot be used: {outcome.note}")
    access = demand_access(context.workspace, context.channel_name)
    return await _in_browser(context, access, open_page)


async def _in_browser(
    context: Context, access: SignupAccess, open_page: Callable[[str], bool]
) -> Outcome:
    from wacoex_cli.foundation.server import serving
    from wacoex_cli.onboarding.signup_page import SignupPage

    ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    opens = _wants_browser(context)
    shown_at = context.workspace.clock.now()

    async def take(report: WindowReport) -> SignupEnd:
        try:
            outcome = await conclude(context, access, report, shown_at)
        except WacoexError as error:
            ended.set_exception(error)
            return _told_error(error)
        except Exception as error:
            ended.set_exception(error)
            raise
        ended.set_result(outcome)
        return _told(context, outcome)

    app = SignupPage(_setup(context, access), take)
    # Both loopback addresses: on the other one, somebody else could answer for `localhost`.
    async with serving(app, "localhost", context.wishes.port, log=context.dialogue.detail) as base:
        # Facebook's login runs on pages without https on `localhost` alone.
        url = f"http://localhost:{base.rpartition(':')[2]}{app.path}"
        await _show(context, url, open_page if opens else None)
        return await _wait(context, app, ended)


async def _wait(context: Context, app: SignupPage, ended: asyncio.Future[Outcome]) -> Outcome:
    limit = asyncio.ensure_future(context.workspace.clock.sleep(WAITS_SECONDS))
    first: set[asyncio.Future[Any]] = {ended, limit}
    try:
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    finally:
        limit.cancel()
    if app.was_heard or ended.done():
        return await ended
    return Outcome(StepState.OPEN, note=_TOO_LONG.format(channel=context.channel_name))


def _wants_browser(context: Context) -> bool:
    """Asked before the page is there: whoever answers a question cannot serve a page."""
    context.dialogue.note("you sign up in a browser on this machine; Ctrl-C ends it at any time")
    if not context.wishes.open_browser or not has_windows():
        return False
    return context.dialogue.confirm("open the signup page in the browser now?", flag="--yes")


async def _show(context: Context, url: str, open_page: Callable[[str], bool] | None) -> None:
    if open_page is not None and await asyncio.to_thread(open_page, url):
        context.dialogue.note(f"if no page comes up, open this address, which works once: {url}")
    else:
        context.dialogue.warn(f"open this address in a browser on this machine; once: {url}")
    context.dialogue.note(f"waiting up to {WAITS_SECONDS / 60:.0f} minutes for its end")


def _setup(context: Context, access: SignupAccess) -> SignupSetup:
    return SignupSetup(
        app_id=access.app.app_id,
        config_id=access.config_id,
        api_version=access.app.api_version,
        sdk_url=access.sdk_url,
        channel=context.channel_name,
        phone=context.channel.phone,
        kept_in=access.place.in_words,
    )


def _told(context: Context, outcome: Outcome) -> SignupEnd:
    if outcome.state is StepState.SETTLED:
        lines = ("Leave the app open on the phone until it has refreshed itself.",)
        return SignupEnd(True, f"{context.channel.phone} is signed up", lines)
    title = outcome.note or "The signup did not finish"
    steps = [_sentence(step) for one in outcome.findings for step in one.remedy]
    return SignupEnd(False, _sentence(title), tuple(steps))


def _told_error(error: WacoexError) -> SignupEnd:
    return SignupEnd(
        False, _sentence(error.message), (_sentence(error.hint),) if error.hint else ()
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].replace("`", "")


@dataclass(frozen=True)
class TokenPlace:
    """Where the token of the signup will be kept, decided before there is one."""

    stored: StoredSecrets
    channel: str
    is_file: bool

    @property
    def in_words(self) -> str:
        """The kind of place, for the person."""
        return "a file that only you may read" if self.is_file else "the keyring of this computer"

    def keep(self, token: Secret) -> str:
        """Store it; returns the place. Raises WacoexError when it cannot be stored after all."""
        put = self.stored.put_in_file if self.is_file else self.stored.put
        return put(_TOKEN, self.channel, token.reveal())


@dataclass(frozen=True)
class SignupAccess:
    """The own app, its signup configuration, Meta's script, and where the token goes."""

    app: SignupApp
    config_id: str
    sdk_url: str
    place: TokenPlace


def demand_access(workspace: Workspace, channel: str) -> SignupAccess:
    """Everything that is needed, looked up before anything is opened.

    Raises:
        UsageError: the app id or the id of its signup configuration is not set.
        CredentialError: there is no app secret, or no place for the token.
    """
    settings = workspace.settings_for(channel)
    app_id = _demanded(settings.meta_app_id, "id of an own Meta app", "WACOEX_META_APP_ID")
    config_id = _demanded(
        settings.meta_config_id, "id of a signup configuration", "WACOEX_META_CONFIG_ID"
    )
    app = SignupApp(
        app_id,
        workspace.secrets.need(_APP_SECRET, channel),
        settings.meta_base_url,
        settings.meta_api_version,
    )
    return SignupAccess(app, config_id, settings.meta_sdk_url, _place(workspace, channel))


def _demanded(value: str | None, what: str, variable: str) -> str:
    if value is None:
        raise UsageError(
            f"there is no {what}",
            hint=f"set `{variable}`, or `{variable[7:].lower()}` in config.toml{_NO_APP}",
            code="signup_incomplete",
        )
    return value


def _place(workspace: Workspace, channel: str) -> TokenPlace:
    """The keyring; files only for those who keep secrets in files already, as they asked for."""
    secrets, stored = workspace.secrets, workspace.secrets.stored
    given = secrets.given(_TOKEN, channel)
    if given is not None:
        raise CredentialError(
            f"{_TOKEN} comes from {given.source}, which goes before what the signup would store",
            hint="remove it there, or unset it for this command, then run it again",
            code="credentials_overridden",
        )
    if stored.files(_TOKEN, channel) or stored.files(_APP_SECRET, channel):
        return TokenPlace(stored, channel, is_file=True)
    problem = _why_no_keyring(workspace)
    if problem is not None:
        raise CredentialError(
            f"there is no place for the token: {problem}",
            hint="unlock or switch on the keyring; or run"
            f" `wacoex auth login {_APP_SECRET} --insecure-file`, and the token goes to such a"
            " file too",
            code="keyring_unusable",
        )
    return TokenPlace(stored, channel, is_file=False)


def _why_no_keyring(workspace: Workspace) -> str | None:
    if not workspace.settings.keyring:
        return "`WACOEX_KEYRING` is off"
    problem = workspace.secrets.keyring_problem()
    return f"the keyring cannot be used: {problem}" if problem else None


async def conclude(
    context: Context, access: SignupAccess, report: WindowReport, shown_at: datetime
) -> Outcome:
    """The end of the step for a report of the page, which was shown at `shown_at`.

    Raises CredentialError for an app secret that is not the app's, TemporaryError when Meta
    gives no usable answer, WacoexError when the token cannot be stored.
    """
    match report:
        case WindowFinished():
            return await _finished(context, access, report)
        case WindowCancelled(step):
            channel = context.channel
            found = checks.signup_cancelled(step, channel.name, channel.phone, _now(context))
            return _ended(StepState.OPEN, found, cancelled_at=step)
        case WindowFailed(text, code, session):
            found = checks.signup_reported(report, context.channel_name, _now(context))
            more = {"error": text, "error_code": code, "session_id": session}
            return _ended(StepState.FAILED, found, **more)
        case WindowClosed():
            return await _closed(context, shown_at)


def kept_signup(context: Context) -> Mapping[str, Any] | None:
    """What is known of a signup whose token is kept, when the step was interrupted after it."""
    kept = ledger.one_shot(context.workspace.state, context.journey.journey_id, ACTION)
    if kept is None or kept["answered_at"] is None:
        return None
    answer: Mapping[str, Any] = json.loads(kept["answer"])
    return answer


async def finish(context: Context, signup: Mapping[str, Any]) -> Outcome:
    """Find the number with the token that is kept, write its ids down, and attach the app.

    May be done again. Raises TemporaryError when Meta gives no usable answer, and CredentialError
    when the token is not to be found any more.
    """
    meta = meta_for(context.workspace, context.channel)
    try:
        return await _finish(context, meta, signup)
    except CredentialError as error:
        found = refused_token(context.channel_name, error.message, _now(context))
        return _ended(StepState.FAILED, found, **signup)
    except RefusedError as error:
        found = checks.signup_refused(context.channel_name, error.message, _now(context))
        return _ended(StepState.FAILED, found, **signup)


async def _finished(context: Context, access: SignupAccess, report: WindowFinished) -> Outcome:
    try:
        token = await exchange_code(context.workspace.http, access.app, report.code)
    except RefusedError as error:
        found = checks.code_refused(context.channel_name, _words(error), _now(context))
        return _ended(StepState.FAILED, found)
    kept_in = access.place.keep(token)
    signup: dict[str, object] = {
        "waba_id": report.waba_id,
        "event": report.event,
        "token_kept_in": kept_in,
    }
    _remember(context, signup)
    return await finish(context, signup)


def _remember(context: Context, signup: dict[str, object]) -> None:
    state, journey_id = context.workspace.state, context.journey.journey_id
    now = context.workspace.clock.now()
    with state.transaction():
        ledger.claim_once(state, journey_id, ACTION, now)
        ledger.answer_once(state, journey_id, ACTION, signup, now)


async def _finish(context: Context, meta: Meta, signup: Mapping[str, Any]) -> Outcome:
    said = await meta.debug_token()
    token = access_token_in(said)
    waba_ids = [signup["waba_id"]] if signup.get("waba_id") else _targets(said)
    numbers = [
        (waba_id, node)
        for waba_id in waba_ids
        for node in await meta.phone_numbers(waba_id, _FIELDS)
    ]
    channel = context.channel
    chosen = _chosen(numbers, channel.phone)
    if chosen is None:
        listed = [_in_words(node) for _, node in numbers if node.get("is_on_biz_app") is True]
        found = checks.wrong_number(channel.name, channel.phone, listed, _now(context))
        return _ended(StepState.FAILED, found, **signup)
    waba_id, node = chosen
    ids = {"waba_id": waba_id, "phone_number_id": str(node["id"])}
    now = context.workspace.clock.now()
    registry.edit_channel(context.workspace.state, channel.name, ids, now)
    await meta.subscribe_app(waba_id)
    expires = to_text(token.expires_at) if token.expires_at else None
    answer = {**signup, **ids, "token_expires_at": expires, "subscribed": True}
    until = f", and ends on {expires[:10]}" if expires else ""
    note = f"signed up; the token is kept in {signup['token_kept_in']}{until}"
    return Outcome(StepState.SETTLED, answer, said_by="meta", note=note)


def _targets(said: Mapping[str, Any]) -> list[str]:
    """The WABAs that the token was made for, when the window did not name one."""
    granular = said.get("granular_scopes")
    rows = [one for one in granular if isinstance(one, dict)] if isinstance(granular, list) else []
    ids = [one.get("target_ids") for one in rows if one.get("scope") == _SCOPE]
    return [str(one) for found in ids if isinstance(found, list) for one in found]


def _chosen(numbers: Sequence[tuple[str, Node]], phone: str) -> tuple[str, Node] | None:
    """The number of the channel; one that shows no number must be the only one on the app.

    Meta's `is_on_biz_app` lags behind a signup, so the number itself counts for more.
    """
    by_phone = [one for one in numbers if values.phone(one[1].get("display_phone_number")) == phone]
    if by_phone:
        return by_phone[0] if len(by_phone) == 1 else None
    on_app = [one for one in numbers if one[1].get("is_on_biz_app") is True]
    is_nameless = len(on_app) == 1 and not on_app[0][1].get("display_phone_number")
    return on_app[0] if is_nameless else None


async def _closed(context: Context, shown_at: datetime) -> Outcome:
    """Closed on its last screen it is a success, which only Meta can tell."""
    shown, is_done = await _shown_by_meta(context, shown_at)
    if is_done:
        note = "the window was closed, and Meta shows that the number was connected"
        return Outcome(StepState.SETTLED, {"seen": shown}, said_by="meta", note=note)
    return _ended(StepState.OPEN, checks.signup_closed(context.channel_name, shown, _now(context)))


async def _shown_by_meta(context: Context, shown_at: datetime) -> tuple[str, bool]:
    """What Meta shows of the number in words, and whether it was connected since the page."""
    channel, secrets = context.channel, context.workspace.secrets
    if channel.phone_number_id is None or secrets.find("meta-token", channel.name) is None:
        return "there is no token yet with which Meta could be asked", False
    meta = meta_for(context.workspace, channel)
    try:
        told = await meta.phone_number(channel.phone_number_id, _ONBOARDING_FIELDS)
    except WacoexError as error:
        return f"Meta was asked: {error.message}", False
    at = connected_at(told)
    is_new = at is not None and at >= shown_at - _CLOCKS_DIFFER
    when = f"last connected at {to_text(at)}" if at else "with no time of connecting"
    on_app = told.get("is_on_biz_app")
    return f"Meta shows is_on_biz_app {on_app}, {when}", is_new and on_app is True


def _ended(state: StepState, found: Finding, **answer: object) -> Outcome:
    return Outcome(state, answer, said_by="meta", findings=(found,), note=found.title)


def _in_words(node: Node) -> str:
    return f"{node.get('display_phone_number') or 'no number'} (id {node.get('id')})"


def _words(error: RefusedError) -> str:
    said = error.details.get("message")
    return f"{error.message}; Meta says: {said}" if said else error.message


def _now(context: Context) -> str:
    return to_text(context.workspace.clock.now())
