"""The statements that a command gives to SQLite, and the work that they make."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from typing import Any

import pytest

_VALUE = re.compile(r"'(?:[^']|'')*'|\b\d+(?:\.\d+)?\b")
_VALUES = re.compile(r"\?(?:, \?)+")
_STEPS_AT_ONCE = 100


class Work:
    """Every statement that SQLite is given, with its values, and how many steps all took."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.steps = 0

    def count_steps(self) -> None:
        self.steps += _STEPS_AT_ONCE

    def begin(self) -> None:
        """Forget what was seen until now."""
        self.statements.clear()
        self.steps = 0


def watched(monkeypatch: pytest.MonkeyPatch) -> Work:
    """What SQLite is given from now on; it grows."""
    seen, connect = Work(), sqlite3.connect

    def connect_watched(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(seen.statements.append)
        connection.set_progress_handler(seen.count_steps, _STEPS_AT_ONCE)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_watched)
    return seen


def shapes(statements: list[str]) -> Counter[str]:
    """How often each statement came, whatever its values."""
    return Counter(_VALUES.sub("?", _VALUE.sub("?", statement)) for statement in statements)
