"""What `--media` and the cells of a list name: files, links and ids, made into references."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from wacoex_cli.errors import CredentialError, RefusedError, UsageError
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.media.checks import why_refused
from wacoex_cli.media.files import look_at
from wacoex_cli.media.model import FileContent, is_link, sha256_of
from wacoex_cli.media.store import MediaId, MediaStore
from wacoex_cli.templates.components import FILE, ID
from wacoex_cli.templates.model import ValueKind, placeholders
from wacoex_cli.templates.values import Convert, ParameterSource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State
    from wacoex_cli.media.model import MediaFile
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.templates.model import Template

COLUMN = "column:"
_ID_FORM = re.compile("[0-9]{1,30}")
_EXAMPLE = "for example: --media header=menu.jpg, or header=column:picture"


def given_media(given: Sequence[str] | None) -> list[ParameterSource]:
    """The sources that `--media KEY=FILE|URL|column:NAME|id:123` names; files are not looked at.

    Raises:
        UsageError: it is not of that form, or a key stands there twice.
    """
    found: dict[str, ParameterSource] = {}
    for pair in given or ():
        key, equals, text = pair.partition("=")
        key, text = key.strip(), text.strip()
        column = text.removeprefix(COLUMN).strip() if text.startswith(COLUMN) else None
        if not (key and equals and text) or column == "":
            raise UsageError(
                f"`--media {pair}` is not of the form PLACEHOLDER=FILE, =URL, =column:NAME or"
                " =id:123",
                hint=_EXAMPLE,
                code="bad_pair",
            )
        if key in found:
            raise UsageError(f"`--media` names {key} twice", hint="leave one of them out")
        fixed = None if column else text
        found[key] = ParameterSource(key, column=column, value=fixed)
    return list(found.values())


class MediaReader:
    """Makes references of what people name, and looks at each file once.

    `meta` is None where messages do not leave through Meta: then only links are of use. Files that
    a list names lie in one of the `folders`, or below it: a list may come from somebody else.
    """

    def __init__(
        self,
        state: State,
        clock: Clock,
        folders: Sequence[Path],
        meta: Meta | None = None,
        phone_number_id: str | None = None,
    ) -> None:
        self._clock = clock
        self._store = MediaStore(state)
        self._folders = [folder.resolve() for folder in folders]
        self._meta = meta
        self._number = phone_number_id
        self._known: dict[tuple[str, str], str | ValueError] = {}
        self._files: dict[Path, MediaFile] = {}
        self._given: list[tuple[MediaId, FileContent]] = []
        self.doubts: dict[str, str] = {}
        """What Meta does not promise of the files that were looked at, by their names."""

    async def settle(
        self, template: Template, sources: Sequence[ParameterSource]
    ) -> tuple[tuple[ParameterSource, ...], Mapping[str, Convert]]:
        """The sources with references in place of files, and what makes them of a list's cells.

        What makes them is by the key of each placeholder that is a file.

        Raises:
            UsageError: a file, link or id cannot be used in that header.
            CredentialError, RefusedError, TemporaryError: Meta could not be asked about an id.
        """
        forms = {
            place.key: place.media or "IMAGE"
            for place in placeholders(template)
            if place.kind is ValueKind.MEDIA
        }
        settled = [
            await self._fixed(source, forms[source.key])
            if source.key in forms and source.column is None
            else source
            for source in sources
        ]
        converts: dict[str, Convert] = {
            source.key: str if source.column is None else partial(self._in_list, forms[source.key])
            for source in sources
            if source.key in forms
        }
        return tuple(settled), converts

    @property
    def names(self) -> Mapping[str, str]:
        """The names of the files that were looked at, by the references to them."""
        return {file.reference: file.path.name for file in self._files.values()}

    def keep(self) -> None:
        """Remember what was looked at, inside a transaction."""
        now = self._clock.now()
        for file in self._files.values():
            self._store.keep(file, now)
        for given, content in self._given:
            self._store.keep_known(given.sha256, content.mime, content.size, now)
            known = self._store.id_of(given.sha256, given.phone_number_id)
            if known is None or not known.is_usable(now):
                self._store.keep_id(given)

    async def _fixed(self, source: ParameterSource, form: str) -> ParameterSource:
        text = str(source.text if source.value is None else source.value).strip()
        self._demand_possible(source.key, text)
        if is_link(text):
            return replace(source, text=None, value=text)
        if text.startswith(ID):
            reference = await self._of_meta(source.key, form, text.removeprefix(ID))
            return replace(source, text=None, value=reference)
        if sha256_of(text) and self._store.file(text.removeprefix(FILE)):
            return replace(source, text=None, value=text)
        path = Path(text).expanduser()
        found = await asyncio.to_thread(self._look_at, path)
        if why := why_refused(form, found.content):
            raise _refused(source.key, str(path), why)
        return replace(source, text=None, value=found.reference, file=path.name)

    def _in_list(self, form: str, text: str) -> str:
        """The reference for a cell of a list. Raises ValueError with what is wrong with it."""
        known = self._known.get((form, text))
        if known is None:
            try:
                known = self._cell(form, text)
            except ValueError as error:
                known = error
            self._known[form, text] = known
        if isinstance(known, ValueError):
            raise ValueError(str(known))
        return known

    def _cell(self, form: str, text: str) -> str:
        if is_link(text):
            return text
        if text.startswith(ID) and self._meta is not None:
            if not _ID_FORM.fullmatch(text.removeprefix(ID)):
                raise ValueError(f"`{text}` is not an id of Meta's, such as id:1037543291543636")
            return text
        if self._meta is None:
            raise ValueError(f"`{text}` is not a link; respond.io takes files by link only")
        path = self._in_folder(text)
        try:
            found = self._look_at(path)
        except UsageError as error:
            raise ValueError(error.message) from None
        if why := why_refused(form, found.content):
            raise ValueError(f"{text}: {why}")
        return found.reference

    def _in_folder(self, text: str) -> Path:
        """The file of that name in the folder of the list, or else in the current one."""
        inside = []
        for folder in self._folders:
            path = (folder / text).resolve()
            if any(path.is_relative_to(base) for base in self._folders):
                inside.append(path)
        if not inside:
            raise ValueError(
                f"{text} is outside of the folder of the list and of the current folder"
            )
        return next((path for path in inside if path.is_file()), inside[0])

    def _look_at(self, path: Path) -> MediaFile:
        if path not in self._files:
            found = self._files[path] = look_at(path)
            if doubt := found.content.doubt:
                self.doubts[path.name] = doubt
        return self._files[path]

    def _demand_possible(self, key: str, text: str) -> None:
        if self._meta is None and not is_link(text):
            raise UsageError(
                f"respond.io takes files by link only, and `{text}` for `{key}` is a file or an id",
                hint="put the file on a web server, and give its address: https://...",
                code="not_for_provider",
            )

    async def _of_meta(self, key: str, form: str, media_id: str) -> str:
        """The reference for an id that somebody gives: by content, if Meta tells it."""
        if not _ID_FORM.fullmatch(media_id):
            raise UsageError(
                f"`id:{media_id}` for `{key}` is not an id of Meta's",
                hint="it is a number, such as id:1037543291543636; see: wacoex media list",
                code="bad_media_id",
            )
        if self._meta is None or self._number is None:
            raise AssertionError("`_demand_possible` has looked")
        try:
            said = await self._meta.media(media_id, self._number)
        except (CredentialError, RefusedError) as error:
            if error.details.get("code") != 100:
                raise
            raise UsageError(
                f"Meta has no file {media_id} for this number now",
                hint="upload it again: wacoex media upload FILE; or name the file itself",
                code="unknown_media_id",
            ) from None
        mime, size = str(said.get("mime_type") or ""), _number(said.get("file_size"))
        content = FileContent(mime.partition(";")[0], size)
        if mime and size and (why := why_refused(form, content)):
            raise _refused(key, f"file {media_id}", why)
        sha256 = _hash_in(said.get("sha256"))
        if sha256 is None:
            return f"{ID}{media_id}"
        given = MediaId(sha256, self._number, media_id, to_text(self._clock.now()), None)
        self._given.append((given, content))
        return f"{FILE}{sha256}"


def _refused(key: str, name: str, why: str) -> UsageError:
    return UsageError(
        f"{name} cannot be sent as `{key}`: {why}",
        hint="give another file; `wacoex docs broadcast` says what each header takes",
        code="media_refused",
    )


def _number(value: object) -> int:
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 18 else 0


def _hash_in(value: object) -> str | None:
    """A SHA-256 in hexadecimal, which Meta also writes in Base64."""
    text = value if isinstance(value, str) else ""
    if len(text) == 44:
        try:
            text = base64.b64decode(text, validate=True).hex()
        except binascii.Error:
            return None
    return sha256_of(f"{FILE}{text.lower()}")
