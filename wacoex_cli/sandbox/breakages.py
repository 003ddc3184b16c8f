"""Making an answer that a fault demands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from wacoex_cli.sandbox.faults import REFUSALS, Fault
from wacoex_cli.sandbox.refusals import Refusal, error_body
from wacoex_cli.sandbox.wire import Reply, json_reply

_PAGE = b"<!DOCTYPE html><html><head><title>Sorry</title></head><body>Sorry, something went wrong."


def spoil(fault: Fault, reply: Reply, trace_id: str) -> Reply:
    """What the sender gets to see in place of `reply`."""
    if fault.kind in REFUSALS:
        return _refusal(fault, trace_id)
    return _BREAKAGES[fault.kind](fault, reply)


def _refusal(fault: Fault, trace_id: str) -> Reply:
    _, subcode, status = REFUSALS[fault.kind]
    refusal = Refusal(
        fault.error_code or 0,
        fault.details,
        subcode=fault.subcode if fault.subcode is not None else subcode,
        status=fault.status if fault.status is not None else status,
    )
    return json_reply(error_body(refusal, trace_id), status=refusal.status, headers=fault.headers)


def _text(fault: Fault, status: int, body: bytes, media_type: str) -> Reply:
    return Reply(fault.status or status, body, {"Content-Type": media_type, **fault.headers})


def _redirect(fault: Fault, reply: Reply) -> Reply:
    return Reply(fault.status or 302, b"", {"Location": fault.location, **fault.headers})


def _with_body(fault: Fault, reply: Reply, body: bytes) -> Reply:
    headers = {**reply.headers, "Content-Type": "application/json", **fault.headers}
    return replace(reply, status=fault.status or reply.status, body=body, headers=headers)


_BREAKAGES: dict[str, Callable[[Fault, Reply], Reply]] = {
    "server_error": lambda fault, _: _text(fault, 500, b"Internal Server Error", "text/plain"),
    "html": lambda fault, _: _text(fault, 200, _PAGE, "text/html; charset=utf-8"),
    "redirect": _redirect,
    "reset_before": lambda _, __: Reply(manner="reset"),
    "reset_after": lambda _, __: Reply(manner="reset"),
    "hang": lambda _, __: Reply(manner="hang"),
    "slow_answer": lambda fault, reply: replace(reply, manner="drip", seconds=fault.seconds),
    "truncated_json": lambda fault, reply: _with_body(
        fault, reply, reply.body[: len(reply.body) // 2]
    ),
    "invalid_json": lambda fault, reply: _with_body(fault, reply, b'{"messages": [{"id": wamid'),
    "empty_body": lambda fault, reply: _with_body(fault, reply, b""),
    "empty_object": lambda fault, reply: _with_body(fault, reply, b"{}"),
}
