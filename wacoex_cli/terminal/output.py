"""Standard output and standard error as streams that never fail the work that writes to them.

Everything that is printed, by us, by Typer, by rich or by Python itself, passes an `Outlet`. What
cannot be written is dropped, and the outlet remembers why.
"""

from __future__ import annotations

import errno
import io
import os
import sys

TYPE_CHECKING = False  # `typing` takes longer to import than `--version` takes to answer
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

_NAMES = ("stdin", "stdout", "stderr")
_READER_LEFT = frozenset({errno.EPIPE, errno.ECONNRESET})
# A pipe that is ready for a byte takes this many without waiting.
_MOST_BYTES_AT_ONCE = 4_096
_PATIENCE_SECONDS = 2.0


class ReaderLeft(SystemExit):
    """The reader of standard output has left, and the command does nothing but write there."""


class Outlet(io.RawIOBase):
    """A descriptor to write to: it takes everything, and remembers what could not be written.

    `failure` is the first error; `reader_left` the first sign that nobody reads any more: a pipe
    that was closed, or one that stayed full while work went on.
    """

    def __init__(self, name: str, number: int, *, is_missing: bool = False) -> None:
        super().__init__()
        self.stream_name = name
        self.failure: OSError | None = None
        self.reader_left: OSError | None = None
        self.has_written = False
        self._number = number
        self._is_missing = is_missing
        self._is_stuck = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return not self._is_missing and os.isatty(self._number)

    def write(self, data: object) -> int:
        rest = memoryview(data)  # type: ignore[arg-type]  # the buffer above it gives bytes
        size = len(rest)
        try:
            if self._is_missing:
                raise OSError(errno.EBADF, "it was closed when the command began")
            while rest:
                rest = rest[self._write_some(rest) :]
            self.has_written = True
        except OSError as error:
            self._remember(error)
        return size

    def _write_some(self, rest: memoryview) -> int:
        try:
            if not process.is_working:
                return os.write(self._number, rest)
            if not self._is_ready(0.0 if self._is_stuck else _PATIENCE_SECONDS):
                self._is_stuck = True
                raise TimeoutError(errno.ETIMEDOUT, "nobody reads it")
            self._is_stuck = False
            return os.write(self._number, rest[:_MOST_BYTES_AT_ONCE])
        except BlockingIOError:  # another program has made the descriptor non-blocking
            self._is_ready(None)
            return 0

    def _is_ready(self, seconds: float | None) -> bool:
        import select

        waiting = select.poll()
        waiting.register(self._number, select.POLLOUT)
        return bool(waiting.poll(None if seconds is None else seconds * 1000))

    def _remember(self, error: OSError) -> None:
        is_reader = error.errno in _READER_LEFT or isinstance(error, TimeoutError)
        if is_reader and self.reader_left is None:
            self.reader_left = error
        elif not is_reader and self.failure is None:
            self.failure = error
        else:
            return
        process.on_loss(self)


class Process:
    """What this process does, as far as its output depends on it.

    `only_reads`: it ends when its reader leaves. `keeps_nothing`: it makes no state file.
    `on_loss` is given each outlet that loses something for the first time.
    """

    def __init__(self) -> None:
        self.only_reads = False
        self.keeps_nothing = False
        self.is_working = False
        self.outlets: list[Outlet] = []
        self.on_loss: Callable[[Outlet], None] = lambda outlet: None


process = Process()


class Working:
    """While the block runs, a reader who does not read is waited for 2 seconds, then not at all.

    What is dropped meanwhile is not missed by the work. Outside of it a reader may be as slow as
    it wants.
    """

    def __enter__(self) -> None:
        self._before, process.is_working = process.is_working, True

    def __exit__(self, *_: object) -> None:
        process.is_working = self._before


def protect() -> None:
    """Take over both streams, and put /dev/null in the place of descriptors that are closed.

    Without it the next file that is opened, such as the state file, would get the number of a
    closed one, and a line that is printed would land in it.
    """
    global process
    process = Process()
    for number, name in enumerate(_NAMES):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        stream: TextIO | None = getattr(sys, name)
        if name == "stdin":
            if stream is None:
                sys.stdin = open(number, encoding="utf-8", closefd=False)  # noqa: SIM115
        elif stream is None:
            _replace(Outlet(name, number, is_missing=True), "utf-8")
        elif _number_of(stream) == number:
            _replace(Outlet(name, number), stream.encoding)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def text_stream(outlet: Outlet, encoding: str) -> TextIO:
    """A text stream over an outlet; it replaces what its encoding cannot express."""
    return io.TextIOWrapper(
        io.BufferedWriter(outlet),
        encoding=encoding,
        errors="replace",
        newline="\n",
        line_buffering=outlet.stream_name == "stderr" or outlet.isatty(),
    )


def end_if_reader_left(stream: TextIO) -> None:
    """Raise ReaderLeft when nobody reads standard output and the command has no other work."""
    if process.only_reads and stream is sys.stdout:
        for outlet in process.outlets:
            if outlet.stream_name == "stdout" and outlet.reader_left:
                raise ReaderLeft(0)


def _replace(outlet: Outlet, encoding: str) -> None:
    process.outlets.append(outlet)
    setattr(sys, outlet.stream_name, text_stream(outlet, encoding))


def _number_of(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):  # a stream in memory
        return None
