"""Going through the steps of a journey, and what every step is given."""

from __future__ import annotations

import os
import sys
import webbrowser
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from wacoex_cli.channels import registry
from wacoex_cli.channels.facts import FACTS, ChannelFacts, stored_facts
from wacoex_cli.channels.look import Look
from wacoex_cli.errors import DeclinedError, TemporaryError, WacoexError
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.onboarding.model import (
    JourneyKind,
    Onboarding,
    Record,
    Route,
    StepResult,
    StepState,
)
from wacoex_cli.onboarding.store import Journeys

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from datetime import datetime

    from wacoex_cli.channels.facts import Connection
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.onboarding.model import Journey, JourneyOptions, Step
    from wacoex_cli.platforms.answers import ListedNumber
    from wacoex_cli.terminal.dialogue import Dialogue

    Action = Callable[["Context"], Awaitable[StepResult]]

Meaning = TypeVar("Meaning")
ONLY_A_PERSON = "--yes"
"""The option that a question names where only a person can answer it."""
_MOST_TRIES = 3
"""How often a question is asked whose answer cannot be used."""
BEGAN_AT = "began_at"
REFUSED = 5
_EXIT_OF = {
    StepState.DECLINED: DeclinedError.exit_status,
    StepState.FAILED: REFUSED,
    StepState.OPEN: TemporaryError.exit_status,
    StepState.UNCERTAIN: 7,
}
_WAITS = frozenset({StepState.OPEN, StepState.DECLINED})
_HOLDS_FOR = timedelta(minutes=1)


@dataclass(frozen=True)
class Context:
    """What a step is given."""

    workspace: Workspace
    dialogue: Dialogue
    journey: Journey
    channel_name: str
    options: JourneyOptions

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

    @property
    def look(self) -> Look:
        """A look at the channel just now, for somebody who waits for it."""
        return Look(self.workspace, self.now, is_patient=True)

    def facts(self) -> ChannelFacts:
        """The channel with nothing known of it yet: what a look fills in."""
        return ChannelFacts(self.channel, self.now)

    def records(self) -> Mapping[str, Record]:
        """What the steps so far came to."""
        return self.store.records(self.journey.journey_id)

    def edit_channel(self, **changes: object) -> None:
        """Write ids of the channel down that a step came to know."""
        registry.edit_channel(self.state, self.channel_name, changes, self.now)

    def keep(self, step: str, result: StepResult) -> None:
        """Keep what a step came to, durably."""
        with self.state.transaction():
            self.store.record(self.journey.journey_id, step, result, self.now)

    def keep_call(self, action: str, answer: Mapping[str, object]) -> None:
        """Keep the answer to a call that is made only once, durably."""
        with self.state.transaction():
            self.store.answer_call(self.journey.journey_id, action, answer, self.now)

    def has_token(self, name: str) -> bool:
        """Whether there is such a token (`meta-token`, say) for the channel."""
        return self.workspace.secrets.find(name, self.channel_name) is not None


class WalkEnd(NamedTuple):
    """How far it went: every finding of this walk, its exit code, and the error that ended it.

    Exit codes: 0 to the end, 1 a person said no, 5 refused, 6 a step stays open, 7 one is
    uncertain; or the error's.
    """

    findings: tuple[Finding, ...] = ()
    exit_code: int = 0
    error: WacoexError | None = None


def walk(context: Context, steps: Mapping[Step, Action]) -> WalkEnd:
    """Go through the steps in order, from the first that is not settled.

    Stops at a step that fails, stays open or is uncertain. A check goes through all of them, and
    does not end the journey. When a step raises a WacoexError everything before it is kept, and
    the step itself stays as it was.
    """
    try:
        return context.workspace.run(_walk(context, steps))
    except WacoexError as error:
        return WalkEnd((), error.exit_status, error)


async def _walk(context: Context, steps: Mapping[Step, Action]) -> WalkEnd:
    note, is_check = context.dialogue.note, context.options.is_check
    with_titles = context.journey.kind is JourneyKind.CONNECT
    findings: list[Finding] = []
    for step, action in steps.items():
        kept = context.records().get(step.id)
        if context.journey.via not in step.routes or (kept and kept.state.is_over):
            continue
        if with_titles:
            note(f"\n{step.title}")
        result = await action(context)
        findings += result.findings
        context.keep(step.id, result)
        note(f"{'  ' * with_titles}{result.state.word}: {result.note or step.title}")
        if not result.state.is_over and not is_check:
            return WalkEnd(tuple(findings), _EXIT_OF[result.state])
    if not is_check:
        with context.state.transaction():
            context.store.finish(context.journey.journey_id, context.now)
    return WalkEnd(tuple(findings))


def resumed(context: Context, step: str) -> dict[str, object] | None:
    """What a step that waits kept when it began; None when it begins now."""
    kept = context.records().get(step)
    if kept is None or kept.state not in _WAITS or BEGAN_AT not in kept.answer:
        return None
    return dict(kept.answer)


def is_old(context: Context, step: str) -> bool:
    """Whether a step was settled so long ago that what it rests on may have changed since."""
    kept = context.records().get(step)
    return (
        kept is not None and kept.at is not None and context.now - from_text(kept.at) > _HOLDS_FOR
    )


def begin(context: Context, step: str, **facts: object) -> dict[str, object]:
    """Keep when a step began, and what it needs to know of that moment: a resumed walk goes on."""
    answer = {BEGAN_AT: context.now_text, **facts}
    context.keep(step, StepResult(StepState.OPEN, answer))
    return answer


def lacks_meta(context: Context, needed: str) -> StepResult | None:
    """The skipped step that says what is missing to ask Meta; None when it can be asked.

    `needed` is the id that the step works on: `phone_number_id` or `waba_id`.
    """
    if not context.has_token("meta-token"):
        return skipped("there is no meta-token")
    if getattr(context.channel, needed) is not None:
        return None
    command = f"wacoex channel edit {context.channel_name} --{needed.replace('_', '-')} ID"
    return skipped(f"wacoex does not know the {needed}; `{command}` gives it to wacoex")


def skipped(reason: str, **more: object) -> StepResult:
    """A step that cannot be gone through, with the reason."""
    return StepResult(StepState.SKIPPED, {"reason": reason, **more}, note=reason)


def offer_to_open(context: Context, name: str, url: str) -> None:
    """Show the address, and open it when the person wants that."""
    context.dialogue.note(f"{name}: {url}")
    if wants_browser(context, f"open {name} in the browser?"):
        webbrowser.open(url)


def ask_until_usable(
    dialogue: Dialogue,
    question: str,
    understand: Callable[[str], Meaning | None],
    hint: str,
    *,
    flag: str,
) -> tuple[str, Meaning | None]:
    """What a person typed, and what it means; None when it could not be used three times."""
    for _ in range(_MOST_TRIES):
        typed = dialogue.ask(question, flag=flag)
        if meaning := understand(typed):
            return typed, meaning
        dialogue.warn(hint)
    return typed, None


def wants_browser(context: Context, question: str) -> bool:
    """Ask whether to open a browser; no where no window can come up.

    Over SSH, say, a browser in the terminal would take the screen away from the questions.
    """
    has_windows = sys.platform == "darwin" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME")
    )
    if not context.options.open_browser or not has_windows:
        return False
    return context.dialogue.confirm(question, flag=ONLY_A_PERSON)


def on_account(channel: Channel, listed: Iterable[ListedNumber]) -> ListedNumber | None:
    """The channel's number among those of its account, by its id or by what it shows."""
    for row in listed:
        if row.phone_number_id == channel.phone_number_id or f"+{row.digits}" == channel.phone:
            return row
    return None


def stored_connection(workspace: Workspace, channel: Channel) -> Connection:
    """How the channel is connected, from what is stored."""
    facts = stored_facts(workspace.state, [channel], workspace.clock.now(), FACTS)
    return facts[channel.channel_id].connection


def newest_onboarding(context: Context) -> Onboarding | None:
    """The newest moment that the signup and Meta give; None when neither does.

    Meta's own may still be the one before: it lags after connecting.
    """
    found: list[Onboarding] = []
    proof, signup = map(context.records().get, ("proof", "signup"))
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
