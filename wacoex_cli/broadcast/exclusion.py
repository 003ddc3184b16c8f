"""Who is left out of a plan though the file names them: other lists, opt-outs, respellings."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.audience import files
from wacoex_cli.audience.invalid import why_invalid
from wacoex_cli.broadcast.store import Rows
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.phone_numbers import normalise

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from wacoex_cli.audience.files import RecipientsFile
    from wacoex_cli.foundation.state import State

_BATCH = 5_000
_COOLING_DOWN = timedelta(hours=24)


def leave_out(
    state: State,
    broadcast_id: int,
    exclude: Sequence[Path],
    *,
    phone_column: str | None,
    country: str | None,
    now: datetime,
) -> None:
    """Skip, among the rows of a draft, everybody who is not to be sent to.

    Raises:
        UsageError: a file of `exclude` or a number in it cannot be read.
    """
    for path in exclude:
        with files.open_excluded(path, phone_column) as excluded:
            phones = _excluded_phones(excluded, country)
            while batch := list(itertools.islice(phones, _BATCH)):
                with state.transaction():
                    Rows(state, broadcast_id).skip_excluded(batch)
    with state.transaction():
        Rows(state, broadcast_id).skip_opted_out()
        Rows(state, broadcast_id).skip_cooling_down(now - _COOLING_DOWN)
        Rows(state, broadcast_id).skip_respelled()


def _excluded_phones(excluded: RecipientsFile, country: str | None) -> Iterator[str]:
    """The numbers of a file to leave out. An unreadable one might be somebody who is to be sent to.

    Raises:
        UsageError: a number cannot be read; the message names its line.
    """
    for row in excluded:
        if not row.phone.strip():
            continue
        phone = normalise(row.phone, country)
        if phone is None:
            raise UsageError(
                f"line {row.line} of {excluded.title} to exclude cannot be read:"
                f" {why_invalid(row.phone, country)}",
                hint="mend or remove that line; nothing was planned",
                code="invalid_phone",
            )
        yield phone
