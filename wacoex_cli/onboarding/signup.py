"""Signup through your own Meta app: what it needs, the page, Meta's window, and the result."""

from __future__ import annotations

import asyncio
import json
import webbrowser
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.checks import refused_token
from wacoex_cli.channels.facts import connected_at
from wacoex_cli.channels.look import answered
from wacoex_cli.channels.registry import meta_for
from wacoex_cli.errors import CredentialError, RefusedError, UsageError, WacoexError
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.workspace import login_name
from wacoex_cli.onboarding import checks
from wacoex_cli.onboarding.journey import (
    BEGAN_AT,
    ONLY_A_PERSON,
    begin,
    offer_to_open,
    resumed,
    wants_browser,
)
from wacoex_cli.onboarding.model import (
    JourneyKind,
    Route,
    SignupEnd,
    SignupSetup,
    StepResult,
    StepState,
    WindowCancelled,
    WindowClosed,
    WindowFailed,
    WindowFinished,
)
from wacoex_cli.onboarding.store import Journeys
from wacoex_cli.platforms.answers import ListedNumber
from wacoex_cli.platforms.events import read_moment, read_phone
from wacoex_cli.platforms.meta import SignupApp, exchange_code
from wacoex_cli.platforms.respondio import WorkspaceChannel, identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.onboarding.journey import Context
    from wacoex_cli.onboarding.model import WindowReport
    from wacoex_cli.platforms.meta import Meta

_TOKEN = "meta-token"  # noqa: S105 - the name of a secret
_APP_SECRET = "meta-app-secret"  # noqa: S105
_NO_APP = "; without an app of your own, connect with `--via respondio`"
WAITS_SECONDS = 600.0
"""How long a new channel, or the end of Meta's window, is waited for."""
_LOOKS_EVERY_SECONDS = 5.0
_RESPONDIO_APP = "https://app.respond.io"
CLICKS = (
    "connect the number in respond.io:",
    "  Settings > Channels > Add Channel > WhatsApp > the link to connect a WhatsApp Business App",
    "  > Connect With Facebook; log in with the Facebook account, choose the portfolio, type the",
    "  number, and complete the embedded sign-up",
    "  on the phone: open the message of Facebook Business, Connect, Confirm, paste the code",
    "  leave the app open and online until it has refreshed itself",
)
"""How the number is connected in respond.io, line by line."""
_NONE = "nothing was chosen; run `wacoex connect {channel}` again when it is connected"

_ACTION = "signup"
"""The one-shot whose answer says that the token is kept and the rest may still be missing."""
_LISTED_FIELDS = ("id", "display_phone_number", "is_on_biz_app", "platform_type")
_CLOCKS_DIFFER = timedelta(minutes=1)
_TOO_LONG = "nothing came from the page within 10 minutes; run `wacoex connect {channel}` again"


async def signup(context: Context) -> StepResult:
    """Sign up through the route of the journey. Raises as the two ways below do."""
    is_own = context.journey.via is Route.SIGNUP
    return await (signup_own_app if is_own else signup_respondio)(context)


async def signup_respondio(context: Context) -> StepResult:
    """Tell the clicks, and learn from the person which channel of respond.io it became.

    With a token the channels that appear are offered; the ids that were there when the step
    began are kept, so that a resumed walk knows what is new. Raises as `RespondIO` does.
    """
    if not context.has_token("respondio-token"):
        return _ask_person(context)
    kept = resumed(context, "signup")
    if kept is None:
        kept = begin(context, "signup", known_ids=sorted(await _channels(context)))
    for line in CLICKS:
        context.dialogue.note(line)
    offer_to_open(context, "respond.io", _RESPONDIO_APP)
    ids = kept.get("known_ids")
    known = frozenset[int](ids) if isinstance(ids, list) else frozenset[int]()
    listed = await _appeared(context, known)
    channel_id = _choose(context, listed, known)
    if channel_id is None:
        return StepResult(StepState.OPEN, kept, note=_NONE.format(channel=context.channel_name))
    context.edit_channel(respondio_channel_id=channel_id)
    chosen, is_new = listed[channel_id], channel_id not in known
    # A channel that was there before says nothing about now, but when it was made.
    made_at = read_moment(chosen.created_at)
    answer = {
        BEGAN_AT: kept[BEGAN_AT],
        "respondio_channel_id": channel_id,
        "name": chosen.name,
        "source": chosen.source,
        "is_new": is_new,
        "connected_at": made_at or (context.now_text if is_new else None),
        "connected_source": "respondio",
    }
    return StepResult(StepState.SETTLED, answer, said_by=login_name())


def _ask_person(context: Context) -> StepResult:
    """Without a token only the person knows."""
    dialogue, name = context.dialogue, context.channel_name
    offer_to_open(context, "respond.io", _RESPONDIO_APP)
    # Inside the question, because `--quiet` and `--json` hide notes.
    question = "\n".join([*CLICKS, "is the number connected in respond.io now?"])
    if not dialogue.confirm(question, flag=ONLY_A_PERSON):
        return StepResult(StepState.DECLINED, note=_NONE.format(channel=name))
    is_fresh = dialogue.confirm("was it connected just now, with the app open?", flag=ONLY_A_PERSON)
    channel_id = None
    question = "the id of the channel in respond.io (Settings > Channels); empty if unknown"
    while text := dialogue.ask(question, flag=ONLY_A_PERSON):
        channel_id = identity(text)
        if channel_id:
            context.edit_channel(respondio_channel_id=channel_id)
            break
        dialogue.warn(f"`{text}` is not a channel id: an id is a number such as 4242")
    answer = {
        "respondio_channel_id": channel_id or None,
        "connected_at": context.now_text if is_fresh else None,
        "connected_source": "person",
    }
    return StepResult(StepState.SETTLED, answer, said_by=login_name())


async def _channels(context: Context) -> dict[int, WorkspaceChannel]:
    listed = await context.look.respondio(context.facts())
    if listed.error:
        raise listed.error
    return {channel.id: channel for channel in listed.channels or ()}


async def _appeared(context: Context, known: Collection[int]) -> dict[int, WorkspaceChannel]:
    """The channels of the workspace, as soon as there is a new one or the person knows better."""
    clock, dialogue = context.workspace.clock, context.dialogue
    listed = await _channels(context)
    if set(listed).difference(known):
        return listed
    likely = [_named(channel) for channel in listed.values() if channel.is_whatsapp]
    if likely:
        dialogue.note(f"already there: {', '.join(likely)}")
        if dialogue.confirm("is the number one of these?", flag=ONLY_A_PERSON):
            return listed
    minutes = WAITS_SECONDS / 60
    dialogue.note(f"waiting up to {minutes:.0f} minutes for a new channel; Ctrl-C is safe")
    until = clock.monotonic() + WAITS_SECONDS
    while clock.monotonic() < until and not set(listed).difference(known):
        await clock.sleep(_LOOKS_EVERY_SECONDS)
        listed = await _channels(context)
    return listed


def _choose(
    context: Context, listed: Mapping[int, WorkspaceChannel], known: Collection[int]
) -> int | None:
    """The id of the channel that the person picks; None when it is none of them."""
    dialogue = context.dialogue
    new = [channel_id for channel_id in listed if channel_id not in known]
    if len(new) == 1 and dialogue.confirm(f"is it {_named(listed[new[0]])}?", flag=ONLY_A_PERSON):
        return new[0]
    # The new ones first, then those that look like WhatsApp.
    for channel in sorted(
        listed.values(), key=lambda channel: (channel.id in known, not channel.is_whatsapp)
    ):
        dialogue.note(f"  {_named(channel)}{'' if channel.id in known else ', new'}")
    while text := dialogue.ask("which one is it? type its id; empty if none", flag=ONLY_A_PERSON):
        found = identity(text)
        if found in listed:
            return found
        dialogue.warn(f"there is no channel `{text}` in this workspace")
    return None


def _named(channel: WorkspaceChannel) -> str:
    return f"{channel.id} ({channel.name}, {channel.source})"


async def signup_own_app(
    context: Context, *, open_page: Callable[[str], bool] = webbrowser.open
) -> StepResult:
    """Show the signup page on this machine, and see its end through.

    Goes on without a page when an interrupted walk has the token already. Neither `/register`
    nor `/deregister` is called: the number is registered (Meta: onboarding app users).

    Raises:
        UsageError: the own app is not configured, or the port is reserved.
        CredentialError: there is no app secret or a wrong one, or no place for the token.
        TemporaryError: the port is taken, or Meta gives no usable answer.
    """
    kept = context.store.call(context.journey.journey_id, _ACTION)
    if kept and kept["answered_at"] and context.has_token(_TOKEN):
        # An earlier walk was interrupted after it had kept the token.
        result = await _settle(context, json.loads(kept["answer"]))
        if result.state is StepState.SETTLED:
            return result
        context.dialogue.note(f"the last signup cannot be used: {result.note}")
    return await _in_browser(context, _access(context), open_page)


async def _in_browser(
    context: Context, access: SignupAccess, open_page: Callable[[str], bool]
) -> StepResult:
    from wacoex_cli.foundation.server import serving
    from wacoex_cli.onboarding.signup_page import SignupPage

    ended: asyncio.Future[StepResult] = asyncio.get_running_loop().create_future()
    dialogue = context.dialogue
    dialogue.note("you sign up in a browser on this machine; Ctrl-C ends it at any time")
    # Before the page is there: a program that waits for an answer cannot serve a page.
    opens = wants_browser(context, "open the signup page in the browser now?")
    shown_at = context.now

    async def take(report: WindowReport) -> SignupEnd:
        try:
            result = await _concluded(context, access, report, shown_at)
        except WacoexError as error:
            ended.set_exception(error)
            return _last_screen(context, error)
        except Exception as error:
            ended.set_exception(error)
            raise
        ended.set_result(result)
        return _last_screen(context, result)

    app = SignupPage(access.setup, take)
    # Both loopback addresses: on the other one, somebody else could answer for `localhost`.
    async with serving(app, "localhost", context.options.port, log=dialogue.detail) as base:
        # Facebook's login runs on pages without https on `localhost` alone.
        url = f"http://localhost:{base.rpartition(':')[2]}{app.path}"
        if opens and await asyncio.to_thread(open_page, url):
            dialogue.note(f"if no page comes up, open this address, which works once: {url}")
        else:
            dialogue.warn(f"open this address in a browser on this machine; once: {url}")
        dialogue.note(f"waiting up to {WAITS_SECONDS / 60:.0f} minutes for its end")
        limit = asyncio.ensure_future(context.workspace.clock.sleep(WAITS_SECONDS))
        first: set[asyncio.Future[Any]] = {ended, limit}
        try:
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        finally:
            limit.cancel()
        if app.has_report or ended.done():
            return await ended
        return StepResult(StepState.OPEN, note=_TOO_LONG.format(channel=context.channel_name))


def _last_screen(context: Context, ended: StepResult | WacoexError) -> SignupEnd:
    if isinstance(ended, WacoexError):
        title, steps = ended.message, [ended.hint] if ended.hint else []
    elif ended.state is StepState.SETTLED:
        lines = ("Leave the app open on the phone until it has refreshed itself.",)
        return SignupEnd(True, f"{context.channel.phone} is signed up", lines)
    else:
        title = ended.note or "The signup did not finish"
        steps = [step for found in ended.findings for step in found.remedy]
    return SignupEnd(False, _sentence(title), tuple(map(_sentence, steps)))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].replace("`", "")


@dataclass(frozen=True)
class SignupAccess:
    """The own app, what its page shows, and whether the token is kept in a file."""

    app: SignupApp
    setup: SignupSetup
    is_file: bool


def _access(context: Context) -> SignupAccess:
    """Everything that is needed, looked up before anything is opened.

    Raises what `demand_access` raises.
    """
    channel = context.channel
    app, config_id, is_file = demand_access(context.workspace, channel.name)
    settings = context.workspace.settings_for(channel.name)
    setup = SignupSetup(
        app_id=app.app_id,
        config_id=config_id,
        api_version=settings.meta_api_version,
        sdk_url=settings.meta_sdk_url,
        channel=channel.name,
        phone=channel.phone,
        kept_in="a file that only you may read" if is_file else "the keyring of this computer",
    )
    return SignupAccess(app, setup, is_file)


def demand_signup(workspace: Workspace, channel: Channel, via: Route | None) -> None:
    """Raise what a signup through an own app would end with, before anybody is asked anything.

    `via` is the route that was named; without one that of the journey counts. Nothing is raised
    for another route, or when this signup has its token already.
    """
    store = Journeys(workspace.state)
    journey = store.newest(channel.channel_id, JourneyKind.CONNECT)
    if (via or (journey.via if journey else Route.RESPONDIO)) is not Route.SIGNUP:
        return
    if journey is not None and journey.finished_at is None:
        record = store.records(journey.journey_id).get("signup")
        kept = store.call(journey.journey_id, _ACTION)
        if (record and record.state.is_over) or (kept and kept["answered_at"]):
            return
    demand_access(workspace, channel.name)


def demand_access(workspace: Workspace, channel: str) -> tuple[SignupApp, str, bool]:
    """The own app, the id of its signup configuration, and whether the token goes into a file.

    Raises UsageError when the app id or the id of its signup configuration is not set,
    CredentialError when there is no app secret, or no place for the token.
    """
    settings = workspace.settings_for(channel)
    app_id = _demanded(settings.meta_app_id, "id of your own Meta app", "WACOEX_META_APP_ID")
    config_id = _demanded(
        settings.meta_config_id, "id of a signup configuration", "WACOEX_META_CONFIG_ID"
    )
    secret = workspace.secrets.need(_APP_SECRET, channel)
    app = SignupApp(app_id, secret, settings.meta_base_url, settings.meta_api_version)
    return app, config_id, _is_kept_in_file(workspace, channel)


def _demanded(value: str | None, what: str, variable: str) -> str:
    if value is None:
        raise UsageError(
            f"there is no {what}",
            hint=f"set `{variable}`, or `{variable[7:].lower()}` in config.toml{_NO_APP}",
            code="signup_incomplete",
        )
    return value


def _is_kept_in_file(workspace: Workspace, channel: str) -> bool:
    """False for the keyring; files only for those who keep secrets in files already."""
    secrets, stored = workspace.secrets, workspace.secrets.stored
    given = secrets.given(_TOKEN, channel)
    if given is not None:
        raise CredentialError(
            f"{_TOKEN} comes from {given.source}, and wacoex would use that instead of the token"
            " of the signup",
            hint="remove it there, or unset it for this command, then run it again",
            code="credentials_overridden",
        )
    if stored.files(_TOKEN, channel) or stored.files(_APP_SECRET, channel):
        return True
    problem: str | None = "`WACOEX_KEYRING` is off"
    if workspace.settings.keyring:
        why = secrets.keyring_problem()
        problem = f"the keyring cannot be used: {why}" if why else None
    if problem is None:
        return False
    raise CredentialError(
        f"there is no place for the token: {problem}",
        hint="unlock or switch on the keyring; or run"
        f" `wacoex auth login {_APP_SECRET} --insecure-file`, and the token goes to such a"
        " file too",
        code="keyring_unusable",
    )


async def _concluded(
    context: Context, access: SignupAccess, report: WindowReport, shown_at: datetime
) -> StepResult:
    """The end of the step for a report of the page, which was shown at `shown_at`.

    Raises CredentialError for an app secret that is not the app's, TemporaryError when Meta
    gives no usable answer, WacoexError when the token cannot be stored.
    """
    match report:
        case WindowFinished():
            return await _finished(context, access, report)
        case WindowCancelled(step):
            channel = context.channel
            found = checks.signup_cancelled(step, channel.name, channel.phone, context.now_text)
            return _ended(StepState.OPEN, found, cancelled_at=step)
        case WindowFailed(text, code, session):
            found = checks.signup_reported(report, context.channel_name, context.now_text)
            more = {"error": text, "error_code": code, "session_id": session}
            return _ended(StepState.FAILED, found, **more)
        case WindowClosed():
            return await _closed(context, shown_at)


async def _settle(context: Context, signup: Mapping[str, Any]) -> StepResult:
    """Find the number with the token that is kept, write its ids down, and attach the app.

    May be done again. Raises TemporaryError when Meta gives no usable answer, and CredentialError
    when the token is not to be found any more.
    """
    try:
        return await _connected(context, meta_for(context.workspace, context.channel), signup)
    except CredentialError as error:
        found = refused_token(context.channel_name, error.message, context.now_text, error.hint)
    except RefusedError as error:
        found = _finding(context, "refused", error.message)
    return _ended(StepState.FAILED, found, **signup)


async def _finished(context: Context, access: SignupAccess, report: WindowFinished) -> StepResult:
    try:
        token = await exchange_code(context.workspace.http, access.app, report.code)
    except RefusedError as error:
        meta_says = error.details.get("message")
        said = f"{error.message}; Meta says: {meta_says}" if meta_says else error.message
        # A code lives 30 seconds, for one use (Meta: onboarding business app users).
        return _ended(StepState.FAILED, _finding(context, "code", said))
    stored = context.workspace.secrets.stored
    put = stored.put_in_file if access.is_file else stored.put
    kept_in = put(_TOKEN, context.channel_name, token.reveal())
    signup = {"waba_id": report.waba_id, "event": report.event, "token_kept_in": kept_in}
    context.keep_call(_ACTION, signup)
    return await _settle(context, signup)


async def _connected(context: Context, meta: Meta, signup: Mapping[str, Any]) -> StepResult:
    token = answered(await context.look.token(meta))
    numbers: list[tuple[str, ListedNumber]] = []
    for waba_id in [signup["waba_id"]] if signup.get("waba_id") else token.accounts:
        listed = answered(await context.look.numbers(meta, waba_id, _LISTED_FIELDS))
        numbers += [(waba_id, number) for number in listed]
    channel = context.channel
    chosen = _chosen(numbers, channel.phone)
    if chosen is None:
        seen = [
            f"{number.shown or 'no number'} (id {number.phone_number_id})"
            for _, number in numbers
            if number.is_on_biz_app
        ]
        found = checks.wrong_number(channel.name, channel.phone, seen, context.now_text)
        return _ended(StepState.FAILED, found, **signup)
    waba_id, number = chosen
    ids = {"waba_id": waba_id, "phone_number_id": number.phone_number_id}
    context.edit_channel(**ids)
    await meta.subscribe_app(waba_id)
    expires = to_text(token.expires_at) if token.expires_at else None
    answer = {**signup, **ids, "token_expires_at": expires, "subscribed": True}
    until = f", and ends on {expires[:10]}" if expires else ""
    note = f"signed up; the token is kept in {signup['token_kept_in']}{until}"
    return StepResult(StepState.SETTLED, answer, said_by="meta", note=note)


def _chosen(
    numbers: Sequence[tuple[str, ListedNumber]], phone: str
) -> tuple[str, ListedNumber] | None:
    """The number of the channel; one that shows no number must be the only one on the app.

    Meta's `is_on_biz_app` lags behind a signup, so the number itself counts for more.
    """
    by_phone = [number for number in numbers if read_phone(number[1].shown) == phone]
    if by_phone:
        return by_phone[0] if len(by_phone) == 1 else None
    on_app = [number for number in numbers if number[1].is_on_biz_app]
    is_nameless = len(on_app) == 1 and not on_app[0][1].shown
    return on_app[0] if is_nameless else None


async def _closed(context: Context, shown_at: datetime) -> StepResult:
    """Closed on its last screen it is a success, which only Meta knows."""
    facts, shown = context.facts(), "there is no token yet with which Meta could be asked"
    if facts.channel.phone_number_id is not None and context.has_token(_TOKEN):
        await context.look.number(facts)
        at, on_app = connected_at(facts.values), facts.values.get("is_on_biz_app")
        when = f"last connected at {to_text(at)}" if at else "with no time of connecting"
        shown = f"Meta shows is_on_biz_app {on_app}, {when}"
        if error := facts.failures.get("number"):
            shown = f"Meta was asked: {error.message}"
        elif on_app is True and at is not None and at >= shown_at - _CLOCKS_DIFFER:
            note = "the window was closed, and Meta shows that the number was connected"
            return StepResult(StepState.SETTLED, {"seen": shown}, said_by="meta", note=note)
    found = _finding(context, "closed", f"the window said nothing; {shown}", Severity.WARNING)
    # Nobody at Meta said so: the page saw the window close.
    ours = [replace(fact, source="wacoex") for fact in found.evidence]
    return _ended(StepState.OPEN, found.replace(evidence=ours))._replace(said_by="wacoex")


def _finding(
    context: Context, case: str, said: str, severity: Severity = Severity.CRITICAL
) -> Finding:
    """WX608: the signup did not finish."""
    evidence = Evidence(said, "meta", context.now_text)
    return Finding("WX608", severity, context.channel_name, evidence, case=case)


def _ended(state: StepState, found: Finding, **answer: object) -> StepResult:
    return StepResult(state, answer, said_by="meta", findings=(found,), note=found.title)
