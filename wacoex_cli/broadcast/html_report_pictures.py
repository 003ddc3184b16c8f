"""The pictures of a report as static SVG, without a script. Pure.

The words stand in HTML beside the drawing, so that they keep their size on a small screen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_WIDTH, _HEIGHT = 1000, 200
_HEADROOM = 1.1
_ROUND = (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10)
_MOST_STRETCHES = 600
# How many characters of an RFC 3339 moment name a stretch of so many seconds.
_STRETCHES = ((19, 1), (18, 10), (16, 60), (15, 600), (13, 3_600), (10, 86_400))
_EARLIEST = "2000-01-01T00:00:00"
_UNITS = {1: "second", 10: "10 seconds", 60: "minute", 600: "10 minutes", 3_600: "hour"}


@dataclass(frozen=True)
class Stretch:
    """What a picture counts by: its seconds, and how many characters of a moment name one."""

    width: int
    seconds: int

    @property
    def name(self) -> str:
        """`second`, `10 seconds`, ..., `day`."""
        return _UNITS.get(self.seconds, "day")


@dataclass(frozen=True)
class Span:
    """The moments between which a picture is drawn, in seconds since 1970 (UTC)."""

    first: float
    last: float

    def x(self, moment: float) -> float:
        """Where a moment stands from left to right."""
        return _WIDTH * (moment - self.first) / (self.last - self.first)


def stretch_for(first: str, last: str) -> Stretch:
    """The finest stretch with which a picture between two moments stays small."""
    seconds = _seconds(last[:19]) - _seconds(first[:19])
    fitting = (one for one in _STRETCHES if seconds / one[1] <= _MOST_STRETCHES)
    return Stretch(*next(fitting, _STRETCHES[-1]))


def rate_picture(
    counted: Sequence[Mapping[str, object]], stretch: Stretch, cap: float, told: str
) -> str:
    """Messages per second: the mean and the busiest second of each stretch, under the cap."""
    starts = [_seconds(str(one["at"])) for one in counted]
    span = Span(starts[0], starts[-1] + stretch.seconds)
    busiest = [float(str(one["busiest"])) for one in counted]
    means = [float(str(one["n"])) / stretch.seconds for one in counted]
    top = _top(max(cap, *busiest))
    drawn = [f'<path class="whole" d="{_bars(starts, busiest, span, stretch, top)}"/>']
    keys = [("whole", "busiest second")]
    if stretch.seconds > 1:
        drawn.append(f'<path class="mean" d="{_bars(starts, means, span, stretch, top)}"/>')
        keys.append(("mean", f"mean of each {stretch.name}"))
    height = _y(cap, top)
    drawn.append(f'<path class="cap" d="M0 {height}H{_WIDTH}"/>')
    keys.append(("cap", f"the cap: {cap:g} per second"))
    return _plot("".join(drawn), told, top, span) + _legend(keys)


def progress_picture(
    reached: Iterable[Mapping[str, object]],
    series: Sequence[str],
    stretch: Stretch,
    whole: int,
    told: str,
) -> str:
    """How many messages had come how far by when: one rising line for each status."""
    by_name: dict[str, list[tuple[float, int]]] = {name: [] for name in series}
    for one in reached:
        moment = _seconds(str(one["at"])) + stretch.seconds
        by_name[str(one["status"])].append((moment, int(str(one["n"]))))
    moments = [moment for points in by_name.values() for moment, _ in points]
    span = Span(min(moments) - stretch.seconds, max(moments))
    top = _top(max(whole, 1))
    lines = [
        f'<path class="{name}" d="{_rising(points, span, top)}"/>'
        for name, points in by_name.items()
        if points
    ]
    keys = [(name, f"{name}: {sum(n for _, n in points)}") for name, points in by_name.items()]
    return _plot("".join(lines), told, top, span) + _legend(keys)


def share_bar(part: int, whole: int) -> str:
    """A bar for a table, as long as the share. The number stands beside it."""
    length = _WIDTH * part / whole if whole else 0
    return (
        f'<svg viewBox="0 0 {_WIDTH} 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="whole" d="M0 0H{_WIDTH}V10H0Z"/>'
        f'<path class="mean" d="M0 0H{length:.1f}V10H0Z"/></svg>'
    )


def _bars(
    starts: Sequence[float], values: Sequence[float], span: Span, stretch: Stretch, top: float
) -> str:
    return "".join(
        f"M{span.x(start):.1f} {_HEIGHT}V{_y(value, top)}H{span.x(start + stretch.seconds):.1f}"
        f"V{_HEIGHT}Z"
        for start, value in zip(starts, values, strict=True)
    )


def _rising(points: Iterable[tuple[float, int]], span: Span, top: float) -> str:
    path, height = f"M0 {_HEIGHT}", 0
    for moment, n in points:
        height += n
        path += f"H{span.x(moment):.1f}V{_y(height, top)}"
    return f"{path}H{_WIDTH}"


def _top(highest: float) -> float:
    """Where the scale ends: a round number somewhat above the highest value."""
    wanted = highest * _HEADROOM
    unit = 10.0 ** math.floor(math.log10(wanted))
    return unit * next(one for one in _ROUND if unit * one >= wanted)


def _y(value: float, top: float) -> str:
    return f"{_HEIGHT * (1 - value / top):.1f}"


def _plot(drawn: str, told: str, top: float, span: Span) -> str:
    return (
        '<div class="plot"><div class="y" aria-hidden="true">'
        f"<span>{_short(top)}</span><span>{_short(top / 2)}</span><span>0</span></div>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(told)}">{drawn}</svg>'
        f'<div class="x"><span>{_clock(span.first)}</span><span>{_clock(span.last)}</span></div>'
        "</div>"
    )


def _legend(keys: Iterable[tuple[str, str]]) -> str:
    areas = ("whole", "mean")
    items = "".join(
        '<li><svg viewBox="0 0 28 12" aria-hidden="true"><path'
        f' class="{name}" d="{"M0 0H28V12H0Z" if name in areas else "M0 6H28"}"/></svg>'
        f"{escape(words)}</li>"
        for name, words in keys
    )
    return f'<ul class="legend">{items}</ul>'


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")


def _seconds(moment: str) -> float:
    whole = moment + _EARLIEST[len(moment) :]
    return datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
