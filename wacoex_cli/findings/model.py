"""A finding: the answer of one check, in the words of its page, and as a person reads it."""

from __future__ import annotations

import copy
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from wacoex_cli.errors import counted
from wacoex_cli.findings import catalogue
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.terminal.render import Block, Blocks, Line, relative

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

SOURCE_NAMES = {"meta": "Meta", "respondio": "respond.io"}
"""How a person reads the sources whose names are codes."""
PERSON = "person"
"""The source of what a person said or typed."""
# Stands for the name of a channel in what is said about several.
_ANY_CHANNEL = "NAME"
_MOST_FACTS = 2


class Severity(StrEnum):
    """How bad it is; `unknown` means that the check could not be made."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    UNKNOWN = "unknown"
    CRITICAL = "critical"


_WORST_FIRST = (Severity.CRITICAL, Severity.UNKNOWN, Severity.WARNING, Severity.INFO, Severity.OK)


@dataclass(frozen=True)
class Evidence:
    """What a finding rests on: the fact, who said it, and when (RFC 3339, UTC).

    `is_said` is false where the source was asked and gave no answer: then the words are ours.
    `who` names a person who said it; without a name it is the reader.
    """

    text: str
    source: str
    observed_at: str
    is_said: bool = True
    who: str = ""

    @property
    def said_by(self) -> str:
        """How a person reads who said it: Meta only what Meta said, and you what you typed."""
        name = SOURCE_NAMES.get(self.source, self.source)
        if not self.is_said:
            return f"{name} was asked"
        if self.source == PERSON:
            return f"{self.who} said" if self.who else "you said"
        return name

    def to_json(self) -> dict[str, object]:
        """The evidence under the keys that the JSON output fixes."""
        shown: dict[str, object] = {
            "text": self.text,
            "source": self.source,
            "observed_at": self.observed_at,
        }
        return shown if self.is_said else {**shown, "is_said": False}


@dataclass(frozen=True, init=False)
class Finding:
    """One answer of one check. `remedy` is numbered steps, `verify` the command that proves it.

    `channel` is None for what concerns this machine or all channels.
    """

    id: str
    severity: Severity
    channel: str | None
    title: str
    evidence: tuple[Evidence, ...]
    remedy: tuple[str, ...]
    verify: str

    def __init__(
        self,
        finding_id: str,
        severity: Severity,
        channel: str | None,
        evidence: Evidence | Iterable[Evidence],
        /,
        *,
        case: str = "",
        **values: object,
    ) -> None:
        """Title, remedy and verify come from the page of that id, filled with the values.

        `{channel}` needs no value. `case` names one of the page's cases. Raises ValueError and
        KeyError where the page does not fit (see `catalogue.Wording.texts`).
        """
        title, remedy, verify = catalogue.wording(finding_id).texts(
            severity, case, {"channel": channel, **values}
        )
        vars(self)["_filled_with"] = (severity, case, values)
        vars(self).update(
            id=finding_id,
            severity=severity,
            channel=channel,
            title=title,
            evidence=(evidence,) if isinstance(evidence, Evidence) else tuple(evidence),
            remedy=remedy,
            verify=verify,
        )

    def replace(
        self,
        *,
        severity: Severity | None = None,
        evidence: Iterable[Evidence] | None = None,
        remedy: Iterable[str] | None = None,
    ) -> Finding:
        """The finding with another severity, evidence or remedy."""
        changed = copy.copy(self)
        vars(changed).update(
            severity=severity or self.severity,
            evidence=self.evidence if evidence is None else tuple(evidence),
            remedy=self.remedy if remedy is None else tuple(remedy),
        )
        return changed

    def texts_for(self, channel: str) -> tuple[str, tuple[str, ...], str]:
        """Title, remedy and verify as they would read of a channel of that name."""
        severity, case, values = vars(self)["_filled_with"]
        filled = {"channel": channel, **values}
        title, remedy, verify = catalogue.wording(self.id).texts(severity, case, filled)
        _, own, _ = catalogue.wording(self.id).texts(
            severity, case, {"channel": self.channel, **values}
        )
        return title, remedy if self.remedy == own else self.remedy, verify

    def to_json(self) -> dict[str, object]:
        """The finding under the keys that the JSON output fixes."""
        return {
            "id": self.id,
            "severity": self.severity.value,
            "channel": self.channel,
            "title": self.title,
            "evidence": [fact.to_json() for fact in self.evidence],
            "remedy": list(self.remedy),
            "verify": self.verify,
            "explain": f"wacoex explain {self.id}",
        }


def worst(severities: Iterable[Severity]) -> Severity:
    """The worst of several; ok when there are none. Critical beats unknown beats warning."""
    return min(severities, key=by_severity, default=Severity.OK)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Findings in the order to read them: worst first, then by id."""
    return sorted(findings, key=lambda finding: (by_severity(finding.severity), finding.id))


def by_severity(severity: Severity) -> int:
    """The place of a severity in lists with the worst first."""
    return _WORST_FIRST.index(severity)


def check_exit_status(severity: Severity) -> int:
    """The exit status of a check: 0 ok, 1 warning, 2 critical, 3 unknown."""
    codes = {Severity.WARNING: 1, Severity.CRITICAL: 2, Severity.UNKNOWN: 3}
    return codes.get(severity, 0)


def finding_block(finding: Finding, now: datetime, *, shows_channel: bool = True) -> Block:
    """What was found, what it rests on and how old that is, what to do, how to verify."""
    whose = f" ({finding.channel})" if finding.channel and shows_channel else ""
    heading = f"{finding.severity.value} {finding.id}{whose}: {finding.title}"
    facts = [f"  {_fact_text(fact, now)}" for fact in finding.evidence]
    return _block(finding.id, heading, facts, finding.remedy, finding.verify)


def finding_blocks(
    findings: Sequence[Finding], now: datetime, *, shows_channel: bool = True
) -> Blocks:
    """Findings for a terminal: what several channels have in common stands there once.

    At `-v` each stands alone. Without `shows_channel` the name of their only channel stands above.
    """
    return Blocks(
        [_group_block(same, now, shows_channel) for same in grouped(findings)],
        [finding_block(finding, now, shows_channel=shows_channel) for finding in findings],
    )


def grouped(findings: Iterable[Finding]) -> list[tuple[Finding, ...]]:
    """Findings of one id and severity together where several channels have them, else alone."""
    kinds: dict[tuple[str, Severity], list[Finding]] = defaultdict(list)
    for finding in findings:
        kinds[finding.id, finding.severity].append(finding)
    groups: list[tuple[Finding, ...]] = []
    for same in kinds.values():
        of_channels = tuple(finding for finding in same if finding.channel)
        if len({finding.channel for finding in of_channels}) < 2:
            groups += [(finding,) for finding in same]
            continue
        groups.append(of_channels)
        groups += [(finding,) for finding in same if not finding.channel]
    return groups


def aside(finding: Finding) -> str:
    """A finding in a line, where only rows for a program are printed."""
    return f"{finding.id}: {finding.title}; see `wacoex doctor`"


def several(names: Iterable[str]) -> str:
    """`shop`, `shop and lab`, `client-000, client-001 and 98 more`: each name once."""
    distinct = list(dict.fromkeys(names))
    if len(distinct) < 2:
        return "".join(distinct)
    if len(distinct) <= 3:
        return f"{', '.join(distinct[:-1])} and {distinct[-1]}"
    return f"{distinct[0]}, {distinct[1]} and {len(distinct) - 2} more"


def _group_block(same: Sequence[Finding], now: datetime, shows_channel: bool) -> Block:
    first = same[0]
    if len(same) == 1:
        return finding_block(first, now, shows_channel=shows_channel)
    texts = [finding.texts_for(_ANY_CHANNEL) for finding in same]
    titles, remedies, verifies = (dict.fromkeys(column) for column in zip(*texts, strict=True))
    article = catalogue.find(first.id)
    title = next(iter(titles))
    if len(titles) > 1 and article is not None:
        # A title of an article begins with a capital, as that of a finding does not.
        is_name = first.title[:1].isupper()
        title = article.title if is_name else article.title[:1].lower() + article.title[1:]
    names = several(finding.channel or "" for finding in same)
    remedy = next(iter(remedies)) if len(remedies) == 1 else ("see each channel: add `-v`",)
    heading = f"{first.severity.value} {first.id} ({names}): {title}"
    return _block(first.id, heading, list(_facts_of(same, now)), remedy, next(iter(verifies)))


def _facts_of(same: Sequence[Finding], now: datetime) -> Iterator[str]:
    """What several findings rest on: once where it is the same, else of the first channels."""
    if len({tuple(fact.text for fact in finding.evidence) for finding in same}) == 1:
        for facts in zip(*(finding.evidence for finding in same), strict=True):
            yield f"  {facts[0].text} ({facts[0].said_by}, {_ages(facts, now)})"
        return
    known = [(finding.channel, fact) for finding in same for fact in finding.evidence]
    for channel, fact in known[:_MOST_FACTS]:
        yield f"  {channel}: {_fact_text(fact, now)}"
    if len(known) > _MOST_FACTS:
        yield f"  and {counted(len(known) - _MOST_FACTS, 'more fact')}; `-v` shows all"


def _ages(facts: Sequence[Evidence], now: datetime) -> str:
    """How old a fact is, of the channel where it is newest and where it is oldest."""
    moments = [from_text(fact.observed_at) for fact in facts]
    newest, oldest = (relative(moment, now) for moment in (max(moments), min(moments)))
    return newest if newest == oldest else f"{newest} to {oldest}"


def _fact_text(fact: Evidence, now: datetime) -> str:
    return f"{fact.text} ({fact.said_by}, {relative(from_text(fact.observed_at), now)})"


def _block(
    finding_id: str, heading: str, facts: Iterable[str], remedy: Iterable[str], verify: str
) -> Block:
    steps = [Line(f"  {place}. {step}") for place, step in enumerate(remedy, start=1)]
    end = Line(f"  then: {verify}; more: wacoex explain {finding_id}", "dim")
    return Block((Line(heading, "heading"), *(Line(fact, "dim") for fact in facts), *steps, end))
