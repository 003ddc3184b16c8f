"""How many signed webhooks a second the listener stores, and that none it answered is lost.

    python -m tests.bench.listen

20 connections of a client in a process of its own: 12 seconds of load, then a load that ends
with `kill -9` of the listener; about half a minute in all.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import multiprocessing
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.bench.figures import Figure, finish, show

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS = 20
SECONDS = 12.0
SECONDS_BEFORE_KILL = 4.0

_CHECKOUT = Path(__file__).parents[2]
_SECRET = "bench-app-secret-0123456789"
_DELIVERIES = 30_000
_OK = b"HTTP/1.1 200"


def value(number: int) -> dict[str, Any]:
    """What one delivery tells: mostly statuses, as in the life of a number."""
    stamp = str(1_790_000_000 + number // 100)
    metadata = {"display_phone_number": "6560000001", "phone_number_id": "106000000000001"}
    person = f"659{number * 7919 % 10_000_000:07}"
    common = {"messaging_product": "whatsapp", "metadata": metadata}
    if number % 4 == 3:
        message = {
            "from": person,
            "id": f"wamid.{number}",
            "timestamp": stamp,
            "type": "text",
            "text": {"body": "When do you open on Sunday?"},
        }
        contact = {"profile": {"name": "Ana"}, "wa_id": person}
        return {**common, "contacts": [contact], "messages": [message]}
    status = {
        "id": f"wamid.{number}",
        "status": "delivered",
        "timestamp": stamp,
        "recipient_id": person,
        "biz_opaque_callback_data": f"wacoex-bench-1-{number}-1",
        "pricing": {"billable": True, "pricing_model": "PMP", "category": "marketing"},
    }
    return {**common, "statuses": [status]}


def request(number: int) -> bytes:
    """A whole signed request as Meta sends it."""
    change = {"field": "messages", "value": value(number)}
    entry = {"id": "104000000000001", "time": 1_790_000_000, "changes": [change]}
    body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
    signed = hmac.new(_SECRET.encode(), body, hashlib.sha256).hexdigest()
    head = (
        "POST /webhooks/meta HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: facebookexternalua\r\n"
        "Content-Type: application/json\r\nAccept: */*\r\n"
        f"X-Hub-Signature-256: sha256={signed}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def load(port: int, seconds: float, results: Any) -> None:
    """Deliver over all connections until the time is over or the listener is gone.

    Puts on `results` the number of each delivery that got its 200, and how many seconds it took.
    """
    requests = [request(number) for number in range(_DELIVERIES)]
    results.put("ready")
    results.put(asyncio.run(_deliver(port, seconds, requests)))


async def _deliver(port: int, seconds: float, requests: list[bytes]) -> list[tuple[int, float]]:
    waiting = iter(enumerate(requests))
    answered: list[tuple[int, float]] = []
    end = time.monotonic() + seconds

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            for number, whole in waiting:
                started = time.monotonic()
                if started > end:
                    break
                writer.write(whole)
                head = await reader.readuntil(b"\r\n\r\n")
                if not head.startswith(_OK):
                    raise SystemExit(f"the listener answered {head!r}")
                answered.append((number, time.monotonic() - started))
        writer.close()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return answered


@contextlib.contextmanager
def listener(state: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`wacoex events listen` as a child, and its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(state.parent),
        "PYTHONPATH": str(_CHECKOUT),
        "WACOEX_CONFIG_DIR": str(state.parent),
        "WACOEX_STATE": str(state),
        "WACOEX_KEYRING": "off",
        "WACOEX_META_APP_SECRET": _SECRET,
    }
    words = ("-m", "wacoex_cli", "events", "listen", "--port", str(port), "--quiet")
    child = subprocess.Popen(
        [sys.executable, *words], cwd=state.parent, env=environ, stdout=subprocess.DEVNULL
    )
    try:
        with httpx.Client(trust_env=False) as client:
            while not _answers(client, port):
                if child.poll() is not None:
                    sys.exit("the listener did not start")
                time.sleep(0.05)
        yield child, port
    finally:
        child.terminate()
        child.wait()


def _answers(client: httpx.Client, port: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return client.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    return False


def delivered(port: int, child: subprocess.Popen[bytes] | None) -> list[tuple[int, float]]:
    """Run the client; with a child, that one is killed during the load."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    seconds = SECONDS if child is None else SECONDS * 2
    client = context.Process(target=load, args=(port, seconds, results))
    client.start()
    results.get()
    if child is not None:
        time.sleep(SECONDS_BEFORE_KILL)
        child.kill()
    answered: list[tuple[int, float]] = results.get()
    client.join()
    return answered


def lost(state: Path, answered: list[tuple[int, float]]) -> int:
    """How many deliveries got a 200 and are not in the state file."""
    with contextlib.closing(sqlite3.connect(state)) as db:
        kept = {key.split(":", 2)[2] for (key,) in db.execute("SELECT event_key FROM events")}
    reported = {name.removesuffix(":delivered") for name in kept}
    return sum(f"wamid.{number}" not in reported for number, _ in answered)


def most_memory(process: subprocess.Popen[bytes]) -> float:
    """The most memory the process ever had, in MiB; 0 where the system gives no figure."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    return 0.0


def main() -> None:
    """The rate and the answers, then what a kill leaves."""
    with tempfile.TemporaryDirectory(prefix="wacoex-bench-") as name:
        state = Path(name) / "wacoex.db"
        with listener(state) as (process, port):
            answered = delivered(port, None)
            memory = most_memory(process)
        milliseconds = sorted(seconds * 1000 for _, seconds in answered)
        show(
            f"signed webhooks over {CONNECTIONS} connections for {SECONDS:g} seconds",
            (
                Figure("stored and answered per second", len(answered) / SECONDS, at_least=500),
                Figure(
                    "median answer, ms", statistics.median(milliseconds), at_most=50, decimals=1
                ),
                Figure("answered and lost", lost(state, answered), at_most=0),
                Figure("memory of the listener, MiB", memory, at_most=150),
            ),
        )
    with tempfile.TemporaryDirectory(prefix="wacoex-bench-") as name:
        state = Path(name) / "wacoex.db"
        with listener(state) as (child, port):
            answered = delivered(port, child)
        show(
            f"kill -9 after {SECONDS_BEFORE_KILL:g} seconds of load",
            (
                Figure("answered before the kill", len(answered), at_least=1),
                Figure("answered and lost", lost(state, answered), at_most=0),
            ),
        )


if __name__ == "__main__":
    main()
    finish()
