"""Proof that a number is connected: what Meta says of it, who gets its messages, and an echo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.checks import allow_for_settling, check_can_send
from wacoex_cli.channels.connection import connected_at
from wacoex_cli.channels.look import read_phone_number
from wacoex_cli.channels.model import values_of
from wacoex_cli.channels.store import Facts
from wacoex_cli.errors import CredentialError, RefusedError
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.onboarding.access import meta_or_reason, skipped
from wacoex_cli.onboarding.echo import echo_proof
from wacoex_cli.onboarding.model import Outcome, Route, StepState
from wacoex_cli.partners.rule import NO_PROOF, is_expected
from wacoex_cli.partners.rule import expected as expected_partner
from wacoex_cli.platforms.meta_answers import is_not_visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wacoex_cli.channels.model import Fact
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.onboarding.journey import Context
    from wacoex_cli.partners.model import Expected
    from wacoex_cli.platforms.meta import Meta

__all__ = ["echo_proof", "partner", "proof"]

SETTLES_WITHIN_SECONDS = 1800.0
"""How long Meta's answers lag behind a signup, as far as was seen."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 5.0, 60.0
_SHOWN = ("is_on_biz_app", "platform_type", "status")
_TOKEN_IS_BAD = 190


async def proof(context: Context) -> Outcome:
    """Whether Meta shows the number in Coexistence, asked for up to 30 minutes while it lags.

    Stays open when it still does not. Raises CredentialError for a token that Meta refuses,
    TemporaryError when it cannot be reached. Source: "Meta: onboarding business app users".
    """
    meta = meta_or_reason(context, "phone_number_id")
    if isinstance(meta, Outcome):
        return meta
    clock, pause = context.workspace.clock, _FIRST_PAUSE_SECONDS
    until = clock.monotonic() + SETTLES_WITHIN_SECONDS
    while True:
        told = await _look(context, meta)
        if _is_connected(told):
            return Outcome(StepState.SETTLED, _answer(context, told), said_by="meta")
        if clock.monotonic() >= until:
            return _still_settling(context, told)
        note = f"settling: Meta says {_in_words(told)}; asked again in {pause:.0f} s"
        context.dialogue.note(f"{note}, Ctrl-C is safe")
        await clock.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


async def partner(context: Context) -> Outcome:
    """Whether the partner's app is among those that get the webhooks of the account.

    Settled either way: a partner that is not seen may be there. Raises as `proof` does.
    """
    meta = meta_or_reason(context, "waba_id")
    if isinstance(meta, Outcome):
        return meta
    channel = context.channel
    try:
        apps = await meta.subscribed_apps(channel.demand_waba_id())
    except (CredentialError, RefusedError) as error:
        if error.details.get("code") == _TOKEN_IS_BAD:
            raise
        return skipped(error.message)
    expected = _expected(context)
    is_seen = any(is_expected(one, expected) for one in apps)
    answer = {
        "expected": expected.label,
        "seen": is_seen,
        "apps": [{"id": one.id, "name": one.name} for one in apps],
        "source": "meta",
        "observed_at": to_text(context.workspace.clock.now()),
    }
    note = None if is_seen else f"{expected.label} is not among the apps of the account; {NO_PROOF}"
    return Outcome(StepState.SETTLED, answer, said_by="meta", note=note)


async def _look(context: Context, meta: Meta) -> Mapping[str, Any]:
    """What Meta says of the number, which is also stored; nothing while it does not show it."""
    channel, now = context.channel, context.workspace.clock.now()
    facts: list[Fact]
    calls_before = meta.calls
    try:
        facts = await read_phone_number(meta, channel.demand_phone_number_id(), now)
    except CredentialError as error:
        if not is_not_visible(error):
            raise
        return {}
    state = context.workspace.state
    with state.transaction():
        Facts(state).store(channel.channel_id, facts)
        calls = {channel.waba_id or "": meta.calls - calls_before}
        Facts(state).count_calls(calls, now)
    return values_of(facts)


def _is_connected(told: Mapping[str, Any]) -> bool:
    is_on_cloud = told.get("platform_type", "CLOUD_API") == "CLOUD_API"
    return told.get("is_on_biz_app") is True and is_on_cloud


def _still_settling(context: Context, told: Mapping[str, Any]) -> Outcome:
    name = context.channel_name
    note = (
        f"Meta still says {_in_words(told)}; run `wacoex connect {name}` again later"
        if told
        else "Meta shows no such number to this token;"
        f" check its phone_number_id: `wacoex channel show {name}`"
    )
    return Outcome(
        StepState.OPEN, _answer(context, told), "meta", _findings(context, told), note=note
    )


def _findings(context: Context, told: Mapping[str, Any]) -> tuple[Finding, ...]:
    now = context.workspace.clock.now()
    name, seen = context.channel_name, to_text(now)
    shown = {one: told[one] for one in ("is_on_biz_app", "platform_type") if one in told}
    return tuple(allow_for_settling(check_can_send(shown, name, seen), told, name, now, seen))


def _answer(context: Context, told: Mapping[str, Any]) -> dict[str, object]:
    moment = connected_at(told)
    return {
        **{name: told.get(name) for name in _SHOWN},
        "onboarded_at": to_text(moment) if moment else None,
        "source": "meta",
        "observed_at": to_text(context.workspace.clock.now()),
    }


def _in_words(told: Mapping[str, Any]) -> str:
    if not told:
        return "that it knows no such number"
    return ", ".join(f"{name} {told.get(name)}" for name in _SHOWN)


def _expected(context: Context) -> Expected:
    """The partner's app; of a signup through an own app it is that app."""
    own = context.workspace.settings_for(context.channel_name).meta_app_id
    return expected_partner(context.channel, own if context.journey.via is Route.SIGNUP else None)
