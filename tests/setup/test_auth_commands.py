"""`wacoex auth`: storing secrets, deleting them, and seeing whether they work."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, World

Entries = dict[tuple[str, str], str]
SHOP = ("channel", "add", "shop", "--phone", "+6560000001")
CHAT = ("channel", "add", "chat", "--phone", "+6560000002", "--provider", "respondio")
DAY = 86_400


def change_token(world: World, **changes: Any) -> None:
    world.tokens[DEFAULT_TOKEN] = dataclasses.replace(world.tokens[DEFAULT_TOKEN], **changes)


def reported(err: str) -> list[str]:
    """What was said, without the line that names the pretend Meta."""
    return [line for line in err.splitlines() if line and not line.startswith("sandbox: ")]


# login


def test_a_token_is_read_from_standard_input_checked_at_meta_and_stored(
    run, world: World, keyring_entries: Entries
) -> None:
    done = run("auth", "login", "meta-token", stdin=f"{DEFAULT_TOKEN}\n")

    assert (done.code, reported(done.err)) == (0, [])
    assert done.out == (
        "meta-token (****6789) stored in keyring, user name `meta-token` of service `wacoex`\n"
    )
    assert keyring_entries == {("wacoex", "meta-token"): DEFAULT_TOKEN}


def test_a_channel_may_have_a_token_of_its_own(run, world: World, keyring_entries: Entries) -> None:
    run(*SHOP)

    done = run("auth", "login", "meta-token", "-c", "shop", "--json", stdin=DEFAULT_TOKEN)

    assert list(keyring_entries) == [("wacoex", "shop/meta-token")]
    assert done.data == {
        "name": "meta-token",
        "channel": "shop",
        "stored_in": "keyring, user name `shop/meta-token` of service `wacoex`",
        "tail": "6789",
        "is_valid": True,
        "expires_at": None,
        "scopes": ["whatsapp_business_management", "whatsapp_business_messaging"],
        "warnings": [],
        "dry_run": False,
    }


def test_a_channel_that_does_not_exist_is_refused_before_anything_is_read(run) -> None:
    done = run("auth", "login", "meta-token", "-c", "shpo", stdin=DEFAULT_TOKEN)

    assert done.code == 2
    assert done.err.startswith("error: there is no channel `shpo` in ")


def test_a_token_that_meta_refuses_is_not_stored(
    run, world: World, keyring_entries: Entries
) -> None:
    change_token(world, revoked=True)
    for typed in (DEFAULT_TOKEN, "EAAunknown-0123456789"):
        done = run("auth", "login", "meta-token", stdin=typed)

        assert done.code == 4
        assert reported(done.err)[0].startswith("error: Meta refused: ")
    assert keyring_entries == {}


def test_a_token_is_stored_with_a_warning_when_meta_cannot_be_asked(
    run, world: World, keyring_entries: Entries
) -> None:
    world.faults.replace([Fault("html", on="reads", status=200)])

    done = run("auth", "login", "meta-token", stdin=DEFAULT_TOKEN)

    assert done.code == 0
    [warning] = reported(done.err)
    assert warning.startswith(
        "warning: meta-token: it is not known whether it works: Meta gave an unusable answer"
    )
    assert keyring_entries == {("wacoex", "meta-token"): DEFAULT_TOKEN}


def test_an_end_that_is_near_and_missing_permissions_are_warned_about(
    run, world: World, keyring_entries: Entries
) -> None:
    change_token(world, expires_at=time.time() + 3.5 * DAY, scopes=frozenset())

    done = run("auth", "login", "meta-token", stdin=DEFAULT_TOKEN)

    assert done.code == 0
    assert "warning: meta-token: it expires in 3 days" in done.err
    assert "warning: meta-token: it lacks the permission `whatsapp_business_manage" in done.err


@pytest.mark.parametrize("typed", ["", "\n", "two words\n", "bell\a\n", " leading\n", "caf\u00e9"])
def test_a_malformed_secret_is_refused_without_being_quoted(
    run, keyring_entries: Entries, typed: str
) -> None:
    done = run("auth", "login", "respondio-token", stdin=typed)

    assert done.code == 2
    assert done.err.startswith("error: the respondio-token ")
    assert not typed.strip() or typed.strip() not in done.err
    assert keyring_entries == {}


def test_a_secret_in_the_environment_stops_login_before_it_asks(
    run, keyring_entries: Entries, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text("EAAtoken-0123456789")
    path.chmod(0o600)
    for env in ({"WACOEX_META_TOKEN": "x"}, {"WACOEX_META_TOKEN_FILE": str(path)}):
        done = run("auth", "login", "meta-token", tty=True, env=env)

        assert done.code == 1
        assert done.err.startswith(f"error: meta-token comes from `{next(iter(env))}`, and wacoex")
    assert keyring_entries == {}


def test_a_secret_is_never_an_argument(run) -> None:
    for arguments in (["meta-token", "EAAsecret"], ["EAAsecret"], ["meta-token", "--x=EAAsecret"]):
        for more in ([], ["--json"], ["-vv", "--debug"]):
            done = run("auth", "login", *arguments, *more)

            assert done.code == 2
            assert "EAAsecret" not in done.out + done.err


def test_a_misspelt_name_is_answered_with_the_nearest(run) -> None:
    assert run("auth", "login", "meta-tokn").err == (
        "error: that is not the name of a secret\n\nhint: did you mean `meta-token`?\n"
    )


def test_without_a_keyring_login_names_the_ways_out(
    run, keyring_entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keyring

    for backend in ("null.Keyring", "fail.Keyring", "nul.Keyring"):
        monkeypatch.setattr(keyring.core, "_keyring_backend", None)
        env = {"PYTHON_KEYRING_BACKEND": f"keyring.backends.{backend}"}
        done = run("auth", "login", "respondio-token", "-v", stdin="abc", env=env)

        assert done.code == 4
        assert "error: the keyring cannot be used: " in done.err
        assert "or add `--insecure-file`" in done.err


def test_a_keyring_that_is_switched_off_is_not_written(run, keyring_entries: Entries) -> None:
    done = run("auth", "login", "respondio-token", stdin="abc", env={"WACOEX_KEYRING": "off"})

    assert done.code == 4
    assert "the keyring cannot be used: `WACOEX_KEYRING` is off" in done.err
    assert keyring_entries == {}


def test_an_insecure_file_is_written_when_asked_for_and_warned_about(
    run, isolated_home: Path
) -> None:
    done = run("auth", "login", "respondio-token", "--insecure-file", stdin="abc")
    status = run("auth", "status")

    path = isolated_home / ".config/wacoex/secrets/respondio-token"
    assert (done.code, path.read_text(), path.stat().st_mode & 0o777) == (0, "abc\n", 0o600)
    assert status.code == 0
    assert status.out == f"respondio-token\t\t{path}\t\t\t\n"
    assert status.err == f"warning: respondio-token: it is unencrypted in {path}\n"


def test_an_insecure_file_for_all_would_hide_the_keyring_of_a_channel(
    run, keyring_entries: Entries
) -> None:
    run(*SHOP)
    run("auth", "login", "respondio-token", "--insecure-file", stdin="abc")

    done = run("auth", "login", "respondio-token", "-c", "shop", stdin="def")

    assert done.code == 1
    assert "run `wacoex auth logout respondio-token` first, or add `--insecure-file`" in done.err


def test_a_dry_run_asks_meta_and_stores_nothing(
    run, world: World, keyring_entries: Entries
) -> None:
    done = run("auth", "login", "meta-token", "--dry-run", stdin=DEFAULT_TOKEN)

    assert (done.code, done.out) == (0, "meta-token (****6789) would be stored\n")
    assert keyring_entries == {}


def test_on_a_terminal_the_secret_is_not_shown_while_it_is_typed() -> None:
    ours, theirs = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "wacoex_cli", "auth", "login", "respondio-token", "--insecure-file"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    while not shown.endswith(b"respondio-token: "):
        shown += os.read(ours, 1024)
    os.write(ours, b"hidden-0123456789\n")
    while not shown.endswith(b"secrets/respondio-token\r\n"):
        shown += os.read(ours, 1024)

    assert child.wait(timeout=60) == 0
    os.close(ours)
    assert b"hidden" not in shown
    assert b"(****6789)" in shown


def test_on_a_terminal_with_no_input_a_pipe_is_asked_for(run) -> None:
    done = run("auth", "login", "respondio-token", "--no-input", tty=True)

    assert (done.code, "give it on standard input" in done.err) == (2, True)


def test_no_secret_is_asked_for_without_a_place_to_keep_it(run) -> None:
    done = run("auth", "login", "respondio-token", tty=True)

    assert done.code == 4
    assert "the keyring cannot be used" in done.err
    assert "respondio-token: " not in done.err


# logout


def test_logout_deletes_what_login_stored(run, keyring_entries: Entries) -> None:
    run("auth", "login", "respondio-token", stdin="abc")
    where = "keyring, user name `respondio-token` of service `wacoex`"

    would = run("auth", "logout", "respondio-token", "-n")
    assert (would.out, len(keyring_entries)) == (
        f"respondio-token would be deleted: {where}\n",
        1,
    )
    done = run("auth", "logout", "respondio-token", "--yes", "--json")
    assert (done.data["removed"], keyring_entries) == ([where], {})
    again = run("auth", "logout", "respondio-token", "--yes")
    assert (again.code, again.out) == (0, "no respondio-token was stored\n")


def test_logout_asks_first(run, keyring_entries: Entries) -> None:
    run("auth", "login", "respondio-token", stdin="abc")

    assert run("auth", "logout", "respondio-token", tty=True, stdin="n\n").code == 1
    assert run("auth", "logout", "respondio-token").code == 2
    assert len(keyring_entries) == 1


def test_logout_says_when_the_environment_still_gives_the_secret(run) -> None:
    done = run("auth", "logout", "respondio-token", "-y", env={"WACOEX_RESPONDIO_TOKEN": "abc"})

    assert done.code == 0
    assert done.err == "warning: respondio-token still comes from `WACOEX_RESPONDIO_TOKEN`\n"


# status


def test_status_shows_each_secret_its_source_and_whether_it_works(
    run, world: World, keyring_entries: Entries
) -> None:
    run(*SHOP)
    change_token(world, expires_at=1_900_000_000)
    keyring_entries["wacoex", "shop/meta-token"] = DEFAULT_TOKEN
    env = {"WACOEX_META_APP_SECRET": "s3cret-0123456789"}

    done = run("auth", "status", env=env)

    assert (done.code, reported(done.err)) == (0, [])
    assert done.out == (
        "meta-token\tshop\tkeyring, user name shop/meta-token of service wacoex\t6789\tyes"
        "\t2030-03-17T17:46:40.000Z\n"
        "meta-app-secret\t\tWACOEX_META_APP_SECRET\t6789\t\t\n"
    )


def test_status_as_json(run, world: World) -> None:
    run(*SHOP)

    done = run("auth", "status", "--json", env={"WACOEX_META_TOKEN_SHOP": DEFAULT_TOKEN})

    assert done.envelope["status"] == "ok"
    assert done.data["secrets"] == [
        {
            "name": "meta-token",
            "channel": "shop",
            "source": "WACOEX_META_TOKEN_SHOP",
            "place": "given",
            "tail": "6789",
            "is_valid": True,
            "type": "SYSTEM_USER",
            "app_id": "100000000000001",
            "expires_at": None,
            "data_access_expires_at": None,
            "scopes": ["whatsapp_business_management", "whatsapp_business_messaging"],
            "warnings": [],
        }
    ]


def test_a_secret_that_a_channel_needs_and_lacks_is_missing(run) -> None:
    run(*SHOP)
    run(*CHAT)

    done = run("auth", "status", "--offline", "--json", env={"WACOEX_META_TOKEN": DEFAULT_TOKEN})

    assert (done.code, done.envelope["status"]) == (4, "error")
    assert [
        (secret["channel"], secret["name"], secret["source"]) for secret in done.data["secrets"]
    ] == [
        ("chat", "respondio-token", None),
        ("shop", "meta-token", "WACOEX_META_TOKEN"),
    ]
    assert [error["message"] for error in done.envelope["errors"]] == [
        "there is no respondio-token for channel `chat`"
    ]


def test_a_refused_token_is_reported_with_its_channel(run, world: World) -> None:
    run(*SHOP)
    change_token(world, revoked=True)

    done = run("auth", "status", "--json", env={"WACOEX_META_TOKEN": DEFAULT_TOKEN})

    assert done.code == 4
    assert done.data["secrets"][0]["is_valid"] is False
    [error] = done.envelope["errors"]
    assert error["message"].startswith("meta-token of channel `shop`: Meta refused: ")


def test_a_malformed_secret_is_reported_and_the_others_are_still_shown(run, world: World) -> None:
    env = {"WACOEX_META_TOKEN": DEFAULT_TOKEN, "WACOEX_RESPONDIO_TOKEN": "two words"}

    done = run("auth", "status", env=env)

    assert done.code == 4
    assert [line.split("\t")[:2] for line in done.out.splitlines()] == [
        ["meta-token", ""],
        ["respondio-token", ""],
    ]
    assert "error: `WACOEX_RESPONDIO_TOKEN` holds a space" in done.err
    assert "two words" not in done.err


@pytest.mark.parametrize(
    ("fault", "code", "reason"),
    [
        (Fault("html", on="reads", status=200), 6, "Meta gave an unusable answer"),
        (Fault("empty_object", on="reads"), 6, "Meta gave an unusable answer"),
        (Fault("refuse", on="reads", code=1), 6, "Meta refused: "),
        (Fault("refuse", on="reads", code=10), 0, "Meta refused: "),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else None,
)
def test_without_an_answer_of_meta_nothing_is_claimed(
    run, world: World, fault: Fault, code: int, reason: str
) -> None:
    world.faults.replace([fault])

    done = run("auth", "status", "--json", env={"WACOEX_META_TOKEN": DEFAULT_TOKEN})

    [entry] = done.data["secrets"]
    assert (done.code, entry["is_valid"]) == (code, None)
    assert entry["warnings"][0].startswith(f"it is not known whether it works: {reason}")


def test_offline_meta_is_not_asked(run, world: World) -> None:
    done = run("auth", "status", "--offline", "-vv", env={"WACOEX_META_TOKEN": DEFAULT_TOKEN})

    assert (done.code, done.out) == (0, "meta-token\t\tWACOEX_META_TOKEN\t6789\t\t\n")
    assert "debug_token" not in done.err


def test_one_token_of_many_channels_is_asked_about_once(run, world: World) -> None:
    run(*SHOP)
    run("channel", "add", "lab", "--phone", "+6560000003")

    done = run("auth", "status", "-vv", env={"WACOEX_META_TOKEN": DEFAULT_TOKEN})

    assert len(done.out.splitlines()) == 2
    assert done.err.count("debug_token") == 1


def test_a_named_channel_lists_all_secrets_that_it_uses(run) -> None:
    run(*SHOP)
    run(*CHAT)
    env = {"WACOEX_META_TOKEN_SHOP": "a", "WACOEX_META_APP_SECRET": "b"}

    done = run("auth", "status", "-c", "shop", "--offline", "--json", env=env)

    assert [secret["name"] for secret in done.data["secrets"]] == ["meta-token", "meta-app-secret"]


def test_without_any_secret_the_first_step_is_named(run) -> None:
    done = run("auth", "status")

    assert (done.code, done.out) == (0, "")
    assert done.err == "there is no secret yet; `wacoex auth login meta-token` stores one\n"


@pytest.fixture
def doubtful_dotenv(world: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `.env` that alone names the pretend Meta."""
    path = Path(".env")
    path.write_text(f"WACOEX_META_BASE_URL={os.environ['WACOEX_META_BASE_URL']}\n")
    monkeypatch.delenv("WACOEX_META_BASE_URL")
    return path


def test_a_typed_token_is_not_shown_to_an_address_of_the_dotenv(
    run, doubtful_dotenv: Path, keyring_entries: Entries
) -> None:
    refused = run("auth", "login", "meta-token", stdin=DEFAULT_TOKEN)
    named = run("auth", "login", "meta-token", "--env-file", ".env", stdin=DEFAULT_TOKEN)

    assert refused.code == 2
    assert reported(refused.err)[0] == (
        "error: meta-token from input is not sent to the address given by"
        " `WACOEX_META_BASE_URL` in .env"
    )
    assert (named.code, list(keyring_entries.values())) == (0, [DEFAULT_TOKEN])


def test_status_and_show_name_the_token_and_the_address(run, doubtful_dotenv: Path) -> None:
    run(*SHOP)
    env = {"WACOEX_META_TOKEN": DEFAULT_TOKEN}
    why = "meta-token from WACOEX_META_TOKEN is not sent to the address given by"

    status = run("auth", "status", env=env)
    shown = run("config", "show", env=env)

    assert status.code != 0
    assert why in (status.out + status.err).replace("`", "")
    assert shown.code == 0
    assert f"meta-token\t\t{why} WACOEX_META_BASE_URL in .env" in shown.out


def test_logout_deletes_the_secret_despite_the_dotenv(
    run, doubtful_dotenv: Path, keyring_entries: Entries
) -> None:
    keyring_entries["wacoex", "meta-token"] = DEFAULT_TOKEN

    done = run("auth", "logout", "meta-token", "--yes", env={"WACOEX_META_TOKEN": "another-token"})

    assert (done.code, keyring_entries) == (0, {})
    assert "warning: meta-token from `WACOEX_META_TOKEN` is not sent" in done.err
