"""Numbers of one account are read together: from its list, and many in one request."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.channels.conftest import workspace_with
from wacoex_cli.channels.facts import ChannelFacts, ConnectionState
from wacoex_cli.channels.look import Look
from wacoex_cli.channels.model import Channel, Fact
from wacoex_cli.foundation.clock import SystemClock, to_text
from wacoex_cli.foundation.http import Http
from wacoex_cli.foundation.workspace import Workspace
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.serve import application
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, PHONE_NUMBER_ID, WABA_ID, Node, World

NOW = datetime.now(UTC)
OTHER_ACCOUNT = "104000000000077"
Ask = Callable[[list[Channel]], tuple[dict[str, ChannelFacts], Look]]


@pytest.fixture
def world() -> World:
    return default_world()


@pytest.fixture
def workspace(world: World) -> Iterator[Workspace]:
    with workspace_with(DEFAULT_TOKEN) as opened:
        transport = httpx.ASGITransport(application(world))
        opened.http = Http(SystemClock(), log=lambda text: None, transport=transport)
        yield opened


@pytest.fixture
def ask(workspace: Workspace) -> Ask:
    def run(channels: list[Channel]) -> tuple[dict[str, ChannelFacts], Look]:
        found = [ChannelFacts(channel, NOW) for channel in channels]
        look = Look(workspace, NOW, {})
        workspace.run(look.read(found))
        return {facts.name: facts for facts in found}, look

    return run


def put(world: World, count: int, waba_id: str = WABA_ID, first: int = 0) -> list[Channel]:
    """Put copies of the default number into an account; gives a channel for each."""
    if waba_id not in world.nodes:
        account = world.nodes[WABA_ID]
        world.nodes[waba_id] = Node(account.kind, waba_id, waba_id, dict(account.values))
        world.subscribed_apps[waba_id] = copy.deepcopy(world.subscribed_apps[WABA_ID])
        world.patch_token(DEFAULT_TOKEN, {"waba_ids": frozenset({WABA_ID, waba_id})})
    pattern, channels = world.nodes[PHONE_NUMBER_ID], []
    for place in range(first, first + count):
        node_id, phone = str(10**14 + place), f"+65800{place:05}"
        values = {**copy.deepcopy(pattern.values), "display_phone_number": phone}
        world.nodes[node_id] = Node(pattern.kind, node_id, waba_id, values)
        channels.append(
            Channel(
                phone=phone,
                phone_number_id=node_id,
                waba_id=waba_id,
                channel_id=place + 1,
                name=f"shop-{place}",
            )
        )
    return channels


def requests(world: World, part: str) -> int:
    return sum(count for path, count in world.log.reads.items() if part in path)


def unknown(found: dict[str, ChannelFacts]) -> list[str]:
    return [name for name, facts in found.items() if not facts.is_known or facts.failures]


def test_the_list_of_an_account_gives_all_its_numbers(ask: Ask, world: World) -> None:
    channels = put(world, 230)
    world.nodes[channels[7].phone_number_id or ""].patch({"quality_rating": "RED"})

    found, look = ask(channels)

    assert unknown(found) == []
    assert found["shop-7"].values["quality_rating"] == "RED"
    assert found["shop-8"].values["health_status"]["can_send_message"] == "AVAILABLE"
    assert requests(world, "/phone_numbers") == 3
    # Token, account, apps, and a number that shows which fields the list leaves out.
    assert world.log.summary()["reads"] == 3 + 3 + 1
    assert (look.calls, look.notes) == ({WABA_ID: 7}, [])


def test_a_number_alone_in_its_account_is_read_alone(ask: Ask, world: World) -> None:
    found, _ = ask(put(world, 1))

    assert unknown(found) == []
    assert requests(world, "/phone_numbers") == 0


def test_no_more_pages_are_read_than_numbers_are_wanted(ask: Ask, world: World) -> None:
    channels = put(world, 400)

    found, _ = ask(channels[-2:])

    assert unknown(found) == []
    assert requests(world, "/phone_numbers") == 2
    assert requests(world, "POST /v26.0") == 1


class Changed(httpx.AsyncBaseTransport):
    """Passes on what the world answers, changed."""

    def __init__(self, world: World, change: Callable[[httpx.Request, Any], Any]) -> None:
        self._inner = httpx.ASGITransport(application(world))
        self._change = change

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        body = json.loads(await answer.aread())
        return httpx.Response(answer.status_code, json=self._change(request, body))


def test_a_list_whose_cursors_repeat_ends(ask: Ask, workspace: Workspace, world: World) -> None:
    channels = put(world, 10)
    world.hidden.update(channel.phone_number_id or "" for channel in channels[2:4])

    def go_round(request: httpx.Request, body: Any) -> Any:
        if request.url.path.endswith("/phone_numbers"):
            paging = {"cursors": {"after": request.url.params.get("after", "b64")}, "next": "more"}
            return {"data": body.get("data", []), "paging": paging}
        return body

    workspace.http = Http(SystemClock(), log=lambda text: None, transport=Changed(world, go_round))

    found, _ = ask(channels)

    assert unknown(found) == ["shop-2", "shop-3"]
    assert requests(world, "/phone_numbers") == 2


def test_an_answer_about_another_number_is_not_taken_for_this_one(
    ask: Ask, workspace: Workspace, world: World
) -> None:
    channels = put(world, 4)
    world.patch_settings({"list_omits": frozenset({"health_status"})})

    def swap(request: httpx.Request, body: Any) -> Any:
        return [body[1], body[0], *body[2:]] if isinstance(body, list) else body

    workspace.http = Http(SystemClock(), log=lambda text: None, transport=Changed(world, swap))

    found, _ = ask(channels)

    assert unknown(found) == ["shop-0", "shop-1"]
    assert found["shop-0"].failures["number"].code == "unusable_answer"


def test_an_unexpected_error_ends_the_wait_for_the_answers(
    ask: Ask, workspace: Workspace, world: World
) -> None:
    channels = put(world, 4)
    world.patch_settings({"list_omits": frozenset({"health_status"})})

    def fail(request: httpx.Request, body: Any) -> Any:
        if isinstance(body, list):
            raise RuntimeError("a fault of the program")
        return body

    workspace.http = Http(SystemClock(), log=lambda text: None, transport=Changed(world, fail))

    with pytest.raises(RuntimeError, match="a fault of the program"):
        ask(channels)


def test_a_field_that_the_list_refuses_is_read_for_each_number_many_in_a_request(
    ask: Ask, world: World
) -> None:
    channels = put(world, 120)
    world.patch_settings({"list_refuses": frozenset({"health_status", "username"})})

    found, look = ask(channels)

    assert unknown(found) == []
    health = {facts.values["health_status"]["can_send_message"] for facts in found.values()}
    assert health == {"AVAILABLE"}
    assert requests(world, "POST /v26.0") == 3
    assert look.notes == [
        f"the list of account {WABA_ID} does not give `health_status`, `username`:"
        " read for each number"
    ]


@pytest.mark.parametrize("settings", [{"takes_batches": False}, {"batch_passes_token": False}])
def test_where_meta_takes_one_question_in_a_request_it_is_tried_once_for_all_accounts(
    ask: Ask, world: World, settings: dict[str, bool]
) -> None:
    channels = [*put(world, 120), *put(world, 5, OTHER_ACCOUNT, first=120)]
    world.patch_settings({"list_refuses": frozenset({"health_status"}), **settings})

    found, look = ask(channels)

    assert unknown(found) == []
    assert all(facts.values["health_status"] for facts in found.values())
    assert requests(world, "POST /v26.0") == 1
    [note] = [note for note in look.notes if "takes no request" in note]
    assert note.endswith("each is read alone")


@pytest.mark.parametrize("fields", [{"is_on_biz_app"}, {"status", "health_status"}])
def test_facts_for_verdicts_are_read_for_each_number_when_the_list_lacks_them(
    ask: Ask, world: World, fields: set[str]
) -> None:
    """Meta does not document which fields the list of an account gives."""
    channels = put(world, 60)
    world.patch_settings({"list_omits": frozenset(fields)})

    found, look = ask(channels)

    assert unknown(found) == []
    assert all(facts.values.keys() >= fields for facts in found.values())
    assert requests(world, "POST /v26.0") == 2
    names = ", ".join(f"`{name}`" for name in sorted(fields))
    assert look.notes == [
        f"the list of account {WABA_ID} does not give {names}: read for each number"
    ]


@pytest.mark.parametrize("fields", [{"health_status"}, {"status", "is_on_biz_app"}])
def test_a_number_whose_vital_fields_meta_gives_nowhere_is_unknown(
    ask: Ask, world: World, fields: set[str]
) -> None:
    channels = put(world, 5)
    world.patch_settings({"list_omits": frozenset(fields)})
    unlucky = channels[3].phone_number_id or ""
    world.faults.replace([Fault("refuse", on="reads", path=f"/{unlucky}", code=100, subcode=33)])

    found, _ = ask(channels)

    assert unknown(found) == ["shop-3"]
    assert found["shop-3"].failures["number"].details["subcode"] == 33


def test_any_field_that_the_list_leaves_out_is_read_for_each_number(ask: Ask, world: World) -> None:
    channels = put(world, 5)
    for place, rating in enumerate(("GREEN", "YELLOW", "RED", "GREEN", "GREEN")):
        world.nodes[channels[place].phone_number_id or ""].patch({"quality_rating": rating})
    world.patch_settings({"list_omits": frozenset({"quality_rating"})})

    found, look = ask(channels)

    assert found["shop-2"].values["quality_rating"] == "RED"
    assert found["shop-3"].values["quality_rating"] == "GREEN"
    assert look.notes == [
        f"the list of account {WABA_ID} does not give `quality_rating`: read for each number"
    ]


def test_a_fact_stays_when_the_list_may_have_left_it_out(
    workspace: Workspace, world: World
) -> None:
    world.patch_settings({"list_omits": frozenset({"quality_rating"})})
    channels = put(world, 2)
    before = Fact("quality_rating", "RED", "meta", to_text(NOW))
    found = [ChannelFacts(channel, NOW, facts={before.name: before}) for channel in channels]
    probed = channels[0].phone_number_id or ""
    world.faults.replace([Fault("refuse", on="reads", path=f"/{probed}", code=100, subcode=33)])

    workspace.run(Look(workspace, NOW, {}).read(found))

    assert [facts.values["quality_rating"] for facts in found] == ["RED", "RED"]
    assert all("quality_rating" not in {fact.name for fact in facts.read} for facts in found)


def test_notes_do_not_grow_with_the_accounts(ask: Ask, world: World) -> None:
    channels = [*put(world, 3), *put(world, 3, OTHER_ACCOUNT, first=3)]
    world.patch_settings({"list_omits": frozenset({"health_status"}), "takes_batches": False})

    _, look = ask(channels)

    listed, batches = look.notes
    assert listed == "the lists of 2 accounts do not give `health_status`: read for each number"
    assert batches.startswith("Meta takes no request for several numbers")


@pytest.mark.parametrize("code", [4, 17, 80008])
def test_a_number_that_is_refused_for_too_many_calls_is_unknown_and_ends_the_asking(
    ask: Ask, world: World, code: int
) -> None:
    channels = put(world, 200)
    world.patch_settings({"list_refuses": frozenset({"health_status"})})
    unlucky = channels[3].phone_number_id or ""
    world.faults.replace([Fault("refuse", on="reads", path=f"/{unlucky}", code=code)])

    found, _ = ask(channels)

    # The first 50 left together, and only one of them is refused.
    spoilt = unknown(found)
    assert "shop-3" in spoilt
    assert len(spoilt) == 151
    assert {found[name].failures["number"].code for name in spoilt} == {f"meta_{code}"}
    assert requests(world, "POST /v26.0") == 1
    assert requests(world, f"/{unlucky}") == 0


def test_a_request_that_is_refused_for_too_many_calls_is_not_made_number_by_number(
    ask: Ask, world: World
) -> None:
    channels = put(world, 120)
    world.patch_settings({"list_refuses": frozenset({"health_status"})})
    world.faults.replace([Fault("refuse", on="reads", path="?batch", code=4)])

    found, _ = ask(channels)

    assert len(unknown(found)) == 120
    assert {facts.failures["number"].code for facts in found.values()} == {"meta_4"}
    # The one that shows which fields the list leaves out went before.
    assert requests(world, "GET /v26.0/1000000000") == 1


def test_a_number_that_meta_had_no_time_for_is_read_alone(ask: Ask, world: World) -> None:
    channels = put(world, 30)
    world.patch_settings({"list_refuses": frozenset({"health_status"})})
    late, first = channels[3].phone_number_id or "", frozenset({1})
    world.faults.replace([Fault("hang", on="reads", path=f"/{late}", arrivals=first)])

    found, look = ask(channels)

    assert unknown(found) == []
    assert requests(world, f"GET /v26.0/{late}") == 1
    assert len(look.notes) == 1


def test_a_list_that_is_too_much_for_meta_is_read_in_smaller_pages(ask: Ask, world: World) -> None:
    channels = put(world, 60)
    world.patch_settings({"list_most": 30})

    found, _ = ask(channels)

    assert unknown(found) == []
    assert requests(world, "POST /v26.0") == 0


def test_a_number_that_the_list_does_not_have_is_asked_about_itself(ask: Ask, world: World) -> None:
    channels = put(world, 5)
    world.hidden.add(channels[2].phone_number_id or "")

    found, _ = ask(channels)

    assert unknown(found) == ["shop-2"]
    assert found["shop-2"].failures["number"].details["subcode"] == 33


def test_an_account_that_fails_affects_only_its_own_channels(ask: Ask, world: World) -> None:
    sound, ill = put(world, 5), put(world, 5, OTHER_ACCOUNT, first=5)
    world.faults.replace([Fault("refuse", on="reads", path=OTHER_ACCOUNT, code=80007)])

    found, _ = ask([*sound, *ill])

    assert unknown(found) == [channel.name for channel in ill]
    assert requests(world, f"{OTHER_ACCOUNT}/phone_numbers") == 1
    assert requests(world, "POST /v26.0") == 0


def test_a_list_that_breaks_off_leaves_what_it_gave(ask: Ask, world: World) -> None:
    channels = put(world, 150)
    path, second = f"{WABA_ID}/phone_numbers", frozenset({2})
    world.faults.replace([Fault("refuse", on="reads", path=path, code=80007, arrivals=second)])

    found, _ = ask(channels)

    spoilt = unknown(found)
    # The default world has two numbers of its own in that list.
    assert len(spoilt) == 52
    assert all(found[name].failures["number"].code == "meta_80007" for name in spoilt)


def test_a_list_that_is_refused_costs_one_request_for_fifty_numbers(ask: Ask, world: World) -> None:
    channels = put(world, 100)
    page = f"{WABA_ID}/phone_numbers"
    world.faults.replace([Fault("html", on="reads", path=page)])

    found, _ = ask(channels)

    assert unknown(found) == []
    assert requests(world, "POST /v26.0") == 2


def test_hidden_numbers_of_one_account_are_looked_for_once(
    ask: Ask, workspace: Workspace, world: World
) -> None:
    channels = put(world, 30)
    known, _ = ask(channels)
    for facts in known.values():
        world.hidden.add(facts.channel.phone_number_id or "")
    world.log.reads.clear()

    found = [ChannelFacts(each.channel, NOW, sightings=each.sightings) for each in known.values()]
    workspace.run(Look(workspace, NOW, {}).read(found))

    assert {facts.connection.state for facts in found} == {ConnectionState.GONE}
    # The list with the fields, the numbers in one request, and one list to look for them in.
    assert requests(world, "/phone_numbers") == 2
    assert requests(world, "POST /v26.0") == 1


class Hanging(httpx.AsyncBaseTransport):
    """Says what the token is, if anything, and answers nothing else."""

    def __init__(self, *, knows_token: bool) -> None:
        self._knows_token = knows_token

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._knows_token and "debug_token" in request.url.path:
            return httpx.Response(200, json={"data": {"is_valid": True}})
        await asyncio.sleep(60)
        raise AssertionError


@pytest.mark.parametrize(("knows_token", "limit"), [(True, "1"), (False, "0.5")])
def test_the_time_for_all_grows_with_every_hundred_channels_where_somebody_answers(
    workspace: Workspace, knows_token: bool, limit: str
) -> None:
    """At its end, what was not asked is unknown, and says why."""
    channels = [
        Channel(
            phone=f"+65800{place:05}",
            phone_number_id=str(10**14 + place),
            waba_id=str(2 * 10**14 + place),
            channel_id=place + 1,
            name=f"shop-{place}",
        )
        for place in range(101)
    ]
    workspace.settings = workspace.settings._replace(
        status_seconds=0.5, status_seconds_per_channel=0.4
    )
    transport = Hanging(knows_token=knows_token)
    workspace.http = Http(SystemClock(), log=lambda text: None, transport=transport)
    found = [ChannelFacts(channel, NOW) for channel in channels]

    workspace.run(Look(workspace, NOW, {}).read(found))

    reason = f"no answer within {limit} seconds, the limit for all channels together"
    assert all(facts.failures["number"].code == "too_slow" for facts in found)
    assert found[-1].failures["number"].message == reason
