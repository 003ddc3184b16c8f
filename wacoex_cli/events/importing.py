"""Archived payloads into the log: each once, in any order, as often as one likes."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wacoex_cli.events import ledger
from wacoex_cli.events.model import Kind, UnfitPayload, Via
from wacoex_cli.events.payloads import payload_of, source_of
from wacoex_cli.foundation.state import open_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.events.archive import Item
    from wacoex_cli.events.ledger import Stored
    from wacoex_cli.events.model import Payload
    from wacoex_cli.foundation.state import State

    Reader = Callable[[Item], Payload]
    Storer = Callable[[Sequence[Payload]], list[Stored]]

INVALID_TOLD = 100
_PAYLOADS_AT_ONCE = 500
_BYTES_AT_ONCE = 4 * 1024 * 1024


@dataclass
class Imported:
    """How far an import has come. Counts payloads; `by_kind` counts events that are new."""

    read: int = 0
    stored: int = 0
    duplicates: int = 0
    invalid: int = 0
    by_kind: Counter[Kind] = field(default_factory=Counter)
    invalid_lines: list[tuple[int, str]] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        """The `data` of `events import`, with every kind there is."""
        return {
            "read": self.read,
            "stored": self.stored,
            "duplicates": self.duplicates,
            "invalid": self.invalid,
            "by_kind": {kind.value: self.by_kind[kind] for kind in Kind},
            "invalid_lines": [
                {"line": line, "reason": reason} for line, reason in self.invalid_lines
            ],
        }


def reader(key: bytes, received_at: datetime, *, store_bodies: bool) -> Reader:
    """Makes payloads of what an archive holds; raises UnfitPayload for anything else."""

    def read(item: Item) -> Payload:
        if item.fault is not None:
            raise UnfitPayload(item.fault)
        source = source_of(item.body)
        if source is None or not isinstance(item.body, dict):
            raise UnfitPayload("neither Meta nor respond.io sends such an object")
        return payload_of(
            source,
            item.body,
            item.size,
            key=key,
            received_at=received_at,
            store_bodies=store_bodies,
        )

    return read


def storing(state: State, now: datetime) -> Storer:
    """Keeps payloads in the log, each batch in one transaction."""

    def store(payloads: Sequence[Payload]) -> list[Stored]:
        with state.transaction():
            return ledger.store(state, payloads, Via.IMPORT, now)

    return store


@contextlib.contextmanager
def trying(state: State, now: datetime) -> Iterator[Storer]:
    """Says what would be kept and changes nothing: what is new goes into a file for the moment."""
    with tempfile.TemporaryDirectory(prefix="wacoex-") as directory:
        scratch = open_state(Path(directory) / "dry-run.db")
        with contextlib.closing(scratch):
            store = storing(scratch, now)

            def pretend(payloads: Sequence[Payload]) -> list[Stored]:
                told = [ledger.Stored(is_new=False, events={}) for _ in payloads]
                known = ledger.unknown_events(state, payloads)
                new = [(at, events) for at, events in enumerate(known) if events is not None]
                kept = store([replace(payloads[at], body="", events=e) for at, e in new])
                for (at, _), stored in zip(new, kept, strict=True):
                    told[at] = stored
                return told

            yield pretend


def import_items(
    items: Iterable[Item],
    read: Reader,
    store: Storer,
    *,
    on_invalid: Callable[[int, str], None],
    on_batch: Callable[[Imported], None],
) -> Imported:
    """Read payloads and store them in batches; what is stored stays when a later one fails.

    `on_invalid` is told the line and the reason of each of the first hundred that are unfit.
    Raises StateError when the log cannot be written.
    """
    done = Imported()
    batch: list[Payload] = []
    size = 0
    for item in items:
        done.read += 1
        try:
            payload = read(item)
        except UnfitPayload as error:
            _note_invalid(done, item.line, str(error), on_invalid)
            continue
        batch.append(payload)
        size += payload.size
        if len(batch) >= _PAYLOADS_AT_ONCE or size >= _BYTES_AT_ONCE:
            _keep(done, store(batch), on_batch)
            batch, size = [], 0
    if batch:
        _keep(done, store(batch), on_batch)
    return done


def _note_invalid(
    done: Imported, line: int, reason: str, on_invalid: Callable[[int, str], None]
) -> None:
    done.invalid += 1
    if len(done.invalid_lines) < INVALID_TOLD:
        done.invalid_lines.append((line, reason))
        on_invalid(line, reason)


def _keep(done: Imported, stored: list[Stored], on_batch: Callable[[Imported], None]) -> None:
    for one in stored:
        done.stored += one.is_new
        done.duplicates += not one.is_new
        done.by_kind.update(one.events)
    on_batch(done)
