"""The signup step: in respond.io, or through an own Meta app."""

from __future__ import annotations

import asyncio
import webbrowser
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels import registry
from wacoex_cli.channels.access import respondio_for
from wacoex_cli.errors import WacoexError
from wacoex_cli.foundation.person import login_name
from wacoex_cli.onboarding.journey import (
    BEGAN_AT,
    ONLY_A_PERSON,
    begin,
    offer_to_open,
    resumed,
    wants_browser,
)
from wacoex_cli.onboarding.model import Outcome, Route, StepState
from wacoex_cli.onboarding.signup.access import demand_access
from wacoex_cli.onboarding.signup.conclude import Page, conclude, finish, kept_signup
from wacoex_cli.platforms.events import read_moment
from wacoex_cli.platforms.respondio_replies import WorkspaceChannel, identity

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from wacoex_cli.onboarding.journey import Context
    from wacoex_cli.onboarding.signup.access import Access
    from wacoex_cli.onboarding.signup.page import SignupPage, Told
    from wacoex_cli.onboarding.signup.report import Report
    from wacoex_cli.platforms.respondio import RespondIO

STEP = "signup"
RESPONDIO_APP = "https://app.respond.io"
CLICKS = (
    "connect the number in respond.io:",
    "  Settings > Channels > Add Channel > WhatsApp > WhatsApp Business App",
    "  > Connect With Facebook; then choose the portfolio and type the number",
    "  on the phone: open the message of Facebook Business, Connect, Confirm, paste the code",
    "  leave the app open and online until it has refreshed itself",
)
WAITS_SECONDS = 600.0
"""How long a new channel, or the end of Meta's window, is waited for."""
_LOOKS_EVERY_SECONDS = 5.0
_NONE = "nothing was chosen; run `wacoex connect {channel}` again when it is connected"
_CLOCKS_DIFFER = timedelta(minutes=1)
_TOO_LONG = "nothing came from the page within 10 minutes; run `wacoex connect {channel}` again"


async def signup(context: Context) -> Outcome:
    """Sign up through the route of the journey. Raises as the two ways below do."""
    is_own_app = context.journey.via is Route.SIGNUP
    return await (signup_own_app if is_own_app else signup_respondio)(context)


async def signup_respondio(context: Context) -> Outcome:
    """Tell the clicks, and learn from the person which channel of respond.io it became.

    With a token the channels that appear are offered; the ids that were there when the step
    began are kept, so that a resumed walk knows what is new. Raises as `RespondIO` does.
    """
    if not context.has_token("respondio-token"):
        return _ask_person(context)
    respondio = respondio_for(context.workspace, context.channel)
    kept = resumed(context, STEP)
    if kept is None:
        kept = begin(context, STEP, known_ids=sorted(await _channels(respondio)))
    for line in CLICKS:
        context.dialogue.note(line)
    offer_to_open(context, "respond.io", RESPONDIO_APP)
    ids = kept.get("known_ids")
    known = frozenset[int](ids) if isinstance(ids, list) else frozenset[int]()
    listed = await _appeared(context, respondio, known)
    channel_id = _choose(context, listed, known)
    if channel_id is None:
        return Outcome(StepState.OPEN, kept, note=_NONE.format(channel=context.channel_name))
    changes = {"respondio_channel_id": channel_id}
    registry.edit_channel(context.state, context.channel_name, changes, context.now)
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
    return Outcome(StepState.SETTLED, answer, said_by=login_name())


def _ask_person(context: Context) -> Outcome:
    """Without a token only the person knows."""
    dialogue, name = context.dialogue, context.channel_name
    offer_to_open(context, "respond.io", RESPONDIO_APP)
    # Inside the question, because `--quiet` and `--json` hide notes.
    question = "\n".join([*CLICKS, "is the number connected in respond.io now?"])
    if not dialogue.confirm(question, flag=ONLY_A_PERSON):
        return Outcome(StepState.OPEN, note=_NONE.format(channel=name))
    is_fresh = dialogue.confirm("was it connected just now, with the app open?", flag=ONLY_A_PERSON)
    channel_id = None
    question = "the id of the channel in respond.io (Settings > Channels); empty if unknown"
    while text := dialogue.ask(question, flag=ONLY_A_PERSON):
        channel_id = identity(text)
        if channel_id:
            changes = {"respondio_channel_id": channel_id}
            registry.edit_channel(context.state, name, changes, context.now)
            break
        dialogue.warn(f"`{text}` is no channel id: it is a number such as 4242")
    answer = {
        "respondio_channel_id": channel_id or None,
        "connected_at": context.now_text if is_fresh else None,
        "connected_source": "person",
    }
    return Outcome(StepState.SETTLED, answer, said_by=login_name())


async def _channels(respondio: RespondIO) -> dict[int, WorkspaceChannel]:
    return {channel.id: channel for channel in await respondio.list_channels()}


async def _appeared(
    context: Context, respondio: RespondIO, known: Collection[int]
) -> dict[int, WorkspaceChannel]:
    """The channels of the workspace, as soon as there is a new one or the person knows better."""
    clock, dialogue = context.workspace.clock, context.dialogue
    listed = await _channels(respondio)
    if set(listed).difference(known):
        return listed
    likely = [_named(channel) for channel in listed.values() if channel.is_whatsapp]
    if likely:
        dialogue.note(f"there already: {', '.join(likely)}")
        if dialogue.confirm("is the number one of these?", flag=ONLY_A_PERSON):
            return listed
    minutes = WAITS_SECONDS / 60
    dialogue.note(f"waiting up to {minutes:.0f} minutes for a new channel; Ctrl-C is safe")
    until = clock.monotonic() + WAITS_SECONDS
    while clock.monotonic() < until and not set(listed).difference(known):
        await clock.sleep(_LOOKS_EVERY_SECONDS)
        listed = await _channels(respondio)
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
    if kept is not None and context.has_token("meta-token"):
        outcome = await finish(context, kept)
        if outcome.state is StepState.SETTLED:
            return outcome
        context.dialogue.note(f"the last signup cannot be used: {outcome.note}")
    access = demand_access(context.workspace, context.channel_name)
    return await _in_browser(context, access, open_page)


async def _in_browser(
    context: Context, access: Access, open_page: Callable[[str], bool]
) -> Outcome:
    from wacoex_cli.foundation.server import serving
    from wacoex_cli.onboarding.signup.page import Setup, SignupPage

    ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    dialogue = context.dialogue
    dialogue.note("you sign up in a browser on this machine; Ctrl-C ends it at any time")
    # Before the page is there: whoever waits for an answer cannot serve a page.
    opens = wants_browser(context, "open the signup page in the browser now?")
    page = Page(context.now, _CLOCKS_DIFFER)

    async def take(report: Report) -> Told:
        try:
            outcome = await conclude(context, access, report, page)
        except WacoexError as error:
            ended.set_exception(error)
            return _last_screen(context, error)
        except Exception as error:
            ended.set_exception(error)
            raise
        ended.set_result(outcome)
        return _last_screen(context, outcome)

    setup = Setup(
        app_id=access.app.app_id,
        config_id=access.config_id,
        api_version=access.app.api_version,
        sdk_url=access.sdk_url,
        channel=context.channel_name,
        phone=context.channel.phone,
        kept_in=access.place.in_words,
    )
    app = SignupPage(setup, take)
    # Both loopback addresses: on the other one, somebody else could answer for `localhost`.
    async with serving(app, "localhost", context.wishes.port, log=dialogue.detail) as base:
        # Facebook's login runs on pages without https on `localhost` alone.
        url = f"http://localhost:{base.rpartition(':')[2]}{app.path}"
        if opens and await asyncio.to_thread(open_page, url):
            dialogue.note(f"if no page comes up, open this address, which works once: {url}")
        else:
            dialogue.warn(f"open this address in a browser on this machine; once: {url}")
        dialogue.note(f"waiting up to {WAITS_SECONDS / 60:.0f} minutes for its end")
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


def _last_screen(context: Context, ended: Outcome | WacoexError) -> Told:
    from wacoex_cli.onboarding.signup.page import Told

    if isinstance(ended, WacoexError):
        title, steps = ended.message, [ended.hint] if ended.hint else []
    elif ended.state is StepState.SETTLED:
        lines = ("Leave the app open on the phone until it has refreshed itself.",)
        return Told(True, f"{context.channel.phone} is signed up", lines)
    else:
        title = ended.note or "The signup did not finish"
        steps = [step for found in ended.findings for step in found.remedy]
    return Told(False, _sentence(title), tuple(map(_sentence, steps)))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].replace("`", "")
