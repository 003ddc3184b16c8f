"""The Graph API: what is asked, and what each answer leads to."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from wacoex_cli.errors import CredentialError, RefusedError, TemporaryError, WacoexError
from wacoex_cli.foundation.http import Http
from wacoex_cli.foundation.secrets import Secret
from wacoex_cli.platforms.answers import NotSent, Refused, Reply, Taken, Unclear
from wacoex_cli.platforms.meta import Meta

TOKEN = "EAAG-token-0123456789"
TAKEN = {
    "messaging_product": "whatsapp",
    "contacts": [{"input": "+6591234567", "wa_id": "6591234567"}],
    "messages": [{"id": "wamid.A", "message_status": "accepted"}],
}
Handler = Callable[[httpx.Request], httpx.Response]


def problem(code: object, subcode: int | None = None, message: str = "no") -> dict[str, Any]:
    return {
        "error": {
            "message": message,
            "type": "OAuthException",
            "code": code,
            "error_subcode": subcode,
            "error_data": {"messaging_product": "whatsapp", "details": "because"},
            "fbtrace_id": "Abc",
        }
    }


@pytest.fixture
def call(clock, answering):
    """Call a method of Meta with the answers that will come, the last one without end."""

    def run(
        method: str,
        *arguments: Any,
        answers: list[httpx.Response | Exception],
        secret: str = "",
        base_url: str = "https://graph.example",
        **named: Any,
    ) -> Any:
        http = Http(clock, log=lambda text: None, transport=answering(answers))
        app_secret = Secret(secret, "test") if secret else None
        meta = Meta(http, Secret(TOKEN, "test"), base_url, "v26.0", app_secret)

        async def operation() -> Any:
            try:
                return await getattr(meta, method)(*arguments, **named)
            finally:
                await http.aclose()

        return asyncio.run(operation())

    return run


@pytest.fixture
def reply_to(call):
    def run(answer: httpx.Response | Exception, **more: Any) -> Reply:
        reply: Reply = call("send_message", "1001", {"to": "+6591234567"}, answers=[answer], **more)
        return reply

    return run


def test_a_node_is_read_with_the_token_in_one_header_only(call, requests) -> None:
    answer = httpx.Response(200, json={"id": "1001"})
    node = call("phone_number", "1001", ["id", "status"], answers=[answer])

    [request] = requests
    assert node == {"id": "1001"}
    assert str(request.url) == "https://graph.example/v26.0/1001?fields=id%2Cstatus"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


def test_an_app_secret_proves_the_call(call, reply_to, requests) -> None:
    answer = httpx.Response(200, json={"id": "2002"})
    call("waba", "2002", ["id"], answers=[answer], secret="s3cret")
    reply_to(httpx.Response(200, json=TAKEN), secret="s3cret")

    proof = hmac.new(b"s3cret", TOKEN.encode(), hashlib.sha256).hexdigest()
    assert [request.url.params["appsecret_proof"] for request in requests] == [proof, proof]
    assert json.loads(requests[1].content) == {"to": "+6591234567"}


def page(*names: str, after: str | None = None) -> httpx.Response:
    paging = {"cursors": {"before": "b", "after": after or "last"}}
    if after:
        paging["next"] = "https://graph.example/next"  # type: ignore[assignment]
    data = [{"name": name} for name in names]
    return httpx.Response(200, json={"data": data, "paging": paging})


def test_lists_are_read_to_their_end(call, requests) -> None:
    nodes = call("templates", "2002", answers=[page("a", "b", after="c1"), page("c")])

    assert [node["name"] for node in nodes] == ["a", "b", "c"]
    assert "after" not in requests[0].url.params
    assert requests[1].url.params["after"] == "c1"


def test_templates_may_be_narrowed_by_name(call, requests) -> None:
    call("templates", "2002", name="promo", answers=[page("promo")])

    assert requests[0].url.params["name"] == "promo"
    assert "components" in requests[0].url.params["fields"]


def test_a_stale_cursor_starts_the_list_once_again(call, requests) -> None:
    stale = httpx.Response(400, json=problem(131059))

    nodes = call("templates", "2002", answers=[page("a", after="c1"), stale, page("b")])

    assert [node["name"] for node in nodes] == ["b"]
    assert "after" not in requests[2].url.params


def test_a_cursor_that_stays_stale_is_refused(call) -> None:
    with pytest.raises(RefusedError):
        call("templates", "2002", answers=[httpx.Response(400, json=problem(131059))])


def test_a_list_that_turns_in_a_circle_ends(call, requests) -> None:
    call("phone_numbers", "2002", answers=[page("a", after="c1")])

    assert len(requests) == 2


def test_the_history_of_a_message_is_read(call, requests) -> None:
    entry = {"id": "9", "events": {"data": [{"delivery_status": "SENT", "timestamp": 1}]}}
    answer = httpx.Response(200, json={"data": [entry]})

    assert call("message_history", "1001", "wamid.A", answers=[answer]) == [entry]
    assert requests[0].url.path == "/v26.0/1001/message_history"
    assert requests[0].url.params["message_id"] == "wamid.A"
    assert "events{delivery_status" in requests[0].url.params["fields"]


def test_a_number_without_message_history_is_refused(call) -> None:
    with pytest.raises(RefusedError) as caught:
        call("message_history", "1001", "wamid.A", answers=[httpx.Response(400, json=problem(100))])

    assert caught.value.code == "meta_100"


def test_the_token_is_examined(call) -> None:
    answer = httpx.Response(200, json={"data": {"is_valid": True}})

    assert call("debug_token", answers=[answer]).is_valid is True


@pytest.mark.parametrize(
    ("status", "code", "subcode", "kind"),
    [
        *((401, code, None, CredentialError) for code in (190, 0, 10, 200, 299, 131005)),
        (500, 3, None, CredentialError),
        (400, 100, 33, CredentialError),
        (400, 100, None, RefusedError),
        (400, 33, None, RefusedError),
        (403, 368, None, RefusedError),
        (400, 999999, None, RefusedError),
        *((400, code, None, TemporaryError) for code in (4, 17, 341, 613, 80007, 80008)),
        *((500, code, None, TemporaryError) for code in (1, 2, 131000, 131016)),
        (200, 190, None, CredentialError),
    ],
)
def test_an_error_code_decides_the_kind_of_failure(
    call, status: int, code: int, subcode: int | None, kind: type[WacoexError]
) -> None:
    with pytest.raises(kind) as raised:
        answer = httpx.Response(status, json=problem(code, subcode))
        call("phone_number", "1001", ["id"], answers=[answer])

    assert type(raised.value) is kind
    assert raised.value.code == f"meta_{code}"
    assert raised.value.hint
    assert raised.value.details["code"] == code
    assert raised.value.details["fbtrace_id"] == "Abc"


def test_a_refusal_dressed_as_a_server_error_is_not_asked_again(call, requests) -> None:
    with pytest.raises(CredentialError):
        answer = httpx.Response(500, json=problem(3))
        call("phone_number", "1001", ["id"], answers=[answer])

    assert len(requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, html="<html>"),
        httpx.Response(200),
        httpx.Response(200, json=[]),
        httpx.Response(502, html="<html>"),
        httpx.Response(404, json={}),
        httpx.Response(400, json={"error": {"message": "no code"}}),
    ],
)
def test_an_unusable_answer_is_temporary(call, answer: httpx.Response) -> None:
    with pytest.raises(TemporaryError) as raised:
        call("phone_number", "1001", ["id"], answers=[answer])

    assert raised.value.code == "unusable_answer"


def test_a_message_is_taken_with_its_id(reply_to, requests) -> None:
    assert reply_to(httpx.Response(200, json=TAKEN)) == Taken("wamid.A", "accepted", "6591234567")

    [request] = requests
    assert (request.method, request.url.path) == ("POST", "/v26.0/1001/messages")


def test_a_held_message_without_a_wa_id_is_taken_too(reply_to) -> None:
    body = {"messages": [{"id": "wamid.B", "message_status": "held_for_quality_assessment"}]}

    assert reply_to(httpx.Response(200, json=body)) == Taken(
        "wamid.B", "held_for_quality_assessment"
    )


@pytest.mark.parametrize("status", [200, 400, 403, 429, 500])
def test_an_error_code_is_a_refusal_at_any_http_status(reply_to, status: int) -> None:
    assert reply_to(httpx.Response(status, json=problem(130429, 7))) == Refused(
        code=130429,
        subcode=7,
        message="no",
        details="because",
        fbtrace_id="Abc",
        http_status=status,
    )


def test_the_waits_that_meta_asks_for_are_read(reply_to) -> None:
    usage = {"2002": [{"type": "x", "estimated_time_to_regain_access": 5}, {"call_count": 1}]}
    headers = {"Retry-After": "5", "X-Business-Use-Case-Usage": json.dumps(usage)}

    refused = reply_to(httpx.Response(429, json=problem("80007"), headers=headers))

    assert (refused.code, refused.retry_after_seconds, refused.regain_minutes) == (80007, 5.0, 5.0)


@pytest.mark.parametrize("usage", ["", "{", "[]", '{"1": 3}', '{"1": [3]}', '{"1": [{}]}'])
def test_a_usage_header_that_says_nothing_is_ignored(reply_to, usage: str) -> None:
    headers = {"X-Business-Use-Case-Usage": usage}

    assert reply_to(httpx.Response(400, json=problem(4), headers=headers)).regain_minutes is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.Response(200), "HTTP 200 with an empty body"),
        (httpx.Response(500), "HTTP 500 with an empty body"),
        (httpx.Response(502, html="<html>"), "HTTP 502 with a body that is not JSON"),
        (httpx.Response(403, html="<html>"), "HTTP 403 with a body that is not JSON"),
        (httpx.Response(200, content=b'{"messages": [{"id'), "body that is not JSON"),
        (httpx.Response(200, json={}), "without a message id and without an error code"),
        (httpx.Response(200, json={"messages": []}), "without a message id"),
        (httpx.Response(200, json={"messages": [{"id": ""}]}), "without a message id"),
        (httpx.Response(200, json=[1]), "without a message id"),
        (httpx.Response(500, json={"error": {"message": "x"}}), "without an error code"),
        (httpx.Response(500, json=problem(True)), "without an error code"),
        (httpx.Response(500, json=TAKEN), "without a message id"),
        (
            httpx.Response(307, headers={"Location": "https://portal.example/x"}),
            "HTTP 307, a redirect to portal.example",
        ),
        (httpx.ReadTimeout("x"), "the answer took too long"),
        (httpx.ReadError("x"), "the connection broke"),
        (httpx.WriteError("x"), "the connection broke"),
    ],
)
def test_anything_else_is_unclear(
    reply_to, requests, answer: httpx.Response | Exception, reason: str
) -> None:
    reply = reply_to(answer)

    assert isinstance(reply, Unclear)
    assert reason in reply.reason
    assert len(requests) == 1


@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
def test_without_a_connection_the_message_was_not_sent(
    reply_to, failure: type[httpx.RequestError]
) -> None:
    assert isinstance(reply_to(failure("x")), NotSent)


def test_a_token_that_meta_quotes_is_not_passed_on(call, reply_to) -> None:
    body = problem(190, message=f"Malformed access token {TOKEN} or EAAGabcdef123456")

    refused = reply_to(httpx.Response(401, json=body))
    with pytest.raises(CredentialError) as raised:
        call("phone_number", "1001", ["id"], answers=[httpx.Response(401, json=body)])

    assert refused.message == "Malformed access token **** or ****"
    assert raised.value.details["message"] == "Malformed access token **** or ****"


@pytest.mark.parametrize(
    ("change", "method"), [("subscribe_app", "POST"), ("unsubscribe_app", "DELETE")]
)
def test_attaching_and_detaching_an_app_is_tried_once(call, requests, change, method) -> None:
    call(change, "2001", answers=[httpx.Response(200, json={"success": True})])

    assert [(entry.method, entry.url.path) for entry in requests] == [
        (method, "/v26.0/2001/subscribed_apps")
    ]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.ConnectError("x"), TemporaryError),
        (httpx.ReadTimeout("x"), TemporaryError),
        (httpx.Response(200, json={"success": False}), TemporaryError),
        (httpx.Response(502, content=b"<html>"), TemporaryError),
        (httpx.Response(403, json=problem(200)), CredentialError),
        (httpx.Response(400, json=problem(100)), RefusedError),
    ],
)
def test_attaching_an_app_fails_with_the_kind_that_fits(call, requests, answer, kind) -> None:
    with pytest.raises(kind):
        call("subscribe_app", "2001", answers=[answer])

    assert len(requests) == 1


def test_the_subscriptions_of_an_app_are_read(call) -> None:
    hook = {"object": "whatsapp_business_account", "fields": [{"name": "messages"}]}

    assert call("app_subscriptions", "1", answers=[httpx.Response(200, json={"data": [hook]})]) == [
        hook
    ]
    with pytest.raises(TemporaryError, match="no list"):
        call("app_subscriptions", "1", answers=[httpx.Response(200, json={"data": 1})])


@pytest.mark.parametrize("code", [1, 131000])
def test_a_read_does_not_say_that_a_message_may_have_gone_out(call, code: int) -> None:
    with pytest.raises(TemporaryError) as caught:
        call("templates", "1", answers=[httpx.Response(500, json=problem(code))])

    assert "message" not in caught.value.message
    assert caught.value.hint == "try again in a minute"


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        ("https://graph.facebook.com", "https://api.facebook.com"),
        ("https://proxy.example", "https://proxy.example"),
    ],
)
def test_templates_are_archived_at_metas_other_host(call, requests, base_url, host) -> None:
    said = {"archived_templates": ["1"], "failed_templates": {"2": "not approved"}}
    answers = [httpx.Response(200, json=said)]
    failed = call("archive_templates", "104", ["1", "2", "3"], answers=answers, base_url=base_url)

    assert failed == {"2": "not approved", "3": "Meta does not say that it was done"}
    assert str(requests[0].url) == f"{host}/104/message_templates/archive"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (httpx.ReadTimeout("too long"), "unclear"),
        (httpx.ConnectError("no route"), "unreachable"),
    ],
)
def test_a_template_is_created_in_one_single_try(call, requests, answer, code) -> None:
    with pytest.raises(TemporaryError) as caught:
        call("create_template", "104", {"name": "hours"}, answers=[answer])

    assert caught.value.code == code


def test_the_texts_of_meta_about_a_template_are_kept(call) -> None:
    error = problem(100, 2388299)["error"]
    words = {"error_user_title": "Leading Params", "error_user_msg": "Not at the start."}
    with pytest.raises(RefusedError) as caught:
        call(
            "create_template",
            "104",
            {},
            answers=[httpx.Response(400, json={"error": {**error, **words}})],
        )

    assert caught.value.details["user_text"] == "Leading Params: Not at the start."


def part(body: object, code: int = 200) -> dict[str, Any]:
    return {"code": code, "body": body if isinstance(body, str) else json.dumps(body)}


def test_numbers_asked_for_at_once_travel_in_one_request(call, requests) -> None:
    answer = httpx.Response(200, json=[part({"id": "1001"}), part({"id": "1002", "status": "OK"})])
    questions = [("1001", ["id"]), ("1002", ["id", "status"])]

    nodes = call("numbers_at_once", questions, answers=[answer], secret="s3cret")

    proof = hmac.new(b"s3cret", TOKEN.encode(), hashlib.sha256).hexdigest()
    [request] = requests
    assert nodes == [{"id": "1001"}, {"id": "1002", "status": "OK"}]
    assert str(request.url) == f"https://graph.example/v26.0?appsecret_proof={proof}"
    assert json.loads(request.content) == {
        "batch": [
            {"method": "GET", "relative_url": f"v26.0/{number}?fields={it}&appsecret_proof={proof}"}
            for number, it in (("1001", "id"), ("1002", "id%2Cstatus"))
        ],
        "include_headers": False,
    }
    assert TOKEN not in request.content.decode()
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (part(problem(100, 33), 400), "meta_100"),
        (part(problem(190), 401), "meta_190"),
        (part("<html>"), "unusable_answer"),
        (part('{"id": NaN}'), "unusable_answer"),
        (part("[" * 100_000), "unusable_answer"),
        (part({"status": "CONNECTED"}), "unusable_answer"),
        (part({"id": "1001"}, 500), "unusable_answer"),
        ({"code": "x"}, "unusable_answer"),
        ("?", "unusable_answer"),
    ],
)
def test_a_number_that_fails_spoils_no_other_of_the_request(call, given: object, code: str) -> None:
    answer = httpx.Response(200, json=[given, None, part({"id": "1003"})])
    questions = [("1001", ["id"]), ("1002", ["id"]), ("1003", ["id"])]

    failed, unanswered, node = call("numbers_at_once", questions, answers=[answer])

    assert isinstance(failed, WacoexError)
    assert failed.code == code
    assert (unanswered, node) == (None, {"id": "1003"})


def test_half_a_character_in_a_part_can_be_stored(call) -> None:
    answer = httpx.Response(200, json=[part('{"id": "1001", "verified_name": "\\ud83d"}')])

    [node] = call("numbers_at_once", [("1001", ["id"])], answers=[answer])

    assert node["verified_name"] == "?"


@pytest.mark.parametrize("body", [[], {}, "x", [None, None]])
def test_an_answer_to_another_number_of_questions_is_unusable(call, body: object) -> None:
    with pytest.raises(TemporaryError, match="unusable answer"):
        call("numbers_at_once", [("1", ["id"])], answers=[httpx.Response(200, json=body)])
