"""What is known of a channel: its facts, its connection, and what could not be asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from wacoex_cli.channels.connection import connection_of
from wacoex_cli.channels.model import SUBSCRIBED_APPS, WABA_PREFIX, in_order, values_of
from wacoex_cli.channels.store import AccountEvents, Facts
from wacoex_cli.errors import WacoexError
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.platforms.answers import App

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime

    from wacoex_cli.channels.connection import Connection
    from wacoex_cli.channels.model import AccountEvent, Channel, Fact
    from wacoex_cli.foundation.state import State
    from wacoex_cli.platforms.answers import ListedNumber, User
    from wacoex_cli.platforms.respondio import WorkspaceChannel


Part = Literal["number", "token", "account", "apps", "respondio"]
"""What may fail when it is asked about a channel."""


class AppsSeen(NamedTuple):
    """What Meta shows of a WABA's partners beside its fields. `observed_at` is RFC 3339 in UTC.

    `apps` is None where that could not be read; `why` says why, and without an `error` the
    configured access cannot give it at all. `users` is None where they are not shown.
    """

    observed_at: str
    apps: tuple[App, ...] | None = None
    users: tuple[User, ...] | None = None
    why: str | None = None
    error: WacoexError | None = None

    @property
    def is_available(self) -> bool:
        """Whether Meta could be asked at all."""
        return self.apps is not None or self.error is not None


class WorkspaceList(NamedTuple):
    """The channels of a respond.io workspace. `channels` is None where they could not be read."""

    observed_at: str
    channels: tuple[WorkspaceChannel, ...] | None = None
    why: str | None = None
    error: WacoexError | None = None


@dataclass
class ChannelFacts:
    """What is known of one channel at `now`, from the state file and from asking just now.

    `facts` are the newest known, `read` those of just now, `failures` what could not be asked.
    `is_known` is whether the number itself was read, or so short a while ago that it counts.
    `apps` and `listed` are None where they were not asked for, `numbers` (those of the WABA)
    unless Meta hides the channel's own.
    """

    channel: Channel
    now: datetime
    facts: list[Fact] = field(default_factory=list)
    account_events: tuple[AccountEvent, ...] = ()
    read: list[Fact] = field(default_factory=list)
    failures: dict[Part, WacoexError] = field(default_factory=dict)
    is_known: bool = False
    lacks_token: bool = False
    lacks_app_secret: bool = False
    apps: AppsSeen | None = None
    numbers: tuple[ListedNumber, ...] | None = None
    listed: WorkspaceList | None = None

    @property
    def name(self) -> str:
        """The channel's name."""
        return self.channel.name

    @property
    def values(self) -> dict[str, Any]:
        """The values of the facts that were given, by name."""
        return values_of(self.facts)

    @property
    def connection(self) -> Connection:
        """How the channel is connected; facts of a number that is not known now do not count."""
        values = self.values if self.is_known else {}
        return connection_of(self.channel, self.account_events, values, self.now)

    @property
    def seen(self) -> AppsSeen | None:
        """The apps among the facts, as they were last read; None where they never were."""
        name = f"{WABA_PREFIX}{SUBSCRIBED_APPS}"
        fact = next((fact for fact in self.facts if fact.name == name), None)
        if fact is None:
            return None
        if not (fact.is_available and isinstance(fact.value, list)):
            return AppsSeen(fact.observed_at, why=fact.reason)
        apps = (App(app.get("id"), app.get("name"), app.get("override")) for app in fact.value)
        return AppsSeen(fact.observed_at, apps=tuple(apps))

    def observed_at(self, names: Collection[str] = ()) -> str:
        """When the oldest of the facts, or of those of these names, was read; else now."""
        times = (
            fact.observed_at
            for fact in self.facts
            if fact.observed_at and (not names or fact.name in names)
        )
        return min(times, default=to_text(self.now))

    def take(self, part: Part, answer: list[Fact] | WacoexError) -> None:
        """Take in the answer about a part, or why there is none."""
        if isinstance(answer, list):
            self.add(answer)
        else:
            self.failures[part] = answer

    def add(self, facts: Iterable[Fact]) -> None:
        """Take in what was read just now."""
        self.read += facts
        self.facts = in_order({fact.name: fact for fact in (*self.facts, *self.read)}.values())


def cannot_check(
    failures: Iterable[tuple[str, WacoexError]], listed: Callable[[list[str]], str] = ", ".join
) -> list[WacoexError]:
    """Why channels could not be checked, each reason once with the channels it is about.

    `failures` are names of channels, each with an error; `listed` puts several into words.
    """
    names: dict[tuple[str, str, str | None], dict[str, None]] = {}
    for name, error in failures:
        names.setdefault((error.code, error.message, error.hint), {})[name] = None
    return [
        WacoexError(
            f"cannot check {listed(list(channels))}: {message}",
            hint=hint,
            code=code,
            details={"channels": list(channels)},
        )
        for (code, message, hint), channels in names.items()
    ]


def stored_facts(
    state: State, channels: Sequence[Channel], now: datetime, names: Sequence[str] = ()
) -> dict[int, ChannelFacts]:
    """What the state file knows of each of these channels, by channel_id. Asks nobody.

    With `names` only the facts of those names.
    """
    facts = Facts(state).facts_by_channel(names)
    events = AccountEvents(state).of_channels(channels)
    return {
        channel.channel_id: ChannelFacts(
            channel,
            now,
            in_order(facts.get(channel.channel_id, ())),
            events[channel.channel_id],
            is_known=channel.channel_id in facts,
        )
        for channel in channels
    }
