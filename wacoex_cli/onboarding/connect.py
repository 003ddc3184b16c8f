"""`connect`: its steps in order, the questions before signup, the proofs after it."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels import registry
from wacoex_cli.channels.checks import RETURNS_WITHIN, allow_for_settling, check_can_send
from wacoex_cli.channels.facts import CHANNELS, ConnectionState, connected_at
from wacoex_cli.channels.look import answered
from wacoex_cli.channels.model import (
    ID_NAMES,
    Details,
    EvidenceKind,
    Provider,
    Sign,
    channel_address,
    values_of,
)
from wacoex_cli.channels.registry import meta_for
from wacoex_cli.channels.store import Signs
from wacoex_cli.devices.inventory import inventory
from wacoex_cli.devices.model import DeviceState, relink_from
from wacoex_cli.errors import CredentialError, DeclinedError, RefusedError, UsageError
from wacoex_cli.events.pull import Person, Reader, reader_of
from wacoex_cli.events.store import EventLog, catch_up
from wacoex_cli.findings.model import Severity
from wacoex_cli.foundation.clock import from_text, local_text, to_text
from wacoex_cli.foundation.phone_numbers import line_of, normalise, region_of
from wacoex_cli.foundation.workspace import login_name
from wacoex_cli.inactivity.checks import standings, zone_of
from wacoex_cli.inactivity.rule import DISCONNECTS_AFTER
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.onboarding import checks
from wacoex_cli.onboarding.checks import check_records, four_steps, may_return
from wacoex_cli.onboarding.journey import (
    BEGAN_AT,
    ONLY_A_PERSON,
    REFUSED,
    Context,
    WalkEnd,
    ask_until_usable,
    begin,
    is_old,
    lacks_meta,
    newest_onboarding,
    offer_to_open,
    on_account,
    resumed,
    skipped,
    stored_connection,
    walk,
)
from wacoex_cli.onboarding.model import (
    JourneyKind,
    Nature,
    Receipt,
    Record,
    Route,
    Step,
    StepResult,
    StepState,
)
from wacoex_cli.onboarding.receipt import receipt_result
from wacoex_cli.onboarding.signup import demand_access, demand_signup, signup
from wacoex_cli.onboarding.store import Journeys
from wacoex_cli.onboarding.sync import progress_of, sync
from wacoex_cli.partners.rule import NO_PROOF, PARTNER_NAME, is_expected
from wacoex_cli.partners.rule import expected as expected_partner
from wacoex_cli.platforms.answers import is_not_visible
from wacoex_cli.platforms.events import Source
from wacoex_cli.terminal.dialogue import TerminalDialogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.facts import AppsSeen, Connection
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.devices.inventory import Inventory
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.inactivity.model import Standing
    from wacoex_cli.onboarding.journey import Action
    from wacoex_cli.onboarding.model import Journey, JourneyOptions
    from wacoex_cli.terminal.dialogue import Dialogue
    from wacoex_cli.terminal.options import Invocation
    from wacoex_cli.terminal.render import Result

    Check = Callable[[Record, str, str], list[Finding]]

CHECKED_BEFORE = ("number", "eligibility", "business-suite", "other-partner")
"""The steps of `connect --check`: questions and checks that change nothing."""

SWITCHING = Step("switching", "Connecting it again", Nature.ASKED)
"""What was agreed to before the journey began; kept in it beside the steps of `connect`."""

_NEEDS_PERSON = "needs_answer"
_UNKNOWN = "channel_unknown"
_NOW: Mapping[ConnectionState | None, str] = {
    ConnectionState.CONNECTED: ", and still is: broadcasts stop when it is disconnected",
    ConnectionState.REMOVED: ", and its partner was removed since then",
    ConnectionState.GONE: ", and Meta no longer shows its number",
}
_SUITE = "https://business.facebook.com/latest/settings/whatsapp_account"
VERSION = "which version of the WhatsApp Business app is on the phone (Settings, Help, App info)"
_IN_USE = "is the number in real use with the app: chats with customers on most days of the week?"
BADGE = "does the app show a Meta Verified badge (a blue tick) for this business?"
"""What is asked about the badge."""
CLICKS = (
    "Meta Business Suite: Settings, WhatsApp accounts, Add,"
    " Link a WhatsApp Business account (newer screens: WhatsApp account); choose the number {phone}"
)
"""How the number is linked in Meta Business Suite."""
_WITHOUT_LINK = "to continue without it, give the reason; press Enter to stop here"
_LOOKED_AGAIN = (
    "did you look in WhatsApp Manager (Account settings, Partners) just now, and no other partner"
    " is listed there?"
)
OTHER_PARTNER = (
    "is or was this number connected to a partner other than {partner}, or does another partner's"
    " credit line pay for it?"
)
_SETTLES_WITHIN_SECONDS = 1800.0
"""How long Meta's answers lag behind a signup, as far as was seen."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 5.0, 60.0
_SHOWN = ("is_on_biz_app", "platform_type", "status")
_TOKEN_IS_BAD = 190
_ECHO_WITHIN_SECONDS = 600.0
_LOOKS_EVERY_SECONDS = 3.0
_LISTENS = timedelta(hours=24)
_CLOCKS_DIFFER_AT_MOST = timedelta(minutes=5)
SEND = "send any message from the phone now, in the WhatsApp Business app"
_APPEARED = f"{SEND}; did it appear in the inbox of respond.io?"
TYPE_YES = "type `yes` to acknowledge all of it, or press Enter to go through each change"


def channel_to_connect(
    workspace: Workspace, invocation: Invocation, dialogue: Dialogue, name: str | None, via: Route
) -> Channel:
    """The channel that is meant; an unknown name becomes a channel once its number is given.

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
    if via is Route.SIGNUP:
        demand_access(workspace, name)
    near = unknown.hint if unknown.hint and "did you mean" in unknown.hint else None
    question = f"there is no channel `{name}`{f' ({near})' if near else ''}; add it now?"
    try:
        if not dialogue.confirm(question, flag=ONLY_A_PERSON):
            raise DeclinedError("declined", hint="nothing was changed")
        phone = dialogue.ask("its number, with `+` and country code", flag="--phone")
    except UsageError as error:
        hint = near or f"add it with `wacoex channel add {name} --phone +65...`"
        raise UsageError(unknown.message, hint=hint, code=_UNKNOWN) from error
    is_own = via is Route.SIGNUP or workspace.secrets.find("meta-token", name) is not None
    details = Details(phone, provider=Provider.META if is_own else Provider.RESPONDIO)
    return registry.add_channel(workspace.state, name, details, workspace.clock.now())


def connect_named(invocation: Invocation, name: str | None, options: JourneyOptions) -> Result:
    """`connect` of the channel that is meant, with the receipt to show.

    Raises as `channel_to_connect` and `connect` do.
    """
    dialogue, via = TerminalDialogue(invocation), options.via or Route.RESPONDIO
    with invocation.open_workspace() as workspace:
        channel = channel_to_connect(workspace, invocation, dialogue, name, via)
        if not options.is_check:
            demand_signup(workspace, channel, options.via)
        receipt = connect(workspace, dialogue, channel, options)
        return receipt_result(receipt, workspace.clock.now(), zone_of(workspace, channel))


def connect(
    workspace: Workspace,
    dialogue: Dialogue,
    channel: Channel,
    options: JourneyOptions,
    steps: Mapping[Step, Action] | None = None,
) -> Receipt:
    """Walk from the first step that is not settled; a finished journey begins again.

    A check asks and looks only, and changes nothing outside. Exit codes: 0 finished (or a check
    that found nothing critical), 1 a person said no, 5 refused, 6 a step stays open, 7 a step is
    uncertain, else that of the error. Raises UsageError when another way of signing up has begun.
    """
    if options.is_check:
        options = options._replace(open_browser=False)
    journey = Journeys(workspace.state).newest(channel.channel_id, JourneyKind.CONNECT)
    if journey is None or journey.finished_at is None:
        journey = _begin_or_resume(workspace, channel, options.via)
    else:
        finished = Context(workspace, dialogue, journey, channel.name, options)
        if options.is_check:
            return _end_of(finished, WalkEnd())
        journey = begin_again(finished, options.via)
    context = Context(workspace, dialogue, journey, channel.name, options)
    records = context.records()
    for step in CONNECT_STEPS:
        record = records.get(step.id)
        if record and record.state.is_over:
            by = f", {record.said_by}" if record.said_by else ""
            dialogue.note(f"{record.state.word}: {step.title} ({record.at}{by})")
    steps = CONNECT_STEPS if steps is None else steps
    if options.is_check:
        steps = {step: action for step, action in steps.items() if step.id in CHECKED_BEFORE}
    walked = walk(context, steps)
    if walked.error and walked.error.code == _NEEDS_PERSON:
        go_on = (
            f"run `wacoex connect {channel.name}` in a terminal; wacoex keeps the finished steps"
        )
        message = "connecting asks questions, and there is no terminal to answer them in"
        error = UsageError(message, hint=go_on, code=_NEEDS_PERSON)
        walked = WalkEnd((), error.exit_status, error)
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
        if store.has_calls(journey.journey_id) or (signup and signup.state.is_over):
            raise UsageError(
                f"channel `{channel.name}` is being connected through {journey.via.value} already",
                hint=f"continue with `wacoex connect {channel.name}`",
                code="route_taken",
            )
        return store.change_route(journey, via)


def _end_of(context: Context, walked: WalkEnd) -> Receipt:
    newest = context.store.newest(context.journey.channel_id, JourneyKind.CONNECT)
    records, name = context.records(), context.channel_name
    # Each finding once; what the walk itself found says it with more detail.
    walked_ids = {finding.id for finding in walked.findings}
    kept = check_records(records, name, context.now_text)
    findings = (*walked.findings, *(finding for finding in kept if finding.id not in walked_ids))
    steps = (*([SWITCHING] if SWITCHING.id in records else []), *CONNECT_STEPS)
    is_critical = any(finding.severity is Severity.CRITICAL for finding in findings)
    code = REFUSED if is_critical and not walked.error else walked.exit_code
    journey = newest or context.journey
    return Receipt(name, journey, steps, records, findings, code, walked.error)


def begin_again(context: Context, via: Route | None = None) -> Journey:
    """Start another journey of a channel that went through one; a person is asked first.

    `context.journey` is the finished one; its route is taken unless `via` names another. The old
    ids stay with the channel until a later step writes the new ones, and are then kept as former:
    a number that is connected again gets a new WhatsApp Business Account, and a new channel at
    respond.io (respond.io: help article about Coexistence).

    Raises:
        RefusedError: WhatsApp is about to bring the old partner back by itself.
        DeclinedError: the person said no. UsageError: there is nobody to ask.
    """
    state, channel, now = context.state, context.channel, context.now
    connection = _connection_now(context)
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
            f"channel `{channel.name}` was connected before, and there is no terminal to ask"
            " whether to connect it again",
            hint=f"run `wacoex connect {channel.name}` in a terminal",
            code=error.code,
        ) from error
    answer = {"steps": list(four_steps()), "ids": ids, "templates": templates}
    route = via or context.journey.via
    with state.transaction():
        journey = context.store.start(channel.channel_id, JourneyKind.CONNECT, route, now)
        result = StepResult(StepState.SETTLED, answer, login_name())
        context.store.record(journey.journey_id, SWITCHING.id, result, now)
    return journey


def _connection_now(context: Context) -> Connection:
    """How the channel is connected. Raises RefusedError while WhatsApp may bring it back."""
    catch_up(context.state, (CHANNELS,), context.workspace.clock)
    connection, name = stored_connection(context.workspace, context.channel), context.channel_name
    if connection.since is not None and may_return(connection, context.now):
        until = to_text(from_text(connection.since) + RETURNS_WITHIN)
        raise RefusedError(
            f"channel `{name}` is being reconnected by WhatsApp itself (WX204)",
            hint=f"wait until {until}, then see `wacoex status {name}`;"
            " connecting now would stop that",
            code="reconnecting",
        )
    return connection


def _what_changes(
    channel: Channel, connection: Connection, ids: Mapping[str, str], templates: list[str]
) -> Iterator[str]:
    yield f"channel {channel.name} was connected before{_NOW.get(connection.state, '')}"
    yield "to change the partner, in this order:"
    yield from (f"  {number}. {step}" for number, step in enumerate(four_steps(), start=1))
    listed = ", ".join(f"{name} {value}" for name, value in ids.items())
    yield (
        "it gets a new waba_id and a new channel id at respond.io; wacoex keeps the old ids, and"
        f" their events still belong to the channel{f': {listed}' if ids else ''}"
    )
    if templates:
        yield f"make these templates again: {', '.join(templates)}"
    else:
        yield "make the templates again; `wacoex template list` shows the old ones"


async def number(context: Context) -> StepResult:
    """The number as the numbering plans know it; a doubt is shown and blocks nothing.

    Its form, and that no other channel has it, were seen to when the channel was added.
    """
    phone, line = context.channel.phone, line_of(context.channel.phone)
    if line is None:
        context.dialogue.warn(f"no numbering plan knows {phone}: is it correct?")
    elif "mobile" not in line:
        doubt = f"{phone} is a {line} number: the app must already be registered with it"
        context.dialogue.warn(doubt)
    answer = {"phone": phone, "region": region_of(phone), "line": line}
    return StepResult(StepState.SETTLED, answer, "wacoex")


async def eligibility(context: Context) -> StepResult:
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
    typed, version = ask_until_usable(
        dialogue, VERSION, checks.version_in, "write it like `2.24.17`", flag=ONLY_A_PERSON
    )
    if not version:
        return StepResult(StepState.OPEN, note="the version of the app is needed; run it again")
    answer = {
        "phone": phone,
        "app_version": typed,
        "in_real_use": dialogue.confirm(_IN_USE, flag=ONLY_A_PERSON),
        "meta_verified": dialogue.confirm(BADGE, flag=ONLY_A_PERSON),
    }
    state = StepState.FAILED if version < checks.OLDEST_APP else StepState.SETTLED
    return _answered(context, "eligibility", state, answer, checks.check_eligibility)


async def business_suite(context: Context) -> StepResult:
    """Whether the number is linked in Meta Business Suite: Meta answers, else a person does.

    Raises TemporaryError when Meta gives no usable answer.
    """
    dialogue, channel, number = context.dialogue, context.channel, None
    if lacks_meta(context, "waba_id") is None:
        meta, waba_id = meta_for(context.workspace, channel), channel.demand_waba_id()
        try:
            number = on_account(channel, answered(await context.look.numbers(meta, waba_id)))
        except (CredentialError, RefusedError) as error:
            dialogue.warn(f"the account {waba_id} cannot be looked at: {error.message}")
    if number is not None:
        ids = {"phone_number_id": number.phone_number_id}
        if channel.phone_number_id is None:
            context.edit_channel(**ids)
        answer = {"linked": True, "waba_id": channel.waba_id, **ids}
        return StepResult(StepState.SETTLED, answer, "meta")
    dialogue.note(CLICKS.format(phone=channel.phone))
    offer_to_open(context, "Meta Business Suite", _SUITE)
    answer = {"linked": dialogue.confirm("is the number linked there now?", flag=ONLY_A_PERSON)}
    state = StepState.SETTLED if answer["linked"] else StepState.DECLINED
    # Meta does not demand it: who knows why may go on.
    may_skip = state is StepState.DECLINED and not context.options.is_check
    if may_skip and (reason := dialogue.ask(_WITHOUT_LINK, flag=ONLY_A_PERSON)):
        state, answer = StepState.SKIPPED, {**answer, "reason": reason}
    return _answered(context, "business-suite", state, answer, checks.check_linked)


async def other_partner(context: Context) -> StepResult:
    """Whether another partner has the number or pays for it: shown what Meta shows, then asked.

    Raises TemporaryError when Meta gives no usable answer.
    """
    dialogue = context.dialogue
    shown = await _partners_seen(context)
    for text in shown:
        dialogue.warn(f"Meta shows: {text}")
    is_respondio = context.journey.via is Route.RESPONDIO
    question = OTHER_PARTNER.format(partner=PARTNER_NAME if is_respondio else "your own app")
    has_other = dialogue.confirm(question, flag=ONLY_A_PERSON)
    answer: dict[str, object] = {"other_partner": has_other, "seen": shown}
    if shown and not has_other:
        state = StepState.SETTLED if _looks_again(context, shown) else StepState.DECLINED
        return _answered(context, "other-partner", state, answer, checks.check_partner)
    if has_other:
        for place, text in enumerate(four_steps(), start=1):
            dialogue.note(f"{place}. {text}")
        answer["cleared"] = dialogue.confirm("are steps 1 to 3 done?", flag=ONLY_A_PERSON)
    state = StepState.SETTLED if answer.get("cleared", True) else StepState.DECLINED
    return _answered(context, "other-partner", state, answer, checks.check_partner)


def _looks_again(context: Context, shown: Sequence[str]) -> bool:
    """Show the doubts about a person's answer, and ask whether they have looked again."""
    context.dialogue.warn(f"you say there is no other partner; Meta shows: {'; '.join(shown)}")
    return context.dialogue.confirm(_LOOKED_AGAIN, flag=ONLY_A_PERSON)


async def checked_signup(context: Context) -> StepResult:
    """Sign up, after a look at what may have changed since it was asked: it cannot be undone.

    Raises RefusedError while WhatsApp may bring the old partner back by itself, and as `signup`
    does.
    """
    _connection_now(context)
    before = context.records().get("other-partner")
    if before and before.answer.get("other_partner") is False and is_old(context, "other-partner"):
        kept = before.answer.get("seen")
        known = kept if isinstance(kept, list) else []
        new = [text for text in await _partners_seen(context) if text not in known]
        if new and not _looks_again(context, new):
            return StepResult(StepState.DECLINED, {"seen": new}, login_name())
    return await signup(context)


async def _partners_seen(context: Context) -> list[str]:
    """What hints at a partner other than the one to be connected: evidence, no proof.

    No edge of Meta lists partners, so names are compared: apps that get the webhooks, and the
    businesses behind the account. Raises TemporaryError when Meta gives no usable answer.
    """
    if lacks_meta(context, "waba_id"):
        return []
    values, account = await _account_seen(context)
    if account.error:
        context.dialogue.detail(f"the apps of the account cannot be seen: {account.why}")
    own_app = context.workspace.settings_for(context.channel_name).meta_app_id
    expected = {context.channel.partner_app_id, own_app}
    seen = [
        (app.name or "?", f"the app {app.name or '?'} ({app.id or '?'}) gets its messages")
        for app in account.apps or ()
        if app.id not in expected
    ]
    behalf = values.get("waba.on_behalf_of_business_info")
    if isinstance(behalf, dict) and (name := behalf.get("name")):
        seen.append((str(name), f"the account is run on behalf of {name}"))
    is_respondio = context.journey.via is Route.RESPONDIO
    return [text for name, text in seen if not (is_respondio and PARTNER_NAME in name.lower())]


async def _account_seen(context: Context) -> tuple[Mapping[str, Any], AppsSeen]:
    """What Meta shows of the account, and its apps or why this token may not see them.

    Raises TemporaryError when Meta gives no usable answer.
    """
    facts = context.facts()
    seen = await context.look.account(facts)
    for failure in facts.failures.values():
        raise failure
    return facts.values, seen


async def changes(context: Context) -> StepResult:
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
    question = "\n".join(["connecting changes the app:", *lines, TYPE_YES])
    is_all = dialogue.ask(question, flag=ONLY_A_PERSON).lower() == "yes"
    for change in todo:
        understood = f"{change.title}: {change.text}. Understood?"
        if is_all or dialogue.confirm(understood, flag=ONLY_A_PERSON):
            done.append(change.id)
    state = StepState.SETTLED if len(done) == len(everything) else StepState.DECLINED
    return _answered(context, "changes", state, {"acknowledged": done}, checks.check_changes)


def _answered(
    context: Context, step: str, state: StepState, answer: Mapping[str, object], check: Check
) -> StepResult:
    """What a person said, with the findings that follow from it."""
    who, at = login_name(), context.now_text
    found = check(Record(step, state, at, who, answer), context.channel_name, at)
    return StepResult(state, answer, who, tuple(found))


async def proof(context: Context) -> StepResult:
    """Whether Meta shows the number in Coexistence, asked for up to 30 minutes while it lags.

    Stays open when it still does not. Raises CredentialError for a token that Meta refuses,
    TemporaryError when it cannot be reached. Source: "Meta: onboarding business app users".
    """
    if lacking := lacks_meta(context, "phone_number_id"):
        return lacking
    clock, name, pause = context.workspace.clock, context.channel_name, _FIRST_PAUSE_SECONDS
    until = clock.monotonic() + _SETTLES_WITHIN_SECONDS
    while True:
        node = await _read_number(context)
        is_on_cloud = node.get("platform_type", "CLOUD_API") == "CLOUD_API"
        if node.get("is_on_biz_app") is True and is_on_cloud:
            return StepResult(StepState.SETTLED, _shown(context, node), "meta")
        shows = ", ".join(f"{field} {node.get(field)}" for field in _SHOWN)
        if clock.monotonic() >= until:
            break
        said = shows if node else "that it knows no such number"
        note = f"settling: Meta says {said}; next try in {pause:.0f} s, Ctrl-C is safe"
        context.dialogue.note(note)
        await clock.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
    if node:
        note = f"Meta still says {shows}; run `wacoex connect {name}` again later"
    else:
        check = f"check its phone_number_id: `wacoex channel show {name}`"
        note = f"Meta shows no such number to this token; {check}"
    now, seen = context.now, context.now_text
    shown = {field: node[field] for field in ("is_on_biz_app", "platform_type") if field in node}
    found = allow_for_settling(check_can_send(shown, name, seen), node, name, now, seen)
    return StepResult(StepState.OPEN, _shown(context, node), "meta", tuple(found), note)


async def _read_number(context: Context) -> Mapping[str, Any]:
    """What Meta says of the number, which is also stored; nothing while it does not show it."""
    facts, look = context.facts(), context.look
    await look.number(facts)
    error = facts.failures.get("number")
    if error is not None:
        if isinstance(error, CredentialError) and is_not_visible(error):
            return {}
        raise error
    with context.state.transaction():
        look.keep(context.state, [facts])
    return values_of(facts.read)


def _shown(context: Context, node: Mapping[str, Any]) -> dict[str, object]:
    moment = connected_at(node)
    return {
        **{name: node.get(name) for name in _SHOWN},
        "onboarded_at": to_text(moment) if moment else None,
        "source": "meta",
        "observed_at": context.now_text,
    }


async def partner(context: Context) -> StepResult:
    """Whether the partner's app is among those that get the webhooks of the account.

    Settled either way: a partner that is not seen may be there. Raises as `proof` does.
    """
    if lacking := lacks_meta(context, "waba_id"):
        return lacking
    _, account = await _account_seen(context)
    if account.error:
        if account.error.details.get("code") == _TOKEN_IS_BAD:
            raise account.error
        return skipped(account.error.message)
    channel, apps = context.channel, account.apps or ()
    # Of a signup through an own app the partner is that app.
    own = context.workspace.settings_for(channel.name).meta_app_id
    expected = expected_partner(channel, own if context.journey.via is Route.SIGNUP else None)
    is_seen = any(is_expected(app, expected) for app in apps)
    answer = {
        "expected": expected.label,
        "seen": is_seen,
        "apps": [{"id": app.id, "name": app.name} for app in apps],
        "source": "meta",
        "observed_at": context.now_text,
    }
    note = None if is_seen else f"{expected.label} is not among the apps of the account; {NO_PROOF}"
    return StepResult(StepState.SETTLED, answer, said_by="meta", note=note)


async def echo_proof(context: Context) -> StepResult:
    """Wait up to 10 minutes for an echo that is not older than the beginning of the step.

    It comes by `wacoex events listen` in another terminal, or is read at respond.io where a
    token is there. Where neither is at hand the person is asked what they see.
    """
    if context.options.skip_proof:
        reason = "`--skip-proof`: nobody has seen a message from the phone come through"
        return StepResult(StepState.SKIPPED, {"reason": reason}, login_name(), note=reason)
    kept = resumed(context, "echo-proof") or begin(context, "echo-proof")
    # Meta gives the times of messages in whole seconds.
    since = from_text(str(kept[BEGAN_AT])).replace(microsecond=0)
    echo, state = _newest_echo(context, since), StepState.OPEN
    if echo is None:
        reader = reader_of(context.workspace, context.channel, since)
        if reader is not None or _expects_webhooks(context):
            echo = await _wait_for_echo(context, reader, since)
        elif context.dialogue.confirm(_APPEARED, flag="--skip-proof"):
            answer = {**kept, "echo_at": None, "source": "person"}
            return StepResult(StepState.SETTLED, answer, said_by=login_name())
        else:
            state = StepState.DECLINED
    if echo is None:
        command = f"wacoex connect {context.channel_name}"
        note = (
            f"no message from the phone has arrived yet; run `{command}` again to keep"
            f" waiting, or `{command} --skip-proof`; more: `wacoex explain echoes`"
        )
        return StepResult(state, kept, note=note)
    answer = {**kept, "echo_at": echo.at, "source": echo.source}
    return StepResult(StepState.SETTLED, answer, said_by=echo.source)


async def _wait_for_echo(context: Context, reader: Reader | None, since: datetime) -> Sign | None:
    clock, dialogue = context.workspace.clock, context.dialogue
    people = _people(context) if reader is not None else []
    if reader is None or not people:
        dialogue.note("keep `wacoex events listen` running in another terminal")
    dialogue.note(f"{SEND}; waiting up to {_ECHO_WITHIN_SECONDS / 60:.0f} minutes, Ctrl-C is safe")
    until = clock.monotonic() + _ECHO_WITHIN_SECONDS
    while True:
        if reader is not None and people:
            await reader.read(people, lambda done: None)
        echo = _newest_echo(context, since)
        if echo is not None or clock.monotonic() >= until:
            return echo
        await clock.sleep(_LOOKS_EVERY_SECONDS)


def _newest_echo(context: Context, since: datetime) -> Sign | None:
    state = context.state
    catch_up(state, (CHANNELS,), context.workspace.clock)
    return Signs(state).newest(
        Signs(state).addresses_for(context.channel),
        EvidenceKind.ECHO,
        since=to_text(since),
        until=to_text(context.now + _CLOCKS_DIFFER_AT_MOST),
    )


def _people(context: Context) -> list[Person]:
    """Whom to look at: respond.io has no list of messages over all contacts."""
    probe = context.workspace.settings.events.probe_contact
    if probe:
        context.dialogue.note(f"send it to {probe}, the probe contact of the configuration")
        return [Person.of_phone(probe)]
    question = "to which number will you send a message from the phone? empty if webhooks report it"
    while text := context.dialogue.ask(question, flag="--skip-proof"):
        phone = normalise(text)
        if phone is not None:
            return [Person.of_phone(phone)]
        context.dialogue.warn(f"`{text}` is not a number; write it with `+`, such as +6591234567")
    return []


def _expects_webhooks(context: Context) -> bool:
    """With an own app, or when some came in lately."""
    if context.journey.via is Route.SIGNUP:
        return True
    arrivals = [EventLog(context.state).newest_arrival(source) for source in Source]
    return any(at is not None and context.now - at < _LISTENS for at in arrivals)


async def after_care(context: Context) -> StepResult:
    """Keep that the number was connected, and write down the dates that follow from it.

    Connecting is proof that the app was open at that moment; one that is 14 days back says
    nothing about now.
    """
    workspace, state, now = context.workspace, context.state, context.now
    catch_up(state, (CHANNELS,), workspace.clock)
    moment = newest_onboarding(context)
    if moment and now - moment.at <= DISCONNECTS_AFTER:
        signup = context.records().get("signup")
        by = (signup.said_by if signup else None) or login_name()
        address, at = channel_address(context.channel.channel_id), to_text(min(moment.at, now))
        with state.transaction():
            Signs(state).add([Sign(address, EvidenceKind.CONNECTED, at, moment.source, by)])
    channel = context.channel
    standing = standings(workspace, [channel], now)[channel.channel_id]
    found = inventory(state, channel, now)
    cut_off = [device for device, its_state in found.devices if its_state is not DeviceState.LINKED]
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
    return StepResult(
        StepState.SETTLED,
        answer,
        findings=tuple(finding for finding in found.findings if finding.id == "WX303"),
        note=_note(standing, found, zone_of(workspace, channel)),
    )


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
    texts = [
        "wacoex does not know when the app was last open: confirm it with `wacoex reminder confirm`"
    ]
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
    Step("other-partner", "No other partner, no other credit line", Nature.ASKED): other_partner,
    Step("changes", "What changes in the app", Nature.ASKED): changes,
    Step("signup", "Signup", Nature.DONE): checked_signup,
    Step("proof", "Meta shows it in Coexistence", Nature.CHECKED): proof,
    Step("partner", "The partner gets its messages", Nature.CHECKED): partner,
    Step("echo-proof", "A message from the phone comes through", Nature.CHECKED): echo_proof,
    Step("sync", "Contacts and history", Nature.DONE, frozenset({Route.SIGNUP})): sync,
    Step("after-care", "What to do from now on", Nature.DONE): after_care,
}
"""Connecting a channel, in order; each settled step is kept under its id."""
