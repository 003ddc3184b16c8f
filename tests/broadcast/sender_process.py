"""A process that sends one broadcast as fast as it is told, made to be killed by a test.

python sender_process.py BASE_URL BROADCAST_ID MESSAGES_PER_SECOND EXCHANGE_SECONDS
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from wacoex_cli.broadcast import ledger
from wacoex_cli.broadcast.send import SendRequest, send
from wacoex_cli.channels import registry
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.http import Http
from wacoex_cli.foundation.secrets import Secret
from wacoex_cli.foundation.state import open_state
from wacoex_cli.platforms.meta import Meta


async def main(base_url: str, broadcast_id: int, rate: float, exchange_seconds: float) -> int:
    """Say `sending`, send what is still open, and give the exit status."""
    state = open_state(Path(os.environ["WACOEX_STATE"]))
    clock = SystemClock()
    http = Http(clock, log=lambda text: None, exchange_seconds=exchange_seconds)
    token = Secret(os.environ["WACOEX_META_TOKEN"], "the environment")
    broadcast = ledger.get(state, broadcast_id)
    print("sending", flush=True)
    sent = await send(
        state,
        Meta(http, token, base_url, "v26.0"),
        registry.active(state, broadcast.channel),
        broadcast,
        SendRequest(rate, limit=1_000.0),
        clock=clock,
        on_counts=lambda counts: None,
        on_signal=lambda text: None,
    )
    await http.aclose()
    state.close()
    return sent.exit_status


if __name__ == "__main__":
    url, number, messages_per_second, seconds = sys.argv[1:]
    sys.exit(asyncio.run(main(url, int(number), float(messages_per_second), float(seconds))))
