"""A finding as a person reads it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from wacoex_cli.foundation.clock import from_text
from wacoex_cli.terminal.render import relative

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from wacoex_cli.findings.model import Finding

_WIDTH = 78
_META = "meta"


def finding_text(finding: Finding, now: datetime) -> str:
    """What was found, what it rests on and how old that is, what to do, how to verify."""
    return "\n".join(_lines(finding, now))


def _lines(finding: Finding, now: datetime) -> Iterator[str]:
    whose = f" ({finding.channel})" if finding.channel else ""
    yield from _wrapped(f"{finding.severity.value} {finding.id}{whose}: {finding.title}", "")
    for fact in finding.evidence:
        age = relative(from_text(fact.observed_at), now)
        source = f"says {fact.source}, {age}" if fact.source == _META else f"{fact.source}, {age}"
        yield from _wrapped(f"{fact.text} ({source})", "  ")
    for step, remedy in enumerate(finding.remedy, start=1):
        yield from _wrapped(f"{step}. {remedy}", "  ")
    yield f"  then: {finding.verify}; more: wacoex explain {finding.id}"


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}   ",
        break_long_words=False,
        break_on_hyphens=False,
    )
