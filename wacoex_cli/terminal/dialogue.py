"""Asking a person, and telling them things on standard error."""

import contextlib
import getpass
import io
import select
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Protocol

from wacoex_cli.errors import DeclinedError, UsageError
from wacoex_cli.terminal.render import Messages, on_terminal, printable, write

_GO_AHEAD = "--yes"


class Dialogue(Protocol):
    """What an operation may say and ask while it runs."""

    def confirm(self, question: str, *, flag: str) -> bool:
        """A yes or no, no by default. `flag` is the option that answers it in a script."""
        ...

    def ask(self, question: str, *, flag: str) -> str:
        """One line of text without its outer spaces."""
        ...

    def secret(self, question: str) -> str:
        """One line that is not shown while it is typed, or the first line of a pipe."""
        ...

    def note(self, text: str) -> None:
        """Something worth knowing; `-q` hides it."""
        ...

    def warn(self, text: str) -> None:
        """Something that may go wrong; only `-qq` hides it."""
        ...

    def detail(self, text: str, level: int = 1) -> None:
        """What is being done, at `-v` (1) or `-vv` (2)."""
        ...


class TerminalDialogue(Messages):
    """Talks on standard error; asks only where a person can answer.

    Every question raises UsageError, naming the option that answers it, when standard input is
    no terminal or asking is forbidden; and DeclinedError when the person ends the input (Ctrl-D)
    or the terminal closes. Where only leave to go on is asked for (`--yes`), that is a no.
    """

    def demand_person(self, flag: str) -> None:
        """Raise UsageError unless somebody could be asked what `flag` would answer."""
        self._demand_person(f"this needs `{flag}`", f"add `{flag}` if you are sure")

    def confirm(self, question: str, *, flag: str) -> bool:
        self.demand_person(flag)
        try:
            return self._answer(f"{question} [y/N] ").lower() in {"y", "yes"}
        except DeclinedError:
            if flag == _GO_AHEAD:  # the caller says what it has not done
                return False
            raise

    def ask(self, question: str, *, flag: str) -> str:
        self._demand_person(f"this needs `{flag}`", f"give the answer with `{flag}`")
        return self._answer(f"{question}: ")

    def secret(self, question: str) -> str:
        if not sys.stdin.isatty():
            return _read_line().rstrip("\r\n")
        self._demand_person("a secret cannot be typed in", "give it on standard input: `< FILE`")
        try:
            with _interruptible():
                return getpass.getpass(self._fitting(f"{question}: "), stream=sys.stderr)
        except (EOFError, OSError):
            write(sys.stderr, "\n")
            raise _no_answer() from None

    def can_ask(self) -> bool:
        """Whether a person sits there who may be asked."""
        return self._invocation.allows_input and sys.stdin.isatty()

    def is_enter_pressed(self) -> bool:
        """Whether a person has pressed Enter (or Ctrl-D) since it was last asked; does not wait."""
        if not self.can_ask():
            return False
        # A stream in memory cannot be selected, and nobody has to be waited for at it.
        with contextlib.suppress(io.UnsupportedOperation):
            if not select.select([sys.stdin], [], [], 0)[0]:
                return False
        with contextlib.suppress(OSError):  # the terminal has closed
            sys.stdin.readline()
        return True

    def _answer(self, prompt: str) -> str:
        write(sys.stderr, self._fitting(prompt))
        with _interruptible():
            line = _read_line()
        if not line.endswith("\n"):
            write(sys.stderr, "\n")
        if not line:
            raise _no_answer()
        return line.strip()

    def _fitting(self, prompt: str) -> str:
        shown = printable(prompt)
        return on_terminal(shown, self._invocation) if sys.stderr.isatty() else shown

    def _demand_person(self, need: str, hint: str) -> None:
        if not self._invocation.allows_input:
            raise UsageError(f"with `--no-input` {need}", hint=hint, code="needs_answer")
        if not sys.stdin.isatty():
            raise UsageError(f"without a terminal {need}", hint=hint, code="needs_answer")


def _read_line() -> str:
    """A line of standard input; empty at its end, and when the terminal has closed."""
    try:
        return sys.stdin.readline()
    except OSError:
        return ""
    except UnicodeDecodeError:
        raise UsageError(
            "standard input is not plain text",
            hint="give one line of text",
            code="input_unreadable",
        ) from None


def _no_answer() -> DeclinedError:
    return DeclinedError(
        "no answer was given: the input ended",
        hint="nothing was done after the question; run the command again to answer it",
    )


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a question at once, also inside an event loop.

    asyncio takes the first one for itself, and acts on it when the loop runs again: never, as
    long as a question is waited for.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:  # what is said next begins a line of its own
        write(sys.stderr, "\n")
        raise
    finally:
        signal.signal(signal.SIGINT, before)
