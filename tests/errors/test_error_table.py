"""Every kind of failure: its exit status, its code, what a person and a program read."""

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

from tests.support.state_files import make_newer
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import (
    FOREIGN_PHONE_NUMBER_ID,
    FOREIGN_WABA_ID,
    PHONE_NUMBER_ID,
    READ_SCOPE,
    SEND_SCOPE,
    WABA_ID,
    World,
)

PLAN = "broadcast plan list.csv --template opening_hours --lang en_US"
ORDER = "broadcast plan list.csv --template order_ready --lang en_US"
Fails = Callable[..., None]


def table(*rows: tuple[Any, ...]) -> list[Any]:
    """Rows of a table whose first column is the name of the case."""
    return [pytest.param(*row[1:], id=row[0]) for row in rows]


@pytest.fixture
def planned(run) -> None:
    """Broadcast 1 is planned, for one person."""
    assert run(*shlex.split(PLAN)).code == 0


@pytest.mark.parametrize(
    ("source", "code", "message", "hint"),
    table(
        ("missing", "no.csv", "unreadable_file", "`no.csv`: no such file", "check the path"),
        ("a directory", ".", "unreadable_file", "cannot read `.`: is a directory", "the path"),
        ("empty standard input", "-", "no_header", "standard input is empty", "first line names"),
    ),
)
def test_no_file(fails: Fails, source: str, code: str, message: str, hint: str) -> None:
    fails(PLAN.replace("list.csv", source), 2, code, message, hint)


@pytest.mark.parametrize(
    ("content", "code", "message", "hint"),
    table(
        ("empty", "", "no_header", "`list.csv` is empty", "phone,first_name"),
        ("only a header", "phone\n", "no_recipients", "the file has no rows", "below the header"),
        ("no number", "phone\nAna\n", "no_recipients", "(invalid 1;", "--country"),
        ("no header", "+6591000001\n", "no_header", "its first line holds data", "first line"),
        ("no phone column", "name\nAna\n", "no_phone_column", "among `name`", "`whatsapp`"),
        ("too many fields", "phone\n+6591000001,Ana\n", "no_recipients", "2: it has 2 f", "+"),
        ("open quote", 'phone,name\n+65,"Ana\n', "no_recipients", "is never closed", "+"),
        ("open header", '"phone,name\n', "bad_row", "is never closed", "unpaired"),
        ("bad byte", "phone,n\n+65,J\x81rg\n", "bad_encoding", "line 2 has the byte 0x81", "UTF-8"),
        ("a NUL", "phone\n\0+65\n", "no_recipients", "2: it holds a NUL character", "+"),
        ("broken NDJSON", '{"phone"\n{"pho', "bad_row", "line 1 of", "one object a line"),
        ("JSON array", '[{"phone": "1"}]', "bad_row", "is a JSON array", "jq"),
        ("no workbook", "PK\x03\x04", "unreadable_file", "as an Excel workbook", "XLSX"),
    ),
)
def test_a_file_that_cannot_be_used(
    fails: Fails, content: str, code: str, message: str, hint: str
) -> None:
    Path("list.csv").write_bytes(content.encode("latin-1"))

    fails(PLAN, 2, code, message, hint)


@pytest.mark.parametrize(
    ("command", "code", "message", "hint"),
    table(
        ("unknown", "opening_hour en_US", "unknown_template", "no template", "`opening_hours`?"),
        ("language", "opening_hours fr", "unknown_template", "in language `fr`", "`de`, `en_US`"),
        ("paused", "flash_sale en_US", "template_not_approved", "is PAUSED", "3 hours"),
        ("rejected", "free_money en_US", "template_not_approved", "is REJECTED", "submit it again"),
        ("image", "new_menu en_US", "missing_parameter", "put in for `header`", "--param header="),
        ("code", "login_code en_US", "template_unsupported", "one-time passwords", "application"),
        ("GIF", "waving_hand en_US", "template_unsupported", "format GIF, which Meta", "another"),
    ),
)
def test_a_template_that_cannot_be_used(
    fails: Fails, command: str, code: str, message: str, hint: str
) -> None:
    name, language = command.split()

    fails(PLAN.replace("opening_hours", name).replace("en_US", language), 2, code, message, hint)


@pytest.mark.parametrize(
    ("command", "code", "message", "hint"),
    table(
        ("no template", "broadcast plan list.csv", "missing_template", "which template?", "--lang"),
        ("nothing for 2", f"{ORDER} --param 1=city", "missing_parameter", "`2`", "--param 2="),
        (
            "no such",
            f"{PLAN} --param 1=city",
            "unknown_placeholder",
            "placeholder `1`",
            "no placeholders",
        ),
        ("no column", f"{ORDER} --param 1=town", "unknown_column", "`town`", "`city`"),
        ("no pair", f"{ORDER} --param 1", "bad_pair", "PLACEHOLDER=COLUMN", "1=first_name"),
        ("country", f"{PLAN} --country XX", "unknown_country", "country code `XX`", "ISO 3166"),
        ("too fast", "broadcast send --rate 21", "rate_out_of_range", "not 21", "fixes"),
        ("no rate", "broadcast send --rate 0", "rate_out_of_range", "between 1 and 20", "20 mess"),
        ("a word", "broadcast send --rate abc", "usage", "`abc` is not a valid float", "--help"),
        ("no number", "broadcast send --rate nan", "rate_out_of_range", "not nan", "20 mess"),
        ("no such option", "broadcast send --rat 5", "usage", "no such option `--rat`", "`--rate`"),
        ("nothing planned", "broadcast send", "nothing_planned", "channel shop", "broadcast plan"),
        ("unknown id", "broadcast send 9", "unknown_broadcast", "no broadcast 9", "broadcast list"),
        ("unknown channel", f"{PLAN} -c shpo", "channel_unknown", "channel `shpo`", "`shop`?"),
        ("no .env", f"{PLAN} --env-file x", "config_unreadable", "cannot read x", "the path"),
    ),
)
def test_a_command_that_cannot_be_used(
    fails: Fails, command: str, code: str, message: str, hint: str
) -> None:
    fails(command, 2, code, message, hint)


@pytest.mark.usefixtures("planned")
@pytest.mark.parametrize(
    ("command", "exit_status", "code", "message", "hint"),
    table(
        ("nobody to ask", "broadcast send", 2, "needs_answer", "without a terminal", "`--yes`"),
        ("no asking", "broadcast send --no-input", 2, "needs_answer", "--no-input", "`--yes`"),
        ("count", "broadcast send --expect 9", 5, "unexpected_count", "1 person", "show 1"),
        ("never sent", "broadcast resume 1", 2, "wrong_status", "1 is planned", "send 1"),
        ("not running", "broadcast pause 1", 2, "wrong_status", "cannot be paused", "list"),
        ("frozen", "broadcast send 1 --template x", 2, "already_planned", "belong to", "a new one"),
        ("two ways", "broadcast send 1 --to list.csv", 2, "usage", "not both", "`--to` plans"),
    ),
)
def test_a_moment_that_cannot_be_used(
    fails: Fails, command: str, exit_status: int, code: str, message: str, hint: str
) -> None:
    fails(command, exit_status, code, message, hint)


@pytest.mark.usefixtures("planned")
def test_a_choice_between_broadcasts(run, fails: Fails) -> None:
    run("broadcast", "cancel", "1", "--yes")
    fails("broadcast send 1", 2, "wrong_status", "1 is cancelled", "plan a new one")

    run(*shlex.split(PLAN))
    run(*shlex.split(PLAN))
    fails("broadcast send", 2, "several_planned", "are planned: 2 (list.csv", "broadcast send 2")


SECOND = "channel add two --phone +6560000009"
FOREIGN = f"{SECOND} --phone-number-id {FOREIGN_PHONE_NUMBER_ID} --waba-id {FOREIGN_WABA_ID}"
NOT_OURS = f"{SECOND} --phone-number-id {FOREIGN_PHONE_NUMBER_ID} --waba-id {WABA_ID}"


@pytest.mark.parametrize(
    ("before", "command", "exit_status", "code", "message", "hint"),
    table(
        ("none", "channel remove shop --yes", PLAN, 2, "channel_missing", "no channel", "add"),
        ("archived", "channel remove shop --yes", f"{PLAN} -c shop", 2, "channel_archived",
         "`shop` is archived", "channel restore shop"),
        ("several", SECOND, PLAN, 2, "channel_open", "which channel", "one of `shop`, `two`"),
        ("no waba_id", SECOND, f"{PLAN} -c two", 2, "channel_incomplete", "no waba_id", "edit two"),
        ("no phone_number_id", f"{SECOND} --waba-id {WABA_ID}", f"{PLAN} -c two", 2,
         "channel_incomplete", "no phone_number_id", "channel edit two --phone-number-id ID"),
        ("respond.io", f"{SECOND} --provider respondio", f"{PLAN} -c two", 4,
         "credentials_missing", "no respondio-token", "auth login respondio-token"),
        ("WABA of others", FOREIGN, f"{PLAN} -c two", 4, "meta_100", "may not see it", "the id"),
        ("number of others", NOT_OURS, f"{PLAN} -c two", 4, "meta_100", "may not see it", "the id"),
    ),
)  # fmt: skip
def test_a_channel_that_cannot_be_used(
    run, fails: Fails, before: str, command: str, exit_status: int, code: str, message: str,
    hint: str,
) -> None:  # fmt: skip
    assert run(*shlex.split(before)).code == 0

    fails(command, exit_status, code, message, hint)


@pytest.mark.parametrize(
    ("token", "properties", "code", "message", "hint"),
    table(
        ("missing", None, {}, "credentials_missing", "there is no meta-token", "_TOKEN_FILE"),
        ("space", "EAA b", {}, "credentials_unusable", "holds a space", "without quotes"),
        ("unknown", "EAAb", None, "meta_190", "the token has expired", "create a new token"),
        ("expired", "EAAb", {"expires_at": 1.0}, "meta_190", "expired", "create a new token"),
        ("revoked", "EAAb", {"revoked": True}, "meta_190", "taken back", "ask who revoked it"),
        ("may only send", "EAAb", {"scopes": {SEND_SCOPE}}, "meta_10", "permission", "access"),
        ("not assigned", "EAAb", {"waba_ids": set()}, "meta_200", "permission", "system user"),
    ),
)
def test_a_token_that_cannot_be_used(
    fails: Fails, shop: World, monkeypatch: pytest.MonkeyPatch, token: str | None,
    properties: dict[str, Any] | None, code: str, message: str, hint: str,
) -> None:  # fmt: skip
    monkeypatch.delenv("WACOEX_META_TOKEN")
    if token is not None:
        monkeypatch.setenv("WACOEX_META_TOKEN", token)
        if properties is not None:
            shop.patch_token(token, properties)

    fails(PLAN, 4, code, message, hint)


AT_ONCE = {"Retry-After": "0.01"}


@pytest.mark.parametrize(
    ("fault", "exit_status", "code", "message", "hint"),
    table(
        ("HTML", Fault("html", on="reads"), 6, "unusable_answer", "HTTP 200, 88 bytes", "proxy"),
        ("{}", Fault("empty_object", on="reads"), 6, "unusable_answer", "no list", "proxy"),
        ("number {}", Fault("empty_object", on="reads", path=PHONE_NUMBER_ID), 6,
         "unusable_answer", "no id", "proxy"),
        ("nothing", Fault("empty_body", on="reads"), 6, "unusable_answer", "0 bytes", "proxy"),
        ("500", Fault("server_error", on="reads", headers=AT_ONCE), 6, "unusable_answer",
         "HTTP 500", "try again"),
        ("redirect", Fault("redirect", on="reads"), 6, "redirected",
         "redirects to redirected.example, which is not followed", "check the base URL"),
        ("throttled", Fault("refuse", on="reads", code=80007, headers=AT_ONCE), 6, "meta_80007",
         "too many calls", "wait as long as Meta says"),
        ("locked", Fault("account_locked", on="reads"), 5, "meta_131031", "locked", "appeal"),
        ("unheard of", Fault("refuse", on="reads", code=9), 5, "meta_9", "unknown to", "look"),
    ),
)  # fmt: skip
def test_an_answer_that_cannot_be_used(
    fails: Fails, shop: World, fault: Fault, exit_status: int, code: str, message: str, hint: str
) -> None:
    shop.faults.replace([fault])

    fails(PLAN, exit_status, code, message, hint)


@pytest.fixture
def state_path(isolated_home: Path) -> Path:
    """The state file with the shop's channel in it."""
    return isolated_home / ".local/state/wacoex/wacoex.db"


@pytest.mark.parametrize(
    ("name", "value", "code", "message", "hint"),
    table(
        ("foreign http", "META_BASE_URL", "http://graph.example", "config_invalid", "is not valid",
         "an https URL, or an http URL of this machine"),
        ("no URL", "META_BASE_URL", "graph", "config_invalid", "is not valid", "https URL"),
        ("port", "META_BASE_URL", "https://127.0.0.1:99999", "config_invalid", "valid", "https"),
        ("version", "META_API_VERSION", "26", "config_invalid", "is not valid", "such as v26.0"),
        ("channel", "CHANNEL", "shpo", "channel_unknown", "no channel `shpo`", "`shop`?"),
        ("directory", "CONFIG_DIR", "list.csv", "config_unreadable", "not a directory", "the path"),
    ),
)  # fmt: skip
def test_a_variable_that_cannot_be_used(
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
        ("too much", b"breaker_share = 2", "config_invalid", "is not valid", "at most 1"),
        ("no error", b"breaker_limits.oops = 5", "config_invalid", "is not valid", "error codes"),
        ("no limit", b"breaker_limits.row = '200%'", "config_invalid", "is not valid", "20%"),
        ("a secret", b"meta_token = 'x'", "config_invalid", "`meta_token`", "in the environment"),
        ("no table", b"channels = 3", "config_invalid", "must hold tables", "[channels.NAME]"),
        ("latin-1", b"channel = '\xfc'", "config_unreadable", "not UTF-8 text", "UTF-8"),
    ),
)
def test_a_config_file_that_cannot_be_used(
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
def test_network_settings_that_cannot_be_used(
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
        ("newer", make_newer, "state_newer", "by a newer wacoex", "update wacoex"),
        ("damaged", be_damaged, "state", "is damaged", "restore a backup"),
        ("cut off", be_cut_off, "state", "is damaged", "restore a backup"),
        ("no lock", have_no_lock, "state", "is a directory", "check the path"),
        ("no presence", have_no_presence, "state", "wacoex.db.presence", "check the path"),
    ),
)
def test_a_state_file_that_cannot_be_used(
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


REFUSED_PERSON = frozenset({"+6591000002"})


@pytest.mark.parametrize(
    ("fault", "exit_status", "code", "message", "hint"),
    table(
        ("expired", Fault("expired_token"), 4, "meta_190", "the token has expired", "new token"),
        ("locked", Fault("account_locked"), 5, "meta_131031", "is locked", "appeal"),
        ("paused", Fault("template_paused"), 5, "meta_132015", "template", "resume 1"),
        ("second row", Fault("expired_token", recipients=REFUSED_PERSON), 7, "meta_190",
         "is paused", "resume 1"),
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


def test_a_wait_that_is_too_long_stops_resume_too(run, shop: World) -> None:
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
    assert error["message"] == "broadcast 1 is completed: nobody got it"
    assert error["hint"] == "look at it: wacoex broadcast show 1"
