"""The same for what surrounds a broadcast: settings, network, files, state, and Meta's refusals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import READ_SCOPE, World

PLAN = "broadcast plan list.csv --template opening_hours --lang en_US"
Fails = Callable[..., None]


def table(*rows: tuple[Any, ...]) -> list[Any]:
    """Rows of a table whose first column is the name of the case."""
    return [pytest.param(*row[1:], id=row[0]) for row in rows]


@pytest.fixture
def state_path(isolated_home: Path) -> Path:
    """The state file with the shop's channel in it."""
    return isolated_home / ".local/state/wacoex/wacoex.db"


@pytest.mark.parametrize(
    ("name", "value", "code", "message", "hint"),
    table(
        ("foreign http", "META_BASE_URL", "http://graph.example", "config_invalid", "is not fit",
         "an https URL, or an http URL of this machine"),
        ("no URL", "META_BASE_URL", "graph", "config_invalid", "is not fit", "https URL"),
        ("port", "META_BASE_URL", "https://127.0.0.1:99999", "config_invalid", "not fit", "https"),
        ("version", "META_API_VERSION", "26", "config_invalid", "is not fit", "such as v26.0"),
        ("channel", "CHANNEL", "shpo", "channel_unknown", "no channel `shpo`", "`shop`?"),
        ("directory", "CONFIG_DIR", "list.csv", "config_unreadable", "not a directory", "the path"),
    ),
)  # fmt: skip
def test_an_unfit_variable(
    fails: Fails, monkeypatch: pytest.MonkeyPatch, name: str, value: str, code: str, message: str,
    hint: str,
) -> None:  # fmt: skip
    monkeypatch.setenv(f"WACOEX_{name}", value)

    fails(PLAN, 2, code, message, hint)


@pytest.mark.parametrize(
    ("content", "code", "message", "hint"),
    table(
        ("no TOML", b"breaker_rows =", "config_invalid", "is not valid TOML", "name = value"),
        ("unknown", b"brekaer_rows = 1", "config_invalid", "not a setting", "`breaker_rows`?"),
        ("too much", b"breaker_share = 2", "config_invalid", "is not fit", "at most 1"),
        ("no error", b"breaker_limits.oops = 5", "config_invalid", "is not fit", "error codes"),
        ("no limit", b"breaker_limits.row = '200%'", "config_invalid", "is not fit", "20%"),
        ("a secret", b"meta_token = 'x'", "config_invalid", "`meta_token`", "in the environment"),
        ("no table", b"channels = 3", "config_invalid", "must hold tables", "[channels.NAME]"),
        ("latin-1", b"channel = '\xfc'", "config_unreadable", "not UTF-8 text", "UTF-8"),
    ),
)
def test_an_unfit_config_file(
    fails: Fails, isolated_home: Path, content: bytes, code: str, message: str, hint: str
) -> None:
    config = isolated_home / ".config/wacoex/config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_bytes(content)

    fails(PLAN, 2, code, message, hint)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSL_CERT_FILE", "/no/such/file"),
        ("ALL_PROXY", "socks5://127.0.0.1:1"),
        ("HTTPS_PROXY", "gopher://ana:word@127.0.0.1"),
        ("HTTPS_PROXY", "http://[::1"),
    ],
)
def test_unfit_network_settings(
    fails: Fails, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    fails(PLAN, 2, "network_settings", "proxy or certificate settings", f"`{name}`")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nobody_answers(fails: Fails, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    at_once = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda seconds: at_once(min(seconds, 0.05)))
    # Bound and not listening: nothing is there, and nobody else can take the port meanwhile.
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("WACOEX_META_BASE_URL", f"{scheme}://{host}")

        fails(PLAN, 6, "unreachable", f"{host} gives no answer", "check the network")


def be_a_directory(state: Path) -> None:
    state.unlink()
    state.mkdir()


def be_a_text(state: Path) -> None:
    state.write_text("no database, however long it may be " * 100, encoding="utf-8")


def be_of_another_program(state: Path) -> None:
    state.unlink()
    with contextlib.closing(sqlite3.connect(state)) as connection:
        connection.execute("CREATE TABLE bookmarks (title TEXT)")


def be_newer(state: Path) -> None:
    with contextlib.closing(sqlite3.connect(state)) as connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " VALUES ('wacoex', 'm999_future', '2030-01-01')"
        )
        connection.commit()


def be_damaged(state: Path) -> None:
    content = state.read_bytes()
    state.write_bytes(content[:4096] + b"\x5a" * (len(content) - 4096))


def be_cut_off(state: Path) -> None:
    state.write_bytes(state.read_bytes()[:8192])


def have_no_lock(state: Path) -> None:
    Path(f"{state}.lock").unlink()
    Path(f"{state}.lock").mkdir()


def have_no_presence(state: Path) -> None:
    Path(f"{state}.presence").write_text("", encoding="utf-8")


@pytest.mark.parametrize(
    ("arrange", "code", "message", "hint"),
    table(
        ("directory", be_a_directory, "state", "is a directory", "a file in it"),
        ("text", be_a_text, "state_not_sqlite", "is not a SQLite file", "at a new path"),
        ("of others", be_of_another_program, "state_foreign", "another program", "WACOEX_STATE"),
        ("newer", be_newer, "state_newer", "by a newer wacoex", "update wacoex"),
        ("damaged", be_damaged, "state", "damaged or unusable", "restore a backup"),
        ("cut off", be_cut_off, "state", "damaged or unusable", "restore a backup"),
        ("no lock", have_no_lock, "state", "is a directory", "check the path"),
        ("no presence", have_no_presence, "state", "wacoex.db.presence", "check the path"),
    ),
)
def test_an_unfit_state_file(
    fails: Fails, state_path: Path, arrange: Callable[[Path], None], code: str, message: str,
    hint: str,
) -> None:  # fmt: skip
    arrange(state_path)

    fails(PLAN, 8, code, message, hint)


@pytest.fixture
def unprivileged(child) -> Callable[..., Any]:
    """Run the program as somebody whom permissions bind: root must give its privileges up."""
    behind: tuple[str, ...] = ()
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root cannot give up its privileges without `setpriv`")
        behind = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    return lambda *arguments: child(*arguments, behind=behind)


@pytest.mark.parametrize(
    ("path", "mode", "exit_status", "code", "message", "hint"),
    table(
        ("list", "work/list.csv", 0, 2, "unreadable_file", "permission denied", "permissions"),
        ("config", "home/.config/wacoex/config.toml", 0, 2, "config_unreadable",
         "permission denied", "permissions"),
        ("token", "work/token", 0, 4, "credentials_unreadable", "permission denied", "permissions"),
        ("state", "home/.local/state/wacoex/wacoex.db", 0o400, 8, "state", "is read-only",
         "make it writable"),
        ("its directory", "home/.local/state/wacoex", 0o500, 8, "state", "cannot be written",
         "make it and its directory writable"),
        ("presence", "home/.local/state/wacoex/wacoex.db.presence", 0o500, 8, "state",
         "permission denied", "permissions"),
    ),
)  # fmt: skip
def test_no_permission(
    fails: Fails, unprivileged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str,
    mode: int, exit_status: int, code: str, message: str, hint: str,
) -> None:  # fmt: skip
    for directory in ("home/.config/wacoex", "home/.local/state/wacoex/wacoex.db.presence"):
        (tmp_path / directory).mkdir(parents=True, exist_ok=True)
    for file in ("home/.config/wacoex/config.toml", "work/token"):
        (tmp_path / file).touch()
    if path.endswith("token"):
        monkeypatch.delenv("WACOEX_META_TOKEN")
        monkeypatch.setenv("WACOEX_META_TOKEN_FILE", "token")
    normal = (tmp_path / path).stat().st_mode
    (tmp_path / path).chmod(mode)
    try:
        fails(PLAN, exit_status, code, message, hint, by=unprivileged)
    finally:
        (tmp_path / path).chmod(normal)


SECOND = frozenset({"+6591000002"})


@pytest.mark.parametrize(
    ("fault", "exit_status", "code", "message", "hint"),
    table(
        ("expired", Fault("expired_token"), 4, "meta_190", "the token has expired", "new token"),
        ("locked", Fault("account_locked"), 5, "meta_131031", "is locked", "appeal"),
        ("paused", Fault("template_paused"), 5, "meta_132015", "template", "resume 1"),
        ("second row", Fault("expired_token", recipients=SECOND), 7, "meta_190", "is paused",
         "resume 1"),
    ),
)  # fmt: skip
def test_meta_refuses_while_sending(
    run, fails: Fails, shop: World, fault: Fault, exit_status: int, code: str, message: str,
    hint: str,
) -> None:  # fmt: skip
    Path("list.csv").write_text("phone\n+6591000001\n+6591000002\n", encoding="utf-8")
    run(*shlex.split(PLAN))
    shop.faults.replace([fault])

    fails(
        "broadcast send 1 --yes", exit_status, code, message, hint,
        again="broadcast resume 1 --yes",
    )  # fmt: skip


def test_a_token_that_may_not_send(
    run, fails: Fails, shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(*shlex.split(PLAN))
    shop.patch_token("EAAb", {"scopes": {READ_SCOPE}})
    monkeypatch.setenv("WACOEX_META_TOKEN", "EAAb")

    again = "broadcast resume 1 --yes"
    fails("broadcast send 1 --yes", 4, "meta_10", "permission", "resume 1", again=again)


def test_a_wait_that_is_too_long_is_too_long_for_whoever_resumes(run, shop: World) -> None:
    run(*shlex.split(PLAN))
    shop.faults.replace([Fault("throttled", headers={"Retry-After": "999"})])

    sent = run("broadcast", "send", "--yes", "--json")
    resumed = run("broadcast", "resume", "1", "--yes", "--json")

    assert (sent.code, resumed.code, len(shop.log)) == (6, 6, 1)
    assert [ended.envelope["errors"][0]["code"] for ended in (sent, resumed)] == [
        "meta_130429",
        "temporary",
    ]
    assert "asks to wait 17 minutes" in resumed.envelope["errors"][0]["message"]


def test_nobody_can_be_reached(run, shop: World) -> None:
    run(*shlex.split(PLAN))
    shop.faults.replace([Fault("refuse", code=131026)])

    ended = run("broadcast", "send", "--yes", "--json")

    [error] = ended.envelope["errors"]
    assert (ended.code, ended.envelope["status"], error["code"]) == (5, "error", "refused")
    assert error["message"] == "broadcast 1 is completed: nobody was sent to"
    assert error["hint"] == "look at it: wacoex broadcast show 1"
