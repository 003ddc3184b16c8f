"""A process that sends one broadcast at a given rate, made to be killed by a test.

It sends through the provider of the broadcast's channel.

python sender_process.py BASE_URL BROADCAST_ID MESSAGES_PER_SECOND EXCHANGE_SECONDS
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Channel, Provider
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.http import Http
from wacoex_cli.foundation.secrets import Secret
from wacoex_cli.foundation.state import open_state
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.meta import Meta
from wacoex_cli.platforms.respondio import RespondIO
from wacoex_cli.sending.guards import SendOrder
from wacoex_cli.sending.providers import MetaProvider, RespondIOProvider, SendingProvider
from wacoex_cli.sending.run import send


async def main(base_url: str, broadcast_id: int, rate: float, exchange_seconds: float) -> int:
    """Say `sending`, send what is still open, and give the exit status."""
    state = open_state(Path(os.environ["WACOEX_STATE"]))
    clock = SystemClock()
    http = Http(clock, log=lambda text: None, exchange_seconds=exchange_seconds)
    broadcast = Broadcasts(state).get(broadcast_id)
    print("sending", flush=True)
    channel = registry.active(state, broadcast.channel)
    sent = await send(
        state,
        provider_for(channel, http, clock, base_url),
        channel,
        broadcast,
        SendOrder(rate, limit=1_000.0),
        clock=clock,
        on_counts=lambda counts: None,
        on_signal=lambda text: None,
    )
    await http.aclose()
    state.close()
    return sent.exit_status


def provider_for(
    channel: Channel, http: Http, clock: SystemClock, base_url: str
) -> SendingProvider:
    """The channel's provider, with the token of the environment."""
    if channel.provider is Provider.RESPONDIO:
        token = Secret(os.environ["WACOEX_RESPONDIO_TOKEN"], "the environment")
        url = os.environ["WACOEX_RESPONDIO_BASE_URL"]
        return RespondIOProvider(RespondIO(http, token, url, clock=clock), channel, url)
    token = Secret(os.environ["WACOEX_META_TOKEN"], "the environment")
    return MetaProvider(Meta(http, token, base_url, "v26.0"), channel, base_url)


if __name__ == "__main__":
    url, number, messages_per_second, seconds = sys.argv[1:]
    sys.exit(asyncio.run(main(url, int(number), float(messages_per_second), float(seconds))))
