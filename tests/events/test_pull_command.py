"""`wacoex events pull`: whom it asks, what it says, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN, RESPONDIO_CHANNEL_ID
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, PHONE, PHONE_NUMBER_ID, WABA_ID, World

ANA = "+6591000001"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A pretend Meta and respond.io, and the tokens for both."""
    made = default_world()
    with running(made) as base_url:
        monkeypatch.setenv("WACOEX_META_BASE_URL", base_url)
        monkeypatch.setenv("WACOEX_META_TOKEN", DEFAULT_TOKEN)
        monkeypatch.setenv("WACOEX_RESPONDIO_BASE_URL", f"{base_url}/respondio/v2")
        monkeypatch.setenv("WACOEX_RESPONDIO_TOKEN", DEFAULT_RESPONDIO_TOKEN)
        yield made


@pytest.fixture
def shop(run: Callable[..., Any], world: World) -> World:
    """The channel `shop`, known to Meta and to respond.io."""
    ids = ("--phone-number-id", PHONE_NUMBER_ID, "--waba-id", WABA_ID)
    run("channel", "add", "shop", "--phone", PHONE, *ids)
    run("channel", "edit", "shop", "--respondio-channel-id", str(RESPONDIO_CHANNEL_ID))
    return world


@pytest.fixture
def pull(run: Callable[..., Any], shop: World) -> Callable[..., Any]:
    def call(*options: str, **more: Any) -> Any:
        return run("events", "pull", *options, **more)

    return call


@pytest.fixture
def sent(run: Callable[..., Any], shop: World) -> None:
    """A broadcast to somebody respond.io knows and somebody it does not know."""
    Path("people.csv").write_text(f"phone\n{ANA}\n+6592000001\n")
    done = run(
        *("broadcast", "send", "--to", "people.csv", "--template", "opening_hours"),
        *("--lang", "en_US", "--yes"),
    )
    assert done.code == 0


def test_a_named_contact_is_read(pull) -> None:
    done = pull("--contact", ANA)

    assert done.code == 0
    assert done.out.splitlines() == [
        "contacts read: 1, in calls: 1; payloads: 2 stored, 0 known already",
        "new: 1 echo, 1 message, 1 status",
    ]
    assert "contacts read: 0 of 1" in done.err


def test_the_json_has_every_figure(pull) -> None:
    data = pull("--contact", "+65 9100 0001", "--contact", "+6592000001", "--json").data

    assert data.pop("by_kind")["echo"] == 1
    assert data == {
        "channel": "shop",
        "contacts": 1,
        "calls": 2,
        "stored": 2,
        "duplicates": 0,
        "elsewhere": 0,
        "not_found": 1,
        "not_ready": 0,
        "refused": 0,
        "history": {"available": None, "checked": 0, "why_not": None},
        "estimate": None,
        "resumed": False,
        "finished": True,
        "dry_run": False,
    }


def test_nobody_to_ask_about_is_said_and_no_failure(pull) -> None:
    done = pull()

    assert done.code == 0
    assert done.out.startswith("nobody to ask about: ")
    assert pull("--dry-run").out == done.out


def test_the_probe_contact_is_read_without_being_named(pull, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(f'[events]\nprobe_contact = "{ANA}"\n')

    assert pull("--json", env={"WACOEX_CONFIG_DIR": str(tmp_path)}).data["contacts"] == 1


def test_recipients_of_broadcasts_are_read_and_meta_tells_their_statuses(
    pull, run, sent: None
) -> None:
    planned = pull("--dry-run").out
    data = pull("--json").data

    assert planned.splitlines() == [
        "respond.io: contacts to read: 2, at least 2 calls,"
        " about 1 min at 5 message lists a second",
        "Meta: the status of 2 messages of ours",
    ]
    assert (data["contacts"], data["not_found"]) == (1, 1)
    assert data["history"] == {"available": True, "checked": 2, "why_not": None}
    counts = run("broadcast", "show", "1", "--json").data["counts"]
    assert counts["delivered"] == 2


def test_a_missing_message_history_is_said_once_and_no_failure(pull, shop: World, sent) -> None:
    shop.patch_settings({"message_history": False})

    done = pull()

    assert done.code == 0
    assert done.out.count("Meta offers no message history here") == 1
    assert pull("--json").data["history"]["available"] is False


def test_without_respondio_meta_alone_is_asked(
    pull, sent: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WACOEX_RESPONDIO_TOKEN")

    assert pull("--json").data["history"]["checked"] == 2


def test_without_any_token_the_way_to_give_one_is_told(
    pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("META", "RESPONDIO"):
        monkeypatch.delenv(f"WACOEX_{name}_TOKEN")

    done = pull()

    assert done.code == 4
    assert "neither a respondio-token nor a meta-token" in done.err
    assert "WACOEX_RESPONDIO_TOKEN" in done.err


def test_a_named_contact_needs_the_respondio_token(pull, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WACOEX_RESPONDIO_TOKEN")

    assert pull("--contact", ANA).code == 4


def test_a_channel_without_its_respondio_id_is_told_which_there_are(run, world: World) -> None:
    run("channel", "add", "shop", "--phone", PHONE)

    done = run("events", "pull", "--contact", ANA)

    assert done.code == 2
    assert f"--respondio-channel-id N`; N is one of {RESPONDIO_CHANNEL_ID} (" in done.err


@pytest.mark.parametrize(
    ("options", "told"),
    [(("--contact", "Ana"), "is not a phone number"), (("--since", "soon"), "is not a time")],
)
def test_what_cannot_be_read_is_a_usage_error(pull, options: tuple[str, ...], told: str) -> None:
    done = pull(*options)

    assert (done.code, told in done.err) == (2, True)


def test_everybody_is_counted_first_and_asked_about(pull) -> None:
    asked = pull("--all-contacts", tty=True, stdin="n\n")
    read = pull("--all-contacts", "--yes")

    assert asked.code == 1
    assert "contacts to read: 2, at least 3 calls, about 1 min at 18 message lists" in asked.err
    assert read.code == 0
    assert read.out.startswith("contacts read: 2, in calls: 5; payloads: 3 stored")


def test_without_a_terminal_everybody_needs_yes(pull, shop: World) -> None:
    done = pull("--all-contacts")

    assert (done.code, "--yes" in done.err) == (2, True)
    assert shop.respondio.calls.total() == 0


def test_a_dry_run_over_everybody_only_estimates(pull) -> None:
    data = pull("--all-contacts", "--dry-run", "--json").data

    assert data["estimate"] == {
        "contacts": 2,
        "calls": 3,
        "seconds": 0.3,
        "calls_per_second": 18.0,
    }
    assert (data["contacts"], data["stored"]) == (0, 0)


def test_throttled_out_is_temporary(pull, shop: World) -> None:
    shop.respondio.set_limit("message/list", 0)
    shop.respondio.retry_after = 90

    done = pull("--contact", ANA, "--json")

    assert done.code == 6
    assert done.envelope["errors"][0]["code"] == "respondio_429"
    assert done.data["finished"] is False


def test_when_only_one_platform_answers_it_is_partial(pull, shop: World, sent: None) -> None:
    shop.respondio.set_limit("message/list", 0)
    shop.respondio.retry_after = 90

    done = pull("--json")

    assert (done.code, done.envelope["status"]) == (7, "partial")
    assert done.data["history"]["checked"] == 2


def test_a_contact_that_is_not_ready_makes_it_partial(pull, shop: World) -> None:
    shop.respondio.add_contact("+6591000003", ready_in=600)

    done = pull("--contact", ANA, "--contact", "+6591000003")

    assert done.code == 7
    assert "contacts it is still busy with: 1" in done.out


def test_a_refused_token_is_a_credential_error(pull, shop: World) -> None:
    shop.respondio.token = "another"

    done = pull("--contact", ANA)

    assert done.code == 4
    assert "wacoex auth login respondio-token" in done.err
    assert DEFAULT_RESPONDIO_TOKEN not in done.err
