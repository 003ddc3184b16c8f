"""Meta's error codes as articles, made from the table of codes."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from wacoex_cli.findings.catalogue import Article
from wacoex_cli.platforms.error_codes import Outcome, classify

if TYPE_CHECKING:
    from wacoex_cli.platforms.error_codes import ErrorCode

_WIDTH = 78
_CLASSES = {
    Outcome.RETRY: (
        "retry",
        "The row waits and is tried again, at most 5 times or 10 minutes in one run.",
    ),
    Outcome.AMBIGUOUS: (
        "ambiguous",
        "The row is never sent again by itself: the message may have gone out."
        " `wacoex broadcast reconcile ID` settles it.",
    ),
    Outcome.STOP: (
        "stop",
        "The broadcast pauses; the other rows stay pending until `wacoex broadcast resume ID`.",
    ),
    Outcome.ROW: (
        "row",
        "This row is rejected and not tried again; the others go on. Many such rows at once pause"
        " the broadcast.",
    ),
}
_SCOPES = {
    "person": "this recipient only",
    "number": "the sending number",
    "account": "the account, with all its numbers",
}
_META = (
    "Meta's rule: the code and what it means are Meta's. Its titles change; Meta asks to decide by"
    " the code and its details."
)
_RESPONDIO = (
    "respond.io's rule: none of its own. It shows Meta's reason as text with the failed message"
    " and documents no codes."
)
_SOURCE = "Source: Meta, error codes (2026-09){}; respond.io, Developer API (2026-04)."
_SEEN = "; the code itself was seen, or is in a client library, and is not in Meta's list"
_ALWAYS = ("rate-limit", "exit-codes")


def about_code(code: int) -> Article:
    """What a code of Meta means, what wacoex does about it, and what a person does."""
    known = classify(code)
    name, consequence = _CLASSES[known.outcome]
    shown_as = "; ".join(f'"{title}"' for title in known.titles)
    source = _SOURCE.format("" if known.is_listed else _SEEN)
    paragraphs = (
        f"What it means: {known.meaning}.",
        *([f"Also shown as: {shown_as}."] if shown_as else ()),
        f"Whom it concerns: {_SCOPES[known.scope]}.",
        f"Class: {name}.",
        f"What wacoex does: {consequence}{_more(known)}",
        f"What to do: {known.action}",
        _META,
        _RESPONDIO,
        source,
    )
    body = "\n\n".join(_wrapped(one) for one in paragraphs)
    title = f"Meta error: {known.meaning}"
    return Article(str(code), title, body, known.see_also or _ALWAYS)


def _wrapped(paragraph: str) -> str:
    return textwrap.fill(paragraph, _WIDTH, break_on_hyphens=False, break_long_words=False)


def _more(known: ErrorCode) -> str:
    extras = {
        "The whole number waits.": known.holds_number,
        "The rate is lowered until the number takes more.": known.slows_down,
        "The person goes on the opt-out list.": known.opts_out,
        "The person is left alone for 24 hours.": known.cools_down,
        "The exit status is 4.": known.is_credential,
    }
    return "".join(f" {text}" for text, applies in extras.items() if applies)
