"""The system's keyring: asked last, never for long, and only when it really keeps secrets."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE = "wacoex"
LIMIT_SECONDS = 3.0
_LEAST_PRIORITY = 1  # from here on the library itself recommends a backend
_NONE = "no keyring service is running here"

Answer = TypeVar("Answer")


class UnusableError(Exception):
    """Why the keyring cannot be used. Caught in `foundation`; no user meets it."""


class Keyring:
    """Reads and writes secrets of the service `wacoex`. Once it failed, it is left alone.

    The library is imported in the thread that asks, so that neither loading it nor a locked
    keyring that waits for somebody holds up this program or its end.
    """

    def __init__(self, *, log: Callable[[str], None], seconds: float = LIMIT_SECONDS) -> None:
        self.problem: str | None = None
        self._log = log
        self._seconds = seconds
        self._known: dict[str, str | None] = {}

    def get(self, user: str) -> str | None:
        """The secret of that user name; None when there is none or the keyring is unusable.

        `problem` says afterwards why it is unusable. Each name is asked for once.
        """
        if user not in self._known:
            try:
                self._known[user] = self._ask(lambda backend: backend.get_password(SERVICE, user))
            except UnusableError:
                return None
        return self._known[user]

    def put(self, user: str, value: str) -> None:
        """Store a secret and read it back. Raises UnusableError unless it is really there."""

        def store(backend: KeyringBackend) -> bool:
            backend.set_password(SERVICE, user, value)
            return backend.get_password(SERVICE, user) == value

        self._known.pop(user, None)
        if not self._ask(store):
            raise self._unusable("it does not give back what was stored in it")

    def remove(self, user: str, *, dry_run: bool = False) -> bool:
        """Delete a secret; whether there was one. Raises UnusableError."""

        def delete(backend: KeyringBackend) -> bool:
            if backend.get_password(SERVICE, user) is None:
                return False
            if not dry_run:
                backend.delete_password(SERVICE, user)
            return True

        self._known.pop(user, None)
        return self._ask(delete)

    def _ask(self, question: Callable[[KeyringBackend], Answer]) -> Answer:
        if self.problem is not None:
            raise UnusableError(self.problem)
        answers: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

        def work() -> None:
            try:
                answers.put((True, question(_backend())))
            except UnusableError as error:
                answers.put((False, str(error)))
            except BaseException as error:
                # Of what a backend raises only the kind is told: its text might quote a secret.
                answers.put((False, f"it failed ({type(error).__name__})"))

        threading.Thread(target=work, name="keyring", daemon=True).start()
        try:
            is_answer, answer = answers.get(timeout=self._seconds)
        except queue.Empty:
            is_answer, answer = False, f"it gave no answer within {self._seconds:g} seconds"
        if not is_answer:
            raise self._unusable(answer)
        return answer  # type: ignore[no-any-return]

    def _unusable(self, problem: str) -> UnusableError:
        self.problem = problem
        self._log(f"the keyring cannot be used: {problem}")
        return UnusableError(problem)


def _backend() -> KeyringBackend:
    """The backend in force, or the first one of a chain that is fit."""
    try:
        import keyring
        from keyring.backends.chainer import ChainerBackend

        found = keyring.get_keyring()
        backends = list(found.backends) if isinstance(found, ChainerBackend) else [found]
    except Exception as error:
        raise UnusableError(
            f"its backend cannot be loaded ({type(error).__name__});"
            " check `PYTHON_KEYRING_BACKEND` and `keyringrc.cfg`"
        ) from None
    problems = [(backend, _why_unfit(backend)) for backend in backends]
    fit = next((backend for backend, problem in problems if problem is None), None)
    if fit is None:
        raise UnusableError(problems[0][1] if problems else _NONE)
    return fit


def _why_unfit(backend: KeyringBackend) -> str | None:
    from keyring.backends import fail, null

    kind = type(backend)
    if isinstance(backend, fail.Keyring):
        return _NONE
    if isinstance(backend, null.Keyring):
        return "the null backend is in force, which stores nothing"
    if kind.__module__.startswith("keyrings.alt") or "plaintext" in kind.__name__.lower():
        return f"the backend `{kind.__module__}.{kind.__name__}` is no keyring of the system"
    if backend.priority < _LEAST_PRIORITY:
        return f"the backend `{kind.__module__}.{kind.__name__}` is not a recommended one"
    return None
