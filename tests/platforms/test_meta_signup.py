"""Exchanging the code of a signup: once, within its time, and without telling any secret."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from wacoex_cli.errors import CredentialError, RefusedError, TemporaryError, WacoexError
from wacoex_cli.foundation.http import Http
from wacoex_cli.foundation.secrets import Secret
from wacoex_cli.platforms.meta import CODE_EXPIRED, CODE_SECONDS, SignupApp, exchange_code

CODE, APP_SECRET, TOKEN = "AQcode0123456789", "app-secret-0123456789", "EAAtoken0123456789"
APP = SignupApp("100", Secret(APP_SECRET, "test"), "https://graph.example", "v26.0")

Handler = Callable[[httpx.Request], httpx.Response]


class Meta:
    """What was asked of Meta and what was logged about it."""

    def __init__(self, clock: Any, handler: Handler) -> None:
        self.requests: list[httpx.Request] = []
        self.log: list[str] = []
        self._clock = clock
        self._handler = handler

    def exchange(self) -> Secret:
        return asyncio.run(self._exchange())

    async def _exchange(self) -> Secret:
        http = Http(self._clock, log=self.log.append, transport=httpx.MockTransport(self._answer))
        try:
            return await exchange_code(http, APP, CODE)
        finally:
            await http.aclose()

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._handler(request)


def refusal(code: int, message: str, **more: Any) -> httpx.Response:
    return httpx.Response(400, json={"error": {"code": code, "message": message, **more}})


def test_the_code_is_shown_with_the_apps_id_and_secret(clock: Any) -> None:
    meta = Meta(clock, lambda request: httpx.Response(200, json={"access_token": TOKEN}))

    assert meta.exchange().reveal() == TOKEN

    (request,) = meta.requests
    assert request.method == "GET"
    assert request.url.path == "/v26.0/oauth/access_token"
    params = {"client_id": "100", "client_secret": APP_SECRET, "code": CODE}
    assert dict(request.url.params) == params
    assert len(meta.log) == 1
    assert not any(entry in meta.log[0] for entry in (CODE, APP_SECRET, TOKEN))


def test_a_request_that_never_left_is_made_again_while_the_code_lives(clock: Any) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if len(meta.requests) < 3:
            raise httpx.ConnectError("no", request=request)
        return httpx.Response(200, json={"access_token": TOKEN})

    meta = Meta(clock, answer)

    assert meta.exchange().reveal() == TOKEN
    assert sum(clock.slept) < CODE_SECONDS


def test_a_code_whose_answer_got_lost_is_not_shown_again(clock: Any) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("no", request=request)

    meta = Meta(clock, answer)

    with pytest.raises(TemporaryError) as caught:
        meta.exchange()
    assert caught.value.code == "code_lost"
    assert "sign up once more" in str(caught.value.hint)
    assert len(meta.requests) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(100, "expired", error_subcode=CODE_EXPIRED), RefusedError),
        (refusal(100, f"Bad code {CODE} for {APP_SECRET}"), RefusedError),
        (refusal(101, "Error validating application."), CredentialError),
        (refusal(1, "Error validating client secret."), CredentialError),
        (refusal(2, "Service temporarily unavailable"), TemporaryError),
        (httpx.Response(200, json={}), TemporaryError),
        (httpx.Response(200, json={"access_token": "with a space"}), TemporaryError),
        (httpx.Response(502, text="<html>"), TemporaryError),
    ],
)
def test_any_other_answer_is_reported_without_secrets(
    clock: Any, answer: httpx.Response, kind: type[WacoexError]
) -> None:
    meta = Meta(clock, lambda request: answer)

    with pytest.raises(kind) as caught:
        meta.exchange()
    result = f"{caught.value} {caught.value.hint} {caught.value.details} {meta.log}"
    assert CODE not in result
    assert APP_SECRET not in result
    assert len(meta.requests) == 1
