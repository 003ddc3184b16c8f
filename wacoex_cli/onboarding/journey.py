"""Going through the steps of a journey: each kept as soon as it is settled, none gone twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.channels import registry
from wacoex_cli.onboarding import ledger
from wacoex_cli.onboarding.model import Outcome, StepState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.onboarding.model import Journey, Record, Step
    from wacoex_cli.terminal.dialogue import Dialogue

GONE_THROUGH = frozenset({StepState.SETTLED, StepState.SKIPPED})
"""A step in one of these states is never gone through again."""


@dataclass(frozen=True)
class Wishes:
    """What the options of the command say."""

    port: int = 0
    skip_proof: bool = False
    open_browser: bool = True
    unsubscribe: bool = False
    is_confirmed: bool = False


@dataclass(frozen=True)
class Context:
    """What a step is given."""

    workspace: Workspace
    dialogue: Dialogue
    journey: Journey
    channel_name: str
    wishes: Wishes

    @property
    def channel(self) -> Channel:
        """The channel as it is known now: steps fill in its ids."""
        return registry.known(self.workspace.state, self.channel_name)

    def records(self) -> Mapping[str, Record]:
        """What the steps so far came to."""
        return ledger.records(self.workspace.state, self.journey.journey_id)


if TYPE_CHECKING:
    Action = Callable[[Context], Awaitable[Outcome]]


@dataclass(frozen=True)
class Walked:
    """How far it went: every finding of this walk, and the step it stopped at, if it did."""

    findings: tuple[Finding, ...]
    stopped_at: str | None


async def walk(
    context: Context,
    steps: Sequence[Step],
    actions: Mapping[str, Action],
    *,
    on_step: Callable[[Step, Outcome], None],
    is_check: bool = False,
) -> Walked:
    """Go through the steps in order, from the first that is not settled.

    Stops at a step that fails, stays open or is uncertain. A check goes through all of them, and
    does not end the journey. Raises what a step raises; everything before it is kept, and the
    step itself stays as it was.
    """
    state, journey = context.workspace.state, context.journey
    findings: list[Finding] = []
    for step in steps:
        kept = context.records().get(step.id)
        if journey.via not in step.routes or (kept and kept.state in GONE_THROUGH):
            continue
        outcome = await actions[step.id](context)
        findings += outcome.findings
        with state.transaction():
            ledger.record(
                state, journey.journey_id, step.id, outcome, context.workspace.clock.now()
            )
        on_step(step, outcome)
        if outcome.state not in GONE_THROUGH and not is_check:
            return Walked(tuple(findings), step.id)
    if is_check:
        return Walked(tuple(findings), None)
    with state.transaction():
        ledger.finish(state, journey.journey_id, context.workspace.clock.now())
    return Walked(tuple(findings), None)
