"""Templates as files: one TOML file a template, with all its languages. Pure but for the files."""

from __future__ import annotations

import difflib
import errno
import hashlib
import os
import re
import tomllib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.state import open_regular
from wacoex_cli.templates.model import POSITIONAL, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from wacoex_cli.errors import WacoexError

CATEGORIES = ("MARKETING", "UTILITY", "AUTHENTICATION")
SUFFIX = ".toml"
# A template that Meta deletes is no longer there for anybody who reads or writes files.
GONE = frozenset({"DELETED", "PENDING_DELETION"})

_NAME = re.compile(r"[a-z0-9_]{1,512}")
_LONGEST_FILE_NAME = 200
_MOST_BYTES = 16 * 1024**2
_FIRST_KEYS = ("type", "format", "text")
_FILE_KEYS = frozenset({"name", "languages"})
_TTL = "message_send_ttl_seconds"
_LANGUAGE_KEYS = ("language", "category", "parameter_format", _TTL, "components")


@dataclass(frozen=True)
class Draft:
    """One template in one language, as a file holds it: what Meta reviews, without its state.

    `ttl_seconds` is how long Meta tries to deliver a message, None for Meta's own choice.
    """

    name: str
    language: str
    category: str
    parameter_format: str
    components: tuple[Mapping[str, Any], ...]
    ttl_seconds: int | None = None

    @classmethod
    def from_meta(cls, record: Mapping[str, Any]) -> Draft:
        """A record of `message_templates`, without what Meta adds and changes by itself.

        The example of a picture is a link of Meta that ends, and that no edit takes: it is left
        out. Source: "Meta: template management".
        """
        ttl = record.get(_TTL)
        return cls(
            name=str(record["name"]),
            language=str(record["language"]),
            category=str(record.get("category", "")).upper(),
            parameter_format=str(record.get("parameter_format") or POSITIONAL).upper(),
            components=tuple(map(_without_handle, record.get("components") or ())),
            ttl_seconds=ttl if isinstance(ttl, int) else None,
        )

    def to_json(self) -> dict[str, Any]:
        """What Meta takes to make it."""
        whole: dict[str, Any] = {
            "language": self.language,
            "category": self.category,
            "parameter_format": self.parameter_format,
            _TTL: self.ttl_seconds,
            "components": [_ordered(part) for part in self.components],
        }
        return {key: value for key, value in whole.items() if value is not None}

    def compared(self) -> dict[str, Any]:
        """What makes a difference: the example of a picture and ways of writing do not."""
        parts = [_compared(_without_handle(part)) for part in self.components]
        return {**self.to_json(), "components": parts}

    def same_as(self, other: Draft | None) -> bool:
        """Whether Meta would see no difference."""
        return other is not None and self.compared() == other.compared()


class FiledDraft(NamedTuple):
    """A draft and the file it comes from."""

    draft: Draft
    path: Path


EXAMPLE = "header_example"
"""The key of a header that names a file beside the template's: what Meta's reviewers see."""

_MEGABYTE = 1024**2
_JPEG, _PNG = (0, b"\xff\xd8\xff", "image/jpeg"), (0, b"\x89PNG\r\n", "image/png")
_MP4, _PDF = (4, b"ftyp", "video/mp4"), (0, b"%PDF-", "application/pdf")
# How such a file begins, and its largest size; see `Meta.upload_example` for the types.
_EXAMPLE_TYPES: Mapping[str, tuple[tuple[tuple[int, bytes, str], ...], float]] = {
    "IMAGE": ((_JPEG, _PNG), 5 * _MEGABYTE),
    "VIDEO": ((_MP4,), 16 * _MEGABYTE),
    "GIF": ((_MP4,), 3.5 * _MEGABYTE),
    "DOCUMENT": ((_PDF,), 100 * _MEGABYTE),
}


class ExampleFile(NamedTuple):
    """A file that shows Meta's reviewers what a header may hold; `size` in bytes."""

    path: Path
    media_type: str
    size: int
    sha256: str


def examples_of(filed: FiledDraft) -> dict[str, ExampleFile]:
    """The example files of a template, by their names as they are written in it.

    Raises UsageError (code `template_file`) for one that cannot be read, or is of another type
    than its header.
    """
    found = {}
    for header in _headers(filed.draft.components):
        name, form = header.get(EXAMPLE), str(header.get("format", "")).upper()
        if name is not None:
            found[str(name)] = _example_file(filed.path, str(name), form)
    return found


def _example_file(template: Path, name: str, form: str) -> ExampleFile:
    path = template.parent / name
    # A template may come from somebody else, and so may the name of a file in it.
    if not path.resolve().is_relative_to(template.parent.resolve()):
        raise _wrong(template, f"{name} is outside of its folder", "put the example beside it")
    known, most = _EXAMPLE_TYPES[form]
    digest = hashlib.sha256()
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > most:
                why = f"{name} has {size // _MEGABYTE} MB, more than a header takes"
                raise _wrong(template, why, "give a smaller file")
            head = file.read(16)
            digest.update(head)
            while piece := file.read(_MEGABYTE):
                digest.update(piece)
    except OSError as error:
        why = f"the example {name} cannot be read: {error.strerror or error}"
        raise _wrong(template, why, f"`{EXAMPLE}` names a file beside this one") from None
    kinds = (kind for place, start, kind in known if head[place:].startswith(start))
    if (kind := next(kinds, None)) is None:
        takes = " or ".join(kind for _, _, kind in known)
        raise _wrong(
            template, f"{name} is not an example for a header of format {form}", f"it takes {takes}"
        )
    return ExampleFile(path, kind, size, digest.hexdigest())


def with_handles(draft: Draft, handles: Mapping[str, str]) -> Draft:
    """The draft as Meta takes it: with the handles of uploaded files in place of their names."""

    def handled(header: Mapping[str, Any]) -> Mapping[str, Any]:
        if EXAMPLE not in header:
            return header
        rest = {key: value for key, value in header.items() if key != EXAMPLE}
        return {**rest, "example": {"header_handle": [handles[str(header[EXAMPLE])]]}}

    return replace(draft, components=_each_header(draft.components, handled))


def _with_examples(draft: Draft, local: Draft | None) -> Draft:
    """Meta's draft with the names of example files that ours has in the same places."""
    names = iter(_headers(local.components if local else ()))

    def named(header: Mapping[str, Any]) -> Mapping[str, Any]:
        ours = next(names, {})
        is_same = ours.get("format") == header.get("format")
        return {**header, EXAMPLE: ours[EXAMPLE]} if is_same and EXAMPLE in ours else header

    return replace(draft, components=_each_header(draft.components, named))


def _headers(parts: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The headers of a template and of its cards, in order."""
    found: list[Mapping[str, Any]] = []

    def keep(header: Mapping[str, Any]) -> Mapping[str, Any]:
        found.append(header)
        return header

    _each_header(parts, keep)
    return found


def _each_header(
    parts: Iterable[Mapping[str, Any]], change: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> tuple[Mapping[str, Any], ...]:
    changed = []
    for part in parts:
        if kind_of(part) == "HEADER":
            changed.append(change(part))
        elif isinstance(part.get("cards"), (list, tuple)):
            cards = [
                {**card, "components": list(_each_header(_dicts(card.get("components")), change))}
                for card in _dicts(part["cards"])
            ]
            changed.append({**part, "cards": cards})
        else:
            changed.append(part)
    return tuple(changed)


def _dicts(value: object) -> list[Mapping[str, Any]]:
    listed = value if isinstance(value, (list, tuple)) else ()
    return [each for each in listed if hasattr(each, "items")]


Key = tuple[str, str]


def key_of(draft: Draft) -> Key:
    """Name and language: they name a template at Meta."""
    return draft.name, draft.language


def text_of(drafts: Sequence[Draft]) -> str:
    """The file of a template: the same text for the same template, whatever order Meta gives."""
    import tomli_w

    ordered = sorted(drafts, key=lambda draft: draft.language)
    whole = {"name": ordered[0].name, "languages": [draft.to_json() for draft in ordered]}
    text = tomli_w.dumps(whole, multiline_strings=True)
    # Lines of a text that end with \r\n lose the \r when they are written over several lines.
    return text if tomllib.loads(text) == whole else tomli_w.dumps(whole)


def read_bounded(path: Path) -> bytes:
    """What a file holds that people write by hand; raises OSError for a larger one too."""
    with open_regular(path) as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {_MOST_BYTES // 1024**2} MB")
    return content


def read_file(path: Path) -> list[Draft]:
    """The template in a file, in each of its languages.

    Raises UsageError (code `template_file`) for what is no template, with the place in the file.
    """
    try:
        whole = tomllib.loads(read_bounded(path).decode("utf-8-sig"))
    except FileNotFoundError:
        raise _wrong(path, "there is no such file", "check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        why = (isinstance(error, OSError) and error.strerror) or "it is not UTF-8 text"
        raise _wrong(path, f"it cannot be read: {why}", "check the path and its rights") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _wrong(path, f"it is not TOML: {error}", "correct the line that it names") from None
    return list(_drafts(path, whole))


def read_directory(directory: Path) -> dict[Key, FiledDraft]:
    """Every template in the `.toml` files of a directory, by name and language.

    Raises UsageError for a missing directory, a file that is no template, and for two files
    with the same template and language.
    """
    if not directory.is_dir():
        raise UsageError(
            f"there is no directory {directory}",
            hint="`wacoex template pull DIR` makes it and fills it with the templates at Meta",
            code="template_directory",
        )
    found: dict[Key, FiledDraft] = {}
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        for draft in read_file(path):
            if (known := found.get(key_of(draft))) is not None:
                raise _wrong(
                    path,
                    f"`{draft.name}` ({draft.language}) is also in {known.path.name}",
                    "keep it in one of the two files",
                )
            found[key_of(draft)] = FiledDraft(draft, path)
    return found


class PulledFile(NamedTuple):
    """What pulling does to a file: `new`, `replaced`, or `same`; `text` is what it shall hold."""

    name: str
    path: Path
    state: str
    text: str


def pulled(
    directory: Path, local: Mapping[Key, FiledDraft], remote: Iterable[Draft]
) -> list[PulledFile]:
    """What pulling these templates of Meta does to each file, by the template's name.

    A file whose template is the same stays as it is written, comments and examples included.
    """
    by_name: dict[str, list[Draft]] = {}
    for draft in remote:
        by_name.setdefault(draft.name, []).append(draft)
    files = []
    for name, drafts in sorted(by_name.items()):
        filed = [each for (known, _), each in local.items() if known == name]
        path = filed[0].path if filed else directory / file_name(name)
        current = {key_of(each.draft): each.draft for each in filed}
        is_same = current.keys() == {key_of(draft) for draft in drafts} and all(
            draft.same_as(current[key_of(draft)]) for draft in drafts
        )
        state = "same" if is_same else ("replaced" if path.exists() else "new")
        whole = [_with_examples(draft, current.get(key_of(draft))) for draft in drafts]
        files.append(PulledFile(name, path, state, text_of(whole)))
    return files


def file_name(name: str) -> str:
    """The name of a template's file; raises UsageError for a name that Meta does not give."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"`{name}` is not a name for a template",
            hint="Meta allows a-z, 0-9 and _",
            code="usage",
        )
    if len(name) > _LONGEST_FILE_NAME:
        name = f"{name[:_LONGEST_FILE_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return name + SUFFIX


def write_file(path: Path, text: str) -> None:
    """Put the text in place of the file, whole or not at all; raises UsageError if it cannot."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise _wrong(path, f"it cannot be written ({error.strerror})", "check its rights") from None


def diff_lines(before: Draft | None, after: Draft | None, file: str) -> list[str]:
    """What changes from Meta's template to the file's, as `diff -u` shows it."""
    old, new = (
        text_of([_normal(draft)]).splitlines() if draft is not None else []
        for draft in (before, after)
    )
    return list(difflib.unified_diff(old, new, fromfile="Meta", tofile=file, lineterm=""))


def _normal(draft: Draft) -> Draft:
    return Draft(
        draft.name,
        draft.language,
        draft.category,
        draft.parameter_format,
        tuple(draft.compared()["components"]),
        draft.ttl_seconds,
    )


def _drafts(path: Path, whole: Mapping[str, Any]) -> Iterator[Draft]:
    name, languages = whole.get("name"), whole.get("languages")
    if unknown := sorted(whole.keys() - _FILE_KEYS):
        raise _wrong(path, f"`{unknown[0]}` is not a key of a template", "known: name, languages")
    if not isinstance(name, str) or not name:
        raise _wrong(path, "`name` is missing", 'write `name = "spring_offer"` in the first line')
    if not isinstance(languages, list) or not languages:
        raise _wrong(path, "it has no language", "add a table `[[languages]]`")
    seen: set[str] = set()
    for number, value in enumerate(languages, start=1):
        place = f"language {number}"
        if not isinstance(value, dict):
            raise _wrong(path, f"{place} is not a table", "write `[[languages]]`")
        if unknown := sorted(value.keys() - set(_LANGUAGE_KEYS)):
            raise _wrong(
                path, f"{place}: `{unknown[0]}` is not a key", f"known: {', '.join(_LANGUAGE_KEYS)}"
            )
        draft = _draft(path, place, name, value)
        if draft.language in seen:
            raise _wrong(path, f"`{draft.language}` is in it twice", "keep one of the two")
        seen.add(draft.language)
        yield draft


def _draft(path: Path, place: str, name: str, value: Mapping[str, Any]) -> Draft:
    for key in ("language", "category"):
        if not isinstance(value.get(key), str) or not value[key]:
            raise _wrong(path, f"{place}: `{key}` is missing", f"add `{key}`")
    category = value["category"].upper()
    if category not in CATEGORIES:
        raise _wrong(
            path,
            f"{place}: `{value['category']}` is not a category",
            f"write {', '.join(CATEGORIES[:-1])} or {CATEGORIES[-1]}",
        )
    written = str(value.get("parameter_format", POSITIONAL)).upper()
    if written not in ("NAMED", POSITIONAL):
        raise _wrong(
            path, f"{place}: `{written}` is not a parameter_format", f"write NAMED or {POSITIONAL}"
        )
    ttl = value.get(_TTL)
    if ttl is not None and (not isinstance(ttl, int) or isinstance(ttl, bool)):
        raise _wrong(path, f"{place}: `{_TTL}` is not a number", "write whole seconds")
    parts = value.get("components")
    if (
        not isinstance(parts, list)
        or not parts
        or not all(isinstance(part, dict) for part in parts)
    ):
        raise _wrong(path, f"{place}: `components` is missing", "add `[[languages.components]]`")
    if not all(kind_of(part) for part in parts):
        raise _wrong(path, f"{place}: a component has no `type`", 'add `type = "BODY"` or the like')
    for header in _headers(parts):
        example = header.get(EXAMPLE)
        form = str(header.get("format", "")).upper()
        if example is not None and (not isinstance(example, str) or form not in _EXAMPLE_TYPES):
            raise _wrong(
                path,
                f"{place}: `{EXAMPLE}` is the name of a file, for a picture, video or document",
                f'write {EXAMPLE} = "menu.jpg" under `format = "IMAGE"`, or take it out',
            )
    return Draft(name, value["language"], category, written, tuple(parts), ttl)


def _wrong(path: Path, why: str, hint: str) -> WacoexError:
    return UsageError(f"{path}: {why}", hint=hint, code="template_file")


def _ordered(value: Any) -> Any:
    """The same value with its keys in one order: what it is, its text, then the rest by name."""
    if isinstance(value, (list, tuple)):
        return [_ordered(each) for each in value if each is not None]
    if not hasattr(value, "items"):
        return value
    rest = sorted(value.keys() - set(_FIRST_KEYS))
    keys = [*(key for key in _FIRST_KEYS if key in value), *rest]
    return {key: _ordered(value[key]) for key in keys if value[key] is not None}


def _without_handle(value: Any) -> Any:
    """A component, and the cards in it, without the example of a picture."""
    if isinstance(value, list):
        return [_without_handle(each) for each in value]
    if not hasattr(value, "items"):
        return value
    kept = {
        key: _without_handle(each)
        for key, each in value.items()
        if key not in ("header_handle", EXAMPLE) and each is not None
    }
    if not kept.get("example", True):
        del kept["example"]
    return kept


def _compared(part: Mapping[str, Any]) -> Any:
    """A component as it compares: kinds in capitals, one way to write examples and numbers."""
    whole = {**_ordered(part)}
    for key in ("type", "format"):
        if isinstance(whole.get(key), str):
            whole[key] = whole[key].upper()
    if isinstance(whole.get("example"), str):
        whole["example"] = [whole["example"]]
    if isinstance(whole.get("phone_number"), str):
        whole["phone_number"] = re.sub(r"[^0-9]", "", whole["phone_number"])
    for key in ("buttons", "cards", "components"):
        if isinstance(whole.get(key), list):
            whole[key] = [_compared(each) for each in whole[key] if hasattr(each, "items")]
    return whole
