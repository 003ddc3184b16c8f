"""Adding the channels of a list, as an agency keeps one: all that are new, or none."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.channels import ledger, registry, rule
from wacoex_cli.channels.model import Channel, Details, Provider
from wacoex_cli.errors import UsageError
from wacoex_cli.platforms.respondio_replies import identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.listing import ListedRow, Listing
    from wacoex_cli.foundation.state import State


@dataclass(frozen=True)
class Problem:
    """Why a row cannot be added."""

    line: int
    message: str
    hint: str | None


@dataclass(frozen=True)
class Imported:
    """What became of the rows. With problems nothing was added.

    `archived` are those of the `known` channels that are put away.
    """

    read: int
    added: tuple[Channel, ...]
    known: tuple[str, ...]
    archived: tuple[str, ...]
    problems: tuple[Problem, ...]


def import_channels(
    state: State, listing: Listing, now: datetime, *, dry_run: bool = False
) -> Imported:
    """Add every channel that is not known yet, in one transaction, or none when a row is unfit.

    A row that says of a known channel what is known changes nothing; one that says otherwise is
    a problem. With `dry_run` nothing is added.
    """
    with state.transaction():
        check = _Check(ledger.all_channels(state))
        for row in listing.rows:
            check.row(row)
        if not (check.problems or dry_run):
            for one in check.added:
                ledger.insert(state, one.name, one, now)
    return Imported(
        len(listing.rows),
        () if check.problems else tuple(check.added),
        tuple(one.name for one in check.known),
        tuple(one.name for one in check.known if one.archived_at),
        tuple(check.problems),
    )


class _Check:
    """Rows beside the channels there are, and beside each other."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self.added: list[Channel] = []
        self.known: list[Channel] = []
        self.problems: list[Problem] = []
        self._channels = channels
        self._by_name = {one.name: one for one in channels}
        self._lines: dict[tuple[str, str], int] = {}

    def row(self, row: ListedRow) -> None:
        try:
            if row.fault:
                raise row.fault
            _demand_name_and_phone(row.values)
            name, details = row.values["name"], _details(row.values)
            self._demand_once(row.line, name, details)
            known = self._by_name.get(name)
            if known:
                _demand_same(known, details, row.values)
                self.known.append(known)
                return
            rule.check_name(name, self._channels)
            fit = registry.fit_details(details, self._channels)
            self.added.append(Channel(**dataclasses.asdict(fit), name=name))
        except UsageError as error:
            self.problems.append(Problem(row.line, error.message, error.hint))

    def _demand_once(self, line: int, name: str, details: Details) -> None:
        keys = {
            ("name", rule.alike(name)): f"the name `{name}`",
            ("phone", details.phone): f"the number {details.phone}",
            ("id", details.phone_number_id or ""): f"the phone_number_id {details.phone_number_id}",
        }
        for key, what in keys.items():
            if key[1] and self._lines.setdefault(key, line) != line:
                raise UsageError(
                    f"{what} stands in line {self._lines[key]} already",
                    hint="keep one of the two lines",
                )


def _demand_name_and_phone(values: Mapping[str, str]) -> None:
    for name in ("name", "phone"):
        if name not in values:
            raise UsageError(f"it has no {name}", hint="each row needs a name and a phone")


def _details(values: Mapping[str, str]) -> Details:
    """What a row says, its number as E.164. Raises UsageError."""
    provider = values.get("provider", Provider.META.value).lower()
    if provider not in list(Provider):
        raise UsageError(
            f"`{provider}` is no provider", hint=f"it is one of {', '.join(Provider)}, or empty"
        )
    at_respondio = identity(values.get("respondio_channel_id"))
    if at_respondio is None and "respondio_channel_id" in values:
        raise UsageError(
            "respondio_channel_id must be digits only",
            hint="`wacoex channel discover` shows respond.io's channels with their numbers",
        )
    texts = ("phone_number_id", "waba_id", "owner", "timezone", "partner_app_id")
    details = Details(
        values["phone"],
        provider=Provider(provider),
        respondio_channel_id=at_respondio,
        **{name: values.get(name) for name in texts},
    )
    return registry.fit_details(details, ())


def _demand_same(known: Channel, details: Details, values: Mapping[str, str]) -> None:
    """An empty cell says nothing, so it is no difference."""
    for name in values.keys() & {field.name for field in dataclasses.fields(Details)}:
        told, here = getattr(details, name), getattr(known, name)
        if told != here:
            change = f"--{name.replace('_', '-')} {shlex.quote(str(told))}"
            has = f"has the {name} `{here}`" if here is not None else f"has no {name}"
            raise UsageError(
                f"channel `{known.name}` {has} here, and `{told}` in the list",
                hint=f"run `wacoex channel edit {known.name} {change}`, or correct the list",
            )
