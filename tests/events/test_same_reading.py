"""What is read out of a delivery stays the same to the byte: a file holds what it has always been.

A key or a digest that comes out differently would count a delivery twice that is sent again.
`tests/support/same_reading.json` was made by the first version of the reading of payloads:
`python -m tests.events.test_same_reading` writes it again, where a payload is read in another way
on purpose.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from wacoex_cli.platforms.payloads import payload_of, source_of

if TYPE_CHECKING:
    from collections.abc import Iterator

FIXTURES = sorted(Path(__file__).parent.glob("fixtures/*.json"))
KEPT = Path(__file__).parents[1] / "support" / "same_reading.json"
CHANGES: tuple[Any, ...] = (
    "left out",
    "in a list",
    None,
    {},
    "APPROVED",
    1.5,
    [{}, 7],
    "",
    True,
    "two words",
    [],
)
CHANGES_OF_A_PLACE = 3


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    parts: Any = value.items() if isinstance(value, dict) else ()
    for name, part in enumerate(value) if isinstance(value, list) else parts:
        yield (*path, name)
        yield from _places(part, (*path, name))


def _variants(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The object, and the object with some changes of each place, the next three each time."""
    yield body
    changes = itertools.cycle(CHANGES)
    for *outer, last in _places(body):
        for change in itertools.islice(changes, CHANGES_OF_A_PLACE):
            variant = copy.deepcopy(body)
            holder: Any = variant
            for name in outer:
                holder = holder[name]
            if change == "left out":
                del holder[last]
            else:
                holder[last] = [holder[last]] if change == "in a list" else copy.deepcopy(change)
            yield variant


def _read(body: dict[str, Any]) -> dict[str, Any] | None:
    source = source_of(body)
    if source is None:
        return None
    received_at = datetime(2026, 11, 29, tzinfo=UTC)
    payload = payload_of(source, body, 99, key=b"key", received_at=received_at)
    return {**payload._asdict(), "events": [event._asdict() for event in payload.events]}


def _mark(path: Path) -> str:
    body = json.loads(path.read_bytes())
    found = hashlib.sha256()
    for delivery in body if isinstance(body, list) else [body]:
        for variant in _variants(delivery):
            found.update(json.dumps(_read(variant), sort_keys=True).encode())
    return found.hexdigest()[:16]


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_any_delivery_is_read_as_before(path: Path) -> None:
    assert _mark(path) == json.loads(KEPT.read_text())[path.stem]


if __name__ == "__main__":
    marks = {path.stem: _mark(path) for path in FIXTURES}
    KEPT.write_text(f"{json.dumps(marks, indent=1)}\n")
