"""What a broadcast was told to mind while it is sent, and what one run was told besides. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wacoex_cli.broadcast.canary import Canary
from wacoex_cli.broadcast.quiet_hours import QuietHours
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.durations import duration_from

if TYPE_CHECKING:
    from datetime import datetime

_NONE = "none"
_MOST_ROWS, _LONGEST_WAIT_SECONDS = 10_000, 24 * 3600.0


@dataclass(frozen=True)
class Guards:
    """Kept with the broadcast, so that `resume` minds them too.

    `canary_since` (RFC 3339, UTC) is when the canary was asked for: rows that left before are
    none of it.
    """

    canary: Canary | None = None
    canary_since: str | None = None
    quiet_hours: QuietHours | None = None

    @classmethod
    def from_json(cls, text: str) -> Guards:
        """The guards whose `to_json` this is; what is not told is not guarded."""
        told = json.loads(text)
        canary, hours = told.get("canary"), told.get("quiet_hours")
        return cls(
            canary=Canary(**canary) if canary else None,
            canary_since=told.get("canary_since"),
            quiet_hours=QuietHours.parse(hours) if hours else None,
        )

    def to_json(self) -> str:
        """As it is kept."""
        canary = self.canary
        told = {
            "canary": canary
            and {"rows": canary.rows, "wait_seconds": canary.wait_seconds, "limit": canary.limit},
            "canary_since": self.canary_since,
            "quiet_hours": self.quiet_hours and str(self.quiet_hours),
        }
        return json.dumps({name: one for name, one in told.items() if one is not None})

    def told(self) -> str:
        """In words, for the person who sends; empty when there are none."""
        canary, told = self.canary, []
        if canary:
            wait = f"{canary.wait_seconds / 60:g} min"
            told.append(
                f"canary of {canary.rows} (waits up to {wait}, fewer than"
                f" {canary.limit * 100:g}% may fail)"
            )
        if self.quiet_hours:
            told.append(f"quiet hours {self.quiet_hours} where each number is from")
        return ", ".join(told)


UNGUARDED = Guards()


@dataclass(frozen=True)
class Wishes:
    """What a person asks for in one command; None where nothing is said.

    `canary` 0 means none any more. `not_before` and `until` are as they were typed.
    """

    canary: int | None = None
    canary_wait_seconds: float | None = None
    canary_limit: float | None = None
    quiet_hours: QuietHours | None = None
    without_quiet_hours: bool = False
    not_before: str | None = None
    until: str | None = None

    def applied_to(self, guards: Guards) -> Guards:
        """The guards as they are from now on; a canary that is asked for anew begins anew.

        Raises:
            UsageError: the wait or the limit of a canary is given, and there is none.
        """
        if self.quiet_hours or self.without_quiet_hours:
            guards = replace(guards, quiet_hours=self.quiet_hours)
        canary = guards.canary
        if self.canary is not None:
            canary = Canary(self.canary) if self.canary else None
            guards = replace(guards, canary_since=None)
        if canary is None:
            if self.canary_wait_seconds is not None or self.canary_limit is not None:
                raise UsageError(
                    "`--canary-wait` and `--canary-limit` need a canary",
                    hint="say how many are sent to first: --canary 10",
                )
            return replace(guards, canary=None)
        wait, limit = self.canary_wait_seconds, self.canary_limit
        return replace(
            guards,
            canary=Canary(
                canary.rows,
                canary.wait_seconds if wait is None else wait,
                canary.limit if limit is None else limit,
            ),
        )


NO_WISHES = Wishes()


def wishes(
    canary: int | None,
    canary_wait: str | None,
    canary_limit: str | None,
    quiet_hours: str | None,
    not_before: str | None,
    until: str | None,
) -> Wishes:
    """The options as they were typed.

    Raises:
        UsageError: one of them is not understood.
    """
    if canary is not None and not 0 <= canary <= _MOST_ROWS:
        raise UsageError(
            f"`--canary` must be from 0 to {_MOST_ROWS}, not {canary}",
            hint="10 is a good number; 0 means none any more",
        )
    is_off = quiet_hours is not None and quiet_hours.strip().lower() == _NONE
    hours = None if quiet_hours is None or is_off else QuietHours.parse(quiet_hours)
    wait = None if canary_wait is None else _wait_seconds(canary_wait)
    limit = None if canary_limit is None else _share(canary_limit)
    return Wishes(canary, wait, limit, hours, is_off, not_before, until)


def check_times(not_before: datetime | None, until: datetime | None, now: datetime) -> None:
    """Whether one run can begin and end when it is to.

    Raises:
        UsageError: a time is over, or the end is not after the beginning.
    """
    for name, moment in (("--not-before", not_before), ("--until", until)):
        if moment is not None and moment <= now:
            raise UsageError(
                f"the time of `{name}` is over",
                hint="times are in the zone of the channel; write a `Z` at the end for UTC",
                code="bad_time",
            )
    if not_before and until and until <= not_before:
        raise UsageError("`--until` is not after `--not-before`", code="bad_time")


def _wait_seconds(text: str) -> float:
    found = duration_from(text)
    if found is None or not 0 < found.total_seconds() <= _LONGEST_WAIT_SECONDS:
        raise UsageError(
            f"`--canary-wait {text}` is not understood",
            hint="write `90s`, `10m` or `2h`, at most a day",
        )
    return found.total_seconds()


def _share(text: str) -> float:
    digits = text.strip().removesuffix("%")
    share = int(digits) / 100 if digits.isascii() and digits.isdigit() else 0.0
    if not 0 < share <= 1:
        raise UsageError(
            f"`--canary-limit {text}` is not understood",
            hint="write a share from `1%` to `100%`",
        )
    return share
