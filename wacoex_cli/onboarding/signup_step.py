"""The signup step: in respond.io, or through an own Meta app."""

from __future__ import annotations

import asyncio
import webbrowser
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels import registry
from wacoex_cli.channels.access import respondio_for
from wacoex_cli.errors import WacoexError
from wacoex_cli.events import values
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.person import login_name
from wacoex_cli.onboarding.journey import (
    BEGAN_AT,
    ONLY_A_PERSON,
    begin,
    begun,
    has_windows,
    offer_to_open,
)
from wacoex_cli.onboarding.model import Outcome, StepState
from wacoex_cli.onboarding.signup.access import demand_access
from wacoex_cli.onboarding.signup.conclude import Page, conclude, finish, kept_signup
from wacoex_cli.platforms.respondio_replies import identity

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from wacoex_cli.onboarding.journey import Context
    from wacoex_cli.onboarding.signup.access import Access
    from wacoex_cli.onboarding.signup.page import Setup, SignupPage, Told
    from wacoex_cli.onboarding.signup.report import Report
    from wacoex_cli.platforms.respondio import Node, RespondIO

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
_LOOKS_EVERY_SECONDS = 5.0
_NONE = "nothing was chosen; run `wacoex connect {channel}` again when it is connected"


async def signup_respondio(context: Context) -> Outcome:
    """Tell the clicks, and learn from the person which channel of respond.io it became.

    With a token the channels that appear are offered; the ids that were there when the step
    began are kept, so that a resumed walk knows what is new. Raises as `RespondIO` does.
    """
    if context.workspace.secrets.find("respondio-token", context.channel_name) is None:
        return _ask_person(context)
    respondio = respondio_for(context.workspace, context.channel)
    kept = begun(context, STEP)
    if kept is None:
        found = await respondio.list_channels()
        kept = begin(context, STEP, {"known_ids": sorted(_ids(found))})
    for line in CLICKS:
        context.dialogue.note(line)
    offer_to_open(context, "respond.io", RESPONDIO_APP)
    known = _known(kept)
    listed = await _appeared(context, respondio, known)
    chosen = _choose(context, _in_order(listed, known), known)
    if chosen is None:
        return Outcome(StepState.OPEN, kept, note=_NONE.format(channel=context.channel_name))
    return _settled(context, chosen, kept)


def _ask_person(context: Context) -> Outcome:
    """Without a token only the person knows."""
    dialogue, name = context.dialogue, context.channel_name
    offer_to_open(context, "respond.io", RESPONDIO_APP)
    # Inside the question, because `--quiet` and `--json` hide notes.
    question = "\n".join([*CLICKS, "is the number connected in respond.io now?"])
    if not dialogue.confirm(question, flag=ONLY_A_PERSON):
        return Outcome(StepState.OPEN, note=_NONE.format(channel=name))
    is_fresh = dialogue.confirm("was it connected just now, with the app open?", flag=ONLY_A_PERSON)
    channel_id = _typed_id(context)
    now = context.workspace.clock.now()
    if channel_id is not None:
        changes = {"respondio_channel_id": channel_id}
        registry.edit_channel(context.workspace.state, name, changes, now)
    answer = {
        "respondio_channel_id": channel_id,
        "connected_at": to_text(now) if is_fresh else None,
        "connected_source": "person",
    }
    return Outcome(StepState.SETTLED, answer, said_by=login_name())


def _typed_id(context: Context) -> int | None:
    question = "the id of the channel in respond.io (Settings > Channels); empty if unknown"
    while text := context.dialogue.ask(question, flag=ONLY_A_PERSON):
        found = identity(text)
        if found:
            return found
        context.dialogue.warn(f"`{text}` is no channel id: it is a number such as 4242")
    return None


async def _appeared(
    context: Context, respondio: RespondIO, known: Collection[int]
) -> Sequence[Node]:
    """The channels of the workspace, as soon as there is a new one or the person knows better."""
    clock, dialogue = context.workspace.clock, context.dialogue
    listed = await respondio.list_channels()
    if _ids(listed) - set(known):
        return listed
    likely = [one for one in listed if _is_whatsapp(one)]
    if likely:
        dialogue.note(f"there already: {', '.join(_named(one) for one in likely)}")
        if dialogue.confirm("is the number one of these?", flag=ONLY_A_PERSON):
            return listed
    minutes = WAITS_SECONDS / 60
    dialogue.note(f"waiting up to {minutes:.0f} minutes for a new channel; Ctrl-C is safe")
    until = clock.monotonic() + WAITS_SECONDS
    while clock.monotonic() < until and not _ids(listed) - set(known):
        await clock.sleep(_LOOKS_EVERY_SECONDS)
        listed = await respondio.list_channels()
    return listed


def _choose(context: Context, listed: Sequence[Node], known: Collection[int]) -> Node | None:
    """The channel that the person picks; None when it is none of them."""
    dialogue = context.dialogue
    new = [one for one in listed if identity(one.get("id")) not in known]
    if len(new) == 1 and dialogue.confirm(f"is it {_named(new[0])}?", flag=ONLY_A_PERSON):
        return new[0]
    for one in listed:
        dialogue.note(f"  {_named(one)}{', new' if one in new else ''}")
    by_id = {identity(one.get("id")): one for one in listed}
    while text := dialogue.ask("which one is it? type its id; empty if none", flag=ONLY_A_PERSON):
        if (found := by_id.get(identity(text))) is not None:
            return found
        dialogue.warn(f"there is no channel `{text}` in this workspace")
    return None


def _settled(context: Context, chosen: Node, kept: dict[str, object]) -> Outcome:
    channel_id = identity(chosen.get("id"))
    now = context.workspace.clock.now()
    changes = {"respondio_channel_id": channel_id}
    registry.edit_channel(context.workspace.state, context.channel_name, changes, now)
    is_new = channel_id not in _known(kept)
    # A channel that was there before says nothing about now, but when it was made.
    connected_at = values.moment(chosen.get("created_at")) or (to_text(now) if is_new else None)
    answer = {
        BEGAN_AT: kept[BEGAN_AT],
        "respondio_channel_id": channel_id,
        "name": chosen.get("name"),
        "source": chosen.get("source"),
        "is_new": is_new,
        "connected_at": connected_at,
        "connected_source": "respondio",
    }
    return Outcome(StepState.SETTLED, answer, said_by=login_name())


def _known(kept: dict[str, object]) -> frozenset[int]:
    ids = kept.get("known_ids")
    return frozenset(ids) if isinstance(ids, list) else frozenset()


def _in_order(listed: Sequence[Node], known: Collection[int]) -> list[Node]:
    """The new ones first, then those that look like WhatsApp."""
    return sorted(
        (one for one in listed if identity(one.get("id")) is not None),
        key=lambda one: (identity(one.get("id")) in known, not _is_whatsapp(one)),
    )


def _ids(listed: Sequence[Node]) -> set[int]:
    return {found for one in listed if (found := identity(one.get("id"))) is not None}


def _is_whatsapp(node: Node) -> bool:
    # Which `source` a Coexistence channel shows is not documented (respond.io: channels).
    return "whatsapp" in str(node.get("source")).lower()


def _named(node: Node) -> str:
    return f"{node.get('id')} ({node.get('name')}, {node.get('source')})"


WAITS_SECONDS = 600.0
"""How long the page waits for Meta's window to end."""

_CLOCKS_DIFFER = timedelta(minutes=1)
_TOO_LONG = "nothing came from the page within 10 minutes; run `wacoex connect {channel}` again"


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
    context: Context, access: Access, open_page: Callable[[str], bool]
) -> Outcome:
    from wacoex_cli.foundation.server import serving
    from wacoex_cli.onboarding.signup.page import SignupPage

    ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    opens = _wants_browser(context)
    page = Page(context.workspace.clock.now(), _CLOCKS_DIFFER)

    async def take(report: Report) -> Told:
        try:
            outcome = await conclude(context, access, report, page)
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


def _setup(context: Context, access: Access) -> Setup:
    from wacoex_cli.onboarding.signup.page import Setup

    return Setup(
        app_id=access.app.app_id,
        config_id=access.config_id,
        api_version=access.app.api_version,
        sdk_url=access.sdk_url,
        channel=context.channel_name,
        phone=context.channel.phone,
        kept_in=access.place.in_words,
    )


def _told(context: Context, outcome: Outcome) -> Told:
    from wacoex_cli.onboarding.signup.page import Told

    if outcome.state is StepState.SETTLED:
        lines = ("Leave the app open on the phone until it has refreshed itself.",)
        return Told(True, f"{context.channel.phone} is signed up", lines)
    title = outcome.note or "The signup did not finish"
    steps = [_sentence(step) for one in outcome.findings for step in one.remedy]
    return Told(False, _sentence(title), tuple(steps))


def _told_error(error: WacoexError) -> Told:
    from wacoex_cli.onboarding.signup.page import Told

    return Told(False, _sentence(error.message), (_sentence(error.hint),) if error.hint else ())


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].replace("`", "")
