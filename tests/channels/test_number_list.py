"""A long list of an account's numbers is read from both of its ends at once."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.channels.conftest import workspace_with
from wacoex_cli.channels.facts import ChannelFacts
from wacoex_cli.channels.look import Look
from wacoex_cli.channels.model import Channel
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.http import Http
from wacoex_cli.foundation.workspace import Workspace

NOW = datetime.now(UTC)
ACCOUNT = "104000000000077"
PAGE = 100


class Account(httpx.AsyncBaseTransport):
    """Meta, with one account whose list gives numbers in these orders, one for each end.

    Without `oldest_first` it refuses to sort. `pages` are the ends that were asked, in the order of
    the questions, `alone` the numbers that were asked about themselves.
    """

    def __init__(self, newest_first: Sequence[str], oldest_first: Sequence[str] = ()) -> None:
        self.pages: list[str] = []
        self.alone: list[str] = []
        self._orders = {"newest": newest_first, "oldest": oldest_first}
        self._numbers = set(newest_first)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            batch = json.loads(await request.aread())["batch"]
            paths = [question["relative_url"] for question in batch]
            ids = [httpx.URL(f"http://meta/{path}").path.rpartition("/")[2] for path in paths]
            answers = map(self.number, ids)
            parts = [{"code": 200 if "id" in it else 400, "body": json.dumps(it)} for it in answers]
            return httpx.Response(200, json=parts)
        if request.url.path.endswith("/phone_numbers"):
            return httpx.Response(200, json=await self.page(request.url.params))
        name = request.url.path.rpartition("/")[2]
        if name == ACCOUNT:
            return httpx.Response(200, json={"id": ACCOUNT, "name": "Shops"})
        if name == "subscribed_apps":
            return httpx.Response(200, json={"data": []})
        if name == "debug_token":
            return httpx.Response(200, json={"data": {"is_valid": True}})
        return httpx.Response(200, json=self.number(name))

    def number(self, number_id: str) -> dict[str, object]:
        self.alone.append(number_id)
        return node(number_id) if number_id in self._numbers else refusal(100, subcode=33)

    async def page(self, query: httpx.QueryParams) -> dict[str, object]:
        end = "oldest" if "sort" in query else "newest"
        self.pages.append(end)
        await asyncio.sleep(0)
        order = self._orders[end]
        if not order:
            return refusal(100)
        start = int(query.get("after", "0"))
        stop = start + int(query["limit"])
        following = {"next": "http://meta/next"} if stop < len(order) else {}
        rows = list(map(node, order[start:stop]))
        return {"data": rows, "paging": {"cursors": {"after": str(stop)}, **following}}


def node(number_id: str) -> dict[str, object]:
    return {"id": number_id, "status": "CONNECTED", "is_on_biz_app": True} | {
        "platform_type": "CLOUD_API",
        "health_status": {"can_send_message": "AVAILABLE"},
    }


def refusal(code: int, subcode: int | None = None) -> dict[str, object]:
    return {"error": {"code": code, "error_subcode": subcode, "message": f"(#{code}) refused"}}


def numbers(count: int) -> list[str]:
    return [str(10**14 + place) for place in range(count)]


@pytest.fixture(scope="module")
def workspace() -> Iterator[Workspace]:
    with workspace_with("EAAtest") as opened:
        yield opened


@pytest.fixture(scope="module")
def unknown(workspace: Workspace) -> Callable[[Account, Sequence[str]], list[str]]:
    """Look at channels with these numbers; gives the ids of those that are not known then."""

    def look(account: Account, ids: Sequence[str]) -> list[str]:
        workspace.http = Http(SystemClock(), log=lambda text: None, transport=account)
        channels = [
            Channel(
                phone=f"+65800{place:05}",
                phone_number_id=number_id,
                waba_id=ACCOUNT,
                channel_id=place + 1,
                name=f"shop-{place}",
            )
            for place, number_id in enumerate(ids)
        ]
        found = [ChannelFacts(channel, NOW) for channel in channels]
        workspace.run(Look(workspace, NOW, {}).read(found))
        return [its.channel.phone_number_id or "" for its in found if not its.is_known]

    return look


Unknown = Callable[[Account, Sequence[str]], list[str]]


def test_a_long_list_is_read_from_both_ends(unknown: Unknown) -> None:
    ids = numbers(1_000)
    account = Account(ids, ids[::-1])

    assert unknown(account, ids) == []
    assert (account.pages.count("newest"), account.pages.count("oldest")) == (6, 5)
    # The one that shows which fields the list leaves out.
    assert len(account.alone) == 1


def test_where_one_more_page_may_be_enough_the_other_end_is_left_alone(unknown: Unknown) -> None:
    ids = numbers(200)
    account = Account(ids, ids[::-1])

    assert unknown(account, ids) == []
    assert account.pages == ["newest", "newest"]


def test_few_numbers_of_a_large_account_are_found_from_either_end(unknown: Unknown) -> None:
    ids = numbers(900)
    account = Account(ids, ids[::-1])

    assert unknown(account, ids[-50:]) == []
    assert account.pages == ["newest", "newest", "newest", "oldest"]
    assert len(account.alone) == 1


def test_ends_that_meet_end_the_reading_though_a_number_is_not_there(unknown: Unknown) -> None:
    ids = numbers(500)
    listed = [number_id for number_id in ids if number_id != ids[250]]
    account = Account(listed, listed[::-1])

    assert unknown(account, ids) == [ids[250]]
    assert len(account.pages) == 5
    assert set(account.alone) == {ids[0], ids[250]}


def test_a_list_that_cannot_be_sorted_is_read_from_one_end(unknown: Unknown) -> None:
    ids = numbers(500)
    refuses, ignores = Account(ids), Account(ids, ids)

    assert unknown(refuses, ids) == unknown(ignores, ids) == []
    assert refuses.pages == ignores.pages == ["newest", "newest", "oldest", *["newest"] * 3]


@settings(max_examples=20, deadline=None)
@given(
    st.permutations(range(7)),
    st.lists(st.booleans(), min_size=7, max_size=7),
    st.sets(st.integers(0, 419), max_size=3),
)
def test_no_number_is_lost_in_any_order_of_the_other_end(
    unknown: Unknown, blocks: list[int], turned: list[bool], missing: set[int]
) -> None:
    """Meta does not say how numbers of the same moment are sorted."""
    ids = numbers(420)
    parts = [[it for it in range(60 * no, 60 * no + 60) if it not in missing] for no in blocks]
    ordered = (part[::-1] if turn else part for part, turn in zip(parts, turned, strict=True))
    other = [ids[place] for place in chain.from_iterable(ordered)]
    account = Account([it for place, it in enumerate(ids) if place not in missing], other)

    assert unknown(account, ids) == [ids[place] for place in sorted(missing)]
    assert len(account.pages) <= 2 * math.ceil(len(ids) / PAGE)


class Waiting(Account):
    """Answers no page after the first one before the other end and a number were asked."""

    async def page(self, query: httpx.QueryParams) -> dict[str, object]:
        answer = await super().page(query)
        async with asyncio.timeout(5):
            while "after" in query and not ("oldest" in self.pages and self.alone):
                await asyncio.sleep(0.001)
        return answer


def test_both_ends_and_a_number_by_itself_are_read_at_the_same_time(unknown: Unknown) -> None:
    ids = numbers(400)

    assert unknown(Waiting(ids, ids[::-1]), ids) == []
