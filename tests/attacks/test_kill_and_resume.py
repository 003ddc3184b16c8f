"""The sender dies again and again: nobody is sent to twice, nobody is lost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.bench.harness import phone

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
