"""What scripts read of a state file stays as it was, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.odd_rows import BROADCAST_ID, seed
from wacoex_cli.foundation.state import State
from wacoex_cli.ledger import every_row

_KEPT = Path(__file__).parents[1] / "support" / "kept_output.json"
"""Written from the same rows before they were read column by column."""
KEPT = json.loads(_KEPT.read_text(encoding="utf-8"))
TABLES = ("broadcasts", "channels", "events", "payloads", "recipients")


def test_the_rows_of_a_report_as_csv(state: State) -> None:
    seed(state)

    pages = every_row.pages(state.path, BROADCAST_ID)

    text = every_row.csv_header() + "".join(map(every_row.csv_text, pages))
    assert text == KEPT["csv"]


def test_the_rows_of_a_report_as_json(state: State) -> None:
    seed(state)

    texts = every_row.json_texts(every_row.pages(state.path, BROADCAST_ID))

    assert ", ".join(texts) == KEPT["json"]


def test_an_export(run, state: State) -> None:
    seed(state)
    environ = {"WACOEX_STATE": str(state.path)}

    masked = run("state", "export", env=environ).out
    shown = run("state", "export", "--show-numbers", env=environ).out

    assert of_tables(masked) == KEPT["export"]
    assert of_tables(shown) == KEPT["export --show-numbers"]


def of_tables(text: str) -> list[str]:
    """The lines of those tables whose rows are the same in every state file."""
    lines = text.removesuffix("\n").split("\n")
    return [line for line in lines if json.loads(line)["table"] in TABLES]
