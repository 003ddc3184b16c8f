"""A state file whose rows have odd values: quotes, formulas, signs, JSON, numbers in texts."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wacoex_cli.foundation.state import State

BROADCAST_ID = 7
TEXTS = (
    None,
    "",
    "Message undeliverable",
    'he said "no", twice',
    "two\nlines\r\nand a\ttab",
    "=1+1",
    "  -2",
    "\uff1d1",
    "50 % of 100%s",
    "caf\u00e9 \U0001f600 \u2028 \x7f \x1f end",
    "call +65 9123-4567 or 6591234567, wamid.HBgKNjU5MTIzNDU2NxUCABEYEjk= SG.1234567890123",
    "2026-11-07T12:00:00.000Z",
    '{"a": 1}',
    "{not json +6591234567",
    "\\u002b6591234567",
)
PARAMETERS = (
    "[]",
    '["Person 1", "12"]',
    '["+6591234567","tel\\n6591234567"]',
    '{"\\u002b6591234567": [1.50, 6591234567, null, true, "user_id:US.12345678901"]}',
    '[1e400, "x", {"y": "caf\u00e9"}]',
    '{"cut off',
)
STATES = ("accepted", "failed", "retry", "rejected", "skipped")
_PHONES = ("+6591234567", "+14155552671", "nobody", "", "=1+1", "+65912345678901234567")


def seed(state: State) -> None:
    """Fill the tables of broadcasts and of events; opens a transaction."""
    with state.transaction():
        state.execute(
            "INSERT INTO channels (channel_id, name, phone, provider, created_at)"
            " VALUES (1, 'shop', '+6560000001', 'meta', '2026-11-07T12:00:00.000Z')"
        )
        state.execute(
            "INSERT INTO broadcasts (broadcast_id, channel_id, template, parameter_sources,"
            " recipients_file, provider, api_base_url, rate, status, planned_at) VALUES"
            " (?, 1, ?, '[]', '-', 'meta', '', 20.0, 'completed', '2026-11-07T12:00:00.000Z')",
            [BROADCAST_ID, json.dumps({"body": "caf\u00e9 +6591234567"})],
        )
        state.execute_many(
            "INSERT INTO recipients (broadcast_id, row, line, phone, parameters, state, reason,"
            " code, detail, attempts, message_id, claimed_at, answered_at, user_id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            list(_recipients()),
        )
        state.execute_many(
            "INSERT INTO payloads VALUES (?, ?, 'meta', 'listen', ?, 10, ?)",
            [
                (n, f"{n:064x}", f"2026-11-07T12:00:{n:02}.000Z", '{"wa_id":"6591234567"}')
                for n in range(1, 4)
            ],
        )
        state.execute_many(
            "INSERT INTO events VALUES (?, ?, 1, 'message', 'meta', ?, '106000000000001',"
            " '+6560000001', '500001', NULL, ?, ?, ?)",
            list(_events()),
        )


def _recipients() -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    parts = itertools.product(STATES, TEXTS)
    for row, (state, text) in enumerate(parts, start=1):
        at = f"2026-11-07T12:{row % 60:02}:00.{row % 1000:03}Z"
        found.append(
            (
                *(BROADCAST_ID, row, row + 1),
                f"{_PHONES[row % len(_PHONES)]}{row:03}",
                PARAMETERS[row % len(PARAMETERS)],
                *(state, "opted_out" if state == "skipped" else None),
                (None, 131026, 131049, -1, 0)[row % 5],
                text,
                row % 3,
                f"wamid.HBgKNjU5MTIzNDU2NxUCABEYEjk{row}=" if row % 4 else None,
                *(at, at if row % 7 else None),
                f"SG.{row:012}" if row % 6 == 0 else None,
            )
        )
    return found


def _events() -> list[tuple[object, ...]]:
    return [
        (
            *(n, f"meta:message:{n}", f"2026-11-07T12:00:{n:02}.000Z"),
            ("+6591234567", "user_id:US.12345678901", None)[n % 3],
            f"wamid.{n}",
            ('{"direction":"in","type":"text"}', '{"user_id":"US.12345678901"}')[n % 2],
        )
        for n in range(1, 8)
    ]
