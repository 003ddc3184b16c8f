"""Asking Meta to copy: what each answer means."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from wacoex_cli.foundation.http import Http
from wacoex_cli.foundation.secrets import Secret
from wacoex_cli.platforms.answers import NotSent, Refused, Unclear
from wacoex_cli.platforms.meta import Meta, Requested, SyncType

TOKEN = "EAAG-token-0123456789"


@pytest.fixture
def ask(clock, answering, requests):
    """Ask for the history, with the answer that will come; gives the reply and the requests."""

    def run(answer: httpx.Response | Exception) -> tuple[Any, list[httpx.Request]]:
        async def go() -> Any:
            http = Http(clock, log=lambda text: None, transport=answering([answer]))
            meta = Meta(http, Secret(TOKEN, "test"), "https://graph.example", "v26.0")
            try:
                return await meta.request_sync("106", SyncType.HISTORY)
            finally:
                await http.aclose()

        return asyncio.run(go()), requests

    return run


def test_it_posts_once_and_gives_the_request_id(ask) -> None:
    reply, [request] = ask(httpx.Response(200, json={"request_id": "abc"}))

    assert reply == Requested("abc")
    assert (request.method, request.url.path) == ("POST", "/v26.0/106/smb_app_data")
    assert json.loads(request.content) == {
        "messaging_product": "whatsapp",
        "sync_type": "history",
    }


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500, text="no"),
        httpx.Response(200, json={}),
        httpx.Response(200, text="<html>"),
        httpx.Response(302, headers={"location": "https://other.example/"}),
        httpx.ReadTimeout("late"),
    ],
)
def test_an_unusable_answer_is_unclear_and_is_not_tried_again(ask, answer) -> None:
    reply, requests = ask(answer)

    assert isinstance(reply, Unclear)
    assert len(requests) == 1


def test_a_refusal_has_its_code_and_no_token(ask) -> None:
    error = {"code": 2593107, "message": f"too often, {TOKEN}"}
    reply, _ = ask(httpx.Response(400, json={"error": error}))

    assert isinstance(reply, Refused)
    assert (reply.code, TOKEN in reply.message) == (2593107, False)


def test_a_connection_that_was_never_made_sent_nothing(ask) -> None:
    reply, _ = ask(httpx.ConnectError("refused"))

    assert isinstance(reply, NotSent)
