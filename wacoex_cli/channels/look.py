"""Ask Meta and respond.io about channels; what several channels need is asked for once."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from wacoex_cli.channels.facts import AppsSeen, WorkspaceList, note_hidden, note_shown
from wacoex_cli.channels.model import (
    META,
    PHONE_NUMBER_FIELDS,
    SUBSCRIBED_APPS,
    TOKEN_FIELDS,
    TOKEN_PREFIX,
    VISIBLE,
    WABA_FIELDS,
    WABA_PREFIX,
    WABA_VISIBLE,
    Fact,
    Provider,
    from_node,
    not_available,
)
from wacoex_cli.channels.nodes import (
    Batches,
    JoinedReads,
    facts_of_numbers,
    is_throttled,
    read_node,
)
from wacoex_cli.channels.registry import PATIENCE_SECONDS, meta_for, respondio_for
from wacoex_cli.channels.store import Facts
from wacoex_cli.errors import CredentialError, RefusedError, TemporaryError, UsageError, WacoexError
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.foundation.phone_numbers import spellings
from wacoex_cli.platforms.answers import AccessToken, is_not_visible

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping
    from datetime import datetime

    from wacoex_cli.channels.facts import ChannelFacts
    from wacoex_cli.channels.model import Channel, Sighting
    from wacoex_cli.channels.nodes import ReadNode
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.answers import ListedNumber
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.platforms.respondio import RespondIO

Answer = TypeVar("Answer")

AT_ONCE = 48
"""Questions that are open at the same time, of the 64 connections of the HTTP client."""
CALLS_PER_HOUR = 2500
"""Reads of one WABA in a clock hour: half of Meta's 5,000 in any hour (Meta: rate limits)."""
REUSABLE_FOR = timedelta(hours=1)
_MOST_OTHER_ACCOUNTS = 5
_CHANNELS_PER_LIMIT = 100
_TOKEN_REFUSED = frozenset({"meta_102", "meta_190"})


class SharedAnswers:
    """Answers that several wait for: the first who asks does the work, and all get its answer.

    Where the first gives up, the next does the work.
    """

    def __init__(self) -> None:
        self._answers: dict[tuple[str, ...], Any] = {}
        self._turns: dict[tuple[str, ...], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(
        self, key: tuple[str, ...], work: Callable[[], Coroutine[object, object, Answer]]
    ) -> Answer:
        """The answer of that key, which `work` gives."""
        async with self._turns[key]:
            if key not in self._answers:
                self._answers[key] = await work()
        answer: Answer = self._answers[key]
        return answer


class Look:
    """Asks about channels. `calls` are the reads made, by waba_id.

    `notes` say which fields were read for each number, and where Meta refused and the facts are
    up to an hour old.
    `calls_in_hour` are those of the present clock hour: a number that was read within the hour is
    not read again once they are spent. None for a look that is not rationed. `is_patient` is for
    somebody who waits for one channel: answers have no time limit, and a failed read is tried
    again for longer.
    """

    def __init__(
        self,
        workspace: Workspace,
        now: datetime,
        calls_in_hour: Mapping[str, int] | None = None,
        *,
        is_patient: bool = False,
    ) -> None:
        self.calls: dict[str, int] = {}
        self.clock_skew_seconds: float | None = None
        self._workspace = workspace
        self._now = now
        self._calls_before = calls_in_hour
        self._is_patient = is_patient
        self._seconds = workspace.settings.status_seconds_per_channel
        self._hundreds = 1
        self._has_answer = False
        self._started = workspace.clock.monotonic()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._shared = SharedAnswers()
        self._said: list[str] = []
        # By fields that a list does not give: the accounts whose list that is.
        self._read_for_each: dict[tuple[str, ...], list[str]] = {}
        # By server: whether it takes several questions in one request.
        self._batches: dict[str, Batches] = {}
        self._joined: dict[str, JoinedReads] = {}
        # By who asks and the account: the numbers that are read together.
        self._numbers_of_accounts: dict[tuple[str, str], list[str]] = {}

    @property
    def notes(self) -> list[str]:
        """A sentence for each thing to know, however many accounts it is true of."""
        return [*itertools.starmap(_not_listed, self._read_for_each.items()), *self._said]

    async def read(
        self,
        found: Collection[ChannelFacts],
        *,
        with_users: bool = False,
        with_respondio: bool = False,
        more: Callable[[ChannelFacts], Awaitable[None]] | None = None,
    ) -> None:
        """Ask about every channel's number, token, account and apps; one failure spoils no other.

        `with_users` asks also who else holds the account, `with_respondio` about the channels of
        the respond.io workspace. `more` is what else is asked about a channel, as soon as its
        token, its account and its apps are known, or cannot be.
        The time for all of it grows with every hundred channels, as long as anybody answers.
        """

        async def read(facts: ChannelFacts, way: Meta | WacoexError) -> None:
            facts.failures, facts.is_known = {}, False
            at_respondio = [self._at_respondio(facts)] if with_respondio else []
            await asyncio.gather(self._at_meta(facts, way, with_users, more), *at_respondio)

        self.take_time_for(len(found))
        ways = [self._way(facts.channel, with_users) for facts in found]
        for facts, way in zip(found, ways, strict=True):
            number_id, waba_id = facts.channel.phone_number_id, facts.channel.waba_id
            if isinstance(way, WacoexError) or self._is_spent(facts):
                continue
            if number_id and waba_id:
                self._numbers_of_accounts.setdefault((way.caller, waba_id), []).append(number_id)
        await asyncio.gather(*map(read, found, ways))

    def take_time_for(self, channels: int) -> None:
        """Let the limit for all questions be that of so many channels."""
        self._hundreds = max(1, math.ceil(channels / _CHANNELS_PER_LIMIT))

    def keep(self, state: State, found: Collection[ChannelFacts]) -> None:
        """Store what was read, and how many calls it took. Needs a transaction."""
        for facts in found:
            # Without a token nobody was asked, so nothing was shown or hidden anew.
            shown = {} if facts.lacks_token else facts.sightings
            sightings = [seen.to_fact(name) for name, seen in shown.items()]
            Facts(state).store(facts.channel.channel_id, [*facts.read, *sightings])
        Facts(state).count_calls(self.calls, self._now)

    async def ask(self, operation: Coroutine[object, object, Answer]) -> Answer | WacoexError:
        """The answer, or why there is none; the wait for a turn is not part of its time."""
        async with self._slots:
            left = self._started + self._seconds_in_all - self._workspace.clock.monotonic()
            seconds = None if self._is_patient else min(self._seconds, max(left, 0))
            try:
                async with asyncio.timeout(seconds):
                    answer = await operation
                self._has_answer = True
                return answer
            except TimeoutError:
                is_own = left >= self._seconds
            except WacoexError as error:
                self._has_answer |= error.code != "unreachable"
                return error
        limit = self._seconds if is_own else self._seconds_in_all
        whose = "" if is_own else ", the limit for all channels together"
        return TemporaryError(
            f"no answer within {limit:g} seconds{whose}",
            hint="try again; `-vv` shows each request and how long it took",
            code="too_slow",
        )

    @property
    def _seconds_in_all(self) -> float:
        """The limit for all channels together; it does not grow where nobody answers."""
        return self._workspace.settings.status_seconds * (self._hundreds if self._has_answer else 1)

    async def token(self, meta: Meta) -> AccessToken | WacoexError:
        """What Meta says about the token, asked once for all channels that have it."""
        return await self.once((meta.caller, "token"), meta.debug_token)

    async def numbers(
        self, meta: Meta, waba_id: str, fields: Sequence[str] = ()
    ) -> tuple[ListedNumber, ...] | WacoexError:
        """The numbers that an account shows, or why they cannot be seen."""
        key = (meta.caller, waba_id, "numbers", *fields)
        return await self.once(key, lambda: meta.phone_numbers(waba_id, fields))

    def joined(self, meta: Meta) -> JoinedReads:
        """Reads of numbers, which leave together where they are asked for at the same time."""
        if meta.caller not in self._joined:
            self._joined[meta.caller] = JoinedReads(meta, self.ask, self._batches_of(meta))
        return self._joined[meta.caller]

    async def number(self, facts: ChannelFacts) -> None:
        """Ask about the number alone. Raises CredentialError without a token."""
        meta = self._meta(facts.channel)
        await self._look_at_number(meta, facts, with_users=False)
        self._count(meta, facts.channel)

    async def account(self, facts: ChannelFacts) -> AppsSeen:
        """Ask about the account alone, its fields and its apps. Raises as `number` does."""
        meta = self._meta(facts.channel)
        await self._of_account(meta, facts, with_users=False)
        self._count(meta, facts.channel)
        return facts.apps or AppsSeen(to_text(self._now))

    async def respondio(self, facts: ChannelFacts) -> WorkspaceList:
        """Ask for the channels of the respond.io workspace. Raises as `number` does."""
        api = respondio_for(self._workspace, facts.channel)
        listed = await self.once((api.caller, "channels"), lambda: read_respondio(api, self._now))
        if isinstance(listed, WacoexError):
            listed = WorkspaceList(to_text(self._now), why=listed.message, error=listed)
        facts.listed = listed
        return listed

    def _meta(self, channel: Channel) -> Meta:
        patience = None if self._is_patient else PATIENCE_SECONDS
        return meta_for(self._workspace, channel, patience_seconds=patience)

    def _note_once(self, note: str) -> None:
        if note not in self._said:
            self._said.append(note)

    def _count(self, meta: Meta, channel: Channel) -> None:
        account = _account(channel)
        self.calls[account] = self.calls.get(account, 0) + meta.calls

    async def once(
        self, key: tuple[str, ...], operation: Callable[[], Coroutine[object, object, Answer]]
    ) -> Answer | WacoexError:
        """Asked once for all channels with the same key: who asks, and what about."""
        if self._is_patient:
            return await self.ask(operation())
        return await self._shared.get(key, lambda: self.ask(operation()))

    def _way(self, channel: Channel, with_users: bool) -> Meta | WacoexError:
        """How Meta is asked about a channel, or why it cannot be."""
        try:
            meta = self._meta(channel)
            if with_users:
                channel.demand_waba_id()
            else:
                channel.demand_phone_number_id()
        except (CredentialError, UsageError) as error:
            return error
        return meta

    async def _at_meta(
        self,
        facts: ChannelFacts,
        meta: Meta | WacoexError,
        with_users: bool,
        more: Callable[[ChannelFacts], Awaitable[None]] | None,
    ) -> None:
        if isinstance(meta, WacoexError) or self._is_spent(facts):
            if isinstance(meta, WacoexError):
                self._unreachable(facts, meta)
            else:
                facts.is_known = True
            if more is not None:
                await more(facts)
            return
        channel, is_fresh = facts.channel, self._is_fresh(facts)
        number, token = await asyncio.gather(
            self._look_at_number(meta, facts, with_users),
            self._beside_number(meta, facts, with_users, more),
        )
        await self._see(meta, facts, number, token)
        facts.lacks_app_secret = not meta.signs
        self._count(meta, channel)
        if meta.clock_skew_seconds is not None:
            self.clock_skew_seconds = meta.clock_skew_seconds
        facts.is_known = isinstance(number, list) or (number is None and bool(facts.facts))
        if facts.failures and all(map(is_throttled, facts.failures.values())) and is_fresh:
            refusal = next(iter(facts.failures.values()))
            self._note_once(f"{refusal.message}: the facts are those of the last hour")
            facts.failures, facts.is_known = {}, True
        elif isinstance(number, list) and _says_nothing(number):
            facts.is_known = False
            facts.failures["number"] = TemporaryError(
                "Meta's answer says nothing about this number",
                hint="try again in a minute; check the channel's `phone_number_id`",
                code="unusable_answer",
            )

    async def _beside_number(
        self,
        meta: Meta,
        facts: ChannelFacts,
        with_users: bool,
        more: Callable[[ChannelFacts], Awaitable[None]] | None,
    ) -> AccessToken | WacoexError:
        token, _ = await asyncio.gather(self.token(meta), self._of_account(meta, facts, with_users))
        facts.take("token", token_facts(token, self._now))
        if more is not None:
            await more(facts)
        return token

    async def _look_at_number(
        self, meta: Meta, facts: ChannelFacts, with_users: bool
    ) -> list[Fact] | WacoexError | None:
        channel = facts.channel
        if channel.phone_number_id is None:
            return None
        number = await self._facts_of_number(meta, channel.phone_number_id, channel.waba_id)
        facts.take("number", number)
        is_hidden = isinstance(number, WacoexError) and is_not_visible(number)
        if is_hidden and with_users and channel.waba_id:
            # One that Meta hides may have another id by now.
            numbers = await self.numbers(meta, channel.waba_id)
            facts.numbers = None if isinstance(numbers, WacoexError) else numbers
        return number

    async def _facts_of_number(
        self, meta: Meta, number_id: str, waba_id: str | None
    ) -> list[Fact] | WacoexError:
        """The facts of a number, read with those of the others of its account."""
        number_ids = self._numbers_of_accounts.get((meta.caller, waba_id or ""), [])
        if waba_id is None or len(number_ids) <= 1:
            return await self.ask(read_phone_number(meta.phone_number, number_id, self._now))
        batches, now = self._batches_of(meta), self._now

        def note_fields(fields: tuple[str, ...]) -> None:
            self._read_for_each.setdefault(fields, []).append(waba_id)

        found = await self._shared.get(
            (meta.caller, waba_id, "all numbers"),
            lambda: facts_of_numbers(
                meta, waba_id, number_ids, now, self.ask, batches, note_fields
            ),
        )
        return found[number_id]

    def _batches_of(self, meta: Meta) -> Batches:
        return self._batches.setdefault(meta.server, Batches(self._note_once))

    async def _see(
        self,
        meta: Meta,
        facts: ChannelFacts,
        number: list[Fact] | WacoexError | None,
        token: AccessToken | WacoexError,
    ) -> None:
        """Note whether Meta shows number and account; one that it showed before may be gone.

        Gone is what a token that is valid saw before and is not shown any more (code 100, subcode
        33). A number that is elsewhere now has moved. For another token nothing is certain.
        """
        phone_number_id, waba_id = facts.channel.phone_number_id, facts.channel.waba_id
        error = facts.apps.error if facts.apps else None
        is_account_hidden = error is not None and is_not_visible(error)
        if waba_id and facts.apps and facts.apps.apps is not None:
            note_shown(facts, WABA_VISIBLE, waba_id, meta.caller)
        if phone_number_id is None or number is None:
            return
        if isinstance(number, list):
            if not _says_nothing(number):
                note_shown(facts, VISIBLE, phone_number_id, meta.caller)
            if is_account_hidden:
                note_hidden(facts, WABA_VISIBLE, meta.caller)
            return
        is_hidden = is_not_visible(number)
        if is_hidden and isinstance(token, WacoexError) and token.code in _TOKEN_REFUSED:
            facts.failures["number"] = token
        is_valid = token.is_valid if isinstance(token, AccessToken) else None
        if is_valid is None:
            is_valid = facts.apps is not None and facts.apps.apps is not None
        before = facts.sighting(VISIBLE)
        if before is None or not (is_hidden and is_valid):
            return
        if not before.gone_since and before.caller != meta.caller:
            facts.failures["number"] = _seen_by_another_token(number, before)
            return
        accounts = token.accounts if isinstance(token, AccessToken) else ()
        facts.moved_to = await self._elsewhere(meta, facts.channel, accounts)
        if facts.moved_to is None:
            note_hidden(facts, VISIBLE, before.caller)
        else:
            facts.sightings[VISIBLE] = before._replace(gone_since=None)
        del facts.failures["number"]

    async def _elsewhere(
        self, meta: Meta, channel: Channel, accounts: Sequence[str]
    ) -> tuple[str, str] | None:
        """The account and the id under which this token sees the channel's number now."""
        others = [account for account in accounts if account != channel.waba_id]
        own = [channel.waba_id] if channel.waba_id else []
        phones = {phone.removeprefix("+") for phone in spellings(channel.phone)}
        for waba_id in (*own, *others[:_MOST_OTHER_ACCOUNTS]):
            listed = await self.numbers(meta, waba_id)
            for entry in () if isinstance(listed, WacoexError) else listed:
                if entry.digits in phones:
                    return waba_id, entry.phone_number_id
        return None

    async def _of_account(self, meta: Meta, facts: ChannelFacts, with_users: bool) -> None:
        """The fields of the account, its apps, and its users where they are asked for."""
        seen_at, waba_id = to_text(self._now), facts.channel.waba_id
        if waba_id is None:
            reason = f"channel `{facts.name}` has no waba_id"
            fields = (*WABA_FIELDS, SUBSCRIBED_APPS)
            facts.add(not_available(WABA_PREFIX, fields, reason, seen_at))
            return
        account, apps = await asyncio.gather(
            self.once((meta.caller, waba_id), lambda: read_waba(meta, waba_id, self._now)),
            self.once((meta.caller, waba_id, "apps"), lambda: meta.subscribed_apps(waba_id)),
        )
        facts.take("account", account)
        if isinstance(apps, WacoexError):
            facts.apps = AppsSeen(seen_at, why=apps.message, error=apps)
            is_refused = isinstance(apps, (CredentialError, RefusedError))
            unseen = not_available(WABA_PREFIX, [SUBSCRIBED_APPS], apps.message, seen_at)
            facts.take("apps", unseen if is_refused else apps)
            return
        kept = [{name: value for name, value in app._asdict().items() if value} for app in apps]
        facts.add([Fact(f"{WABA_PREFIX}{SUBSCRIBED_APPS}", kept, META, seen_at)])
        users = None
        if with_users:
            owner = facts.values.get("waba.owner_business_info")
            owner_id = str(owner.get("id") or "") if isinstance(owner, dict) else ""
            if owner_id:
                users = await self.once(
                    (meta.caller, waba_id, "users"), lambda: meta.assigned_users(waba_id, owner_id)
                )
        facts.apps = AppsSeen(seen_at, apps, None if isinstance(users, WacoexError) else users)

    async def _at_respondio(self, facts: ChannelFacts) -> None:
        if facts.channel.respondio_channel_id is None:
            return
        try:
            await self.respondio(facts)
        except CredentialError as error:
            if facts.channel.provider is Provider.RESPONDIO:
                facts.failures["respondio"] = error

    def _unreachable(self, facts: ChannelFacts, error: WacoexError) -> None:
        """Without a token or an id: a fault where Meta is the provider, else not available."""
        seen_at, lacks_token = to_text(self._now), error.code == "credentials_missing"
        facts.apps = AppsSeen(seen_at, why=error.message)
        is_unset = lacks_token or error.code == "channel_incomplete"
        if facts.channel.provider is Provider.META or not is_unset:
            facts.failures["number"], facts.lacks_token = error, lacks_token
            return
        facts.is_known = True
        if lacks_token or facts.channel.phone_number_id is None:
            facts.add(not_available("", PHONE_NUMBER_FIELDS, error.message, seen_at))
            fields = (*WABA_FIELDS, SUBSCRIBED_APPS)
            facts.add(not_available(WABA_PREFIX, fields, error.message, seen_at))
            facts.add(not_available(TOKEN_PREFIX, TOKEN_FIELDS, error.message, seen_at))

    def _is_spent(self, facts: ChannelFacts) -> bool:
        """Whether the reads of this hour are used up, and the number was read within the hour."""
        calls = (self._calls_before or {}).get(_account(facts.channel), 0)
        return calls >= CALLS_PER_HOUR and self._is_fresh(facts)

    def _is_fresh(self, facts: ChannelFacts) -> bool:
        """Whether the number was read within the hour, where reads are rationed."""
        known = facts.facts
        seen = [known[name].observed_at for name in PHONE_NUMBER_FIELDS if name in known]
        if self._calls_before is None or not seen:
            return False
        return timedelta(0) <= self._now - from_text(max(seen)) < REUSABLE_FOR


def _seen_by_another_token(error: WacoexError, before: Sighting) -> WacoexError:
    """The same failure, with when another token was shown the number."""
    message = f"{error.message}; another token saw it at {before.seen_at}"
    hint = f"give this token the account of the number, or use the former token again; {error.hint}"
    return type(error)(message, hint=hint, code=error.code, details=error.details)


def answered(answer: Answer | WacoexError) -> Answer:
    """The answer to a question. Raises the error where there is none."""
    if isinstance(answer, WacoexError):
        raise answer
    return answer


def _not_listed(fields: Sequence[str], accounts: Collection[str]) -> str:
    """That lists of accounts do not give these fields."""
    names, different = ", ".join(f"`{name}`" for name in fields), set(accounts)
    if len(different) == 1:
        whose = f"the list of account {next(iter(different))} does"
    else:
        whose = f"the lists of {len(different)} accounts do"
    return f"{whose} not give {names}: read for each number"


def _account(channel: Channel) -> str:
    return channel.waba_id or channel.phone_number_id or ""


def _says_nothing(facts: Sequence[Fact]) -> bool:
    names = {"status", "is_on_biz_app", "health_status"}
    values = [fact.value for fact in facts if fact.name in names and fact.is_available]
    return all(value is None for value in values)


async def read_respondio(respondio: RespondIO, now: datetime) -> WorkspaceList:
    """The channels of the workspace. Never raises for what respond.io answers."""
    try:
        return WorkspaceList(to_text(now), await respondio.list_channels())
    except WacoexError as error:
        return WorkspaceList(to_text(now), why=error.message, error=error)


async def read_phone_number(
    read: ReadNode,
    phone_number_id: str,
    now: datetime,
    fields: Sequence[str] = PHONE_NUMBER_FIELDS,
) -> list[Fact]:
    """These fields of the number; a refused one is a fact that is not available.

    Raises as `read` does when the node itself is refused.
    """
    given, refused = await read_node(read, phone_number_id, fields)
    return from_node("", fields, given, refused, to_text(now))


async def read_waba(meta: Meta, waba_id: str, now: datetime) -> list[Fact]:
    """Everything about the account. One that this token may not see is not available.

    Raises TemporaryError when Meta gives no usable answer.
    """
    try:
        given, refused = await read_node(meta.waba, waba_id, WABA_FIELDS)
    except (CredentialError, RefusedError) as error:
        return not_available(WABA_PREFIX, WABA_FIELDS, error.message, to_text(now))
    return from_node(WABA_PREFIX, WABA_FIELDS, given, refused, to_text(now))


def token_facts(token: AccessToken | WacoexError, now: datetime) -> list[Fact] | WacoexError:
    """Validity, expiry and scopes. A token that may not ask about itself is not available."""
    if isinstance(token, AccessToken):
        return from_node(TOKEN_PREFIX, TOKEN_FIELDS, token.values, {}, to_text(now))
    if isinstance(token, (CredentialError, RefusedError)):
        return not_available(TOKEN_PREFIX, TOKEN_FIELDS, token.message, to_text(now))
    return token
