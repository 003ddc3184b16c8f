"""All that is printed: a screen for a person, TSV for a pipe, the JSON envelope, and failures.

A screen fits its terminal: words wrap whole, tables give up their least valuable columns, and
long lists fold until the whole has at most `Result.most_lines` lines; `-v` unfolds them.
"""

import contextlib
import io
import json
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TextIO

from wacoex_cli.errors import UsageError, WacoexError
from wacoex_cli.foundation.clock import spoken_within, to_text
from wacoex_cli.terminal import layout, lost_output, output
from wacoex_cli.terminal.help import CommandPath
from wacoex_cli.terminal.layout import Column

if TYPE_CHECKING:
    from wacoex_cli.foundation.settings import Settings
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace

ENVELOPE_VERSION = 1
INTERRUPTED = 130
TERMINATED = 143
_PARTIAL = 7
MOST_LINES = 60
"""How long a screen may be before lists on it fold."""

log_subject: ContextVar[str | None] = ContextVar("log_subject", default=None)
"""What lines of a log are about, where a command works for several at once: `shop broadcast 7`."""

SANDBOX_SAID = "_WACOEX_SANDBOX_SAID"
"""The variable with the address of a sandbox that the program above has named on this screen."""

_WIDEST = 100
_IN_A_PIPE = 78
_MOST_INDENT = 6
_FIRST_STAND_IN = 0xE000
_UNFOLD = "`-v` shows all"
_LABEL = r"(?<=\n\n)((?:[A-Z]|respond\.io's |wacoex's )[A-Za-z' ]{2,28}:)(?=\s|$)"
_CODE = r"`([^`]+)`"
_INDENTED = "    "
# Colours of the terminal's own palette and no background, so that it fits light and dark ones.
_STYLES = {
    "markdown.code": "cyan",
    "markdown.item.number": "bold",
}
_CODES = {"green": "32", "yellow": "33", "red": "31", "cyan": "36", "bold": "1", "dim": "2"}
# What a word in a cell, or at the beginning of a heading, says about how it stands.
_WORDS = {
    "ok": "green",
    "connected": "green",
    "warning": "yellow",
    "unknown": "yellow",
    "settling": "yellow",
    "reconnecting": "yellow",
    "critical": "red",
    "overdue": "red",
    "removed": "red",
    "error": "red",
    "hint": "cyan",
}
# Control characters and changes of writing direction: names and texts come from outside, and
# must not move the cursor or turn a line around.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


@dataclass
class Learnt:
    """What only the settings know; filled in when the workspace opens."""

    sandbox_url: str | None = None
    no_input: bool = False
    debug: bool = False
    streams: bool = False
    is_long: bool = False
    channel: str | None = None
    zone: str = "UTC"


@dataclass(frozen=True)
class Invocation:
    """The global options of one command, whether they stood before or after its name."""

    channel: str | None = None
    json: bool = False
    quiet: int = 0
    verbose: int = 0
    color: bool | None = None
    no_input: bool = False
    env_file: Path | None = None
    debug: bool = False
    learnt: Learnt = field(default_factory=Learnt, repr=False, compare=False)

    @property
    def wants_json(self) -> bool:
        """Whether standard output is for a program: one envelope, or a stream that ends in one."""
        return self.json or self.learnt.streams

    def one_channel(self, named: str | None) -> str | None:
        """The channel named as argument or by `--channel`; raises UsageError when they differ."""
        if named and self.channel and named != self.channel:
            raise UsageError(
                f"two channels are named: `{named}` and `{self.channel}`",
                hint="name one, or none to see them all",
            )
        return named or self.channel

    def stream(self) -> None:
        """Let progress be one JSON object a line on standard output, the envelope last."""
        self.learnt.streams = True

    def begin_log(self, channel: str | None = None) -> None:
        """From here on each line on standard error that goes to a file has time and channel."""
        self.learnt.is_long = True
        self.learnt.channel = channel or self.learnt.channel

    @property
    def allows_input(self) -> bool:
        """Whether a person may be asked, as far as options and settings say."""
        return not (self.no_input or self.learnt.no_input)

    def open_workspace(self) -> "Workspace":
        """Settings, state, secrets and HTTP of this command, as a context manager.

        Says on standard error, and in the JSON, when the API it talks to is not Meta's.
        """
        from wacoex_cli.foundation.settings import default_state_path
        from wacoex_cli.foundation.state import real_path
        from wacoex_cli.foundation.workspace import open_workspace

        messages, learnt = Messages(self), self.learnt

        def announce(settings: "Settings") -> None:
            learnt.no_input = settings.no_input
            learnt.debug = settings.debug
            learnt.zone = settings.timezone or learnt.zone
            if not settings.talks_to_meta and learnt.sandbox_url != settings.meta_base_url:
                learnt.sandbox_url = settings.meta_base_url
                if os.environ.get(SANDBOX_SAID) != settings.meta_base_url:
                    messages.banner(f"sandbox: talking to {settings.meta_base_url}, not to Meta")

        def on_state(state: "State") -> None:
            lost_output.notebook.use(state)
            if state.is_new and state.path != real_path(default_state_path()):
                messages.note(f"a new state file: {state.path}")

        def on_update(size: int) -> None:
            if size >= _LARGE_FILE:
                megabytes = f"{size / 1e6:,.0f} MB"
                messages.note(
                    f"bringing the state file ({megabytes}) up to date for this version: this may"
                    " take a minute; if it is stopped, nothing is lost"
                )

        return open_workspace(
            env_file=self.env_file,
            warn=messages.warn,
            log=lambda text: messages.detail(text, 2),
            detail=messages.detail,
            announce=announce,
            on_state=on_state,
            on_update=on_update,
            only_reads=output.process.keeps_nothing,
        )


_LARGE_FILE = 50_000_000
"""Bringing a state file of this many bytes up to date takes so long that a person wonders."""


class Messages:
    """What is said on standard error while a command runs, as far as its options want it."""

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation

    def note(self, text: str) -> None:
        """Something worth knowing; `-q` hides it."""
        if not (self._invocation.quiet or self._invocation.wants_json):
            say(text, self._invocation)

    def warn(self, text: str) -> None:
        """Something that may go wrong; only `-qq` hides it."""
        if self._invocation.quiet < 2:
            say(text, self._invocation, "warning")

    def detail(self, text: str, level: int = 1) -> None:
        """What is being done, at `-v` (1) or `-vv` (2)."""
        if self._invocation.verbose >= level:
            say(text, self._invocation, level="debug")

    def banner(self, text: str) -> None:
        """A line that belongs on every screen; only `-qq` hides it."""
        if self._invocation.quiet < 2:
            say(text, self._invocation)


class Table(NamedTuple):
    """Rows for a person or a pipe. A cell may be text, a number, a bool, a moment or None.

    `when_empty` is what a person reads instead of no rows. A table that folds has an entry for
    each channel or the like: on a long screen its last rows are counted instead of shown, the
    `quiet` ones first, which have nothing to say. One that is `at_verbose` is shown only at `-v`.
    """

    columns: tuple[str | Column, ...]
    rows: Sequence[Sequence[object]]
    when_empty: str = ""
    folds: bool = False
    quiet: int = 0
    has_header: bool = True
    at_verbose: bool = False


class Line(NamedTuple):
    """A line of a block: `heading` (it may begin with a verdict), `dim` for detail, or plain."""

    text: str
    style: str = ""


class Block(NamedTuple):
    """Lines that belong together; they wrap at the width of the terminal, or at 78 in a pipe."""

    lines: tuple[Line, ...]

    def changed(self, change: Callable[[str], str]) -> "Block":
        """The block with every text changed, for example masked."""
        return Block(tuple(Line(change(line.text), line.style) for line in self.lines))

    @property
    def text(self) -> str:
        """What stands in it, a line for each of its lines."""
        return "\n".join(line.text for line in self.lines)


class Blocks(NamedTuple):
    """Blocks with a blank line before each; on a long screen only their first lines are shown.

    `unfolded` takes their place at `-v`, where blocks stand for several things each.
    """

    blocks: Sequence[Block]
    unfolded: Sequence[Block] = ()
    noun: str = "findings"

    def changed(self, change: Callable[[str], str]) -> "Blocks":
        """The blocks with every text changed, for example masked."""
        blocks, unfolded = (
            [block.changed(change) for block in each] for each in (self.blocks, self.unfolded)
        )
        return Blocks(blocks, unfolded, self.noun)


class ForPerson(NamedTuple):
    """A part that only a terminal shows; in a pipe it would spoil the rows."""

    part: str | Table | Block | Blocks


class Markdown(NamedTuple):
    """An article: laid out on a terminal, as it is in a pipe."""

    text: str


class Verbatim(NamedTuple):
    """Text that another program is to read, such as a script: it never wraps."""

    text: str


class ForPipe(NamedTuple):
    """A part that only a pipe gets, where a terminal shows something shorter."""

    part: str | Table | Block | Blocks


Part = str | Table | Block | Blocks | Markdown | Verbatim


class Result(NamedTuple):
    """What a command has to say: `data` for JSON, `text` for a person, and how it ended.

    `lists` are further entries of `data`, too long for memory: read while they are written. Each
    gives its items as JSON, some at a time, with `, ` between them.
    `beside_rows` is what the rows of a pipe cannot hold and a person at the other end must know:
    it goes to standard error when standard output is no terminal.
    `text` is not made where JSON is written: nobody reads it.
    A screen with more than `most_lines` lines folds what can be folded. Its times are said in
    `zone`, that of the channel it is about, or else in the one of the settings.
    """

    data: Mapping[str, object]
    text: Iterable[Part | ForPerson | ForPipe] = ()
    exit_code: int = 0
    errors: Sequence[WacoexError] = ()
    lists: Mapping[str, Iterable[str]] = MappingProxyType({})
    beside_rows: Sequence[str] = ()
    most_lines: int = MOST_LINES
    zone: str | None = None

    @property
    def status(self) -> str:
        """`ok`, `partial` (exit code 7) or `error` (there are errors)."""
        if self.exit_code == _PARTIAL:
            return "partial"
        return "error" if self.errors else "ok"


def emit(result: Result, invocation: Invocation, command_path: CommandPath) -> int:
    """Show a result as the invocation asks for; returns its exit code.

    A reader that leaves in the middle is no failure.
    """
    with contextlib.suppress(output.ReaderLeft):
        if invocation.wants_json:
            _write_envelope(result, invocation, command_path)
        elif invocation.quiet < 2:
            _write_text(result, invocation)
            if not sys.stdout.isatty():
                for text in result.beside_rows:
                    say(text, invocation, "warning")
    if not invocation.wants_json:
        for error in result.errors:
            _write_error(error, invocation)
    return result.exit_code


def _write_text(result: Result, invocation: Invocation) -> None:
    now = datetime.now(UTC)
    if not sys.stdout.isatty():
        for part in result.text:
            if not isinstance(part, ForPerson):
                for line in _piped(part.part if isinstance(part, ForPipe) else part):
                    write(sys.stdout, f"{line}\n")
        return
    shown = [part for part in result.text if not isinstance(part, ForPipe)]
    screen = Screen(invocation, now, result.most_lines, result.zone)
    parts = [part.part if isinstance(part, ForPerson) else part for part in shown]
    write(sys.stdout, "".join(f"{line}\n" for line in screen.lines(parts)))


def _piped(part: Part) -> Iterator[str]:
    if isinstance(part, Table):
        for row in part.rows:
            yield "\t".join(_cell(cell, to_text, "") for cell in row)
    elif isinstance(part, Blocks):
        for block in part.blocks:
            yield from ["", *_piped(block)]
    elif isinstance(part, Block):
        yield from layout.wrapped(printable(part.text), _IN_A_PIPE)
    else:
        yield printable(part if isinstance(part, str) else part.text)


class Screen:
    """Parts of a result as the lines of a terminal, which is asked for its width once."""

    def __init__(
        self, invocation: Invocation, now: datetime, most_lines: int, zone: str | None = None
    ) -> None:
        self._now, self._zone = now, zone or invocation.learnt.zone
        self._width = columns_of(sys.stdout)
        self._prose = min(self._width, _WIDEST)
        self._most_lines = None if invocation.verbose else most_lines
        self._is_colored = shows_color(sys.stdout, invocation.color)

    def lines(self, parts: Sequence[Part]) -> list[str]:
        """All lines; those of tables and blocks that fold are as many as there is room for."""
        if self._most_lines is None:
            parts = [_unfolded(part) for part in parts]
        parts = [part for part in parts if self._most_lines is None or not _is_at_verbose(part)]
        whole = [self._whole(part) for part in parts]
        folding = [at for at, part in enumerate(parts) if _folds(part)]
        wanted = [len(whole[at]) for at in folding]
        fixed = sum(map(len, whole)) - sum(wanted)
        if self._most_lines is not None and fixed + sum(wanted) > self._most_lines:
            space = layout.shares(wanted, self._most_lines - fixed)
            for at, most in zip(folding, space, strict=True):
                whole[at] = self._folded(parts[at], whole[at], most)
        return [line for lines in whole for line in lines]

    def _whole(self, part: Part) -> list[str]:
        if isinstance(part, Table):
            return self._table(part)
        if isinstance(part, Blocks):
            return [line for block in part.blocks for line in ["", *self._block(block)]]
        if isinstance(part, Block):
            return self._block(part)
        if isinstance(part, Verbatim):
            return printable(part.text).split("\n")
        if isinstance(part, Markdown):
            return laid_out(printable(part.text), color=self._is_colored).split("\n")
        return self._wrapped(part)

    def _wrapped(self, text: str) -> list[str]:
        return layout.wrapped(self._spoken(text), self._prose)

    def _spoken(self, text: str) -> str:
        return spoken_within(printable(text), self._zone, self._now)

    def _folded(self, part: Part, whole: list[str], most: int) -> list[str]:
        if len(whole) <= most:
            return whole
        if isinstance(part, Blocks):
            return self._folded_blocks(part, most)
        if isinstance(part, Table):
            return self._folded_table(part, most)
        return whole

    def _folded_table(self, table: Table, most: int) -> list[str]:
        shown = min(len(table.rows) - table.quiet, most)
        while True:
            rest = self._rest_of(table, shown)
            lines = self._table(table._replace(rows=table.rows[:shown])) if shown > 0 else []
            if shown <= 0 or len(lines) + len(rest) <= most:
                return lines + rest
            shown -= 1

    def _rest_of(self, table: Table, shown: int) -> list[str]:
        hidden = table.rows[shown:]
        first = _column(table.columns[0]).name
        words = Counter(_cell(row[0], to_text, "-") for row in hidden)
        counts = ", ".join(f"{count} {word}" for word, count in words.items())
        by_word = f": {counts}" if first in {"verdict", "stage"} else ""
        before = f"and {len(hidden)} more" if shown else f"all {len(hidden)}"
        return layout.wrapped(f"{before}{by_word}; {_UNFOLD}", self._prose)

    def _folded_blocks(self, part: Blocks, most: int) -> list[str]:
        """Only the first line of each block, and as many of them as there is room for."""
        first = [block.lines[0] for block in part.blocks]
        heads = [self._block(Block((line,))) for line in first]
        end = layout.wrapped(f"{_UNFOLD} {part.noun} in full", self._prose)
        if 1 + sum(map(len, heads)) + len(end) <= most:
            return ["", *(line for head in heads for line in head), *end]
        short = [layout.shortened(self._spoken(line.text), self._prose) for line in first]
        heads = [[self._styled(text, "heading", True)] for text in short]
        lines: list[str] = []
        for place, head in enumerate(heads):
            rest = len(heads) - place
            noun = part.noun if rest > 1 else part.noun.removesuffix("s")
            end = layout.wrapped(f"and {rest} more {noun}; {_UNFOLD}", self._prose)
            if 1 + len(lines) + len(head) + len(end) > most:
                break
            lines += head
        return ["", *lines, *end]

    def _block(self, block: Block) -> list[str]:
        lines = []
        for line in block.lines:
            pieces = self._wrapped(line.text)
            lines += [self._styled(text, line.style, at == 0) for at, text in enumerate(pieces)]
        return lines

    def _styled(self, text: str, style: str, is_first: bool) -> str:
        if style == "heading":
            word = re.split(r"\W", text, maxsplit=1)[0]
            if is_first and word in _WORDS:
                return self._in(_WORDS[word], word) + self._in("bold", text.removeprefix(word))
        return self._in({"heading": "bold"}.get(style, style), text)

    def _in(self, style: str, text: str) -> str:
        return colored(text, style) if self._is_colored and style and text else text

    def _table(self, table: Table) -> list[str]:
        rows = [
            [spoken_within(self._cell(cell), self._zone, self._now) for cell in row]
            for row in table.rows
        ]
        if not rows:
            return layout.wrapped(table.when_empty, self._prose) if table.when_empty else []
        columns = [_column(column) for column in table.columns]
        return layout.table_lines(
            columns, rows, self._width, self._painted, has_header=table.has_header
        )

    def _cell(self, cell: object) -> str:
        return _cell(cell, lambda at: relative(at, self._now), layout.NOTHING)

    def _painted(self, cell: str, is_header: bool) -> str:
        return self._in("bold" if is_header else _WORDS.get(cell, ""), cell)


def _unfolded(part: Part) -> Part:
    return Blocks(part.unfolded) if isinstance(part, Blocks) and part.unfolded else part


def _is_at_verbose(part: Part) -> bool:
    return isinstance(part, Table) and part.at_verbose


def _folds(part: Part) -> bool:
    return isinstance(part, Blocks) or (isinstance(part, Table) and part.folds)


def _column(column: str | Column) -> Column:
    return column if isinstance(column, Column) else Column(column)


def _write_envelope(result: Result, invocation: Invocation, command_path: CommandPath) -> None:
    # What stands for each long list until it is written, in the order of the sorted keys.
    marks = {name: f"{name} {os.urandom(16).hex()}" for name in sorted(result.lists)}
    envelope: dict[str, object] = {
        "wacoex_json": ENVELOPE_VERSION,
        "command": list(command_path),
        "status": result.status,
        "exit_code": result.exit_code,
        "data": {**result.data, **marks},
        "errors": [
            {"code": error.code, "message": error.message, "hint": error.hint}
            | ({"details": error.details} if error.details else {})
            for error in result.errors
        ],
    }
    if invocation.learnt.sandbox_url:
        envelope["sandbox"] = True
    rest = _json(envelope)
    for name, mark in marks.items():
        before, rest = rest.split(_json(mark), 1)
        write(sys.stdout, before)
        write(sys.stdout, "[")
        separator = ""
        for items in result.lists[name]:
            write(sys.stdout, separator + items)
            separator = ", "
        write(sys.stdout, "]")
    write(sys.stdout, f"{rest}\n")


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return to_text(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _write_error(error: WacoexError, invocation: Invocation) -> None:
    parts = [("error", error.message)]
    if error.details and invocation.verbose:
        facts = ", ".join(f"{name} {value}" for name, value in sorted(error.details.items()))
        parts.append(("detail", facts))
    if error.hint:
        parts += [("", ""), ("hint", error.hint)]
    for label, text in parts:
        say(text, invocation, label)


def say(
    text: str,
    invocation: Invocation,
    label: str = "",
    *,
    level: str = "info",
    now: datetime | None = None,
) -> None:
    """A message on standard error, within the width of its terminal.

    In a log, where a long run writes to a file, each line has time, channel and level; with
    several broadcasts also the one it is about.
    """
    now = now or datetime.now(UTC)
    if invocation.learnt.is_long and not sys.stderr.isatty():
        if text:
            at = to_text(now)
            whose = log_subject.get() or invocation.learnt.channel or invocation.channel
            word = label or level
            lines = [f"{at} {whose or '-'} {word}: {line}" for line in text.split("\n") if line]
            write(sys.stderr, "".join(f"{printable(line)}\n" for line in lines))
        return
    whole = printable(f"{label}: {text}" if label else text)
    if sys.stderr.isatty():
        whole = on_terminal(whole, invocation, now)
    if label:
        whole = paint(label, sys.stderr, invocation.color) + whole.removeprefix(label)
    write(sys.stderr, f"{whole}\n")


def on_terminal(text: str, invocation: Invocation, now: datetime | None = None) -> str:
    """The text as the terminal of standard error shows it; a blank at its end stays."""
    spoken = spoken_within(text, invocation.learnt.zone, now or datetime.now(UTC))
    lines = layout.wrapped(spoken.rstrip(" "), min(columns_of(sys.stderr), _WIDEST))
    return "\n".join(lines) + " " * (len(spoken) - len(spoken.rstrip(" ")))


def columns_of(stream: TextIO) -> int:
    """The width to lay out for: that of the terminal behind a stream, from 40 to 200 cells.

    `COLUMNS` counts before what the terminal says, as everywhere.
    """
    with contextlib.suppress(ValueError, OSError, AttributeError):
        if not os.environ.get("COLUMNS"):
            return layout.fitting(os.get_terminal_size(stream.fileno()).columns or 80)
    return layout.fitting(shutil.get_terminal_size().columns)


def _cell(cell: object, in_words: Callable[[datetime], str], nothing: str) -> str:
    if cell is None:
        return nothing
    if isinstance(cell, datetime):
        return in_words(cell)
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    text = str(cell.value if isinstance(cell, Enum) else cell)
    return printable(re.sub(r"[\t\r\n]+", " ", text))


def relative(moment: datetime, now: datetime) -> str:
    """`in 3 days`, `2 minutes ago`, `now`: whole units, rounded down."""
    seconds = int((moment - now).total_seconds())
    for unit, length in _UNITS:
        count = abs(seconds) // length
        if count:
            text = f"{count} {unit}{'' if count == 1 else 's'}"
            return f"in {text}" if seconds > 0 else f"{text} ago"
    return "now"


def laid_out(text: str, *, color: bool) -> str:
    """The article as wide as the terminal, 100 columns at most; plain letters without `color`.

    The first line is its title; words before a colon at the start of a paragraph head a part.
    """
    from rich import console, markdown, theme

    screen = console.Console(
        file=io.StringIO(),
        width=min(columns_of(sys.stdout), _WIDEST),
        height=25,  # without it a dumb terminal would be taken for 80 columns
        force_terminal=True,
        color_system="standard" if color else None,
        no_color=not color,
        legacy_windows=False,
        theme=theme.Theme(_STYLES),
    )
    if not color:  # nothing else would set a command apart from the sentence around it
        text = "\n\n".join(
            part if part.startswith(_INDENTED) else re.sub(_CODE, r"`` `\1` ``", part)
            for part in text.split("\n\n")
        )
    text, kept = _with_stand_ins(text, screen.width - _MOST_INDENT)
    title, _, _ = text.partition("\n")
    source = re.sub(_LABEL, r"**\1**", text).replace(title, f"**{title}**", 1)
    with screen.capture() as captured:
        article = markdown.Markdown(source, code_theme="ansi_dark", hyperlinks=False)
        screen.print(article)
    shown = "\n".join(line.rstrip() for line in captured.get().splitlines())
    for stand_in, word in kept.items():
        shown = shown.replace(stand_in, word)
    return re.sub(r"\n{3,}", "\n\n", shown)


def _with_stand_ins(text: str, width: int) -> tuple[str, dict[str, str]]:
    """The text with a short word for each that is too wide, which rich would break, and those."""
    kept: dict[str, str] = {}

    def shorter(found: re.Match[str]) -> str:
        stand_in = chr(_FIRST_STAND_IN + len(kept)) * max(1, min(width, layout.cells(found[0])))
        kept[stand_in] = found[0]
        return stand_in

    return re.sub(rf"[^\s`]{{{width + 1},}}", shorter, text), kept


def write(stream: TextIO, text: str) -> None:
    """Write and flush; what cannot be written is dropped.

    Raises output.ReaderLeft when nobody reads any more and the command does nothing else.
    """
    stream.write(text)
    stream.flush()
    output.end_if_reader_left(stream)


def printable(text: str) -> str:
    """The text without characters that could play tricks on a terminal; line ends stay."""
    return _UNPRINTABLE.sub("?", text)


def paint(word: str, stream: TextIO, color: bool | None) -> str:
    """A word such as `ok` or `error` in its colour, if it has one and the stream shows colours."""
    name = _WORDS.get(word)
    if name is None or not shows_color(stream, color):
        return word
    return colored(word, name)


def colored(text: str, style: str) -> str:
    """The text in `green`, `yellow`, `red` or `cyan`, `bold` or `dim`."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def shows_color(stream: TextIO, color: bool | None) -> bool:
    """Option, then `NO_COLOR`, then `FORCE_COLOR`, then whether this is a capable terminal."""
    if color is not None:
        return color
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"
