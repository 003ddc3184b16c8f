"""`connect`: its questions, its steps in order, and what follows from them."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wacoex_cli.broadcast.ledger import of_channel
from wacoex_cli.channels import access, evidence_ledger, registry
from wacoex_cli.channels.account import RE_REGISTERED
from wacoex_cli.channels.connection import ConnectionState
from wacoex_cli.channels.evidence import EvidenceKind, Sign, channel_address
from wacoex_cli.channels.facts import values_of
from wacoex_cli.channels.model import ID_NAMES, Details, Provider
from wacoex_cli.channels.reading import read_waba
from wacoex_cli.channels.removal import RETURNS_WITHIN
from wacoex_cli.channels.stored_connection import connections
from wacoex_cli.devices import registry as devices
from wacoex_cli.devices.model import DeviceState
from wacoex_cli.devices.rule import relink_from
from wacoex_cli.errors import CredentialError, DeclinedError, RefusedError, UsageError, WacoexError
from wacoex_cli.events.projection import catch_up
from wacoex_cli.events.projections import CHANNELS
from wacoex_cli.findings.model import Severity
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.foundation.person import login_name
from wacoex_cli.foundation.phone_numbers import line_of, region_of
from wacoex_cli.foundation.time_zones import local_text
from wacoex_cli.inactivity import reading
from wacoex_cli.inactivity.rule import DISCONNECTS_AFTER
from wacoex_cli.onboarding import checks
from wacoex_cli.onboarding import store as ledger
from wacoex_cli.onboarding.checks import FOUR_STEPS, check_records
from wacoex_cli.onboarding.journey import (
    GONE_THROUGH,
    ONLY_A_PERSON,
    Context,
    Walked,
    Wishes,
    offer_to_open,
    onboarded,
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
    mark,
)
from wacoex_cli.onboarding.proof import echo_proof, partner, proof
from wacoex_cli.onboarding.signup_step import signup_own_app, signup_respondio
from wacoex_cli.onboarding.sync import progress_of, sync
from wacoex_cli.partners.model import PARTNER_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.connection import Connection
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.devices.registry import Inventory
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.inactivity.model import Standing
    from wacoex_cli.onboarding.journey import Action, Onboarded
    from wacoex_cli.onboarding.model import Journey
    from wacoex_cli.platforms.meta import Meta, Node
    from wacoex_cli.terminal.dialogue import Dialogue
    from wacoex_cli.terminal.options import Invocation

CONNECT_STEPS = (
    Step("number", "The number", Nature.CHECKED),
    Step("eligibility", "Can it be connected", Nature.ASKED),
    Step("business-suite", "Linked in Meta Business Suite", Nature.ASKED),
    Step("other-partner", "No other partner, no credit line of one", Nature.ASKED),
    Step("changes", "What changes in the app", Nature.ASKED),
    Step("signup", "Signup", Nature.DONE),
    Step("proof", "Meta shows it in Coexistence", Nature.CHECKED),
    Step("partner", "The partner gets its messages", Nature.CHECKED),
    Step("echo-proof", "A message from the phone comes through", Nature.CHECKED),
    Step("sync", "Contacts and history", Nature.DONE, frozenset({Route.SIGNUP})),
    Step("after-care", "What has to be done from now on", Nature.DONE),
)
"""Connecting a channel; each settled step is kept under its id."""

CHECKED_BEFORE = CONNECT_STEPS[:4]
"""The steps of `connect --check`: questions and checks that change nothing."""


_NOW: Mapping[ConnectionState | None, str] = {
    ConnectionState.CONNECTED: ", and still is: broadcasts stop when it is disconnected",
    ConnectionState.REMOVED: ", and its partner was removed since",
}
SWITCHING = Step("switching", "Connecting it again", Nature.ASKED)
"""What was agreed to before the journey began; kept in it beside the steps of `connect`."""


@dataclass(frozen=True)
class Before:
    """What a channel had until now. `templates` are those it sent broadcasts with."""

    connection: Connection
    ids: Mapping[str, str]
    templates: tuple[str, ...]


def begin_again(context: Context, via: Route | None = None) -> Journey:
    """Start another journey of a channel that went through one; a person is told and asked first.

    `context.journey` is the finished one; its route is taken unless `via` names another. The old
    ids stay with the channel until a later step writes the new ones, and are then kept as former.

    Raises:
        RefusedError: WhatsApp is about to bring the old partner back by itself.
        DeclinedError: the person said no. UsageError: there is nobody to ask.
    """
    workspace, channel = context.workspace, context.channel
    state, now = workspace.state, workspace.clock.now()
    before = look_back(state, channel, workspace.clock)
    _demand_no_return(before.connection, channel.name, now)
    for line in told(channel, before):
        context.dialogue.note(line)
    if not _is_agreed(context.dialogue, channel):
        raise DeclinedError("declined", hint="nothing was changed")
    outcome = Outcome(
        StepState.SETTLED,
        {"steps": list(FOUR_STEPS), "ids": dict(before.ids), "templates": list(before.templates)},
        login_name(),
    )
    with state.transaction():
        journey = ledger.start(
            state, channel.channel_id, JourneyKind.CONNECT, via or context.journey.via, now
        )
        ledger.record(state, journey.journey_id, SWITCHING.id, outcome, now)
    return journey


def look_back(state: State, channel: Channel, clock: Clock) -> Before:
    """What the channel has now and will have no more, from what is stored."""
    catch_up(state, (CHANNELS,), clock)
    connection = connections(state, [channel], clock.now())[channel.channel_id]
    ids = {name: getattr(channel, name) for name in ID_NAMES}
    templates = (
        json.loads(one.template) for one in of_channel(state, channel.channel_id, status=None)
    )
    return Before(
        connection,
        {name: str(value) for name, value in ids.items() if value is not None},
        tuple(sorted({f"{one['name']}/{one['language']}" for one in templates})),
    )


def told(channel: Channel, before: Before) -> list[str]:
    """What to read before a channel is connected again."""
    now = _NOW.get(before.connection.state, "")
    lines = [
        f"channel {channel.name} was connected before{now}",
        "to change the partner, in this order:",
        *(f"  {number}. {step}" for number, step in enumerate(FOUR_STEPS, start=1)),
        "it gets a new waba_id and a new channel id at respond.io; the old ids stay known here,"
        " and what was told under them still belongs to the channel"
        + (f": {_listed(before.ids)}" if before.ids else ""),
    ]
    if before.templates:
        lines.append(f"templates to make again: {', '.join(before.templates)}")
    else:
        lines.append("templates are to be made again; `wacoex template list` shows the old ones")
    return lines


def _is_agreed(dialogue: Dialogue, channel: Channel) -> bool:
    question = f"Connect `{channel.name}` ({channel.phone}) again, with new ids?"
    try:
        return dialogue.confirm(question, flag="--yes")
    except UsageError as error:
        raise UsageError(
            f"channel `{channel.name}` was connected before, and nobody is there to say"
            " whether to connect it again",
            hint=f"run `wacoex connect {channel.name}` in a terminal",
            code=error.code,
        ) from error


def _demand_no_return(connection: Connection, channel: str, now: datetime) -> None:
    """While WhatsApp reconnects by itself, another partner would end that (WX204)."""
    returns = connection.state is ConnectionState.RECONNECTING or (
        connection.is_lost and connection.reason == RE_REGISTERED
    )
    if not returns or connection.since is None:
        return
    until = from_text(connection.since) + RETURNS_WITHIN
    if now < until:
        raise RefusedError(
            f"channel `{channel}` is being reconnected by WhatsApp itself",
            hint=f"wait until {to_text(until)}, then see `wacoex status {channel}`;"
            " connecting now would end that",
            code="reconnecting",
        )


def _listed(ids: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in ids.items())


@dataclass(frozen=True)
class OnAccount:
    """The number as the list of its account shows it."""

    phone_number_id: str
    waba_id: str


async def _number_on_account(context: Context) -> OnAccount | None:
    """The number on its WhatsApp Business Account.

    None without a token or a waba_id, when the token may not look, and when it is not there.
    Raises TemporaryError when Meta gives no usable answer.
    """
    channel, meta = context.channel, _meta(context)
    if meta is None or channel.waba_id is None:
        return None
    try:
        nodes = await meta.phone_numbers(channel.waba_id)
    except (CredentialError, RefusedError) as error:
        context.dialogue.warn(f"the account {channel.waba_id} cannot be looked at: {error.message}")
        return None
    for node in nodes:
        is_it = str(node.get("id")) == channel.phone_number_id
        if is_it or f"+{_digits(node.get('display_phone_number'))}" == channel.phone:
            return OnAccount(str(node["id"]), channel.waba_id)
    return None


async def _partners_seen(context: Context) -> tuple[str, ...]:
    """What hints at a partner other than the one to be connected: evidence, no proof.

    No edge of Meta lists partners, so names are compared: apps that get the webhooks, and the
    businesses behind the account. Raises TemporaryError when Meta gives no usable answer.
    """
    channel, meta = context.channel, _meta(context)
    if meta is None or channel.waba_id is None:
        return ()
    facts = await read_waba(meta, channel.waba_id, context.workspace.clock.now())
    try:
        apps = await meta.subscribed_apps(channel.waba_id)
    except (CredentialError, RefusedError) as error:
        context.dialogue.detail(f"the apps of the account cannot be seen: {error.message}")
        apps = []
    own_app = context.workspace.settings_for(channel.name).meta_app_id
    expected = {channel.partner_app_id, own_app} - {None}
    is_respondio = context.journey.via is Route.RESPONDIO
    told = [*_apps(apps, expected), *_businesses(values_of(facts))]
    return tuple(text for name, text in told if not (is_respondio and PARTNER_NAME in name.lower()))


def _meta(context: Context) -> Meta | None:
    channel = context.channel
    if context.workspace.secrets.find("meta-token", channel.name) is None:
        return None
    return access.meta_for(context.workspace, channel)


def _apps(apps: list[Node], expected: set[str | None]) -> Iterator[tuple[str, str]]:
    for app in apps:
        data = app.get("whatsapp_business_api_data")
        node = data if isinstance(data, dict) else {}
        name, app_id = str(node.get("name", "?")), str(node.get("id", "?"))
        if app_id not in expected:
            yield name, f"the app {name} ({app_id}) gets its messages"


def _businesses(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    behalf = values.get("waba.on_behalf_of_business_info")
    name = behalf.get("name") if isinstance(behalf, dict) else None
    if name:
        yield str(name), f"the account is run on behalf of {name}"


def _digits(text: object) -> str:
    return re.sub(r"[^0-9]", "", str(text or ""))


if TYPE_CHECKING:
    Check = Callable[[Record, str, str], list[Finding]]


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
    country = checks.lately_opened(phone)
    if country:
        dialogue.warn(
            f"{country} numbers: Meta takes them since {checks.OPENED_ON}; older pages say it does"
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
    is_too_old = (checks.version_in(version) or checks.OLDEST_APP) < checks.OLDEST_APP
    state = StepState.FAILED if is_too_old else StepState.SETTLED
    return _asked(context, "eligibility", state, answer, checks.check_eligibility)


async def business_suite(context: Context) -> Outcome:
    """Whether the number is linked in Meta Business Suite: Meta answers, else a person does.

    Raises TemporaryError when Meta gives no usable answer.
    """
    workspace = context.workspace
    found = await _number_on_account(context)
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
    shown = await _partners_seen(context)
    for text in shown:
        dialogue.warn(f"Meta shows: {text}")
    is_respondio = context.journey.via is Route.RESPONDIO
    partner = PARTNER_NAME if is_respondio else "your own app"
    has_other = dialogue.confirm(_OTHER.format(partner=partner), flag=ONLY_A_PERSON)
    answer: dict[str, object] = {"other_partner": has_other, "seen": list(shown)}
    if has_other:
        for place, text in enumerate(checks.FOUR_STEPS, start=1):
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
    todo = [one for one in checks.app_changes(context.journey.via) if one.id not in done]
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
    is_whole = len(done) == len(checks.app_changes(context.journey.via))
    state = StepState.SETTLED if is_whole else StepState.OPEN
    return _asked(context, "changes", state, {"acknowledged": done}, checks.check_changes)


def _asked_version(context: Context) -> str | None:
    for _ in range(_MOST_TRIES):
        typed = context.dialogue.ask(_VERSION, flag=ONLY_A_PERSON)
        if checks.version_in(typed):
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


_CUT_OFF = "WX303"


async def after_care(context: Context) -> Outcome:
    """Keep that the number was connected, and write down the dates that follow from it.

    Connecting is proof that the app was open at that moment; one that lies 14 days back says
    nothing about now.
    """
    state, now = context.workspace.state, context.workspace.clock.now()
    catch_up(state, (CHANNELS,), context.workspace.clock)
    moment = onboarded(context)
    _keep_evidence(context, moment, now)
    channel = context.channel
    standing = reading.standings(context.workspace, [channel], now)[channel.channel_id]
    found = devices.inventory(state, channel, now)
    answer = {
        "connected_at": to_text(moment.at) if moment else None,
        "connected_source": moment.source if moment else None,
        "act_by_at": to_text(standing.act_by_at) if standing.act_by_at else None,
        "deadline_at": to_text(standing.deadline_at) if standing.deadline_at else None,
        "companions": _companions(found),
        "sync": _sync(context, moment),
        "next": _next(channel.name, standing, found),
    }
    return Outcome(
        StepState.SETTLED,
        answer,
        findings=_findings(found),
        note=_note(standing, found, reading.zone_of(context.workspace, channel)),
    )


def _keep_evidence(context: Context, moment: Onboarded | None, now: datetime) -> None:
    if moment is None or now - moment.at > DISCONNECTS_AFTER:
        return
    signup = context.records().get("signup")
    said_by = (signup.said_by if signup else None) or login_name()
    sign = Sign(
        channel_address(context.channel.channel_id),
        EvidenceKind.CONNECTED,
        to_text(min(moment.at, now)),
        moment.source,
        said_by,
    )
    with context.workspace.state.transaction():
        evidence_ledger.add(context.workspace.state, [sign])


def _companions(found: Inventory) -> dict[str, object]:
    cut_off = [one for one, state in found.devices if state is not DeviceState.LINKED]
    return {
        "relink_from": to_text(relink_from(found.last_break)) if found.last_break else None,
        "to_relink": [f"{one.device_id} {one.kind.value} {one.name}" for one in cut_off],
    }


def _sync(context: Context, moment: Onboarded | None) -> dict[str, object] | None:
    """The window and how far the copy is; None where nothing is copied."""
    if context.journey.via is not Route.SIGNUP or moment is None:
        return None
    progress = progress_of(context.workspace.state, context.channel, moment.at)
    return {"closes_at": to_text(moment.sync_closes_at), **progress.to_json()}


def _next(channel: str, standing: Standing, found: Inventory) -> list[str]:
    steps = ["leave the app open and online until its sync is done"]
    if found.last_break:
        since = to_text(relink_from(found.last_break))
        steps.append(f"from {since}: link the companions again, Settings > Linked devices")
    steps.append(f"list which are linked, then `wacoex device confirm -c {channel}`")
    if standing.deadline_at is None:
        steps.append(f"open the app, then `wacoex reminder confirm {channel}`")
    steps.append("be reminded of the 14 days: `wacoex reminder schedule install`")
    steps.append(f"tomorrow: `wacoex status {channel}`")
    return steps


def _findings(found: Inventory) -> tuple[Finding, ...]:
    return tuple(one for one in found.findings if one.id == _CUT_OFF)


def _note(standing: Standing, found: Inventory, zone: str) -> str:
    if standing.deadline_at is None:
        text = "nothing says when the app was last open: confirm it with `wacoex reminder confirm`"
    else:
        deadline = local_text(standing.deadline_at, zone)
        text = f"open the app again before {deadline}, the end of its 14 days"
    if found.last_break is None:
        return text
    since = local_text(relink_from(found.last_break), zone)
    return f"{text}; link the companions again from {since} on"


_NEEDS_PERSON = "needs_answer"
_UNKNOWN = "channel_unknown"
_REFUSED, _TEMPORARY, _PARTIAL = 5, 6, 7
_EXIT_OF = {
    StepState.FAILED: _REFUSED,
    StepState.OPEN: _TEMPORARY,
    StepState.UNCERTAIN: _PARTIAL,
}


@dataclass(frozen=True)
class Connected:
    """How far it went. `error` is what ended it; everything settled before it is kept."""

    receipt: Receipt
    exit_code: int
    error: WacoexError | None = None


def channel_to_connect(
    workspace: Workspace,
    invocation: Invocation,
    dialogue: Dialogue,
    name: str | None,
    via: Route,
) -> Channel:
    """The channel that is meant; an unknown name becomes a channel once its number is told.

    Raises UsageError when the choice is open, for an archived channel, and for an unknown name
    where nobody can be asked; DeclinedError when it is not to be added.
    """
    chosen = dataclasses.replace(invocation, channel=name or invocation.channel)
    try:
        return access.choose_channel(workspace, chosen)
    except UsageError as error:
        if name is None or error.code != _UNKNOWN:
            raise
        return _added(workspace, dialogue, name, via, error)


def connect(
    workspace: Workspace,
    dialogue: Dialogue,
    channel: Channel,
    wishes: Wishes,
    *,
    via: Route | None = None,
    is_check: bool = False,
    actions: Mapping[str, Action] | None = None,
) -> Connected:
    """Walk from the first step that is not settled; a finished journey begins again.

    A check asks and looks only, and changes nothing outside. Exit codes: 0 finished (or a check
    that found nothing critical), 5 refused, 6 a step stays open, 7 a step is uncertain, else that
    of the error. Raises UsageError when another way of signing up has begun already.
    """
    if is_check:
        wishes = dataclasses.replace(wishes, open_browser=False)
    journey, is_over = _journey(workspace, dialogue, channel, wishes, via, is_check=is_check)
    context = Context(workspace, dialogue, journey, channel.name, wishes)
    if is_over:
        return _connected(context, Walked((), None), is_check=True)
    _tell_what_is_settled(context)
    steps = CHECKED_BEFORE if is_check else CONNECT_STEPS
    announced = _announced(CONNECT_ACTIONS if actions is None else actions, steps, dialogue)

    def on_step(step: Step, outcome: Outcome) -> None:
        dialogue.note(f"  {mark(outcome.state)}: {outcome.note or step.title}")

    try:
        walked = workspace.run(walk(context, steps, announced, on_step=on_step, is_check=is_check))
    except WacoexError as error:
        return _connected(context, Walked((), None), is_check=is_check, error=_told(error, context))
    return _connected(context, walked, is_check=is_check)


def _added(
    workspace: Workspace, dialogue: Dialogue, name: str, via: Route, unknown: UsageError
) -> Channel:
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
    provider = Provider.RESPONDIO if is_respondio else Provider.META
    now = workspace.clock.now()
    return registry.add_channel(workspace.state, name, Details(phone, provider=provider), now)


def _journey(
    workspace: Workspace,
    dialogue: Dialogue,
    channel: Channel,
    wishes: Wishes,
    via: Route | None,
    *,
    is_check: bool,
) -> tuple[Journey, bool]:
    """The journey to walk, and whether there is nothing to walk, only a receipt to show."""
    state = workspace.state
    newest = ledger.newest_journey(state, channel.channel_id, JourneyKind.CONNECT)
    if newest and newest.finished_at:
        if is_check:
            return newest, True
        return begin_again(Context(workspace, dialogue, newest, channel.name, wishes), via), False
    with state.transaction():
        going_on = ledger.open_journey(state, channel.channel_id, JourneyKind.CONNECT)
        if going_on is None:
            return (
                ledger.start(
                    state,
                    channel.channel_id,
                    JourneyKind.CONNECT,
                    via or Route.RESPONDIO,
                    workspace.clock.now(),
                ),
                False,
            )
        return _on_route(workspace, going_on, via, channel.name), False


def _on_route(workspace: Workspace, journey: Journey, via: Route | None, name: str) -> Journey:
    """The way of signing up can change until signup has begun."""
    if via is None or via is journey.via:
        return journey
    signup = ledger.records(workspace.state, journey.journey_id).get("signup")
    has_begun = ledger.has_one_shots(workspace.state, journey.journey_id)
    if has_begun or (signup and signup.state in GONE_THROUGH):
        raise UsageError(
            f"channel `{name}` is being connected through {journey.via.value} already",
            hint=f"go on with `wacoex connect {name}`",
            code="route_taken",
        )
    return ledger.change_route(workspace.state, journey, via)


def _tell_what_is_settled(context: Context) -> None:
    records = context.records()
    for step in CONNECT_STEPS:
        record = records.get(step.id)
        if record and record.state in GONE_THROUGH:
            by = f", {record.said_by}" if record.said_by else ""
            context.dialogue.note(f"{mark(record.state)}: {step.title} ({record.at}{by})")


def _announced(
    actions: Mapping[str, Action], steps: Sequence[Step], dialogue: Dialogue
) -> dict[str, Action]:
    def announced(step: Step) -> Action:
        async def act(context: Context) -> Outcome:
            dialogue.note(f"\n{step.title}")
            return await actions[step.id](context)

        return act

    return {step.id: announced(step) for step in steps}


def _connected(
    context: Context, walked: Walked, *, is_check: bool, error: WacoexError | None = None
) -> Connected:
    workspace, journey = context.workspace, context.journey
    newest = ledger.newest_journey(workspace.state, journey.channel_id, JourneyKind.CONNECT)
    records = context.records()
    now = to_text(workspace.clock.now())
    findings = _merged(check_records(records, context.channel_name, now), walked.findings)
    steps = (SWITCHING, *CONNECT_STEPS) if SWITCHING.id in records else CONNECT_STEPS
    receipt = Receipt(context.channel_name, newest or journey, steps, records, findings)
    if error is not None:
        return Connected(receipt, error.exit_status, error)
    if any(one.severity is Severity.CRITICAL for one in findings):
        return Connected(receipt, _REFUSED)
    stopped = records.get(walked.stopped_at) if walked.stopped_at and not is_check else None
    return Connected(receipt, _EXIT_OF.get(stopped.state, 0) if stopped else 0)


def _merged(kept: Sequence[Finding], walked: Sequence[Finding]) -> tuple[Finding, ...]:
    """Each finding once; what the walk itself found says it with more detail."""
    told = {one.id for one in walked}
    return (*walked, *(one for one in kept if one.id not in told))


def _told(error: WacoexError, context: Context) -> WacoexError:
    if error.code != _NEEDS_PERSON:
        return error
    return UsageError(
        "connecting asks questions, and nobody is there to answer",
        hint=f"run `wacoex connect {context.channel_name}` in a terminal; what is settled is kept",
        code=_NEEDS_PERSON,
    )


async def _signup(context: Context) -> Outcome:
    is_own_app = context.journey.via is Route.SIGNUP
    return await (signup_own_app if is_own_app else signup_respondio)(context)


CONNECT_ACTIONS: Mapping[str, Action] = {
    "number": number,
    "eligibility": eligibility,
    "business-suite": business_suite,
    "other-partner": other_partner,
    "changes": changes,
    "signup": _signup,
    "proof": proof,
    "partner": partner,
    "echo-proof": echo_proof,
    "sync": sync,
    "after-care": after_care,
}
"""What each step does."""
