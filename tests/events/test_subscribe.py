"""`events subscribe`: our app on the WABA, the webhook fields, and what `--check` says of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.state import open_state
from wacoex_cli.platforms.events import Event, Kind, Payload, Source, Via
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import (
    APP_ID,
    APP_SECRET,
    DEFAULT_TOKEN,
    PARTNER_APP_ID,
    PHONE,
    PHONE_NUMBER_ID,
    WABA_ID,
    World,
    subscribed_app,
)

PARTNER = subscribed_app(PARTNER_APP_ID, "respond.io WA BSP")
OURS = subscribed_app(APP_ID, "ours")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, run) -> Iterator[World]:
    """A world where our app is attached and all fields are on; its secret is known here."""
    world = default_world()
    with running(world) as url:
        monkeypatch.setenv("WACOEX_META_BASE_URL", url)
        monkeypatch.setenv("WACOEX_META_TOKEN", DEFAULT_TOKEN)
        monkeypatch.setenv("WACOEX_META_APP_SECRET", APP_SECRET)
        ids = ("--phone-number-id", PHONE_NUMBER_ID, "--waba-id", WABA_ID)
        run("channel", "add", "shop", "--phone", PHONE, *ids)
        yield world


def attached(world: World) -> list[str]:
    apps = world.subscribed_apps[WABA_ID]
    return [app["whatsapp_business_api_data"]["id"] for app in apps]


def detach(world: World) -> None:
    world.subscribed_apps[WABA_ID] = [PARTNER]


def found(done: Any) -> list[tuple[str, str]]:
    return [(finding["id"], finding["severity"]) for finding in done.data["findings"]]


def test_the_own_app_is_attached_beside_the_partners(run, world: World) -> None:
    detach(world)

    done = run("events", "subscribe", "--yes", "--json")

    assert done.code == 0
    assert attached(world) == [PARTNER_APP_ID, APP_ID]
    assert done.data["changed"] is True
    assert done.data["attached"] is True
    assert {field["name"]: field["on"] for field in done.data["fields"]}["account_update"] is True


@pytest.mark.parametrize("how", ["--yes", "--dry-run"])
def test_it_warns_that_the_app_may_be_one_more_responder(run, world: World, how: str) -> None:
    detach(world)

    assert "may count as one more responder" in run("events", "subscribe", how).err
    assert "responder of the number" not in run("events", "subscribe", "--check").err


def test_an_attached_app_keeps_its_override(run, world: World) -> None:
    override = {"override_callback_uri": "https://other.example/hook"}
    world.subscribed_apps[WABA_ID] = [{**OURS, **override}]

    done = run("events", "subscribe", "--json")

    assert (done.code, done.data["changed"]) == (0, False)
    assert done.data["override_callback_uri"] == "https://other.example/hook"
    assert world.subscribed_apps[WABA_ID] == [{**OURS, **override}]


def test_it_asks_before_it_changes_something(run, world: World) -> None:
    detach(world)

    declined = run("events", "subscribe", tty=True, stdin="n\n")
    unasked = run("events", "subscribe")
    dry = run("events", "subscribe", "--dry-run")

    assert [declined.code, unasked.code, dry.code] == [1, 2, 0]
    assert f"attach app {APP_ID} to WABA {WABA_ID} (shop)?" in declined.err
    assert dry.out.startswith("would attach app")
    assert attached(world) == [PARTNER_APP_ID]


def test_fields_that_are_off_are_shown_with_the_clicks(run, world: World) -> None:
    world.webhook_fields.remove("account_update")

    done = run("events", "subscribe", tty=True)

    assert done.code == 0
    assert "account_update" in done.out
    assert "Webhook fields" in " ".join(done.out.split())


@pytest.mark.parametrize(
    ("off", "code", "findings"),
    [
        ((), 0, []),
        (("security", "account_alerts"), 0, [("WX210", "info")]),
        (("smb_message_echoes",), 1, [("WX210", "warning")]),
        (("messages", "account_update"), 2, [("WX210", "critical"), ("WX210", "warning")]),
    ],
)
def test_check_answers_like_a_monitoring_check(run, world: World, off, code, findings) -> None:
    for field in off:
        world.webhook_fields.remove(field)

    done = run("events", "subscribe", "--check", "--json")

    assert (done.code, found(done)) == (code, findings)
    assert done.envelope["errors"] == []


def test_check_finds_that_the_waba_is_not_attached_and_changes_nothing(run, world: World) -> None:
    detach(world)

    done = run("events", "subscribe", "--check", "--json")

    assert (done.code, found(done)) == (2, [("WX210", "critical")])
    assert attached(world) == [PARTNER_APP_ID]


def test_without_the_app_secret_the_fields_are_unknown(
    run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WACOEX_META_APP_SECRET")

    done = run("events", "subscribe", "--check", "--json")

    assert (done.code, found(done)) == (3, [("WX210", "unknown")])
    assert {field["on"] for field in done.data["fields"]} == {None}
    assert "meta-app-secret" in done.data["findings"][0]["evidence"][0]["text"]


def test_a_wrong_app_secret_is_unknown_too_and_never_shown(
    run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WACOEX_META_APP_SECRET", "MARK-wrong-secret-0123456789")

    done = run("events", "subscribe", "--check", "--json", "-vv")

    assert done.code == 3
    assert "MARK" not in done.out + done.err
    assert f"{APP_ID}|" not in done.out + done.err


def test_the_configured_app_id_is_the_one_looked_for(
    run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WACOEX_META_APP_ID", "999")

    done = run("events", "subscribe", "--check", "--json")

    assert (done.code, done.data["app_id"], done.data["attached"]) == (2, "999", False)


def test_an_app_id_that_differs_from_the_tokens_is_reported_after_attaching(
    run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WACOEX_META_APP_ID", "999")

    done = run("events", "subscribe", "--yes", "--json")

    assert done.code == 5
    assert done.envelope["errors"][0]["code"] == "not_attached"


def test_check_is_unknown_when_meta_cannot_be_asked(
    run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WACOEX_META_TOKEN", "EAAexpired0123456789")

    done = run("events", "subscribe", "--check", "--json")

    assert (done.code, done.envelope["status"]) == (3, "error")
    assert run("events", "subscribe", "--yes").code == 4


def test_a_channel_without_waba_id_gets_the_option_that_is_missing(run, world: World) -> None:
    run("channel", "add", "other", "--phone", "+6560000077")

    done = run("events", "subscribe", "--channel", "other")

    assert done.code == 2
    assert "--waba-id" in done.err


def test_a_channel_of_respondio_alone_misses_nothing_of_meta(
    run, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--provider", "respondio", "--respondio-channel-id", "12")
    run("channel", "add", "shop", "--phone", PHONE, *options)

    done = run("events", "subscribe", "--check", "--json")

    assert (done.code, done.data["findings"]) == (0, [])


def arrived(path: Any, source: Source, *days_ago: float) -> None:
    """Something came in from a source this many days ago each."""
    state = open_state(path)
    for days in days_ago:
        moment = datetime.now(UTC) - timedelta(days=days)
        event = Event(f"{source}:{days}", Kind.OTHER, source, to_text(moment))
        payload = Payload(source, f"{source}:{days}", 1, "{}", (event,))
        with state.transaction():
            EventLog(state).store([payload], Via.LISTEN, moment)
    state.close()


def test_wx108_when_nothing_has_come_in_for_longer_than_usual(
    run, world: World, isolated_home
) -> None:
    path = isolated_home / ".local/state/wacoex/wacoex.db"
    arrived(path, Source.META, 8, 7, 6, 5, 4, 3.5)
    arrived(path, Source.RESPONDIO, 8, 4, 3)

    done = run("events", "subscribe", "--check", "--json")

    assert (done.code, found(done)) == (1, [("WX108", "warning")])
    assert "from Meta" in done.data["findings"][0]["title"]
