"""A link in a notice confirms the phone once, by a click and never by being looked at."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from freezegun import freeze_time

from wacoex_cli.events.consumers import PageAnswer, PageRequest
from wacoex_cli.foundation.state import State
from wacoex_cli.foundation.workspace import open_workspace
from wacoex_cli.inactivity import confirm

START = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
Ask = Callable[..., PageAnswer]


@pytest.fixture
def frozen() -> Iterator[Any]:
    with freeze_time(START) as clock:
        yield clock


@pytest.fixture
def ask(state: State, frozen: Any) -> Iterator[Ask]:
    """Asks for the page behind a link as a browser does: `ask(token, "POST")`."""

    def ignore(_: object) -> None:
        """Nobody listens."""

    with open_workspace(
        environ={"WACOEX_STATE": str(state.path), "WACOEX_KEYRING": "off"},
        warn=ignore,
        log=ignore,
        announce=ignore,
    ) as workspace:
        [page] = confirm.pages(workspace)
        assert page.path == "/confirm/{token}"
        assert page.methods == ("GET", "POST")
        yield lambda token, method="GET": page.handler(PageRequest(method, token))


@pytest.fixture
def token(run, state: State, inbox: Any, monkeypatch: pytest.MonkeyPatch, frozen: Any) -> str:
    """The token of a link that a notice about `shop` brought."""
    monkeypatch.setenv("WACOEX_STATE", str(state.path))
    run("channel", "add", "shop", "--phone", "+6560000001", "--timezone", "Asia/Singapore")
    env = {"WACOEX_PUBLIC_URL": "https://hooks.example.com/wacoex/"}
    run("reminder", "notify", "--to", inbox.url, env=env)
    [message] = inbox.messages
    found = re.search(r"https://hooks.example.com/wacoex/confirm/(\S+)", message["message"])
    assert found
    assert "which works once and until 2026-11-14 20:00 Asia/Singapore" in message["message"]
    return found[1]


def confirmations(state: State) -> list[tuple[str, str]]:
    rows = state.rows("SELECT at, said_by FROM evidence WHERE kind = 'confirmed'")
    return [(row["at"], row["said_by"]) for row in rows]


def test_only_the_hash_of_a_token_is_stored(state: State, token: str) -> None:
    [row] = state.rows("SELECT * FROM confirmation_links")

    assert row["token_hash"] == hashlib.sha256(token.encode()).hexdigest()
    assert token not in str(state.rows("SELECT * FROM notices"))
    assert len(token) >= 40


def test_looking_at_the_page_changes_nothing(ask: Ask, state: State, token: str) -> None:
    pages = [ask(token) for _ in range(3)]

    assert {one.status for one in pages} == {200}
    assert "<strong>shop</strong>, +6560000001" in pages[0].html
    assert '<form method="post">' in pages[0].html
    assert "Nobody knows when the app was last opened." in pages[0].html
    assert confirmations(state) == []


def test_a_click_confirms_the_phone_now(
    ask: Ask, state: State, token: str, inbox: Any, frozen: Any
) -> None:
    frozen.move_to(START + timedelta(hours=3))
    page = ask(token, "POST")

    assert page.status == 200
    assert "Deadline: 2026-11-21 23:00 Asia/Singapore" in page.html
    assert confirmations(state) == [
        ("2026-11-07T15:00:00.000Z", f"link sent to json://127.0.0.1:{inbox.port}")
    ]


def test_a_link_works_once(ask: Ask, state: State, token: str) -> None:
    ask(token, "POST")

    for method in ("GET", "POST"):
        page = ask(token, method)
        assert page.status == 410
        assert "shop" not in page.html
    assert len(confirmations(state)) == 1


def test_a_link_expires_after_seven_days(ask: Ask, state: State, token: str, frozen: Any) -> None:
    frozen.move_to(START + timedelta(days=7, seconds=-1))
    assert ask(token).status == 200
    frozen.move_to(START + timedelta(days=7))

    assert (ask(token).status, ask(token, "POST").status) == (410, 410)
    assert confirmations(state) == []


def test_an_unknown_link_tells_nothing(ask: Ask, state: State, token: str) -> None:
    for wrong in ("", "x", token[:-1], f"{token}x", "<script>alert(1)</script>", "\x00"):
        for method in ("GET", "POST"):
            page = ask(wrong, method)
            assert page.status == 404
            assert "shop" not in page.html
            assert "alert" not in page.html
    assert confirmations(state) == []


def test_the_link_of_an_archived_channel_is_gone(run, ask: Ask, token: str) -> None:
    run("channel", "remove", "shop", "--yes")

    assert ask(token, "POST").status == 410


def test_names_are_escaped(ask: Ask, state: State, token: str) -> None:
    with state.transaction():
        state.execute("UPDATE channels SET name = '<b>&\"'")

    assert "<strong>&lt;b&gt;&amp;&#34;</strong>" in ask(token).html


def test_the_next_run_tells_that_all_is_well(
    run, ask: Ask, token: str, inbox: Any, frozen: Any
) -> None:
    ask(token, "POST")
    run("reminder", "notify", "--to", inbox.url, env={"WACOEX_PUBLIC_URL": "https://x.example"})

    assert inbox.titles[-1] == "shop: phone confirmed"
    assert "next deadline 2026-11-21 20:00 Asia/Singapore" in inbox.messages[-1]["message"]
    assert "https://x.example" not in inbox.messages[-1]["message"]


def test_without_a_public_url_there_is_no_link(run, state: State, token: str, inbox: Any) -> None:
    run("reminder", "notify", "--to", f"{inbox.url}other")

    assert len(inbox.messages) == 2
    assert "/confirm/" not in inbox.messages[1]["message"]
    assert state.value("SELECT count(*) FROM confirmation_links") == 1
