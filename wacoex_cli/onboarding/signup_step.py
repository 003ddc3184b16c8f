"""Signup through an own Meta app: the page, Meta's window, and what comes of it."""

from __future__ import annotations

import asyncio
import webbrowser
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from wacoex_cli.errors import WacoexError
from wacoex_cli.onboarding.browser import has_windows
from wacoex_cli.onboarding.model import Outcome, StepState
from wacoex_cli.onboarding.signup.access import demand_access
from wacoex_cli.onboarding.signup.conclude import Page, conclude, finish, kept_signup

if TYPE_CHECKING:
    from collections.abc import Callable

    from wacoex_cli.onboarding.journey import Context
    from wacoex_cli.onboarding.signup.access import Access
    from wacoex_cli.onboarding.signup.page import Setup, SignupPage, Told
    from wacoex_cli.onboarding.signup.report import Report

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
