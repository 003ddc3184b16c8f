"""What happened to a template since a broadcast was planned with it. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.contacts.store import is_marketing
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.templates.model import Template, component_of, kind_of, own_cards

if TYPE_CHECKING:
    from collections.abc import Iterator

Parts = Sequence[Mapping[str, Any]]

_SHOWN_CHARACTERS = 60
_SAME_BEFORE = 20
_NOTHING = "nothing"
_PARTS = ("HEADER", "BODY", "FOOTER", "BUTTONS")
_READ_IN_BUTTON = ("type", "text", "url", "phone_number")


class Change(NamedTuple):
    """One thing that is not as it was planned, in words."""

    part: str
    before: str
    now: str

    def __str__(self) -> str:
        return f"{self.part}: {self.before} -> {self.now}"


def text_changes(planned: Template, current: Template) -> tuple[Change, ...]:
    """What people would read otherwise than was planned: header, body, footer, each button.

    The examples that Meta was given for its review are read by nobody.
    """
    return tuple(_text_changes(planned, current))


def _text_changes(planned: Template, current: Template) -> Iterator[Change]:
    yield from _in_parts("", planned.components, current.components)
    if planned.parameter_format != current.parameter_format:
        yield Change("placeholders", planned.parameter_format, current.parameter_format)
    before, now = (own_cards(template) for template in (planned, current))
    for place in range(max(len(before), len(now))):
        pair = (cards[place] if place < len(cards) else () for cards in (before, now))
        yield from _in_parts(f"card {place}: ", *pair)


def _in_parts(where: str, planned: Parts, current: Parts) -> Iterator[Change]:
    """The changes in a message, or in one card of it."""
    for kind in _PARTS[:3]:
        before, now = (_read_in(component_of(parts, kind)) for parts in (planned, current))
        if before != now:
            yield _change(f"{where}{kind.lower()}", before, now)
    buttons = [component_of(parts, "BUTTONS").get("buttons") or () for parts in (planned, current)]
    for place in range(max(map(len, buttons))):
        before, now = (_button(given, place) for given in buttons)
        if before != now:
            yield _change(f"{where}button {place + 1}", before, now)
    others = [
        [_itself(part) for part in parts if kind_of(part) not in _PARTS]
        for parts in (planned, current)
    ]
    if others[0] != others[1]:
        kinds = (", ".join(map(kind_of, parts)) or _NOTHING for parts in others)
        yield Change(f"{where}other parts", *kinds)


def _itself(part: Mapping[str, Any]) -> dict[str, Any]:
    """A component without its examples and its cards, which are compared one by one."""
    return {name: value for name, value in part.items() if name not in ("example", "cards")}


def _read_in(component: Mapping[str, Any]) -> str:
    media = str(component.get("format") or "TEXT").upper() if component else "TEXT"
    text = str(component.get("text", ""))
    return text if media == "TEXT" else f"({media}) {text}".strip()


def _button(buttons: Sequence[Mapping[str, Any]], place: int) -> str:
    if place >= len(buttons):
        return ""
    button = buttons[place]
    return " ".join(str(button[name]) for name in _READ_IN_BUTTON if button.get(name))


def _change(part: str, before: str, now: str) -> Change:
    """Both texts from shortly before the place where they part."""
    same = next(
        (place for place, pair in enumerate(zip(before, now, strict=False)) if pair[0] != pair[1]),
        min(len(before), len(now)),
    )
    start = before.rfind(" ", 0, max(0, same - _SAME_BEFORE)) + 1
    return Change(part, _shown(before, start), _shown(now, start))


def _shown(text: str, start: int) -> str:
    if not text:
        return _NOTHING
    cut = textwrap.shorten(text[start:], _SHOWN_CHARACTERS, placeholder=" ...")
    return f'"{"... " if start else ""}{cut}"'


def check_still_as_planned(
    planned: Template, current: Template, channel: str, observed_at: str, source: str = "meta"
) -> list[Finding]:
    """WX504: the template is not approved now. WX509: its text is not what was planned.

    `source` is where `current` comes from: the provider it was planned for.
    Source: Meta, template management (statuses; pausing 3 h, 6 h, then disabled).
    """
    name = current.name
    unapproved, changed = list[Evidence](), list[Evidence]()
    for before, now in zip(planned.versions, current.versions, strict=True):
        title = f"{name} ({now.language})" if planned.translations else name
        if now.status != "APPROVED":
            said = f"template `{name}` ({now.language}) is {now.status}: APPROVED -> {now.status}"
            unapproved.append(Evidence(said, source, observed_at))
        for change in text_changes(before, now):
            changed.append(Evidence(f"{title}, {change}", source, observed_at))
    found = []
    if unapproved:
        found.append(Finding("WX504", Severity.CRITICAL, channel, unapproved, template=name))
    if changed:
        found.append(Finding("WX509", Severity.CRITICAL, channel, changed, case="text"))
    return found


def check_category(
    before: str, now: str, channel: str, said: Evidence, consequences: Sequence[Evidence] = ()
) -> list[Finding]:
    """WX509: the category is another one; who may be written to and the price follow it.

    wacoex cannot fill templates of the category AUTHENTICATION. `said` is who said so, and when.
    """
    if before == now:
        return []
    fact = replace(said, text=f"category {before} -> {now}: {said.text}")
    severity, case = Severity.INFO, "category"
    if now == "AUTHENTICATION":
        severity, case = Severity.CRITICAL, "authentication"
    elif is_marketing(now):
        severity = Severity.WARNING
    facts = (fact, *consequences)
    return [Finding("WX509", severity, channel, facts, case=case, before=before, now=now)]


def check_coming(now: str, coming: str, channel: str, said: Evidence) -> list[Finding]:
    """WX509: Meta has said that it is about to change the category.

    Source: Meta, template_category_update (an impending change comes 24 hours ahead).
    """
    fact = replace(said, text=f"category {now}, soon {coming}: {said.text}")
    return [Finding("WX509", Severity.WARNING, channel, fact, case="coming", coming=coming)]


def check_gone(planned: Template, why: str, channel: str, observed_at: str, source: str) -> Finding:
    """WX509: there is no such template, or not in this language, any more."""
    languages = ", ".join(version.language for version in planned.versions)
    there = f"template `{planned.name}` ({languages}) existed when this was planned"
    facts = (Evidence(why, source, observed_at), Evidence(there, "plan", observed_at))
    return Finding("WX509", Severity.CRITICAL, channel, facts, case="gone")


def check_unread(why: Evidence, known: Evidence, channel: str) -> Finding:
    """WX509: nobody can say whether the template is still as planned; what is known, and since."""
    return Finding("WX509", Severity.UNKNOWN, channel, (why, known), case="unread")


def check_copy(known: Evidence, channel: str) -> Finding:
    """WX509: the template was read in a copy of Meta's list, which may lag behind it."""
    return Finding("WX509", Severity.INFO, channel, known, case="copy")


@dataclass(frozen=True)
class Omissions:
    """How many people of a broadcast are left out besides, by reason; 0 reasons: as planned."""

    by_reason: Mapping[str, int]

    @property
    def people(self) -> int:
        """How many people it is."""
        return sum(self.by_reason.values())


def check_omissions(omissions: Omissions, channel: str, observed_at: str) -> list[Finding]:
    """WX509: fewer people are written to than planned, and why."""
    if not omissions.people:
        return []
    facts = [
        Evidence(f"{n} of the planned people will not get it: {reason}", "ledger", observed_at)
        for reason, n in omissions.by_reason.items()
    ]
    return [Finding("WX509", Severity.INFO, channel, facts, case="people")]
