"""`explain`: findings, topics and Meta's error codes, each as one short article."""

from __future__ import annotations

import dataclasses
import difflib
import textwrap
from typing import TYPE_CHECKING

from wacoex_cli.errors import UsageError
from wacoex_cli.findings import articles
from wacoex_cli.findings.articles import Article
from wacoex_cli.findings.catalogue import CATALOGUE
from wacoex_cli.platforms.error_codes import Outcome, classify, known_codes

if TYPE_CHECKING:
    from wacoex_cli.platforms.error_codes import ErrorCode

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


def explain(word: str) -> Article:
    """The article about a finding id, a topic or an error code of Meta; upper or lower case.

    Raises UsageError with the nearest word when there is none.
    """
    article = articles.find(word)
    if article:
        return _with_severity(article)
    if word.isascii() and word.isdigit() and _is_known(int(word)):
        return _about_code(int(word))
    raise UsageError(
        f"there is nothing about `{word}`",
        hint=_nearest(word),
        code="explain_unknown",
    )


def _with_severity(article: Article) -> Article:
    entry = next((one for one in CATALOGUE if one.id == article.id), None)
    if entry is None:
        return article
    told = f"Severity: {' or '.join(entry.severities)}"
    return dataclasses.replace(article, body=f"{told}\n\n{article.body}")


def topics() -> list[str]:
    """The names of the articles that are about no finding."""
    return [name for name in articles.names() if not name.startswith("WX")]


def search(text: str) -> list[Article]:
    """Every article in which each word of the text occurs, articles before error codes."""
    words = text.lower().split()
    everything = [
        *filter(None, map(articles.find, articles.names())),
        *map(_about_code, known_codes()),
    ]
    return [
        one
        for one in everything
        if words and all(word in f"{one.id} {one.title} {one.body}".lower() for word in words)
    ]


def _is_known(code: int) -> bool:
    return code in known_codes() or classify(code).meaning == classify(200).meaning


def _about_code(code: int) -> Article:
    known = classify(code)
    name, consequence = _CLASSES[known.outcome]
    paragraphs = (
        f"What it means: {known.meaning}.",
        f"Whom it concerns: {_SCOPES[known.scope]}.",
        f"Class: {name}.",
        f"What wacoex does: {consequence}{_more(known)}",
        f"What to do: {known.action}",
        "Source: Meta, error codes.",
    )
    body = "\n\n".join(textwrap.fill(one, 78) for one in paragraphs)
    return Article(str(code), f"Meta error {code}", body, ("rate-limit", "exit-codes"))


def _more(known: ErrorCode) -> str:
    extras = {
        "The whole number waits.": known.holds_number,
        "The rate is lowered until the number takes more.": known.slows_down,
        "The person goes on the opt-out list.": known.opts_out,
        "The person is left alone for 24 hours.": known.cools_down,
        "The exit status is 4.": known.is_credential,
    }
    return "".join(f" {text}" for text, applies in extras.items() if applies)


def _nearest(word: str) -> str:
    names = {name.lower(): name for name in articles.names()}
    names |= {str(code): str(code) for code in known_codes()}
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.5)
    if close:
        return f"did you mean `{names[close[0]]}`?"
    return f"search with `--search`; topics: {', '.join(topics())}"
