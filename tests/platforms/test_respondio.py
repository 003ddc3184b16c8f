"""respond.io's Developer API: what is asked, at what pace, and what each answer leads to."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.errors import CredentialError, RefusedError, TemporaryError
from wacoex_cli.platforms.respondio import (
    HIGHEST_LIMIT,
    MESSAGES,
    Pace,
    Page,
    RespondIO,
    identity,
    learn,
    take_slot,
)

TOKEN = "respondio-token-0123456789"
BASE = "https://api.example/v2"
ANA = "phone:+6591000001"


def page(*items: object, following: str | None = None, **headers: str) -> httpx.Response:
    pagination = {"next": following, "previous": None}
    return httpx.Response(200, json={"items": items, "pagination": pagination}, headers=headers)


def refusal(status: int, message: str = "no", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"code": status, "message": message}, headers=headers)


def messages(respondio: RespondIO) -> Any:
    return respondio.list_messages(ANA)


def test_messages_are_listed_with_the_token_in_one_header_only(client, requests, logged) -> None:
    following = f"{BASE}/contact/{ANA}/message/list?limit=100&cursorId=17"

    found = client(messages, page({"messageId": 18}, {"messageId": 17}, following=following))

    assert found == Page(({"messageId": 18}, {"messageId": 17}), "17")
    [request] = requests
    assert str(request.url) == f"{BASE}/contact/{ANA}/message/list?limit=100"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in "".join(logged)


def test_a_log_line_hides_most_of_a_number(client, logged) -> None:
    client(messages, page())

    assert "+65****0001" in logged[0]
    assert "91000001" not in logged[0]


def test_a_log_line_masks_numbers_in_any_path(client, logged, masked_texts) -> None:
    for text in masked_texts:
        if re.fullmatch(r"[+\w.@]+", text):
            client(lambda respondio, contact=text: respondio.list_messages(contact), page())
            assert f"/contact/{masked_texts[text]}/message" in logged[-1]


def test_only_the_cursor_of_the_next_page_is_used(client, requests) -> None:
    elsewhere = "https://elsewhere.example/steal?cursorId=17"

    async def two(respondio: RespondIO) -> None:
        first = await respondio.list_messages(ANA)
        await respondio.list_messages(ANA, first.next_cursor)

    client(two, page({"messageId": 17}, following=elsewhere), page())

    assert [request.url.host for request in requests] == ["api.example"] * 2
    assert requests[1].url.params["cursorId"] == "17"


@pytest.mark.parametrize("following", [None, ""])
def test_a_list_ends_without_a_next_page(client, following: str | None) -> None:
    assert client(messages, page({"messageId": 1}, following=following)).next_cursor is None


def test_a_next_page_without_a_cursor_is_unusable(client) -> None:
    with pytest.raises(TemporaryError, match="next page without a cursor"):
        client(messages, page(following="https://api.example/v2/next"))


def test_channels_are_listed_to_the_end_of_a_list_even_one_in_a_circle(client, requests) -> None:
    circle = page({"id": 1, "source": "new_source"}, following=f"{BASE}/space/channel?cursorId=1")

    found = client(lambda respondio: respondio.list_channels(), circle)

    assert [entry.source for entry in found] == ["new_source"] * 2
    assert len(requests) == 2


def test_contacts_are_asked_for_with_an_empty_filter(client, requests) -> None:
    client(lambda respondio: respondio.list_contacts("5"), page())

    [request] = requests
    assert (request.method, request.url.path) == ("POST", "/v2/contact/list")
    assert dict(request.url.params) == {"limit": "100", "cursorId": "5"}
    assert json.loads(request.content) == {
        "search": "",
        "timezone": "UTC",
        "filter": {"$and": []},
    }


def test_one_contact_and_its_channels_are_read(client, requests) -> None:
    assert client(lambda it: it.get_contact("id:7"), httpx.Response(200, json={"id": 7})) == {
        "id": 7
    }
    assert client(lambda it: it.contact_channels("id:7"), page({"id": 4242})) == [{"id": 4242}]
    assert [request.url.path for request in requests] == [
        "/v2/contact/id:7",
        "/v2/contact/id:7/channels",
    ]


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (refusal(401), CredentialError, "respondio_401"),
        (refusal(403), CredentialError, "respondio_403"),
        (httpx.Response(403, text="<html>Forbidden</html>"), CredentialError, "respondio_403"),
        (refusal(400), RefusedError, "respondio_400"),
        (refusal(404), RefusedError, "respondio_404"),
        (httpx.Response(404, text="<html>Not here</html>"), TemporaryError, "respondio_404"),
        (refusal(409), RefusedError, "respondio_409"),
        (refusal(418), RefusedError, "respondio_418"),
        (refusal(429), TemporaryError, "respondio_429"),
        (refusal(449), TemporaryError, "respondio_449"),
        (refusal(500), TemporaryError, "respondio_500"),
        (httpx.Response(502, text="Bad gateway"), TemporaryError, "respondio_502"),
        (httpx.Response(200, text="<html>"), TemporaryError, "respondio_unusable"),
        (httpx.Response(200, json=[1]), TemporaryError, "respondio_unusable"),
        (httpx.Response(200, json={"code": "200"}), TemporaryError, "respondio_unusable"),
        (
            httpx.Response(302, headers={"location": "https://a.example"}),
            TemporaryError,
            "redirected",
        ),
        (httpx.ConnectError("no"), TemporaryError, "unreachable"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(getattr(value, "status_code", "")),
)
def test_failures_have_a_kind_a_code_and_a_hint(client, answer, kind, code: str) -> None:
    with pytest.raises(kind) as caught:
        client(messages, answer)

    assert type(caught.value) is kind
    assert caught.value.code == code
    assert caught.value.hint


def test_the_text_of_respondio_is_kept_without_the_token(client) -> None:
    with pytest.raises(RefusedError) as caught:
        client(messages, refusal(400, f"bad {TOKEN}"))

    assert caught.value.details == {"status": 400, "message": "bad ****"}
    assert TOKEN not in str(caught.value) + str(caught.value.hint)


def test_retry_after_is_obeyed(client, clock, requests) -> None:
    throttled = refusal(429, **{"Retry-After": "7"})

    assert client(messages, throttled, page({"messageId": 1})).items == ({"messageId": 1},)
    assert clock.slept == [7.0]


def test_a_long_wait_is_an_error_with_the_seconds(client, clock, requests) -> None:
    with pytest.raises(TemporaryError) as caught:
        client(messages, refusal(429, **{"Retry-After": "600"}))

    assert "try again in 600 seconds" in str(caught.value.hint)
    assert len(requests) == 1


def test_five_calls_a_second_until_the_headers_state_more(client, clock) -> None:
    async def four(respondio: RespondIO) -> list[float]:
        rates = []
        for _ in range(4):
            rates.append(respondio.calls_per_second(MESSAGES))
            await respondio.list_messages(ANA)
        return rates

    answer = page(**{"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "9"})

    assert client(four, page(), answer) == [5.0, 5.0, 9.0, 9.0]
    assert clock.slept == pytest.approx([0.2, 0.2, 1 / 9])


def test_endpoints_have_their_own_pace(client, clock) -> None:
    async def both(respondio: RespondIO) -> None:
        await respondio.list_messages(ANA)
        await respondio.list_contacts()

    client(both, page())

    assert clock.slept == []


@pytest.mark.parametrize("limit", [5, 10, 15, 20])
@pytest.mark.parametrize("latency", [0.0, 0.1])
def test_at_our_own_pace_no_call_is_refused_and_none_waits_for_nothing(
    limit: int, latency: float
) -> None:
    pace, now = Pace(), 100.0
    arrived: list[float] = []
    for _ in range(6 * limit):
        pace, wait = take_slot(pace, now)
        now += wait
        arrived = [at for at in (*arrived, now + latency) if now + latency - at < 1.0 - 1e-9]
        assert len(arrived) <= limit
        answer = {"limit": str(limit), "remaining": str(max(0, limit - len(arrived)))}
        pace = learn(pace, {f"x-ratelimit-{name}": text for name, text in answer.items()}, now)

    assert 100.0 + 5 < now < 100.0 + 6 / 0.9 + 1


def test_a_second_that_others_used_up_is_waited_out(client, clock) -> None:
    async def two(respondio: RespondIO) -> None:
        await respondio.list_messages(ANA)
        await respondio.list_messages(ANA)

    client(two, page(**{"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0"}))

    assert clock.slept == [1.0]


@given(limit=st.text(max_size=8), remaining=st.text(max_size=8))
def test_no_header_stops_the_client_or_removes_its_limit(limit: str, remaining: str) -> None:
    headers = {"x-ratelimit-limit": limit, "x-ratelimit-remaining": remaining}

    pace, wait = take_slot(learn(Pace(), headers, now=100.0), now=100.0)

    assert 1.0 <= pace.calls_per_second <= HIGHEST_LIMIT
    assert 0.0 <= wait <= 1.0


@given(
    limits=st.lists(st.sampled_from(["", "1", "5", "20", "500"]), max_size=30),
    waits=st.lists(st.floats(0, 0.3), min_size=30, max_size=30),
)
def test_two_calls_are_never_closer_than_the_current_pace(
    limits: list[str], waits: list[float]
) -> None:
    pace, now, left_at = Pace(), 100.0, float("-inf")
    for limit, passed in zip(limits, waits, strict=False):
        before = pace.calls_per_second
        pace, wait = take_slot(pace, now)
        assert now + wait - left_at >= 1.0 / max(before, HIGHEST_LIMIT) - 1e-9
        left_at = now + wait
        now = left_at + passed
        pace = learn(pace, {"x-ratelimit-limit": limit}, now)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (17, 17),
        ("17", 17),
        (True, None),
        ("x", None),
        (None, None),
        (1.5, None),
        (2**63, None),
        ("9" * 5000, None),
    ],
)
def test_ids_are_numbers_or_text(value: object, read: int | None) -> None:
    assert identity(value) == read
