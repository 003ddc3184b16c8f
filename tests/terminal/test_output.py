"""Streams that take everything, and what is noted of what they lost."""

from __future__ import annotations

import errno
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wacoex_cli.app import app
from wacoex_cli.terminal import lost_output, output
from wacoex_cli.terminal.help import CommandPath, PlainGroup
from wacoex_cli.terminal.options import READING_VERBS, Invocation
from wacoex_cli.terminal.render import Result, emit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wacoex_cli.foundation.state import State


@pytest.fixture
def outlets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process has no outlet yet, and gets rid of those of the test."""
    monkeypatch.setattr(output, "process", output.Process())
    monkeypatch.setattr(lost_output, "notebook", lost_output.Notebook())
    lost_output.begin()
    yield


def take(monkeypatch: pytest.MonkeyPatch, number: int, name: str = "stdout") -> output.Outlet:
    outlet = output.Outlet(name, number)
    output.process.outlets.append(outlet)
    monkeypatch.setattr(sys, name, output.text_stream(outlet, "utf-8"))
    return outlet


@pytest.fixture
def full(outlets: None) -> Iterator[int]:
    """A disk without space."""
    with Path("/dev/full").open("wb", buffering=0) as file:
        yield file.fileno()


@pytest.fixture
def unread(outlets: None) -> Iterator[int]:
    """A pipe whose reader has left."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def test_a_full_disk_is_remembered_and_fails_no_write(
    full: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    outlet = take(monkeypatch, full)
    for _ in range(3):
        print("a line", flush=True)

    assert outlet.failure
    assert outlet.failure.errno == errno.ENOSPC
    assert not outlet.has_written


def test_a_reader_that_left_is_not_a_failure(unread: int, monkeypatch: pytest.MonkeyPatch) -> None:
    outlet = take(monkeypatch, unread)

    assert emit(Result({}, ["text"], exit_code=7), Invocation(), ("broadcast", "send")) == 7
    assert outlet.failure is None
    assert outlet.reader_left


def test_a_command_that_only_reads_ends_when_its_reader_leaves(
    unread: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(monkeypatch, unread)
    output.process.only_reads = True
    numbers = iter(range(1_000_000))
    endless = Result({}, exit_code=2, lists={"rows": map(str, numbers)})

    assert emit(endless, Invocation(json=True), ("status",)) == 2
    assert next(numbers) < 3_000


def test_a_reader_that_does_not_read_delays_no_work(
    outlets: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_PATIENCE_SECONDS", 0.01)
    reader, writer = os.pipe()
    outlet = take(monkeypatch, writer)
    with output.Working():
        for _ in range(100):
            print("x" * 9_999, flush=True)
    assert isinstance(outlet.reader_left, TimeoutError)
    assert outlet.failure is None
    os.close(reader)
    os.close(writer)


def test_a_descriptor_that_somebody_made_non_blocking_loses_nothing(
    outlets: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    outlet = take(monkeypatch, writer)
    read: list[bytes] = []

    def read_all() -> None:
        while piece := os.read(reader, 4_096):
            read.append(piece)

    thread = threading.Thread(target=read_all)
    thread.start()
    print("y" * 1_000_000, flush=True)
    os.close(writer)
    thread.join()
    os.close(reader)

    assert (len(b"".join(read)), outlet.failure) == (1_000_001, None)


@pytest.mark.usefixtures("outlets")
def test_letters_that_the_encoding_lacks_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    outlet = output.Outlet("stdout", writer)
    monkeypatch.setattr(sys, "stdout", output.text_stream(outlet, "ascii"))

    print("Zoë 林", flush=True)

    assert os.read(reader, 100) == b"Zo? ?\n"
    os.close(reader)
    os.close(writer)


def test_a_loss_is_noted_once_and_forgotten_when_a_later_run_can_write(
    full: int, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(monkeypatch, full)
    long_ago = datetime.now(UTC) - timedelta(days=1)
    lost_output.notebook.command = "channel list"
    lost_output.notebook.use(state)
    print("a line", flush=True)
    print("another", flush=True)
    lost_output.notebook.close()
    [noted] = lost_output.newest(state, long_ago)
    assert noted[:3] == ("channel list", "stdout", "no space left on device")
    assert noted.is_failure

    def run_where_it_can_write(command: str) -> None:
        reader, writer = os.pipe()
        output.process.outlets.clear()
        take(monkeypatch, writer)
        lost_output.begin()
        lost_output.notebook.command = command
        lost_output.notebook.use(state)
        print("a line", flush=True)
        lost_output.notebook.close()
        os.close(reader)
        os.close(writer)

    run_where_it_can_write("channel show")
    assert lost_output.newest(state, long_ago) == [noted]
    run_where_it_can_write("channel list")
    assert lost_output.newest(state, long_ago) == []


def test_output_lost_before_the_state_file_was_open_is_noted_too(
    full: int, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(monkeypatch, full)
    print("a line", flush=True)
    with state.transaction():  # the note waits for its turn, the work does not wait for it
        lost_output.notebook.command = "broadcast send"
        lost_output.notebook.use(state)
    lost_output.notebook.close()

    assert len(lost_output.newest(state, datetime.now(UTC) - timedelta(days=1))) == 1


@pytest.mark.parametrize(("only_reads", "notes"), [(True, 0), (False, 1)])
def test_a_reader_that_left_is_noted_where_work_was_done(
    unread: int,
    state: State,
    only_reads: bool,
    notes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take(monkeypatch, unread)
    output.process.only_reads = only_reads
    lost_output.notebook.use(state)
    print("a line", flush=True)
    lost_output.notebook.close()

    found = lost_output.newest(state, datetime.now(UTC) - timedelta(days=1))
    assert [entry.is_failure for entry in found] == [False] * notes


def paths(at: PlainGroup) -> Iterator[CommandPath]:
    for entry in at.entries.values():
        made = entry.make()
        if isinstance(made, PlainGroup):
            yield from paths(made)
        else:
            yield made.path


WORKING_VERBS = [
    "add",
    "adopt",
    "archive",
    "backup",
    "break",
    "cancel",
    "confirm",
    "connect",
    "delete",
    "discover",
    "edit",
    "import",
    "install",
    "limit",
    "listen",
    "login",
    "logout",
    "notify",
    "offboard",
    "partner",
    "pause",
    "phone",
    "plan",
    "probe",
    "prune",
    "pull",
    "push",
    "reconcile",
    "relink",
    "remove",
    "rename",
    "restore",
    "resume",
    "retry",
    "send",
    "start",
    "subscribe",
    "time",
    "upload",
    "use",
]


def test_every_command_that_only_shows_something_is_known() -> None:
    verbs = {path[-1] for path in paths(app)}

    assert verbs >= READING_VERBS
    assert sorted(verbs - READING_VERBS) == WORKING_VERBS
