"""All that is printed: text for a person, TSV for a pipe, the JSON envelope, and failures.

Colour only where it is wanted.
"""

import contextlib
import io
import itertools
import json
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TextIO

from wacoex_cli.errors import UsageError, WacoexError
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.terminal import lost_output, output
from wacoex_cli.terminal.help import CommandPath

if TYPE_CHECKING:
    from wacoex_cli.foundation.settings import Settings
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace

ENVELOPE_VERSION = 1
INTERRUPTED = 130
TERMINATED = 143
_PARTIAL = 7
_ITEMS_AT_ONCE = 1_000
_WIDEST = 100
_LABEL = r"(?<=\n\n)((?:[A-Z]|respond\.io's |wacoex's )[A-Za-z' ]{2,28}:)(?=\s|$)"
_CODE = r"`([^`]+)`"
_INDENTED = "    "
# Colours of the terminal's own palette and no background, so that it fits light and dark ones.
_STYLES = {
    "markdown.code": "cyan",
    "markdown.item.number": "bold",
}
_COLORS = {"green": "32", "yellow": "33", "red": "31", "cyan": "36"}
_WORDS = {
    "ok": "green",
    "warning": "yellow",
    "unknown": "yellow",
    "critical": "red",
    "overdue": "red",
    "error": "red",
    "hint": "cyan",
}
# Control characters and changes of writing direction: names and texts come from outside, and
# must not move the cursor or turn a line around.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


@dataclass
class Learnt:
    """What only the settings tell; filled in when the workspace opens."""

    sandbox_url: str | None = None
    no_input: bool = False
    debug: bool = False
    streams: bool = False


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
            if not settings.talks_to_meta and learnt.sandbox_url != settings.meta_base_url:
                learnt.sandbox_url = settings.meta_base_url
                messages.banner(f"sandbox: talking to {settings.meta_base_url}, not to Meta")

        def on_state(state: "State") -> None:
            lost_output.notebook.use(state)
            if state.is_new and state.path != real_path(default_state_path()):
                messages.note(f"a new state file: {state.path}")

        return open_workspace(
            env_file=self.env_file,
            warn=messages.warn,
            log=lambda text: messages.detail(text, 2),
            detail=messages.detail,
            announce=announce,
            on_state=on_state,
            only_reads=output.process.keeps_nothing,
        )


class Messages:
    """What is said on standard error while a command runs, as far as its options want it."""

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation

    def note(self, text: str) -> None:
        """Something worth knowing; `-q` hides it."""
        if not (self._invocation.quiet or self._invocation.wants_json):
            write(sys.stderr, f"{printable(text)}\n")

    def warn(self, text: str) -> None:
        """Something that may go wrong; only `-qq` hides it."""
        if self._invocation.quiet < 2:
            label = paint("warning", sys.stderr, self._invocation.color)
            write(sys.stderr, f"{label}: {printable(text)}\n")

    def detail(self, text: str, level: int = 1) -> None:
        """What is being done, at `-v` (1) or `-vv` (2)."""
        if self._invocation.verbose >= level:
            write(sys.stderr, f"{printable(text)}\n")

    def banner(self, text: str) -> None:
        """A line that belongs on every screen; only `-qq` hides it."""
        if self._invocation.quiet < 2:
            write(sys.stderr, f"{printable(text)}\n")


class Table(NamedTuple):
    """Rows for a person or a pipe. A cell may be text, a number, a bool, a moment or None.

    `when_empty` is what a person reads instead of no rows.
    """

    columns: tuple[str, ...]
    rows: Sequence[Sequence[object]]
    when_empty: str = ""


class ForPerson(NamedTuple):
    """A part that only a terminal shows; in a pipe it would spoil the rows."""

    part: str | Table


class Markdown(NamedTuple):
    """An article: laid out on a terminal, as it is in a pipe."""

    text: str


class ForPipe(NamedTuple):
    """A part that only a pipe gets, where a terminal shows something shorter."""

    part: Table


class Result(NamedTuple):
    """What a command has to say: `data` for JSON, `text` for a person, and how it ended.

    `lists` are further entries of `data`, too long for memory: read while they are written.
    """

    data: Mapping[str, object]
    text: Sequence[str | Table | ForPerson | ForPipe | Markdown] = ()
    exit_code: int = 0
    errors: Sequence[WacoexError] = ()
    lists: Mapping[str, Iterable[object]] = MappingProxyType({})

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
    if not invocation.wants_json:
        for error in result.errors:
            _write_error(error, invocation)
    return result.exit_code


def _write_text(result: Result, invocation: Invocation) -> None:
    now = datetime.now(UTC)
    is_terminal = sys.stdout.isatty()
    for part in result.text:
        if isinstance(part, ForPipe if is_terminal else ForPerson):
            continue
        content = part.part if isinstance(part, ForPerson | ForPipe) else part
        if isinstance(content, Table):
            rows = _table_lines(content, invocation, now)
            write(sys.stdout, "".join(f"{row}\n" for row in rows))
            continue
        text = printable(content.text if isinstance(content, Markdown) else content)
        if isinstance(content, Markdown) and is_terminal:
            text = laid_out(text, color=shows_color(sys.stdout, invocation.color))
        write(sys.stdout, f"{text}\n")


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
        remaining, separator = iter(result.lists[name]), ""
        write(sys.stdout, "[")
        while piece := list(itertools.islice(remaining, _ITEMS_AT_ONCE)):
            write(sys.stdout, separator + ", ".join(_json(item) for item in piece))
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
    label, hint = (paint(word, sys.stderr, invocation.color) for word in ("error", "hint"))
    lines = [f"{label}: {printable(error.message)}"]
    if error.details and invocation.verbose:
        facts = ", ".join(f"{name} {value}" for name, value in sorted(error.details.items()))
        lines += [f"detail: {printable(facts)}"]
    if error.hint:
        lines += ["", f"{hint}: {printable(error.hint)}"]
    write(sys.stderr, "\n".join(lines) + "\n")


def _table_lines(table: Table, invocation: Invocation, now: datetime) -> Iterator[str]:
    if not sys.stdout.isatty():
        for row in table.rows:
            yield "\t".join(_cell(cell, to_text, "") for cell in row)
        return
    rows = [[_cell(cell, lambda at: relative(at, now), "-") for cell in row] for row in table.rows]
    if not rows:
        if table.when_empty:
            yield table.when_empty
        return
    header = [column.upper() for column in table.columns]
    widths = [max(_width(row[at]) for row in [header, *rows]) for at in range(len(header))]
    for row in [header, *rows]:
        cells = [
            paint(cell, sys.stdout, invocation.color) + " " * (width - _width(cell))
            for cell, width in zip(row, widths, strict=True)
        ]
        yield "  ".join(cells).rstrip()


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


def _width(text: str) -> int:
    """Columns the text takes on a terminal: East Asian wide characters take two, marks none."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        for sign in text
    )


def laid_out(text: str, *, color: bool) -> str:
    """The article as wide as the terminal, 100 columns at most; plain letters without `color`.

    The first line is its title; words before a colon at the start of a paragraph head a part.
    """
    from rich import console, markdown, theme

    screen = console.Console(
        file=io.StringIO(),
        width=min(shutil.get_terminal_size().columns, _WIDEST),
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
    title, _, _ = text.partition("\n")
    source = re.sub(_LABEL, r"**\1**", text).replace(title, f"**{title}**", 1)
    with screen.capture() as captured:
        screen.print(markdown.Markdown(source, code_theme="ansi_dark", hyperlinks=False))
    shown = "\n".join(line.rstrip() for line in captured.get().splitlines())
    return re.sub(r"\n{3,}", "\n\n", shown)


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
    return f"\x1b[{_COLORS[name]}m{word}\x1b[0m"


def shows_color(stream: TextIO, color: bool | None) -> bool:
    """Option, then `NO_COLOR`, then `FORCE_COLOR`, then whether this is a capable terminal."""
    if color is not None:
        return color
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"
