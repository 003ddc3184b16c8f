"""Secrets: where they are looked for, what the keyring and files store, what is never shown."""

from __future__ import annotations

import os
import pickle
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

from wacoex_cli.errors import CredentialError, UsageError, WacoexError
from wacoex_cli.foundation.secrets import (
    Keyring,
    Place,
    Secret,
    Secrets,
    StoredSecrets,
    UnusableKeyringError,
)
from wacoex_cli.foundation.settings import SECRET_VARIABLES, VARIABLES

TOKEN = "EAAtoken-0123456789"


def write(path: Path, text: str, mode: int = 0o600) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.fixture
def warned() -> list[str]:
    return []


@pytest.fixture
def secrets(tmp_path: Path, warned: list[str]):
    def build(environ: dict[str, str], dotenv: dict[str, str] | None = None) -> Secrets:
        path = Path(write(tmp_path / ".env", ""))
        stored = StoredSecrets(tmp_path / "secrets", None, warn=warned.append)
        return Secrets(environ, dotenv or {}, dotenv_path=path, stored=stored, warn=warned.append)

    return build


def test_the_first_place_with_the_secret_wins(secrets, tmp_path: Path) -> None:
    own_file, file = write(tmp_path / "own", "own-file\n"), write(tmp_path / "f", "file\r\n")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    write(credentials / "wacoex-meta-token", "systemd\n", 0o400)
    environ = {
        "WACOEX_META_TOKEN_SHOP_2": "own",
        "WACOEX_META_TOKEN": "environment",
        "WACOEX_META_TOKEN_SHOP_2_FILE": own_file,
        "WACOEX_META_TOKEN_FILE": file,
    }
    dotenv = {"WACOEX_META_TOKEN_SHOP_2": "own-dotenv", "WACOEX_META_TOKEN": "dotenv"}
    found = []

    for names in (environ, dotenv):
        for name in list(names):
            found.append(secrets(environ, dotenv).find("meta-token", "shop-2").reveal())
            del names[name]
    environ["CREDENTIALS_DIRECTORY"] = str(credentials)
    found.append(secrets(environ).find("meta-token", "shop-2").reveal())

    assert found == [
        *("own", "environment", "own-file", "file"),
        *("own-dotenv", "dotenv", "systemd"),
    ]


def test_another_channel_does_not_get_it(secrets) -> None:
    assert secrets({"WACOEX_META_TOKEN_SHOP": "x"}).find("meta-token", "lab") is None
    assert secrets({"WACOEX_META_TOKEN_SHOP": "x"}).find("meta-token") is None


@pytest.mark.parametrize("name", ["WACOEX_META_TOKEN_SHOP_2_FILE", "WACOEX_META_TOKEN_FILE_SHOP_2"])
def test_the_file_of_a_channel_may_be_named_either_way(secrets, tmp_path: Path, name: str) -> None:
    environ = {name: write(tmp_path / "f", "x")}

    assert secrets(environ).find("meta-token", "shop-2").reveal() == "x"


def test_a_missing_secret_is_reported_with_the_two_ways_to_give_it(secrets) -> None:
    with pytest.raises(CredentialError) as raised:
        secrets({}).need("meta-token", "shop")

    assert raised.value.message == "there is no meta-token for channel `shop`"
    assert raised.value.hint == (
        "set `WACOEX_META_TOKEN`, or set `WACOEX_META_TOKEN_FILE` to the path of a file with it;"
        " or run `wacoex auth login meta-token`"
    )


@pytest.mark.parametrize(
    "value", ["  ", "\n", "two words", "tab\there", "line\nbreak", "caf\u00e9"]
)
def test_a_malformed_secret_is_refused_without_showing_it(secrets, value: str) -> None:
    with pytest.raises(CredentialError) as raised:
        secrets({"WACOEX_META_TOKEN": value}).find("meta-token")

    answer = f"{raised.value.message} {raised.value.hint} {raised.value.details}"
    assert raised.value.message.startswith("`WACOEX_META_TOKEN` ")
    assert not value.strip() or value not in answer


@pytest.mark.parametrize("place", ["environment", ".env"])
def test_an_empty_variable_beside_the_one_that_names_a_file_counts_as_not_set(
    secrets, tmp_path: Path, place: str
) -> None:
    given = {"WACOEX_META_TOKEN": "", "WACOEX_META_TOKEN_FILE": write(tmp_path / "f", "from-file")}

    found = secrets(given) if place == "environment" else secrets({}, given)

    assert found.find("meta-token").reveal() == "from-file"


def test_an_empty_variable_of_a_channel_leaves_the_one_of_all_channels(secrets) -> None:
    environ = {"WACOEX_META_TOKEN_SHOP": "", "WACOEX_META_TOKEN": "of-all"}

    assert secrets(environ).find("meta-token", "shop").reveal() == "of-all"
    assert secrets({"WACOEX_META_TOKEN": ""}, {"WACOEX_META_TOKEN": "x"}).find("meta-token")
    assert secrets({"WACOEX_META_TOKEN": ""}).find("meta-token") is None


def test_a_variable_counts_before_a_variable_that_names_a_file(secrets, tmp_path: Path) -> None:
    path = write(tmp_path / "f", "from-file")
    environ = {"WACOEX_META_TOKEN": "given", "WACOEX_META_TOKEN_FILE": path}

    assert secrets(environ).find("meta-token").reveal() == "given"


@pytest.mark.parametrize("content", ["", "\n", "  \n"])
def test_a_file_without_a_secret_in_it_is_refused_beside_an_empty_variable(
    secrets, tmp_path: Path, content: str
) -> None:
    path = write(tmp_path / "f", content)

    with pytest.raises(CredentialError, match=r"`WACOEX_META_TOKEN_FILE` (is empty|holds a space)"):
        secrets({"WACOEX_META_TOKEN": "", "WACOEX_META_TOKEN_FILE": path}).find("meta-token")


@pytest.mark.parametrize("name", ["absent", "."])
def test_a_file_that_cannot_be_read_is_named(secrets, tmp_path: Path, name: str) -> None:
    path = tmp_path / name

    with pytest.raises(CredentialError, match=r"cannot read .*, named by `WACOEX_META_TOKEN_FILE`"):
        secrets({"WACOEX_META_TOKEN_FILE": str(path)}).find("meta-token")


def test_binary_content_is_not_quoted(secrets, tmp_path: Path) -> None:
    path = tmp_path / "binary"
    path.write_bytes(b"secret\xff")

    with pytest.raises(CredentialError) as raised:
        secrets({"WACOEX_META_TOKEN_FILE": str(path)}).find("meta-token")

    assert "secret\\xff" not in repr(raised.value)
    assert raised.value.__cause__ is None


def test_a_file_that_others_can_read_is_warned_about_once(
    secrets, warned: list[str], tmp_path: Path
) -> None:
    path = write(tmp_path / "f", TOKEN, 0o644)
    found = secrets({"WACOEX_META_TOKEN_FILE": path})

    found.find("meta-token")
    found.find("meta-token")

    assert warned == [f"{path} holds a secret and others may read it; run `chmod 600 {path}`"]


def test_a_readable_dotenv_is_warned_about_when_it_holds_a_secret(
    secrets, warned: list[str], tmp_path: Path
) -> None:
    found = secrets({}, {"WACOEX_META_TOKEN": TOKEN})
    (tmp_path / ".env").chmod(0o644)

    found.find("meta-app-secret")
    assert warned == []
    found.find("meta-token")
    assert len(warned) == 1


def test_a_secret_shows_its_last_four_characters_at_most() -> None:
    secret = Secret(TOKEN, "`X`")

    assert (repr(secret), str(secret), f"{secret}") == ("****6789",) * 3
    assert repr(Secret("short", "`X`")) == "****"
    assert not hasattr(secret, "__dict__")
    with pytest.raises(TypeError):
        pickle.dumps(secret)


VALUE = "EAAtoken-0123456789"
Entries = dict[tuple[str, str], str]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "config" / "secrets"


@pytest.fixture
def stored(directory: Path, warned: list[str], keyring_entries: Entries) -> StoredSecrets:
    return StoredSecrets(directory, Keyring(log=lambda text: None), warn=warned.append)


@pytest.fixture
def without_keyring(
    directory: Path, warned: list[str], monkeypatch: pytest.MonkeyPatch
) -> StoredSecrets:
    import keyring

    monkeypatch.setattr(keyring.core, "_keyring_backend", None)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    return StoredSecrets(directory, Keyring(log=lambda text: None), warn=warned.append)


def secrets_in(stored: StoredSecrets, **environ: str) -> Secrets:
    return Secrets(environ, {}, dotenv_path=Path(".env"), stored=stored, warn=print)


def test_environment_then_file_then_keyring_each_time_the_channels_own_first(
    stored: StoredSecrets, keyring_entries: Entries
) -> None:
    keyring_entries["wacoex", "shop/meta-token"] = "own-keyring"
    keyring_entries["wacoex", "meta-token"] = "keyring"
    stored.put_in_file("meta-token", "shop", "own-file")
    stored.put_in_file("meta-token", None, "file")
    found = [secrets_in(stored, WACOEX_META_TOKEN="environment").find("meta-token", "shop")]

    for path in stored.files("meta-token", "shop"):
        found.append(secrets_in(stored).find("meta-token", "shop"))
        path.unlink()
    found.append(secrets_in(stored).find("meta-token", "shop"))
    found.append(secrets_in(stored).find("meta-token"))

    assert [secret and (secret.reveal(), secret.place) for secret in found] == [
        ("environment", Place.GIVEN),
        ("own-file", Place.INSECURE_FILE),
        ("file", Place.INSECURE_FILE),
        ("own-keyring", Place.KEYRING),
        ("keyring", Place.KEYRING),
    ]


def test_the_keyring_is_not_even_loaded_when_the_environment_has_the_secret(
    without_keyring: StoredSecrets,
) -> None:
    assert secrets_in(without_keyring, WACOEX_META_TOKEN=VALUE).need("meta-token")
    assert without_keyring.keyring_failure is None


def test_no_two_secrets_share_a_place(stored: StoredSecrets, keyring_entries: Entries) -> None:
    owners = [(None, "meta-token"), ("meta-token", "meta-token"), ("a", "meta-token")]

    for number, (channel, name) in enumerate(owners):
        stored.put_in_file(name, channel, f"file-{number}")
    values = [
        found.reveal()
        for channel, name in owners
        if (found := secrets_in(stored).find(name, channel)) is not None
    ]

    assert values == ["file-0", "file-1", "file-2"]


def test_a_file_is_only_for_its_owner(stored: StoredSecrets, directory: Path) -> None:
    stored.put_in_file("meta-token", "shop", "old")
    stored.put_in_file("meta-token", "shop", VALUE)

    [path] = list(directory.iterdir())
    assert path.stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700
    assert directory.parent.stat().st_mode & 0o777 == 0o700
    assert path.read_text() == f"{VALUE}\n"


def test_a_file_that_cannot_be_written_is_reported_without_the_secret(
    stored: StoredSecrets, directory: Path
) -> None:
    directory.parent.mkdir()
    directory.write_text("in the way")

    with pytest.raises(WacoexError, match="cannot write") as raised:
        stored.put_in_file("meta-token", None, VALUE)

    assert VALUE not in f"{raised.value.message} {raised.value.hint} {raised.value.__cause__!r}"


def test_the_keyring_takes_the_place_of_a_file(stored: StoredSecrets, directory: Path) -> None:
    stored.put_in_file("meta-token", None, "old")

    stored.put("meta-token", None, VALUE)

    assert list(directory.iterdir()) == []
    assert secrets_in(stored).need("meta-token").reveal() == VALUE


def test_without_a_keyring_the_other_ways_are_named(without_keyring: StoredSecrets) -> None:
    with pytest.raises(CredentialError) as raised:
        without_keyring.put("meta-token", None, VALUE)

    assert raised.value.exit_status == 4
    assert raised.value.message == (
        "the keyring cannot be used: no keyring service is running here"
    )
    assert raised.value.hint == (
        "set `WACOEX_META_TOKEN`, or set `WACOEX_META_TOKEN_FILE` to the path of a file with it;"
        " or add `--insecure-file` to keep it unencrypted in a file that only you may read"
    )


def test_a_missing_secret_is_reported_with_the_problem_of_the_keyring(
    without_keyring: StoredSecrets,
) -> None:
    with pytest.raises(CredentialError) as raised:
        secrets_in(without_keyring).need("meta-token", "shop")

    assert raised.value.message == (
        "there is no meta-token for channel `shop`,"
        " and the keyring cannot be used: no keyring service is running here"
    )


def test_the_state_of_the_keyring_can_be_read(
    directory: Path, without_keyring: StoredSecrets
) -> None:
    off = StoredSecrets(directory, None, warn=print)

    assert secrets_in(off).keyring_problem() is None
    assert secrets_in(without_keyring).keyring_problem() == "no keyring service is running here"


def test_a_working_keyring_has_no_problem(stored: StoredSecrets) -> None:
    assert secrets_in(stored).keyring_problem() is None


def test_forgetting_says_where_the_secret_was(stored: StoredSecrets, directory: Path) -> None:
    stored.put("meta-token", "shop", VALUE)
    stored.put_in_file("meta-token", "shop", VALUE)
    places = [
        str(directory / "shop.meta-token"),
        "keyring, user name `shop/meta-token` of service `wacoex`",
    ]

    assert stored.forget("meta-token", "shop", dry_run=True) == places
    assert stored.forget("meta-token", "shop") == places
    assert stored.forget("meta-token", "shop") == []


def test_forgetting_is_not_claimed_when_the_keyring_cannot_be_asked(
    without_keyring: StoredSecrets, warned: list[str]
) -> None:
    with pytest.raises(CredentialError, match="the keyring cannot be asked"):
        without_keyring.forget("meta-token", None)

    path = without_keyring.put_in_file("meta-token", None, VALUE)
    assert without_keyring.forget("meta-token", None) == [path]
    assert warned == [
        "the keyring cannot be asked and may hold one too: no keyring service is running here"
    ]


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
    """Make a backend the current one, or name one for the library to load."""
    monkeypatch.setattr(keyring.core, "_keyring_backend", None)

    def chosen(backend: KeyringBackend | str) -> None:
        if isinstance(backend, str):
            monkeypatch.setenv("PYTHON_KEYRING_BACKEND", backend)
        else:
            keyring.set_keyring(backend)

    return chosen


def test_a_stored_secret_is_found_again_and_can_be_deleted(
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
        ("keyring.backends.null.Keyring", "the null backend is in use, which stores nothing"),
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
def test_a_backend_that_is_not_a_keyring_of_the_system_is_not_even_read(
    store: Keyring, use, backend: KeyringBackend
) -> None:
    use(backend)

    assert store.get("meta-token") is None
    assert type(backend).__name__ in str(store.problem)


def test_the_first_usable_backend_of_a_chain_is_used(
    store: Keyring, use, keyring_entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keyring.backends.chainer import ChainerBackend

    good = keyring.get_keyring()
    monkeypatch.setattr(ChainerBackend, "backends", [alternative("PlaintextKeyring", 9), good])
    keyring.set_keyring(ChainerBackend())

    store.put("meta-token", VALUE)

    assert keyring_entries == {("wacoex", "meta-token"): VALUE}


def test_an_empty_chain_is_not_a_keyring(
    store: Keyring, use, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keyring.backends.chainer import ChainerBackend

    monkeypatch.setattr(ChainerBackend, "backends", [])
    use(ChainerBackend())

    assert store.get("meta-token") is None
    assert store.problem == "no keyring service is running here"


@pytest.mark.parametrize("error", [KeyringLocked("it holds " + VALUE), OSError(), SystemExit(3)])
def test_any_error_of_a_backend_means_unusable_without_its_text(
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
    requests = []

    def hang() -> None:
        requests.append(1)
        never.wait()

    use(Odd(hang))
    store = Keyring(log=log.append, seconds=0.05)

    assert store.get("meta-token") is None
    assert store.get("respondio-token") is None
    assert store.problem == "it gave no answer within 0.05 seconds"
    assert len(requests) <= 1
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
    requests = []
    use(Odd(lambda: requests.append(1)))

    assert (store.get("meta-token"), store.get("meta-token")) == (None, None)
    assert len(requests) == 1


def test_a_pipe_without_a_writer_delays_nothing(secrets, tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)

    with pytest.raises(CredentialError, match="it did not end within 3 seconds"):
        secrets({"WACOEX_META_TOKEN_FILE": str(path)}).find("meta-token")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("x" * 262_145, "it holds more than 262144 bytes"),
        ("", "is empty"),
        ("a\0b", "holds a space, a line break or another unusual character"),
    ],
)
def test_a_file_that_is_not_a_secret_is_refused(
    secrets, tmp_path: Path, content: str, reason: str
) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    path = write(credentials / "wacoex-meta-token", content)

    for environ in ({"WACOEX_META_TOKEN_FILE": path}, {"CREDENTIALS_DIRECTORY": str(credentials)}):
        with pytest.raises(CredentialError, match=reason):
            secrets(environ).find("meta-token")


@pytest.mark.parametrize("path", ["a\0b", "~no-such-user-here/x"])
def test_a_path_that_cannot_be_read_is_refused(secrets, path: str) -> None:
    with pytest.raises(CredentialError, match=r"cannot read .*`WACOEX_META_TOKEN_FILE` in "):
        secrets({}, {"WACOEX_META_TOKEN_FILE": path}).find("meta-token")


@pytest.mark.parametrize(
    "place", ["environment", "file", "credentials", "insecure file", "keyring"]
)
def test_a_secret_from_elsewhere_does_not_follow_a_doubtful_address(
    tmp_path: Path, keyring_entries: dict[tuple[str, str], str], place: str
) -> None:
    directory = tmp_path / place
    directory.mkdir()
    environ: dict[str, str] = {}
    if place == "environment":
        environ["WACOEX_META_TOKEN"] = TOKEN
    elif place == "file":
        environ["WACOEX_META_TOKEN_FILE"] = write(directory / "token", TOKEN)
    elif place == "credentials":
        environ["CREDENTIALS_DIRECTORY"] = str(directory)
        write(directory / "wacoex-meta-token", TOKEN)
    elif place == "insecure file":
        write(directory / "meta-token", TOKEN)
    else:
        keyring_entries["wacoex", "meta-token"] = TOKEN
    stored = StoredSecrets(directory, Keyring(log=print), warn=print)
    where = "`WACOEX_META_BASE_URL` in .env"

    def found(dotenv: dict[str, str]) -> Secret | None:
        doubt = {"meta-token": where}
        path = Path(write(tmp_path / ".env", ""))
        given = Secrets(
            environ, dotenv, dotenv_path=path, stored=stored, warn=print, doubtful_addresses=doubt
        )
        return given.find("meta-token")

    with pytest.raises(UsageError) as raised:
        found({})

    assert raised.value.message.startswith("meta-token from ")
    assert raised.value.message.endswith(f" is not sent to the address given by {where}")
    assert TOKEN not in f"{raised.value.message} {raised.value.hint}"
    environ.clear()
    own = found({"WACOEX_META_TOKEN": "its-own"})
    assert own is not None
    assert own.reveal() == "its-own"


def test_a_channel_called_file_does_not_take_the_path_of_a_file_for_its_secret(
    secrets, tmp_path: Path
) -> None:
    environ = {"WACOEX_META_TOKEN_FILE": write(tmp_path / "f", "shared")}

    assert secrets(environ).find("meta-token", "file").reveal() == "shared"


def test_no_variable_of_a_channel_is_one_of_another_secret_or_setting() -> None:
    for variable in SECRET_VARIABLES.values():
        assert [name for name in VARIABLES if name.startswith(f"{variable}_")] == []
