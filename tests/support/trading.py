"""The exchange of one broadcast with the state file, without an engine or a loop around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.sending.exchange import Exchange, Granted, Report, trade_together

if TYPE_CHECKING:
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.locks import Presence
    from wacoex_cli.foundation.state import State
    from wacoex_cli.sending.guards import Run


class Trader:
    """Trades for one broadcast alone, each time in a transaction of its own."""

    def __init__(self, state: State, presence: Presence, clock: Clock, run: Run) -> None:
        self._state = state
        self.exchange = Exchange(state, presence, clock, run)

    def __call__(self, report: Report) -> Granted:
        [outcome] = trade_together(self._state, [(self.exchange, report)])
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome
