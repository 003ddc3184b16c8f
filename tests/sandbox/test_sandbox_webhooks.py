"""What the sandbox reports by webhook, how it signs it, and what happens to its messages."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.webhooks import META_KINDS, RESPONDIO_KINDS, emit
from wacoex_cli.sandbox.wire import Callbacks
from wacoex_cli.sandbox.world import (
    APP_SECRET,
    PHONE,
    PHONE_NUMBER_ID,
    SECOND_PHONE_NUMBER_ID,
    SIGNING_KEY,
    WABA_ID,
    World,
)

Call = Callable[..., httpx.Response]
PERSON = "+6591234567"


@pytest.fixture
def control(call: Call) -> Call:
    def run(method: str, name: str, **more: Any) -> httpx.Response:
        return call(method, f"/_sandbox/{name}", token=None, **more)

    return run


@pytest.fixture
def reported(control: Call) -> Callable[..., dict[str, Any]]:
    """Emit one thing of a kind and give the only change of the only webhook."""

    def run(kind: str, **values: Any) -> dict[str, Any]:
        answer = control("POST", "emit", json={"kind": kind, **values})
        assert answer.status_code == 200, answer.text
        [payload] = answer.json()["payloads"]
        [entry] = payload["entry"]
        [change] = entry["changes"]
        assert payload["object"] == "whatsapp_business_account"
        return {**change, "entry_id": entry["id"], "time": entry["time"]}

    return run


class Receiver:
    """A server that keeps what it receives, and answers as the test sets it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.statuses: list[int] = []
        self.verify_token = "handshake"
        self.posts: list[tuple[str, dict[str, str], bytes]] = []

    def bodies(self) -> list[Any]:
        return [json.loads(body) for _, _, body in self.posts]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            if query["hub.verify_token"] == [kept.verify_token]:
                self.answer(200, query["hub.challenge"][0].encode())
            else:
                self.answer(403)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): text for name, text in self.headers.items()}
            kept.posts.append((self.path, headers, body))
            self.answer(kept.statuses.pop(0) if kept.statuses else 200)

        def answer(self, status: int, body: bytes = b"") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        kept = Receiver(f"http://127.0.0.1:{server.server_address[1]}/hook")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield kept
        server.shutdown()
        thread.join()


@pytest.fixture
def served() -> Iterator[tuple[World, httpx.Client]]:
    world = default_world()
    with (
        running(world) as base_url,
        httpx.Client(base_url=f"{base_url}/_sandbox/", timeout=5, trust_env=False) as client,
    ):
        yield world, client


def until_delivered(client: httpx.Client) -> list[dict[str, Any]]:
    for _ in range(1000):
        seen = client.get("webhooks").json()
        if not seen["waiting"]:
            tries: list[dict[str, Any]] = seen["deliveries"]
            return tries
        time.sleep(0.01)
    raise AssertionError("the webhooks were not delivered")


@pytest.mark.parametrize("kind", META_KINDS)
def test_every_kind_can_be_emitted_with_its_defaults(kind: str, control: Call) -> None:
    answer = control("POST", "emit", json={"kind": kind}).json()

    assert answer["emitted"] == len(answer["payloads"]) >= 1
    assert answer["withheld"] == 0
    assert control("GET", "outbox").json() == answer["payloads"]


@pytest.mark.parametrize("kind", RESPONDIO_KINDS)
def test_respond_io_reports_every_kind(kind: str, control: Call) -> None:
    [body] = control("POST", "emit", json={"kind": kind, "source": "respondio"}).json()["payloads"]

    assert body["contact"]["phone"] == PERSON
    assert body["event_id"]


def test_the_test_call_of_respond_io_has_no_event_type(control: Call) -> None:
    values = {"kind": "other", "source": "respondio", "event_type": ""}
    [body] = control("POST", "emit", json=values).json()["payloads"]

    assert "event_type" not in body


def test_a_message_that_respond_io_reported_can_be_listed_there(
    control: Call, world: World
) -> None:
    values = {"kind": "echo", "source": "respondio", "days_ago": 2}
    [body] = control("POST", "emit", json=values).json()["payloads"]

    message = body["message"]
    contact = world.respondio.find(f"phone:{PERSON}")
    assert contact is not None
    assert body["event_type"] == "message.sent"
    assert message["sender"] == {"source": "echo"}
    assert contact.messages[message["messageId"]]["channelMessageId"] == message["channelMessageId"]
    assert message["messageId"] // 1_000_000 == int(world.now()) - 2 * 86_400


def test_an_echo_names_the_number_it_was_sent_from(
    reported: Callable[..., Any], world: World
) -> None:
    change = reported("echo", days_ago=1.5, text="hello")

    [message] = change["value"]["message_echoes"]
    assert change["field"] == "smb_message_echoes"
    assert change["value"]["metadata"]["phone_number_id"] == PHONE_NUMBER_ID
    assert message["from"] == PHONE.removeprefix("+")
    assert message["timestamp"] == str(int(world.now() - 1.5 * 86_400))
    assert message["text"] == {"body": "hello"}


@pytest.mark.parametrize("code", [131051, 131060])
def test_an_unsupported_message_carries_its_code(reported: Callable[..., Any], code: int) -> None:
    [message] = reported("unsupported", code=code)["value"]["messages"]

    assert message["type"] == "unsupported"
    assert message["errors"][0]["code"] == code


def test_a_payload_can_come_without_phone_numbers(reported: Callable[..., Any]) -> None:
    value = reported("message", without_phone_number=True)["value"]

    assert "wa_id" not in value["contacts"][0]
    assert "from" not in value["messages"][0]
    assert value["messages"][0]["from_user_id"].startswith("SG.")


def test_history_comes_in_chunks_out_of_order_when_asked(control: Call) -> None:
    values = {"kind": "history", "chunks": 6, "shuffled": True, "seed": 3}
    payloads = control("POST", "emit", json=values).json()["payloads"]

    reported = [
        payload["entry"][0]["changes"][0]["value"]["history"][0]["metadata"] for payload in payloads
    ]
    orders = [each["chunk_order"] for each in reported]
    assert sorted(orders) == [1, 2, 3, 4, 5, 6] != orders
    assert {each["phase"] for each in reported} == {0, 1, 2}
    assert max(each["progress"] for each in reported) == 100


@pytest.mark.parametrize(
    ("shape", "names_phone", "entry_is_waba"),
    [("onboarding", True, True), ("reference", False, False)],
)
def test_an_account_update_has_either_documented_shape(
    reported: Callable[..., Any], shape: str, names_phone: bool, entry_is_waba: bool
) -> None:
    change = reported("account_update", event="PARTNER_ADDED", shape=shape)

    assert ("phone_number" in change["value"]) is names_phone
    assert ("waba_info" in change["value"]) is not names_phone
    assert (change["entry_id"] == WABA_ID) is entry_is_waba


def test_offboarding_names_neither_phone_nor_more(reported: Callable[..., Any]) -> None:
    change = reported("account_update", event="ACCOUNT_OFFBOARDED", shape="reference")

    assert change["value"] == {"event": "ACCOUNT_OFFBOARDED"}
    assert change["entry_id"] == WABA_ID


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"kind": "earthquake"}, "`earthquake` is not a kind"),
        ({"kind": "echo", "source": "telegram"}, "`source` must be"),
        ({"kind": "echo", "colour": "red"}, "`colour` is not known of `echo`"),
        ({"kind": "echo", "text": 7}, "`text` of `echo` has the wrong type"),
        ({"kind": "echo", "times": "many"}, "`times` of `emit` has the wrong type"),
        ({"kind": "echo", "phone_number_id": WABA_ID}, "not a phone number"),
        ({"kind": "account_update", "shape": "round"}, "`shape` must be"),
        ([], "JSON object"),
    ],
)
def test_a_webhook_that_cannot_be_emitted_is_named(
    control: Call, values: object, text: str
) -> None:
    answer = control("POST", "emit", json=values)

    assert answer.status_code == 400
    assert text in answer.json()["error"]


def test_webhooks_go_to_this_machine_only(control: Call) -> None:
    answer = control("POST", "webhooks", json={"meta_url": "https://hooks.example/meta"})

    assert answer.status_code == 400
    assert "nothing leaves it" in answer.json()["error"]


def test_a_webhook_is_signed_over_its_exact_bytes(
    served: tuple[World, httpx.Client], receiver: Receiver
) -> None:
    _, client = served
    client.post("webhooks", json={"meta_url": receiver.url, "respondio_url": f"{receiver.url}/r"})

    client.post("emit", json={"kind": "echo"})
    client.post("emit", json={"kind": "echo", "source": "respondio"})

    assert [first["status"] for first in until_delivered(client)] == [200, 200]
    (_, meta, meta_body), (path, respondio, respondio_body) = receiver.posts
    expected = hmac.new(APP_SECRET.encode(), meta_body, hashlib.sha256).hexdigest()
    assert meta["x-hub-signature-256"] == f"sha256={expected}"
    digest = hmac.new(SIGNING_KEY.encode(), respondio_body, hashlib.sha256).digest()
    assert respondio["x-webhook-signature"] == base64.b64encode(digest).decode()
    assert path == "/hook/r"
    assert client.get("outbox").json() == receiver.bodies()


def test_another_secret_signs_when_one_is_given(
    served: tuple[World, httpx.Client], receiver: Receiver
) -> None:
    _, client = served
    client.post("webhooks", json={"meta_url": receiver.url, "app_secret": "another"})

    client.post("emit", json={"kind": "quality"})

    until_delivered(client)
    [(_, headers, body)] = receiver.posts
    expected = hmac.new(b"another", body, hashlib.sha256).hexdigest()
    assert headers["x-hub-signature-256"] == f"sha256={expected}"


def test_the_handshake_comes_before_the_first_webhook(
    served: tuple[World, httpx.Client], receiver: Receiver
) -> None:
    _, client = served

    wrong = client.post("webhooks", json={"meta_url": receiver.url, "verify_token": "guess"})
    right = client.post("webhooks", json={"meta_url": receiver.url, "verify_token": "handshake"})

    assert (wrong.status_code, right.status_code) == (400, 200)
    assert "did not return the challenge: status 403" in wrong.json()["error"]
    assert right.json()["meta_url"] == receiver.url


def test_a_refused_webhook_is_delivered_again(
    served: tuple[World, httpx.Client], receiver: Receiver
) -> None:
    world, client = served
    receiver.statuses = [503, 500]
    world.callbacks = Callbacks(meta_url=receiver.url)

    emit(world, "alert")

    tries = until_delivered(client)
    assert [(first["attempt"], first["status"]) for first in tries] == [
        (1, 503),
        (2, 500),
        (3, 200),
    ]
    assert len({body for _, _, body in receiver.posts}) == 1


def test_a_receiver_that_is_not_there_is_logged(served: tuple[World, httpx.Client]) -> None:
    world, client = served
    world.callbacks = Callbacks(meta_url="http://127.0.0.1:9/hook")

    emit(world, "alert")

    for _ in range(500):
        tries = client.get("webhooks").json()["deliveries"]
        if tries:
            break
        time.sleep(0.01)
    assert tries[0]["status"] is None
    assert tries[0]["error"] == "ConnectError"


@pytest.mark.parametrize("wrapper", [None, "n8n", "text"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_delivery_can_come_packed_and_wrapped(
    served: tuple[World, httpx.Client], receiver: Receiver, wrapper: str | None, packed: bool
) -> None:
    world, client = served
    reported = {"meta_url": receiver.url, "gzip": packed, "wrapper": wrapper}
    assert client.post("webhooks", json=reported).status_code == 200

    [payload] = emit(world, "alert").payloads

    until_delivered(client)
    [(_, headers, body)] = receiver.posts
    plain = gzip.decompress(body) if packed else body
    digest = hmac.new(APP_SECRET.encode(), plain, hashlib.sha256).hexdigest()
    assert headers["x-hub-signature-256"] == f"sha256={digest}"
    found = json.loads(plain)
    if wrapper == "n8n":
        found = found[0]["body"]
    elif wrapper == "text":
        found = json.loads(found["body"])
    assert found == payload


def test_an_unknown_wrapper_is_refused(served: tuple[World, httpx.Client]) -> None:
    answer = served[1].post("webhooks", json={"wrapper": "paper"})

    assert answer.status_code == 400
    assert "`wrapper` must be one of n8n, text" in answer.json()["error"]


@pytest.mark.parametrize(
    ("place", "field"), [("history", "history"), ("value", "history"), ("messages", "messages")]
)
def test_a_history_can_be_declined_in_each_place(
    reported: Callable[..., dict[str, Any]], place: str, field: str
) -> None:
    change = reported("history", declined=True, declined_in=place)

    assert change["field"] == field
    assert "2593109" in json.dumps(change["value"])


def test_something_can_be_delivered_five_times(
    served: tuple[World, httpx.Client], receiver: Receiver
) -> None:
    world, client = served
    world.callbacks = Callbacks(meta_url=receiver.url)

    emit(world, "message", times=5)

    until_delivered(client)
    assert len(receiver.posts) == 5
    assert len({body for _, _, body in receiver.posts}) == 1


def statuses(world: World) -> list[dict[str, Any]]:
    reported = world.outbox.emitted(world.monotonic())
    values = [payload["entry"][0]["changes"][0]["value"] for payload in reported]
    return [status for value in values for status in value["statuses"]]


def test_an_accepted_message_is_sent_delivered_and_read(
    send: Call, control: Call, world: World, clock: Any
) -> None:
    control("POST", "webhooks", json={"statuses": True})

    sent = send("+6591234567", biz_opaque_callback_data="wacoex-a-1-1-1").json()["messages"][0]
    assert statuses(world) == []
    clock.monotonic += 1

    reported = statuses(world)
    assert [first["status"] for first in reported] == ["sent", "delivered", "read"]
    assert {first["id"] for first in reported} == {sent["id"]}
    assert {first["biz_opaque_callback_data"] for first in reported} == {"wacoex-a-1-1-1"}
    assert reported[0]["pricing"]["category"] == "utility"


def test_not_everybody_reads(send: Call, world: World, clock: Any) -> None:
    world.callbacks = Callbacks(statuses=True)
    for number in range(30):
        send(f"+65912345{number:02}")
        clock.monotonic += 1

    names = [first["status"] for first in statuses(world)]

    assert names.count("delivered") == 30
    assert 0 < names.count("read") < 30


def test_without_a_callback_no_statuses_follow(send: Call, world: World, clock: Any) -> None:
    send()
    clock.monotonic += 1

    assert world.outbox.emitted(clock.monotonic) == []


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("status_lost", arrivals=frozenset({2})), ["sent", "read"]),
        (
            Fault("status_duplicated"),
            ["sent", "sent", "delivered", "delivered", "read", "read"],
        ),
        (Fault("status_reordered"), ["read", "delivered", "sent"]),
        (Fault("status_failed", code=131049), ["failed"]),
        (Fault("status_failed", recipients=frozenset({"+6599"})), ["sent", "delivered", "read"]),
    ],
)
def test_statuses_are_lost_duplicated_reordered_or_fail(
    send: Call, world: World, clock: Any, fault: Fault, expected: list[str]
) -> None:
    world.callbacks = Callbacks(statuses=True)
    world.faults.replace([fault])

    assert send("+6591234567").status_code == 200
    clock.monotonic += 1

    reported = statuses(world)
    assert [first["status"] for first in reported] == expected
    if expected == ["failed"]:
        assert reported[0]["errors"][0]["code"] == 131049


@pytest.mark.parametrize(
    ("kind", "word"), [("held", "held_for_quality_assessment"), ("paused", "paused")]
)
@pytest.mark.parametrize("code", [None, 132015])
def test_a_message_that_is_held_back_has_no_statuses_before_it_is_released(
    send: Call, call: Call, world: World, clock: Any, kind: str, word: str, code: int | None
) -> None:
    world.callbacks = Callbacks(statuses=True)
    world.faults.replace([Fault(kind, recipients=frozenset({"+6591234567"}))])
    [held] = send("+6591234567").json()["messages"]
    [other] = send("+6591234568").json()["messages"]
    clock.monotonic += 1

    assert (held["message_status"], other["message_status"]) == (word, "accepted")
    assert {first["id"] for first in statuses(world)} == {other["id"]}
    wanted = {"recipients": ["6591234567"], "code": code}
    answer = call("POST", "/_sandbox/release", token=None, json=wanted)
    assert answer.json() == {"released": 1, "held_back": 0}
    clock.monotonic += 1
    reported = [first for first in statuses(world) if first["id"] == held["id"]]
    assert reported[0]["status"] == ("failed" if code else "sent")
    assert [error["code"] for first in reported for error in first.get("errors", [])] == [
        code
    ] * bool(code)


def test_a_release_reaches_only_the_named_recipients(send: Call, world: World, call: Call) -> None:
    world.faults.replace([Fault("held")])
    send("+6591234567")

    other = {"recipients": ["+6599999999"]}
    assert call("POST", "/_sandbox/release", token=None, json=other).json()["released"] == 0
    history = call("GET", f"/{PHONE_NUMBER_ID}/message_history", params={"fields": "events"})
    assert [row["events"]["data"] for row in history.json()["data"]] == [[]]
    world.reset()
    assert world.held_back == {}


def test_statuses_may_lack_what_the_sender_gave_the_message(
    send: Call, world: World, clock: Any
) -> None:
    world.callbacks = Callbacks(statuses=True)
    world.patch_settings({"returns_callback_data": False})
    send("+6591234567", biz_opaque_callback_data="wacoex-a-1-1-1")
    clock.monotonic += 1

    assert not [first for first in statuses(world) if "biz_opaque_callback_data" in first]


def test_the_statuses_of_a_broken_answer_follow_too(send: Call, world: World, clock: Any) -> None:
    world.callbacks = Callbacks(statuses=True)
    world.faults.replace([Fault("server_error", accepts=True)])

    assert send("+6591234567").status_code == 500
    clock.monotonic += 1

    assert statuses(world)[0]["status"] == "sent"


def test_the_second_number_reports_under_its_own_name(reported: Callable[..., Any]) -> None:
    change = reported("message", phone_number_id=SECOND_PHONE_NUMBER_ID)

    assert change["value"]["metadata"] == {
        "display_phone_number": "6560000002",
        "phone_number_id": SECOND_PHONE_NUMBER_ID,
    }
