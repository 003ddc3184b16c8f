"""The pace in bad times: storms of refusals, a lasting lower limit, a busy computer.

    python -m tests.bench.storms         all of it, about fifteen minutes
    python -m tests.bench.storms busy    only the part beside two busy processes

Answers come after 300 ms. The server dates what arrives; it has priority where the system
allows that, and a run in which the server itself was held up is repeated.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.bench.figures import Figure, finish, seconds_until_rate, show
from tests.bench.harness import AFTER_300_MS, Home, Sandbox, bench, finished, preferred

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.figures import Arrivals

STORMS_SECONDS = (5.0, 20.0, 60.0, 120.0)
BEFORE_SECONDS, AFTER_SECONDS = 20.0, 45.0
WINDOW_SECONDS = 5.0
LASTING, LASTING_SECONDS, SETTLING_SECONDS = 5, 180.0, 10.0
RECIPIENTS, RUNS, HOGS = 600, 3, 2
LONGEST_STALL_SECONDS = 0.020
MOST_REPEATED = 6

_ALL_REFUSED = 0
_FULL = 20
_HOG = "while True: pass"


def storm(seconds: float) -> None:
    """Everything is refused for so long."""
    with bench(AFTER_300_MS) as (sandbox, home):
        sending = home.start_sending(home.plan(6_000))
        sandbox.await_first_arrival()
        time.sleep(BEFORE_SECONDS)
        sandbox.limit(_ALL_REFUSED)
        time.sleep(seconds)
        ended = sandbox.limit(_FULL)
        time.sleep(AFTER_SECONDS)
        sending.send_signal(signal.SIGINT)
        finished(sending, interrupted=True)
        seen = sandbox.arrivals()
    show(
        f"everything is refused for {seconds:.0f} s",
        (
            Figure(
                "seconds until above 15/s", _recovery(seen, ended, 15.0), at_most=30, decimals=1
            ),
            Figure("most arrivals in any second", seen.most_in_a_second(), at_most=20),
            Figure("taken twice", seen.duplicates(), at_most=0),
        ),
    )


def _recovery(seen: Arrivals, since: float, rate: float) -> float:
    accepted = [at for at in seen.accepted_at if at >= since]
    return seconds_until_rate(accepted, since, rate, WINDOW_SECONDS)


def lasting_limit() -> None:
    """From the beginning on no more than five a second are taken."""
    with bench(AFTER_300_MS) as (sandbox, home):
        sandbox.limit(LASTING)
        sending = home.start_sending(home.plan(2_000))
        sandbox.await_first_arrival()
        time.sleep(LASTING_SECONDS)
        sending.send_signal(signal.SIGINT)
        finished(sending, interrupted=True)
        seen = sandbox.arrivals()
    first = seen.at[0]
    settled = seen.between(first + SETTLING_SECONDS, first + LASTING_SECONDS)
    tens = [
        len(settled.between(first + at, first + at + 10.0).accepted_at) / 10.0
        for at in range(int(SETTLING_SECONDS), int(LASTING_SECONDS) - 10, 10)
    ]
    show(
        f"{LASTING} a second are taken, for {LASTING_SECONDS:.0f} s",
        (
            Figure(
                f"refused after {SETTLING_SECONDS:.0f} s, percent",
                100 * settled.throttled() / len(settled.rows),
                at_most=5,
                decimals=1,
            ),
            Figure("slowest ten seconds, accepted per second", min(tens), at_least=4, decimals=1),
            Figure("taken twice", seen.duplicates(), at_most=0),
        ),
    )


@contextlib.contextmanager
def _hogs(number: int) -> Iterator[None]:
    """This many processes beside it that take all the time they get."""
    hogs = [subprocess.Popen([sys.executable, "-c", _HOG]) for _ in range(number)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def _send_all(sandbox: Sandbox, home: Home, hogs: int) -> tuple[Arrivals, float]:
    """Send one broadcast; what arrived, and for how long the server was held up at most."""
    broadcast_id = home.plan(RECIPIENTS)
    with _hogs(hogs):
        finished(home.start_sending(broadcast_id))
    seen = sandbox.arrivals()
    return seen, sandbox.longest_stall(seen.at[0], seen.at[-1])


def busy(hogs: int, at_least: float) -> None:
    """Three runs beside this many processes that take all they get."""
    beside = f"beside {hogs} busy processes" if hogs else "on a computer that does nothing else"
    repeated, run = 0, 1
    while run <= RUNS:
        with bench(AFTER_300_MS) as (sandbox, home):
            if not preferred(sandbox.process):
                print("  the server goes before nobody: the system does not allow it")
            seen, stall = _send_all(sandbox, home, hogs)
        if stall > LONGEST_STALL_SECONDS and repeated < MOST_REPEATED:
            repeated += 1
            print(f"  the server was held up for {1000 * stall:.0f} ms: once more", flush=True)
            continue
        show(
            f"600 messages {beside}, run {run} of {RUNS}",
            (
                Figure("accepted", len(seen.accepted_at), RECIPIENTS, RECIPIENTS),
                Figure("accepted per second", seen.accepted_rate(), at_least=at_least, decimals=2),
                Figure("most arrivals in any second", seen.most_in_a_second(), at_most=20),
                Figure("answers 130429", seen.throttled(), at_most=0),
                Figure("taken twice", seen.duplicates(), at_most=0),
                Figure("longest stall of the server, ms", 1000 * stall, at_most=20, decimals=1),
            ),
        )
        run += 1


def main(*parts: str) -> None:
    """All of it, or the parts named `storms`, `limit`, `busy`."""
    wanted = parts or ("storms", "limit", "busy")
    if "storms" in wanted:
        for seconds in STORMS_SECONDS:
            storm(seconds)
    if "limit" in wanted:
        lasting_limit()
    if "busy" in wanted:
        busy(HOGS, at_least=17.0)
        busy(0, at_least=18.9)


if __name__ == "__main__":
    main(*sys.argv[1:])
    finish()
