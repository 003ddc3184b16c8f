"""`explain`: findings, topics and Meta's error codes, each as one short article."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from wacoex_cli.diagnosis.code_articles import about_code
from wacoex_cli.diagnosis.search import matching
from wacoex_cli.errors import UsageError
from wacoex_cli.findings import catalogue
from wacoex_cli.platforms.error_codes import classify, is_known, known_codes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wacoex_cli.findings.catalogue import Article


def explain(word: str) -> Article:
    """The article about a finding id, a topic or an error code of Meta; upper or lower case.

    A number that is no code of its own is looked for in what the articles are also shown as.
    Raises UsageError with the nearest word when there is none.
    """
    article = catalogue.find(word)
    if article:
        return _with_severity(article)
    if word.isascii() and word.isdigit():
        if is_known(int(word)):
            return about_code(int(word))
        named = next((one for one in catalogue.everything() if word in one.shown_as), None)
        if named:
            return _with_severity(named)
    raise UsageError(
        f"there is nothing about `{word}`",
        hint=_nearest(word),
        code="explain_unknown",
    )


def topics() -> list[str]:
    """The names of the articles that are about no finding."""
    return [name for name in catalogue.names() if not name.startswith("WX")]


def candidates() -> Iterator[tuple[str, str]]:
    """Everything that can be explained, each with a few words: ids, topics, codes of Meta."""
    yield from catalogue.titles()
    for code in known_codes():
        yield str(code), classify(code).meaning


def search(text: str) -> list[Article]:
    """The articles about a text, best first; of equally good ones articles before codes."""
    return matching(text, [*catalogue.everything(), *map(about_code, known_codes())])


def _with_severity(article: Article) -> Article:
    if article.id not in catalogue.finding_ids():
        return article
    told = f"Severity: {' or '.join(catalogue.wording(article.id).severities)}"
    return article._replace(body=f"{told}\n\n{article.body}")


def _nearest(word: str) -> str:
    names = {name.lower(): name for name in catalogue.names()}
    names |= {str(code): str(code) for code in known_codes()}
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.5)
    if close:
        return f"did you mean `{names[close[0]]}`?"
    return f"search with `--search`; topics: {', '.join(topics())}"
