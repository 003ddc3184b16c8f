"""Every number and respond.io channel that the configured tokens can see, and adding them."""

from __future__ import annotations

import asyncio
import itertools
import re
import unicodedata
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeVar

from wacoex_cli.channels import access, registry
from wacoex_cli.channels.model import Details
from wacoex_cli.channels.registry import alike
from wacoex_cli.channels.store import Channels
from wacoex_cli.errors import CredentialError, RefusedError, TemporaryError, UsageError, WacoexError
from wacoex_cli.foundation.phone_numbers import normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.answers import ListedNumber
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.platforms.respondio import RespondIO
    from wacoex_cli.terminal.dialogue import Dialogue

    Api = TypeVar("Api", Meta, RespondIO)

_AT_ONCE = 8
_FEWER_FIELDS = ("id", "display_phone_number", "verified_name", "status", "is_on_biz_app")
_FIELDS = (*_FEWER_FIELDS, "platform_type")
_FIELD_REFUSED = 100
_BAD_TOKEN = 190
_CONNECTED = "CONNECTED"
_LONGEST_NAME = 40
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class FoundNumber:
    """A phone number of an account; None is what Meta did not say. `known_as` names a channel."""

    phone: str | None
    phone_number_id: str
    waba_id: str
    verified_name: str | None
    is_on_biz_app: bool | None
    platform_type: str | None
    status: str | None
    known_as: str | None

    @property
    def is_coexistence(self) -> bool:
        """In use with the app and the Cloud API at once (Meta: onboarding business app users)."""
        return self.is_on_biz_app is True and self.platform_type in {None, "CLOUD_API"}

    @property
    def can_be_added(self) -> bool:
        """A Coexistence number that is no channel yet."""
        return self.is_coexistence and self.known_as is None and self.phone is not None


@dataclass(frozen=True)
class FoundRespondIO:
    """A channel of a respond.io workspace, which does not tell its number."""

    id: int
    name: str
    source: str
    known_as: str | None

    @property
    def may_be_whatsapp(self) -> bool:
        """Whether its source sounds like it; respond.io does not list the words it uses."""
        return "whatsapp" in self.source.lower()


@dataclass(frozen=True)
class Found:
    """What was seen. `failures` are the sources that could not be read, `answers` those that were.

    `channels` are those that were known, archived ones too.
    """

    numbers: tuple[FoundNumber, ...]
    respondio: tuple[FoundRespondIO, ...]
    failures: tuple[WacoexError, ...]
    answers: int
    channels: tuple[Channel, ...]

    @property
    def new(self) -> tuple[FoundNumber, ...]:
        """What can be added, each phone once: where it has two ids, the one that is connected."""
        by_phone: dict[str | None, FoundNumber] = {}
        for one in self.numbers:
            before = by_phone.get(one.phone)
            if one.can_be_added and (before is None or before.status != _CONNECTED):
                by_phone[one.phone] = one
        return tuple(by_phone.values())

    def to_json(self) -> dict[str, object]:
        """The keys that `channel discover` shows about it."""
        return {
            "found": [asdict(one) for one in self.numbers],
            "respondio": [asdict(one) for one in self.respondio],
        }


async def look_around(workspace: Workspace, channels: Sequence[Channel]) -> Found:
    """Ask Meta and respond.io with each token that is configured, for all or for one channel.

    What fails at one place hides nothing of another. `channels` are all that are known.
    Raises CredentialError when there is no token at all.
    """
    search = _Search(workspace, channels)
    await search.everywhere()
    if not search.sources:
        raise search.failures[0] if search.failures else _no_token()
    numbers = sorted(
        search.numbers.values(),
        key=lambda one: (not one.is_coexistence, one.phone or "", one.phone_number_id),
    )
    return Found(
        tuple(numbers),
        tuple(search.respondio[number] for number in sorted(search.respondio)),
        tuple(sorted(search.failures, key=lambda error: error.message)),
        search.answers,
        tuple(channels),
    )


class _Search:
    """What was found so far, each number and channel once, whoever sees it."""

    def __init__(self, workspace: Workspace, channels: Sequence[Channel]) -> None:
        self.numbers: dict[str, FoundNumber] = {}
        self.respondio: dict[int, FoundRespondIO] = {}
        self.failures: list[WacoexError] = []
        self.sources = 0
        self.answers = 0
        self._workspace = workspace
        self._channels = channels
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def everywhere(self) -> None:
        metas, respondios = self._apis(access.meta_for), self._apis(access.respondio_for)
        self.sources = len(metas) + len(respondios)
        await asyncio.gather(
            *(self._ask_meta(meta, users) for meta, users in metas),
            *(self._ask_respondio(respondio) for respondio, _ in respondios),
        )

    def _apis(
        self, api_for: Callable[[Workspace, Channel | None], Api]
    ) -> list[tuple[Api, list[Channel]]]:
        """An API for each token, and the channels that it is used for."""
        found: dict[str, tuple[Api, list[Channel]]] = {}
        owners: list[Channel | None] = [None]
        owners += [one for one in self._channels if not one.archived_at]
        for channel in owners:
            try:
                api = api_for(self._workspace, channel)
            except CredentialError as error:
                told = {one.message for one in self.failures}
                if error.code != "credentials_missing" and error.message not in told:
                    self.failures.append(error)
                continue
            _, users = found.setdefault(api.caller, (api, []))
            users += [channel] if channel else []
        return list(found.values())

    async def _ask_meta(self, meta: Meta, users: Sequence[Channel]) -> None:
        wabas = {one.waba_id for one in users if one.waba_id}
        try:
            wabas.update((await meta.debug_token()).accounts)
        except WacoexError as error:
            self.failures.append(error)
            if isinstance(error, TemporaryError) or error.details.get("code") == _BAD_TOKEN:
                return
        else:
            if not wabas:
                self.failures.append(_names_no_account())
        await asyncio.gather(*(self._ask_account(meta, one) for one in sorted(wabas)))

    async def _ask_account(self, meta: Meta, waba_id: str) -> None:
        async with self._slots:
            try:
                listed = await _phone_numbers(meta, waba_id)
            except WacoexError as error:
                self.failures.append(_of(f"account {waba_id}", error))
                return
        self.answers += 1
        for entry in listed:
            number = _number(entry, waba_id, self._channels)
            self.numbers.setdefault(number.phone_number_id, number)

    async def _ask_respondio(self, respondio: RespondIO) -> None:
        try:
            listed = await respondio.list_channels()
        except WacoexError as error:
            self.failures.append(error)
            return
        self.answers += 1
        for entry in listed:
            known_as = _known_at_respondio(self._channels, entry.id)
            self.respondio[entry.id] = FoundRespondIO(entry.id, entry.name, entry.source, known_as)


async def _phone_numbers(meta: Meta, waba_id: str) -> tuple[ListedNumber, ...]:
    """With `platform_type` where this version of the API lists it (Meta: phone numbers)."""
    try:
        return await meta.phone_numbers(waba_id, _FIELDS)
    except RefusedError as error:
        is_about_a_field = error.details.get("code") == _FIELD_REFUSED
        if not is_about_a_field or "subcode" in error.details:
            raise
    return await meta.phone_numbers(waba_id, _FEWER_FIELDS)


def _number(entry: ListedNumber, waba_id: str, channels: Sequence[Channel]) -> FoundNumber:
    # Meta writes most numbers with `+`, some without.
    phone = normalise(entry.shown) or normalise(f"+{entry.shown}")
    return FoundNumber(
        phone,
        entry.phone_number_id,
        waba_id,
        entry.verified_name,
        entry.is_on_biz_app,
        entry.platform_type,
        entry.status,
        _known_at_meta(channels, phone, entry.phone_number_id),
    )


def _known_at_meta(
    channels: Sequence[Channel], phone: str | None, phone_number_id: str
) -> str | None:
    for one in channels:
        ids = (one.phone_number_id, *one.former("phone_number_id"))
        if one.phone == phone or phone_number_id in ids:
            return one.name
    return None


def _known_at_respondio(channels: Sequence[Channel], number: int) -> str | None:
    for one in channels:
        if number == one.respondio_channel_id or str(number) in one.former("respondio_channel_id"):
            return one.name
    return None


def _of(whose: str, error: WacoexError) -> WacoexError:
    """The same failure, with the place it comes from."""
    return type(error)(
        f"{whose}: {error.message}", hint=error.hint, code=error.code, details=error.details
    )


def _no_token() -> CredentialError:
    return CredentialError(
        "there is neither a meta-token nor a respondio-token to look with",
        hint="store one with `wacoex auth login meta-token` or `wacoex auth login respondio-token`",
        code="credentials_missing",
    )


def _names_no_account() -> CredentialError:
    return CredentialError(
        "the Meta token does not say which accounts it may see",
        hint="name one: `wacoex channel add NAME --phone +65... --waba-id ID`, then look again",
        code="accounts_unknown",
    )


@dataclass(frozen=True)
class Adopted:
    """What became of the offers. `linked` are channels that have a respond.io channel now."""

    added: tuple[Channel, ...] = ()
    linked: tuple[Channel, ...] = ()


def add_all(state: State, found: Found, now: datetime, *, dry_run: bool) -> Adopted:
    """Add each new Coexistence number under a name made from its verified name or its digits."""
    added: list[Channel] = []
    for number in found.new:
        name = suggest_name(number, [*found.channels, *added])
        added.append(registry.add_channel(state, name, _details(number), now, dry_run=dry_run))
    return Adopted(tuple(added))


def offer(state: State, found: Found, dialogue: Dialogue, now: datetime) -> Adopted:
    """Ask about each new Coexistence number, then about each respond.io channel for WhatsApp.

    Raises UsageError when nobody can be asked.
    """
    added = [
        channel for number in found.new if (channel := _offer_number(state, number, dialogue, now))
    ]
    linked = [
        channel
        for one in found.respondio
        if one.known_as is None
        and one.may_be_whatsapp
        and (channel := _offer_link(state, found, one, dialogue, now))
    ]
    return Adopted(tuple(added), tuple(linked))


def suggest_name(number: FoundNumber, others: Iterable[Channel]) -> str:
    """A name that is free: from the verified name, else from the digits of the number."""
    taken = {alike(one.name) for one in others}
    return next(name for name in _names(number) if alike(name) not in taken)


def _names(number: FoundNumber) -> Iterator[str]:
    plain = unicodedata.normalize("NFKD", number.verified_name or "")
    ascii_text = plain.encode("ascii", "ignore").decode().lower()
    slug = _NOT_IN_NAMES.sub("-", ascii_text)[:_LONGEST_NAME].strip("-")
    digits = (number.phone or number.phone_number_id).removeprefix("+")
    if slug:
        yield slug
        yield f"{slug}-{digits[-4:]}"
    yield digits
    for count in itertools.count(2):
        yield f"{digits}-{count}"


def _details(number: FoundNumber) -> Details:
    return Details(
        number.phone or "", phone_number_id=number.phone_number_id, waba_id=number.waba_id
    )


def _offer_number(
    state: State, number: FoundNumber, dialogue: Dialogue, now: datetime
) -> Channel | None:
    called = f", {number.verified_name}" if number.verified_name else ""
    if not dialogue.confirm(f"{number.phone}{called}: add it?", flag="--yes"):
        return None
    suggested = suggest_name(number, Channels(state).all_channels())
    while True:
        name = dialogue.ask(f"its name here [{suggested}]", flag="--yes") or suggested
        try:
            return registry.add_channel(state, name, _details(number), now)
        except UsageError as error:
            if name == suggested:
                raise
            dialogue.warn(error.message)


def _offer_link(
    state: State, found: Found, one: FoundRespondIO, dialogue: Dialogue, now: datetime
) -> Channel | None:
    # A number that is connected again is a new channel there, and the old one is gone.
    present = {each.id for each in found.respondio}
    names = [
        channel.name
        for channel in Channels(state).all_channels()
        if not channel.archived_at and channel.respondio_channel_id not in present
    ]
    if not names:
        return None
    question = (
        f"respond.io channel {one.id}, {one.name} ({one.source}): which channel is it"
        f" ({', '.join(names)}; empty for none)"
    )
    while name := dialogue.ask(question, flag="--yes"):
        if name in names:
            changes = {"respondio_channel_id": one.id}
            return registry.edit_channel(state, name, changes, now)
        dialogue.warn(f"`{name}` is none of {', '.join(f'`{each}`' for each in names)}")
    return None
