"""Archived payloads out of a file into the log: each once, in any order, as often as one likes."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import re
import sys
import tempfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from wacoex_cli.contacts.stops import follow, words_of
from wacoex_cli.errors import UsageError
from wacoex_cli.events import consumers
from wacoex_cli.events.store import EventLog, Stored, Tally, catch_up
from wacoex_cli.events.wrapping import GZIP, unwrapped
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.state import State, open_state
from wacoex_cli.platforms.events import Payload, UnreadablePayload, Via
from wacoex_cli.platforms.payloads import DECODER, NOT_JSON, TOO_DEEP, payload_in, source_of
from wacoex_cli.platforms.privacy import Reading
from wacoex_cli.platforms.stop_words import usual
from wacoex_cli.terminal.progress import ProgressUpdate, open_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.stop_words import StopWords
    from wacoex_cli.terminal.options import Invocation

    Read = Callable[["Item"], Payload]
    Store = Callable[[Sequence[Payload]], list[Stored]]

_MIB = 1024**2
LARGEST_BYTES = 8 * _MIB
"""Meta sends 3 MiB at most; an archive may have it laid out with spaces."""
_PIECE_BYTES = 256 * 1024
_BETWEEN = re.compile(r"[\s,]*")
_TOO_LARGE = f"it is longer than {LARGEST_BYTES // _MIB} MiB"


class Item(NamedTuple):
    """One payload, or why there is none. `line` counts from 1."""

    line: int
    size: int
    body: object = None
    fault: str | None = None


def import_archive(
    workspace: Workspace, invocation: Invocation, file: str, *, dry_run: bool
) -> ImportCount:
    """Store what is new of a file of payloads, `-` for standard input, and project it.

    A dry run changes nothing and counts the same. Raises UsageError for a file that cannot be
    read, StateError when the log cannot be written.
    """
    state, now = workspace.state, workspace.clock.now()
    store_bodies = workspace.settings.events.store_bodies
    consent = workspace.settings.consent
    if not dry_run:
        follow(state, consent, now)
    read = reader(workspace.secrets.local_key(), now, words_of(consent), store_bodies=store_bodies)
    size = Path(file).stat().st_size if file != "-" and Path(file).is_file() else 0
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(_opened(file))
        stream = _plain(source)
        store = stack.enter_context(trying(state, now)) if dry_run else storing(state, now)
        progress = None
        if size > 10 * _MIB:
            title = f"MiB of {file} imported"
            progress = stack.enter_context(open_progress(invocation, title, size // _MIB))

        def on_batch(done: ImportCount) -> None:
            if progress:
                counts = {"read": done.read}
                progress.update(
                    ProgressUpdate(source.tell() // _MIB, f"{done.stored} stored", counts)
                )

        done = import_items(
            payload_items(items(stream)),
            read,
            store,
            on_invalid=lambda line, reason: workspace.warn(f"line {line}: {reason}"),
            on_batch=on_batch,
        )
    if not dry_run:
        catch_up(
            state,
            consumers.projections(),
            workspace.clock,
            events_at_once=_EVENTS_PROJECTED_AT_ONCE,
        )
    return done


@contextlib.contextmanager
def _opened(source: str) -> Iterator[BinaryIO]:
    if source == "-":
        if sys.stdin.isatty():
            raise UsageError(
                "no payloads on standard input: it is a terminal",
                hint="pipe an archive into wacoex, or name a file instead of `-`",
                code="unreadable_file",
            )
        yield sys.stdin.buffer
        return
    try:
        stream = Path(source).open("rb")  # noqa: SIM115  # only opening it may fail here
    except OSError as error:
        raise UsageError(
            f"cannot read `{source}`: {(error.strerror or str(error)).lower()}",
            hint="check the path and its permissions",
            code="unreadable_file",
        ) from error
    with stream:
        yield stream


def _plain(source: BinaryIO) -> BinaryIO:
    """What a file holds, also one that is packed with gzip."""
    # Not every stream can be looked into, but a file and standard input can.
    peek = getattr(source, "peek", None)
    if peek is None or not peek(len(GZIP)).startswith(GZIP):
        return source
    return cast("BinaryIO", gzip.GzipFile(fileobj=source))


def payload_items(items: Iterable[Item]) -> Iterator[Item]:
    """The same without what another program has put around them (n8n and others)."""
    for item in items:
        if source_of(item.body) is not None:
            yield item
            continue
        for body in [*unwrapped(item.body)] or [item.body]:
            yield item._replace(body=body)


def items(stream: BinaryIO) -> Iterator[Item]:
    """The payloads in order. Blank lines are passed over.

    What is packed and broken ends there too: what came before it is read.
    """
    line = 1
    try:
        for item in _items(stream):
            line = item.line
            yield item
    except (EOFError, gzip.BadGzipFile, zlib.error):
        yield Item(line, 0, fault="its gzip is broken or was cut short; reading ends here")


def _items(stream: BinaryIO) -> Iterator[Item]:
    """The payloads in order. Blank lines are passed over.

    In a file of lines a broken one harms no other. In an array, and where objects stretch over
    several lines, no object after a broken one can be found: reading ends there.
    """
    line = 1
    raw = stream.readline(LARGEST_BYTES + 1).removeprefix(codecs.BOM_UTF8)
    while raw.isspace():
        raw = stream.readline(LARGEST_BYTES + 1)
        line += 1
    start = raw.lstrip()
    if start.startswith(b"["):
        yield from _Values(stream, start[1:], line, is_array=True)
    elif start.rstrip() == b"{":
        yield from _Values(stream, raw, line, is_array=False)
    else:
        yield from _lines(stream, raw, line)


def _lines(stream: BinaryIO, raw: bytes, line: int) -> Iterator[Item]:
    while raw:
        if len(raw) > LARGEST_BYTES:
            yield Item(line, len(raw), fault=_TOO_LARGE)
            while raw and not raw.endswith(b"\n"):
                raw = stream.readline(_PIECE_BYTES)
        elif not raw.isspace():
            try:
                yield Item(line, len(raw), DECODER.decode(raw.decode()))
            except UnicodeDecodeError:
                yield Item(line, len(raw), fault="it is not UTF-8")
            except ValueError:
                yield Item(line, len(raw), fault=NOT_JSON)
            except RecursionError:
                yield Item(line, len(raw), fault=TOO_DEEP)
        raw = stream.readline(LARGEST_BYTES + 1)
        line += 1


class _BrokenValueError(Exception):
    """Why there is no value where one should be."""


class _Values:
    """JSON values one after the other, read a piece of the file at a time."""

    def __init__(self, stream: BinaryIO, start: bytes, line: int, *, is_array: bool) -> None:
        self._stream = stream
        # A wrong byte is most likely in a text, which is not kept; it must not cost its neighbours.
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = start
        self._text = ""
        self._at = 0
        self._line = line
        self._is_array = is_array

    def __iter__(self) -> Iterator[Item]:
        try:
            while self._finds_another():
                value, end = self._value()
                yield Item(self._line, end - self._at, value)
                self._pass_to(end)
            return
        except RecursionError:
            fault = TOO_DEEP
        except _BrokenValueError as error:
            fault = str(error)
        yield Item(self._line, len(self._text) - self._at, fault=f"{fault}; reading ends here")

    def _finds_another(self) -> bool:
        while True:
            found = _BETWEEN.match(self._text, self._at)
            self._pass_to(found.end() if found else self._at)
            if self._at < len(self._text):
                if not (self._is_array and self._text[self._at] == "]"):
                    return True
                # Another array may follow, as where each line is one.
                self._is_array = False
                self._pass_to(self._at + 1)
            elif not self._more(_PIECE_BYTES):
                if self._is_array:
                    raise _BrokenValueError("the array has no end")
                return False

    def _value(self) -> tuple[object, int]:
        """The value that begins here, which may be cut off at first, and where it ends."""
        while True:
            try:
                return DECODER.raw_decode(self._text, self._at)
            except ValueError:
                present = len(self._text) - self._at
            if present > LARGEST_BYTES:
                raise _BrokenValueError(f"{NOT_JSON}; or {_TOO_LARGE}")
            # As much again each time, so that a long value is not begun too often.
            if not self._more(max(present, _PIECE_BYTES)):
                raise _BrokenValueError(NOT_JSON)

    def _more(self, size: int) -> bool:
        piece = self._pending or self._stream.read(size)
        self._pending = b""
        self._text = self._text[self._at :] + self._utf8.decode(piece, final=not piece)
        self._at = 0
        return bool(piece)

    def _pass_to(self, end: int) -> None:
        self._line += self._text.count("\n", self._at, end)
        self._at = end


INVALID_LISTED = 100
# The digests of a batch lie all over their index: a larger batch writes each page of it less often.
_PAYLOADS_AT_ONCE = 1_000
_BYTES_AT_ONCE = 4 * _MIB
# Each projection has a transaction of its own, so that a sender keeps its pace beside it: it waits
# for some hundredths of a second at most (`importing` in tests/bench/bulk.py).
_EVENTS_PROJECTED_AT_ONCE = 2_000


@dataclass
class ImportCount(Tally):
    """How far an import has come, in payloads. Of those it cannot read the first 100 are named."""

    read: int = 0
    invalid: int = 0
    invalid_lines: list[tuple[int, str]] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        """The `data` of `events import`."""
        lines = [{"line": line, "reason": reason} for line, reason in self.invalid_lines]
        return {**super().to_json(), "invalid_lines": lines}


def reader(
    key: bytes,
    received_at: datetime,
    stop_words: StopWords | None = None,
    *,
    store_bodies: bool,
) -> Read:
    """Makes payloads of what an archive holds; raises UnreadablePayload for anything else."""

    reading = Reading(key, stop_words or usual(), to_text(received_at), store_bodies)

    def read(item: Item) -> Payload:
        if item.fault is not None:
            raise UnreadablePayload(item.fault)
        source = source_of(item.body)
        if source is None or not isinstance(item.body, dict):
            raise UnreadablePayload("neither Meta nor respond.io sends such an object")
        payload = payload_in(source, item.body, item.size, reading)
        # Nobody has signed an archive: what is in it must be known.
        if payload.unread is not None:
            raise UnreadablePayload(payload.unread)
        return payload

    return read


def storing(state: State, now: datetime) -> Store:
    """Keeps payloads in the log, each batch in one transaction."""
    state.keep_more_pages()

    def store(payloads: Sequence[Payload]) -> list[Stored]:
        with state.transaction():
            return EventLog(state).store(payloads, Via.IMPORT, now)

    return store


@contextlib.contextmanager
def trying(state: State, now: datetime) -> Iterator[Store]:
    """Says what would be kept and changes nothing: what is new goes into a file for the moment."""
    with tempfile.TemporaryDirectory(prefix="wacoex-") as directory:
        scratch = open_state(Path(directory) / "dry-run.db")
        with contextlib.closing(scratch):
            store = storing(scratch, now)

            def pretend(payloads: Sequence[Payload]) -> list[Stored]:
                news = EventLog(state).unknown_events(payloads)
                pairs = zip(payloads, news, strict=True)
                new = [each._replace(body="", events=e) for each, e in pairs if e is not None]
                kept = iter(store(new))
                return [Stored(False, {}) if e is None else next(kept) for e in news]

            yield pretend


def import_items(
    items: Iterable[Item],
    read: Read,
    store: Store,
    *,
    on_invalid: Callable[[int, str], None],
    on_batch: Callable[[ImportCount], None],
) -> ImportCount:
    """Read payloads and store them in batches; what is stored stays when a later one fails.

    `on_invalid` gets the line and the reason of each of the first hundred that cannot be read.
    Raises StateError when the log cannot be written.
    """
    done = ImportCount()
    batch: list[Payload] = []
    size = 0
    for item in items:
        done.read += 1
        try:
            payload = read(item)
        except UnreadablePayload as error:
            done.invalid += 1
            if len(done.invalid_lines) < INVALID_LISTED:
                done.invalid_lines.append((item.line, str(error)))
                on_invalid(item.line, str(error))
            continue
        batch.append(payload)
        size += payload.size
        if len(batch) >= _PAYLOADS_AT_ONCE or size >= _BYTES_AT_ONCE:
            done.add(store(batch))
            on_batch(done)
            batch, size = [], 0
    if batch:
        done.add(store(batch))
        on_batch(done)
    return done
