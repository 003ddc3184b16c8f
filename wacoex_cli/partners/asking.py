"""Asking Meta and respond.io about the partners of many channels, side by side."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from wacoex_cli.channels.access import meta_for, respondio_for
from wacoex_cli.channels.model import Fact, Provider, values_of
from wacoex_cli.channels.reading import read_phone_number, read_token, read_waba
from wacoex_cli.errors import CredentialError, TemporaryError, UsageError, WacoexError
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.partners import reading
from wacoex_cli.partners.model import Listed, Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.platforms.meta_answers import ListedNumber

_T = TypeVar("_T")
_Key = TypeVar("_Key")
AT_ONCE = 8
"""Channels that are asked about at the same time."""
_PATIENCE_SECONDS = 2.0
_NOT_VISIBLE = (100, 33)


@dataclass
class Asked:
    """What came of asking about one channel. `listed` is None where respond.io was not asked.

    `numbers` are those of the WABA, asked for when Meta does not show the channel's own.
    """

    seen: Seen
    facts: list[Fact] = field(default_factory=list)
    numbers: tuple[ListedNumber, ...] | None = None
    listed: Listed | None = None
    failures: list[WacoexError] = field(default_factory=list)


class Asker:
    """Asks about channels; what several share is asked once. `calls` counts reads by waba_id."""

    def __init__(self, workspace: Workspace, now: datetime) -> None:
        self.calls: dict[str, int] = {}
        self._workspace = workspace
        self._now = now
        self._seconds = workspace.settings.status_seconds_per_channel
        self._end = workspace.clock.monotonic() + workspace.settings.status_seconds
        # What channels share is asked once: by caller, and by account.
        self._accounts: dict[tuple[str, str], asyncio.Task[tuple[list[Fact], Seen]]] = {}
        self._tokens: dict[str, asyncio.Task[list[Fact] | WacoexError]] = {}
        self._workspaces: dict[str, asyncio.Task[Listed | WacoexError]] = {}

    async def ask_all(self, channels: Sequence[Channel]) -> dict[int, Asked]:
        """Ask about every channel, by channel_id; what fails for one spoils no other."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(channel: Channel) -> Asked:
            async with slots:
                asked = await self._at_meta(channel)
                await self._at_respondio(channel, asked)
                return asked

        found = await asyncio.gather(*map(one, channels))
        return {each.channel_id: asked for each, asked in zip(channels, found, strict=True)}

    async def _at_meta(self, channel: Channel) -> Asked:
        seen_at = to_text(self._now)
        try:
            meta = meta_for(self._workspace, channel, patience_seconds=_PATIENCE_SECONDS)
            waba_id = channel.demand_waba_id()
        except (CredentialError, UsageError) as error:
            asked = Asked(Seen(seen_at, why=error.message))
            if not _is_not_available(channel, error):
                asked.failures.append(error)
            return asked
        account, token, number = await asyncio.gather(
            _once(self._accounts, (meta.caller, waba_id), lambda: self._account(meta, channel)),
            _once(self._tokens, meta.caller, lambda: self._read(read_token(meta, self._now))),
            self._number(meta, channel),
        )
        asked = _put_together(account, token, number)
        if isinstance(number, WacoexError):
            await self._explain(meta, channel, number, asked)
        self.calls[waba_id] = self.calls.get(waba_id, 0) + meta.calls
        return asked

    async def _account(self, meta: Meta, channel: Channel) -> tuple[list[Fact], Seen]:
        facts = await self._read(read_waba(meta, channel.waba_id or "", self._now))
        known = facts if isinstance(facts, list) else []
        seen = await self._read(reading.read(meta, channel, self._now, values_of(known)))
        if isinstance(seen, WacoexError):
            seen = Seen(to_text(self._now), why=seen.message, error=seen)
        return known, seen

    async def _number(self, meta: Meta, channel: Channel) -> list[Fact] | WacoexError | None:
        if channel.phone_number_id is None:
            return None
        return await self._read(read_phone_number(meta, channel.phone_number_id, self._now))

    async def _explain(
        self, meta: Meta, channel: Channel, error: WacoexError, asked: Asked
    ) -> None:
        """Why the number was not shown; one that Meta hides may have another id by now."""
        if (error.details.get("code"), error.details.get("subcode")) == _NOT_VISIBLE:
            numbers = await self._read(reading.read_numbers(meta, channel))
            asked.numbers = None if isinstance(numbers, WacoexError) else numbers
        listed = {number.phone_number_id for number in asked.numbers or ()}
        is_explained = asked.numbers is not None and channel.phone_number_id not in listed
        if not is_explained and asked.seen.error is None:
            asked.failures.append(error)

    async def _at_respondio(self, channel: Channel, asked: Asked) -> None:
        if channel.respondio_channel_id is None:
            return
        try:
            respondio = respondio_for(self._workspace, channel)
        except CredentialError as error:
            if channel.provider is Provider.RESPONDIO:
                asked.failures.append(error)
            return
        listed = await _once(
            self._workspaces,
            respondio.caller,
            lambda: self._read(reading.read_respondio(respondio, self._now)),
        )
        if isinstance(listed, WacoexError):
            listed = Listed(to_text(self._now), why=listed.message, error=listed)
        asked.listed = listed

    async def _read(self, operation: Coroutine[object, object, _T]) -> _T | WacoexError:
        left = self._end - self._workspace.clock.monotonic()
        try:
            async with asyncio.timeout(min(self._seconds, max(left, 0))):
                return await operation
        except TimeoutError:
            return TemporaryError(
                f"no answer within {self._seconds:g} seconds",
                hint="try again; `-vv` shows each request and how long it took",
                code="too_slow",
            )
        except WacoexError as error:
            return error


async def _once(
    tasks: dict[_Key, asyncio.Task[_T]], key: _Key, ask: Callable[[], Coroutine[object, object, _T]]
) -> _T:
    if key not in tasks:
        tasks[key] = asyncio.create_task(ask())
    return await tasks[key]


def _put_together(
    account: tuple[list[Fact], Seen],
    token: list[Fact] | WacoexError,
    number: list[Fact] | WacoexError | None,
) -> Asked:
    facts, seen = account
    known = [part for part in (token, number) if isinstance(part, list)]
    return Asked(seen, [*facts, *(fact for part in known for fact in part)])


def _is_not_available(channel: Channel, error: WacoexError) -> bool:
    """The configured access cannot give it, and with respond.io as the provider need not."""
    is_unset = error.code in {"credentials_missing", "channel_incomplete"}
    return channel.provider is Provider.RESPONDIO and is_unset
