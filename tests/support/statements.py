"""The statements that a command gives to SQLite."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from typing import Any

import pytest

_VALUE = re.compile(r"'(?:[^']|'')*'|\b\d+(?:\.\d+)?\b")
_VALUES = re.compile(r"\?(?:, \?)+")


def traced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that SQLite is given from now on, with its values; the list grows."""
    seen: list[str] = []
    connect = sqlite3.connect

    def connect_traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(seen.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_traced)
    return seen


def shapes(statements: list[str]) -> Counter[str]:
    """How often each statement came, whatever its values."""
    return Counter(_VALUES.sub("?", _VALUE.sub("?", statement)) for statement in statements)
