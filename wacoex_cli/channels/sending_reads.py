"""What is asked about numbers, accounts and templates before broadcasts are sent.

Each question is asked once for all broadcasts of a command, and numbers with the same token are
read together.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from wacoex_cli.channels.look import SharedAnswers, answered, read_phone_number
from wacoex_cli.channels.model import JUDGED_FIELDS, WABA_PREFIX, from_node
from wacoex_cli.channels.nodes import Batches, JoinedReads, concerns_a_field, read_node
from wacoex_cli.errors import WacoexError
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.platforms.answers import is_not_visible

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel, Fact
    from wacoex_cli.channels.nodes import ReadNode
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.platforms.meta import Meta

    ReadTemplates = Callable[..., Awaitable[list[dict[str, Any]]]]

Answer = TypeVar("Answer")

_RECENT_SECONDS = 5.0
_REVIEW_FIELDS = ("status", "account_review_status")


class SendingReads:
    """The reads of one check before sending. What was read once is not read again: make a new one.

    Questions of the same token are the same, whichever channel has them.
    """

    def __init__(self) -> None:
        self._answers = SharedAnswers()
        self._joined: dict[str, JoinedReads] = {}
        # By server: whether it takes several questions in one request.
        self._batches: dict[str, Batches] = {}
        # By who asks and whose they are: the templates that were asked for by name.
        self._names: dict[tuple[str, str], set[str]] = {}

    async def once(
        self, key: tuple[str, ...], operation: Callable[[], Coroutine[object, object, Answer]]
    ) -> Answer:
        """The answer to a question, named by who asks and what about; raises as `operation`."""
        return answered(await self._answers.get(key, lambda: _answer_or_error(operation())))

    async def number(
        self, meta: Meta, phone_number_id: str, fields: Sequence[str], now: datetime
    ) -> list[Fact]:
        """These fields of the number, all of which are demanded, and `JUDGED_FIELDS` if given.

        Raises as `Meta` does when the node or one of the demanded fields is refused.
        """
        if meta.caller not in self._joined:
            batches = self._batches.setdefault(meta.server, Batches(lambda note: None))
            self._joined[meta.caller] = JoinedReads(meta, _answer_or_error, batches)
        read = self._joined[meta.caller].read
        key = (meta.caller, phone_number_id, *fields)
        return await self.once(key, partial(_number, read, phone_number_id, fields, now))

    async def review(self, meta: Meta | None, channel: Channel, now: datetime) -> list[Fact]:
        """What Meta says of the account's status and review; nothing where it cannot be asked."""
        waba_id = channel.waba_id
        if meta is None or waba_id is None:
            return []
        try:
            given, refused = await self.once(
                (meta.caller, waba_id, "review"),
                lambda: read_node(meta.waba, waba_id, _REVIEW_FIELDS),
            )
        except WacoexError:
            return []
        return from_node(WABA_PREFIX, _REVIEW_FIELDS, given, refused, to_text(now))

    async def hides_number(
        self, meta: Meta | None, channel: Channel, error: WacoexError | None
    ) -> bool:
        """Whether Meta hides the number from a token that is valid (code 100, subcode 33).

        `error` is why the number could not be read. A token that may not ask about itself is valid
        when it is shown the account.
        """
        if meta is None or error is None or not is_not_visible(error):
            return False
        try:
            is_valid = (await self.once((meta.caller, "token"), meta.debug_token)).is_valid
        except WacoexError:
            is_valid = None
        waba_id = channel.waba_id
        if is_valid is not None or waba_id is None:
            return is_valid is True
        try:
            await self.once((meta.caller, waba_id, "id"), lambda: meta.waba(waba_id, ["id"]))
        except WacoexError:
            return False
        return True

    def templates(
        self, caller: str, read: ReadTemplates, *, most_names: int = 3
    ) -> SharedTemplates:
        """The templates that this caller is shown, which `read` reads by their owner's id.

        For up to `most_names` templates of an owner each is asked for by its name, for more the
        whole list is read.
        """
        return SharedTemplates(caller, read, self._names, most_names, self.once)


class RecentReads:
    """Reads of broadcasts that are being sent: what several ask within seconds is read once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reads = SendingReads()
        self._begun = float("-inf")

    def now(self) -> SendingReads:
        """Reads of this moment, which another broadcast may have begun a few seconds ago."""
        if self._clock.monotonic() - self._begun > _RECENT_SECONDS:
            self._reads, self._begun = SendingReads(), self._clock.monotonic()
        return self._reads


class SharedTemplates:
    """Lists of templates, each read once: by name for a few names of an owner, else the whole."""

    def __init__(
        self,
        caller: str,
        read: ReadTemplates,
        names: dict[tuple[str, str], set[str]],
        most_names: int,
        once: Callable[..., Awaitable[list[dict[str, Any]]]],
    ) -> None:
        self._caller = caller
        self._read = read
        self._names = names
        self._most_names = most_names
        self._once = once

    async def templates(self, owner_id: str, /, *, name: str | None = None) -> list[dict[str, Any]]:
        """Those of an owner; with `name` that one, and maybe others."""
        names = self._names.setdefault((self._caller, owner_id), set())
        if name is not None and len(names | {name}) > self._most_names:
            name = None
        if name is not None:
            names.add(name)
        key = (self._caller, owner_id, "templates", name or "")
        return await self._once(key, lambda: self._read(owner_id, name=name))


async def _answer_or_error(
    operation: Coroutine[object, object, Answer],
) -> Answer | WacoexError:
    try:
        return await operation
    except WacoexError as error:
        return error


async def _number(
    read: ReadNode, phone_number_id: str, fields: Sequence[str], now: datetime
) -> list[Fact]:
    try:
        return await _demanded(read, phone_number_id, (*fields, *JUDGED_FIELDS), now)
    except WacoexError as error:
        if not concerns_a_field(error):
            raise
    demanded = await _demanded(read, phone_number_id, fields, now)
    return [*demanded, *await read_phone_number(read, phone_number_id, now, JUDGED_FIELDS)]


async def _demanded(
    read: ReadNode, phone_number_id: str, fields: Sequence[str], now: datetime
) -> list[Fact]:
    return from_node("", fields, await read(phone_number_id, fields), {}, to_text(now))
