"""Adding what was discovered: new numbers, and the respond.io channels that a person picks."""

from __future__ import annotations

import itertools
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.channels import ledger, registry, rule
from wacoex_cli.channels.model import Details
from wacoex_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from wacoex_cli.channels.discover import Found, FoundNumber, FoundRespondIO
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State
    from wacoex_cli.terminal.dialogue import Dialogue

_LONGEST_NAME = 40
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Taken:
    """What became of the offers. `linked` are channels that have a respond.io channel now."""

    added: tuple[Channel, ...] = ()
    linked: tuple[Channel, ...] = ()


def add_all(state: State, found: Found, now: datetime, *, dry_run: bool) -> Taken:
    """Add each new Coexistence number under a name made from its verified name or its digits."""
    added: list[Channel] = []
    for number in found.new:
        name = suggest_name(number, [*found.channels, *added])
        added.append(registry.add_channel(state, name, _details(number), now, dry_run=dry_run))
    return Taken(tuple(added))


def offer(state: State, found: Found, dialogue: Dialogue, now: datetime) -> Taken:
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
    return Taken(tuple(added), tuple(linked))


def suggest_name(number: FoundNumber, others: Iterable[Channel]) -> str:
    """A name that is free: from the verified name, else from the digits of the number."""
    taken = {rule.alike(one.name) for one in others}
    return next(name for name in _names(number) if rule.alike(name) not in taken)


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
    suggested = suggest_name(number, ledger.all_channels(state))
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
        for channel in ledger.all_channels(state)
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
