"""One state file under two names, and helpers of its locks that somebody removed: one sender."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.harness import phone
from wacoex_cli.foundation.locks import presence_directory

if TYPE_CHECKING:
    from tests.attacks.conftest import Attack

PEOPLE = 40
SLOWLY = ("--rate", "4")
"""Another command starts and ends while this one sends."""


def everybody() -> list[str]:
    return [phone(place) for place in range(PEOPLE)]


def await_arrivals(attack: Attack, least: int) -> None:
    while attack.sandbox.control("GET", "summary")["arrivals"] < least:
        time.sleep(0.01)


def test_a_symbolic_link_and_the_real_name_at_once(attack: Attack) -> None:
    number = attack.home.plan(PEOPLE)
    elsewhere = attack.home.directory / "elsewhere"
    elsewhere.mkdir()
    link = elsewhere / "link.db"
    link.symlink_to(attack.home.state)

    first = attack.home.start("broadcast", "send", number, "--yes")
    second = attack.home.start(
        "broadcast", "send", number, "--yes", environ={"WACOEX_STATE": str(link)}
    )
    codes = sorted([attack.end(first).code, attack.end(second).code])

    assert codes[0] == 0
    assert codes[1] != 0
    assert [path.name for path in elsewhere.iterdir()] == ["link.db"]
    attack.judge(everybody())


def test_a_hard_link_is_refused(attack: Attack) -> None:
    number = attack.home.plan(PEOPLE)
    elsewhere = attack.home.directory / "elsewhere"
    elsewhere.mkdir()
    link = elsewhere / "wacoex.db"
    os.link(attack.home.state, link)

    for path in (attack.home.state, link):
        environ = {"WACOEX_STATE": str(path)}
        refused = attack.run("broadcast", "send", number, "--yes", environ=environ)
        assert (refused.code, refused.codes) == (8, ["state_linked"])
    link.unlink()
    assert attack.run("broadcast", "send", number, "--yes").code == 0
    attack.judge(everybody())


def test_the_shared_memory_file_is_removed_under_a_sender(attack: Attack) -> None:
    number = attack.home.plan(PEOPLE)
    first = attack.home.start("broadcast", "send", number, "--yes", *SLOWLY)
    await_arrivals(attack, 5)
    Path(f"{attack.home.state}-shm").unlink()

    second = attack.run("broadcast", "resume", number, "--yes")
    assert second.code in (5, 6, 8), second.err
    assert attack.end(first).code in (0, 8)
    third = attack.run("broadcast", "resume", number, "--yes")
    open_rows = third.data["counts"]["ambiguous"] if third.data else 0
    attack.judge(everybody(), open_rows=open_rows)


def test_the_row_of_the_lock_is_removed_under_a_sender(attack: Attack) -> None:
    import sqlite3

    number = attack.home.plan(PEOPLE)
    first = attack.home.start("broadcast", "send", number, "--yes", *SLOWLY)
    await_arrivals(attack, 5)
    with sqlite3.connect(attack.home.state) as connection:
        connection.execute("DELETE FROM locks")
    connection.close()

    second = attack.run("broadcast", "resume", number, "--yes")
    attack.end(first)
    third = attack.run("broadcast", "resume", number, "--yes")
    shown = attack.run("broadcast", "show", number)
    assert "locked" in second.codes or second.data["status"] == "completed", third.err
    attack.judge(everybody(), open_rows=shown.data["counts"]["ambiguous"])


def test_the_directory_of_presences_is_removed_under_a_sender(attack: Attack) -> None:
    number = attack.home.plan(PEOPLE)
    first = attack.home.start("broadcast", "send", number, "--yes", *SLOWLY)
    await_arrivals(attack, 5)
    shutil.rmtree(presence_directory(attack.home.state))

    second = attack.run("broadcast", "resume", number, "--yes")
    assert (second.code, second.codes) == (6, ["locked"])
    attack.end(first)
    assert attack.run("broadcast", "resume", number, "--yes").data["status"] == "completed"
    attack.judge([phone(place) for place in range(PEOPLE)])
