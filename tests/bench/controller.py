"""How the pace follows the server: a limit that falls and returns, strays, `Retry-After`.

    python -m tests.bench.controller

About six minutes in all; answers come after 300 ms.
"""

from __future__ import annotations

import bisect
import signal
import time

from tests.bench.figures import Figure, finish, seconds_until_rate, show
from tests.bench.harness import AFTER_300_MS, Sandbox, bench, finished

FULL, FALLEN = 20, 5
BEFORE_SECONDS, FALLEN_SECONDS, SETTLING_SECONDS = 40.0, 60.0, 10.0
LONGEST_RECOVERY_SECONDS = 150.0
WINDOW_SECONDS = 5.0
RECOVERED_RATE = 18.0
ASKED_SECONDS = 5.0


def falling_limit() -> None:
    """The server takes 20 a second, then 5, then 20 again."""
    with bench(AFTER_300_MS) as (sandbox, home):
        sending = home.start_sending(home.plan(5_000))
        sandbox.await_first_arrival()
        time.sleep(BEFORE_SECONDS)
        fell = sandbox.limit(FALLEN)
        time.sleep(FALLEN_SECONDS)
        returned = sandbox.limit(FULL)
        recovery = _await_recovery(sandbox, returned)
        sending.send_signal(signal.SIGINT)
        finished(sending, interrupted=True)
        seen = sandbox.arrivals()
    settled = seen.between(fell + SETTLING_SECONDS, returned)
    refused = 100 * settled.throttled() / len(settled.rows)
    show(
        f"the limit falls to {FALLEN} for {FALLEN_SECONDS:.0f} s",
        (
            Figure(
                f"refused after {SETTLING_SECONDS:.0f} s, percent", refused, at_most=5, decimals=1
            ),
            Figure(
                f"accepted per second after {SETTLING_SECONDS:.0f} s",
                settled.accepted_rate(),
                at_least=4,
                decimals=2,
            ),
            Figure(f"seconds until above {RECOVERED_RATE:g}/s", recovery, at_most=120),
            Figure("taken twice", seen.duplicates(), at_most=0),
        ),
    )


def _await_recovery(sandbox: Sandbox, returned: float) -> float:
    """Seconds until the last five seconds were fast enough; infinite when it takes too long."""
    since = len(sandbox.arrivals().rows)
    while time.monotonic() < returned + LONGEST_RECOVERY_SECONDS:
        time.sleep(WINDOW_SECONDS / 2)
        accepted = sandbox.arrivals(since).accepted_at
        found = seconds_until_rate(accepted, returned, RECOVERED_RATE, WINDOW_SECONDS)
        if found < float("inf"):
            return found
    return float("inf")


def strays() -> None:
    """One percent of all messages is refused for reasons that no pace can change."""
    recipients = 2_400
    stray = {"kind": "throttled", "probability": 0.01}
    with bench(AFTER_300_MS, stray) as (sandbox, home):
        finished(home.start_sending(home.plan(recipients)))
        seen = sandbox.arrivals()
    show(
        "one percent of stray refusals",
        (
            Figure("accepted", len(seen.accepted_at), recipients, recipients),
            Figure("accepted per second", seen.accepted_rate(), at_least=16, decimals=2),
            Figure("most arrivals in any second", seen.most_in_a_second(), at_most=20),
        ),
    )


def retry_after() -> None:
    """One refusal in the middle asks to wait five seconds."""
    asking = {
        "kind": "throttled",
        "arrivals": [200],
        "headers": {"Retry-After": f"{ASKED_SECONDS:.0f}"},
    }
    with bench(AFTER_300_MS, asking) as (sandbox, home):
        finished(home.start_sending(home.plan(500)))
        seen = sandbox.arrivals()
    refused_at = next(row["at"] for row in seen.rows if row["outcome"] == "throttled")
    answered_at = refused_at + AFTER_300_MS["seconds"]
    # A request may be on its way while the answer is.
    silent_from = max(at for at in seen.at if at <= answered_at + 0.02)
    next_at = seen.at[bisect.bisect_right(seen.at, silent_from)]
    show(
        f"`Retry-After: {ASKED_SECONDS:.0f}` on one refusal",
        (
            Figure(
                "seconds from the answer to the next arrival",
                next_at - answered_at,
                at_least=ASKED_SECONDS,
                decimals=3,
            ),
            Figure("most arrivals in any second", seen.most_in_a_second(), at_most=20),
            Figure("answers 130429", seen.throttled(), at_most=1),
        ),
    )


def main() -> None:
    """All three."""
    falling_limit()
    strays()
    retry_after()


if __name__ == "__main__":
    main()
    finish()
