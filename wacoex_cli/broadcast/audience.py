"""Who gets a broadcast: a list, earlier broadcasts and contacts together, and who is left out."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Self

from wacoex_cli.audience import recipients_file
from wacoex_cli.audience.model import AudienceRule, ListNotes
from wacoex_cli.audience.people import excluded_names
from wacoex_cli.audience.sources import (
    BroadcastSource,
    FileSource,
    RespondIOSource,
    parse_source,
    people_of_contacts,
)
from wacoex_cli.channels.store import Channels, Facts
from wacoex_cli.contacts.persons import Persons, account_of_channel
from wacoex_cli.errors import TemporaryError, UsageError, counted
from wacoex_cli.ledger.model import COOLING_DOWN
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.respondio import each_page

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from wacoex_cli.audience.model import SourceRow
    from wacoex_cli.audience.recipients_file import RecipientsFile
    from wacoex_cli.audience.sources import PeopleSet
    from wacoex_cli.audience.where import Where
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State
    from wacoex_cli.ledger.rows import Rows
    from wacoex_cli.platforms.respondio import RespondIO

# Small enough that a broadcast running beside it gets its turn at the state file in time.
_BATCH_ROWS = 5_000

ExcludedPeople = tuple[str, "RecipientsFile | PeopleSet"]


@dataclass(frozen=True)
class AudienceOrder:
    """Whom a plan is for, as it was typed.

    `list_file` None: standard input, or nothing without `has_list`. `sources` are those of
    `--from`. `needs_certain_column` refuses a list of which two columns may hold the numbers.
    """

    list_file: Path | None = None
    has_list: bool = True
    sources: Sequence[str] = ()
    exclude: Sequence[str] = ()
    where: str | None = None
    phone_column: str | None = None
    needs_certain_column: bool = False

    @property
    def title(self) -> str:
        """The list and the sources, as a list of broadcasts names them."""
        listed = [str(self.list_file or "-")] if self.has_list else []
        return " + ".join((*listed, *self.sources))

    def to_json(self, rules: Sequence[AudienceRule]) -> dict[str, object]:
        """What a broadcast keeps of it, with how many rows each rule left out."""
        return {
            "list": str(self.list_file or "-") if self.has_list else None,
            "from": list(self.sources),
            "where": self.where,
            "exclude": list(self.exclude),
            "rules": [{"rule": rule.rule, "left_out": rule.left_out} for rule in rules],
        }


class Audience:
    """The rows of all sources of a plan, one after another, and what `--where` says of each.

    Lines of a set go on counting where the one before it ended, so that a line names one row.
    """

    def __init__(
        self,
        parts: Sequence[RecipientsFile | PeopleSet],
        excluded: Sequence[ExcludedPeople],
        where: str | None,
        closing: ExitStack,
    ) -> None:
        self._parts = parts
        self.excluded = excluded
        self._closing = closing
        self.columns = tuple(dict.fromkeys(name for part in parts for name in part.columns))
        self._where = _compiled(where, self.columns) if where is not None else None
        self._not_chosen = 0

    def __iter__(self) -> Iterator[SourceRow]:
        """The rows in order; those that the condition does not choose are marked."""
        where, last = self._where, 0
        for part in self._parts:
            offset = last
            rows = part.rows if not isinstance(part, recipients_file.RecipientsFile) else part
            for found in rows:
                row = found._replace(line=found.line + offset) if offset else found
                last = row.line
                # A row that cannot be read is named for that.
                if where is not None and row.fault is None and not where.chooses(row.values):
                    self._not_chosen += 1
                    row = row._replace(is_chosen=False)
                yield row

    @property
    def notes(self) -> ListNotes:
        """How the list was read."""
        files = [part for part in self._parts if isinstance(part, recipients_file.RecipientsFile)]
        return files[0].notes if files else ListNotes()

    @property
    def condition(self) -> AudienceRule | None:
        """How many rows the condition left out, after all were read."""
        if self._where is None:
            return None
        from wacoex_cli.audience.where import explain_unreadable

        doubts = tuple(explain_unreadable(self._where))
        return AudienceRule(f"--where {self._where.text}", self._not_chosen, doubts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()


def _compiled(text: str, columns: Sequence[str]) -> Where:
    # The parser takes a tenth of a second to load.
    from wacoex_cli.audience.where import Where

    return Where(text, columns)


async def gather(
    state: State,
    channel: Channel,
    order: AudienceOrder,
    respondio: RespondIO | None,
    *,
    stdin: BinaryIO,
) -> Audience:
    """Open the list and every source of a plan, those of `--exclude` too.

    Raises:
        UsageError: a file, a source or the condition is wrong.
        CredentialError, RefusedError, TemporaryError: respond.io could not be asked.
    """
    sources = [parse_source(text, "--from") for text in order.sources]
    excluded = [(text, parse_source(text, "--exclude")) for text in order.exclude]
    with ExitStack() as opened:
        parts: list[RecipientsFile | PeopleSet] = []
        files: list[FileSource | None] = []
        if order.has_list:
            files.append(FileSource(order.list_file) if order.list_file is not None else None)
        files += [source for source in sources if isinstance(source, FileSource)]
        for file in files:
            recipients = recipients_file.open_recipients(
                file and file.path, stdin=stdin, phone_column=order.phone_column
            )
            opened.enter_context(recipients)
            if order.needs_certain_column:
                recipients.demand_certain_column()
            parts.append(recipients)
        for source in sources:
            if not isinstance(source, FileSource):
                found = await _people(state, channel, source, respondio)
                if isinstance(source, BroadcastSource):
                    _check_business(state, channel, source)
                parts.append(found)
        leaving: list[ExcludedPeople] = []
        for text, source in excluded:
            if isinstance(source, FileSource):
                file_of_people = recipients_file.open_excluded(source.path, order.phone_column)
                leaving.append((text, opened.enter_context(file_of_people)))
            else:
                leaving.append((text, await _people(state, channel, source, respondio)))
        return Audience(parts, leaving, order.where, opened.pop_all())


async def _people(
    state: State,
    channel: Channel,
    source: BroadcastSource | RespondIOSource,
    respondio: RespondIO | None,
) -> PeopleSet:
    if isinstance(source, RespondIOSource):
        return await _contacts(source, respondio)
    from wacoex_cli.ledger.outcomes import people_of_broadcast

    broadcast = Broadcasts(state).get(source.broadcast_id)
    theirs = Channels(state).find(broadcast.channel) or channel
    account = account_of_channel(state, broadcast.channel_id)
    return people_of_broadcast(state, broadcast, theirs, account, source)


def _check_business(state: State, channel: Channel, source: BroadcastSource) -> None:
    """Raise UsageError for people of another business: they agreed to its messages, not to ours."""
    broadcast = Broadcasts(state).get(source.broadcast_id)
    theirs = Channels(state).find(broadcast.channel)
    are_known = theirs is not None and theirs.waba_id and channel.waba_id
    ours = Facts(state).of_one_business(channel.channel_id)
    if are_known and broadcast.channel_id not in ours:
        raise UsageError(
            f"broadcast {source.broadcast_id} is of another business ({broadcast.channel});"
            " its people did not agree to messages of this one",
            hint=f"put people who did into a list; `--channel {broadcast.channel}` sends"
            " from that business",
            code="other_business",
        )


async def _contacts(source: RespondIOSource, respondio: RespondIO | None) -> PeopleSet:
    if respondio is None:
        raise UsageError(
            "there is no token for respond.io, so its contacts cannot be read",
            hint="run `wacoex auth login respondio-token`, or give a list in place of `respondio:`",
            code="no_respondio_token",
        )
    client = respondio

    contacts = []
    async for page in each_page(lambda cursor: client.list_contacts(cursor, source.filter())):
        for contact in page.items:
            # A filter that the server does not know must not send to everybody.
            if not all(condition.holds_for(contact) for condition in source.conditions):
                raise TemporaryError(
                    "respond.io gave a contact that is not as the filter says"
                    f" (contact {contact.get('id')}), so nothing was planned",
                    hint="check the names of tags and fields in respond.io, then try again",
                    code="respondio_filter",
                )
            contacts.append(contact)
    return people_of_contacts("respond.io", contacts)


def leave_out(
    state: State,
    rows: Rows,
    excluded: Sequence[ExcludedPeople],
    country: str | None,
    now: datetime,
) -> tuple[AudienceRule, ...]:
    """Skip, among the rows of a draft, everybody who is not to be sent to.

    Returns how many each rule of `--exclude` left out.
    """
    rules = []
    for text, people in excluded:
        names = _names(people, country, Persons(state))
        skipped = 0
        while batch := list(itertools.islice(names, _BATCH_ROWS)):
            with state.transaction():
                skipped += rows.skip_excluded(batch)
        rules.append(AudienceRule(f"--exclude {text}", skipped))
    with state.transaction():
        rows.skip_opted_out()
        rows.skip_cooling_down(now - COOLING_DOWN)
        rows.skip_respelled()
        rows.skip_same_people()
    return tuple(rules)


def _names(
    people: RecipientsFile | PeopleSet, country: str | None, persons: Persons
) -> Iterator[str]:
    if isinstance(people, recipients_file.RecipientsFile):
        people.demand_certain_column()
        return excluded_names(people.title, people, country, persons)
    return excluded_names(people.title, people.rows, country, persons)


def rules_text(rules: Sequence[AudienceRule]) -> Iterator[str]:
    """How many people each rule left out, for a person."""
    for rule in rules:
        yield f"  {rule.rule}: left out {counted(rule.left_out, 'row')}"
        yield from rule.doubts
