"""Reading every contact of a workspace: what it will take, and going on where it stopped."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.errors import RefusedError, TemporaryError
from wacoex_cli.events import pull_ledger
from wacoex_cli.events.pull import Person
from wacoex_cli.platforms.respondio import CONTACTS, MESSAGES, each_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from wacoex_cli.events.pull import Reader
    from wacoex_cli.platforms.respondio import RespondIO

_CURSOR_IS_GONE = "respondio_400"


@dataclass(frozen=True)
class Survey:
    """What is left to read: contacts, the fewest calls and seconds that takes, at what rate.

    `cursor` is where the list goes on after a sweep that was interrupted at `began_at`, when
    `contacts_done` were read.
    """

    contacts: int
    calls: int
    seconds: float
    calls_per_second: float
    cursor: str | None = None
    contacts_done: int = 0
    began_at: str | None = None

    def sentence(self) -> str:
        """What it will take, in words."""
        text = (
            f"contacts to read: {self.contacts}, at least {self.calls} calls,"
            f" about {max(1, math.ceil(self.seconds / 60))} min"
            f" at {self.calls_per_second:g} message lists a second"
        )
        if self.began_at is None:
            return text
        return f"{text}; goes on with the sweep of {self.began_at}, {self.contacts_done} are done"

    def to_json(self) -> dict[str, object]:
        """The `estimate` of the JSON output."""
        return {
            "contacts": self.contacts,
            "calls": self.calls,
            "seconds": round(self.seconds, 1),
            "calls_per_second": self.calls_per_second,
        }


async def survey(reader: Reader) -> Survey:
    """Count the contacts, which takes a call for each hundred, and learn the rate.

    Raises as `RespondIO` does.
    """
    begun = pull_ledger.open_sweep(reader.log.state, reader.respondio_channel_id)
    if begun is not None and begun.cursor:
        try:
            contacts, pages = await _counted(reader.respondio, begun.cursor)
        except RefusedError as error:
            if error.code != _CURSOR_IS_GONE:
                raise
        else:
            return _estimated(reader.respondio, contacts, pages, begun)
    contacts, pages = await _counted(reader.respondio, None)
    return _estimated(reader.respondio, contacts, pages, None)


async def sweep(
    reader: Reader,
    survey: Survey,
    on_progress: Callable[[int], None],
    on_page: Callable[[], None],
) -> None:
    """Read every contact that the survey counted; `on_page` is called after each hundred.

    How far it has come is kept, so that after an interruption the next sweep goes on there.
    Raises as `Reader.read` does.
    """
    state, channel_id = reader.log.state, reader.respondio_channel_id
    if survey.began_at is None:
        with state.transaction():
            pull_ledger.begin_sweep(state, channel_id, reader.log.clock.now())
    done = 0

    def show(of_this_page: int) -> None:
        on_progress(done + of_this_page)

    async for page in each_page(reader.respondio.list_contacts, survey.cursor):
        people = [one for item in page.items if (one := Person.of_contact(item)) is not None]
        await reader.read(people, show)
        done += len(people)
        with state.transaction():
            now = reader.log.clock.now()
            pull_ledger.advance_sweep(state, channel_id, page.next_cursor, len(people), now)
        on_page()


async def _counted(respondio: RespondIO, cursor: str | None) -> tuple[int, int]:
    contacts = pages = 0
    first: Person | None = None
    async for page in each_page(respondio.list_contacts, cursor):
        pages += 1
        contacts += len(page.items)
        if first is None and page.items:
            first = Person.of_contact(page.items[0])
    if first is not None:
        # Only an answer tells the limit; that this contact cannot be read does not matter here.
        with contextlib.suppress(RefusedError, TemporaryError):
            await respondio.list_messages(first.identifier)
    return contacts, pages


def _estimated(
    respondio: RespondIO, contacts: int, pages: int, begun: pull_ledger.Sweep | None
) -> Survey:
    rate = respondio.calls_per_second(MESSAGES)
    return Survey(
        contacts=contacts,
        calls=contacts + pages,
        seconds=contacts / rate + pages / respondio.calls_per_second(CONTACTS),
        calls_per_second=rate,
        cursor=begun.cursor if begun else None,
        contacts_done=begun.contacts_done if begun else 0,
        began_at=begun.started_at if begun else None,
    )
