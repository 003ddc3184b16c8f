"""Going through the steps of a journey, and what every step is given."""

from __future__ import annotations

import os
import sys
import webbrowser
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.channels import registry
from wacoex_cli.channels.access import meta_for
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.onboarding import store as ledger
from wacoex_cli.onboarding.model import Outcome, Route, StepState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.onboarding.model import Journey, Record, Step
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.terminal.dialogue import Dialogue

ONLY_A_PERSON = "--yes"
"""The option that a question names where only a person can answer it."""
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


_OPTIONS = {"phone_number_id": "--phone-number-id", "waba_id": "--waba-id"}


def meta_or_reason(context: Context, needed: str) -> Meta | Outcome:
    """The Graph API, or the skipped step that says what is missing.

    `needed` is the id that the step works on: `phone_number_id` or `waba_id`.
    """
    channel = context.channel
    if context.workspace.secrets.find("meta-token", channel.name) is None:
        return skipped("there is no meta-token")
    if getattr(channel, needed) is None:
        command = f"wacoex channel edit {channel.name} {_OPTIONS[needed]} ID"
        return skipped(f"the {needed} is not known; `{command}` tells it")
    return meta_for(context.workspace, channel)


def skipped(reason: str, **more: object) -> Outcome:
    """A step that cannot be gone through, with the reason."""
    return Outcome(StepState.SKIPPED, {"reason": reason, **more}, note=reason)


def offer_to_open(context: Context, name: str, url: str) -> bool:
    """Show the address, and open it when the person wants that; returns whether it was opened.

    Only shows it where no window can come up: over SSH, say, a browser in the terminal would
    take the screen away from the questions.
    """
    context.dialogue.note(f"{name}: {url}")
    if not context.wishes.open_browser or not has_windows():
        return False
    if not context.dialogue.confirm(f"open {name} in the browser?", flag="--yes"):
        return False
    return webbrowser.open(url)


def has_windows() -> bool:
    """Whether a browser could show a page here; over SSH, say, it could not."""
    if sys.platform == "darwin":
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"))


BEGAN_AT = "began_at"


def begun(context: Context, step: str) -> dict[str, object] | None:
    """What was kept when an open step began; None when it begins now."""
    kept = context.records().get(step)
    if kept is None or kept.state is not StepState.OPEN or BEGAN_AT not in kept.answer:
        return None
    return dict(kept.answer)


def begin(
    context: Context, step: str, facts: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Keep when a step began, and what it needs to know of that moment."""
    now = context.workspace.clock.now()
    answer = {BEGAN_AT: to_text(now), **(facts or {})}
    with context.workspace.state.transaction():
        outcome = Outcome(StepState.OPEN, answer)
        ledger.record(context.workspace.state, context.journey.journey_id, step, outcome, now)
    return answer


SYNC_WINDOW = timedelta(hours=24)
"""How long after connecting contacts and history can be copied (Meta: onboarding app users)."""


@dataclass(frozen=True)
class Onboarded:
    """The moment, aware UTC, and who tells it: `meta`, `respondio` or `person`."""

    at: datetime
    source: str

    @property
    def sync_closes_at(self) -> datetime:
        """Until when contacts and history can be copied."""
        return self.at + SYNC_WINDOW


def onboarded(context: Context) -> Onboarded | None:
    """The newest moment that the signup and Meta tell; None when neither does.

    Meta's own may still be the one before: it lags after connecting.
    """
    records = context.records()
    told = [*_by_meta(records.get("proof")), *_by_signup(context, records)]
    return max(told, key=lambda one: one.at, default=None)


def _by_meta(proof: Record | None) -> list[Onboarded]:
    moment = proof.answer.get("onboarded_at") if proof else None
    return [Onboarded(from_text(moment), "meta")] if isinstance(moment, str) else []


def _by_signup(context: Context, records: Mapping[str, Record]) -> list[Onboarded]:
    signup = records.get("signup")
    if signup is None or signup.state is not StepState.SETTLED or signup.at is None:
        return []
    if context.journey.via is Route.SIGNUP:
        # Meta's own window reported its end to the step, which was settled at once.
        return [Onboarded(from_text(signup.at), "meta")]
    moment = signup.answer.get("connected_at")
    source = str(signup.answer.get("connected_source", "person"))
    return [Onboarded(from_text(moment), source)] if isinstance(moment, str) else []
