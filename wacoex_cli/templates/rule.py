"""What a template asks for, whether wacoex can send it, and the values for one person."""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.channels.model import Provider
from wacoex_cli.errors import UsageError
from wacoex_cli.templates.model import (
    BRACES,
    Placeholder,
    Template,
    ValueKind,
    card_prefix,
    cards,
    component_of,
    header_format,
    is_extra,
    kind_of,
    placeholders,
)
from wacoex_cli.templates.values import ParameterSource, is_nothing

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

_MOST_IN_HEADER = 60
_MOST_IN_BODY = 1_024
_MOST_IN_OFFER = 600
_MOST_IN_CARD = 160
_MOST_IN_URL = 2_000
_JOINER = "\u200d"
_REGIONAL = frozenset(map(chr, range(0x1F1E6, 0x1F200)))
# Tags of a flag such as Scotland's, vowels of Thai and Lao, later parts of a Korean syllable.
_PARTS_OF_SIGN = re.compile("[\u0e33\u0eb3\U000e0020-\U000e007f\u1160-\u11ff\ud7b0-\ud7fb]")
_LINK = re.compile(r"https?://|www\.|\b[\w-]+\.[a-z]{2,}/\S", re.IGNORECASE)


class _Carried(NamedTuple):
    """What can be filled: the types of components and of buttons, the formats of headers."""

    components: frozenset[str]
    headers: frozenset[str]
    buttons: frozenset[str]


_CARRIED = {
    # Meta: template components, and the pages of each type of template.
    Provider.META: _Carried(
        frozenset(
            {"HEADER", "BODY", "FOOTER", "BUTTONS", "CAROUSEL", "LIMITED_TIME_OFFER"}
            | {"CALL_PERMISSION_REQUEST"}
        ),
        frozenset({"TEXT", "IMAGE", "VIDEO", "DOCUMENT", "LOCATION", "PRODUCT"}),
        frozenset(
            {"QUICK_REPLY", "URL", "PHONE_NUMBER", "COPY_CODE", "CATALOG", "MPM", "SPM", "FLOW"}
            | {"VOICE_CALL", "REQUEST_CONTACT_INFO"}
        ),
    ),
    # The types of messages in respond.io's own client library (`TemplateComponent` and others).
    Provider.RESPONDIO: _Carried(
        frozenset({"HEADER", "BODY", "FOOTER", "BUTTONS"}),
        frozenset({"TEXT", "IMAGE", "VIDEO", "DOCUMENT", "LOCATION"}),
        frozenset({"QUICK_REPLY", "URL", "PHONE_NUMBER", "CATALOG", "MPM"}),
    ),
}
_STATUS_HINTS = {
    "PENDING": "wait for Meta's review, which usually takes less than a day",
    "IN_APPEAL": "wait for the answer to the appeal, or use another template",
    "REJECTED": "read the reason in WhatsApp Manager, edit the template and submit it again",
    "PAUSED": "Meta paused it because of low quality: 3 hours the first time, 6 hours the second;"
    " wait, or use another template",
    "DISABLED": "Meta disabled it because of low quality; write a new template",
    "PENDING_DELETION": "it is being deleted; use another template",
    "DELETED": "it was deleted; use another template",
    "LIMIT_EXCEEDED": "the WABA has too many templates; delete some that are not used",
    "ARCHIVED": "take it out of the archive in WhatsApp Manager, or use another template",
}


def check_sendable(template: Template, provider: Provider = Provider.META) -> None:
    """Raise UsageError unless the template is approved and the provider carries all of its parts.

    A one-time password is refused: it goes to one person who has just asked for it.
    """
    title = f"template `{template.name}` ({template.language})"
    if template.status != "APPROVED":
        raise UsageError(
            f"{title} cannot be sent: its status is {template.status}",
            hint=_STATUS_HINTS.get(template.status, "use an approved template"),
            code="template_not_approved",
        )
    if template.category == "AUTHENTICATION":
        raise UsageError(
            f"{title} is for one-time passwords (category AUTHENTICATION): a code goes to one"
            " person who has just asked for it, not to a list",
            hint="the application that checks the codes sends them; use another template here",
            code="template_unsupported",
        )
    if part := next(_not_carried(template, provider), None):
        what, why = part
        raise UsageError(
            f"{title} has {what}, which {why or f'{_CARRIER[provider]} cannot send'}",
            hint=_OTHER_WAY[provider],
            code="template_unsupported",
        )


_CARRIER = {Provider.META: "wacoex", Provider.RESPONDIO: "respond.io's API"}
_OTHER_WAY = {
    Provider.META: "use another template; `wacoex template list` shows them",
    Provider.RESPONDIO: "use another template, or send through Meta (a channel of --provider meta)",
}
_ONLY_ELSEWHERE = {"GIF": "Meta takes only in its Marketing Messages API"}


def _not_carried(template: Template, provider: Provider) -> Iterator[tuple[str, str]]:
    """Each part that cannot be sent, with the reason where it is not the provider alone."""
    carried = _CARRIED[provider]
    groups = [("", template.components)]
    groups += [(f" in card {card}", parts) for card, parts in cards(template)]
    for where, parts in groups:
        for part in parts:
            kind = kind_of(part)
            if kind not in carried.components:
                yield f"a component of type {kind or 'unknown'}{where}", ""
            media = header_format((part,))
            if kind == "HEADER" and media not in carried.headers:
                yield f"a header of format {media}{where}", _ONLY_ELSEWHERE.get(str(media), "")
        for button in component_of(parts, "BUTTONS").get("buttons") or ():
            if kind_of(button) not in carried.buttons:
                yield f"a button of type {kind_of(button) or 'unknown'}{where}", ""


def check_carried(
    template: Template, sources: Sequence[ParameterSource], provider: Provider
) -> None:
    """Raise UsageError for a value that the provider has no place for.

    respond.io's API takes no payload of a reply button (its library's `TemplateButton`).
    """
    if provider is not Provider.RESPONDIO:
        return
    payloads = {place.key for place in placeholders(template) if place.kind is ValueKind.PAYLOAD}
    for source in sources:
        if source.key in payloads:
            raise UsageError(
                f"respond.io's API cannot send the payload of a reply button (`{source.key}`)",
                hint="leave it out: the text of the button comes back when somebody taps it",
                code="not_for_provider",
            )


def resolve_sources(
    template: Template, given: Sequence[ParameterSource], columns: Sequence[str]
) -> tuple[ParameterSource, ...]:
    """One source for each placeholder that has to be filled, in the order of `placeholders`.

    `given` are those that somebody named. A named placeholder of a text that nobody named takes the
    column of exactly its name; an optional one may stay without.

    Raises:
        UsageError: an unknown key or column, a key given twice, or a placeholder without source.
    """
    wanted = placeholders(template)
    _check_keys(template, [place.key for place in wanted], given)
    listed = "the file has the columns " + ", ".join(f"`{column}`" for column in columns)
    for source in given:
        if source.column is not None and source.column not in columns:
            raise UsageError(
                f"the recipients file has no column `{source.column}`"
                f" (for placeholder `{source.key}`)",
                hint=_nearest(source.column, columns) or listed,
                code="unknown_column",
            )
    by_key = {source.key: source for source in given}
    sources, missing = [], []
    for place in wanted:
        is_named_text = template.is_named and place.kind is ValueKind.TEXT and place.index is None
        if place.key in by_key:
            sources.append(replace(by_key[place.key], is_optional=place.is_optional))
        elif is_named_text and place.name in columns:
            source = ParameterSource(place.key, column=place.name, is_optional=place.is_optional)
            sources.append(source)
        elif not place.is_optional:
            missing.append(place)
    if missing:
        keys = ", ".join(f"`{place.key}`" for place in missing)
        example = f" (for example `{missing[0].example}`)" if missing[0].example else ""
        raise UsageError(
            f"template `{template.name}` has nothing to put in for {keys}{example}",
            hint=f"{_way_to_fill(template, missing)}; {listed}",
            code="missing_parameter",
        )
    _check_extra_cards(template, wanted, by_key.keys())
    return tuple(sources)


def _way_to_fill(template: Template, missing: Sequence[Placeholder]) -> str:
    """Options for a few texts; a file for what is too long for a command line."""
    if any(place.is_structure or place.card is not None for place in missing):
        file = f"wacoex template skeleton {template.name} > values.toml"
        return f"make a file of values, fill it, and add `--values values.toml`: {file}"
    options = " ".join(f"--param {place.key}=COLUMN" for place in missing)
    return f"add `{options}`, or `--text {missing[0].key}=VALUE`"


def _check_extra_cards(
    template: Template, wanted: Sequence[Placeholder], given: Container[str]
) -> None:
    """A card that the template itself has not is filled whole, and after the one before it."""
    is_open = False
    for card, _ in cards(template):
        if not is_extra(template, card):
            continue
        places = [place for place in wanted if place.card == card]
        needed = [place.key for place in places if place.kind is not ValueKind.PAYLOAD]
        lacking = [key for key in needed if key not in given]
        is_given = any(place.key in given for place in places)
        if is_given and (lacking or is_open):
            lacks = ", ".join(f"`{key}`" for key in lacking) or f"card {card - 1}"
            raise UsageError(
                f"card {card} cannot be sent without {lacks}",
                hint="fill the cards one after the other, each of them whole",
                code="missing_parameter",
            )
        is_open = is_open or not is_given


def what_is_empty(sources: Sequence[ParameterSource], values: Mapping[str, str]) -> str:
    """Why `fill` gives nothing for a row: the columns that are empty in it, each once.

    A cell that is not blank but counts as empty is shown, such as `#N/A`.
    """
    needed = [source for source in sources if not source.is_optional and source.default is None]
    columns = dict.fromkeys(source.column for source in needed if source.column)
    cells = [(column, values.get(column, "").strip()) for column in columns]
    empty = [
        f"`{column}`{f' (`{cell}`)' if cell else ''}" for column, cell in cells if is_nothing(cell)
    ]
    return f"{', '.join(empty)} {'is' if len(empty) == 1 else 'are'} empty" if empty else ""


class TextLimit(NamedTuple):
    """How many characters a part of a message may have, and what they come from.

    `fixed` are those of the template itself, `places` the values that are put in, in the order of
    `fill`; a value that stands twice counts twice. `is_prose`: a shorter text still makes sense,
    which a shorter URL does not.
    """

    part: str
    most: int
    fixed: int
    places: tuple[int, ...]
    is_prose: bool = False


def text_limits(template: Template, sources: Sequence[ParameterSource]) -> tuple[TextLimit, ...]:
    """The parts of a message that have something to put in, with their limits.

    Source: Meta, template components and "text object" of a message (header 60, body 1,024, URL
    2,000 characters, each with what is put in), limited-time offer templates (body 600), media card
    carousel templates (body of a card 160); a longer message fails with 132005.
    """
    kept = [source.key for source in sources if source.value is None]
    place_of = {key: place for place, key in enumerate(kept)}
    fixed = {source.key: str(source.value) for source in sources if source.value is not None}

    def limit(part: str, most: int, text: str, keys: Sequence[str]) -> TextLimit:
        own = len(BRACES.sub("", text)) + sum(len(fixed.get(key, "")) for key in keys)
        return TextLimit(part, most, own, tuple(place_of[key] for key in keys if key in place_of))

    def in_text(part: str, most: int, text: str, prefix: str) -> TextLimit:
        found = limit(part, most, text, [f"{prefix}{name}" for name in BRACES.findall(text)])
        return found._replace(is_prose=True)

    is_offer = bool(component_of(template.components, "LIMITED_TIME_OFFER"))
    most_in_body = _MOST_IN_OFFER if is_offer else _MOST_IN_BODY
    header, body = template.component("HEADER"), template.component("BODY")
    found = [
        in_text("header", _MOST_IN_HEADER, str(header.get("text", "")), "header."),
        in_text("body", most_in_body, str(body.get("text", "")), ""),
    ]
    groups = [("", "", template.components)]
    for card, parts in cards(template):
        prefix, text = card_prefix(card), str(component_of(parts, "BODY").get("text", ""))
        found.append(in_text(f"body of card {card}", _MOST_IN_CARD, text, prefix))
        groups.append((prefix, f" in card {card}", parts))
    for prefix, where, parts in groups:
        for index, button in enumerate(component_of(parts, "BUTTONS").get("buttons") or ()):
            if kind_of(button) == "URL":
                key, url = f"{prefix}button.{index}", str(button.get("url", ""))
                found.append(limit(f"URL of a button{where}", _MOST_IN_URL, url, [key]))
    return tuple(limit for limit in found if limit.places or limit.fixed > limit.most)


def beyond_limit(limits: Sequence[TextLimit], values: Sequence[str]) -> str | None:
    """Which part of a message would have more characters than Meta takes; None when all fit."""
    for limit in limits:
        length = limit.fixed + sum(len(values[place]) for place in limit.places)
        if length > limit.most:
            return f"the {limit.part} would have {length:,} characters, Meta takes {limit.most:,}"
    return None


def cut_to_limits(limits: Sequence[TextLimit], values: Sequence[str]) -> tuple[str, ...]:
    """The values with the longest of a text cut, and `…` at its end, until Meta takes the text.

    As they are where that does not help: the template itself is too long, or a URL is. A value
    that holds a link is never cut, as nobody could open the rest of it.
    """
    cut = list(values)
    for limit in limits:
        places = [place for place in limit.places if not _LINK.search(values[place])]
        while limit.is_prose and beyond_limit([limit], cut):
            place = max(places, key=lambda place: len(cut[place]), default=None)
            if place is None or len(cut[place]) <= 1:
                break
            excess = limit.fixed - limit.most + sum(len(cut[other]) for other in limit.places)
            # By at least one, as a share of a value that stands twice may be less.
            share = -(-excess // limit.places.count(place))
            keep = max(len(cut[place]) - 1 - share, 0)
            cut[place] = f"{_start(cut[place], keep)}…"
    return tuple(cut)


def _start(text: str, length: int) -> str:
    """At most this many characters, with no letter or emoji cut in two.

    Source: Unicode Standard Annex 29, "Grapheme cluster boundaries".
    """
    while 0 < length < len(text) and _is_inside_sign(text, length):
        length -= 1
    return text[:length].rstrip()


def _is_inside_sign(text: str, place: int) -> bool:
    """Whether the characters before and at a place are shown as one sign."""
    before, after = text[place - 1], text[place]
    if before in _REGIONAL and after in _REGIONAL:
        # Two of them are a flag, so it matters how many stand before.
        start = place
        while start and text[start - 1] in _REGIONAL:
            start -= 1
        return (place - start) % 2 == 1
    return (
        unicodedata.category(after) in ("Mn", "Me", "Mc", "Sk")
        or _JOINER in (before, after)
        or _PARTS_OF_SIGN.match(after) is not None
    )


def _check_keys(template: Template, known: Sequence[str], given: Sequence[ParameterSource]) -> None:
    names = ", ".join(f"`{name}`" for name in known)
    listed = (
        f"it has {names}" if known else "it has no placeholders: leave `--param` and `--text` out"
    )
    seen: dict[str, ParameterSource] = {}
    for source in given:
        key = source.key
        if key not in known:
            raise UsageError(
                f"template `{template.name}` has no placeholder `{key}`",
                hint=_nearest(key, known) or listed,
                code="unknown_placeholder",
            )
        if key in seen:
            raise _given_twice(seen[key], source)
        seen[key] = source
        if source.text is not None and not source.text.strip():
            raise UsageError(
                f"the text for placeholder `{key}` is empty",
                hint="Meta refuses empty parameters; give it a text",
            )


def _given_twice(first: ParameterSource, second: ParameterSource) -> UsageError:
    key = first.key
    if first.column is not None and second.text is not None:
        return UsageError(
            f"placeholder `{key}` has both a column and a text",
            hint=f"give either `--param {key}=COLUMN` or `--text {key}=VALUE`",
        )
    return UsageError(
        f"placeholder `{key}` is filled twice",
        hint="leave it out in the file of values, or on the command line",
    )


def _nearest(word: str, known: Sequence[str]) -> str | None:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean `{near[0]}`?" if near else None


def why_not_to_user_ids(template: Template, provider: Provider) -> str | None:
    """Why a template cannot go to a person by a user id; None where it can.

    respond.io knows contacts by their numbers; Meta sends login codes to numbers only (131062).
    Sources: "respond.io: identifiers of contacts", "Meta: error codes".
    """
    if provider is Provider.RESPONDIO:
        return "respond.io sends to numbers only, and wacoex does not know this person's number"
    if template.category == "AUTHENTICATION":
        return (
            "Meta sends login codes to numbers only (131062), and wacoex does not know this"
            " person's number"
        )
    return None
