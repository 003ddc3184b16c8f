"""Installing, showing and removing what starts `reminder notify` each hour."""

from __future__ import annotations

import hashlib
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from wacoex_cli.channels.store import Channels
from wacoex_cli.errors import WacoexError
from wacoex_cli.inactivity import runs_ledger
from wacoex_cli.inactivity.crontab import Crontab
from wacoex_cli.inactivity.job import (
    EVERY_SECONDS,
    Job,
    demand_startable,
    job_for,
    left_behind,
)
from wacoex_cli.inactivity.systemd import UserTimer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wacoex_cli.foundation.workspace import Workspace


class Way(Protocol):
    """One way to start something each hour. Texts are kept by the place they stand in."""

    kind: str
    reaches_keyring: bool

    def problem(self) -> str | None: ...
    def there(self) -> dict[str, str]: ...
    def planned(self, job: Job, minute: int) -> dict[str, str]: ...
    def is_active(self) -> bool: ...
    def install(self, planned: Mapping[str, str]) -> None: ...
    def remove(self) -> None: ...
    def hints(self) -> list[str]: ...


@dataclass(frozen=True)
class Shown:
    """One way: why it cannot be used, what is there, and what `install` would put there."""

    kind: str
    problem: str | None
    there: Mapping[str, str]
    would_be: Mapping[str, str]

    def to_json(self) -> dict[str, object]:
        """The entry of `schedule show`."""
        return {
            "kind": self.kind,
            "problem": self.problem,
            "installed": bool(self.there),
            "current": dict(self.there) == dict(self.would_be),
            "there": dict(self.there),
            "would_be": dict(self.would_be),
        }


@dataclass(frozen=True)
class Scheduled:
    """What `install` did, or would do. `others` are further ways that are installed too."""

    kind: str
    changed: bool
    texts: Mapping[str, str]
    hints: tuple[str, ...]
    others: tuple[str, ...]


def show(workspace: Workspace, kind: str | None) -> list[Shown]:
    """What is installed in each way, or in the one that is named. Raises WacoexError."""
    job, minute = job_for(workspace), _minute(workspace)
    return [
        Shown(one.kind, one.problem(), one.there(), one.planned(job, minute)) for one in _ways(kind)
    ]


def install(workspace: Workspace, kind: str | None, *, dry_run: bool) -> Scheduled:
    """Have `reminder notify` started each hour; what is so already stays untouched.

    Without a kind it is the one that is installed already, else systemd where this user's answers,
    else cron. Warns of secrets that the schedule will not see.

    Raises WacoexError when it cannot be installed, RefusedError for units that are not ours.
    """
    way = _usable_way(kind)
    job = job_for(workspace)
    demand_startable()
    planned = way.planned(job, _minute(workspace))
    changed = way.there() != planned or not way.is_active()
    channels = [one for one in Channels(workspace.state).all_channels() if not one.archived_at]
    for text in left_behind(workspace, channels, reaches_keyring=way.reaches_keyring):
        workspace.warn(text)
    if not dry_run:
        if changed:
            way.install(planned)
        now = workspace.clock.now()
        runs_ledger.keep_schedule(
            workspace.state, socket.gethostname(), way.kind, EVERY_SECONDS, now
        )
    others = tuple(one.kind for one in _ways(None) if one.kind != way.kind and one.there())
    return Scheduled(way.kind, changed, planned, tuple(way.hints()), others)


def remove(workspace: Workspace, kind: str | None, *, dry_run: bool) -> dict[str, dict[str, str]]:
    """Remove what `install` added, and nothing else; returns it by kind. Raises WacoexError."""
    removed = {}
    for one in _ways(kind):
        there = one.there()
        if there:
            removed[one.kind] = there
            if not dry_run:
                one.remove()
        if not dry_run:
            runs_ledger.forget_schedule(workspace.state, socket.gethostname(), one.kind)
    return removed


def _ways(kind: str | None) -> list[Way]:
    ways: list[Way] = [UserTimer(), Crontab()]
    return [one for one in ways if kind in {None, one.kind}]


def _usable_way(kind: str | None) -> Way:
    ways = _ways(kind)
    installed = [one for one in ways if one.there()]
    problems = {}
    for one in [*installed, *ways]:
        problem = one.problem()
        if problem is None:
            return one
        problems[one.kind] = problem
    if kind is None:
        raise WacoexError(
            "neither systemd nor cron can be used here: " + "; ".join(problems.values()),
            hint="have `wacoex reminder notify` started each hour by whatever runs things here",
            code="schedule_impossible",
        )
    other = "--cron" if kind == "systemd" else "--systemd"
    raise WacoexError(
        f"{kind} cannot be used here: {problems[kind]}",
        hint=f"try `{other}`, or have `wacoex reminder notify` started each hour by other means",
        code="schedule_impossible",
    )


def _minute(workspace: Workspace) -> int:
    """A minute that differs between installations and stays the same for each."""
    name = f"{socket.gethostname()} {workspace.settings.state}"
    return hashlib.sha256(name.encode()).digest()[0] % 60
