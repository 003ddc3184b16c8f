"""Sending through respond.io: one single try, what an answer means, what each one teaches."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.errors import CredentialError, RefusedError, TemporaryError
from wacoex_cli.foundation.http import Answer
from wacoex_cli.platforms.answers import Declined, NotSent, Taken, Unclear
from wacoex_cli.platforms.respondio import SENDING, RespondIO, reply_in

TOKEN = "respondio-token-0123456789"
BASE = "https://api.example/v2"
ANA = "phone:+6591000001"
BODY = {"channelId": 12, "message": {"type": "text", "text": "Hello"}}
REDIRECT = httpx.Response(302, headers={"location": "https://portal.example/x"})
SILENCE = httpx.ReadTimeout("silence")


def said(status: int, message: str = "no", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"code": status, "message": message}, headers=headers)


def sending(respondio: RespondIO) -> Any:
    return respondio.send_message(ANA, BODY)


def creating(respondio: RespondIO) -> Any:
    return respondio.create_contact(ANA, "Ana")


def test_a_message_is_posted_to_the_contact_and_known_by_its_id(client, requests) -> None:
    reply = client(sending, httpx.Response(200, json={"messageId": 1762516800123456}))

    assert reply == Taken("1762516800123456")
    [request] = requests
    assert (request.method, str(request.url)) == ("POST", f"{BASE}/contact/{ANA}/message")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert json.loads(request.content) == BODY


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (said(400, "bad template"), Declined(400, "bad template")),
        (said(401), Declined(401, "no")),
        (said(404, "Contact not found"), Declined(404, "Contact not found")),
        (said(418), Declined(418, "no")),
        (said(429, **{"Retry-After": "3"}), Declined(429, "no", 3.0)),
        (said(449), Declined(449, "no")),
        (
            httpx.Response(429, text="slow down"),
            Declined(429, "HTTP 429, 9 bytes that are not a JSON object"),
        ),
        (
            httpx.Response(403, text="<html>"),
            Declined(403, "HTTP 403, 6 bytes that are not a JSON object", from_api=False),
        ),
        (
            httpx.Response(404, text="<html>"),
            Declined(404, "HTTP 404, 6 bytes that are not a JSON object", from_api=False),
        ),
    ],
    ids=lambda value: str(getattr(value, "status_code", "")),
)
def test_a_refused_message_is_declined_with_the_text_of_respondio(
    client, requests, answer, reply
) -> None:
    assert client(sending, answer) == reply
    assert len(requests) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (said(500), "HTTP 500 without a message id"),
        (httpx.Response(502, text="Bad gateway"), "HTTP 502, 11 bytes that are not a JSON object"),
        (httpx.Response(408, text="late"), "HTTP 408, 4 bytes that are not a JSON object"),
        (REDIRECT, "HTTP 302, a redirect to portal.example"),
        (httpx.Response(200, text=""), "HTTP 200, 0 bytes that are not a JSON object"),
        (httpx.Response(200, json={"messageId": "x"}), "HTTP 200 without a message id"),
        (httpx.Response(200, json={"messageId": 0}), "HTTP 200 without a message id"),
        (httpx.Response(200, json={"messageId": True}), "HTTP 200 without a message id"),
        (SILENCE, "the answer took too long"),
        (httpx.RemoteProtocolError("gone"), "the connection broke"),
    ],
)
def test_a_message_that_may_have_been_taken_is_unclear_and_never_posted_again(
    client, requests, answer, reason: str
) -> None:
    assert client(sending, answer) == Unclear(reason)
    assert len(requests) == 1


def test_a_connection_that_was_never_made_sent_nothing(client, requests) -> None:
    assert client(sending, httpx.ConnectError("no")) == NotSent("the connection cannot be made")
    assert len(requests) == 1


def test_the_token_is_in_no_message(client) -> None:
    assert client(sending, said(400, f"bad {TOKEN}")) == Declined(400, "bad ****")


@given(
    status=st.integers(200, 599),
    body=st.dictionaries(st.sampled_from(["messageId", "code", "message", "x"]), st.integers()),
)
def test_only_a_2xx_with_an_id_is_taken_and_no_5xx_is_ever_declined(
    status: int, body: dict[str, int]
) -> None:
    reply = reply_in(Answer(status, {}, body, 2), TOKEN, datetime(2026, 11, 7, tzinfo=UTC))

    assert isinstance(reply, Taken) == (status < 300 and 0 < body.get("messageId", 0) < 2**63)
    if status >= 500 or 300 <= status < 400:
        assert isinstance(reply, Unclear)


def test_sending_waits_for_no_turn_and_learns_from_every_answer(client, clock) -> None:
    async def three(respondio: RespondIO) -> list[float | None]:
        answer = [respondio.stated_limit(SENDING)]
        for _ in range(3):
            await respondio.send_message(ANA, BODY)
            answer.append(respondio.stated_limit(SENDING))
        return answer

    limits = [said(429, **{"X-RateLimit-Limit": text}) for text in ("8", "200", "12")]

    assert client(three, *limits) == [None, 8.0, 20.0, 12.0]
    assert clock.slept == []


def test_a_limit_is_unknown_until_an_answer_states_one(client) -> None:
    async def first(respondio: RespondIO) -> float | None:
        await respondio.send_message(ANA, BODY)
        return respondio.stated_limit(SENDING)

    assert client(first, httpx.Response(200, json={"messageId": 1})) is None


def test_a_contact_is_created_with_its_first_name(client, requests) -> None:
    client(creating, said(200, "created"))

    [request] = requests
    assert (request.method, request.url.path) == ("POST", f"/v2/contact/{ANA}")
    assert json.loads(request.content) == {"firstName": "Ana"}


def test_a_contact_that_is_there_is_left_as_it_is(client, requests) -> None:
    client(creating, said(409))

    assert len(requests) == 1


@pytest.mark.parametrize("outcome", [said(500), SILENCE, httpx.Response(200, text="")])
def test_a_creation_of_unknown_outcome_is_looked_up_before_another_try(
    client, requests, outcome
) -> None:
    client(creating, outcome, said(404), said(200))

    assert [request.method for request in requests] == ["POST", "GET", "POST"]


@pytest.mark.parametrize("found", [httpx.Response(200, json={"id": 7}), said(449)])
def test_a_creation_that_took_after_all_is_not_tried_again(client, requests, found) -> None:
    client(creating, SILENCE, found)

    assert [request.method for request in requests] == ["POST", "GET"]


def test_a_creation_that_never_becomes_clear_is_an_error(client, requests) -> None:
    answers = [answer for _ in range(3) for answer in (SILENCE, said(404))]

    with pytest.raises(TemporaryError) as caught:
        client(creating, *answers)

    assert caught.value.code == "unreachable"
    assert [request.method for request in requests] == ["POST", "GET"] * 3


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (said(400), RefusedError),
        (said(401), CredentialError),
        (httpx.Response(403, text="<html>"), CredentialError),
        (said(429), TemporaryError),
        (said(449), TemporaryError),
    ],
)
def test_a_refused_creation_is_an_error_at_once(client, requests, answer, kind) -> None:
    with pytest.raises(kind):
        client(creating, answer)

    assert len(requests) == 1


def test_creating_has_a_pace_of_its_own(client, clock) -> None:
    async def three(respondio: RespondIO) -> None:
        for _ in range(3):
            await respondio.create_contact(ANA, "Ana")

    client(three, said(200))

    assert clock.slept == pytest.approx([0.2, 0.2])


def test_one_message_is_read_with_its_statuses(client, requests) -> None:
    item = {"messageId": 17, "status": [{"value": "sent", "timestamp": 1}]}

    found = client(lambda it: it.get_message(ANA, "17"), httpx.Response(200, json=item))

    assert found == item
    assert requests[0].url.path == f"/v2/contact/{ANA}/message/17"


def listed(*items: object) -> httpx.Response:
    return httpx.Response(200, json={"items": items, "pagination": {"next": None}})


def test_templates_are_listed_by_channel(client, requests) -> None:
    assert client(lambda it: it.templates(12), listed({"name": "a"})) == [{"name": "a"}]
    assert requests[0].url.path == "/v2/space/channel/12/template"


@pytest.mark.parametrize("absent", [said(404), httpx.Response(404, text="<html>")])
def test_templates_are_looked_for_on_the_other_path_too(client, requests, absent) -> None:
    assert client(lambda it: it.templates(12), absent, listed({"name": "a"})) == [{"name": "a"}]
    assert requests[1].url.path == "/v2/space/channel/12/mtm"


def test_other_refusals_of_a_template_list_are_errors(client, requests) -> None:
    with pytest.raises(CredentialError):
        client(lambda it: it.templates(12), said(401))

    assert len(requests) == 1
