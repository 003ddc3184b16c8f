"""Reading many channels from Meta side by side: bounded in number, in time and in calls."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.channels import access, reading
from wacoex_cli.channels.model import (
    PHONE_NUMBER_FIELDS,
    SUBSCRIBED_APPS,
    TOKEN_FIELDS,
    TOKEN_PREFIX,
    WABA_FIELDS,
    WABA_PREFIX,
    Fact,
    Provider,
    not_available,
)
from wacoex_cli.diagnosis.asked import Reading
from wacoex_cli.errors import CredentialError, TemporaryError, UsageError, WacoexError
from wacoex_cli.foundation.clock import from_text, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.meta import Meta

AT_ONCE = 48
"""Questions that are open at the same time."""
BESIDE = 16
"""What may be asked beside them: together they are the 64 connections of the HTTP client."""
CALLS_PER_HOUR = 2500
"""Reads of one WABA in a clock hour: half of Meta's 5,000 in any hour (Meta: rate limits)."""
REUSABLE_FOR = timedelta(hours=1)
_PATIENCE_SECONDS = 2.0
_THROTTLED = frozenset({4, 17, 613, 80007, 80008})


class Gatherer:
    """Asks Meta about channels. `stored` are facts by channel_id, `calls` reads by waba_id."""

    def __init__(
        self,
        workspace: Workspace,
        stored: Mapping[int, Sequence[Fact]],
        calls: Mapping[str, int],
        now: datetime,
    ) -> None:
        self.calls: dict[str, int] = {}
        self.clock_skew_seconds: float | None = None
        self._workspace = workspace
        self._stored = stored
        self._calls_before = calls
        self._now = now
        self._seconds = workspace.settings.status_seconds_per_channel
        self._end = workspace.clock.monotonic() + workspace.settings.status_seconds
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._shared: dict[tuple[str, str], asyncio.Task[list[Fact] | WacoexError]] = {}

    async def read_all(self, channels: Sequence[Channel]) -> dict[int, Reading]:
        """Ask about every channel, by channel_id; what fails for one spoils no other."""
        try:
            found = await asyncio.gather(*(self._read(channel) for channel in channels))
        finally:
            for task in self._shared.values():
                task.cancel()
            await asyncio.gather(*self._shared.values(), return_exceptions=True)
        return {channel.channel_id: result for channel, result in zip(channels, found, strict=True)}

    async def _read(self, channel: Channel) -> Reading:
        try:
            meta = access.meta_for(self._workspace, channel, patience_seconds=_PATIENCE_SECONDS)
            phone_number_id = channel.demand_phone_number_id()
        except (CredentialError, UsageError) as error:
            return self._unreachable(channel, error)
        if self._is_spent(channel) and self._is_fresh(channel):
            return Reading(is_known=True)
        phone, *others = await asyncio.gather(
            self._ask(reading.read_phone_number(meta, phone_number_id, self._now)),
            self._once(meta, "token", lambda: reading.read_token(meta, self._now)),
            *self._of_waba(meta, channel),
        )
        self._count(meta, channel)
        result = self._put_together(channel, phone, others)
        result.lacks_app_secret = not meta.signs
        return result

    def _put_together(
        self,
        channel: Channel,
        phone: list[Fact] | WacoexError,
        others: list[list[Fact] | WacoexError],
    ) -> Reading:
        parts = [phone, *others]
        facts = [fact for part in parts if isinstance(part, list) for fact in part]
        failures = [part for part in parts if isinstance(part, WacoexError)]
        is_known = isinstance(phone, list)
        if failures and all(map(_is_throttled, failures)) and self._is_fresh(channel):
            return Reading(facts, is_known=True)
        if isinstance(phone, list) and _says_nothing(phone):
            is_known = False
            failures.append(_empty_answer())
        return Reading(facts, failures, is_known=is_known)

    def _unreachable(self, channel: Channel, error: WacoexError) -> Reading:
        """Without a token or an id: a fault where Meta is the provider, else not available."""
        lacks_token = error.code == "credentials_missing"
        if channel.provider is Provider.META or not (
            lacks_token or error.code == "channel_incomplete"
        ):
            return Reading(failures=[error], lacks_token=lacks_token)
        seen = to_text(self._now)
        groups = (
            ("", PHONE_NUMBER_FIELDS),
            (WABA_PREFIX, (*WABA_FIELDS, SUBSCRIBED_APPS)),
            (TOKEN_PREFIX, TOKEN_FIELDS),
        )
        facts = [
            fact
            for prefix, fields in groups
            for fact in not_available(prefix, fields, error.message, seen)
        ]
        return Reading(facts, is_known=True)

    async def _ask(
        self, question: Coroutine[object, object, list[Fact]]
    ) -> list[Fact] | WacoexError:
        """The answer, or why there is none; the wait for a turn is not part of its time."""
        async with self._slots:
            left = self._end - self._workspace.clock.monotonic()
            try:
                async with asyncio.timeout(min(self._seconds, max(left, 0))):
                    return await question
            except TimeoutError:
                return self._too_slow(is_own=left >= self._seconds)
            except WacoexError as error:
                return error

    def _too_slow(self, *, is_own: bool) -> WacoexError:
        limit = self._seconds if is_own else self._workspace.settings.status_seconds
        whose = "" if is_own else ", the limit for all channels together"
        return TemporaryError(
            f"no answer within {limit:g} seconds{whose}",
            hint="try again; `-vv` shows each request and how long it took",
            code="too_slow",
        )

    async def _once(
        self, meta: Meta, about: str, ask: Callable[[], Coroutine[object, object, list[Fact]]]
    ) -> list[Fact] | WacoexError:
        """Asked once for all channels that share the token, and the account where it is about."""
        key = (meta.caller, about)
        if key not in self._shared:
            self._shared[key] = asyncio.create_task(self._ask(ask()))
        return await asyncio.shield(self._shared[key])

    def _of_waba(
        self, meta: Meta, channel: Channel
    ) -> list[Coroutine[object, object, list[Fact] | WacoexError]]:
        """The questions about the account, none where it is not known."""
        waba_id = channel.waba_id
        if waba_id is None:
            return [self._without_waba(channel)]
        return [
            self._once(meta, waba_id, lambda: reading.read_waba(meta, waba_id, self._now)),
            self._once(
                meta,
                f"{waba_id}/subscribed_apps",
                lambda: reading.read_subscribed_apps(meta, waba_id, self._now),
            ),
        ]

    async def _without_waba(self, channel: Channel) -> list[Fact]:
        reason = f"channel `{channel.name}` has no waba_id"
        fields = (*WABA_FIELDS, SUBSCRIBED_APPS)
        return not_available(WABA_PREFIX, fields, reason, to_text(self._now))

    def _count(self, meta: Meta, channel: Channel) -> None:
        key = _account(channel)
        self.calls[key] = self.calls.get(key, 0) + meta.calls
        if meta.clock_skew_seconds is not None:
            self.clock_skew_seconds = meta.clock_skew_seconds

    def _is_spent(self, channel: Channel) -> bool:
        return self._calls_before.get(_account(channel), 0) >= CALLS_PER_HOUR

    def _is_fresh(self, channel: Channel) -> bool:
        """Whether the number was read within the hour."""
        seen = [
            from_text(fact.observed_at)
            for fact in self._stored.get(channel.channel_id, ())
            if fact.name in PHONE_NUMBER_FIELDS
        ]
        return bool(seen) and timedelta(0) <= self._now - max(seen) < REUSABLE_FOR


def _account(channel: Channel) -> str:
    return channel.waba_id or channel.phone_number_id or ""


def _is_throttled(error: WacoexError) -> bool:
    return error.details.get("code") in _THROTTLED


def _says_nothing(facts: Sequence[Fact]) -> bool:
    deciding = [one for one in facts if one.name in {"status", "is_on_biz_app", "health_status"}]
    asked = [one for one in deciding if one.is_available]
    return bool(asked) and all(one.value is None for one in asked)


def _empty_answer() -> WacoexError:
    return TemporaryError(
        "Meta's answer tells nothing about this number",
        hint="try again in a minute; check the channel's `phone_number_id`",
        code="unusable_answer",
    )
