"""What fifty kills of a sending process do: nobody sent to twice, nobody lost.

    python -m tests.bench.kills

1,000 recipients, sent by the real command at 20 a second and resumed after each `kill -9`, once
on a network without faults and once amid faults; about five minutes in all.
"""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from tests.bench.figures import Figure, finish, show
from tests.bench.harness import AFTER_300_MS, bench, finished
from wacoex_cli.foundation.locks import remains_of
from wacoex_cli.ledger.model import attempt_id, lock_purpose

if TYPE_CHECKING:
    from tests.bench.harness import Home, Sandbox

RECIPIENTS = 1_000
KILLS = 50
# Of the faults one percent each: one refuses for good, three leave it open. At most this many are
# expected, with three standard deviations (0.1 % of the runs have more).
REFUSED, UNANSWERED = 10 + 9, 30 + 16
TROUBLE: tuple[dict[str, Any], ...] = (
    *(
        {"kind": kind, "probability": 0.01}
        for kind in ("hang", "reset_before", "reset_after", "server_error", "throttled")
    ),
    {"kind": "refuse", "code": 131026, "probability": 0.01},
)


def left_without_answer(home: Home, broadcast_id: int) -> set[str]:
    """Attempts whose request a dead sender let go and whose answer it did not record."""
    with closing(sqlite3.connect(home.state)) as db:
        this_file = db.execute("SELECT value FROM about WHERE key = 'state_id'").fetchone()[0]
        purpose = lock_purpose(broadcast_id)
        held = db.execute("SELECT holder FROM locks WHERE purpose = ?", [purpose]).fetchone()
        sending = db.execute(
            "SELECT row, attempts FROM recipients WHERE broadcast_id = ? AND state = 'sending'",
            [broadcast_id],
        ).fetchall()
    notes = remains_of(home.state, held[0], same_boot=True).notes if held else frozenset()
    return {attempt_id(this_file, broadcast_id, *row) for row in sending} & notes


def sender(home: Home, broadcast_id: int, *, is_first: bool) -> subprocess.Popen[str]:
    """Start the command that sends it, or goes on with it."""
    verb = "send" if is_first else "resume"
    return home.start("broadcast", verb, str(broadcast_id), "--rate", "20", "--yes")


def kill_again_and_again(sandbox: Sandbox, home: Home, broadcast_id: int) -> list[set[str]]:
    """Kill the sender at random moments; returns the attempts in flight each time.

    A sender that dies before it has taken over leaves those of the one before as they are.
    """
    chance = random.Random(50)
    in_flight: list[set[str]] = []
    while len(in_flight) < KILLS:
        before = sandbox.control("GET", "summary")["arrivals"]
        process = sender(home, broadcast_id, is_first=not before)
        if len(in_flight) % 5 < 4:  # every fifth one dies while it starts
            while sandbox.control("GET", "summary")["arrivals"] == before:
                if process.poll() is not None:
                    sys.exit(f"the sender ended by itself\n{process.communicate()}")
                time.sleep(0.02)
        time.sleep(chance.uniform(0.0, 1.2))
        process.kill()
        process.communicate()
        in_flight.append(left_without_answer(home, broadcast_id))
    return in_flight


def measure(title: str, *faults: dict[str, Any]) -> None:
    """Kill, let the last sender finish, and print what happened to everybody."""
    with bench(AFTER_300_MS, *faults) as (sandbox, home):
        broadcast_id = int(home.plan(RECIPIENTS))
        in_flight = kill_again_and_again(sandbox, home, broadcast_id)
        counts = finished(sender(home, broadcast_id, is_first=False), interrupted=True)["counts"]
        taken = {row["recipient"] for row in sandbox.arrivals().rows if row["accepted"]}
        twice = sandbox.arrivals().duplicates()
    settled = counts["accepted"] + counts["ambiguous"] + counts["rejected"]
    together = len(set().union(*in_flight))
    show(
        title,
        (
            Figure("kills", len(in_flight), KILLS, KILLS),
            Figure("taken by the server", len(taken), at_least=counts["accepted"]),
            Figure("taken twice", twice, at_most=0),
            Figure("lost", RECIPIENTS - settled, at_most=0),
            Figure("rejected", counts["rejected"], at_most=REFUSED if faults else 0),
            Figure(
                "ambiguous",
                counts["ambiguous"],
                at_most=together + (UNANSWERED if faults else 0),
            ),
            Figure("most in flight at a kill", max(map(len, in_flight)), at_most=64),
        ),
    )


def main() -> None:
    """Without faults, then with one percent each of six."""
    measure("50 kills, answers after 300 ms")
    measure("50 kills amid faults", *TROUBLE)


if __name__ == "__main__":
    main()
    finish()
