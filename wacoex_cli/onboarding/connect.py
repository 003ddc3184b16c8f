"""`connect`: begins or resumes the journey of a channel, and tells how far it went."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.channels import access, registry
from wacoex_cli.channels.model import Details, Provider
from wacoex_cli.errors import DeclinedError, UsageError, WacoexError
from wacoex_cli.findings.model import Severity
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.onboarding import ledger, questions, view
from wacoex_cli.onboarding.aftercare import after_care
from wacoex_cli.onboarding.checks import check_records
from wacoex_cli.onboarding.journey import GONE_THROUGH, Context, Walked, Wishes, walk
from wacoex_cli.onboarding.model import JourneyKind, Route, StepState
from wacoex_cli.onboarding.proof import echo_proof, partner, proof
from wacoex_cli.onboarding.signup import signup_own_app
from wacoex_cli.onboarding.signup_respondio import signup_respondio
from wacoex_cli.onboarding.steps import CHECKED_BEFORE, CONNECT_STEPS
from wacoex_cli.onboarding.switching import STEP as SWITCHING
from wacoex_cli.onboarding.switching import begin_again
from wacoex_cli.onboarding.sync import sync
from wacoex_cli.onboarding.view import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.onboarding.journey import Action
    from wacoex_cli.onboarding.model import Journey, Outcome, Step
    from wacoex_cli.terminal.dialogue import Dialogue
    from wacoex_cli.terminal.options import Invocation

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
        dialogue.note(f"  {view.mark(outcome.state)}: {outcome.note or step.title}")

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
        if not dialogue.confirm(question, flag=questions.ONLY_A_PERSON):
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
            context.dialogue.note(f"{view.mark(record.state)}: {step.title} ({record.at}{by})")


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
    "number": questions.number,
    "eligibility": questions.eligibility,
    "business-suite": questions.business_suite,
    "other-partner": questions.other_partner,
    "changes": questions.changes,
    "signup": _signup,
    "proof": proof,
    "partner": partner,
    "echo-proof": echo_proof,
    "sync": sync,
    "after-care": after_care,
}
"""What each step does."""
