"""The keyring: trusted only when it keeps secrets, and never waited for."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from wacoex_cli.foundation.secrets import Keyring, UnusableKeyringError

VALUE = "EAAtoken-0123456789"


class Odd(KeyringBackend):
    """A backend whose one answer a test decides."""

    priority: Any = 5

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    def get_password(self, service: str, username: str) -> str | None:
        found: str | None = self.answer()
        return found

    def set_password(self, service: str, username: str, password: str) -> None:
        self.answer()


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def store(log: list[str]) -> Keyring:
    return Keyring(log=log.append)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch):
    """Make a backend the one in force, or a name that the library is to load."""
    monkeypatch.setattr(keyring.core, "_keyring_backend", None)

    def chosen(backend: KeyringBackend | str) -> None:
        if isinstance(backend, str):
            monkeypatch.setenv("PYTHON_KEYRING_BACKEND", backend)
        else:
            keyring.set_keyring(backend)

    return chosen


def test_what_is_stored_is_found_again_and_can_be_deleted(
    store: Keyring, keyring_entries: dict[tuple[str, str], str]
) -> None:
    assert store.get("shop/meta-token") is None

    store.put("shop/meta-token", VALUE)

    assert keyring_entries == {("wacoex", "shop/meta-token"): VALUE}
    assert store.get("shop/meta-token") == VALUE
    assert store.remove("shop/meta-token", dry_run=True)
    assert store.remove("shop/meta-token")
    assert not store.remove("shop/meta-token")
    assert store.problem is None


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("keyring.backends.null.Keyring", "the null backend is in force, which stores nothing"),
        ("keyring.backends.fail.Keyring", "no keyring service is running here"),
        ("keyring.backends.nul.Keyring", "its backend cannot be loaded (ModuleNotFoundError)"),
        ("keyring.backends.null.Keyrin", "its backend cannot be loaded (AttributeError)"),
        ("Keyring", "its backend cannot be loaded (ValueError)"),
    ],
)
def test_a_backend_that_keeps_nothing_is_unusable(
    store: Keyring, use, log: list[str], name: str, problem: str
) -> None:
    use(name)

    assert store.get("meta-token") is None
    with pytest.raises(UnusableKeyringError):
        store.put("meta-token", VALUE)
    with pytest.raises(UnusableKeyringError):
        store.remove("meta-token")
    assert store.problem is not None
    assert store.problem.startswith(problem)
    assert log == [f"the keyring cannot be used: {store.problem}"]


def alternative(name: str, priority: float) -> KeyringBackend:
    module = "keyrings.alt.file" if name == "EncryptedKeyring" else "somebody.else"
    kind = type(name, (Odd,), {"priority": priority, "__module__": module})
    return kind(lambda: VALUE)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "backend",
    [
        alternative("EncryptedKeyring", 5),
        alternative("PlaintextKeyring", 5),
        alternative("WeakKeyring", 0.9),
    ],
    ids=lambda backend: type(backend).__name__,
)
def test_a_backend_that_is_no_keyring_of_the_system_is_not_even_read(
    store: Keyring, use, backend: KeyringBackend
) -> None:
    use(backend)

    assert store.get("meta-token") is None
    assert type(backend).__name__ in str(store.problem)


def test_of_a_chain_the_first_fit_backend_is_used(
    store: Keyring, use, keyring_entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keyring.backends.chainer import ChainerBackend

    good = keyring.get_keyring()
    monkeypatch.setattr(ChainerBackend, "backends", [alternative("PlaintextKeyring", 9), good])
    keyring.set_keyring(ChainerBackend())

    store.put("meta-token", VALUE)

    assert keyring_entries == {("wacoex", "meta-token"): VALUE}


def test_a_chain_of_nothing_is_no_keyring(
    store: Keyring, use, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keyring.backends.chainer import ChainerBackend

    monkeypatch.setattr(ChainerBackend, "backends", [])
    use(ChainerBackend())

    assert store.get("meta-token") is None
    assert store.problem == "no keyring service is running here"


@pytest.mark.parametrize("error", [KeyringLocked("it holds " + VALUE), OSError(), SystemExit(3)])
def test_whatever_a_backend_raises_means_unusable_without_its_words(
    store: Keyring, use, log: list[str], error: BaseException
) -> None:
    def fails() -> None:
        raise error

    use(Odd(fails))

    assert store.get("meta-token") is None
    assert store.problem == f"it failed ({type(error).__name__})"
    assert VALUE not in "".join(log)


def test_a_backend_that_forgets_is_found_out_by_reading_back(store: Keyring, use) -> None:
    use(Odd(lambda: None))

    with pytest.raises(UnusableKeyringError, match="it does not give back what was stored in it"):
        store.put("meta-token", VALUE)


@pytest.fixture
def never() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_a_keyring_that_hangs_is_given_up_once_and_for_all(
    use, log: list[str], never: threading.Event
) -> None:
    asked = []

    def hang() -> None:
        asked.append(1)
        never.wait()

    use(Odd(hang))
    store = Keyring(log=log.append, seconds=0.05)

    assert store.get("meta-token") is None
    assert store.get("respondio-token") is None
    assert store.problem == "it gave no answer within 0.05 seconds"
    assert len(asked) <= 1
    assert len(log) == 1


def test_a_keyring_that_hangs_does_not_hold_up_the_end(tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text(
        "import time\n"
        "from keyring.backend import KeyringBackend\n"
        "class Keyring(KeyringBackend):\n"
        "    priority = 5\n"
        "    def get_password(self, service, username): time.sleep(600)\n"
        "    set_password = delete_password = get_password\n"
    )
    program = (
        "from wacoex_cli.foundation.secrets import Keyring\n"
        "print(Keyring(log=print, seconds=1).get('meta-token'))"
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}"
    environ = {**os.environ, "PYTHONPATH": path, "PYTHON_KEYRING_BACKEND": "hanging.Keyring"}

    ended = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, timeout=60
    )

    assert ended.stdout.splitlines() == [
        "the keyring cannot be used: it gave no answer within 1 seconds",
        "None",
    ]
    assert ended.returncode == 0


def test_a_name_is_asked_for_once(store: Keyring, use) -> None:
    asked = []
    use(Odd(lambda: asked.append(1)))

    assert (store.get("meta-token"), store.get("meta-token")) == (None, None)
    assert len(asked) == 1
