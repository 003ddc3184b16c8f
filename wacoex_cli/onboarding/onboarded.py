"""When the number of a journey was connected, as far as its steps tell. Pure but for the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.foundation.clock import from_text
from wacoex_cli.onboarding.model import Route, StepState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from wacoex_cli.onboarding.journey import Context
    from wacoex_cli.onboarding.model import Record

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
