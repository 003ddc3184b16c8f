"""Secrets: where they are looked for, and that they are never shown."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from wacoex_cli.errors import CredentialError
from wacoex_cli.foundation.secrets import Secret, Secrets, StoredSecrets

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


def test_the_first_place_that_has_it_wins(secrets, tmp_path: Path) -> None:
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


def test_a_missing_secret_is_told_with_the_two_ways_to_give_it(secrets) -> None:
    with pytest.raises(CredentialError) as raised:
        secrets({}).need("meta-token", "shop")

    assert raised.value.message == "there is no meta-token for channel `shop`"
    assert raised.value.hint == (
        "set `WACOEX_META_TOKEN`, or set `WACOEX_META_TOKEN_FILE` to the path of a file with it;"
        " or run `wacoex auth login meta-token`"
    )


@pytest.mark.parametrize("value", ["", "\n", "two words", "tab\there", "line\nbreak", "caf\u00e9"])
def test_what_cannot_be_a_secret_is_refused_without_showing_it(secrets, value: str) -> None:
    with pytest.raises(CredentialError) as raised:
        secrets({"WACOEX_META_TOKEN": value}).find("meta-token")

    told = f"{raised.value.message} {raised.value.hint} {raised.value.details}"
    assert raised.value.message.startswith("`WACOEX_META_TOKEN` ")
    assert not value.strip() or value not in told


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
