"""Meta's error codes as articles, made from the table of codes."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from wacoex_cli.findings.catalogue import Article
from wacoex_cli.platforms.error_codes import Outcome, classify, known_codes
from wacoex_cli.platforms.error_titles import TITLES

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
_NOT_IN_METAS_LIST = frozenset({131030, 131044, 132008, 138024, 138025, 141002, 141006, 141010})
_SEE_ALSO: dict[int, tuple[str, ...]] = {
    10: ("WX701", "WX203"),
    33: ("WX203", "WX201"),
    100: ("WX701",),
    104: ("WX702",),
    190: ("WX701",),
    200: ("WX701",),
    130429: ("WX503", "rate-limit"),
    131000: ("WX505",),
    131005: ("WX701", "WX203"),
    131031: ("WX209",),
    131042: ("fees", "WX206"),
    131044: ("fees", "WX206"),
    131045: ("WX201", "coexistence"),
    131047: ("echoes", "limitations"),
    131048: ("WX501",),
    131049: ("WX506",),
    131050: ("WX506",),
    131051: ("unsupported-messages",),
    131056: ("rate-limit",),
    131060: ("unsupported-messages", "WX404"),
    132015: ("WX504",),
    132016: ("WX504",),
    133010: ("WX201", "WX203"),
    133016: ("limitations", "offboarding"),
    141006: ("fees", "WX206"),
    141010: ("WX206",),
    2593107: ("WX605", "history"),
    2593108: ("WX605", "history"),
    2593109: ("WX605", "history"),
}
_ALWAYS = ("rate-limit", "exit-codes")


def is_known(code: int) -> bool:
    """Whether there is something to say about a code: it is listed, or a permission (200-299)."""
    return code in known_codes() or classify(code).meaning == classify(200).meaning


def about_code(code: int) -> Article:
    """What a code of Meta means, what wacoex does about it, and what a person does."""
    known = classify(code)
    name, consequence = _CLASSES[known.outcome]
    shown_as = "; ".join(f'"{title}"' for title in TITLES.get(code, ()))
    source = _SOURCE.format(_SEEN if code in _NOT_IN_METAS_LIST else "")
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
    return Article(str(code), title, body, _SEE_ALSO.get(code, _ALWAYS))


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
