"""A report as one page that needs no network: pictures, errors, runs, decisions.

The rate, the deliveries and the codes are counted by the state file, and of long lists the page
has the beginning: it stays as small for a million people as for ten.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

from wacoex_cli.broadcast import html_report_pictures as pictures
from wacoex_cli.broadcast.report import duration, share
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.broadcast.throttle import MESSAGES_PER_SECOND
from wacoex_cli.foundation.new_file import new_private_file
from wacoex_cli.foundation.phone_numbers import mask
from wacoex_cli.platforms.error_codes import classify

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from wacoex_cli.foundation.state import State

_MOST_LISTED = 100
_STATUSES = ("accepted", "sent", "delivered", "read", "failed")
# Numbers in names, reasons and details too: with a plus sign and spaces, or as Meta writes them.
_NUMBER = re.compile(
    r"\+[1-9](?:[ ().-]{0,2}[0-9]){6,14}(?![0-9])|(?<![0-9A-Za-z])[1-9][0-9]{7,14}(?![0-9])"
)


@dataclass(frozen=True)
class Report:
    """What a page is made of: `data` as `report.totals` gives it, and whether to show numbers."""

    state: State
    data: Mapping[str, Any]
    shows_numbers: bool

    def said(self, text: object) -> str:
        """A text of anybody as HTML, its numbers masked unless they are to be shown."""
        plain = "" if text is None else str(text)
        if not self.shows_numbers:
            plain = _NUMBER.sub(lambda one: mask(f"+{re.sub('[^0-9]', '', one[0])}"), plain)
        return escape(plain)


def write(target: Path, state: State, data: Mapping[str, Any], *, shows_numbers: bool) -> None:
    """Write the page into a new file that only its owner may read.

    `data` is what `report.totals` gives.

    Raises:
        UsageError: the file exists or cannot be made.
        StateError: the disk is full.
    """
    with new_private_file(target) as part:
        part.write_text(page(Report(state, data, shows_numbers)), encoding="utf-8")


def page(report: Report) -> str:
    """The whole page. Its policy lets a browser load nothing, and only its own style apply."""
    style = _file("html_report.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    sections = (_head, _rate, _funnel, _errors, _runs, _decisions, _unsettled)
    return Template(_file("html_report.html")).substitute(
        title=f"Broadcast {report.data['broadcast_id']} on {report.said(report.data['channel'])}",
        style=style,
        style_hash=f"sha256-{digest}",
        content="\n".join(part for section in sections for part in section(report)),
    )


def _head(report: Report) -> Iterator[str]:
    data = report.data
    reason = f": {data['reason']}" if data["reason"] else ""
    named = f"{data['name']}, template" if data["name"] else "Template"
    yield f"<p>{report.said(named)} {report.said(data['template'])}</p>"
    yield f"<p><strong>{report.said(data['status'] + reason)}</strong></p>"
    numbers = "Phone numbers are shown." if report.shows_numbers else "Phone numbers are masked."
    yield f'<p class="soft">All times are UTC. {numbers}</p>'
    rate = data["rate"]
    seconds = sum(run["active_seconds"] for run in data["runs"])
    facts = {
        "recipients": data["recipients"],
        "accepted": data["taken"],
        "skipped": data["counts"]["skipped"],
        "messages a second": f"{rate['achieved']:g} of {rate['requested']:g}",
        "most in one second": rate["peak_in_one_second"],
        "time sending": duration(seconds),
        "started": _time(data["started_at"]),
        "finished": _time(data["finished_at"]),
    }
    told = "".join(
        f"<div><dt>{name}</dt><dd>{escape(str(value))}</dd></div>" for name, value in facts.items()
    )
    yield f"<dl>{told}</dl>"


def _rate(report: Report) -> Iterator[str]:
    yield "<h2>Dispatch rate</h2>"
    broadcast_id, rate = report.data["broadcast_id"], report.data["rate"]
    span = Rows(report.state, broadcast_id).dispatch_span()
    if span is None:
        yield "<p>Nothing was sent yet.</p>"
        return
    stretch = pictures.stretch_for(*span)
    counted = Rows(report.state, broadcast_id).dispatch(stretch.width)
    asked = max([rate["requested"], *(run["rate"] for run in report.data["runs"])])
    cap = min(asked, MESSAGES_PER_SECOND)
    told = (
        f"At most {rate['peak_in_one_second']} messages left in any one second; the cap is {cap:g}."
    )
    note = " Drawn by when the last try of each message left."
    picture = pictures.rate_picture(counted, stretch, cap, told)
    yield f"<figure>{picture}<figcaption>{told}{note}</figcaption></figure>"


def _funnel(report: Report) -> Iterator[str]:
    yield "<h2>Delivery</h2>"
    steps = report.data["funnel"]
    whole = steps["recipients"]
    yield from _table(
        ("", "messages", "of all", ""),
        (
            (
                escape(name),
                _number(n),
                _number(share(n, whole)),
                f'<td class="share">{pictures.share_bar(n, whole)}</td>',
            )
            for name, n in steps.items()
        ),
        "How many messages came how far",
    )
    yield from _progress(report, whole)


def _progress(report: Report, whole: int) -> Iterator[str]:
    """The lines over time, as far as the log of events still knows the statuses."""
    state, broadcast_id = report.state, report.data["broadcast_id"]
    span = Rows(state, broadcast_id).dispatch_span()
    if span is None or not report.data["taken"]:
        return
    since = report.data["planned_at"]
    attempts = f"wacoex-{Broadcasts(state).state_id}-{broadcast_id}-"
    end = Rows(state, broadcast_id).deliveries_end(since, attempts)
    stretch = pictures.stretch_for(span[0], max(span[1], end or ""))
    reached = Rows(state, broadcast_id).deliveries(since, attempts, stretch.width)
    told = "How many messages had come how far by when."
    note = (
        " Drawn from the status events that are in the state file; the table above counts every"
        " message, also one whose events were pruned."
    )
    picture = pictures.progress_picture(reached, _STATUSES, stretch, whole, told)
    yield f"<figure>{picture}<figcaption>{told}{note}</figcaption></figure>"


def _errors(report: Report) -> Iterator[str]:
    yield "<h2>Errors and skipped rows</h2>"
    codes, skipped = report.data["codes"], report.data["skipped"]
    if not codes and not skipped:
        yield "<p>None.</p>"
    if codes:
        whole = sum(one["n"] for one in codes)
        rows = (
            (
                _number(one["code"]),
                escape(one["state"]),
                _number(one["n"]),
                f'<td class="share">{pictures.share_bar(one["n"], whole)}</td>',
                _wide(escape(one["meaning"])),
                _wide(escape(classify(one["code"]).action)),
            )
            for one in codes
        )
        columns = ("code", "state", "rows", "", "what it means", "what to do")
        yield from _table(columns, rows, "Errors by code")
    if skipped:
        lines = ((report.said(reason), _number(n)) for reason, n in skipped.items())
        yield from _table(("skipped because", "rows"), lines, "Skipped rows by reason")


def _runs(report: Report) -> Iterator[str]:
    yield "<h2>Runs</h2>"
    rows = (
        (
            _number(one["run_id"]),
            _time(one["started_at"]),
            _time(one["last_active_at"]),
            _number(f"{one['active_seconds']:.1f}"),
            _number(f"{one['rate']:g}"),
            escape(one["ended_as"] or "unknown"),
            report.said(f"process {one['pid']} on {one['host']}"),
        )
        for one in report.data["runs"]
    )
    columns = ("run", "from", "to", "seconds", "rate asked", "ended as", "sent by")
    yield from _table(columns, rows, "Runs", "It was never sent.")


def _decisions(report: Report) -> Iterator[str]:
    yield "<h2>Decisions</h2>"
    found = report.data["decisions"]
    rows = (
        (
            _time(one["decided_at"]),
            report.said(one["decided_by"]),
            "all" if one["row"] is None else _number(one["row"]),
            report.said(one["decision"]),
        )
        for one in found[:_MOST_LISTED]
    )
    columns = ("when", "by", "row", "decision")
    yield from _table(columns, rows, "Decisions", "Nobody had to decide anything.")
    if len(found) > _MOST_LISTED:
        yield f"<p>And {len(found) - _MOST_LISTED} more: <code>--json</code> has them all.</p>"


def _unsettled(report: Report) -> Iterator[str]:
    yield "<h2>Rows that did not go well</h2>"
    broadcast_id = report.data["broadcast_id"]
    found = Rows(report.state, broadcast_id).unsettled(_MOST_LISTED + 1)
    rows = (
        (
            _number(one["row"]),
            _number(one["line"]),
            report.said(one["phone"]),
            escape(one["state"]),
            _number(one["code"] or ""),
            _wide(report.said(one["detail"])),
        )
        for one in found[:_MOST_LISTED]
    )
    columns = ("row", "line", "phone", "state", "code", "detail")
    yield from _table(columns, rows, "Rows that did not go well", "None.")
    if len(found) > _MOST_LISTED:
        yield "<p>And more: <code>--csv FILE</code> has every row.</p>"


def _table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], name: str, when_empty: str = ""
) -> Iterator[str]:
    """A table that scrolls by itself on a small screen. A cell is HTML, with or without `td`."""
    listed = list(rows)
    if not listed:
        yield f"<p>{when_empty}</p>"
        return
    head = "".join(map(_heading, columns, listed[0]))
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in listed)
    yield (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{name}">'
        f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _heading(name: str, below: str) -> str:
    """The head of a column, aligned as the cell below it."""
    if not name:
        return "<td></td>"
    aligned = ' class="number"' if below.startswith('<td class="number"') else ""
    return f'<th scope="col"{aligned}>{name}</th>'


def _cell(content: str) -> str:
    return content if content.startswith("<td") else f"<td>{content}</td>"


def _number(value: object) -> str:
    return f'<td class="number">{escape(str(value))}</td>'


def _wide(content: str) -> str:
    return f'<td class="wide">{content}</td>'


def _time(moment: str | None) -> str:
    return escape(moment[:19].replace("T", " ")) if moment else "-"


def _file(name: str) -> str:
    return files("wacoex_cli.broadcast").joinpath(name).read_text(encoding="utf-8")
