"""Whatever answers a send, the reply to it can be judged, stored and shown."""

from __future__ import annotations

import asyncio
import json
from dataclasses import astuple
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wacoex_cli.errors import TemporaryError
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.http import LONGEST_WAIT_SECONDS, Http, date_in, retry_after_seconds
from wacoex_cli.foundation.secrets import Secret
from wacoex_cli.platforms.answers import Refused, Reply, Taken, Unclear
from wacoex_cli.platforms.meta import Meta
from wacoex_cli.platforms.respondio import RespondIO

NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
HALF_A_CHARACTER = "\ud800"
odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(
        [HALF_A_CHARACTER, "9" * 5000, 10**300, -(2**63), 2**63, "x" * 5000, "a\x00b", "131000"]
    ),
)
thing = st.recursive(
    odd, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner)
)
answers = st.fixed_dictionaries(
    {},
    optional={
        "messages": st.lists(st.fixed_dictionaries({"id": odd, "message_status": odd})) | thing,
        "contacts": st.lists(st.fixed_dictionaries({"wa_id": odd})) | thing,
        "error": st.fixed_dictionaries(
            {"code": odd},
            optional={
                "error_subcode": odd,
                "message": odd,
                "fbtrace_id": odd,
                "error_data": st.fixed_dictionaries({"details": odd}) | thing,
            },
        )
        | thing,
        "messageId": odd,
        "code": odd,
        "message": odd,
    },
)
waits = st.sampled_from(
    [
        *("", "0", "-1", "1e300", "nan", "inf", "1e999", "9" * 400, "soon", "²"),
        "Sat, 07 Nov 2026 12:00:30 GMT",
        "Sat, 07 Nov 9999 23:59:59 -2359",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Sat, 07 Nov 2026 12:00:30 +99999999999999999999",
        "Sat, 07 Nov 99999 12:00:30 GMT",
    ]
) | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
usages = st.sampled_from(["", "[", "NaN", "[" * 90_000]) | st.builds(
    lambda wait: json.dumps({"1": [{"estimated_time_to_regain_access": wait}]}), odd
)


def replies(answer: httpx.Response) -> list[Reply]:
    async def operation() -> list[Reply]:
        transport = httpx.MockTransport(lambda request: answer)
        http = Http(SystemClock(), log=lambda text: None, transport=transport)
        token = Secret("token-0123456789", "test")
        meta = Meta(http, token, "https://graph.example", "v26.0")
        respondio = RespondIO(http, token, "https://api.example/v2", clock=SystemClock())
        try:
            return [
                await meta.send_message("1", {}),
                await respondio.send_message("id:1", {}),
            ]
        finally:
            await http.aclose()

    return asyncio.run(operation())


def is_storable(value: Any) -> bool:
    """Whether the state file can hold it."""
    if isinstance(value, str):
        return bool(value.encode() or True) and len(value) <= 2_000
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    if isinstance(value, float):
        return 0 <= value <= LONGEST_WAIT_SECONDS
    return value is None


@settings(max_examples=300, deadline=None)
@given(
    body=answers, wait=waits, usage=usages, status=st.sampled_from([200, 201, 302, 400, 429, 500])
)
@example(body={"messages": [{"id": HALF_A_CHARACTER}]}, wait="", usage="", status=200)
@example(body={"error": {"code": "9" * 5000}}, wait="", usage="", status=400)
@example(body={"error": {"code": 10**300}}, wait="", usage="", status=400)
@example(body={"error": {"code": 4, "message": HALF_A_CHARACTER}}, wait="", usage="", status=400)
def test_any_reply_to_a_send_can_be_judged_and_stored(
    body: object, wait: str, usage: str, status: int
) -> None:
    headers = {
        "Retry-After": wait,
        "X-Business-Use-Case-Usage": usage,
        "Location": "http://[",
        "Date": wait,
    }
    raw = {name.encode(): text.encode("latin-1") for name, text in headers.items()}
    answer = httpx.Response(status, content=json.dumps(body).encode(), headers=raw)
    for reply in replies(answer):
        assert all(map(is_storable, astuple(reply))), reply


@settings(max_examples=300, deadline=None)
@given(text=waits)
def test_a_wait_is_finite_and_a_date_can_be_counted_with(text: str) -> None:
    wait = retry_after_seconds({"retry-after": text}, NOW)
    assert wait is None or 0 <= wait <= LONGEST_WAIT_SECONDS
    moment = date_in(text)
    if moment is not None and moment.tzinfo:
        assert (moment - NOW).total_seconds()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"messages": [{"id": "wamid.A"}], "messages": [{"id": "wamid.B"}]}', Taken),
        (b'{"messages": [{"id": "wamid.A"}], "x": NaN}', Unclear),
        (b'{"messages": [{"id": "wamid.A"}], "x": 1e999}', Unclear),
        (
            b'{"messages": [{"id": "wamid.A"}], "x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
            Unclear,
        ),
        (b'{"messages": [{"id": "wamid.A"}], "x": ' + b"9" * 5_000 + b"}", Unclear),
        (b'{"messages": [{"id": "wamid.A"}], "x": [' + b"{}," * 600_000 + b"1]}", Unclear),
        ('{"messages": [{"id": "wamid.A"}]}'.encode("utf-16"), Taken),
        (b'{"messages": [{"id": "wamid.\xff"}]}', Unclear),
        (b'{"error": {"code": 131026, "message": "\\ud800 \\ud83d\\ude00"}}', Refused),
    ],
    ids=["twice", "NaN", "1e999", "deep", "digits", "objects", "utf-16", "no utf-8", "halves"],
)
def test_broken_or_too_deep_json_is_not_a_usable_answer(body: bytes, kind: type[Reply]) -> None:
    reply = replies(httpx.Response(200, content=body))[0]

    assert isinstance(reply, kind)
    if isinstance(reply, Refused):
        assert reply.message == "? 😀"


def test_a_list_without_end_is_an_error() -> None:
    pages = 0

    def more(request: httpx.Request) -> httpx.Response:
        nonlocal pages
        pages += 1
        after = {"next": "https://graph.example/more", "cursors": {"after": str(pages)}}
        following = {"next": f"https://api.example/?cursorId={pages}"}
        both = {"data": [{"id": "1"}], "paging": after, "items": [{"id": 1}]}
        return httpx.Response(200, json={**both, "pagination": following})

    async def read() -> None:
        http = Http(SystemClock(), log=lambda text: None, transport=httpx.MockTransport(more))
        meta = Meta(http, Secret("token", "test"), "https://graph.example", "v26.0")
        try:
            await meta.templates("1")
        finally:
            await http.aclose()

    with pytest.raises(TemporaryError, match="goes on after 200 pages"):
        asyncio.run(read())
    assert pages == 201
