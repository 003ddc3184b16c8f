"""Clients whose answers a test decides, and what they asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest

from wacoex_cli.foundation.http import Http
from wacoex_cli.foundation.secrets import Secret
from wacoex_cli.platforms.respondio import RespondIO

TOKEN = "respondio-token-0123456789"
BASE = "https://api.example/v2"


@pytest.fixture
def requests() -> list[httpx.Request]:
    return []


@pytest.fixture
def logged() -> list[str]:
    return []


@pytest.fixture
def answering(requests) -> Callable[..., httpx.MockTransport]:
    """A server with the answers that will come, the last one without end."""

    def make(answers: Sequence[httpx.Response | Exception]) -> httpx.MockTransport:
        waiting = list(answers)

        def handle(request: httpx.Request) -> httpx.Response:
            requests.append(request)
            answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return httpx.MockTransport(handle)

    return make


@pytest.fixture
def client(clock, answering, logged) -> Callable[..., Any]:
    """Use a client with the answers that will come, the last one without end."""

    def run(use: Callable[[RespondIO], Any], *answers: httpx.Response | Exception) -> Any:
        http = Http(clock, log=logged.append, transport=answering(answers))
        respondio = RespondIO(http, Secret(TOKEN, "test"), BASE, clock=clock)

        async def operation() -> Any:
            try:
                return await use(respondio)
            finally:
                await http.aclose()

        return asyncio.run(operation())

    return run
