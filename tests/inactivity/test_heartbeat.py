"""Each notify run tells a URL how it ended; whatever happens there changes nothing here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.inactivity import notify

NOTIFY = ("reminder", "notify")


@pytest.fixture
def shop(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WACOEX_STATE", str(tmp_path / "wacoex.db"))
    run("channel", "add", "shop", "--phone", "+6560000001")
    run("reminder", "confirm", "shop")


def beating(inbox: Any, path: str = "/ping/s3cr3tid") -> dict[str, str]:
    return {"WACOEX_HEARTBEAT_URL": f"http://127.0.0.1:{inbox.port}{path}"}


@pytest.mark.parametrize(
    ("path", "called"),
    [
        ("/ping/id", "/ping/id/0"),
        ("/ping/id/", "/ping/id/0"),
        ("", "/0"),
        ("/ping?key=a%20b", "/ping/0?key=a%20b"),
    ],
)
def test_a_run_that_went_well_calls_the_url_with_0(
    run, shop: None, inbox: Any, path: str, called: str
) -> None:
    done = run(*NOTIFY, "--to", inbox.url, env=beating(inbox, path))

    assert (done.code, done.out, done.err) == (0, "", "")
    assert [one.replace("+", "%20") for one in inbox.paths] == [called]


def test_a_run_that_failed_calls_it_with_its_exit_status(
    run, shop: None, tmp_path: Path, inbox: Any
) -> None:
    run(*NOTIFY, env=beating(inbox, "/id"))
    run("channel", "add", "cafe", "--phone", "+6560000002")
    run(*NOTIFY, "--to", "json://127.0.0.1:9", env=beating(inbox, "/id"))
    (tmp_path / "damaged.db").write_text("no database at all, but some text" * 100)
    damaged = {"WACOEX_STATE": str(tmp_path / "damaged.db")}
    run(*NOTIFY, "--to", inbox.url, env={**beating(inbox, "/id"), **damaged})

    assert inbox.paths == ["/id/2", "/id/6", "/id/8"]


def test_a_dry_run_is_no_sign_of_life(run, shop: None, inbox: Any) -> None:
    run(*NOTIFY, "--to", inbox.url, "--dry-run", env=beating(inbox))

    assert inbox.paths == []


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_refusing_monitor_changes_nothing_and_is_asked_once(
    run, shop: None, inbox: Any, status: int
) -> None:
    inbox.status = status
    quiet = run(*NOTIFY, "--to", inbox.url, env=beating(inbox))
    loud = run(*NOTIFY, "--to", inbox.url, "-vv", env=beating(inbox))

    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert len(inbox.paths) == 2
    assert "the heartbeat was not taken" in loud.err
    assert "s3cr3tid" not in loud.err


def test_an_unreachable_monitor_changes_nothing(run, shop: None, inbox: Any) -> None:
    gone = {"WACOEX_HEARTBEAT_URL": "http://127.0.0.1:9/s3cr3tid"}
    done = run(*NOTIFY, "--to", inbox.url, "-v", env=gone)

    assert done.code == 0
    assert "the heartbeat was not taken" in done.err
    assert "s3cr3tid" not in done.err


def test_a_monitor_that_hangs_is_given_up(
    run, shop: None, inbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "PING_SECONDS", 0.1)
    inbox.hang()

    done = run(*NOTIFY, "--to", inbox.url, "-v", env=beating(inbox))

    assert done.code == 0
    assert "the heartbeat was not taken" in done.err


@pytest.mark.parametrize("url", ["s3cr3tid", "ftp://s3cr3tid/x", "http://", "http://s3cr3tid:x/"])
def test_what_is_no_url_is_warned_about_without_quoting_it(
    run, shop: None, inbox: Any, url: str
) -> None:
    done = run(*NOTIFY, "--to", inbox.url, env={"WACOEX_HEARTBEAT_URL": url})

    assert done.code == 0
    assert done.err == (
        "warning: `WACOEX_HEARTBEAT_URL` is no http or https URL, so no heartbeat is sent\n"
    )
