"""Output that could not be written, noted in the state file until it can be written again."""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.errors import WacoexError
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.terminal import output

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from wacoex_cli.foundation.state import State

STREAM_NAMES = {"stdout": "standard output", "stderr": "standard error"}
COUNTS_FOR = timedelta(days=14)
"""How long a note counts of which nothing more was heard."""

_MOST_SECONDS_AT_END = 5.0


class LostOutput(NamedTuple):
    """What a command could not write: to which stream, why, and since when.

    It is no failure when only the reader went away. `ended_with` is the error that ended the
    command, which nobody may have read.
    """

    command: str
    stream: str
    reason: str
    at: str
    is_failure: bool
    ended_with: str | None


def newest(state: State, since: datetime) -> list[LostOutput]:
    """What was lost since then and has not been written again, oldest first."""
    found = state.rows(
        "SELECT command, stream, reason, at, is_failure, ended_with FROM lost_output"
        " WHERE at >= ?"
        " ORDER BY at, command, stream",
        [to_text(since)],
    )
    return [LostOutput(**{**row, "is_failure": bool(row["is_failure"])}) for row in found]


class Notebook:
    """Notes what the outlets of one process lose, at once and beside its work.

    The notes go to the state file that the command opens; a command that opens none leaves none.
    `ended_with` is the error that ended the command.
    """

    def __init__(self) -> None:
        self.command = ""
        self.ended_with: str | None = None
        self._path: Path | None = None
        self._noted: set[tuple[str, bool]] = set()
        self._former: set[str] = set()
        self._writers: list[threading.Thread] = []

    def use(self, state: State) -> None:
        """Read from a state file what former runs of this command lost, and note there."""
        with contextlib.suppress(WacoexError):
            found = state.rows("SELECT stream FROM lost_output WHERE command = ?", [self.command])
            self._former = {row["stream"] for row in found}
            self._path = state.path
        for outlet in output.process.outlets:
            if outlet.failure or outlet.reader_left:
                self.lose(outlet)

    def lose(self, outlet: output.Outlet) -> None:
        """Note what an outlet lost, in a thread: the work may be in a transaction just now."""
        if self._path is not None:
            writer = threading.Thread(target=self._note, args=(outlet,), daemon=True, name="lost")
            self._writers.append(writer)
            writer.start()

    def close(self) -> None:
        """Note what is not noted yet, and forget what could be written again."""
        for writer in self._writers:
            writer.join(_MOST_SECONDS_AT_END)
        outlets = output.process.outlets
        for outlet in outlets:
            self._note(outlet)
        if self._noted and self.ended_with:
            self._write(
                "UPDATE lost_output SET ended_with = ? WHERE command = ?",
                [[self.ended_with, self.command]],
            )
        healed = [
            outlet.stream_name
            for outlet in outlets
            if outlet.has_written and not (outlet.failure or outlet.reader_left)
        ]
        if again := self._former.intersection(healed):
            self._write(
                "DELETE FROM lost_output WHERE command = ? AND stream = ?",
                [[self.command, stream] for stream in sorted(again)],
            )

    def _note(self, outlet: output.Outlet) -> None:
        at = to_text(datetime.now(UTC))
        # Who only reads may end its reader whenever it likes.
        reader_left = None if output.process.only_reads else outlet.reader_left
        for error, is_failure in ((reader_left, False), (outlet.failure, True)):
            key = (outlet.stream_name, is_failure)
            if error is not None and key not in self._noted:
                was_written = self._write(
                    "INSERT INTO lost_output (command, stream, reason, at, is_failure)"
                    " VALUES (?, ?, ?, ?, ?) ON CONFLICT (command, stream) DO UPDATE"
                    " SET reason = excluded.reason, at = excluded.at,"
                    " is_failure = excluded.is_failure, ended_with = NULL",
                    [[self.command, outlet.stream_name, reason_of(error), at, int(is_failure)]],
                )
                if was_written:
                    self._noted.add(key)

    def _write(self, sql: str, rows: Sequence[Sequence[object]]) -> bool:
        from wacoex_cli.foundation.state import open_state

        if self._path is None or not self._path.exists():
            return False
        # The state file may lie on the disk that is full; the exit status says it in any case.
        with contextlib.suppress(WacoexError):
            with contextlib.closing(open_state(self._path)) as state, state.transaction():
                state.execute_many(sql, rows)
            return True
        return False


notebook = Notebook()


def begin() -> None:
    """Start afresh: nothing is lost yet."""
    global notebook
    notebook = Notebook()
    output.process.on_loss = notebook.lose


def reason_of(error: OSError) -> str:
    """An error of the system in words, lower case."""
    return (error.strerror or str(error)).lower()
