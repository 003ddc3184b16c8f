"""What a step that waits remembers from when it began: a resumed walk goes on from there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.foundation.clock import to_text
from wacoex_cli.onboarding import ledger
from wacoex_cli.onboarding.model import Outcome, StepState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wacoex_cli.onboarding.journey import Context

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
