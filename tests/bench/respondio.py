"""How well the sender keeps to a limit that respond.io's API tells in its headers.

    python -m tests.bench.respondio [--seconds 60]

5 and then 10 requests a second, answers after 300 ms; about two and a half minutes in all.
"""

from __future__ import annotations

import argparse

from tests.bench.figures import Figure, finish, show
from tests.bench.harness import AFTER_300_MS, bench, finished, phone
from tests.bench.stalls import watched_stalls
from wacoex_cli.platforms.respondio import SENDING

LIMITS = (5, 10)
MOST_REFUSED_SHARE = 1 / 200
LEAST_SHARE_OF_LIMIT = 95.0
TOO_MANY_REQUESTS = 429


def measure(limit: int, seconds: float) -> None:
    """Send one broadcast that takes so long at that limit, and print how it went."""
    recipients = round(limit * seconds)
    with bench(AFTER_300_MS) as (sandbox, home):
        home.send_through_respondio()
        contacts = [{"phone": phone(place), "firstName": "Ana"} for place in range(recipients)]
        sandbox.control("POST", "respondio", {"contacts": contacts, "limits": {SENDING: limit}})
        broadcast_id = home.plan(recipients)
        with watched_stalls() as stalls:
            said = finished(home.start_sending(broadcast_id))
        seen = sandbox.arrivals()
    refused = sum(row["code"] == TOO_MANY_REQUESTS for row in seen.rows)
    show(
        f"respond.io's API at {limit} requests a second",
        (
            Figure("accepted", len(seen.accepted_at), recipients, recipients),
            Figure(
                "share of the limit, percent",
                100 * seen.accepted_rate() / limit,
                at_least=LEAST_SHARE_OF_LIMIT,
                decimals=1,
            ),
            Figure(
                "answers 429 of 200",
                200 * refused / len(seen.rows),
                at_most=200 * MOST_REFUSED_SHARE,
                decimals=2,
            ),
            Figure("taken twice", seen.duplicates(), at_most=0),
            Figure(
                "rate as the command says, to the rate of the arrivals",
                said["rate"]["achieved"] / seen.accepted_rate(),
                0.95,
                1.05,
                decimals=2,
            ),
        ),
        str(stalls),
    )


def main() -> None:
    """Both limits, one after the other."""
    parser = argparse.ArgumentParser(description="The pace at respond.io's own limits.")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each takes")
    seconds = parser.parse_args().seconds
    for limit in LIMITS:
        measure(limit, seconds)


if __name__ == "__main__":
    main()
    finish()
