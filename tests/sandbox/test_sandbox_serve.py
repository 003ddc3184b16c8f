"""The sandbox on a real socket, where connections break, hang and drip."""

from __future__ import annotations

import ast
import asyncio
import http.client
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import wacoex_cli.sandbox
from wacoex_cli.errors import TemporaryError
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, PHONE_NUMBER_ID, WABA_ID, World

HEADERS = {"Authorization": f"Bearer {DEFAULT_TOKEN}"}

MESSAGES = f"/v26.0/{PHONE_NUMBER_ID}/messages"


def message(to: str = "+6591234567") -> dict[str, Any]:
    return {"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": "Hello"}}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[World, str]]:
    world = default_world()
    with running(world) as base_url:
        yield world, base_url


@pytest.fixture
def world(served: tuple[World, str]) -> World:
    served[0].reset()
    return served[0]


@pytest.fixture
def client(served: tuple[World, str], world: World) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served[1], headers=HEADERS, timeout=5, trust_env=False) as client:
        yield client


def test_a_message_travels_over_a_loopback_socket(client: httpx.Client, world: World) -> None:
    response = client.post(MESSAGES, json=message())

    assert response.status_code == 200
    assert response.headers["X-Wacoex-Sandbox"] == "1"
    assert "server" not in response.headers
    assert world.log.arrivals[0].accepted
    assert client.base_url.host == "127.0.0.1"


@pytest.mark.parametrize(("kind", "taken"), [("reset_before", False), ("reset_after", True)])
def test_a_connection_is_reset_before_or_after_the_message_is_taken(
    client: httpx.Client, world: World, kind: str, taken: bool
) -> None:
    world.faults.replace([Fault(kind, count=1)])

    with pytest.raises(httpx.ReadError):
        client.post(MESSAGES, json=message())

    assert (world.log.arrivals[0].outcome, world.log.arrivals[0].accepted) == (kind, taken)
    assert client.post(MESSAGES, json=message("+6591234568")).status_code == 200


def test_a_reset_connection_is_really_reset(client: httpx.Client, world: World) -> None:
    world.faults.replace([Fault("reset_before", on="all")])
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port or 0)

    connection.request("GET", f"/{WABA_ID}")
    with pytest.raises(ConnectionResetError):
        connection.getresponse()

    connection.close()


def test_a_hanging_request_never_answers_but_the_message_is_taken(
    client: httpx.Client, world: World
) -> None:
    world.faults.replace([Fault("hang", count=1)])

    with pytest.raises(httpx.ReadTimeout):
        client.post(MESSAGES, json=message(), timeout=0.1)

    assert (world.log.arrivals[0].outcome, world.log.arrivals[0].accepted) == ("hang", True)
    assert client.post(MESSAGES, json=message("+6591234568")).status_code == 200


def test_reads_can_hang_too(client: httpx.Client, world: World) -> None:
    world.faults.replace([Fault("hang", on="reads")])

    with pytest.raises(httpx.ReadTimeout):
        client.get(f"/{WABA_ID}", timeout=0.1)


def test_a_slow_answer_drips_in_pieces(client: httpx.Client, world: World) -> None:
    world.faults.replace([Fault("slow_answer", seconds=0.2)])

    with client.stream("POST", MESSAGES, json=message()) as response:
        assert response.status_code == 200
        pieces = [piece for piece in response.iter_raw() if piece]

    assert len(pieces) > 1
    assert len(b"".join(pieces)) == int(response.headers["Content-Length"])


def test_a_delayed_answer_does_not_hold_up_the_others(client: httpx.Client, world: World) -> None:
    slow, fast = "+6591234567", "+6591234568"
    world.faults.replace([Fault("latency", seconds=0.3, recipients=frozenset({slow}))])

    async def answered_in_order() -> list[str]:
        done: list[str] = []

        async def send(session: httpx.AsyncClient, to: str) -> None:
            await session.post(MESSAGES, json=message(to))
            done.append(to)

        async with httpx.AsyncClient(
            base_url=client.base_url, headers=HEADERS, trust_env=False
        ) as session:
            await asyncio.gather(send(session, slow), send(session, fast))
        return done

    assert asyncio.run(answered_in_order()) == [fast, slow]


def test_jitter_delays_the_moment_at_which_a_message_arrives(
    client: httpx.Client, world: World
) -> None:
    began = world.monotonic()
    world.faults.replace([Fault("arrival_jitter", seconds=0.1)])

    client.post(MESSAGES, json=message())

    assert world.log.arrivals[0].at - began >= 0.1


def test_latency_begins_after_the_message_arrived(client: httpx.Client, world: World) -> None:
    world.faults.replace([Fault("latency", seconds=0.1)])

    client.post(MESSAGES, json=message())

    assert world.monotonic() - world.log.arrivals[0].at >= 0.1


def test_the_limit_applies_to_messages_that_come_all_at_once(
    client: httpx.Client, world: World
) -> None:
    world.set_limit(PHONE_NUMBER_ID, 5)

    async def codes() -> list[int]:
        async with httpx.AsyncClient(
            base_url=client.base_url, headers=HEADERS, trust_env=False
        ) as session:
            posts = [session.post(MESSAGES, json=message(f"+65912345{n:02}")) for n in range(20)]
            return [response.status_code for response in await asyncio.gather(*posts)]

    answers = asyncio.run(codes())

    summary = world.log.summary()
    assert summary["most_accepted_in_one_second"] == 5
    assert answers.count(200) == summary["accepted"]


def test_stopping_waits_for_no_hanging_or_delayed_answer(
    capfd: pytest.CaptureFixture[str],
) -> None:
    world = default_world()
    world.faults.replace([Fault("hang", count=1), Fault("latency", seconds=60)])
    with running(world) as base_url:
        address = httpx.URL(base_url)
        waiting = [http.client.HTTPConnection(address.host, address.port or 0) for _ in range(2)]
        for connection in waiting:
            connection.request("POST", MESSAGES, headers=HEADERS)
        while len(world.log) < 2:
            time.sleep(0.005)
    for connection in waiting:
        connection.close()

    assert capfd.readouterr() == ("", "")


def test_a_taken_port_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(TemporaryError, match="in use"), running(default_world(), port):
            pass


SERVING = """
import signal
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.serve import serve
number = serve(default_world(), 0, lambda base_url: print(base_url, flush=True))
print("interrupted" if number == signal.SIGINT else number)
"""


def test_the_blocking_server_says_when_it_is_ready_and_ends_on_interrupt() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    base_url = process.stdout.readline().strip()

    assert httpx.get(f"{base_url}/_sandbox/summary", trust_env=False).json()["arrivals"] == 0
    os.kill(process.pid, signal.SIGINT)

    assert process.communicate(timeout=20) == ("interrupted\n", "")


def test_one_world_takes_many_messages_on_few_connections(
    client: httpx.Client, world: World
) -> None:
    world.set_limit(PHONE_NUMBER_ID, 1000)
    recipients = itertools.islice((f"+65912{n:05}" for n in itertools.count()), 100)

    for to in recipients:
        client.post(MESSAGES, json=message(to)).raise_for_status()

    assert world.log.summary()["accepted"] == 100


SANDBOX = Path(wacoex_cli.sandbox.__file__).parent


def imported_by(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return {name for name in found if name.startswith("wacoex_cli")}


def test_the_sandbox_imports_only_itself_and_the_server() -> None:
    files = [path for path in SANDBOX.glob("*.py") if path.name != "commands.py"]

    strangers = {
        (path.name, name)
        for path in files
        for name in imported_by(path)
        if not name.startswith(("wacoex_cli.sandbox", "wacoex_cli.foundation.server"))
    }

    assert files
    assert strangers == set()
