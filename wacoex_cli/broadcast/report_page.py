"""The page of `broadcast report --html`: one file in the order in which a shop owner asks.

It needs no network. Of long lists it has the beginning, so that it stays as small for a million
people as for ten. A chart is static SVG; its numbers stand in HTML beside it, so that they keep
their size on a small screen.
"""

from __future__ import annotations

import base64
import hashlib
import math
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.audience.model import SkipReason, audience_text
from wacoex_cli.broadcast.report import (
    NOT_REACHED,
    REACHED,
    UNKNOWN,
    Reach,
    next_steps,
    percent,
)
from wacoex_cli.bubble.drawing import bubble_of, style_sheet
from wacoex_cli.channels.facts import stored_facts
from wacoex_cli.channels.model import BUSINESS_NAME
from wacoex_cli.channels.store import Channels
from wacoex_cli.errors import counted
from wacoex_cli.foundation.clock import calendar_text, duration_text, from_text
from wacoex_cli.foundation.masking import masked_text, rendered
from wacoex_cli.inactivity.checks import zone_of
from wacoex_cli.ledger.model import RowState, Status
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.error_codes import classify
from wacoex_cli.throughput.throttle import MESSAGES_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.ledger.model import Broadcast

_MOST_LISTED = 100
_CHIPS = {
    Status.PLANNED: "calm",
    Status.SENDING: "calm",
    Status.PAUSED: "warn",
    Status.COMPLETED: "good",
    Status.CANCELLED: "bad",
    RowState.FAILED: "bad",
    RowState.REJECTED: "bad",
    RowState.AMBIGUOUS: "warn",
    RowState.RETRY: "calm",
}
_ROW_WORDS = {
    RowState.REJECTED: "refused",
    RowState.AMBIGUOUS: "in doubt",
    RowState.RETRY: "waiting",
}
SKIP_WORDS: Mapping[str, str] = {
    SkipReason.INVALID: "no phone number that can be read",
    SkipReason.USERNAME: "a username instead of a number",
    SkipReason.UNKNOWN_RANGE: "a number of a range that does not exist",
    SkipReason.DUPLICATE: "on the list twice",
    SkipReason.OPTED_OUT: "opted out",
    SkipReason.NOT_CHOSEN: "the plan's `--where` left them out",
    SkipReason.MISSING_PARAMETER: "a value for the message is missing",
    SkipReason.BAD_PARAMETER: "a value for the message cannot be sent",
    SkipReason.TOO_LONG: "the message would be too long",
    SkipReason.EXCLUDED: "on your list of exclusions",
    SkipReason.COOLING_DOWN: "Meta asks to leave them alone for 24 hours",
    SkipReason.NO_CONTACT: "no contact at respond.io",
    SkipReason.NO_NUMBER: "the number is not known",
    SkipReason.ALREADY_SENT: "has this message already",
    SkipReason.PRESSURE: "got enough messages from the business already",
    SkipReason.OFFER_OVER: "the offer ended before the message left",
}
_SERIES = ("accepted", "delivered", "read", "failed")

# The size of a chart, in the units of its view box, and the least distance of two labels.
_WIDTH, _HEIGHT = 1000, 200
_LABEL_HEIGHT = 18.0
_HEADROOM = 1.1
_ROUND = (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10)
_EVEN = (2, 4, 6, 8, 10)
_MOST_STRETCHES = 600
_EARLIEST = "2000-01-01T00:00:00"
_WITH_SECONDS = 600
_WITHOUT_DAY = 86_400


class Stretch(NamedTuple):
    """What a chart counts by: how many characters of an RFC 3339 moment name it, its seconds."""

    width: int
    seconds: int
    name: str


_STRETCHES = (
    Stretch(19, 1, "second"),
    Stretch(18, 10, "10 seconds"),
    Stretch(16, 60, "minute"),
    Stretch(15, 600, "10 minutes"),
    Stretch(13, 3_600, "hour"),
    Stretch(10, 86_400, "day"),
)


class Shape(NamedTuple):
    """One shape of a chart: its class in the style sheet, and its outline."""

    name: str
    drawn: str


class Label(NamedTuple):
    """Words beside a shape, at a height of the chart."""

    name: str
    y: float
    words: str


@dataclass(frozen=True)
class Chart:
    """What the template draws: shapes with their labels, and the words along both axes."""

    caption: str
    scale: Sequence[str]
    moments: Sequence[str]
    paths: Sequence[Shape]
    labels: Sequence[Label]


class _Plot:
    """Where values and moments (seconds since 1970, UTC) stand in a chart."""

    def __init__(
        self, first: float, last: float, highest: float, *, is_whole: bool = False
    ) -> None:
        self.first, self.last = first, last
        # The scale ends at a round number. The end of a count may lie on it.
        wanted = highest if is_whole else highest * _HEADROOM
        unit = 10.0 ** math.floor(math.log10(wanted))
        # Half of it is shown too: there is no half a message.
        steps = _EVEN if is_whole and unit <= 1 else _ROUND
        self.top = unit * next(factor for factor in steps if unit * factor >= wanted)

    def x(self, moment: float) -> str:
        return f"{_WIDTH * (moment - self.first) / (self.last - self.first):.1f}"

    def y(self, value: float) -> float:
        return round(_HEIGHT * (1 - value / self.top), 1)

    def bars(self, starts: Iterable[float], values: Iterable[float], seconds: int) -> str:
        return "".join(
            f"M{self.x(start)} {_HEIGHT}V{self.y(value)}H{self.x(start + seconds)}V{_HEIGHT}Z"
            for start, value in zip(starts, values, strict=True)
        )

    def rising(self, points: Iterable[tuple[float, int]]) -> str:
        path, height = f"M0 {_HEIGHT}", 0
        for moment, n in points:
            height += n
            path += f"H{self.x(moment)}V{self.y(height)}"
        return f"{path}H{_WIDTH}"

    def chart(
        self, caption: str, zone: zoneinfo.ZoneInfo, paths: Sequence[Shape], labels: Sequence[Label]
    ) -> Chart:
        scale = (_short(self.top), _short(self.top / 2), "0")
        span = self.last - self.first
        moments = (self.first, self.first + span / 2, self.last)
        ticks = (datetime.fromtimestamp(moment, UTC).astimezone(zone) for moment in moments)
        form = "%H:%M:%S" if span <= _WITH_SECONDS else "%H:%M"
        form = f"%a %d %b {form}" if span > _WITHOUT_DAY else form
        return Chart(caption, scale, [tick.strftime(form) for tick in ticks], paths, spread(labels))


def spread(labels: Sequence[Label]) -> list[Label]:
    """The labels from top to bottom, moved apart so that none covers another, all inside."""
    placed: list[Label] = []
    highest = _LABEL_HEIGHT / 2
    for label in sorted(labels, key=lambda label: label.y):
        y = max(label.y, highest)
        placed.append(label._replace(y=y))
        highest = y + _LABEL_HEIGHT
    lowest = _HEIGHT - _LABEL_HEIGHT / 2
    for index in reversed(range(len(placed))):
        y = round(min(placed[index].y, lowest), 1)
        placed[index] = placed[index]._replace(y=y)
        lowest = y - _LABEL_HEIGHT
    return placed


def html_page(
    workspace: Workspace, broadcast: Broadcast, data: Mapping[str, Any], *, shows_numbers: bool
) -> str:
    """The whole page.

    Its policy lets a browser load nothing, show only pictures that are in the page itself, and
    apply only the page's own style.
    """
    state, broadcast_id = workspace.state, broadcast.broadcast_id
    style = files(__package__).joinpath("report.css").read_text(encoding="utf-8") + style_sheet()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    channel = Channels(state).find(broadcast.channel)
    now = workspace.clock.now()
    zone, business = "UTC", None
    if channel is not None:
        zone = zone_of(workspace, channel)
        facts = stored_facts(state, [channel], now, [BUSINESS_NAME])[channel.channel_id]
        business = facts.values.get(BUSINESS_NAME)
    clock = zoneinfo.ZoneInfo(zone)
    reach = Reach.of(data["counts"], broadcast.status, data["outcome"]["handled"])
    span = Rows(state, broadcast_id).dispatch_span()

    def plain(text: object) -> str:
        shown = "" if text is None else str(text)
        return shown if shows_numbers else masked_text(shown)

    def time(moment: str | None) -> str:
        return "-" if moment is None else calendar_text(from_text(moment), zone)

    message = bubble_of(state, broadcast, plain, time, shows_all=shows_numbers)
    return rendered(
        __package__,
        "report.html.jinja",
        data=data,
        style=style,
        style_hash=f"sha256-{digest}",
        shows_numbers=shows_numbers,
        business=business or broadcast.channel,
        zone=zone,
        made_at=calendar_text(now, zone),
        sent=_sent(data, time),
        initial=_initial(plain(business or broadcast.channel)),
        headline=_sentence(reach.sentence()).rstrip(".").replace(" %", "\u00a0%").split(", "),
        sentence=_sentence,
        groups=_groups(reach),
        bar=_bar(reach),
        people=reach.recipients,
        reach=reach,
        bubble=message,
        img_src="img-src data:; " if message.has_pictures else "",
        steps=next_steps(broadcast_id, reach, is_being_sent=data["is_being_sent"]),
        chips=_CHIPS,
        row_words=_ROW_WORDS,
        audience=list(audience_text(data["audience"])),
        skipped=[(SKIP_WORDS.get(name, name), n) for name, n in data["skipped"].items()],
        time_sending=duration_text(sum(run["active_seconds"] for run in data["runs"])),
        rate=_rate_chart(state, data, span, clock) if span else None,
        progress=_progress_chart(state, data, span, clock) if span and data["taken"] else None,
        unsettled=Rows(state, broadcast_id).unsettled(_MOST_LISTED + 1),
        most_listed=_MOST_LISTED,
        plain=plain,
        time=time,
        counted=counted,
        classify=classify,
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


def _sent(data: Mapping[str, Any], time: Callable[[str | None], str]) -> str:
    """When it was planned or sent; one time is enough where both ends are in the same minute."""
    if not data["started_at"]:
        return f"Planned {time(data['planned_at'])}."
    started, finished = time(data["started_at"]), time(data["finished_at"])
    if not data["finished_at"]:
        return f"Started {started}."
    if finished == started:
        return f"Sent {started}."
    return f"Started {started}, finished {finished}."


def _initial(name: str) -> str:
    """The first letter or digit of a name, for the round picture of a chat."""
    return next((sign.upper() for sign in name if sign.isalnum()), "#")


class Group(NamedTuple):
    """One of the three parts of the recipients: its class, words, number, share and kinds."""

    name: str
    title: str
    n: int
    share: str
    kinds: Sequence[tuple[RowState, str, int]]


def _groups(reach: Reach) -> list[Group]:
    waits = reach.not_reached > 0 and reach.not_reached == reach.unsent
    parts = (
        ("reached", "Reached", reach.reached, REACHED),
        ("waiting" if waits else "missed", "Not reached", reach.not_reached, NOT_REACHED),
        ("unknown", "Unknown", reach.unknown, UNKNOWN),
    )
    return [
        Group(name if n else "none", title, n, percent(n, reach.recipients), reach.kinds(group))
        for name, title, n, group in parts
    ]


def _bar(reach: Reach) -> list[Shape]:
    """The parts side by side, as wide as they are many; what was not sent yet by itself."""
    parts = (
        ("reached", reach.reached),
        ("missed", reach.not_reached - reach.unsent),
        ("waiting", reach.unsent),
        ("unknown", reach.unknown),
    )
    shapes, start = [], 0.0
    for name, n in parts:
        if n:
            end = start + _WIDTH * n / reach.recipients
            shapes.append(Shape(name, f"M{start:.1f} 0H{end:.1f}V10H{start:.1f}Z"))
            start = end
    return shapes


def stretch_for(first: str, last: str) -> Stretch:
    """The finest stretch with which a chart between two moments stays small."""
    seconds = _seconds(last[:19]) - _seconds(first[:19])
    fitting = (stretch for stretch in _STRETCHES if seconds / stretch.seconds <= _MOST_STRETCHES)
    return next(fitting, _STRETCHES[-1])


def _rate_chart(
    state: State, data: Mapping[str, Any], span: tuple[str, str], zone: zoneinfo.ZoneInfo
) -> Chart:
    """Messages per second: the mean and the busiest second of each stretch, under the cap."""
    stretch, rate = stretch_for(*span), data["rate"]
    counted_rows = Rows(state, data["broadcast_id"]).dispatch(stretch.width)
    cap = min(max([rate["requested"], *(run["rate"] for run in data["runs"])]), MESSAGES_PER_SECOND)
    starts = [_seconds(str(row["at"])) for row in counted_rows]
    busiest = [float(row["busiest"]) for row in counted_rows]
    plot = _Plot(starts[0], starts[-1] + stretch.seconds, max(cap, *busiest))
    paths = [Shape("whole", plot.bars(starts, busiest, stretch.seconds))]
    labels = [Label("whole", plot.y(max(busiest)), "busiest second")]
    if stretch.seconds > 1:
        means = [row["n"] / stretch.seconds for row in counted_rows]
        paths.append(Shape("mean", plot.bars(starts, means, stretch.seconds)))
        labels.append(Label("mean", plot.y(max(means)), "mean"))
    paths.append(Shape("cap", f"M0 {plot.y(cap)}H{_WIDTH}"))
    labels.append(Label("cap", plot.y(cap), f"limit {cap:g}/s"))
    most = counted(rate["peak_in_one_second"], "message")
    caption = f"At most {most} left in any one second; the limit is {cap:g}."
    return plot.chart(caption, zone, paths, labels)


def _progress_chart(
    state: State, data: Mapping[str, Any], span: tuple[str, str], zone: zoneinfo.ZoneInfo
) -> Chart:
    """How many messages had come how far by when, as far as the log of events still knows."""
    broadcast_id, since = data["broadcast_id"], data["planned_at"]
    attempts = f"wacoex-{Broadcasts(state).state_id}-{broadcast_id}-"
    end = Rows(state, broadcast_id).deliveries_end(since, attempts)
    stretch = stretch_for(span[0], max(span[1], end or ""))
    points: dict[str, list[tuple[float, int]]] = {name: [] for name in _SERIES}
    for row in Rows(state, broadcast_id).deliveries(since, attempts, stretch.width):
        if row["status"] in points:
            points[row["status"]].append((_seconds(row["at"]) + stretch.seconds, row["n"]))
    moments = [moment for listed in points.values() for moment, _ in listed]
    first = min(moments) - stretch.seconds
    shown = {name: listed for name, listed in points.items() if listed}
    sums = {name: sum(n for _, n in listed) for name, listed in shown.items()}
    plot = _Plot(first, max(moments), max(sums.values()), is_whole=True)
    return plot.chart(
        "How many messages were accepted, delivered and read over time.",
        zone,
        [Shape(name, plot.rising(listed)) for name, listed in shown.items()],
        [Label(name, plot.y(n), f"{name} {n:,}") for name, n in sums.items()],
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")


def _seconds(moment: str) -> float:
    whole = moment + _EARLIEST[len(moment) :]
    return datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()
