"""One attempt to send: checked, rated, taken or refused, and kept in the log."""

from __future__ import annotations

from dataclasses import dataclass

from wacoex_cli.sandbox.access import token_of, visible_node
from wacoex_cli.sandbox.arrivals import Arrival
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.messages import check_message, recipient_of
from wacoex_cli.sandbox.nodes import PHONE_NUMBER
from wacoex_cli.sandbox.refusals import Refusal, error_body, unknown_object
from wacoex_cli.sandbox.statuses import follow
from wacoex_cli.sandbox.wire import Call, Reply, json_reply
from wacoex_cli.sandbox.world import SEND_SCOPE, World


@dataclass(frozen=True, slots=True)
class _Result:
    outcome: str
    code: int | None = None
    message_id: str | None = None


def send_message(world: World, call: Call, phone_number_id: str, fault: Fault | None) -> Reply:
    """Answer a POST to `messages` and keep the arrival.

    With a fault that does not take messages nothing is checked, and the answer is empty: it is
    replaced anyway. With one that does, the answer is what the sender would have read.
    """
    body = call.json()
    at = world.monotonic()
    if fault is not None and not fault.takes_message:
        _record(world, at, phone_number_id, body, _Result(fault.kind, fault.error_code))
        return Reply()
    try:
        message_id = _take(world, call, phone_number_id, body, at)
    except Refusal as refusal:
        _record(world, at, phone_number_id, body, _Result("refused", refusal.code))
        answer = error_body(refusal, world.trace_id())
        return json_reply(answer, status=refusal.status, headers=refusal.headers)
    outcome = "accepted" if fault is None else fault.kind
    _record(world, at, phone_number_id, body, _Result(outcome, message_id=message_id))
    follow(world, world.log.arrivals[-1], body)
    return json_reply(_accepted(body["to"], message_id))


def _take(world: World, call: Call, phone_number_id: str, body: object, at: float) -> str:
    token = token_of(world, call)
    phone = visible_node(world, token, call, phone_number_id, SEND_SCOPE)
    if phone.kind is not PHONE_NUMBER:
        raise unknown_object(call.method, phone_number_id)
    if phone.id in world.suspended:
        raise Refusal(133010)
    recipient = check_message(
        body,
        sender=_e164(str(phone.values["display_phone_number"])),
        find_template=lambda name, code: world.template(phone.waba_id, name, code),
    )
    return world.take(phone_number_id, recipient, at)


def _e164(display_phone_number: str) -> str:
    return "+" + "".join(filter(str.isdigit, display_phone_number))


def _accepted(to: str, message_id: str) -> dict[str, object]:
    return {
        "messaging_product": "whatsapp",
        "contacts": [{"input": to, "wa_id": to.removeprefix("+")}],
        "messages": [{"id": message_id, "message_status": "accepted"}],
    }


def _record(world: World, at: float, phone_number_id: str, body: object, result: _Result) -> None:
    values = body if isinstance(body, dict) else {}
    callback_data = values.get("biz_opaque_callback_data")
    recipient = recipient_of(body)
    world.record(
        Arrival(
            number=len(world.log) + 1,
            at=at,
            phone_number_id=phone_number_id,
            recipient=recipient,
            biz_opaque_callback_data=callback_data if isinstance(callback_data, str) else None,
            outcome=result.outcome,
            accepted=result.message_id is not None,
            code=result.code,
            message_id=result.message_id,
            without_plus=recipient is not None and values.get("to") != recipient,
        )
    )
