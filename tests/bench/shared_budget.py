"""Two processes over one state file: one number's budget is shared, two numbers' are not.

    python -m tests.bench.shared_budget

600 recipients for each process; about two minutes in all.
"""

from __future__ import annotations

from tests.bench.figures import Arrivals, Figure, finish, show
from tests.bench.harness import AFTER_300_MS, bench, finished
from tests.bench.stalls import Stalls, watched_stalls
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, SECOND_PHONE_NUMBER_ID

RECIPIENTS = 600


def send_two(second_channel: str) -> tuple[Arrivals, Stalls]:
    """Send two broadcasts at once, the second one from that channel."""
    with bench(AFTER_300_MS) as (sandbox, home):
        first = home.plan(RECIPIENTS)
        other = home.plan(RECIPIENTS, first=RECIPIENTS, channel=second_channel)
        with watched_stalls() as stalls:
            for process in [home.start_sending(first), home.start_sending(other)]:
                finished(process)
        return sandbox.arrivals(), stalls


def figures(seen: Arrivals, recipients: int, of: str) -> tuple[Figure, ...]:
    """What is wanted of one number, however many processes send from it."""
    return (
        Figure(f"accepted{of}", len(seen.accepted_at), recipients, recipients),
        Figure(f"accepted per second{of}", seen.accepted_rate(), at_least=18.9, decimals=2),
        Figure(f"most arrivals in any second{of}", seen.most_in_a_second(), at_most=20),
        Figure(f"answers 130429{of}", seen.throttled(), at_most=0),
        Figure(f"taken twice{of}", seen.duplicates(), at_most=0),
    )


def main() -> None:
    """One number, then two."""
    together, stalls = send_two("first")
    wanted = figures(together, 2 * RECIPIENTS, " together")
    show("two processes, one number", wanted, str(stalls))
    apart, stalls = send_two("second")
    show(
        "two processes, two numbers",
        (
            *figures(apart.of(PHONE_NUMBER_ID), RECIPIENTS, ", first number"),
            *figures(apart.of(SECOND_PHONE_NUMBER_ID), RECIPIENTS, ", second number"),
        ),
        str(stalls),
    )


if __name__ == "__main__":
    main()
    finish()
