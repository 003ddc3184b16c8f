"""Going through the steps of a journey, and what every step is given."""

from __future__ import annotations

import os
import sys
import webbrowser
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.channels import registry
from wacoex_cli.channels.registry import meta_for
from wacoex_cli.errors import WacoexError
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.onboarding.model import Onboarding, Outcome, Route, StepState
from wacoex_cli.onboarding.store import Journeys

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.onboarding.model import Journey, Receipt, Record, Step
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.terminal.dialogue import Dialogue

ONLY_A_PERSON = "--yes"
"""The option that a question names where only a person can answer it."""
GONE_THROUGH = frozenset({StepState.SETTLED, StepState.SKIPPED})
"""A step in one of these states is never gone through again."""
BEGAN_AT = "began_at"
REFUSED = 5
_EXIT_OF = {StepState.FAILED: REFUSED, StepState.OPEN: 6, StepState.UNCERTAIN: 7}
_OPTIONS = {"phone_number_id": "--phone-number-id", "waba_id": "--waba-id"}


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
        return registry.known(self.state, self.channel_name)

    @property
    def state(self) -> State:
        """The state file."""
        return self.workspace.state

    @property
    def store(self) -> Journeys:
        """The journeys in it."""
        return Journeys(self.state)

    @property
    def now(self) -> datetime:
        """The wall clock, aware, UTC."""
        return self.workspace.clock.now()

    @property
    def now_text(self) -> str:
        """The same as RFC 3339."""
        return to_text(self.now)

    def records(self) -> Mapping[str, Record]:
        """What the steps so far came to."""
        return self.store.records(self.journey.journey_id)

    def keep(self, step: str, outcome: Outcome) -> None:
        """Keep what a step came to, durably."""
        with self.state.transaction():
            self.store.record(self.journey.journey_id, step, outcome, self.now)

    def keep_call(self, action: str, answer: Mapping[str, object]) -> None:
        """Keep the answer to a call that is made only once, durably."""
        with self.state.transaction():
            self.store.answer_call(self.journey.journey_id, action, answer, self.now)

    def has_token(self, name: str) -> bool:
        """Whether there is such a token (`meta-token`, say) for the channel."""
        return self.workspace.secrets.find(name, self.channel_name) is not None


if TYPE_CHECKING:
    Action = Callable[[Context], Awaitable[Outcome]]


@dataclass(frozen=True)
class WalkEnd:
    """How far it went: every finding of this walk, and what stopped it, if something did."""

    findings: tuple[Finding, ...] = ()
    stopped: StepState | None = None
    error: WacoexError | None = None

    @property
    def exit_code(self) -> int:
        """0 to the end, 5 refused, 6 a step stays open, 7 one is uncertain; or the error's."""
        if self.error:
            return self.error.exit_status
        return _EXIT_OF[self.stopped] if self.stopped else 0


@dataclass(frozen=True)
class JourneyEnd:
    """What a command shows. `error` is what ended it; everything settled before it is kept."""

    receipt: Receipt
    exit_code: int
    error: WacoexError | None = None


def walk(
    context: Context,
    steps: Mapping[Step, Action],
    *,
    with_titles: bool = False,
    is_check: bool = False,
) -> WalkEnd:
    """Go through the steps in order, from the first that is not settled.

    Stops at a step that fails, stays open or is uncertain. A check goes through all of them, and
    does not end the journey. When a step raises a WacoexError everything before it is kept, and
    the step itself stays as it was.
    """
    try:
        return context.workspace.run(_walk(context, steps, with_titles, is_check))
    except WacoexError as error:
        return WalkEnd(error=error)


async def _walk(
    context: Context, steps: Mapping[Step, Action], with_titles: bool, is_check: bool
) -> WalkEnd:
    note = context.dialogue.note
    findings: list[Finding] = []
    for step, action in steps.items():
        kept = context.records().get(step.id)
        if context.journey.via not in step.routes or (kept and kept.state in GONE_THROUGH):
            continue
        if with_titles:
            note(f"\n{step.title}")
        outcome = await action(context)
        findings += outcome.findings
        context.keep(step.id, outcome)
        note(f"{'  ' * with_titles}{outcome.state.word}: {outcome.note or step.title}")
        if outcome.state not in GONE_THROUGH and not is_check:
            return WalkEnd(tuple(findings), outcome.state)
    if not is_check:
        with context.state.transaction():
            context.store.finish(context.journey.journey_id, context.now)
    return WalkEnd(tuple(findings))


def resumed(context: Context, step: str) -> dict[str, object] | None:
    """What a step that waits kept when it began; None when it begins now."""
    kept = context.records().get(step)
    if kept is None or kept.state is not StepState.OPEN or BEGAN_AT not in kept.answer:
        return None
    return dict(kept.answer)


def begin(context: Context, step: str, **facts: object) -> dict[str, object]:
    """Keep when a step began, and what it needs to know of that moment: a resumed walk goes on."""
    answer = {BEGAN_AT: context.now_text, **facts}
    context.keep(step, Outcome(StepState.OPEN, answer))
    return answer


def meta_or_reason(context: Context, needed: str) -> Meta | Outcome:
    """The Graph API, or the skipped step that says what is missing.

    `needed` is the id that the step works on: `phone_number_id` or `waba_id`.
    """
    channel = context.channel
    if not context.has_token("meta-token"):
        return skipped("there is no meta-token")
    if getattr(channel, needed) is None:
        command = f"wacoex channel edit {channel.name} {_OPTIONS[needed]} ID"
        return skipped(f"the {needed} is not known; `{command}` tells it")
    return meta_for(context.workspace, channel)


def skipped(reason: str, **more: object) -> Outcome:
    """A step that cannot be gone through, with the reason."""
    return Outcome(StepState.SKIPPED, {"reason": reason, **more}, note=reason)


def offer_to_open(context: Context, name: str, url: str) -> None:
    """Show the address, and open it when the person wants that."""
    context.dialogue.note(f"{name}: {url}")
    if wants_browser(context, f"open {name} in the browser?"):
        webbrowser.open(url)


def wants_browser(context: Context, question: str) -> bool:
    """Ask whether to open a browser; no where no window can come up.

    Over SSH, say, a browser in the terminal would take the screen away from the questions.
    """
    has_windows = sys.platform == "darwin" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME")
    )
    if not context.wishes.open_browser or not has_windows:
        return False
    return context.dialogue.confirm(question, flag=ONLY_A_PERSON)


def newest_onboarding(context: Context) -> Onboarding | None:
    """The newest moment that the signup and Meta tell; None when neither does.

    Meta's own may still be the one before: it lags after connecting.
    """
    found: list[Onboarding] = []
    records = context.records()
    proof, signup = records.get("proof"), records.get("signup")
    if proof and isinstance(moment := proof.answer.get("onboarded_at"), str):
        found.append(Onboarding(from_text(moment), "meta"))
    if signup and signup.state is StepState.SETTLED and signup.at:
        if context.journey.via is Route.SIGNUP:
            # Meta's own window reported its end to the step, which was settled at once.
            found.append(Onboarding(from_text(signup.at), "meta"))
        elif isinstance(moment := signup.answer.get("connected_at"), str):
            source = str(signup.answer.get("connected_source", "person"))
            found.append(Onboarding(from_text(moment), source))
    return max(found, key=lambda moment: moment.at, default=None)
