"""Faults at the pretend respond.io: what the sender gets to see, and whether it was taken."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import World

Call = Callable[..., httpx.Response]

ANA = "+6591000001"


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault("throttled"), 429),
        (Fault("expired_token"), 401),
        (Fault("refuse", code=449), 449),
        (Fault("refuse", code=404), 404),
        (Fault("refuse", code=131026), 400),
        (Fault("template_paused"), 400),
        (Fault("html", status=403), 403),
        (Fault("server_error"), 500),
        (Fault("server_error", status=502), 502),
        (Fault("redirect"), 302),
    ],
)
def test_a_fault_that_takes_nothing(write: Call, world: World, fault: Fault, status: int) -> None:
    world.faults.replace([fault])

    answer = write()

    assert answer.status_code == status
    [arrival] = world.log.arrivals
    assert (arrival.outcome, arrival.accepted, arrival.recipient) == (fault.kind, False, ANA)
    assert arrival.code == (
        status
        if fault.kind in ("throttled", "expired_token", "refuse", "template_paused")
        else None
    )
    if status == 429:
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["x-ratelimit-limit"] == "10"


@pytest.mark.parametrize(
    "fault",
    [
        Fault("empty_body"),
        Fault("truncated_json"),
        Fault("empty_object"),
        Fault("server_error", accepts=True),
    ],
)
def test_a_fault_that_spoils_the_answer_of_a_message_that_was_taken(
    ask: Call, write: Call, world: World, fault: Fault
) -> None:
    world.faults.replace([fault])

    write()

    [arrival] = world.log.arrivals
    assert (arrival.outcome, arrival.accepted) == (fault.kind, True)
    newest = ask("GET", f"contact/phone:{ANA}/message/list").json()["items"][0]
    assert str(newest["messageId"]) == arrival.message_id


@pytest.mark.parametrize(("kind", "taken"), [("reset_before", 0), ("reset_after", 1)])
def test_the_connection_can_break(write: Call, world: World, kind: str, taken: int) -> None:
    world.faults.replace([Fault(kind)])

    with pytest.raises(ConnectionResetError):
        write()

    assert len(world.log.accepted()) == taken


def test_a_fault_can_be_for_one_person_or_one_path_only(
    ask: Call, write: Call, send: Call, world: World
) -> None:
    contact = world.respondio.add_contact("+6591000003")
    world.faults.replace(
        [
            Fault("throttled", recipients=frozenset({"+6591000003"})),
            Fault("server_error", path="/respondio/v2/contact/phone"),
            Fault("server_error", path="/message/list", on="reads"),
        ]
    )

    assert write(to=f"id:{contact.id}").status_code == 429
    assert write().status_code == 500
    assert send(ANA).status_code == 200
    assert ask("GET", f"contact/phone:{ANA}/message/list").status_code == 500


def test_reads_are_not_struck_by_faults_without_a_path(ask: Call, world: World) -> None:
    world.faults.replace([Fault("server_error", on="all")])

    assert ask("GET", "space/channel").status_code == 200
