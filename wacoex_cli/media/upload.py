"""The ids of files for one number: made once for all processes, renewed before they end."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from wacoex_cli.errors import RefusedError, TemporaryError, UsageError, WacoexError
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.http import FilePart
from wacoex_cli.foundation.state import open_regular
from wacoex_cli.media.files import look_at
from wacoex_cli.media.model import ID_LIFETIME, sha256_of
from wacoex_cli.media.store import KnownFile, MediaId, MediaStore
from wacoex_cli.templates.components import direct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.locks import Presence
    from wacoex_cli.foundation.state import State
    from wacoex_cli.platforms.answers import Reply
    from wacoex_cli.platforms.meta import Meta

Found = TypeVar("Found")

_TRIES = 4
_PAUSE_SECONDS = 2.0
_OTHERS_TURN_SECONDS = 0.2
_LOOK_EVERY_SECONDS = 60.0
_MOST_RENEWALS = 3
_INVALID_PARAMETER, _UPLOAD_ERROR = 100, 131053
_NOT_AN_ID = "media attachment id"
_NOT_YET = "(given when it is uploaded)"
_DOCUMENTS = ("application/", "text/")


class MediaDesk:
    """Knows, makes and renews the ids of files for the messages of one number."""

    def __init__(
        self,
        state: State,
        meta: Meta,
        phone_number_id: str,
        clock: Clock,
        *,
        only_shows: bool = False,
    ) -> None:
        """With `only_shows` it uploads nothing: a file without an id gets a word in its place."""
        self._state = state
        self._meta = meta
        self._number = phone_number_id
        self._clock = clock
        self._store = MediaStore(state)
        self._ids: dict[str, MediaId] = {}
        self._files: dict[str, KnownFile] = {}
        self._wanted: set[str] = set()
        self._renewals: Counter[str] = Counter()
        self._has_ended = asyncio.Event()
        self._only_shows = only_shows

    def resolve(self, reference: str) -> Mapping[str, str]:
        """What a message says of a file: an id with the name of a document, or a link.

        Raises LookupError for a file that has no usable id yet: see `lacks`.
        """
        sha256 = sha256_of(reference)
        if sha256 is None:
            return direct(reference)
        if self._only_shows:
            known = self._store.id_of(sha256, self._number)
            return _spoken_of(known.media_id if known else _NOT_YET, self._store.file(sha256))
        return _spoken_of(self._ids[sha256].media_id, self._files.get(sha256))

    def lacks(self, references: Iterable[str]) -> bool:
        """Whether one of the references is to a file that has no usable id at the moment."""
        hashes = (sha256_of(reference) for reference in references)
        return any(sha256 is not None and sha256 not in self._ids for sha256 in hashes)

    async def prepare(self, hashes: Iterable[str]) -> None:
        """Give each of these files an id that lives for at least a day more.

        Raises:
            UsageError: a file is gone, or is another one than was planned.
            CredentialError, RefusedError, TemporaryError: Meta does not take it.
        """
        wanted = set(hashes)
        self._wanted |= wanted
        # One after the other: a kill can then cost one upload more, and never two.
        for sha256 in sorted(wanted):
            if not await _in_thread(partial(self._take_known, sha256)):
                await self._give_id(sha256)

    async def keep_alive(self) -> None:
        """Renew ids before they end, and at once those that Meta has refused, until cancelled.

        Raises what `prepare` raises: without its picture no message can be sent.
        """
        while True:
            self._has_ended.clear()
            now = self._clock.now()
            for sha256 in [name for name, known in self._ids.items() if not known.is_usable(now)]:
                self._ids.pop(sha256)
            await self.prepare(self._wanted - self._ids.keys())
            if not self._has_ended.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_EVERY_SECONDS):
                        await self._has_ended.wait()

    def unusable(self, hashes: Iterable[str], now: datetime) -> dict[str, str]:
        """What is wrong with each of the files that would have to be uploaded now, by its name."""
        found: dict[str, str] = {}
        for sha256 in sorted(hashes):
            known, file = self._store.id_of(sha256, self._number), self._store.file(sha256)
            if known is not None and known.is_usable(now):
                continue
            try:
                _demand_unchanged(_on_this_machine(file))
            except UsageError as error:
                found[file.name if file else sha256[:12]] = error.message
        return found

    def used_in(self, references: Iterable[str]) -> dict[str, str]:
        """The ids that a message shows now, by the hashes of its files."""
        hashes = filter(None, map(sha256_of, references))
        return {sha256: self._ids[sha256].media_id for sha256 in hashes if sha256 in self._ids}

    async def has_ended(self, used: Mapping[str, str], reply: Reply) -> bool:
        """Whether Meta refused a message because an id in it has ended; then it is renewed.

        `used` is what `used_in` said of the message. Nothing was taken. A file is uploaded again a
        few times at most: then something else is wrong with it.
        """
        if not _names_media(reply):
            return False
        found, dropped = False, list[MediaId]()
        for sha256, media_id in used.items():
            known = self._ids.get(sha256)
            if known is None or known.media_id != media_id:
                found = True  # the answer to another message said so already
            elif self._renewals[sha256] < _MOST_RENEWALS:
                self._renewals[sha256] += 1
                del self._ids[sha256]
                dropped.append(known)
                found = True
        if dropped:
            # Before it is looked for again: else the state file would give it back.
            await _in_thread(partial(self._drop, dropped))
        if found:
            self._has_ended.set()
        return found

    def _drop(self, ended: Iterable[MediaId]) -> None:
        with contextlib.suppress(WacoexError), self._state.transaction():
            for known in ended:
                self._store.drop_id(known)

    def _take_known(self, sha256: str) -> bool:
        """Whether the state file has a usable id, which is then ours too."""
        known = self._store.id_of(sha256, self._number)
        if known is None or not known.is_usable(self._clock.now()):
            return False
        file = self._store.file(sha256)
        if file is not None:
            self._files[sha256] = file
        self._ids[sha256] = known
        return True

    async def _give_id(self, sha256: str) -> None:
        """Upload a file, unless another process does: then wait for its id."""
        presence, purpose = locks.Presence(self._state.path), f"media {self._number} {sha256[:16]}"
        take_known = partial(self._take_known, sha256)
        try:
            while not await _in_thread(partial(self._take_turn, presence, purpose)):
                await asyncio.sleep(_OTHERS_TURN_SECONDS)
                if await _in_thread(take_known):
                    return
            if not await _in_thread(take_known):
                await self._upload(sha256)
        finally:
            await _in_thread(partial(self._leave, presence, purpose))

    def _take_turn(self, presence: Presence, purpose: str) -> bool:
        """Whether it is ours to upload; another process may be doing it."""
        try:
            with self._state.transaction():
                locks.acquire(self._state, purpose, presence, self._clock)
        except TemporaryError:
            return False
        return True

    def _leave(self, presence: Presence, purpose: str) -> None:
        try:
            with self._state.transaction():
                locks.release(self._state, purpose, presence)
        finally:
            presence.leave()

    async def _upload(self, sha256: str) -> None:
        file = _on_this_machine(await _in_thread(partial(self._store.file, sha256)))
        now = self._clock.now()
        await _in_thread(partial(_demand_unchanged, file))
        media_id = await self._post(file)
        known = MediaId(sha256, self._number, media_id, to_text(now), to_text(now + ID_LIFETIME))
        await _in_thread(partial(self._keep, known))
        self._files[sha256], self._ids[sha256] = file, known

    def _keep(self, known: MediaId) -> None:
        with self._state.transaction():
            self._store.keep_id(known)

    async def _post(self, file: KnownFile) -> str:
        """Upload, and try again after a failure that may pass: a file may be there twice."""
        path = file.path
        assert path is not None  # noqa: S101 - `_upload` has looked
        for tries in range(1, _TRIES + 1):
            try:
                with open_regular(path) as content:
                    part = FilePart(path.name, content, file.mime, file.size)
                    return await self._meta.upload_media(self._number, part)
            except OSError as error:
                raise _changed(file, error.strerror or "it cannot be read") from None
            except TemporaryError as error:
                if tries == _TRIES:
                    error.message = f"{file.name} cannot be uploaded: {error.message}"
                    raise
            except RefusedError as error:
                error.message = f"Meta does not take {file.name}: {error.message}"
                raise
            await self._clock.sleep(_PAUSE_SECONDS * 2 ** (tries - 1))
        raise AssertionError("the last try returns or raises")


async def _in_thread(work: Callable[[], Found]) -> Found:
    """Do it beside the event loop: the state file may be busy for a long time.

    A task that is cancelled meanwhile waits for its end: it must release a lock being taken.
    """
    working = asyncio.create_task(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise


def _spoken_of(media_id: str, file: KnownFile | None) -> Mapping[str, str]:
    if file is not None and file.path is not None and file.mime.startswith(_DOCUMENTS):
        return {"id": media_id, "filename": file.path.name}
    return {"id": media_id}


def _names_media(reply: Reply) -> bool:
    """Whether a refusal is about an id of a file: 100 with Meta's words for it, or 131053."""
    code = getattr(reply, "code", None)
    if code == _UPLOAD_ERROR:
        return True
    said = f"{getattr(reply, 'message', '')} {getattr(reply, 'details', '')}".lower()
    return code == _INVALID_PARAMETER and _NOT_AN_ID in said


def _on_this_machine(file: KnownFile | None) -> KnownFile:
    if file is None or file.path is None:
        raise UsageError(
            "its id has ended at Meta, and the file itself is not on this machine",
            hint="plan again with the file, or upload it again and give its new id",
            code="media_gone",
        )
    return file


def _demand_unchanged(file: KnownFile) -> None:
    assert file.path is not None  # noqa: S101 - `_upload` has looked
    try:
        found = look_at(file.path)
    except UsageError as error:
        raise _changed(file, error.message) from None
    if found.sha256 != file.sha256:
        raise _changed(file, f"{file.path} is another file now")


def _changed(file: KnownFile, why: str) -> UsageError:
    return UsageError(
        f"{file.name} cannot be uploaded: {why}",
        hint="put the file back as it was when the broadcast was planned, or plan again",
        code="media_changed",
    )
