"""The ids of files for one number: made once for all processes, renewed before they end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from wacoex_cli.errors import RefusedError, TemporaryError, UsageError, WacoexError
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.foundation.http import FilePart
from wacoex_cli.media.files import look_at
from wacoex_cli.media.model import ID_LIFETIME, sha256_of
from wacoex_cli.media.store import KnownFile, MediaId, MediaStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.locks import Presence
    from wacoex_cli.foundation.state import State
    from wacoex_cli.platforms.answers import Reply
    from wacoex_cli.platforms.meta import Meta

_AT_ONCE = 4
_TRIES = 4
_PAUSE_SECONDS = 2.0
_OTHERS_TURN_SECONDS = 0.2
_LOOK_EVERY_SECONDS = 60.0
_FRESH_SECONDS = 60.0
_INVALID_PARAMETER, _UPLOAD_ERROR = 100, 131053
_NOT_AN_ID = "media attachment id"
_NOT_YET = "(given when it is uploaded)"
_DOCUMENTS = ("application/", "text/")


class MediaDesk:
    """Knows, makes and renews the ids of files for the messages of one number."""

    def __init__(self, state: State, meta: Meta, phone_number_id: str, clock: Clock) -> None:
        self._state = state
        self._meta = meta
        self._number = phone_number_id
        self._clock = clock
        self._store = MediaStore(state)
        self._ids: dict[str, MediaId] = {}
        self._files: dict[str, KnownFile] = {}
        self._has_ended = asyncio.Event()

    def resolve(self, reference: str) -> Mapping[str, str]:
        """What a message says of a file of this machine: its id, and the name of a document.

        Raises LookupError for a file that has no usable id yet: see `lacks`.
        """
        sha256 = reference_hash(reference)
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
        turn = asyncio.Semaphore(_AT_ONCE)

        async def one_more(sha256: str) -> None:
            async with turn:
                await self._give_id(sha256)

        async with contextlib.AsyncExitStack() as stack:
            lacking = [sha256 for sha256 in sorted(set(hashes)) if not self._take_known(sha256)]
            tasks = [asyncio.create_task(one_more(sha256)) for sha256 in lacking]
            stack.push_async_callback(_end, tasks)
            for task in tasks:
                await task

    async def keep_alive(self) -> None:
        """Renew ids before they end, and at once those that Meta has refused, until cancelled.

        Raises what `prepare` raises: without its picture no message can be sent.
        """
        while True:
            self._has_ended.clear()
            wanted = set(self._files) | self._ids.keys()
            now = self._clock.now()
            for sha256 in [name for name, known in self._ids.items() if not known.is_usable(now)]:
                self._ids.pop(sha256)
            await self.prepare(wanted - self._ids.keys())
            if not self._has_ended.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_EVERY_SECONDS):
                        await self._has_ended.wait()

    def has_ended(self, references: Iterable[str], reply: Reply) -> bool:
        """Whether Meta refused a message because the id of a file has ended; then it is renewed.

        Nothing was taken. An id that is new, or that this process does not know, is not renewed:
        then something else is wrong with the file.
        """
        if not _names_media(reply):
            return False
        now, found = self._clock.now(), False
        for sha256 in filter(None, map(sha256_of, references)):
            known = self._ids.get(sha256)
            if known is None:
                found = True  # somebody else's answer has told it already
                continue
            age = (now - from_text(known.uploaded_at)).total_seconds()
            if age < _FRESH_SECONDS:
                continue
            self._ids.pop(sha256)
            with contextlib.suppress(WacoexError), self._state.transaction():
                self._store.drop_id(known)
            found = True
        if found:
            self._has_ended.set()
        return found

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
        try:
            while True:
                with contextlib.suppress(TemporaryError):
                    with self._state.transaction():
                        locks.acquire(self._state, purpose, presence, self._clock)
                    break
                await asyncio.sleep(_OTHERS_TURN_SECONDS)
                if self._take_known(sha256):
                    return
            if not self._take_known(sha256):
                await self._upload(sha256)
        finally:
            self._leave(presence, purpose)

    def _leave(self, presence: Presence, purpose: str) -> None:
        try:
            with self._state.transaction():
                locks.release(self._state, purpose, presence)
        finally:
            presence.leave()

    async def _upload(self, sha256: str) -> None:
        file = self._store.file(sha256)
        if file is None or file.path is None:
            raise UsageError(
                "the id of a file has ended at Meta, and the file is not on this machine",
                hint="plan again with the file, or upload it again and give its new id",
                code="media_gone",
            )
        now = self._clock.now()
        await asyncio.to_thread(_demand_unchanged, file)
        media_id = await self._post(file)
        known = MediaId(sha256, self._number, media_id, to_text(now), to_text(now + ID_LIFETIME))
        with self._state.transaction():
            self._store.keep_id(known)
        self._files[sha256], self._ids[sha256] = file, known

    async def _post(self, file: KnownFile) -> str:
        """Upload, and try again after a failure that may pass: a file may be there twice."""
        path = file.path
        assert path is not None  # noqa: S101 - `_upload` has looked
        for tries in range(1, _TRIES + 1):
            try:
                with path.open("rb") as content:
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


def shown(state: State, phone_number_id: str | None) -> Callable[[str], Mapping[str, str]]:
    """A resolver for requests that are only shown: a file may have no id yet."""
    store = MediaStore(state)

    def resolve(reference: str) -> Mapping[str, str]:
        sha256 = reference_hash(reference)
        known = store.id_of(sha256, phone_number_id) if phone_number_id else None
        return _spoken_of(known.media_id if known else _NOT_YET, store.file(sha256))

    return resolve


def reference_hash(reference: str) -> str:
    """The content hash in a reference. Raises LookupError for a reference to no file."""
    sha256 = sha256_of(reference)
    if sha256 is None:
        raise LookupError(f"`{reference}` names no file of this machine")
    return sha256


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


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Let nothing go on behind a failure."""
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
