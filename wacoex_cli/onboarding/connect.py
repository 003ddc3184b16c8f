"""`connect`: its steps in order, the questions before signup, and what follows from it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from wacoex_cli.broadcast.store import Broadcasts
from wacoex_cli.channels import registry
from wacoex_cli.channels.checks import RETURNS_WITHIN
from wacoex_cli.channels.facts import ConnectionState
from wacoex_cli.channels.look import read_waba
from wacoex_cli.channels.model import (
    ID_NAMES,
    Details,
    EvidenceKind,
    Provider,
    Sign,
    channel_address,
    values_of,
)
from wacoex_cli.channels.store import CHANNELS, Signs
from wacoex_cli.devices.inventory import inventory
from wacoex_cli.devices.model import DeviceState, relink_from
from wacoex_cli.errors import CredentialError, DeclinedError, RefusedError, UsageError
from wacoex_cli.events.store import catch_up
from wacoex_cli.findings.model import Severity
from wacoex_cli.foundation.clock import from_text, local_text, to_text
from wacoex_cli.foundation.phone_numbers import line_of, region_of
from wacoex_cli.foundation.workspace import login_name
from wacoex_cli.inactivity import reading
from wacoex_cli.inactivity.rule import DISCONNECTS_AFTER
from wacoex_cli.onboarding import checks
from wacoex_cli.onboarding.checks import check_records, four_steps
from wacoex_cli.onboarding.journey import (
    GONE_THROUGH,
    ONLY_A_PERSON,
    REFUSED,
    Context,
    JourneyEnd,
    WalkEnd,
    Wishes,
    meta_or_reason,
    newest_onboarding,
    offer_to_open,
    walk,
)
from wacoex_cli.onboarding.model import (
    JourneyKind,
    Nature,
    Outcome,
    Receipt,
    Record,
    Route,
    Step,
    StepState,
)
from wacoex_cli.onboarding.proof import echo_proof, may_return, partner, proof, stored
from wacoex_cli.onboarding.signup import signup
from wacoex_cli.onboarding.store import Journeys
from wacoex_cli.onboarding.sync import progress_of, sync
from wacoex_cli.partners.rule import PARTNER_NAME
from wacoex_cli.platforms.meta_answers import App

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from wacoex_cli.channels.facts import Connection
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.devices.inventory import Inventory
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.inactivity.model import Standing
    from wacoex_cli.onboarding.journey import Action
    from wacoex_cli.onboarding.model import Journey, Onboarding
    from wacoex_cli.terminal.dialogue import Dialogue
    from wacoex_cli.terminal.options import Invocation

    Check = Callable[[Record, str, str], list[Finding]]

CHECKED_BEFORE = ("number", "eligibility", "business-suite", "other-partner")
"""The steps of `connect --check`: questions and checks that change nothing."""

SWITCHING = Step("switching", "Connecting it again", Nature.ASKED)
"""What was agreed to before the journey began; kept in it beside the steps of `connect`."""

_NEEDS_PERSON = "needs_answer"
_UNKNOWN = "channel_unknown"
_MOST_TRIES = 3
_NOW: Mapping[ConnectionState | None, str] = {
    ConnectionState.CONNECTED: ", and still is: broadcasts stop when it is disconnected",
    ConnectionState.REMOVED: ", and its partner was removed since",
}
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


def channel_to_connect(
    workspace: Workspace, invocation: Invocation, dialogue: Dialogue, name: str | None, via: Route
) -> Channel:
    """The channel that is meant; an unknown name becomes a channel once its number is told.

    Raises UsageError when the choice is open, for an archived channel, and for an unknown name
    where nobody can be asked; DeclinedError when it is not to be added.
    """
    chosen = dataclasses.replace(invocation, channel=name or invocation.channel)
    try:
        return registry.choose_channel(workspace, chosen)
    except UsageError as error:
        if name is None or error.code != _UNKNOWN:
            raise
        unknown = error
    near = unknown.hint if unknown.hint and "did you mean" in unknown.hint else None
    question = f"there is no channel `{name}`{f' ({near})' if near else ''}; add it now?"
    try:
        if not dialogue.confirm(question, flag=ONLY_A_PERSON):
            raise DeclinedError("declined", hint="nothing was changed")
        phone = dialogue.ask("its number, with `+` and country code", flag="--phone")
    except UsageError as error:
        hint = near or f"add it with `wacoex channel add {name} --phone +65...`"
        raise UsageError(unknown.message, hint=hint, code=_UNKNOWN) from error
    has_token = workspace.secrets.find("meta-token", name) is not None
    is_respondio = via is Route.RESPONDIO and not has_token
    details = Details(phone, provider=Provider.RESPONDIO if is_respondio else Provider.META)
    return registry.add_channel(workspace.state, name, details, workspace.clock.now())


def connect(
    workspace: Workspace,
    dialogue: Dialogue,
    channel: Channel,
    wishes: Wishes,
    *,
    via: Route | None = None,
    is_check: bool = False,
    steps: Mapping[Step, Action] | None = None,
) -> JourneyEnd:
    """Walk from the first step that is not settled; a finished journey begins again.

    A check asks and looks only, and changes nothing outside. Exit codes: 0 finished (or a check
    that found nothing critical), 5 refused, 6 a step stays open, 7 a step is uncertain, else that
    of the error. Raises UsageError when another way of signing up has begun already.
    """
    if is_check:
        wishes = dataclasses.replace(wishes, open_browser=False)
    journey = Journeys(workspace.state).newest(channel.channel_id, JourneyKind.CONNECT)
    if journey is None or journey.finished_at is None:
        journey = _begin_or_resume(workspace, channel, via)
    else:
        finished = Context(workspace, dialogue, journey, channel.name, wishes)
        if is_check:
            return _end_of(finished, WalkEnd())
        journey = begin_again(finished, via)
    context = Context(workspace, dialogue, journey, channel.name, wishes)
    records = context.records()
    for step in CONNECT_STEPS:
        record = records.get(step.id)
        if record and record.state in GONE_THROUGH:
            by = f", {record.said_by}" if record.said_by else ""
            dialogue.note(f"{record.state.word}: {step.title} ({record.at}{by})")
    steps = CONNECT_STEPS if steps is None else steps
    if is_check:
        steps = {step: action for step, action in steps.items() if step.id in CHECKED_BEFORE}
    walked = walk(context, steps, with_titles=True, is_check=is_check)
    if walked.error and walked.error.code == _NEEDS_PERSON:
        go_on = f"run `wacoex connect {channel.name}` in a terminal; what is settled is kept"
        message = "connecting asks questions, and nobody is there to answer"
        walked = WalkEnd(error=UsageError(message, hint=go_on, code=_NEEDS_PERSON))
    return _end_of(context, walked)


def _begin_or_resume(workspace: Workspace, channel: Channel, via: Route | None) -> Journey:
    """The way of signing up can change until signup has begun."""
    state, store = workspace.state, Journeys(workspace.state)
    with state.transaction():
        journey = store.unfinished(channel.channel_id, JourneyKind.CONNECT)
        if journey is None:
            route, now = via or Route.RESPONDIO, workspace.clock.now()
            return store.start(channel.channel_id, JourneyKind.CONNECT, route, now)
        if via is None or via is journey.via:
            return journey
        signup = store.records(journey.journey_id).get("signup")
        if store.has_calls(journey.journey_id) or (signup and signup.state in GONE_THROUGH):
            raise UsageError(
                f"channel `{channel.name}` is being connected through {journey.via.value} already",
                hint=f"go on with `wacoex connect {channel.name}`",
                code="route_taken",
            )
        return store.change_route(journey, via)


def _end_of(context: Context, walked: WalkEnd) -> JourneyEnd:
    newest = context.store.newest(context.journey.channel_id, JourneyKind.CONNECT)
    records, name = context.records(), context.channel_name
    # Each finding once; what the walk itself found says it with more detail.
    walked_ids = {finding.id for finding in walked.findings}
    kept = check_records(records, name, context.now_text)
    findings = (*walked.findings, *(finding for finding in kept if finding.id not in walked_ids))
    steps = (*([SWITCHING] if SWITCHING.id in records else []), *CONNECT_STEPS)
    receipt = Receipt(name, newest or context.journey, steps, records, findings)
    is_critical = any(finding.severity is Severity.CRITICAL for finding in findings)
    code = REFUSED if is_critical and not walked.error else walked.exit_code
    return JourneyEnd(receipt, code, walked.error)


def begin_again(context: Context, via: Route | None = None) -> Journey:
    """Start another journey of a channel that went through one; a person is told and asked first.

    `context.journey` is the finished one; its route is taken unless `via` names another. The old
    ids stay with the channel until a later step writes the new ones, and are then kept as former:
    a number that is connected again gets a new WhatsApp Business Account, and a new channel at
    respond.io (respond.io: help article about Coexistence).

    Raises:
        RefusedError: WhatsApp is about to bring the old partner back by itself.
        DeclinedError: the person said no. UsageError: there is nobody to ask.
    """
    state, channel, now = context.state, context.channel, context.now
    catch_up(state, (CHANNELS,), context.workspace.clock)
    connection = stored(context.workspace, channel)
    if connection.since is not None and may_return(connection, now):
        until = to_text(from_text(connection.since) + RETURNS_WITHIN)
        raise RefusedError(
            f"channel `{channel.name}` is being reconnected by WhatsApp itself",
            hint=f"wait until {until}, then see `wacoex status {channel.name}`;"
            " connecting now would end that",
            code="reconnecting",
        )
    ids = {name: str(known) for name in ID_NAMES if (known := getattr(channel, name)) is not None}
    sent = (
        json.loads(row.template)
        for row in Broadcasts(state).of_channel(channel.channel_id, status=None)
    )
    templates = sorted({f"{template['name']}/{template['language']}" for template in sent})
    for line in _what_changes(channel, connection, ids, templates):
        context.dialogue.note(line)
    question = f"Connect `{channel.name}` ({channel.phone}) again, with new ids?"
    try:
        if not context.dialogue.confirm(question, flag=ONLY_A_PERSON):
            raise DeclinedError("declined", hint="nothing was changed")
    except UsageError as error:
        raise UsageError(
            f"channel `{channel.name}` was connected before, and nobody is there to say"
            " whether to connect it again",
            hint=f"run `wacoex connect {channel.name}` in a terminal",
            code=error.code,
        ) from error
    answer = {"steps": list(four_steps()), "ids": ids, "templates": templates}
    route = via or context.journey.via
    with state.transaction():
        journey = context.store.start(channel.channel_id, JourneyKind.CONNECT, route, now)
        outcome = Outcome(StepState.SETTLED, answer, login_name())
        context.store.record(journey.journey_id, SWITCHING.id, outcome, now)
    return journey


def _what_changes(
    channel: Channel, connection: Connection, ids: Mapping[str, str], templates: list[str]
) -> Iterator[str]:
    yield f"channel {channel.name} was connected before{_NOW.get(connection.state, '')}"
    yield "to change the partner, in this order:"
    yield from (f"  {number}. {step}" for number, step in enumerate(four_steps(), start=1))
    listed = ", ".join(f"{name} {value}" for name, value in ids.items())
    yield (
        "it gets a new waba_id and a new channel id at respond.io; the old ids stay known here,"
        f" and what was told under them still belongs to the channel{f': {listed}' if ids else ''}"
    )
    if templates:
        yield f"templates to make again: {', '.join(templates)}"
    else:
        yield "templates are to be made again; `wacoex template list` shows the old ones"


async def number(context: Context) -> Outcome:
    """The number as the numbering plans know it; a doubt is told and blocks nothing.

    Its form, and that no other channel has it, were seen to when the channel was added.
    """
    phone, line = context.channel.phone, line_of(context.channel.phone)
    if line is None:
        context.dialogue.warn(f"no numbering plan knows {phone}: is it written right?")
    elif "mobile" not in line:
        doubt = f"{phone} is a {line} number: the app must already be registered with it"
        context.dialogue.warn(doubt)
    answer = {"phone": phone, "region": region_of(phone), "line": line}
    return Outcome(StepState.SETTLED, answer, "wacoex")


async def eligibility(context: Context) -> Outcome:
    """Version of the app, whether it is in real use, the country, a badge: asked and kept.

    Meta names no rule of age or volume; only the version is one (WX603). Nothing else blocks.
    """
    dialogue, phone = context.dialogue, context.channel.phone
    country = checks.lately_opened(phone)
    if country:
        dialogue.warn(
            f"{country} numbers: Meta takes them since {checks.OPENED_ON}; older pages say it does"
            " not. Try it"
        )
    for _ in range(_MOST_TRIES):
        typed = dialogue.ask(_VERSION, flag=ONLY_A_PERSON)
        version = checks.version_in(typed)
        if version:
            break
        dialogue.warn("write it like `2.24.17`")
    else:
        return Outcome(StepState.OPEN, note="the version of the app is needed; run it again")
    answer = {
        "phone": phone,
        "app_version": typed,
        "in_real_use": dialogue.confirm(_IN_USE, flag=ONLY_A_PERSON),
        "meta_verified": dialogue.confirm(_BADGE, flag=ONLY_A_PERSON),
    }
    state = StepState.FAILED if version < checks.OLDEST_APP else StepState.SETTLED
    return _answered(context, "eligibility", state, answer, checks.check_eligibility)


async def business_suite(context: Context) -> Outcome:
    """Whether the number is linked in Meta Business Suite: Meta answers, else a person does.

    Raises TemporaryError when Meta gives no usable answer.
    """
    dialogue, channel = context.dialogue, context.channel
    found = await _id_on_account(context)
    if found is not None:
        ids = {"phone_number_id": found}
        if channel.phone_number_id is None:
            registry.edit_channel(context.state, channel.name, ids, context.now)
        answer = {"linked": True, "waba_id": channel.waba_id, **ids}
        return Outcome(StepState.SETTLED, answer, "meta")
    dialogue.note(_CLICKS.format(phone=channel.phone))
    offer_to_open(context, "Meta Business Suite", _SUITE)
    is_linked = dialogue.confirm("is the number linked there now?", flag=ONLY_A_PERSON)
    state = StepState.SETTLED if is_linked else StepState.OPEN
    return _answered(context, "business-suite", state, {"linked": is_linked}, checks.check_linked)


async def _id_on_account(context: Context) -> str | None:
    """The phone number id that the WhatsApp Business Account of the channel shows for it.

    None without a token or a waba_id, when the token may not look, and when it is not there.
    """
    channel, meta = context.channel, meta_or_reason(context, "waba_id")
    if isinstance(meta, Outcome):
        return None
    try:
        listed = await meta.phone_numbers(channel.demand_waba_id())
    except (CredentialError, RefusedError) as error:
        context.dialogue.warn(f"the account {channel.waba_id} cannot be looked at: {error.message}")
        return None
    for number in listed:
        is_it = number.phone_number_id == channel.phone_number_id
        if is_it or f"+{number.digits}" == channel.phone:
            return number.phone_number_id
    return None


async def other_partner(context: Context) -> Outcome:
    """Whether another partner has the number or pays for it: shown what Meta shows, then asked.

    Raises TemporaryError when Meta gives no usable answer.
    """
    dialogue = context.dialogue
    shown = await _partners_seen(context)
    for text in shown:
        dialogue.warn(f"Meta shows: {text}")
    is_respondio = context.journey.via is Route.RESPONDIO
    question = _OTHER.format(partner=PARTNER_NAME if is_respondio else "your own app")
    has_other = dialogue.confirm(question, flag=ONLY_A_PERSON)
    answer: dict[str, object] = {"other_partner": has_other, "seen": shown}
    if has_other:
        for place, text in enumerate(four_steps(), start=1):
            dialogue.note(f"{place}. {text}")
        answer["cleared"] = dialogue.confirm("are steps 1 to 3 done?", flag=ONLY_A_PERSON)
    state = StepState.SETTLED if answer.get("cleared", True) else StepState.OPEN
    return _answered(context, "other-partner", state, answer, checks.check_partner)


async def _partners_seen(context: Context) -> list[str]:
    """What hints at a partner other than the one to be connected: evidence, no proof.

    No edge of Meta lists partners, so names are compared: apps that get the webhooks, and the
    businesses behind the account. Raises TemporaryError when Meta gives no usable answer.
    """
    channel, meta = context.channel, meta_or_reason(context, "waba_id")
    if isinstance(meta, Outcome):
        return []
    facts = await read_waba(meta, channel.demand_waba_id(), context.now)
    try:
        apps = await meta.subscribed_apps(channel.demand_waba_id())
    except (CredentialError, RefusedError) as error:
        context.dialogue.detail(f"the apps of the account cannot be seen: {error.message}")
        apps = ()
    own_app = context.workspace.settings_for(channel.name).meta_app_id
    expected = {channel.partner_app_id, own_app}
    is_respondio = context.journey.via is Route.RESPONDIO
    seen = list(_apps(apps, expected))
    behalf = values_of(facts).get("waba.on_behalf_of_business_info")
    if isinstance(behalf, dict) and (name := behalf.get("name")):
        seen.append((str(name), f"the account is run on behalf of {name}"))
    return [text for name, text in seen if not (is_respondio and PARTNER_NAME in name.lower())]


def _apps(apps: Iterable[App], expected: set[str | None]) -> Iterator[tuple[str, str]]:
    for app in apps:
        name = app.name or "?"
        if app.id not in expected:
            yield name, f"the app {name} ({app.id or '?'}) gets its messages"


async def changes(context: Context) -> Outcome:
    """What connecting changes in the app: acknowledged one by one, or all with one typed `yes`.

    What was acknowledged before is not asked again.
    """
    dialogue, before = context.dialogue, context.records().get("changes")
    kept = before.answer.get("acknowledged") if before else None
    done = [str(change_id) for change_id in kept] if isinstance(kept, list) else []
    everything = checks.app_changes(context.journey.via)
    todo = [change for change in everything if change.id not in done]
    # Inside the question, because `--quiet` and `--json` hide notes: who says yes has read it.
    lines = [f"- {change.title}: {change.text}" for change in todo]
    question = "\n".join(["connecting changes the app:", *lines, _TYPE_YES])
    is_all = dialogue.ask(question, flag=ONLY_A_PERSON).lower() == "yes"
    for change in todo:
        understood = f"{change.title}: {change.text}. Understood?"
        if is_all or dialogue.confirm(understood, flag=ONLY_A_PERSON):
            done.append(change.id)
    state = StepState.SETTLED if len(done) == len(everything) else StepState.OPEN
    return _answered(context, "changes", state, {"acknowledged": done}, checks.check_changes)


def _answered(
    context: Context, step: str, state: StepState, answer: Mapping[str, object], check: Check
) -> Outcome:
    """What a person said, with the findings that follow from it."""
    who, at = login_name(), context.now_text
    found = check(Record(step, state, at, who, answer), context.channel_name, at)
    return Outcome(state, answer, who, tuple(found))


async def after_care(context: Context) -> Outcome:
    """Keep that the number was connected, and write down the dates that follow from it.

    Connecting is proof that the app was open at that moment; one that lies 14 days back says
    nothing about now.
    """
    workspace, state, now = context.workspace, context.state, context.now
    catch_up(state, (CHANNELS,), workspace.clock)
    moment = newest_onboarding(context)
    if moment and now - moment.at <= DISCONNECTS_AFTER:
        _keep_evidence(context, moment)
    channel = context.channel
    standing = reading.standings(workspace, [channel], now)[channel.channel_id]
    found = inventory(state, channel, now)
    cut_off = [device for device, its in found.devices if its is not DeviceState.LINKED]
    sync_answer = None
    if context.journey.via is Route.SIGNUP and moment:
        progress = progress_of(state, channel, moment.at)
        sync_answer = {"closes_at": to_text(moment.sync_closes_at), **progress.to_json()}
    answer = {
        "connected_at": to_text(moment.at) if moment else None,
        "connected_source": moment.source if moment else None,
        "act_by_at": to_text(standing.act_by_at) if standing.act_by_at else None,
        "deadline_at": to_text(standing.deadline_at) if standing.deadline_at else None,
        "companions": {
            "relink_from": to_text(relink_from(found.last_break)) if found.last_break else None,
            "to_relink": [
                f"{device.device_id} {device.kind.value} {device.name}" for device in cut_off
            ],
        },
        "sync": sync_answer,
        "next": list(_next(channel.name, standing, found)),
    }
    return Outcome(
        StepState.SETTLED,
        answer,
        findings=tuple(finding for finding in found.findings if finding.id == "WX303"),
        note=_note(standing, found, reading.zone_of(workspace, channel)),
    )


def _keep_evidence(context: Context, moment: Onboarding) -> None:
    signup = context.records().get("signup")
    sign = Sign(
        channel_address(context.channel.channel_id),
        EvidenceKind.CONNECTED,
        to_text(min(moment.at, context.now)),
        moment.source,
        (signup.said_by if signup else None) or login_name(),
    )
    with context.state.transaction():
        Signs(context.state).add([sign])


def _next(channel: str, standing: Standing, found: Inventory) -> Iterator[str]:
    yield "leave the app open and online until its sync is done"
    if found.last_break:
        since = to_text(relink_from(found.last_break))
        yield f"from {since}: link the companions again, Settings > Linked devices"
    yield f"list which are linked, then `wacoex device confirm -c {channel}`"
    if standing.deadline_at is None:
        yield f"open the app, then `wacoex reminder confirm {channel}`"
    yield "be reminded of the 14 days: `wacoex reminder schedule install`"
    yield f"tomorrow: `wacoex status {channel}`"


def _note(standing: Standing, found: Inventory, zone: str) -> str:
    texts = ["nothing says when the app was last open: confirm it with `wacoex reminder confirm`"]
    if standing.deadline_at is not None:
        deadline = local_text(standing.deadline_at, zone)
        texts = [f"open the app again before {deadline}, the end of its 14 days"]
    if found.last_break is not None:
        since = local_text(relink_from(found.last_break), zone)
        texts.append(f"link the companions again from {since} on")
    return "; ".join(texts)


CONNECT_STEPS: Mapping[Step, Action] = {
    Step("number", "The number", Nature.CHECKED): number,
    Step("eligibility", "Can it be connected", Nature.ASKED): eligibility,
    Step("business-suite", "Linked in Meta Business Suite", Nature.ASKED): business_suite,
    Step("other-partner", "No other partner, no credit line of one", Nature.ASKED): other_partner,
    Step("changes", "What changes in the app", Nature.ASKED): changes,
    Step("signup", "Signup", Nature.DONE): signup,
    Step("proof", "Meta shows it in Coexistence", Nature.CHECKED): proof,
    Step("partner", "The partner gets its messages", Nature.CHECKED): partner,
    Step("echo-proof", "A message from the phone comes through", Nature.CHECKED): echo_proof,
    Step("sync", "Contacts and history", Nature.DONE, frozenset({Route.SIGNUP})): sync,
    Step("after-care", "What has to be done from now on", Nature.DONE): after_care,
}
"""Connecting a channel, in order; each settled step is kept under its id."""
