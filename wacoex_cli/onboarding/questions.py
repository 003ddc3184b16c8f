"""The steps before signup: about the number, the app, Meta Business Suite and other partners."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.channels import registry
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.person import login_name
from wacoex_cli.foundation.phone_numbers import line_of, region_of
from wacoex_cli.onboarding import app_changes, checks, rule, seen
from wacoex_cli.onboarding.browser import offer_to_open
from wacoex_cli.onboarding.model import Outcome, Record, Route, StepState
from wacoex_cli.partners.model import PARTNER_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wacoex_cli.findings.model import Finding
    from wacoex_cli.onboarding.journey import Context

    Check = Callable[[Record, str, str], list[Finding]]

ONLY_A_PERSON = "--yes"
_MOST_TRIES = 3
_MOBILE = "mobile"
_SUITE = "https://business.facebook.com/latest/settings/whatsapp_account"
_VERSION = "which version of the WhatsApp Business app is on the phone (Settings, Help, App info)"
_IN_USE = "is the number in real use with the app: chats with customers on most days of the week?"
_BADGE = "does the app show a Meta Verified badge for this business?"
_CLICKS = (
    "Meta Business Suite: Settings, WhatsApp accounts, Add,"
    " Link a WhatsApp Business account; choose the number {phone}"
)
_OTHER = (
    "is or was this number connected to another partner than {partner}, or does the credit line"
    " of another one pay for it?"
)
_TYPE_YES = "type `yes` to acknowledge all of it, or press Enter to go through it one by one"


async def number(context: Context) -> Outcome:
    """The number as the numbering plans know it; a doubt is told and blocks nothing.

    Its form, and that no other channel has it, were seen to when the channel was added.
    """
    channel = context.channel
    line = line_of(channel.phone)
    if line is None:
        context.dialogue.warn(f"no numbering plan knows {channel.phone}: is it written right?")
    elif _MOBILE not in line:
        context.dialogue.warn(
            f"{channel.phone} is a {line} number: the app must already be registered with it"
        )
    answer = {"phone": channel.phone, "region": region_of(channel.phone), "line": line}
    return Outcome(StepState.SETTLED, answer, "wacoex")


async def eligibility(context: Context) -> Outcome:
    """Version of the app, whether it is in real use, the country, a badge: asked and kept.

    Meta names no rule of age or volume; only the version is one (WX603). Nothing else blocks.
    """
    dialogue, phone = context.dialogue, context.channel.phone
    country = rule.lately_opened(phone)
    if country:
        dialogue.warn(
            f"{country} numbers: Meta takes them since {rule.OPENED_ON}; older pages say it does"
            " not. Try it"
        )
    version = _asked_version(context)
    if version is None:
        return Outcome(StepState.OPEN, note="the version of the app is needed; run it again")
    answer = {
        "phone": phone,
        "app_version": version,
        "in_real_use": dialogue.confirm(_IN_USE, flag=ONLY_A_PERSON),
        "meta_verified": dialogue.confirm(_BADGE, flag=ONLY_A_PERSON),
    }
    is_too_old = (rule.version_in(version) or rule.OLDEST_APP) < rule.OLDEST_APP
    state = StepState.FAILED if is_too_old else StepState.SETTLED
    return _asked(context, "eligibility", state, answer, checks.check_eligibility)


async def business_suite(context: Context) -> Outcome:
    """Whether the number is linked in Meta Business Suite: Meta answers, else a person does.

    Raises TemporaryError when Meta gives no usable answer.
    """
    workspace = context.workspace
    found = await seen.number_on_account(context)
    if found is not None:
        if context.channel.phone_number_id is None:
            ids = {"phone_number_id": found.phone_number_id}
            registry.edit_channel(workspace.state, context.channel_name, ids, workspace.clock.now())
        answer = {
            "linked": True,
            "waba_id": found.waba_id,
            "phone_number_id": found.phone_number_id,
        }
        return Outcome(StepState.SETTLED, answer, "meta")
    dialogue = context.dialogue
    dialogue.note(_CLICKS.format(phone=context.channel.phone))
    offer_to_open(context, "Meta Business Suite", _SUITE)
    is_linked = dialogue.confirm("is the number linked there now?", flag=ONLY_A_PERSON)
    state = StepState.SETTLED if is_linked else StepState.OPEN
    return _asked(context, "business-suite", state, {"linked": is_linked}, checks.check_linked)


async def other_partner(context: Context) -> Outcome:
    """Whether another partner has the number or pays for it: shown what Meta shows, then asked.

    Raises TemporaryError when Meta gives no usable answer.
    """
    dialogue = context.dialogue
    shown = await seen.partners(context)
    for text in shown:
        dialogue.warn(f"Meta shows: {text}")
    is_respondio = context.journey.via is Route.RESPONDIO
    partner = PARTNER_NAME if is_respondio else "your own app"
    has_other = dialogue.confirm(_OTHER.format(partner=partner), flag=ONLY_A_PERSON)
    answer: dict[str, object] = {"other_partner": has_other, "seen": list(shown)}
    if has_other:
        for place, text in enumerate(checks.four_steps(), start=1):
            dialogue.note(f"{place}. {text}")
        answer["cleared"] = dialogue.confirm("are steps 1 to 3 done?", flag=ONLY_A_PERSON)
    state = StepState.SETTLED if answer.get("cleared", True) else StepState.OPEN
    return _asked(context, "other-partner", state, answer, checks.check_partner)


async def changes(context: Context) -> Outcome:
    """What connecting changes in the app: acknowledged one by one, or all with one typed `yes`.

    What was acknowledged before is not asked again.
    """
    before = context.records().get("changes")
    kept = before.answer.get("acknowledged") if before else None
    done = [str(one) for one in kept] if isinstance(kept, list) else []
    todo = [one for one in app_changes.rows(context.journey.via) if one.id not in done]
    # Inside the question, because `--quiet` and `--json` hide notes: who says yes has read it.
    lines = [f"- {one.title}: {one.text}" for one in todo]
    question = "\n".join(["connecting changes the app:", *lines, _TYPE_YES])
    if context.dialogue.ask(question, flag=ONLY_A_PERSON).lower() == "yes":
        done += [one.id for one in todo]
    else:
        done += [
            one.id
            for one in todo
            if context.dialogue.confirm(f"{one.title}: {one.text}. Understood?", flag=ONLY_A_PERSON)
        ]
    is_whole = len(done) == len(app_changes.rows(context.journey.via))
    state = StepState.SETTLED if is_whole else StepState.OPEN
    return _asked(context, "changes", state, {"acknowledged": done}, checks.check_changes)


def _asked_version(context: Context) -> str | None:
    for _ in range(_MOST_TRIES):
        typed = context.dialogue.ask(_VERSION, flag=ONLY_A_PERSON)
        if rule.version_in(typed):
            return typed
        context.dialogue.warn("write it like `2.24.17`")
    return None


def _asked(
    context: Context, step: str, state: StepState, answer: Mapping[str, object], check: Check
) -> Outcome:
    """What a person said, with the findings that follow from it."""
    who, at = login_name(), to_text(context.workspace.clock.now())
    found = check(Record(step, state, at, who, answer), context.channel_name, at)
    return Outcome(state, answer, who, tuple(found))
