"""What follows from the end of Meta's window: the token, the number, the subscription."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels import registry
from wacoex_cli.channels.access import meta_for
from wacoex_cli.channels.checks import refused_token
from wacoex_cli.channels.connection import connected_at
from wacoex_cli.errors import CredentialError, RefusedError, WacoexError
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.onboarding.model import Outcome, StepState
from wacoex_cli.onboarding.signup import checks
from wacoex_cli.onboarding.signup.report import Cancelled, Closed, Failed, Finished
from wacoex_cli.platforms.events import read_phone
from wacoex_cli.platforms.meta_signup import exchange_code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from wacoex_cli.findings.model import Finding
    from wacoex_cli.onboarding.journey import Context
    from wacoex_cli.onboarding.signup.access import Access
    from wacoex_cli.onboarding.signup.report import Report
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.platforms.meta_answers import ListedNumber

ACTION = "signup"
"""The one-shot whose answer says that the token is kept and the rest may still be missing."""

_FIELDS = ("id", "display_phone_number", "is_on_biz_app", "platform_type")
_ONBOARDING_FIELDS = ("is_on_biz_app", "platform_type", "last_onboarded_time")


@dataclass(frozen=True)
class Page:
    """The page that was shown: when, and how far Meta's clock may be from ours."""

    shown_at: datetime
    clocks_differ: timedelta


async def conclude(context: Context, access: Access, report: Report, page: Page) -> Outcome:
    """The end of the step for a report of the page.

    Raises CredentialError for an app secret that is not the app's, TemporaryError when Meta
    gives no usable answer, WacoexError when the token cannot be stored.
    """
    match report:
        case Finished():
            return await _finished(context, access, report)
        case Cancelled(step):
            channel = context.channel
            found = checks.cancelled(step, channel.name, channel.phone, _now(context))
            return _ended(StepState.OPEN, found, cancelled_at=step)
        case Failed(text, code, session):
            found = checks.reported(report, context.channel_name, _now(context))
            more = {"error": text, "error_code": code, "session_id": session}
            return _ended(StepState.FAILED, found, **more)
        case Closed():
            return await _closed(context, page)


def kept_signup(context: Context) -> Mapping[str, Any] | None:
    """What is known of a signup whose token is kept, when the step was interrupted after it."""
    kept = context.store.call(context.journey.journey_id, ACTION)
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
        found = checks.refused(context.channel_name, error.message, _now(context))
        return _ended(StepState.FAILED, found, **signup)


async def _finished(context: Context, access: Access, report: Finished) -> Outcome:
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
    context.keep_call(ACTION, signup)
    return await finish(context, signup)


async def _finish(context: Context, meta: Meta, signup: Mapping[str, Any]) -> Outcome:
    token = await meta.debug_token()
    waba_ids = [signup["waba_id"]] if signup.get("waba_id") else token.accounts
    numbers = [
        (waba_id, number)
        for waba_id in waba_ids
        for number in await meta.phone_numbers(waba_id, _FIELDS)
    ]
    channel = context.channel
    chosen = _chosen(numbers, channel.phone)
    if chosen is None:
        listed = [_in_words(number) for _, number in numbers if number.is_on_biz_app]
        found = checks.wrong_number(channel.name, channel.phone, listed, _now(context))
        return _ended(StepState.FAILED, found, **signup)
    waba_id, number = chosen
    ids = {"waba_id": waba_id, "phone_number_id": number.phone_number_id}
    now = context.workspace.clock.now()
    registry.edit_channel(context.workspace.state, channel.name, ids, now)
    await meta.subscribe_app(waba_id)
    expires = to_text(token.expires_at) if token.expires_at else None
    answer = {**signup, **ids, "token_expires_at": expires, "subscribed": True}
    until = f", and ends on {expires[:10]}" if expires else ""
    note = f"signed up; the token is kept in {signup['token_kept_in']}{until}"
    return Outcome(StepState.SETTLED, answer, said_by="meta", note=note)


def _chosen(
    numbers: Sequence[tuple[str, ListedNumber]], phone: str
) -> tuple[str, ListedNumber] | None:
    """The number of the channel; one that shows no number must be the only one on the app.

    Meta's `is_on_biz_app` lags behind a signup, so the number itself counts for more.
    """
    by_phone = [number for number in numbers if read_phone(number[1].shown) == phone]
    if by_phone:
        return by_phone[0] if len(by_phone) == 1 else None
    on_app = [one for one in numbers if one[1].is_on_biz_app]
    is_nameless = len(on_app) == 1 and not on_app[0][1].shown
    return on_app[0] if is_nameless else None


async def _closed(context: Context, page: Page) -> Outcome:
    """Closed on its last screen it is a success, which only Meta can tell."""
    shown, is_done = await _shown_by_meta(context, page)
    if is_done:
        note = "the window was closed, and Meta shows that the number was connected"
        return Outcome(StepState.SETTLED, {"seen": shown}, said_by="meta", note=note)
    return _ended(StepState.OPEN, checks.closed(context.channel_name, shown, _now(context)))


async def _shown_by_meta(context: Context, page: Page) -> tuple[str, bool]:
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
    is_new = at is not None and at >= page.shown_at - page.clocks_differ
    when = f"last connected at {to_text(at)}" if at else "with no time of connecting"
    on_app = told.get("is_on_biz_app")
    return f"Meta shows is_on_biz_app {on_app}, {when}", is_new and on_app is True


def _ended(state: StepState, found: Finding, **answer: object) -> Outcome:
    return Outcome(state, answer, said_by="meta", findings=(found,), note=found.title)


def _in_words(number: ListedNumber) -> str:
    return f"{number.shown or 'no number'} (id {number.phone_number_id})"


def _words(error: RefusedError) -> str:
    said = error.details.get("message")
    return f"{error.message}; Meta says: {said}" if said else error.message


def _now(context: Context) -> str:
    return to_text(context.workspace.clock.now())
