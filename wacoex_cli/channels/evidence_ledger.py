"""Evidence in the state file, kept by address. Writers need a transaction.

Every reader looks up single entries of the primary key, however much evidence there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.channels.evidence import EvidenceKind, Sign, addresses_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State

_NEWEST = (
    "SELECT * FROM (SELECT address, kind, at, source, said_by FROM evidence"
    " WHERE address = ? AND kind = ? AND at >= ? AND at <= ?"
    " ORDER BY at DESC, source DESC, said_by DESC LIMIT 1) AS newest"
)
_NEWEST_AFTER = _NEWEST.replace("at >= ? AND at <= ?", "at > ?")
_FIRST = (
    "SELECT * FROM (SELECT at FROM evidence WHERE address = ? AND kind = ?"
    " ORDER BY at LIMIT 1) AS first"
)
_EVER = ""


def add(state: State, signs: Iterable[Sign]) -> None:
    """Keep evidence; what is there already stays as it is."""
    state.execute_many(
        "INSERT INTO evidence (address, kind, at, source, said_by) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (address, kind, at, source, said_by) DO NOTHING",
        [(one.address, one.kind.value, one.at, one.source, one.said_by) for one in signs],
    )


def note_numbers(state: State, pairs: Iterable[tuple[str, str]]) -> None:
    """Keep which phone_number_id Meta uses for which phone (E.164)."""
    state.execute_many(
        "INSERT INTO numbers_seen (phone_number_id, phone) VALUES (?, ?)"
        " ON CONFLICT (phone, phone_number_id) DO NOTHING",
        list(pairs),
    )


def phone_number_ids_of(state: State, phone: str) -> tuple[str, ...]:
    """Every phone_number_id that Meta has used for that phone (E.164), in order."""
    rows = state.rows(
        "SELECT phone_number_id FROM numbers_seen WHERE phone = ? ORDER BY phone_number_id",
        [phone],
    )
    return tuple(str(row["phone_number_id"]) for row in rows)


def addresses_for(state: State, channel: Channel) -> tuple[str, ...]:
    """Every address under which something about that channel may be kept."""
    return addresses_of(channel, phone_number_ids_of(state, channel.phone))


def newest(
    state: State,
    addresses: Sequence[str],
    kind: EvidenceKind,
    *,
    until: str,
    since: str | None = None,
) -> Sign | None:
    """The newest evidence of that kind; `since` and `until` (RFC 3339, UTC) are included."""
    asked = [(address, kind.value, since or _EVER, until) for address in addresses]
    return _latest(state, _NEWEST, asked)


def newest_after(state: State, addresses: Sequence[str], moment: str) -> Sign | None:
    """The newest evidence of any kind that claims to be from later than `moment`."""
    asked = [(address, kind.value, moment) for address in addresses for kind in EvidenceKind]
    return _latest(state, _NEWEST_AFTER, asked)


def first_at(state: State, addresses: Sequence[str], kind: EvidenceKind) -> str | None:
    """When evidence of that kind was first there."""
    asked = [(address, kind.value) for address in addresses]
    rows = state.rows(*_all_of(_FIRST, asked)) if asked else []
    return min((str(row["at"]) for row in rows), default=None)


def _latest(state: State, query: str, asked: Sequence[tuple[str, ...]]) -> Sign | None:
    rows = state.rows(*_all_of(query, asked)) if asked else []
    found = (Sign(**{**row, "kind": EvidenceKind(row["kind"])}) for row in rows)
    # Of two at the same moment the same one is told, whichever came in first.
    return max(found, key=lambda one: (one.at, one.source, one.said_by, one.address), default=None)


def _all_of(query: str, asked: Sequence[tuple[str, ...]]) -> tuple[str, list[str]]:
    """One statement that asks the same of several entries of the key."""
    return " UNION ALL ".join([query] * len(asked)), [one for entry in asked for one in entry]
