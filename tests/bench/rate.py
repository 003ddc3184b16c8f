"""How close to 20 a second a broadcast comes, and whether the server ever sees more.

    python -m tests.bench.rate

500 recipients each, sent by the real command; about a minute and a half in all.
"""

from __future__ import annotations

from typing import Any

from tests.bench.figures import Figure, finish, show
from tests.bench.harness import AFTER_300_MS, bench, finished
from tests.bench.stalls import watched_stalls

RECIPIENTS = 500


def measure(title: str, *faults: dict[str, Any], most_throttled: int = 0) -> None:
    """Send one broadcast and print how it went."""
    with bench(*faults) as (sandbox, home):
        broadcast_id = home.plan(RECIPIENTS)
        with watched_stalls() as stalls:
            said = finished(home.start_sending(broadcast_id))
        seen = sandbox.arrivals()
    show(
        f"{title} (longest stall of this machine: {1000 * stalls.longest:.0f} ms)",
        (
            Figure("accepted", len(seen.accepted_at), RECIPIENTS, RECIPIENTS),
            Figure("accepted per second", seen.accepted_rate(), at_least=18.9, decimals=2),
            Figure(
                "most arrivals in any second", seen.most_in_a_second(), at_most=20 + most_throttled
            ),
            Figure("answers 130429", seen.throttled(), at_most=most_throttled),
            Figure("taken twice", seen.duplicates(), at_most=0),
            Figure(
                "most in a second, as the command says", said["rate"]["peak_in_one_second"], 0, 20
            ),
            Figure(
                "rate, as the command says", said["rate"]["achieved"], at_least=18.9, decimals=2
            ),
        ),
        str(stalls),
    )


def main() -> None:
    """Three networks: steady, with slow answers of any length, with jitter on the way."""
    measure("answers after 300 ms", AFTER_300_MS)
    slow = {"kind": "latency", "seconds": 0.08, "seconds_max": 0.8}
    measure("answers after 80 to 800 ms", slow)
    jitter = {"kind": "arrival_jitter", "seconds": 0.0, "seconds_max": 0.01}
    measure("answers after 300 ms, 0 to 10 ms jitter", AFTER_300_MS, jitter, most_throttled=3)


if __name__ == "__main__":
    main()
    finish()
