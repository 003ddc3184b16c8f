"""Who told Meta to get no more marketing messages goes on the opt-out list by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.audience import ledger
from wacoex_cli.platforms.events import Kind, Projection

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.foundation.state import State
    from wacoex_cli.platforms.events import Event


def project(state: State, events: Sequence[Event], now: datetime) -> None:
    """Put everybody on the list who said stop (Meta: user_preferences webhook).

    A later "resume" takes nobody off: `wacoex optout remove` does. Who is known by a user id
    only cannot be put on a list of numbers; nobody sends to them by number either.
    """
    for one in events:
        if one.data.get("value") == "stop" and (one.contact or "").startswith("+"):
            ledger.add_stop(state, str(one.contact), one.at, now)


OPTOUTS = Projection("opt-outs", frozenset({Kind.USER_PREFERENCE}), project)
