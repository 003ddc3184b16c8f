"""Many channels on one screen: what is not well, worst first, and how many are."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from wacoex_cli.findings.catalogue import find
from wacoex_cli.findings.model import by_severity
from wacoex_cli.terminal.render import ForPerson, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wacoex_cli.diagnosis.status import ChannelStatus
    from wacoex_cli.findings.model import Finding, Severity

FEW = 3
"""Up to so many channels a person reads all findings in full; above, one line for each kind."""

_ROWS = 24
_WIDTH = 100
# Everything but channel, phone and connection at its widest, with the gaps between columns.
_REST = 55
_LONGEST_FINDINGS = 14
_LONGEST_TITLE = 60


def board(
    channels: Sequence[ChannelStatus], columns: tuple[str, ...], rows: Sequence[tuple[object, ...]]
) -> Iterator[ForPerson]:
    """The rows of the channels, which stand worst first, as a terminal of 100 columns shows them.

    Where there are many, those that are well make room.
    """
    shown = _shown(channels)
    if shown:
        yield ForPerson(Table(columns, _short(rows[:shown])))
    if shown < len(channels):
        rest = Counter(one.verdict.value for one in channels[shown:])
        told = ", ".join(f"{count} {verdict}" for verdict, count in rest.items())
        yield ForPerson(f"and {len(channels) - shown} more: {told}" if shown else f"all: {told}")
    kinds = _kinds(channels) if len(channels) > FEW else []
    if kinds:
        yield ForPerson("")
        yield ForPerson(Table(("severity", "finding", "channels", "says"), kinds))
        told = "one channel with its facts: `wacoex status NAME`; what to do: `wacoex explain ID`"
        yield ForPerson(f"\n{told}")


def said(one: ChannelStatus) -> list[str]:
    """The ids of what was found about a channel, and the codes of what could not be asked."""
    told = [*(finding.id for finding in one.findings), *(error.code for error in one.failures)]
    return list(dict.fromkeys(told))


def cut(text: str, length: int) -> str:
    """The text, or its beginning with an ellipsis."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _shown(channels: Sequence[ChannelStatus]) -> int:
    """How many rows: all where they fit, else those with something to say, as far as they fit."""
    if len(channels) <= _ROWS:
        return len(channels)
    return min(_ROWS, sum(bool(said(one)) for one in channels))


def _short(rows: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Names and findings cut so that a row fits."""
    taken = [max(len(str(row[at])) for row in rows) for at in (2, 3)]
    longest = _WIDTH - _REST - max(taken[0], len("phone")) - max(taken[1], len("connection"))
    return [
        (row[0], cut(str(row[1]), longest), *row[2:-1], _some(str(row[-1] or "")) or None)
        for row in rows
    ]


def _some(ids: str) -> str:
    """As many ids as fit, and how many more there are."""
    words = ids.split()
    if len(ids) <= _LONGEST_FINDINGS or len(words) < 2:
        return cut(ids, _LONGEST_FINDINGS)
    shown = 1
    while len(" ".join(words[: shown + 1])) + len(" +10") <= _LONGEST_FINDINGS:
        shown += 1
    return f"{cut(' '.join(words[:shown]), _LONGEST_FINDINGS - 4)} +{len(words) - shown}"


def _kinds(channels: Sequence[ChannelStatus]) -> list[tuple[object, ...]]:
    """A row for each finding and severity: how many channels have it, and what it says."""
    found: dict[tuple[Severity, str], list[Finding]] = defaultdict(list)
    for one in channels:
        for finding in one.findings:
            found[finding.severity, finding.id].append(finding)
    return [
        (severity.value, name, len({one.channel for one in same}), _title(same))
        for (severity, name), same in sorted(
            found.items(), key=lambda item: (by_severity(item[0][0]), item[0][1])
        )
    ]


def _title(findings: Sequence[Finding]) -> str:
    """What all of them say; where they differ, what stands in the catalogue."""
    titles = {one.title for one in findings}
    if len(titles) == 1:
        return cut(titles.pop(), _LONGEST_TITLE)
    article = find(findings[0].id)
    return article.title if article else ""
