"""The sender dies again and again: nobody is sent to twice, nobody is lost."""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.bench.harness import phone
from tests.bench.kills import left_without_answer

if TYPE_CHECKING:
    from tests.attacks.conftest import Attack


@pytest.mark.parametrize(
    ("people", "kills"), [(40, 2), pytest.param(400, 15, marks=pytest.mark.slow)]
)
def test_a_sender_is_killed_and_resumed(attack: Attack, people: int, kills: int) -> None:
    path = attack.write_list(people)
    plan = ("broadcast", "plan", str(path), "--template", "order_ready", "--lang", "en_US")
    planned = attack.run(*plan, "--param", "1=name", "--param", "2=id", "-c", "first")
    number = str(planned.data["broadcast_id"])
    for place in range(kills):
        verb = "resume" if place else "send"
        process = attack.home.start("broadcast", verb, number, "--yes")
        before = attack.sandbox.control("GET", "summary")["arrivals"]
        while attack.sandbox.control("GET", "summary")["arrivals"] < before + 5:
            time.sleep(0.02)
        process.kill()
        attack.end(process)
    ended = attack.run("broadcast", "resume", number, "--yes")
    assert ended.data["status"] == "completed"
    doubtful = ended.data["counts"]["ambiguous"]
    attack.judge([phone(place) for place in range(people)], open_rows=doubtful)


@pytest.mark.parametrize(
    ("people", "kills"), [(20, 2), pytest.param(400, 50, marks=pytest.mark.slow)]
)
@pytest.mark.timeout(900)
def test_a_sender_of_three_broadcasts_is_killed_and_resumed(
    attack: Attack, people: int, kills: int
) -> None:
    """As often as not it dies while it starts; what was on its way then is all that is in doubt."""
    chance = random.Random(kills)
    channels = ("first", "first", "second")
    ids = [
        attack.home.plan(people, first=place * people, channel=channel)
        for place, channel in enumerate(channels)
    ]
    on_their_way: set[str] = set()
    for place in range(kills):
        process = attack.home.start("broadcast", "resume" if place else "send", *ids, "--yes")
        before = attack.sandbox.control("GET", "summary")["arrivals"]
        if place % 2 == 0:
            while attack.sandbox.control("GET", "summary")["arrivals"] < before + 5:
                time.sleep(0.02)
        else:
            time.sleep(chance.uniform(0.0, 2.0))
        process.kill()
        attack.end(process)
        for number in map(int, ids):
            on_their_way |= left_without_answer(attack.home, number)

    ended = attack.run("broadcast", "resume", *ids, "--yes", patience=120.0)

    assert ended.code in (0, 7), ended.err
    with closing(sqlite3.connect(attack.home.state)) as db:
        statuses = {status for (status,) in db.execute("SELECT status FROM broadcasts")}
        sql = "SELECT COUNT(*) FROM recipients WHERE state = 'ambiguous'"
        in_doubt = db.execute(sql).fetchone()[0]
    assert statuses == {"completed"}
    assert in_doubt <= len(on_their_way)
    attack.judge([phone(place) for place in range(3 * people)], open_rows=in_doubt)
