"""Before several broadcasts are sent, what they share is read once."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.broadcast.conftest import LeapingClock
from tests.broadcast.test_several import Agency, approved_after_a_wait
from wacoex_cli.broadcast.send_task import SendTask, prepare
from wacoex_cli.channels.model import Provider
from wacoex_cli.channels.sending_reads import RecentReads
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.workspace import open_workspace
from wacoex_cli.ledger.model import Status
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, WABA_ID, World
from wacoex_cli.sending.guards import SendOrder
from wacoex_cli.sending.providers import WARM_CONNECTIONS
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.render import Invocation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.broadcast.conftest import Shop
    from wacoex_cli.ledger.model import Broadcast

VERSION = "/v26.0"
ACCOUNT, TEMPLATES = f"GET {VERSION}/{WABA_ID}", f"GET {VERSION}/{WABA_ID}/message_templates"
TOGETHER = f"POST {VERSION}"


@pytest.fixture
def world() -> World:
    made = default_world(extra_templates=8)
    made.set_limit(PHONE_NUMBER_ID, 1_000_000)
    made.patch_settings({"pair_rate": False})
    return made


@pytest.fixture
def agency(shop: Shop) -> Agency:
    return Agency(shop)


def of_number(agency: Agency, number: int) -> str:
    return f"GET {VERSION}/{agency.number_id(number)}"


def reads(agency: Agency) -> Counter[str]:
    """How often each path was asked for since the last call."""
    log = agency.shop.world.log
    found, log.reads = log.reads, Counter()
    return found


def ten_of_one_number(agency: Agency) -> list[Broadcast]:
    first = agency.planned(1, 1)
    return [first, *(agency.planned_more(1) for _ in range(9))]


def test_ten_broadcasts_of_one_number_read_what_one_reads(
    agency: Agency, cli: Callable[..., Any]
) -> None:
    alone, *planned = [*ten_of_one_number(agency), agency.planned_more(1)]
    reads(agency)
    cli("broadcast", "send", alone.broadcast_id, "--yes", "--json")
    of_one = reads(agency)

    ended = cli("broadcast", "send", *(each.broadcast_id for each in planned), "--yes", "--json")

    assert (ended.code, ended.data["totals"]["taken"]) == (0, 10), ended.err
    assert reads(agency) == of_one
    assert of_one == {
        of_number(agency, 1): 1 + WARM_CONNECTIONS,
        ACCOUNT: 1,
        TEMPLATES: 1,
    }


def test_ten_numbers_of_one_account_are_read_in_one_request(
    agency: Agency, cli: Callable[..., Any]
) -> None:
    for number in range(1, 11):
        agency.planned(number, 1)
    reads(agency)

    ended = cli("broadcast", "send", "--all-planned", "--yes", "--json")

    assert (ended.code, ended.data["totals"]["taken"]) == (0, 10), ended.err
    warmed = {of_number(agency, number): WARM_CONNECTIONS for number in range(1, 11)}
    assert reads(agency) == {TOGETHER: 1, ACCOUNT: 1, TEMPLATES: 1, **warmed}


def test_without_combined_requests_each_number_is_read_alone(
    agency: Agency, cli: Callable[..., Any]
) -> None:
    for number in (1, 2, 3):
        agency.planned(number, 1)
    agency.shop.world.patch_settings({"takes_batches": False})
    reads(agency)

    ended = cli("broadcast", "send", "--all-planned", "--yes", "--json")

    assert (ended.code, ended.data["totals"]["taken"]) == (0, 3), ended.err
    found = reads(agency)
    assert [found[of_number(agency, number)] for number in (1, 2, 3)] == [1 + WARM_CONNECTIONS] * 3


def test_many_templates_of_an_account_are_read_as_one_list(
    agency: Agency, cli: Callable[..., Any]
) -> None:
    agency.add_number(1)
    shop = agency.shop
    for place in range(1, 8):
        people = shop.file(f"people{place}.csv", [(shop.phone(place),)])
        shop.planned(people, template=f"extra_{place:03}")
    reads(agency)

    ended = cli("broadcast", "send", "--all-planned", "--yes", "--json")

    assert (ended.code, ended.data["totals"]["taken"]) == (0, 7), ended.err
    # A few by their names, then the list of all.
    assert reads(agency)[TEMPLATES] == 4


@pytest.mark.parametrize("provider", [Provider.RESPONDIO], ids=str)
def test_lists_of_respondio_are_read_once_too(shop: Shop, cli: Callable[..., Any]) -> None:
    shop.befriend(3)
    for place, template in enumerate(("opening_hours", "extra_001", "extra_002"), start=1):
        shop.planned(shop.file(f"p{place}.csv", [(shop.phone(place),)]), template=template)

    ended = cli("broadcast", "send", "--all-planned", "--yes", "--json", "-vv")

    assert (ended.code, ended.data["totals"]["taken"]) == (0, 3), ended.err
    lines = [line for line in ended.err.splitlines() if "GET" in line and "/space/" in line]
    assert [line.partition("/space/")[2].split(":")[0] for line in lines] == [
        "channel",
        "channel/4242/template",
    ]


def test_facts_read_before_a_wait_are_read_again_after_it(agency: Agency) -> None:
    planned = ten_of_one_number(agency)
    reads(agency)

    approved, _, _ = approved_after_a_wait(agency, planned, lambda: None, expect=None)

    assert len(approved) == 10
    assert reads(agency) == {of_number(agency, 1): 2, ACCOUNT: 2, TEMPLATES: 2}


def test_a_change_while_they_wait_is_seen(agency: Agency) -> None:
    planned = ten_of_one_number(agency)
    templates = agency.shop.world.templates(WABA_ID)

    def pause() -> None:
        for template in templates:
            template.patch({"status": "PAUSED"})

    approved, refused, _ = approved_after_a_wait(agency, planned, pause, expect=None)

    assert approved == []
    assert refused == [each.broadcast_id for each in planned]


def test_a_number_that_cannot_be_read_leaves_out_its_own_broadcasts(
    agency: Agency, cli: Callable[..., Any]
) -> None:
    good = [agency.planned(1, 1), agency.planned_more(1)]
    bad = [agency.planned(2, 1), agency.planned_more(1)]
    agency.shop.faults(Fault("refuse", code=10, on="reads", path=agency.number_id(2)))

    ended = cli("broadcast", "send", "--all-planned", "--yes", "--json")

    assert ended.code == 7, ended.err
    assert {each["broadcast_id"] for each in ended.data["left_out"]} == {
        each.broadcast_id for each in bad
    }
    assert {agency.status(each) for each in good} == {Status.COMPLETED}
    assert {agency.status(each) for each in bad} == {Status.PLANNED}


def test_while_they_are_sent_a_template_is_read_again_once_for_all(
    agency: Agency, eventually: Callable[[Callable[[], bool]], Awaitable[bool]]
) -> None:
    shop, clock = agency.shop, LeapingClock()
    planned = [agency.planned(1, 1), agency.planned_more(1), agency.planned_more(1)]

    def are_read_since(moment: str) -> bool:
        return all(shop.current(each).category_known_at >= moment for each in planned)

    async def look_twice(tasks: list[SendTask]) -> None:
        recent, failed = RecentReads(clock), list[BaseException]()
        async with AsyncExitStack() as stack:
            for task in tasks:
                await stack.enter_async_context(task.reading(recent, failed.append))
            for _ in range(2):
                await asyncio.sleep(0.2)  # each begins to wait
                clock.leap(601)
                await eventually(partial(are_read_since, to_text(clock.now())))
        assert failed == []

    with open_workspace(
        environ=shop.environ, clock=clock, warn=print, log=print, announce=lambda settings: None
    ) as workspace:
        dialogue = TerminalDialogue(Invocation())
        tasks = [prepare(workspace, shop.channel, each, SendOrder(), dialogue) for each in planned]
        reads(agency)
        workspace.run(look_twice(tasks))

    assert reads(agency) == {TEMPLATES: 2}
