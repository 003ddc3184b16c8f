"""How far a long run has come: a bar for a person, a line now and then for a log."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.foundation.clock import Clock, SystemClock, to_text
from wacoex_cli.terminal import output
from wacoex_cli.terminal.render import Invocation, printable, say, shows_color, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import RenderableType

LINE_EVERY_SECONDS = 60.0
_BAR = 40
_LEAST_COLUMNS_FOR_WIDE_BAR = 80
_LEAST_COLUMNS_FOR_BAR = 40
_INDENT = (0, 0, 0, 2)
_LINES_BELOW_PARTS = 4


class RunPart(NamedTuple):
    """The line of one part of a run; the one with the lowest `rank` is the worst."""

    line: str
    rank: tuple[float, ...] = (0,)


class ProgressUpdate(NamedTuple):
    """How far a run has come: `done` of the total are finished; `text` and `data` say how it goes.

    A terminal shows `lines` below its bar, when there are any, instead of `text` beside it. Its
    bar is green, and yellow when not all `is_well`. `parts` of the run have a line each above the
    bar, and in a log. `data` may name the part it is about (`of`, `done`, `total`).
    """

    done: int
    text: str
    data: Mapping[str, object]
    lines: Sequence[str] = ()
    is_well: bool = True
    parts: Sequence[RunPart] = ()


class Progress:
    """What a long run reports to; this one shows nothing."""

    def update(self, reached: ProgressUpdate) -> None:
        """Show how far it has come."""


def worst_first(parts: Sequence[RunPart]) -> list[RunPart]:
    """The parts of a run in the order in which a person wants to see them."""
    return sorted(parts, key=lambda part: part.rank)


@contextlib.contextmanager
def open_progress(
    invocation: Invocation,
    title: str,
    total: int,
    *,
    done: int = 0,
    clock: Clock | None = None,
    channel: str | None = None,
) -> Iterator[Progress]:
    """Show progress on standard error while the block runs; `done` of the total are before it.

    A bar on a terminal; otherwise, and on one that cannot move its cursor, a line at the start,
    at the end and every minute. In a file each line of it has time and `channel`, and so has
    whatever else is said from then on. Nothing with `-q` or `--json`; with `--progress json` an
    object a line on standard output. A reader that does not read holds up nothing meanwhile.
    """
    invocation.begin_log(channel)
    with output.Working(), _shown(invocation, title, total, done, clock) as shown:
        yield shown


@contextlib.contextmanager
def _shown(
    invocation: Invocation, title: str, total: int, done: int, clock: Clock | None
) -> Iterator[Progress]:
    if invocation.learnt.streams:
        yield _Stream(title, total, clock or SystemClock())
    elif invocation.quiet or invocation.json:
        yield Progress()
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _bar(invocation, title, total, done) as bar:
            yield bar
    else:
        lines = _Lines(invocation, title, total, done, clock or SystemClock())
        try:
            yield lines
        finally:
            lines.tell()


class _Stream(Progress):
    def __init__(self, title: str, total: int, clock: Clock) -> None:
        self._title = title
        self._total = total
        self._clock = clock

    def update(self, reached: ProgressUpdate) -> None:
        entry = {
            "of": self._title,
            "done": reached.done,
            "total": self._total,
            **reached.data,
            "event": "progress",
            "at": to_text(self._clock.now()),
        }
        write(sys.stdout, f"{json.dumps(entry, sort_keys=True)}\n")


class _Lines(Progress):
    def __init__(
        self, invocation: Invocation, title: str, total: int, done: int, clock: Clock
    ) -> None:
        self._invocation = invocation
        self._title = title
        self._total = total
        self._clock = clock
        self._next = clock.monotonic() + LINE_EVERY_SECONDS
        self._last = ProgressUpdate(done, "", {})
        self.tell()

    def update(self, reached: ProgressUpdate) -> None:
        self._last = reached
        if self._clock.monotonic() >= self._next:
            self._next = self._clock.monotonic() + LINE_EVERY_SECONDS
            self.tell()

    def tell(self) -> None:
        done, text = self._last.done, self._last.text
        for part in worst_first(self._last.parts):
            say(part.line, self._invocation, now=self._clock.now())
        line = f"{self._title}: {done} of {self._total}{f', {text}' if text else ''}"
        say(line, self._invocation, now=self._clock.now())


@contextlib.contextmanager
def _bar(invocation: Invocation, title: str, total: int, done: int) -> Iterator[Progress]:
    from rich import console, padding, progress, text

    plain = not shows_color(sys.stderr, invocation.color)
    screen = console.Console(file=sys.stderr, no_color=plain, markup=False, highlight=False)
    columns: list[progress.ProgressColumn] = [
        progress.TextColumn("{task.description}", markup=False),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[text]}", markup=False),
    ]
    is_wide = screen.width >= _LEAST_COLUMNS_FOR_WIDE_BAR
    # rich draws a bar in red while it grows, as if something was wrong.
    bar = progress.BarColumn(
        _BAR if is_wide else None, complete_style="green", finished_style="green"
    )
    if screen.width >= _LEAST_COLUMNS_FOR_BAR:
        columns.insert(1, bar)

    class Display(progress.Progress):
        lines: Sequence[str] = ()
        parts: Sequence[RunPart] = ()

        def get_renderables(self) -> Iterator[RenderableType]:
            room = max(1, screen.height - _LINES_BELOW_PARTS)
            shown, hidden = worst_first(self.parts)[:room], max(0, len(self.parts) - room)
            for part in shown:
                yield text.Text(printable(part.line), no_wrap=True, overflow="ellipsis")
            if hidden:
                yield text.Text(f"and {hidden} more")
            yield from super().get_renderables()
            for line in self.lines:
                yield padding.Padding(text.Text(printable(line)), _INDENT)

    with Display(*columns, console=screen, refresh_per_second=4) as shown:
        task = shown.add_task(title, total=total, completed=done, text="")

        class Bar(Progress):
            def update(self, reached: ProgressUpdate) -> None:
                shown.lines, shown.parts = reached.lines, reached.parts
                color = "green" if reached.is_well else "yellow"
                bar.complete_style = bar.finished_style = color
                beside = "" if reached.lines else printable(reached.text)
                shown.update(task, completed=reached.done, text=beside)

        yield Bar()
