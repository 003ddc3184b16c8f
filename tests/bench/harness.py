"""What the benchmarks share: a sandbox in a process of its own, and the command in another."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import httpx

from tests.bench.figures import Arrivals
from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details
from wacoex_cli.foundation.state import open_state
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN, RESPONDIO_CHANNEL_ID
from wacoex_cli.sandbox.world import (
    DEFAULT_TOKEN,
    PHONE,
    PHONE_NUMBER_ID,
    SECOND_PHONE,
    SECOND_PHONE_NUMBER_ID,
    WABA_ID,
)

if TYPE_CHECKING:
    import resource
    from collections.abc import Iterator, Mapping

CHECKOUT = Path(__file__).parents[2]
TEMPLATE = ("--template", "order_ready", "--lang", "en_US", "--param", "1=name", "--param", "2=id")
AFTER_300_MS: dict[str, Any] = {"kind": "latency", "seconds": 0.3}

_PROGRAM = (sys.executable, "-m", "wacoex_cli")
_PREFERRED = -5
_CHANNELS = {
    "first": (PHONE, PHONE_NUMBER_ID),
    "second": (SECOND_PHONE, SECOND_PHONE_NUMBER_ID),
}


class Sandbox:
    """A running sandbox, and its control calls."""

    def __init__(self, base_url: str, client: httpx.Client, process: int) -> None:
        self.base_url = base_url
        self.process = process
        self._client = client

    def control(self, method: str, name: str, body: object = None) -> dict[str, Any]:
        """One control call; raises for an answer other than success."""
        response = self._client.request(method, f"{self.base_url}/_sandbox/{name}", json=body)
        response.raise_for_status()
        found: dict[str, Any] = response.json()
        return found

    def limit(self, messages_per_second: int) -> float:
        """Change what the first number may take; returns the moment."""
        body = {"phone_number_id": PHONE_NUMBER_ID, "limit": messages_per_second}
        self.control("POST", "limit", body)
        return time.monotonic()

    def arrivals(self, since: int = 0) -> Arrivals:
        """What arrived after the arrival with that number."""
        return Arrivals(self.control("GET", f"arrivals?since={since}")["arrivals"])

    def longest_stall(self, start: float, end: float) -> float:
        """The longest time, in seconds, that the server itself was held up for between two."""
        stalls = self.control("GET", "summary")["stalls"]
        return max((row["seconds"] for row in stalls if start <= row["at"] <= end), default=0.0)

    def await_first_arrival(self) -> None:
        """Wait until the first message has arrived."""
        while not self.control("GET", "summary")["arrivals"]:
            time.sleep(0.05)


class Home:
    """A person's home with one state file, and the command run from it."""

    def __init__(self, directory: Path, base_url: str) -> None:
        self.directory = directory
        self.state = directory / "wacoex.db"
        self._started: list[subprocess.Popen[str]] = []
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "PYTHONPATH": str(CHECKOUT),
            "WACOEX_CONFIG_DIR": str(directory),
            "WACOEX_STATE": str(self.state),
            "WACOEX_META_BASE_URL": base_url,
            "WACOEX_META_TOKEN": DEFAULT_TOKEN,
            "WACOEX_RESPONDIO_BASE_URL": f"{base_url}/respondio/v2",
        }
        if authorities := os.environ.get("SSL_CERT_DIR"):
            self.environ["SSL_CERT_DIR"] = authorities

    def start(
        self,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        stdout: int | IO[Any] = subprocess.PIPE,
        stderr: int | IO[Any] = subprocess.PIPE,
    ) -> subprocess.Popen[str]:
        """Start the command; `environ` is added to what every command of this home gets."""
        process = subprocess.Popen(
            [*_PROGRAM, *arguments, "--json", "--no-input"],
            cwd=self.directory,
            env={**self.environ, **(environ or {})},
            stdout=stdout,
            stderr=stderr,
            text=True,
        )
        self._started.append(process)
        return process

    def end_all(self) -> None:
        """Kill what still runs: it would send to the next user of the sandbox."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def add_channels(self) -> None:
        """Make both numbers of the sandbox known, as `first` and `second`."""
        with contextlib.closing(open_state(self.state)) as state:
            for name, (phone, number) in _CHANNELS.items():
                details = Details(phone=phone, phone_number_id=number, waba_id=WABA_ID)
                registry.add_channel(state, name, details, datetime.now(UTC))

    def send_through_respondio(self) -> None:
        """Let the first number send through respond.io.

        Only now with its token: with it each plan asks respond.io about people for ten seconds.
        """
        self.environ["WACOEX_RESPONDIO_TOKEN"] = DEFAULT_RESPONDIO_TOKEN
        provider = ("--provider", "respondio", "--respondio-channel-id", str(RESPONDIO_CHANNEL_ID))
        finished(self.start("channel", "edit", "first", *provider))

    def start_planning(
        self, recipients: int, *, first: int = 0, channel: str = "first"
    ) -> subprocess.Popen[str]:
        """Start planning a broadcast; other places from `first` on are other people."""
        path = self.directory / f"recipients-{first}.csv"
        _write_recipients(path, recipients, first)
        return self.start("broadcast", "plan", str(path), *TEMPLATE, "--channel", channel)

    def plan(self, recipients: int, *, first: int = 0, channel: str = "first") -> str:
        """Plan a broadcast; returns its id."""
        planned = finished(self.start_planning(recipients, first=first, channel=channel))
        return str(planned["broadcast_id"])

    def start_sending(self, broadcast_id: str) -> subprocess.Popen[str]:
        """Start sending a planned broadcast at the full rate."""
        return self.start("broadcast", "send", broadcast_id, "--rate", "20", "--yes")


def used_by(command: subprocess.Popen[str]) -> tuple[str, resource.struct_rusage]:
    """Wait for a command: what it said, and what it took.

    Not `communicate`: only `wait4` tells it of one process.
    """
    assert command.stdout is not None
    with command.stdout:
        said = command.stdout.read()
    if command.stderr is not None:
        command.stderr.close()
    _, status, usage = os.wait4(command.pid, 0)
    command.returncode = os.waitstatus_to_exitcode(status)
    return said, usage


def preferred(process: int) -> bool:
    """Let a process go before others, where the system allows it; whether it does."""
    try:
        os.setpriority(os.PRIO_PROCESS, process, _PREFERRED)
    except PermissionError:
        return False
    return True


def finished(process: subprocess.Popen[str], *, interrupted: bool = False) -> dict[str, Any]:
    """Wait for the command; returns the data of its JSON, ends this program when it failed."""
    out, err = process.communicate()
    if process.returncode and not interrupted:
        sys.exit(f"a command failed with status {process.returncode}\n{out}{err}")
    data: dict[str, Any] = json.loads(out)["data"]
    return data


@contextlib.contextmanager
def bench(*faults: dict[str, Any]) -> Iterator[tuple[Sandbox, Home]]:
    """A sandbox with these faults, and a home that knows its numbers."""
    with running_sandbox() as sandbox, home_at(sandbox, *faults) as home:
        yield sandbox, home


@contextlib.contextmanager
def running_sandbox() -> Iterator[Sandbox]:
    """A sandbox in a process of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="wacoex-bench-") as name,
        _sandbox(Path(name)) as (base_url, process),
        httpx.Client(trust_env=False, timeout=60.0) as client,
    ):
        yield Sandbox(base_url, client, process)


@contextlib.contextmanager
def home_at(sandbox: Sandbox, *faults: dict[str, Any]) -> Iterator[Home]:
    """A home that knows the numbers of a sandbox, which starts again with these faults."""
    fit = {
        "is_on_biz_app": True,
        "whatsapp_business_manager_messaging_limit": "TIER_UNLIMITED",
    }
    numbers = {number: fit for _, number in _CHANNELS.values()}
    sandbox.control("POST", "reset")
    sandbox.control("POST", "world", {"phone_numbers": numbers})
    sandbox.control("POST", "faults", {"faults": list(faults), "seed": 1})
    with tempfile.TemporaryDirectory(prefix="wacoex-bench-") as name:
        home = Home(Path(name), sandbox.base_url)
        home.add_channels()
        try:
            yield home
        finally:
            home.end_all()


@contextlib.contextmanager
def _sandbox(directory: Path) -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [*_PROGRAM, "sandbox", "start", "--port", str(port)],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    with server.stderr:
        if "ready" not in (said := server.stderr.readline()):
            sys.exit(f"the sandbox did not start: {said}{server.stderr.read()}")
        try:
            yield f"http://127.0.0.1:{port}", server.pid
        finally:
            server.terminate()
            server.wait()


def _write_recipients(path: Path, recipients: int, first: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("phone", "name", "id"))
        for place in range(first, first + recipients):
            writer.writerow((phone(place), f"Person {place}", place))


def phone(place: int) -> str:
    """The number of the person at a place of the list; no two places share one."""
    # 7919 and ten million have no divisor in common.
    return f"+659{place * 7919 % 10_000_000:07}"
