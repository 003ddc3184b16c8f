"""Copying contacts and history: once for each, within 24 hours, and what is told then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from wacoex_cli.sandbox.account import add_partner
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, SECOND_PHONE_NUMBER_ID, WABA_ID, World

Call = Callable[..., httpx.Response]
CONTACTS, HISTORY = "smb_app_state_sync", "history"


@pytest.fixture
def ask(call: Call) -> Callable[..., dict[str, Any]]:
    def run(sync_type: str, node: str = PHONE_NUMBER_ID, **more: Any) -> dict[str, Any]:
        body = {"messaging_product": "whatsapp", "sync_type": sync_type}
        answer: dict[str, Any] = call(
            "POST", f"/v26.0/{node}/smb_app_data", json=body, **more
        ).json()
        return answer

    return run


@pytest.fixture
def fresh(world: World) -> World:
    """The number was connected a moment ago."""
    add_partner(world)
    return world


def fields(world: World) -> list[str]:
    bodies = world.outbox.emitted(world.monotonic())
    return [one["entry"][0]["changes"][0]["field"] for one in bodies]


def test_each_kind_is_taken_once_and_its_webhooks_follow(fresh: World, ask) -> None:
    before = len(fields(fresh))
    contacts, history = ask(CONTACTS), ask(HISTORY)

    assert contacts["request_id"] != history["request_id"]
    assert fields(fresh)[before:] == [CONTACTS, HISTORY, HISTORY, HISTORY]
    assert ask(CONTACTS)["error"]["code"] == 2593107
    assert ask(HISTORY)["error"]["code"] == 2593107


def test_a_day_after_connecting_it_is_refused(fresh: World, ask, clock) -> None:
    clock.now += 24 * 3600 + 1

    assert ask(CONTACTS)["error"]["code"] == 2593108


def test_connecting_again_opens_it_again(fresh: World, ask, clock) -> None:
    ask(CONTACTS)
    clock.now += 60
    add_partner(fresh)

    assert "request_id" in ask(CONTACTS)


def test_a_history_that_is_not_shared_is_told_by_webhook(fresh: World, ask) -> None:
    fresh.patch_settings({"shares_history": False})

    assert "request_id" in ask(HISTORY)

    told = fresh.outbox.emitted(fresh.monotonic())[-1]["entry"][0]["changes"][0]["value"]
    assert told["history"][0]["errors"][0]["code"] == 2593109


def test_every_call_is_in_the_log(fresh: World, ask) -> None:
    ask(CONTACTS)
    ask(CONTACTS)

    assert [(one["sync_type"], one["code"]) for one in fresh.log.summary()["syncs"]] == [
        (CONTACTS, None),
        (CONTACTS, 2593107),
    ]


@pytest.mark.parametrize(
    ("sync_type", "node"),
    [("everything", PHONE_NUMBER_ID), (CONTACTS, WABA_ID), (CONTACTS, SECOND_PHONE_NUMBER_ID)],
)
def test_what_does_not_fit_is_refused(fresh: World, ask, sync_type: str, node: str) -> None:
    assert ask(sync_type, node)["error"]["code"] == 100


def test_it_needs_a_token(fresh: World, ask) -> None:
    assert ask(CONTACTS, token="unknown")["error"]["code"] == 190
    assert fresh.log.syncs == []
