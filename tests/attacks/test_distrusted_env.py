"""A `.env` that somebody left in the working directory: no token follows it, nothing is lost."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.bench.harness import TEMPLATE
from wacoex_cli.sandbox.world import DEFAULT_TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.attacks.conftest import Attack

NOT_SET = {"WACOEX_META_BASE_URL": ""}
"""An empty variable counts as not set, so that the `.env` decides."""
NOBODY = 65534
SEND = ("broadcast", "send", *TEMPLATE, "--channel", "first", "--yes")


class Stranger:
    """A server of somebody else; `secrets` are the Authorization headers that reached it."""

    def __init__(self, port: int, secrets: list[str]) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.secrets = secrets


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    """A server that remembers who showed it which secret."""
    secrets: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            secrets.append(f"{self.headers.get('Authorization', '')} {self.path}")
            body = b'{"error": {"code": 190, "message": "no", "type": "OAuthException"}}'
            self.send_response(401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Stranger(server.server_port, secrets)
    server.shutdown()
    server.server_close()
    thread.join()


def rows_of(attack: Attack) -> list[str]:
    """All that the person's state file holds."""
    with contextlib.closing(sqlite3.connect(attack.home.state)) as connection:
        return list(connection.iterdump())


def leave_dotenv(attack: Attack, *lines: str) -> None:
    """Put a `.env` into the directory the person works in."""
    (attack.home.directory / ".env").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    "variable", ["WACOEX_META_BASE_URL", "WACOEX_META_SDK_URL", "WACOEX_RESPONDIO_BASE_URL"]
)
def test_no_token_follows_the_dotenv_of_a_checkout(
    attack: Attack, stranger: Stranger, variable: str
) -> None:
    respondio = variable == "WACOEX_RESPONDIO_BASE_URL"
    if respondio:
        attack.home.send_through_respondio()
    people = attack.write_list(5)
    before = rows_of(attack)
    leave_dotenv(attack, f"{variable}={stranger.address}")
    environ = {variable: ""}

    sent = attack.run(*SEND, "--to", str(people), environ=environ)
    after = rows_of(attack)
    checked = attack.run("status", environ=environ)

    assert sent.code == 2, sent.err
    assert sent.codes == ["address_distrusted"]
    token = "WACOEX_RESPONDIO_TOKEN" if respondio else "WACOEX_META_TOKEN"
    assert token in sent.out
    assert f"`{variable}` in .env" in sent.out
    assert "--env-file .env" in sent.out
    assert checked.code == 3
    assert (stranger.secrets, attack.arrived()) == ([], [])
    assert after == before


def test_a_token_from_a_file_does_not_follow_even_if_the_dotenv_names_that_file(
    attack: Attack, stranger: Stranger
) -> None:
    private = attack.home.directory / "private-token"
    private.write_text(DEFAULT_TOKEN)
    private.chmod(0o600)
    leave_dotenv(
        attack,
        f"WACOEX_META_BASE_URL={stranger.address}",
        f"WACOEX_META_TOKEN_FILE={private}",
    )
    attack.home.environ.pop("WACOEX_META_TOKEN")

    done = attack.run("channel", "discover", environ=NOT_SET)

    assert (done.code, done.codes) == (2, ["address_distrusted"])
    assert "`WACOEX_META_TOKEN_FILE` in .env" in done.out
    assert stranger.secrets == []


def test_a_config_directory_that_the_dotenv_names_is_not_trusted(
    attack: Attack, stranger: Stranger
) -> None:
    other = attack.home.directory / "theirs"
    other.mkdir()
    (other / "config.toml").write_text(f'meta_base_url = "{stranger.address}"\n')
    leave_dotenv(attack, f"WACOEX_CONFIG_DIR={other}")

    done = attack.run("channel", "discover", environ={**NOT_SET, "WACOEX_CONFIG_DIR": ""})

    assert (done.code, done.codes) == (2, ["address_distrusted"])
    assert "theirs/config.toml" in done.out
    assert stranger.secrets == []


def test_named_with_env_file_it_is_trusted(attack: Attack, stranger: Stranger) -> None:
    leave_dotenv(attack, f"WACOEX_META_BASE_URL={stranger.address}")

    done = attack.run("channel", "discover", "--env-file", ".env", environ=NOT_SET)

    assert "address_distrusted" not in done.codes
    assert any(DEFAULT_TOKEN in secret for secret in stranger.secrets)


def test_a_token_in_the_dotenv_itself_goes_where_that_dotenv_says(
    attack: Attack, stranger: Stranger
) -> None:
    attack.home.environ.pop("WACOEX_META_TOKEN")
    leave_dotenv(attack, f"WACOEX_META_BASE_URL={stranger.address}", "WACOEX_META_TOKEN=practice")

    done = attack.run("channel", "discover", environ=NOT_SET)

    assert "address_distrusted" not in done.codes
    assert any("practice" in secret for secret in stranger.secrets)


def _world_writable(attack: Attack) -> None:
    (attack.home.directory / ".env").chmod(0o646)


def _foreign(attack: Attack) -> None:
    if os.geteuid():
        pytest.skip("only root can give a file to another user")
    os.chown(attack.home.directory / ".env", NOBODY, NOBODY)


def _foreign_link(attack: Attack) -> None:
    if os.geteuid():
        pytest.skip("only root can give a link to another user")
    path = attack.home.directory / ".env"
    path.rename(attack.home.directory / "settings.env")
    path.symlink_to("settings.env")
    os.lchown(path, NOBODY, NOBODY)


@pytest.mark.parametrize("make_distrusted", [_world_writable, _foreign, _foreign_link])
def test_a_dotenv_that_others_decide_about_is_refused_and_never_ignored(
    attack: Attack, stranger: Stranger, make_distrusted
) -> None:
    people = attack.write_list(5)
    before = rows_of(attack)
    other = attack.home.directory / "other.db"
    leave_dotenv(attack, f"WACOEX_META_BASE_URL={stranger.address}", f"WACOEX_STATE={other}")
    make_distrusted(attack)
    environ = {**NOT_SET, "WACOEX_STATE": ""}

    sent = attack.run(*SEND, "--to", str(people), environ=environ)
    checked = attack.run("status", environ=environ)
    shown = attack.run("config", "show", environ=environ)
    named = attack.run("channel", "list", "--env-file", ".env", environ=environ)

    assert (sent.code, sent.codes) == (2, ["dotenv_distrusted"])
    assert "add `--env-file .env`" in sent.out
    assert (checked.code, checked.codes) == (3, ["dotenv_distrusted"])
    assert (shown.code, shown.codes) == (2, ["dotenv_distrusted"])
    assert (stranger.secrets, attack.arrived()) == ([], [])
    assert rows_of(attack) == before
    assert (named.code, named.data["channels"]) == (0, [])
    assert str(other) in named.err, "named, it decides about the state file"
