"""Every number and respond.io channel that the configured tokens can see, and adding them."""

from __future__ import annotations

import asyncio
import itertools
import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details
from wacoex_cli.channels.registry import alike
from wacoex_cli.channels.store import Channels
from wacoex_cli.errors import CredentialError, RefusedError, TemporaryError, UsageError, WacoexError
from wacoex_cli.foundation.phone_numbers import normalise
from wacoex_cli.foundation.secrets import is_reserved
from wacoex_cli.terminal.layout import Column
from wacoex_cli.terminal.render import ForPerson, Result, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.answers import ListedNumber
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.platforms.respondio import RespondIO
    from wacoex_cli.terminal.dialogue import Dialogue, TerminalDialogue

    Api = TypeVar("Api", Meta, RespondIO)

_AT_ONCE = 8
_FEWER_FIELDS = ("id", "display_phone_number", "verified_name", "status", "is_on_biz_app")
_FIELDS = (*_FEWER_FIELDS, "platform_type")
_FIELD_REFUSED = 100
_BAD_TOKEN = 190
_CONNECTED = "CONNECTED"
_LONGEST_NAME = 40
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
_PARTIAL = 7
_COLUMNS = (
    Column("source", 3, fit="keep", may_drop=True),
    Column("phone", 9, fit="keep"),
    Column("id", 5, fit="keep", may_drop=True),
    Column("account", 2, fit="keep", may_drop=True),
    Column("name", 6, least=10),
    Column("coexistence", 4, fit="keep", may_drop=True),
    Column("channel", 8, least=10),
)


class FoundNumber(NamedTuple):
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


class FoundRespondIO(NamedTuple):
    """A channel of a respond.io workspace, which does not show its number."""

    id: int
    name: str
    source: str
    known_as: str | None

    @property
    def may_be_linked(self) -> bool:
        """No channel yet, and its source sounds like WhatsApp: respond.io lists no words for it."""
        return self.known_as is None and "whatsapp" in self.source.lower()


class Found(NamedTuple):
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
        for number in self.numbers:
            before = by_phone.get(number.phone)
            if number.can_be_added and (before is None or before.status != _CONNECTED):
                by_phone[number.phone] = number
        return tuple(by_phone.values())


class Adopted(NamedTuple):
    """What became of the offers. `linked` are channels that have a respond.io channel now."""

    added: tuple[Channel, ...] = ()
    linked: tuple[Channel, ...] = ()


def run_discovery(
    workspace: Workspace, dialogue: TerminalDialogue, *, yes: bool, dry_run: bool
) -> Result:
    """What `channel discover` shows, after adding all with `yes`, else what a person picks.

    Raises CredentialError when there is no token at all.
    """
    state = workspace.state
    found = workspace.run(look_around(workspace, Channels(state).all_channels()))
    now, taken = workspace.clock.now(), Adopted()
    if yes:
        taken = _add_all(state, found, now, dry_run=dry_run)
    elif not dry_run and dialogue.can_ask():
        taken = _offer(state, found, dialogue, now)
    data = {
        "found": [number._asdict() for number in found.numbers],
        "respondio": [channel._asdict() for channel in found.respondio],
        "added": [channel.name for channel in taken.added],
        "linked": [channel.name for channel in taken.linked],
        "dry_run": dry_run,
    }
    exit_code = 0
    if found.failures:
        exit_code = _PARTIAL if found.answers else found.failures[0].exit_status
    table = Table(_COLUMNS, _rows(found, taken), "the tokens see no number and no channel", True)
    would = "would be " if dry_run else ""
    hints = [
        *(f"channel {new.name} ({new.phone}) {would}added" for new in taken.added),
        *(
            f"channel {it.name} is respond.io's channel {it.respondio_channel_id}"
            for it in taken.linked
        ),
        *_hints(found, taken),
    ]
    return Result(data, [table, *map(ForPerson, hints)], exit_code, errors=found.failures)


def _rows(found: Found, taken: Adopted) -> list[list[object]]:
    names: dict[str | None, str] = {channel.phone: channel.name for channel in taken.added}
    linked = {channel.respondio_channel_id: channel.name for channel in taken.linked}
    rows: list[list[object]] = [
        [
            "meta",
            number.phone,
            number.phone_number_id,
            number.waba_id,
            number.verified_name,
            "unknown" if number.is_on_biz_app is None else number.is_coexistence,
            number.known_as or names.get(number.phone),
        ]
        for number in found.numbers
    ]
    for other in found.respondio:
        channel = other.known_as or linked.get(other.id)
        rows.append(["respondio", None, other.id, other.source, other.name, None, channel])
    return rows


def _hints(found: Found, taken: Adopted) -> Iterator[str]:
    """What is left to do, as commands."""
    left = len(found.new) - len(taken.added)
    if left:
        yield f"{left} new in Coexistence: `wacoex channel discover --yes` adds them all"
    linked = {channel.respondio_channel_id for channel in taken.linked}
    for other in found.respondio:
        if other.may_be_linked and other.id not in linked:
            yield (
                f"respond.io's channel {other.id} is not among your channels yet:"
                f" `wacoex channel edit NAME --respondio-channel-id {other.id}`"
            )
    by_name = {channel.name: channel for channel in found.channels}
    for number in found.numbers:
        channel = by_name.get(number.known_as or "")
        if channel and _has_other_ids(channel, number):
            yield (
                f"channel {channel.name} has other ids here: `wacoex channel edit {channel.name}"
                f" --phone-number-id {number.phone_number_id} --waba-id {number.waba_id}`"
            )


def _has_other_ids(channel: Channel, number: FoundNumber) -> bool:
    """Whether Meta has other ids for a channel's number now than are known here."""
    if channel.archived_at or channel.phone != number.phone:
        return False
    if number.phone_number_id in channel.former("phone_number_id"):
        return False
    ids = (number.phone_number_id, number.waba_id)
    return (channel.phone_number_id, channel.waba_id) != ids


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
        key=lambda number: (not number.is_coexistence, number.phone or "", number.phone_number_id),
    )
    return Found(
        tuple(numbers),
        tuple(search.respondio[number] for number in sorted(search.respondio)),
        tuple(sorted(search.failures, key=lambda error: error.message)),
        search.answers,
        tuple(channels),
    )


class _Search:
    """What was found so far, each number and channel once, even when several tokens see it."""

    def __init__(self, workspace: Workspace, channels: Sequence[Channel]) -> None:
        self.numbers: dict[str, FoundNumber] = {}
        self.respondio: dict[int, FoundRespondIO] = {}
        self.failures: list[WacoexError] = []
        self.sources = 0
        self.answers = 0
        self._workspace = workspace
        self._channels = channels
        self._names = {
            "phone_number_id": _Names(channels, "phone_number_id"),
            "respondio_channel_id": _Names(channels, "respondio_channel_id"),
        }
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def everywhere(self) -> None:
        metas, respondios = self._apis(registry.meta_for), self._apis(registry.respondio_for)
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
        for channel in (None, *(each for each in self._channels if not each.archived_at)):
            try:
                api = api_for(self._workspace, channel)
            except CredentialError as error:
                reported = {failure.message for failure in self.failures}
                if error.code != "credentials_missing" and error.message not in reported:
                    self.failures.append(error)
                continue
            _, users = found.setdefault(api.caller, (api, []))
            users += [channel] if channel else []
        return list(found.values())

    async def _ask_meta(self, meta: Meta, users: Sequence[Channel]) -> None:
        wabas = {channel.waba_id for channel in users if channel.waba_id}
        try:
            wabas.update((await meta.debug_token()).accounts)
        except WacoexError as error:
            self.failures.append(error)
            if isinstance(error, TemporaryError) or error.details.get("code") == _BAD_TOKEN:
                return
        else:
            if not wabas:
                self.failures.append(_names_no_account())
        await asyncio.gather(*(self._ask_account(meta, waba_id) for waba_id in sorted(wabas)))

    async def _ask_account(self, meta: Meta, waba_id: str) -> None:
        async with self._slots:
            try:
                listed = await _phone_numbers(meta, waba_id)
            except WacoexError as error:
                # The same failure, with the account it comes from.
                message = f"account {waba_id}: {error.message}"
                self.failures.append(
                    type(error)(message, hint=error.hint, code=error.code, details=error.details)
                )
                return
        self.answers += 1
        for entry in listed:
            # Meta writes most numbers with `+`, some without.
            phone = normalise(entry.shown) or normalise(f"+{entry.shown}")
            number = FoundNumber(
                phone,
                entry.phone_number_id,
                waba_id,
                entry.verified_name,
                entry.is_on_biz_app,
                entry.platform_type,
                entry.status,
                self._names["phone_number_id"].of(entry.phone_number_id, phone),
            )
            self.numbers.setdefault(number.phone_number_id, number)

    async def _ask_respondio(self, respondio: RespondIO) -> None:
        try:
            listed = await respondio.list_channels()
        except WacoexError as error:
            self.failures.append(error)
            return
        self.answers += 1
        for entry in listed:
            known_as = self._names["respondio_channel_id"].of(str(entry.id))
            self.respondio[entry.id] = FoundRespondIO(entry.id, entry.name, entry.source, known_as)


class _Names:
    """The names of channels by an id that they have or had, and by their phone."""

    def __init__(self, channels: Sequence[Channel], id_name: str) -> None:
        self._channels = channels
        self._by_id: dict[str, int] = {}
        self._by_phone: dict[str | None, int] = {}
        for place, channel in enumerate(channels):
            self._by_phone.setdefault(channel.phone, place)
            for value in (str(getattr(channel, id_name)), *channel.former(id_name)):
                self._by_id.setdefault(value, place)

    def of(self, value: str, phone: str | None = None) -> str | None:
        """The first channel that has or had that id, or has that phone."""
        found = (self._by_id.get(value), self._by_phone.get(phone))
        places = [place for place in found if place is not None]
        return self._channels[min(places)].name if places else None


async def _phone_numbers(meta: Meta, waba_id: str) -> tuple[ListedNumber, ...]:
    """With `platform_type` where this version of the API lists it (Meta: phone numbers)."""
    try:
        return await meta.phone_numbers(waba_id, _FIELDS)
    except RefusedError as error:
        is_about_a_field = error.details.get("code") == _FIELD_REFUSED
        if not is_about_a_field or "subcode" in error.details:
            raise
    return await meta.phone_numbers(waba_id, _FEWER_FIELDS)


def _no_token() -> CredentialError:
    return CredentialError(
        "there is neither a meta-token nor a respondio-token",
        hint="store one with `wacoex auth login meta-token` or `wacoex auth login respondio-token`",
        code="credentials_missing",
    )


def _names_no_account() -> CredentialError:
    return CredentialError(
        "the Meta token does not say which accounts it may see",
        hint="name one: `wacoex channel add NAME --phone +65... --waba-id ID`, then look again",
        code="accounts_unknown",
    )


def _add_all(state: State, found: Found, now: datetime, *, dry_run: bool) -> Adopted:
    """Add each new Coexistence number under a name made from its verified name or its digits."""
    added: list[Channel] = []
    for number in found.new:
        name = suggest_name(number, [*found.channels, *added])
        added.append(registry.add_channel(state, name, _details(number), now, dry_run=dry_run))
    return Adopted(tuple(added))


def _offer(state: State, found: Found, dialogue: Dialogue, now: datetime) -> Adopted:
    """Ask about each new Coexistence number, then about each respond.io channel for WhatsApp.

    Raises UsageError when nobody can be asked.
    """
    added = [
        channel for number in found.new if (channel := _offer_number(state, number, dialogue, now))
    ]
    linked = [
        channel
        for entry in found.respondio
        if entry.may_be_linked and (channel := _offer_link(state, found, entry, dialogue, now))
    ]
    return Adopted(tuple(added), tuple(linked))


def suggest_name(number: FoundNumber, others: Iterable[Channel]) -> str:
    """A name that is free: from the verified name, else from the digits of the number."""
    taken = {alike(other.name) for other in others}
    return next(
        name for name in _names(number) if alike(name) not in taken and not is_reserved(name)
    )


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
    state: State, found: Found, entry: FoundRespondIO, dialogue: Dialogue, now: datetime
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
        f"respond.io channel {entry.id}, {entry.name} ({entry.source}): which channel is it"
        f" ({', '.join(names)}; empty for none)"
    )
    while name := dialogue.ask(question, flag="--yes"):
        if name in names:
            changes = {"respondio_channel_id": entry.id}
            return registry.edit_channel(state, name, changes, now)
        dialogue.warn(f"`{name}` is not among {', '.join(f'`{each}`' for each in names)}")
    return None
