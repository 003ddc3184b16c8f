"""Waiting until something proves that the number is disconnected."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from wacoex_cli.channels.evidence import CHANNELS
from wacoex_cli.channels.model import values_of
from wacoex_cli.channels.store import Facts
from wacoex_cli.events.store import catch_up
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.person import login_name
from wacoex_cli.onboarding.model import Outcome, StepState
from wacoex_cli.onboarding.offboard_sight import EVENTS, META, Sight, Verdict, look, proof_in
from wacoex_cli.onboarding.offboard_texts import MAY_LAG

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wacoex_cli.onboarding.journey import Context

PATIENCE_SECONDS = 600.0
CONNECTED_SAYS = "connected_says"
"""The key under which the sources that saw the channel connected are kept."""
_FIRST_PAUSE_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 30.0
_GROWTH = 1.5
_QUESTION = (
    "does the app on the phone show no partner any more (Settings, Account, Business Platform)?"
)


async def sights_now(context: Context) -> list[Sight]:
    """What shows just now, with the events that have come in."""
    catch_up(context.workspace.state, [CHANNELS], context.workspace.clock)
    return await look(context.workspace, context.channel)


def there_in(sights: Iterable[Sight]) -> set[str]:
    """The sources that see the channel connected."""
    return {one.source for one in sights if one.verdict is Verdict.THERE}


async def proof(context: Context) -> Outcome:
    """Look with growing pauses until the end is proved, ten minutes at most.

    Where nothing can be asked, a person's word settles it. An answer that did not come proves
    nothing; the step then stays open, and the next walk looks again.
    """
    clock = context.workspace.clock
    give_up_at = clock.monotonic() + PATIENCE_SECONDS
    there, told, pause = _seen_before(context), "", _FIRST_PAUSE_SECONDS
    while True:
        sights = await sights_now(context)
        there |= there_in(sights)
        found = proof_in(sights, there)
        if found:
            return _proved(found)
        if not _may_show(sights):
            return _asked(context, sights, there)
        told = _tell(context, sights, told)
        if clock.monotonic() + pause > give_up_at:
            return _open(sights, there)
        await clock.sleep(pause)
        pause = min(pause * _GROWTH, _LONGEST_PAUSE_SECONDS)


def _seen_before(context: Context) -> set[str]:
    """The sources that saw it connected: in this journey, or by a fact from earlier."""
    kept = context.records()
    there: set[str] = set()
    for step in ("what-changes", "proof"):
        listed = kept[step].answer.get(CONNECTED_SAYS) if step in kept else None
        there |= set(listed) if isinstance(listed, list) else set()
    facts = Facts(context.workspace.state).facts_by_channel(["is_on_biz_app"])
    values = values_of(facts.get(context.channel.channel_id, ()))
    return there | ({META} if values.get("is_on_biz_app") is True else set())


def _may_show(sights: Sequence[Sight]) -> bool:
    """Whether asking again may show anything: some API can be asked."""
    return any(one.source != EVENTS and one.verdict is not Verdict.NO_ACCESS for one in sights)


def _tell(context: Context, sights: Iterable[Sight], told: str) -> str:
    text = "; ".join(one.text for one in sights)
    if text != told:
        context.dialogue.note(f"waiting until the disconnection shows: {text}")
    if not told:
        context.dialogue.note(
            f"Ctrl-C leaves this step open; `wacoex offboard {context.channel_name}` goes on"
        )
    return text


def _answer(sights: Iterable[Sight], there: set[str]) -> dict[str, object]:
    return {"seen": [one.text for one in sights], CONNECTED_SAYS: sorted(there)}


def _proved(found: Sight) -> Outcome:
    answer = {"proved_by": found.source, "text": found.text, "disconnected_at": found.at}
    said_by = META if found.source == EVENTS else found.source
    return Outcome(StepState.SETTLED, answer, said_by, note=f"proved: {found.text}")


def _open(sights: Iterable[Sight], there: set[str]) -> Outcome:
    return Outcome(StepState.OPEN, _answer(sights, there), note=f"not proved yet: {MAY_LAG}")


def _asked(context: Context, sights: Sequence[Sight], there: set[str]) -> Outcome:
    refused = [one.text for one in sights if one.verdict is Verdict.NO_ACCESS]
    reason = "; ".join(refused) or "no token is configured that could show it"
    answer = {**_answer(sights, there), "reason": reason}
    if context.wishes.is_confirmed:
        # Archiving would silence the reminder of a channel that may still be connected.
        return Outcome(
            StepState.OPEN, answer, note=f"not proved: {reason}; run it without `--yes` to say so"
        )
    context.dialogue.note(f"nothing here can prove it: {reason}")
    if not context.dialogue.confirm(_QUESTION, flag="--yes"):
        return dataclasses.replace(_open(sights, there), said_by=login_name())
    said = {"proved_by": "person", "text": "the app shows no partner any more"}
    said |= {"disconnected_at": to_text(context.workspace.clock.now())}
    return Outcome(StepState.SETTLED, {**answer, **said}, login_name())
