"""Findings about broadcasts: what went wrong with those of a channel, and what limits the next."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from wacoex_cli.channels.model import Channel
from wacoex_cli.errors import counted
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.ledger import figures
from wacoex_cli.throughput.throttle import MESSAGES_PER_SECOND, messaging_limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from wacoex_cli.foundation.state import Row, State
    from wacoex_cli.ledger.rows import Rows


RECENT = timedelta(hours=24)


@dataclass(frozen=True)
class Incident:
    """What happened to `times` rows, or that many times, in one broadcast, the last time `at`.

    `peak` is the most of our messages that left in any second of it, `bunched` how many left less
    than half a slot after the one before; both 0 where nobody counted.
    """

    broadcast_id: int
    times: int
    at: str
    peak: int = 0
    bunched: int = 0


@dataclass(frozen=True)
class Trouble:
    """What is left of broadcasts. Times are RFC 3339 in UTC.

    `doubtful` are rows of which nobody knows whether they went out, `throttled` answers 130429,
    `refused` people by Meta's code, 131049 or 131050, the newest at `refused_at`. But for
    `doubtful`, which waits until it is decided, all is of the last 24 hours.
    """

    doubtful: tuple[Incident, ...] = ()
    throttled: tuple[Incident, ...] = ()
    refused: Mapping[int, int] = field(default_factory=dict)
    refused_at: str = ""


def troubles(state: State, channels: Sequence[Channel], now: datetime) -> dict[int, Trouble]:
    """What went wrong with the broadcasts of these channels, by channel_id, if anything did."""
    since = now - RECENT
    doubtful = _incidents(figures.ambiguous(state))
    throttled = _incidents(figures.throttled(state, since))
    refused: dict[int, list[Row]] = defaultdict(list)
    for row in figures.refused(state, since):
        refused[row["channel_id"]].append(row)
    return {
        key: Trouble(
            tuple(doubtful[key]),
            tuple(throttled[key]),
            refused={row["code"]: row["n"] for row in refused[key]},
            refused_at=max((row["at"] for row in refused[key]), default=""),
        )
        for key in (channel.channel_id for channel in channels)
        if key in doubtful or key in throttled or key in refused
    }


def _incidents(rows: Iterable[Row]) -> dict[int, list[Incident]]:
    """What these rows tell, by channel_id."""
    found: dict[int, list[Incident]] = defaultdict(list)
    for row in rows:
        happened = row["broadcast_id"], row["n"], row["at"]
        more = row.get("peak", 0), row.get("bunched", 0)
        found[row["channel_id"]].append(Incident(*happened, *more))
    return found


_REFUSED = {
    131049: "Meta holds marketing messages back for now",
    131050: "marketing messages were stopped; on the opt-out list",
}


def check_trouble(trouble: Trouble, channel: str) -> list[Finding]:
    """Everything that went wrong with the broadcasts of a channel."""
    checks = (check_throttled, check_doubtful, check_refused_people)
    return [finding for check in checks for finding in check(trouble, channel)]


def check_throttled(trouble: Trouble, channel: str) -> list[Finding]:
    """WX503: Meta answered 130429 in the last 24 hours.

    How our own messages left comes first; what was within 20 a second leaves others to blame. Less
    than a second's worth of refusals is reported, and is no fault (Meta: throughput).
    """
    if not trouble.throttled:
        return []
    times = sum(incident.times for incident in trouble.throttled)
    severity = Severity.WARNING if times >= MESSAGES_PER_SECOND else Severity.INFO
    own = [Evidence(_how_ours_left(row), "ledger", row.at) for row in trouble.throttled if row.peak]
    evidence = [
        Evidence(
            f"130429 came {'once' if row.times == 1 else f'{row.times} times'}"
            f" while broadcast {row.broadcast_id} was sent",
            "meta",
            row.at,
        )
        for row in trouble.throttled
    ]
    too_many = any(row.peak > MESSAGES_PER_SECOND for row in trouble.throttled)
    case = "bunched" if too_many else ""
    return [Finding("WX503", severity, channel, [*own, *evidence], case=case)]


def _how_ours_left(row: Incident) -> str:
    bunched = f"{row.bunched or 'none'} left less than half a slot after the one before"
    return (
        f"of our own messages of broadcast {row.broadcast_id} at most {row.peak} left in one"
        f" second; {bunched}"
    )


def check_doubtful(trouble: Trouble, channel: str) -> list[Finding]:
    """WX505: the answer to some messages never came, and nobody has decided what to do."""
    if not trouble.doubtful:
        return []
    rows = sum(incident.times for incident in trouble.doubtful)
    evidence = [
        Evidence(
            f"broadcast {row.broadcast_id}: {row.times} ambiguous, not sent again by itself",
            "ledger",
            row.at,
        )
        for row in trouble.doubtful
    ]
    return [
        Finding(
            "WX505",
            Severity.WARNING,
            channel,
            evidence,
            messages=f"{rows} message{'' if rows == 1 else 's'}",
            broadcasts=[row.broadcast_id for row in trouble.doubtful],
        )
    ]


def check_refused_people(trouble: Trouble, channel: str) -> list[Finding]:
    """WX506: in the last 24 hours Meta refused marketing messages for some people.

    The number is well: this is between Meta and these people (Meta: per-user marketing limits).
    """
    if not trouble.refused:
        return []
    evidence = [
        Evidence(
            f"{counted(people, 'person')}, {code}: {_REFUSED[code]}",
            "meta",
            trouble.refused_at,
        )
        for code, people in trouble.refused.items()
    ]
    return [Finding("WX506", Severity.INFO, channel, evidence)]


def check_limit_used_up(
    tier: object, taken_in_24_hours: int, channel: str, observed_at: str
) -> list[Finding]:
    """WX502 for a channel: nothing is left of the portfolio's 24 hour limit.

    `None` and UNTIERED say nothing about a limit (Meta: messaging limits).
    """
    if tier is None or tier == "UNTIERED":
        return []
    limit = messaging_limit(tier)
    if limit is not None and taken_in_24_hours < limit:
        return []
    said = (
        (f"the portfolio's messaging limit is {tier}", "meta"),
        (
            f"{counted(taken_in_24_hours, 'person')} got messages from this number in the"
            " last 24 h",
            "ledger",
        ),
    )
    evidence = [Evidence(text, source, observed_at) for text, source in said]
    severity = Severity.UNKNOWN if limit is None else Severity.WARNING
    return [Finding("WX502", severity, channel, evidence)]


def check_messaging_limit(
    tier: object, recipients: int, taken_in_24_hours: int, channel: str, observed_at: str
) -> list[Finding]:
    """WX502: more people than the portfolio's 24 hour limit leaves room for.

    What other numbers of the portfolio sent is invisible here, so the room is "at most".
    """
    limit = messaging_limit(tier)
    if limit is None or recipients + taken_in_24_hours <= limit:
        return []
    room = max(0, int(limit) - taken_in_24_hours)
    said = (
        (f"the portfolio may message {counted(int(limit), 'person')} in 24 h", "meta"),
        (f"{taken_in_24_hours} were messaged from this number in the last 24 h", "ledger"),
        (f"the plan holds {recipients}, there is room for at most {room}", "plan"),
    )
    evidence = [Evidence(text, source, observed_at) for text, source in said]
    return [Finding("WX502", Severity.CRITICAL, channel, evidence, room=room)]


def check_us_marketing(
    category: str, us_recipients: int, channel: str, observed_at: str
) -> list[Finding]:
    """WX506: marketing templates are not delivered to US numbers (Meta: per-user limits)."""
    if category != "MARKETING" or not us_recipients:
        return []
    evidence = (
        Evidence(f"{counted(us_recipients, 'recipient')} with a US number", "plan", observed_at),
        Evidence("the template's category is MARKETING", "meta", observed_at),
    )
    return [Finding("WX506", Severity.WARNING, channel, evidence)]


def check_audience(
    rows: Rows,
    channel: Channel,
    category: str,
    tier: object,
    taken: int,
    now: datetime,
    left_out: int = 0,
) -> list[Finding]:
    """What the recipients of a planned broadcast mean for the limits, after `taken` others.

    `left_out` of the rows will be skipped.
    """
    name, observed_at = channel.name, to_text(now)
    us_recipients = rows.count_open_us() if category == "MARKETING" else 0
    return [
        *check_messaging_limit(tier, rows.count_open() - left_out, taken, name, observed_at),
        *check_us_marketing(category, us_recipients, name, observed_at),
    ]
