"""Reading nodes of the Graph: a refused field costs only itself, numbers are read together."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from wacoex_cli.channels.model import PHONE_NUMBER_FIELDS, Fact, from_node
from wacoex_cli.errors import CredentialError, TemporaryError, WacoexError
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.platforms.answers import WRONG_KIND, is_not_visible

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Protocol

    from wacoex_cli.platforms.meta import Meta, Node, NodePage

    ReadNode = Callable[[str, Sequence[str]], Awaitable[Node]]
    Answer = TypeVar("Answer")

    class Ask(Protocol):
        """Asks, and gives the answer, or why there is none; maybe in a turn, with a time limit."""

        def __call__(
            self, operation: Coroutine[object, object, Answer], /
        ) -> Coroutine[object, object, Answer | WacoexError]: ...

    class Once(Protocol):
        """Asks like `Ask`, one time for all with the same key: who asks, and what about."""

        def __call__(
            self,
            key: tuple[str, ...],
            operation: Callable[[], Coroutine[object, object, Answer]],
            /,
        ) -> Coroutine[object, object, Answer | WacoexError]: ...


MOST_IN_BATCH = 50
"""Questions in one request (Graph API: batch requests)."""
_THROTTLED = frozenset({4, 17, 613, 80007, 80008})
# Verdicts rest on them. Meta does not document which fields the list of an account gives.
_VITAL_FIELDS = frozenset({"status", "is_on_biz_app", "platform_type", "health_status"})
_MOST_CALLS_FOR_ONE_NODE = 16
_FIELD_REFUSED, _TOO_MUCH_DATA = 100, 1
_PERMISSIONS = frozenset({3, 10, *range(200, 300)})
# What the Graph says where the token of the request does not reach the questions in it.
_NO_TOKEN_SEEN = frozenset({0, 104, 2500})
_NAMED_FIELD = re.compile(r"nonexisting field \((\w+)\)")
_LARGE_PAGE, _SMALL_PAGE = 100, 25
_UNUSABLE = "unusable_answer"
_MAY_BE_THE_BATCH = frozenset({_UNUSABLE, "too_slow", "redirected"})


async def read_node(
    read: ReadNode, node_id: str, fields: Sequence[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """What the node gave, and which fields Meta refused and why.

    All fields in one call; where that is refused, without the field at fault. Raises as `read`
    does when the node itself is refused.
    """
    given: dict[str, Any] = {}
    refused: dict[str, str] = {}
    groups, calls = [list(fields)], 0
    while groups:
        group = groups.pop(0)
        if calls >= _MOST_CALLS_FOR_ONE_NODE:
            refused.update(dict.fromkeys(group, "Meta refused too many fields to go on"))
            continue
        calls += 1
        try:
            given.update(await read(node_id, group))
            continue
        except WacoexError as error:
            if not concerns_a_field(error):
                raise
            refusal = error
        named = _NAMED_FIELD.search(str(refusal.details.get("message", "")))
        culprit = group[0] if len(group) == 1 else named[1] if named else ""
        if culprit in group:
            refused[culprit] = refusal.message
            group.remove(culprit)
            groups += [group] if group else []
            continue
        if calls == 1:
            # Raises when it is the node that is refused, not one of its fields.
            calls += 1
            await read(node_id, ["id"])
        middle = len(group) // 2
        groups += [group[:middle], group[middle:]]
    return given, refused


def concerns_a_field(error: WacoexError) -> bool:
    """Whether a refusal may be about one of the fields, and not about the node."""
    if error.code == WRONG_KIND:
        return False
    code, subcode = error.details.get("code"), error.details.get("subcode")
    return subcode is None if code == _FIELD_REFUSED else code in _PERMISSIONS


def is_throttled(error: object) -> bool:
    """Whether Meta refused because of too many calls (Meta: rate limits)."""
    return isinstance(error, WacoexError) and error.details.get("code") in _THROTTLED


async def facts_of_numbers(
    meta: Meta,
    waba_id: str,
    number_ids: Collection[str],
    now: datetime,
    ask: Ask,
    batches: Batches,
    note_fields: Callable[[tuple[str, ...]], None],
) -> dict[str, list[Fact] | WacoexError]:
    """The facts of numbers of one account by their ids, or why a number could not be read.

    The list of the account gives them all, page by page from both of its ends: Meta counts a page
    once, and each number of a batch. Fields that the list refuses or leaves out are read for each
    number, up to 50 in one request; `note_fields` hears which fields those are.
    """
    reads = JoinedReads(meta, ask, batches)
    listed = _NumberList(meta, waba_id, frozenset(number_ids), ask)
    await listed.read_first_page()
    reads.note_throttling(listed.error)
    if listed.nodes:
        own_fields, _ = await asyncio.gather(_own_fields(listed, reads), listed.read_rest())
    else:
        await listed.read_rest()
        own_fields = await _own_fields(listed, reads)
    reads.note_throttling(listed.error)
    left_out, in_doubt = _left_out(listed, own_fields)
    if listed.refused or left_out:
        note_fields(tuple(sorted({*listed.refused, *left_out})))

    async def facts_of_number(number_id: str) -> list[Fact] | WacoexError:
        node = listed.nodes.get(number_id)
        if node is None and listed.error is not None and not _may_ask_each(listed.error):
            return listed.error
        given: Mapping[str, Any] = {}
        refused: dict[str, str] = {}
        fields: tuple[str, ...] = PHONE_NUMBER_FIELDS
        missing = fields
        if node is not None:
            fields = tuple(name for name in fields if name not in in_doubt)
            wanted = (_VITAL_FIELDS | left_out) - node.keys() - listed.refused.keys()
            missing = (*listed.refused, *sorted(wanted))
        if missing:
            try:
                given, refused = await read_node(reads.read, number_id, missing)
            except WacoexError as error:
                is_vital = not _VITAL_FIELDS.isdisjoint(missing)
                if node is None or is_vital or isinstance(error, TemporaryError):
                    return error
                refused = dict.fromkeys(missing, error.message)
        return from_node("", fields, {**(node or {}), **given}, refused, to_text(now))

    ids = list(dict.fromkeys(number_ids))
    return dict(zip(ids, await asyncio.gather(*map(facts_of_number, ids)), strict=True))


class _NumberList:
    """The wanted numbers of an account, as far as its list has them: `nodes` by their ids.

    `refused` are the fields that the list refuses, `error` is why it ended early.
    """

    def __init__(self, meta: Meta, waba_id: str, wanted: frozenset[str], ask: Ask) -> None:
        self.nodes: dict[str, Node] = {}
        self.refused: Mapping[str, str] = {}
        self.error: WacoexError | None = None
        self._meta = meta
        self._waba_id = waba_id
        self._wanted = wanted
        self._ask = ask
        self._fields = list(PHONE_NUMBER_FIELDS)
        self._size = _LARGE_PAGE
        self._pages = 0
        self._is_read = False
        # For each end of the list: the ids as it gave them, and where its next page begins.
        self._newest_first: list[str] = []
        self._oldest_first: list[str] = []
        self._after: str | None = None
        self._after_oldest: str | None = None
        self._cursors: set[str] = set()
        self._has_one_end = False

    @property
    def absent_fields(self) -> frozenset[str]:
        """The fields that the list does not refuse, and has given of no number so far."""
        given = {name for node in self.nodes.values() for name in node}
        return frozenset(PHONE_NUMBER_FIELDS) - given - self.refused.keys()

    async def read_first_page(self) -> None:
        """Read where the list begins, without the fields that it refuses."""
        page = await self._page(None)
        if isinstance(page, WacoexError) and concerns_a_field(page):
            page = await self._page_without_refused_fields(page)
        self._follow(page)

    async def read_rest(self) -> None:
        """Read what follows the first page, as far as it is needed.

        Each page names the next one, so that they come one after the other. Where one more page is
        not enough, the list is read from both of its ends at once, until these meet.
        """
        if len(self._missing) <= _LARGE_PAGE and self._is_worth(1):
            self._follow(await self._page(self._after))
        while not self._has_one_end and self._is_worth(2):
            page, other = await asyncio.gather(
                self._page(self._after), self._page(self._after_oldest, oldest_first=True)
            )
            self._follow(page)
            self._follow_other_end(other)
        while self._is_worth(1):
            self._follow(await self._page(self._after))

    @property
    def _missing(self) -> frozenset[str]:
        return self._wanted - self.nodes.keys()

    def _is_worth(self, pages: int) -> bool:
        """Whether so many more pages may cost less than to read each missing number alone."""
        is_cheap = pages < len(self._missing) and self._pages + pages <= len(self._wanted)
        return is_cheap and not self._is_read

    async def _page(
        self, after: str | None, *, oldest_first: bool = False
    ) -> NodePage | WacoexError:
        """A page, or a smaller one where a large one is too much data for Meta."""
        self._pages += 1
        size = self._size
        page = await self._ask(
            self._meta.numbers_page(
                self._waba_id, self._fields, after, size, oldest_first=oldest_first
            )
        )
        if not isinstance(page, WacoexError) or page.details.get("code") != _TOO_MUCH_DATA:
            return page
        if size == _SMALL_PAGE:
            return page
        self._size = _SMALL_PAGE
        return await self._page(after, oldest_first=oldest_first)

    async def _page_without_refused_fields(self, refusal: WacoexError) -> NodePage | WacoexError:
        """The first page again; one number shows which fields the list refuses."""

        async def first_number(account: str, some: Sequence[str]) -> Node:
            page = await self._meta.numbers_page(account, some, None, 1)
            return page.nodes[0] if page.nodes else {}

        probed = await self._ask(read_node(first_number, self._waba_id, self._fields))
        if isinstance(probed, WacoexError):
            return probed
        _, refused = probed
        given = [name for name in self._fields if name not in refused]
        if not refused or not given:
            return refusal
        self.refused, self._fields = refused, given
        return await self._page(None)

    def _follow(self, page: NodePage | WacoexError) -> None:
        """Keep what a page gave, and where the one after it begins."""
        if isinstance(page, WacoexError):
            self.error, self._is_read = page, True
            return
        self._take(page, self._newest_first)
        # Cursors that repeat would never end.
        if page.after is None or page.after in self._cursors:
            self._is_read = True
        else:
            self._after = page.after
            self._cursors.add(page.after)

    def _follow_other_end(self, page: NodePage | WacoexError) -> None:
        """The same from the other end; where Meta cannot give that, the first one gives all."""
        if isinstance(page, WacoexError):
            self._has_one_end = True
            return
        self._take(page, self._oldest_first)
        self._after_oldest = page.after
        places = {number_id: place for place, number_id in enumerate(self._oldest_first)}
        shared = [places[number_id] for number_id in self._newest_first if number_id in places]
        is_reverse = shared == sorted(shared, reverse=True)
        self._has_one_end = not is_reverse or page.after is None
        # Both ends have met. One number alone does not show the order.
        self._is_read |= is_reverse and len(shared) > 1

    def _take(self, page: NodePage, ids: list[str]) -> None:
        found = {str(node.get("id")): node for node in page.nodes}
        ids += found
        self.nodes |= {number_id: found[number_id] for number_id in self._wanted & found.keys()}


async def _own_fields(listed: _NumberList, reads: JoinedReads) -> Node | None:
    """What a number itself gives of the fields that the list has not given so far.

    None where that is not known. The vital fields are not asked for: they are read for each number
    in any case.
    """
    wanted = listed.absent_fields - _VITAL_FIELDS
    if not listed.nodes or not wanted:
        return {}
    try:
        given, _ = await read_node(reads.read, min(listed.nodes), sorted(wanted))
    except WacoexError:
        return None
    return given


def _left_out(
    listed: _NumberList, own_fields: Node | None
) -> tuple[frozenset[str], frozenset[str]]:
    """Fields that the list gives of no number although the numbers have them, and those in doubt.

    `own_fields` is what a number gave of them by itself; where that failed, they are in doubt. The
    vital ones count as left out without it.
    """
    if not listed.nodes:
        return frozenset(), frozenset()
    absent = listed.absent_fields
    vital, others = absent & _VITAL_FIELDS, absent - _VITAL_FIELDS
    if own_fields is None:
        return vital, others
    return vital | (others & own_fields.keys()), frozenset()


def _may_ask_each(error: WacoexError) -> bool:
    """Whether Meta may answer about each number, although it gave no list of them."""
    is_about_the_list = error.code == _UNUSABLE or error.details.get("code") == _TOO_MUCH_DATA
    return is_about_the_list or not isinstance(error, TemporaryError)


@dataclass(frozen=True)
class _NumberQuestion:
    number_id: str
    fields: Sequence[str]
    answer: asyncio.Future[Node]

    def settle(self, answer: Node | Exception) -> None:
        if self.answer.done():
            return
        if isinstance(answer, Exception):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)


class Batches:
    """Whether Meta takes several questions in one request; the first one of a run finds out.

    `note` hears, once, that Meta does not. Then each number is read alone.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self.are_refused = False
        self._is_tried = False
        self._first = asyncio.Lock()

    def refuse(self, reason: str) -> None:
        """Remember that Meta takes no such request."""
        if not self.are_refused:
            self.are_refused = True
            self._note(f"Meta takes no request for several numbers ({reason}): each is read alone")

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """The first goes alone; the others wait for what it finds out, then go side by side."""
        if not self._is_tried:
            async with self._first:
                if not self._is_tried:
                    try:
                        yield
                    finally:
                        self._is_tried = True
                    return
        yield


class JoinedReads:
    """Reads of numbers; those that are asked for at the same time leave in one request.

    Meta counts each of them, answers each by itself, and gives null for what it had no time for.
    Where it takes no such request, each number is read alone. After a refusal for too many calls
    nothing more is asked. Source: "Graph API: batch requests".
    """

    def __init__(self, meta: Meta, ask: Ask, batches: Batches) -> None:
        self._meta = meta
        self._ask = ask
        self._batches = batches
        self._throttled: WacoexError | None = None
        self._waiting: list[_NumberQuestion] = []
        self._running: set[asyncio.Task[None]] = set()

    async def read(self, number_id: str, fields: Sequence[str]) -> Node:
        """These fields of a number. Raises as `Meta.phone_number` does."""
        loop = asyncio.get_running_loop()
        question = _NumberQuestion(number_id, fields, loop.create_future())
        if not self._waiting:
            # After all that is about to run now, and may ask too.
            loop.call_soon(self._leave)
        self._waiting.append(question)
        return await question.answer

    def note_throttling(self, answer: object) -> None:
        """Ask no more where an answer is a refusal for too many calls."""
        if isinstance(answer, WacoexError) and is_throttled(answer):
            self._throttled = answer

    def _leave(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), MOST_IN_BATCH):
            task = asyncio.create_task(self._answer(waiting[start : start + MOST_IN_BATCH]))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _answer(self, questions: Sequence[_NumberQuestion]) -> None:
        """Give each question its answer, or what ended the asking."""
        left = questions
        try:
            if len(questions) > 1:
                async with self._batches.turn():
                    left = await self._together(questions)
            await asyncio.gather(*map(self._read_alone, left))
        except Exception as error:
            for question in questions:
                question.settle(error)
        finally:
            for question in questions:
                question.answer.cancel()

    async def _together(self, questions: Sequence[_NumberQuestion]) -> Sequence[_NumberQuestion]:
        """Ask them in one request; returns those that must be read alone."""
        if self._throttled or self._batches.are_refused:
            return questions
        pairs = [(question.number_id, question.fields) for question in questions]
        answers = await self._ask(self._meta.numbers_at_once(pairs))
        if isinstance(answers, WacoexError):
            return await self._after_refusal(questions, answers)
        heard = [answer for answer in answers if answer is not None]
        if heard and all(map(_lacks_token, heard)):
            self._batches.refuse("it sees no token in the questions")
            return questions
        left = []
        for question, answer in zip(questions, answers, strict=True):
            self.note_throttling(answer)
            if answer is None or _lacks_token(answer):
                left.append(question)
            else:
                question.settle(answer)
        return left

    async def _after_refusal(
        self, questions: Sequence[_NumberQuestion], refusal: WacoexError
    ) -> Sequence[_NumberQuestion]:
        """Where the whole request failed, the first number shows whether it was the request."""
        self.note_throttling(refusal)
        is_refused = not isinstance(refusal, TemporaryError) or refusal.code in _MAY_BE_THE_BATCH
        first = await self._alone(questions[0]) if is_refused else refusal
        questions[0].settle(first)
        is_bad_token = isinstance(first, CredentialError) and not is_not_visible(first)
        if is_bad_token or isinstance(first, TemporaryError):
            # Neither way works, so Meta is not asked once more for each number.
            for question in questions[1:]:
                question.settle(first)
            return ()
        self._batches.refuse(refusal.message)
        return questions[1:]

    async def _read_alone(self, question: _NumberQuestion) -> None:
        question.settle(await self._alone(question))

    async def _alone(self, question: _NumberQuestion) -> Node | WacoexError:
        answer = await self._ask(self._unless_throttled(question))
        self.note_throttling(answer)
        return answer

    async def _unless_throttled(self, question: _NumberQuestion) -> Node:
        if self._throttled:
            raise self._throttled
        return await self._meta.phone_number(question.number_id, question.fields)


def _lacks_token(answer: Node | WacoexError) -> bool:
    return isinstance(answer, WacoexError) and answer.details.get("code") in _NO_TOKEN_SEEN
