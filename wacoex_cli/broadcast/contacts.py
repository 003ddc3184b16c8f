"""respond.io sends to contacts: who is one is found out when planning, the others are made later.

Making a contact has a limit of its own, narrower than that of sending, so it goes on beside the
sending, ahead of it: a row waits until its contact is there.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from wacoex_cli.broadcast.rule import Stop
from wacoex_cli.broadcast.store import Rows
from wacoex_cli.errors import RefusedError, TemporaryError, WacoexError
from wacoex_cli.foundation.meanwhile import meanwhile
from wacoex_cli.platforms.respondio import contact_by, each_page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from wacoex_cli.broadcast.engine import Engine
    from wacoex_cli.broadcast.model import Broadcast
    from wacoex_cli.broadcast.providers import SendingProvider
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State
    from wacoex_cli.platforms.respondio import RespondIO

MOST_ASKED_SINGLY = 300
"""Up to so many people are asked about one by one; for more, all contacts are listed."""

_AT_ONCE = 5
_WAIT_SECONDS, _PATIENCE_SECONDS = 5.0, 120.0


async def find_contacts(
    state: State, respondio: RespondIO, broadcast_id: int, *, create: bool
) -> int:
    """Find out which people of a draft are contacts; returns how many are to be created.

    Without `create` the others are skipped (`no_contact`).

    Raises:
        CredentialError, RefusedError, TemporaryError: respond.io could not be asked.
    """
    people = Rows(state, broadcast_id).without_contact(MOST_ASKED_SINGLY + 1)
    if len(people) > MOST_ASKED_SINGLY:
        await _list_all(state, respondio, broadcast_id)
    else:
        await _ask_singly(state, respondio, broadcast_id, [phone for _, phone, _ in people])
    if not create:
        with state.transaction():
            Rows(state, broadcast_id).skip_without_contact()
    return Rows(state, broadcast_id).count_without_contact()


async def _ask_singly(
    state: State, respondio: RespondIO, broadcast_id: int, phones: Sequence[str]
) -> None:
    for start in range(0, len(phones), _AT_ONCE):
        part = phones[start : start + _AT_ONCE]
        known = await asyncio.gather(*(respondio.has_contact(contact_by(phone)) for phone in part))
        found = [phone for phone, is_known in zip(part, known, strict=True) if is_known]
        with state.transaction():
            Rows(state, broadcast_id).note_contacts(found)


async def _list_all(state: State, respondio: RespondIO, broadcast_id: int) -> None:
    async for page in each_page(respondio.list_contacts):
        phones = [str(one["phone"]) for one in page.items if one.get("phone")]
        with state.transaction():
            Rows(state, broadcast_id).note_contacts(phones)


@contextlib.asynccontextmanager
async def creating(
    state: State, provider: SendingProvider, broadcast: Broadcast, clock: Clock, engine: Engine
) -> AsyncIterator[None]:
    """Meanwhile make the contacts that rows wait for. What makes it impossible stops the engine."""
    if provider.respondio is None:
        yield
        return
    making = _create_all(state, provider.respondio, broadcast.broadcast_id, clock, engine)
    async with meanwhile(making, engine.fail):
        yield


async def _create_all(
    state: State, respondio: RespondIO, broadcast_id: int, clock: Clock, engine: Engine
) -> None:
    failing_since: float | None = None
    while people := Rows(state, broadcast_id).without_contact(_AT_ONCE):
        outcomes = await asyncio.gather(
            *(_create(state, respondio, broadcast_id, *person) for person in people)
        )
        failures = [one for one in outcomes if one is not None]
        if not failures:
            failing_since = None
            continue
        failing_since = clock.monotonic() if failing_since is None else failing_since
        is_hopeless = clock.monotonic() - failing_since >= _PATIENCE_SECONDS
        worst = next((one for one in failures if not isinstance(one, TemporaryError)), failures[0])
        if is_hopeless or not isinstance(worst, TemporaryError):
            engine.stop(Stop(f"contacts cannot be created: {worst.message}", worst.exit_status))
            return
        await clock.sleep(_WAIT_SECONDS)


async def _create(
    state: State, respondio: RespondIO, broadcast_id: int, row: int, phone: str, first_name: str
) -> WacoexError | None:
    """Make one contact; returns the failure that concerns more than this one."""
    try:
        await respondio.create_contact(contact_by(phone), first_name)
    except RefusedError as error:
        with state.transaction():
            Rows(state, broadcast_id).refuse_contact(row, error.message)
    except WacoexError as error:
        return error
    else:
        with state.transaction():
            Rows(state, broadcast_id).note_contacts([phone])
    return None
