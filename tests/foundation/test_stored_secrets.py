"""Secrets that wacoex keeps: in which order they are found, how they are stored and deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from wacoex_cli.errors import CredentialError, WacoexError
from wacoex_cli.foundation.secrets import Keyring, Place, Secrets, StoredSecrets

VALUE = "EAAtoken-0123456789"
Entries = dict[tuple[str, str], str]


@pytest.fixture
def warned() -> list[str]:
    return []


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


def secrets(stored: StoredSecrets, **environ: str) -> Secrets:
    return Secrets(environ, {}, dotenv_path=Path(".env"), stored=stored, warn=print)


def test_environment_then_file_then_keyring_each_time_the_channels_own_first(
    stored: StoredSecrets, keyring_entries: Entries
) -> None:
    keyring_entries["wacoex", "shop/meta-token"] = "own-keyring"
    keyring_entries["wacoex", "meta-token"] = "keyring"
    stored.put_in_file("meta-token", "shop", "own-file")
    stored.put_in_file("meta-token", None, "file")
    found = [secrets(stored, WACOEX_META_TOKEN="environment").find("meta-token", "shop")]

    for path in stored.files("meta-token", "shop"):
        found.append(secrets(stored).find("meta-token", "shop"))
        path.unlink()
    found.append(secrets(stored).find("meta-token", "shop"))
    found.append(secrets(stored).find("meta-token"))

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
    assert secrets(without_keyring, WACOEX_META_TOKEN=VALUE).need("meta-token")
    assert without_keyring.keyring_failure is None


def test_no_two_secrets_share_a_place(stored: StoredSecrets, keyring_entries: Entries) -> None:
    owners = [(None, "meta-token"), ("meta-token", "meta-token"), ("a", "meta-token")]

    for number, (channel, name) in enumerate(owners):
        stored.put_in_file(name, channel, f"file-{number}")
    values = [
        found.reveal()
        for channel, name in owners
        if (found := secrets(stored).find(name, channel)) is not None
    ]

    assert values == ["file-0", "file-1", "file-2"]


def test_a_file_is_for_its_owner_alone(stored: StoredSecrets, directory: Path) -> None:
    stored.put_in_file("meta-token", "shop", "old")
    stored.put_in_file("meta-token", "shop", VALUE)

    [path] = list(directory.iterdir())
    assert path.stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700
    assert directory.parent.stat().st_mode & 0o777 == 0o700
    assert path.read_text() == f"{VALUE}\n"


def test_a_file_that_cannot_be_written_is_told_without_the_secret(
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
    assert secrets(stored).need("meta-token").reveal() == VALUE


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


def test_a_missing_secret_is_told_with_what_is_wrong_with_the_keyring(
    without_keyring: StoredSecrets,
) -> None:
    with pytest.raises(CredentialError) as raised:
        secrets(without_keyring).need("meta-token", "shop")

    assert raised.value.message == (
        "there is no meta-token for channel `shop`,"
        " and the keyring cannot be used: no keyring service is running here"
    )


def test_whether_the_keyring_is_usable_can_be_learnt(
    directory: Path, without_keyring: StoredSecrets
) -> None:
    off = StoredSecrets(directory, None, warn=print)

    assert secrets(off).keyring_problem() is None
    assert secrets(without_keyring).keyring_problem() == "no keyring service is running here"


def test_a_working_keyring_has_no_problem(stored: StoredSecrets) -> None:
    assert secrets(stored).keyring_problem() is None


def test_forgetting_tells_where_it_was(stored: StoredSecrets, directory: Path) -> None:
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
