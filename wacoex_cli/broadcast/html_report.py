"""A report as one page that needs no network: charts, errors, runs, decisions.

The rate, the deliveries and the codes are counted by the state file, and of long lists the page
has the beginning: it stays as small for a million people as for ten. A chart is static SVG; its
words stand in HTML beside it, so that they keep their size on a small screen.
"""

from __future__ import annotations

import base64
import hashlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.broadcast.report import duration, share
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.broadcast.throttle import MESSAGES_PER_SECOND
from wacoex_cli.foundation.masking import masked_text, rendered
from wacoex_cli.foundation.state import new_private_file
from wacoex_cli.platforms.error_codes import classify

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from wacoex_cli.foundation.state import State

_MOST_LISTED = 100
_STATUSES = ("accepted", "sent", "delivered", "read", "failed")
# The size of a chart, in the units of its view box.
_WIDTH, _HEIGHT = 1000, 200
_HEADROOM = 1.1
_ROUND = (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10)
_MOST_STRETCHES = 600
_EARLIEST = "2000-01-01T00:00:00"


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


@dataclass(frozen=True)
class Chart:
    """What the template draws: shapes, the ends of both axes, and the legend (class, words)."""

    told: str
    scale: Sequence[str]
    first: str
    last: str
    paths: Sequence[Shape]
    keys: Sequence[tuple[str, str]]


class _Plot:
    """Where values and moments (seconds since 1970, UTC) stand in a chart."""

    def __init__(self, first: float, last: float, highest: float) -> None:
        self.first, self.last = first, last
        # The scale ends at a round number somewhat above the highest value.
        wanted = highest * _HEADROOM
        unit = 10.0 ** math.floor(math.log10(wanted))
        self.top = unit * next(factor for factor in _ROUND if unit * factor >= wanted)

    def x(self, moment: float) -> str:
        return f"{_WIDTH * (moment - self.first) / (self.last - self.first):.1f}"

    def y(self, value: float) -> str:
        return f"{_HEIGHT * (1 - value / self.top):.1f}"

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

    def chart(self, told: str, paths: Sequence[Shape], keys: Sequence[tuple[str, str]]) -> Chart:
        scale = (_short(self.top), _short(self.top / 2), "0")
        return Chart(told, scale, _clock(self.first), _clock(self.last), paths, keys)


def write(target: Path, state: State, data: Mapping[str, Any], *, shows_numbers: bool) -> None:
    """Write the page into a new file that only its owner may read.

    `data` is what `report.totals` gives.

    Raises:
        UsageError: the file exists or cannot be made.
        StateError: the disk is full.
    """
    with new_private_file(target) as part:
        part.write_text(page(state, data, shows_numbers=shows_numbers), encoding="utf-8")


def page(state: State, data: Mapping[str, Any], *, shows_numbers: bool) -> str:
    """The whole page. Its policy lets a browser load nothing, and only its own style apply."""
    style = files(__package__).joinpath("report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    broadcast_id, rate = data["broadcast_id"], data["rate"]
    span = Rows(state, broadcast_id).dispatch_span()

    def said(text: object) -> str:
        plain = "" if text is None else str(text)
        return plain if shows_numbers else masked_text(plain)

    return rendered(
        __package__,
        "report.html.jinja",
        data=data,
        style=style,
        style_hash=f"sha256-{digest}",
        shows_numbers=shows_numbers,
        facts={
            "recipients": data["recipients"],
            "accepted": data["taken"],
            "skipped": data["counts"]["skipped"],
            "messages a second": f"{rate['achieved']:g} of {rate['requested']:g}",
            "most in one second": rate["peak_in_one_second"],
            "time sending": duration(sum(run["active_seconds"] for run in data["runs"])),
            "started": _time(data["started_at"]),
            "finished": _time(data["finished_at"]),
        },
        rate=_rate_chart(state, data, span) if span else None,
        progress=_progress_chart(state, data, span) if span and data["taken"] else None,
        unsettled=Rows(state, broadcast_id).unsettled(_MOST_LISTED + 1),
        most_listed=_MOST_LISTED,
        said=said,
        time=_time,
        share=share,
        classify=classify,
    )


def stretch_for(first: str, last: str) -> Stretch:
    """The finest stretch with which a chart between two moments stays small."""
    seconds = _seconds(last[:19]) - _seconds(first[:19])
    fitting = (stretch for stretch in _STRETCHES if seconds / stretch.seconds <= _MOST_STRETCHES)
    return next(fitting, _STRETCHES[-1])


def _rate_chart(state: State, data: Mapping[str, Any], span: tuple[str, str]) -> Chart:
    """Messages per second: the mean and the busiest second of each stretch, under the cap."""
    stretch, rate = stretch_for(*span), data["rate"]
    counted = Rows(state, data["broadcast_id"]).dispatch(stretch.width)
    cap = min(max([rate["requested"], *(run["rate"] for run in data["runs"])]), MESSAGES_PER_SECOND)
    starts = [_seconds(str(row["at"])) for row in counted]
    busiest = [float(row["busiest"]) for row in counted]
    plot = _Plot(starts[0], starts[-1] + stretch.seconds, max(cap, *busiest))
    paths = [Shape("whole", plot.bars(starts, busiest, stretch.seconds))]
    keys = [("whole", "busiest second")]
    if stretch.seconds > 1:
        means = [row["n"] / stretch.seconds for row in counted]
        paths.append(Shape("mean", plot.bars(starts, means, stretch.seconds)))
        keys.append(("mean", f"mean of each {stretch.name}"))
    paths.append(Shape("cap", f"M0 {plot.y(cap)}H{_WIDTH}"))
    keys.append(("cap", f"the cap: {cap:g} per second"))
    told = (
        f"At most {rate['peak_in_one_second']} messages left in any one second; the cap is {cap:g}."
    )
    return plot.chart(told, paths, keys)


def _progress_chart(state: State, data: Mapping[str, Any], span: tuple[str, str]) -> Chart:
    """How many messages had come how far by when, as far as the log of events still knows."""
    broadcast_id, since = data["broadcast_id"], data["planned_at"]
    attempts = f"wacoex-{Broadcasts(state).state_id}-{broadcast_id}-"
    end = Rows(state, broadcast_id).deliveries_end(since, attempts)
    stretch = stretch_for(span[0], max(span[1], end or ""))
    points: dict[str, list[tuple[float, int]]] = {name: [] for name in _STATUSES}
    for row in Rows(state, broadcast_id).deliveries(since, attempts, stretch.width):
        points[row["status"]].append((_seconds(row["at"]) + stretch.seconds, row["n"]))
    moments = [moment for listed in points.values() for moment, _ in listed]
    first = min(moments) - stretch.seconds
    plot = _Plot(first, max(moments), max(data["funnel"]["recipients"], 1))
    paths = [Shape(name, plot.rising(listed)) for name, listed in points.items() if listed]
    keys = [(name, f"{name}: {sum(n for _, n in listed)}") for name, listed in points.items()]
    return plot.chart("How many messages had come how far by when.", paths, keys)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")


def _seconds(moment: str) -> float:
    whole = moment + _EARLIEST[len(moment) :]
    return datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _time(moment: str | None) -> str:
    return moment[:19].replace("T", " ") if moment else "-"
