"""`offboard`: begins or resumes letting a channel go, and tells how far it went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.channels import registry
from wacoex_cli.errors import WacoexError
from wacoex_cli.onboarding import ledger, view
from wacoex_cli.onboarding import offboard_actions as actions
from wacoex_cli.onboarding.journey import GONE_THROUGH, Context, Walked, walk
from wacoex_cli.onboarding.model import JourneyKind, Nature, Route, Step, StepState
from wacoex_cli.onboarding.offboard_proof import proof
from wacoex_cli.onboarding.view import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.onboarding.journey import Action, Wishes
    from wacoex_cli.onboarding.model import Journey, Outcome
    from wacoex_cli.terminal.dialogue import Dialogue

OFFBOARD_STEPS = (
    Step("what-changes", "What changes, confirmed by name", Nature.ASKED),
    Step("broadcasts", "Broadcasts under way are paused", Nature.DONE),
    Step("backup", "A backup", Nature.ASKED),
    Step("route", "Disconnect it, in the app or in Meta Business Settings", Nature.ASKED),
    Step("proof", "The disconnection is proved", Nature.CHECKED),
    Step("unsubscribe", "The own app is detached from the account", Nature.DONE),
    Step("companions", "When companions can be linked again", Nature.DONE),
    Step("archive", "The channel is archived, its reminder stops", Nature.DONE),
)
OFFBOARD_ACTIONS: Mapping[str, Action] = {
    "what-changes": actions.what_changes,
    "broadcasts": actions.broadcasts,
    "backup": actions.backup,
    "route": actions.route,
    "proof": proof,
    "unsubscribe": actions.unsubscribe,
    "companions": actions.companions,
    "archive": actions.archive,
}
_REFUSED, _TEMPORARY = 5, 6
_EXIT_OF = {StepState.FAILED: _REFUSED, StepState.OPEN: _TEMPORARY}


@dataclass(frozen=True)
class Offboarded:
    """How far it went. `error` is what ended it; everything settled before it is kept."""

    receipt: Receipt
    exit_code: int
    error: WacoexError | None = None


def offboard(
    workspace: Workspace, dialogue: Dialogue, channel: Channel, wishes: Wishes
) -> Offboarded:
    """Walk from the first step that is not settled; a channel that is archived was let go.

    Exit codes: 0 finished, 5 refused, 6 a step stays open, else that of the error. Raises
    UsageError for a channel that was archived otherwise, and what `demand_what_is_wished` raises.
    """
    finished = _finished(workspace.state, channel)
    if finished:
        return _offboarded(workspace, channel, finished, Walked((), None))
    if wishes.unsubscribe:
        demand_what_is_wished(workspace, channel)
    journey = _journey(workspace, channel)
    context = Context(workspace, dialogue, journey, channel.name, wishes)
    settled = [one for one in context.records().values() if one.state in GONE_THROUGH]
    if settled:
        dialogue.note(f"settled already: {', '.join(one.step for one in settled)}")

    def on_step(step: Step, outcome: Outcome) -> None:
        dialogue.note(f"{view.mark(outcome.state)}: {outcome.note or step.title}")

    try:
        walked = workspace.run(walk(context, OFFBOARD_STEPS, OFFBOARD_ACTIONS, on_step=on_step))
    except WacoexError as error:
        return _offboarded(workspace, channel, journey, Walked((), None), error)
    return _offboarded(workspace, channel, journey, walked)


def demand_what_is_wished(workspace: Workspace, channel: Channel) -> None:
    """Raise UsageError or CredentialError when `--unsubscribe` cannot be done."""
    channel.demand_waba_id()
    workspace.secrets.need("meta-token", channel.name)


def via(state: State, channel: Channel) -> Route:
    """Through whose signup a channel was connected, as far as is known."""
    connected = ledger.newest_journey(state, channel.channel_id, JourneyKind.CONNECT)
    if connected:
        return connected.via
    return Route.SIGNUP if channel.respondio_channel_id is None else Route.RESPONDIO


def _finished(state: State, channel: Channel) -> Journey | None:
    """The journey that let an archived channel go; None when there is something to do."""
    newest = ledger.newest_journey(state, channel.channel_id, JourneyKind.OFFBOARD)
    return newest if newest and newest.finished_at and channel.archived_at else None


def _journey(workspace: Workspace, channel: Channel) -> Journey:
    state = workspace.state
    with state.transaction():
        going_on = ledger.open_journey(state, channel.channel_id, JourneyKind.OFFBOARD)
        if going_on:
            return going_on
        registry.active(state, channel.name)
        return ledger.start(
            state,
            channel.channel_id,
            JourneyKind.OFFBOARD,
            via(state, channel),
            workspace.clock.now(),
        )


def _offboarded(
    workspace: Workspace,
    channel: Channel,
    journey: Journey,
    walked: Walked,
    error: WacoexError | None = None,
) -> Offboarded:
    state = workspace.state
    newest = ledger.newest_journey(state, channel.channel_id, JourneyKind.OFFBOARD) or journey
    records = ledger.records(state, newest.journey_id)
    receipt = Receipt(channel.name, newest, OFFBOARD_STEPS, records, walked.findings)
    if error is not None:
        return Offboarded(receipt, error.exit_status, error)
    stopped = records.get(walked.stopped_at) if walked.stopped_at else None
    return Offboarded(receipt, _EXIT_OF.get(stopped.state, 0) if stopped else 0)
