"""Somebody says that the app was open: `wacoex reminder confirm`, and the link in a notice."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from freezegun import freeze_time

from wacoex_cli.events.consumers import PageAnswer, PageRequest
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.state import State
from wacoex_cli.foundation.workspace import open_workspace
from wacoex_cli.inactivity import confirm

Run = Callable[..., Any]

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
EVIDENCE = "SELECT address, kind, at, source, said_by FROM evidence ORDER BY at"


@pytest.fixture(autouse=True)
def frozen(state: State, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Time is frozen, and the program uses the state file of this test."""
    monkeypatch.setenv("WACOEX_STATE", str(state.path))
    with freeze_time(NOW) as moving:
        yield moving


@pytest.fixture
def shop(run: Run) -> str:
    """One channel in Singapore."""
    zone = ["--timezone", "Asia/Singapore"]
    assert run("channel", "add", "shop", "--phone", "+6560000001", *zone).code == 0
    return "shop"


def test_the_countdown_starts_again_and_the_next_deadline_is_shown(run: Run, shop: str) -> None:
    outcome = run("reminder", "confirm", "shop", "--by", "Ana")

    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        "channel shop: confirmed by Ana, the app was open at 2026-11-23 17:30 Asia/Singapore",
        "next deadline: 2026-12-07 17:30 Asia/Singapore (in 14 days)",
        "act by: 2026-12-06 17:30 Asia/Singapore (in 13 days)",
        "messages through the API, messages from customers and broadcasts do not count as"
        " opening the app",
    ]
    assert run("reminder", "check").code == 0


def test_a_confirmation_of_this_very_moment_leaves_14_whole_days(
    run: Run, shop: str, frozen: Any
) -> None:
    frozen.move_to(NOW + timedelta(microseconds=999_999))

    assert "Asia/Singapore (in 14 days)" in run("reminder", "confirm").out


def test_the_stored_confirmation_names_the_person(run: Run, shop: str, state: State) -> None:
    outcome = run("reminder", "confirm", "--by", "  Ana   Lim ", "--json")

    data = outcome.data
    assert (data["channel"], data["confirmed_by"], data["is_new"]) == ("shop", "Ana Lim", True)
    assert (data["confirmed_at"], data["grade"]) == (to_text(NOW), "proof")
    assert (data["stage"], data["days_left"]) == ("ok", 14.0)
    assert data["deadline_at"] == to_text(NOW + timedelta(days=14))
    assert state.rows(EVIDENCE) == [
        {
            "address": "channel:1",
            "kind": "confirmed",
            "at": to_text(NOW),
            "source": "person",
            "said_by": "Ana Lim",
        }
    ]


def test_without_a_name_the_login_name_confirms(
    run: Run, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ben")

    assert run("reminder", "confirm", "--json").data["confirmed_by"] == "ben"


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "ana\x07"])
def test_a_name_that_cannot_be_used_is_refused(
    run: Run, shop: str, state: State, name: str
) -> None:
    assert run("reminder", "confirm", "--by", name).code == 2
    assert state.rows(EVIDENCE) == []


@pytest.mark.parametrize(
    ("at", "moment"),
    [
        ("2026-11-20 09:30", "2026-11-20T01:30:00.000Z"),
        ("2026-11-20T09:30:00Z", "2026-11-20T09:30:00.000Z"),
        ("2026-11-20T09:30:00-05:00", "2026-11-20T14:30:00.000Z"),
    ],
)
def test_an_earlier_moment_is_read_in_the_channels_zone(
    run: Run, shop: str, at: str, moment: str
) -> None:
    data = run("reminder", "confirm", "--at", at, "--json").data

    assert (data["confirmed_at"], data["last_opened_at"]) == (moment, moment)


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("2026-11-23 17:31", "is in the future"),
        ("2027-01-01T00:00:00Z", "is in the future"),
        ("yesterday", "is not a time"),
        ("", "is not a time"),
    ],
)
def test_a_future_or_unreadable_moment_is_refused(
    run: Run, shop: str, state: State, at: str, said: str
) -> None:
    outcome = run("reminder", "confirm", "--at", at, "--force")

    assert (outcome.code, state.rows(EVIDENCE)) == (2, [])
    assert said in outcome.err


def test_an_older_moment_than_the_last_proof_needs_force(run: Run, shop: str, state: State) -> None:
    run("reminder", "confirm", "--by", "ana")

    refused = run("reminder", "confirm", "--at", "2026-11-20 09:30", "--by", "ben")

    assert (refused.code, len(state.rows(EVIDENCE))) == (5, 1)
    assert "newer proof than 2026-11-20 09:30 Asia/Singapore: 2026-11-23 17:30" in refused.err
    assert "by ana" in refused.err
    forced = run("reminder", "confirm", "--at", "2026-11-20 09:30", "--by", "ben", "--force")
    assert forced.code == 0
    assert "newer evidence decides" in forced.out
    assert len(state.rows(EVIDENCE)) == 2


def test_the_same_twice_is_kept_once(run: Run, shop: str, state: State) -> None:
    first, again = (run("reminder", "confirm", "--by", "ana", "--json") for _ in range(2))

    assert (first.data["is_new"], again.data["is_new"]) == (True, False)
    assert len(state.rows(EVIDENCE)) == 1


def test_a_dry_run_shows_the_deadline_and_keeps_nothing(run: Run, shop: str, state: State) -> None:
    outcome = run("reminder", "confirm", "--dry-run", "--by", "ana")

    assert outcome.out.startswith("channel shop: would be confirmed by ana")
    assert "next deadline: 2026-12-07 17:30 Asia/Singapore" in outcome.out
    assert state.rows(EVIDENCE) == []


def test_with_several_channels_one_has_to_be_named(run: Run, shop: str, state: State) -> None:
    run("channel", "add", "cafe", "--phone", "+6560000002")

    outcome = run("reminder", "confirm")

    assert (outcome.code, state.rows(EVIDENCE)) == (2, [])
    assert "which channel do you mean?" in outcome.err
    assert run("reminder", "confirm", "cafe").code == 0
    assert run("reminder", "confirm", "-c", "shop").code == 0
    assert run("reminder", "confirm", "cafe", "-c", "shop").code == 2
    assert run("reminder", "confirm", "nobody").code == 2


def test_confirming_one_channel_says_nothing_about_another(run: Run, shop: str) -> None:
    run("channel", "add", "cafe", "--phone", "+6560000002")
    run("reminder", "confirm", "shop")

    answer = run("reminder", "check", "--json").data["channels"]

    assert [(entry["channel"], entry["stage"]) for entry in answer] == [
        ("cafe", "unknown"),
        ("shop", "ok"),
    ]


def test_a_channel_keeps_its_confirmation_when_its_ids_change(run: Run, shop: str) -> None:
    run("reminder", "confirm", "shop")
    run("channel", "edit", "shop", "--phone-number-id", "109", "--waba-id", "102")

    assert run("reminder", "check", "shop").code == 0


START = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
Ask = Callable[..., PageAnswer]


@pytest.fixture
def link_clock() -> Iterator[Any]:
    with freeze_time(START) as clock:
        yield clock


@pytest.fixture
def ask(state: State, link_clock: Any) -> Iterator[Ask]:
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
        yield lambda token, method="GET", **form: page.handler(PageRequest(method, token, form))


@pytest.fixture
def token(run, state: State, inbox: Any, monkeypatch: pytest.MonkeyPatch, link_clock: Any) -> str:
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

    assert {page.status for page in pages} == {200}
    assert "shop, +6560000001" in pages[0].html
    assert '<form method="post">' in pages[0].html
    assert "Nobody knows when the app was last opened." in pages[0].html
    assert confirmations(state) == []


def test_a_click_confirms_the_phone_now(
    ask: Ask, state: State, token: str, inbox: Any, link_clock: Any
) -> None:
    link_clock.move_to(START + timedelta(hours=3))
    page = ask(token, "POST")

    assert page.status == 200
    assert "The next deadline is <strong>Sat 21 Nov 2026, 23:00</strong>" in page.html
    assert confirmations(state) == [
        ("2026-11-07T15:00:00.000Z", f"link sent to json://127.0.0.1:{inbox.port}")
    ]


def test_a_link_works_once(ask: Ask, state: State, token: str) -> None:
    ask(token, "POST")

    for method in ("GET", "POST"):
        page = ask(token, method)
        assert page.status == 410
        assert "shop" not in page.html
        assert "Already confirmed by the link sent to json://127.0.0.1" in page.html
        assert "at <strong>Sat 7 Nov 2026, 20:00</strong> (Asia/Singapore)" in page.html
    assert len(confirmations(state)) == 1


def test_a_link_expires_after_seven_days(
    ask: Ask, state: State, token: str, link_clock: Any
) -> None:
    link_clock.move_to(START + timedelta(days=7, seconds=-1))
    assert ask(token).status == 200
    link_clock.move_to(START + timedelta(days=7))

    assert (ask(token).status, ask(token, "POST").status) == (410, 410)
    assert confirmations(state) == []


def test_an_unknown_link_shows_nothing(ask: Ask, state: State, token: str) -> None:
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

    assert "Channel &lt;b&gt;&amp;&#34;." in ask(token).html


def test_the_next_run_reports_that_all_is_well(
    run, ask: Ask, token: str, inbox: Any, link_clock: Any
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


def test_several_channels_are_confirmed_at_once(run: Run, shop: str, state: State) -> None:
    run("channel", "add", "kiosk", "--phone", "+6560000002")
    run("channel", "add", "lab", "--phone", "+6560000003")

    done = run("reminder", "confirm", "shop", "kiosk", "lab", "shop", "--by", "Ana", "--json")

    assert done.code == 0
    names = [(entry["channel"], entry["confirmed_by"]) for entry in done.data["channels"]]
    assert names == [("shop", "Ana"), ("kiosk", "Ana"), ("lab", "Ana")]
    assert {entry["stage"] for entry in done.data["channels"]} == {"ok"}
    assert len(state.rows(EVIDENCE)) == 3
    shown = run("reminder", "confirm", "kiosk", "lab", "--by", "Ben", "--dry-run").out
    assert "channel kiosk: would be confirmed by Ben" in shown
    assert "channel lab: would be confirmed by Ben" in shown
    assert shown.count("do not count as opening the app") == 1


@pytest.mark.parametrize("others", [("kiosk", "nowhere"), ("kiosk", "gone")])
def test_of_several_channels_all_are_confirmed_or_none(
    run: Run, shop: str, state: State, others: tuple[str, ...]
) -> None:
    run("channel", "add", "kiosk", "--phone", "+6560000002")
    run("channel", "add", "gone", "--phone", "+6560000003")
    run("channel", "remove", "gone", "--yes")

    refused = run("reminder", "confirm", "shop", *others, "--by", "Ana")

    assert (refused.code, state.rows(EVIDENCE)) == (2, [])
    assert others[-1] in refused.err


def test_several_and_another_one_by_option_are_refused(run: Run, shop: str) -> None:
    run("channel", "add", "kiosk", "--phone", "+6560000002")

    refused = run("reminder", "confirm", "shop", "kiosk", "-c", "kiosk")

    assert (refused.code, "two channels are named" in refused.err) == (2, True)


def test_the_page_says_why_it_matters_with_the_date_in_the_zone_of_the_channel(
    run, ask: Ask, token: str, link_clock: Any
) -> None:
    run("reminder", "confirm", "shop", "--at", "2026-10-26 09:30")
    page = ask(token)

    assert "WhatsApp disconnects this number on <strong>Mon 9 Nov 2026, 09:30</strong>" in page.html
    assert "(in 1 day)" in page.html
    assert "Already confirmed" not in page.html
    link_clock.move_to(START + timedelta(days=3))
    assert "may have disconnected this number already" in ask(token).html


def test_a_person_can_be_reminded_tomorrow_and_the_link_still_works(
    run, ask: Ask, state: State, token: str, inbox: Any, link_clock: Any
) -> None:
    page = ask(token, "POST", answer="later")

    assert page.status == 200
    assert "after <strong>Sun 8 Nov 2026, 08:00</strong>" in page.html
    assert confirmations(state) == []
    for moment, notices in (
        (datetime(2026, 11, 7, 23, 59, tzinfo=UTC), 1),
        (datetime(2026, 11, 8, 0, 0, tzinfo=UTC), 2),
        (datetime(2026, 11, 8, 1, 0, tzinfo=UTC), 2),
    ):
        link_clock.move_to(moment)
        run("reminder", "notify", "--to", inbox.url)
        assert len(inbox.messages) == notices
    assert ask(token, "POST").status == 200
    assert len(confirmations(state)) == 1


def test_no_reminder_comes_tomorrow_for_a_phone_that_was_opened_meanwhile(
    run, ask: Ask, token: str, inbox: Any, link_clock: Any
) -> None:
    ask(token, "POST", answer="later")
    run("reminder", "confirm", "shop", "--by", "Ana")
    link_clock.move_to(START + timedelta(days=1))
    run("reminder", "notify", "--to", inbox.url)

    assert inbox.titles[1:] == ["shop: phone confirmed"]


def test_a_used_or_expired_link_reminds_nobody(
    ask: Ask, state: State, token: str, link_clock: Any
) -> None:
    ask(token, "POST")
    assert ask(token, "POST", answer="later").status == 410
    assert state.value("SELECT COUNT(*) FROM confirmation_links WHERE remind_at > ''") == 0


def test_the_page_says_that_somebody_else_has_confirmed_it(run, ask: Ask, token: str) -> None:
    run("reminder", "confirm", "shop", "--by", "Ana <b>")

    assert "by Ana &lt;b&gt; at Sat 7 Nov 2026, 20:00. You need not do anything." in ask(token).html


def test_the_page_says_when_tomorrow_is_too_late(run, ask: Ask, token: str) -> None:
    run("reminder", "confirm", "shop", "--at", "2026-10-24 22:00")

    assert "Tomorrow may be too late" in ask(token).html
    assert "Tomorrow may be too late" in ask(token, "POST", answer="later").html


def test_the_pages_load_nothing_and_run_no_script(ask: Ask, token: str) -> None:
    for page in (ask(token), ask(token, "POST", answer="later"), ask(token, "POST"), ask("x")):
        assert not re.search(
            r"<script|src=|href=|url\(|@import|//", page.html.replace("json://", "")
        )
