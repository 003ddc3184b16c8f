"""A sender that is killed at any moment: resume finds everybody, and nobody twice."""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from wacoex_cli.broadcast.engine import WINDOW
from wacoex_cli.broadcast.model import attempt_id, lock_purpose
from wacoex_cli.broadcast.store import Broadcasts
from wacoex_cli.foundation import locks
from wacoex_cli.sandbox.faults import Fault

if TYPE_CHECKING:
    from wacoex_cli.broadcast.model import Broadcast

DRIVER = Path(__file__).with_name("sender_process.py")
MESSAGES_PER_SECOND = 200
KILLS = 10


@dataclass
class Massacre:
    """Kills the sender of a broadcast again and again, and then lets it finish."""

    shop: Any
    broadcast: Broadcast
    exchange_seconds: float = 60.0
    in_flight: list[set[str]] = field(default_factory=list)

    def kill_after(self, seconds):
        """Start a sender and kill it so many seconds after it began; False when it had ended."""
        child = self.start()
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
        child.communicate()
        if child.returncode >= 0:
            return False
        self.in_flight.append(self.left_without_answer())
        return True

    def finish(self):
        """Let a last sender do the rest; returns its exit status."""
        child = self.start()
        child.communicate()
        return child.returncode

    def start(self):
        child = self.shop.start(
            DRIVER,
            self.shop.base_url,
            self.broadcast.broadcast_id,
            MESSAGES_PER_SECOND,
            self.exchange_seconds,
        )
        assert child.stdout.readline() == "sending\n"
        return child

    def left_without_answer(self):
        """The attempts that the dead sender let go, and whose answer is not recorded.

        One that died before it had taken over leaves those of the sender before it.
        """
        state, broadcast_id = self.shop.state, self.broadcast.broadcast_id
        purpose = lock_purpose(broadcast_id)
        held = state.row("SELECT holder FROM locks WHERE purpose = ?", [purpose])
        if held is None:
            return set()
        this_file, rows = Broadcasts(state).state_id, self.shop.rows(self.broadcast)
        return locks.remains_of(state.path, held["holder"], same_boot=True).notes & {
            attempt_id(this_file, broadcast_id, number, row["attempts"])
            for number, row in rows.items()
            if row["state"] == "sending"
        }

    def all_in_flight(self):
        """How many requests were in flight at all kills together."""
        return len(set().union(*self.in_flight))


def moments(seed):
    """When to kill: most in the middle of sending, some while the sender still begins."""
    chance = random.Random(seed)
    return [chance.uniform(0.0, 0.05 if n % 4 == 3 else 0.5) for n in range(KILLS)]


def accepted_at_the_server(shop):
    return {arrival.recipient for arrival in shop.world.log.accepted()}


def phones(shop, broadcast, *states):
    rows = shop.rows(broadcast).values()
    return {row["phone"] for row in rows if row["state"] in states}


def test_killed_at_random_moments_everybody_is_sent_to_and_nobody_twice(shop):
    broadcast = shop.planned(700)
    massacre = Massacre(shop, broadcast)
    kills = sum(massacre.kill_after(seconds) for seconds in moments(seed=1))
    status = massacre.finish()

    counts = shop.counts(broadcast)
    assert kills == KILLS
    assert shop.taken_twice() == []
    assert counts.get("ambiguous", 0) == massacre.all_in_flight()
    assert max(map(len, massacre.in_flight)) <= WINDOW + 1
    assert counts["accepted"] + counts.get("ambiguous", 0) == 700
    at_the_server = accepted_at_the_server(shop)
    assert phones(shop, broadcast, "accepted") <= at_the_server
    assert at_the_server <= phones(shop, broadcast, "accepted", "ambiguous")
    assert status == (7 if "ambiguous" in counts else 0)


def test_killed_amid_every_kind_of_trouble_nobody_is_sent_to_twice(shop, cli):
    shop.faults(
        *(
            Fault(kind, probability=0.01)
            for kind in ("hang", "reset_before", "reset_after", "server_error", "throttled")
        ),
        Fault("refuse", code=131026, probability=0.01),
        Fault("latency", seconds=0.0, seconds_max=0.1),
    )
    broadcast = shop.planned(700)
    massacre = Massacre(shop, broadcast, exchange_seconds=1.0)
    kills = sum(massacre.kill_after(seconds) for seconds in moments(seed=2))
    massacre.finish()

    counts = shop.counts(broadcast)
    assert kills == KILLS
    assert shop.taken_twice() == []
    assert counts.keys() <= {"accepted", "ambiguous", "rejected"}
    assert sum(counts.values()) == 700
    at_the_server = accepted_at_the_server(shop)
    assert phones(shop, broadcast, "accepted") <= at_the_server
    assert at_the_server <= phones(shop, broadcast, "accepted", "ambiguous")
    told = cli("broadcast", "reconcile", broadcast.broadcast_id, "--json").data
    assert {row["phone"] for row in told["rows"]} == phones(shop, broadcast, "ambiguous")
    assert told["ambiguous"] == counts["ambiguous"]


@pytest.mark.parametrize("decision", ["sent", "not-sent"])
def test_after_a_kill_a_person_settles_what_is_open_and_it_is_done(shop, cli, decision):
    shop.faults(Fault("hang"))
    broadcast = shop.planned(20)
    massacre = Massacre(shop, broadcast)
    assert massacre.kill_after(1.0)
    shop.faults()
    massacre.finish()
    assert shop.counts(broadcast)["ambiguous"] == massacre.all_in_flight() > 0

    cli("broadcast", "reconcile", 1, "--as", decision, "--yes")
    assert "ambiguous" not in shop.counts(broadcast)
    attempts = [arrival.biz_opaque_callback_data for arrival in shop.world.log.arrivals]
    assert len(attempts) == len(set(attempts)) <= 20, "and nothing was sent again"
