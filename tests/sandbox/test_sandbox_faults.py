"""Faults: which requests they strike, and what the sender then gets to see."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.sandbox.faults import KINDS, Fault, Faults, GraphError, Request
from wacoex_cli.sandbox.serve import fault_from_json
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, SECOND_PHONE_NUMBER_ID, WABA_ID, World

Send = Callable[..., httpx.Response]

MESSAGE = Request("/v26.0/1/messages", True, "1", "+6591234567")
READ = Request("/v26.0/2/message_templates")


def struck(faults: Faults, times: int, request: Request = MESSAGE) -> list[bool]:
    return [faults.choose(request).fault is not None for _ in range(times)]


def with_faults(*faults: Fault, seed: int = 0) -> Faults:
    standing = Faults(seed=seed, monotonic=lambda: 0.0)
    standing.replace(faults)
    return standing


def test_a_fault_strikes_at_most_the_given_number_of_times() -> None:
    assert struck(with_faults(Fault("hang", count=2)), 4) == [True, True, False, False]


def test_a_fault_strikes_the_arrivals_named() -> None:
    faults = with_faults(Fault("hang", arrivals=frozenset({2, 4})))

    assert struck(faults, 5) == [False, True, False, True, False]


def test_arrivals_are_counted_among_the_requests_the_fault_is_for() -> None:
    faults = with_faults(Fault("hang", arrivals=frozenset({2})))

    assert struck(faults, 3, READ) == [False] * 3
    assert struck(faults, 2) == [False, True]


def test_a_probability_makes_the_same_choices_for_the_same_seed() -> None:
    def choices(seed: int) -> list[bool]:
        return struck(with_faults(Fault("hang", probability=0.3), seed=seed), 200)

    assert choices(1) == choices(1) != choices(2)
    assert 30 < sum(choices(1)) < 90


@given(probability=st.sampled_from([0.0, 1.0]))
def test_a_probability_of_none_or_all_is_certain(probability: float) -> None:
    faults = with_faults(Fault("hang", probability=probability))

    assert set(struck(faults, 5)) == {probability == 1.0}


def test_a_fault_can_be_for_some_recipients() -> None:
    faults = with_faults(Fault("hang", recipients=frozenset({"6591234567"})))
    other = Request(MESSAGE.path, True, "1", "+6591234568")

    assert struck(faults, 1) == [True]
    assert struck(faults, 1, other) == [False]


@pytest.mark.parametrize(
    ("on", "message", "read"),
    [("messages", True, False), ("reads", False, True), ("all", True, True)],
)
def test_a_fault_is_on_messages_reads_or_all(on: str, message: bool, read: bool) -> None:
    faults = with_faults(Fault("hang", on=on))

    assert struck(faults, 1) == [message]
    assert struck(faults, 1, READ) == [read]


def test_a_fault_can_be_for_one_number_or_one_path() -> None:
    faults = with_faults(Fault("hang", on="all", phone_number_id="1"))
    assert (struck(faults, 1), struck(faults, 1, READ)) == ([True], [False])

    faults = with_faults(Fault("hang", on="all", path="message_templates"))
    assert (struck(faults, 1), struck(faults, 1, READ)) == ([False], [True])


def test_a_fault_can_begin_later_and_end_by_itself() -> None:
    clock = SimpleNamespace(now=0.0)
    faults = Faults(monotonic=lambda: clock.now)
    faults.replace([Fault("hang", after_seconds=2.0, for_seconds=3.0)])

    strikes = {}
    for clock.now in (0.0, 1.9, 2.0, 4.9, 5.0):
        strikes[clock.now] = struck(faults, 1)[0]

    assert strikes == {0.0: False, 1.9: False, 2.0: True, 4.9: True, 5.0: False}


def test_delays_add_up_and_go_with_one_other_fault() -> None:
    faults = with_faults(
        Fault("latency", seconds=0.3),
        Fault("latency", seconds=0.1, seconds_max=0.2),
        Fault("arrival_jitter", seconds=0.05),
        Fault("html", count=1),
        Fault("hang", count=1),
    )

    first, second = faults.choose(MESSAGE), faults.choose(MESSAGE)

    assert 0.4 <= first.latency <= 0.5
    assert first.arrival_jitter == 0.05
    assert [each.fault.kind for each in (first, second) if each.fault] == ["html", "hang"]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"kind": "earthquake"},
        {"kind": "refuse"},
        {"kind": "hang", "on": "writes"},
        {"kind": "hang", "probability": 2},
        {"kind": "hang", "probability": "often"},
        {"kind": "hang", "colour": "red"},
        {"kind": "hang", "arrivals": ["first"]},
        {"kind": "refuse", "code": 4, "headers": {"Retry-After": 5}},
        {"kind": "latency", "seconds": 2, "seconds_max": 1},
        {"kind": "latency", "seconds": -1},
    ],
)
def test_an_impossible_fault_is_a_value_error(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"fault|`"):
        fault_from_json(values)


def test_a_fault_can_be_written_as_json() -> None:
    text = '{"kind": "refuse", "code": 130429, "arrivals": [1, 2], "headers": {"Retry-After": "5"}}'

    fault = fault_from_json(json.loads(text))

    assert fault.arrivals == {1, 2}
    assert (fault.code, fault.headers) == (130429, {"Retry-After": "5"})


def test_a_refusal_has_the_documented_status_and_the_headers_given(
    send: Send, world: World
) -> None:
    usage = '{"1":[{"type":"messages","estimated_time_to_regain_access":2}]}'
    headers = {"Retry-After": "5", "X-Business-Use-Case-Usage": usage}
    world.faults.replace([Fault("refuse", code=80007, headers=headers)])

    response = send()

    assert (response.status_code, response.json()["error"]["code"]) == (400, 80007)
    assert response.headers["Retry-After"] == "5"
    assert response.headers["X-Business-Use-Case-Usage"] == usage


@pytest.mark.parametrize(
    ("fault", "status", "code", "subcode"),
    [
        (Fault("refuse", code=131016), 500, 131016, None),
        (Fault("refuse", code=130429, status=403), 403, 130429, None),
        (Fault("refuse", code=100, subcode=33), 400, 100, 33),
        (Fault("refuse", code=999999), 400, 999999, None),
        (Fault("throttled"), 400, 130429, None),
        (Fault("expired_token"), 401, 190, 463),
        (Fault("template_paused"), 400, 132015, None),
        (Fault("account_locked"), 403, 131031, None),
        (Fault("error_in_200"), 200, 131016, None),
        (Fault("error_in_200", code=131000), 200, 131000, None),
    ],
)
def test_a_refusing_fault_answers_with_its_code_and_takes_nothing(
    send: Send, world: World, fault: Fault, status: int, code: int, subcode: int | None
) -> None:
    world.faults.replace([fault])

    response = send()

    error = response.json()["error"]
    assert (response.status_code, error["code"], error.get("error_subcode")) == (
        status,
        code,
        subcode,
    )
    (arrival,) = world.log.arrivals
    assert (arrival.outcome, arrival.accepted, arrival.code) == (fault.kind, False, code)


@pytest.mark.parametrize(
    ("kind", "taken", "status", "begins"),
    [
        ("server_error", False, 500, "Internal Server Error"),
        ("html", False, 200, "<!DOCTYPE html>"),
        ("redirect", False, 302, ""),
        ("truncated_json", True, 200, '{"messaging_product":'),
        ("invalid_json", True, 200, '{"messages": [{"id": wamid'),
        ("empty_body", True, 200, ""),
        ("empty_object", True, 200, "{}"),
    ],
)
def test_a_broken_answer_may_belong_to_a_message_that_was_taken(
    send: Send, world: World, kind: str, taken: bool, status: int, begins: str
) -> None:
    world.faults.replace([Fault(kind)])

    response = send()

    assert response.status_code == status
    assert response.text.startswith(begins)
    assert response.text == begins or len(response.text) > len(begins)
    (arrival,) = world.log.arrivals
    assert (arrival.outcome, arrival.accepted) == (kind, taken)


@pytest.mark.parametrize("accepts", [True, False])
def test_a_fault_can_say_whether_the_message_is_taken(
    send: Send, world: World, accepts: bool
) -> None:
    world.faults.replace([Fault("server_error", status=503, accepts=accepts)])

    assert send().status_code == 503
    assert world.log.arrivals[0].accepted is accepts


def test_a_truncated_answer_is_not_json(send: Send, world: World) -> None:
    world.faults.replace([Fault("truncated_json")])

    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        send().json()


def test_a_redirect_leads_to_another_host(send: Send, world: World) -> None:
    world.faults.replace([Fault("redirect", location="https://elsewhere.example/x")])

    assert send().headers["Location"] == "https://elsewhere.example/x"


def test_a_message_that_is_refused_anyway_is_not_taken_by_a_fault(send: Send, world: World) -> None:
    world.set_limit(PHONE_NUMBER_ID, 0)
    world.faults.replace([Fault("empty_body")])

    assert send().text == ""
    assert (world.log.arrivals[0].accepted, world.log.arrivals[0].code) == (False, 130429)


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [
        ("html", 200, "<!DOCTYPE html>"),
        ("server_error", 500, "Internal Server Error"),
        ("empty_object", 200, "{}"),
        ("truncated_json", 200, '{"data":'),
    ],
)
def test_reads_can_break_too_while_messages_work(
    call: Send, send: Send, world: World, kind: str, status: int, text: str
) -> None:
    world.faults.replace([Fault(kind, on="reads", path="message_templates")])

    response = call("GET", f"/v26.0/{WABA_ID}/message_templates")

    assert response.status_code == status
    assert response.text.startswith(text)
    assert call("GET", f"/v26.0/{WABA_ID}").json()["name"] == "Corner Bakery"
    assert send().status_code == 200


def test_a_fault_of_one_number_leaves_the_other_alone(send: Send, world: World) -> None:
    world.faults.replace([Fault("account_locked", phone_number_id=PHONE_NUMBER_ID)])

    assert send().status_code == 403
    assert send(number=SECOND_PHONE_NUMBER_ID).status_code == 200


def test_faults_that_are_cleared_strike_no_more(send: Send, world: World) -> None:
    world.faults.replace([Fault("account_locked")])
    world.faults.replace([])

    assert send().status_code == 200


def test_every_kind_of_fault_can_be_put(world: World) -> None:
    world.faults.replace([Fault(kind, code=131000) for kind in KINDS])


@pytest.mark.parametrize(
    ("code", "subcode", "status", "message"),
    [
        (190, 463, 401, "Error validating access token: Session has expired."),
        (190, 460, 401, "(#190) Invalid OAuth access token - Cannot parse access token"),
        (100, 36009, 400, "This authorization code has been used."),
        (132001, None, 404, "(#132001) Template name does not exist in the translation"),
        (999999, None, 400, "(#999999) An unknown error has occurred"),
    ],
)
def test_a_code_has_the_status_and_the_words_that_meta_documents(
    code: int, subcode: int | None, status: int, message: str
) -> None:
    error = GraphError(code, subcode=subcode)

    assert (error.status, error.message) == (status, message)
