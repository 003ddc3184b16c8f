"""How much faster a broadcast is than a loop that sends one request after the other.

    python -m tests.bench.against_sequential

Both against the same server, one after the other, answers after 300 ms; about two minutes.
"""

from __future__ import annotations

import httpx

from tests.bench.figures import Arrivals, Figure, finish, show
from tests.bench.harness import AFTER_300_MS, Sandbox, bench, finished
from tests.bench.stalls import watched_stalls
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, PHONE_NUMBER_ID

LOOP_RECIPIENTS = 150
RECIPIENTS = 900


def send_in_a_loop(sandbox: Sandbox) -> Arrivals:
    """What people write first: one client, one request after the other."""
    with httpx.Client(
        headers={"Authorization": f"Bearer {DEFAULT_TOKEN}"}, trust_env=False
    ) as client:
        for number in range(LOOP_RECIPIENTS):
            message = {
                "messaging_product": "whatsapp",
                "to": f"+658{number:07}",
                "type": "template",
                "template": {"name": "opening_hours", "language": {"code": "en_US"}},
            }
            url = f"{sandbox.base_url}/v26.0/{PHONE_NUMBER_ID}/messages"
            client.post(url, json=message).raise_for_status()
    return sandbox.arrivals()


def main() -> None:
    """The loop first, then the broadcast."""
    with bench(AFTER_300_MS) as (sandbox, home):
        broadcast_id = home.plan(RECIPIENTS)
        loop = send_in_a_loop(sandbox)
        with watched_stalls() as stalls:
            finished(home.start_sending(broadcast_id))
        engine = sandbox.arrivals(since=len(loop.rows))
    ratio = engine.accepted_rate() / loop.accepted_rate()
    show(
        "a broadcast against a sequential loop",
        (
            Figure("times as fast", ratio, at_least=5.5, decimals=2),
            Figure("answers 130429, broadcast", engine.throttled(), at_most=0),
        ),
        str(stalls),
    )


if __name__ == "__main__":
    main()
    finish()
