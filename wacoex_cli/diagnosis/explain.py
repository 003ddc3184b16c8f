"""`explain`: findings, topics, guides and Meta's error codes as articles, and the search."""

from __future__ import annotations

import difflib
import itertools
import re
import textwrap
from typing import TYPE_CHECKING

from wacoex_cli.errors import UsageError
from wacoex_cli.findings import catalogue, guides
from wacoex_cli.findings.catalogue import Article
from wacoex_cli.platforms.error_codes import (
    Outcome,
    classify,
    codes_with_subcode,
    is_known,
    known_codes,
    with_subcodes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


_WIDTH = 78
_CLASSES = {
    Outcome.RETRY: (
        "retry",
        "The row waits, and wacoex tries it again, at most 5 times or 10 minutes in one run.",
    ),
    Outcome.AMBIGUOUS: (
        "ambiguous",
        "wacoex never sends the row again by itself: the message may have gone out."
        " `wacoex broadcast reconcile ID` settles it.",
    ),
    Outcome.STOP: (
        "stop",
        "The broadcast pauses; the other rows stay pending until `wacoex broadcast resume ID`.",
    ),
    Outcome.ROW: (
        "row",
        "wacoex rejects this row and does not try it again; the others continue. Many such rows at"
        " once pause the broadcast.",
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
_META_SILENT = (
    "Meta's rule: its list does not have this code. It was seen elsewhere, or is in a client"
    " library. Meta asks to decide by the code and its details."
)
_SOURCES = ("meta-errors", "respondio-api")
_OF_SUBCODES = ("meta-graph-errors",)
_ALWAYS = ("rate-limit", "exit-codes")
_NUMBER = re.compile(r"\d+")
_IN_WORDS = 6
_SHARE_OF_A_LONG_TEXT = 0.6
_WORDS_OF_A_LONG_TEXT = 4
_WORDS_OF_A_PHRASE = 2


def explain(word: str) -> Article:
    """The article about a finding id, a topic, a guide or an error code; upper or lower case.

    Else it may be a text that one article is shown or looked up as, the title of an error, or a
    subcode. Raises UsageError with the nearest word when there is none.
    """
    article = catalogue.find(word) or guides.find(word)
    if article is None and word.isascii() and word.isdigit() and is_known(int(word)):
        return about_code(int(word))
    article = article or _looked_up_as(word)
    if article is None:
        raise UsageError(
            f"there is nothing about `{word}`", hint=_nearest(word), code="explain_unknown"
        )
    if article.id not in catalogue.finding_ids():
        return article
    severity = f"Severity: {' or '.join(catalogue.wording(article.id).severities)}"
    return article._replace(body=f"{severity}\n\n{article.body}")


def _looked_up_as(text: str) -> Article | None:
    """The first article that people know by this text; None when there is none."""
    wanted = _plain(text)
    known = [*catalogue.everything(), *map(about_code, known_codes())]
    found = [each for each in known if wanted in map(_plain, each.shown_as)]
    if not found and wanted.isdigit():
        found = [about_code(code) for code in codes_with_subcode(int(wanted))]
    return found[0] if found else None


def _nearest(word: str) -> str:
    if re.fullmatch(r"wx\d*", word.lower()):
        typo = difflib.get_close_matches(word.upper(), catalogue.finding_ids(), n=1, cutoff=0.9)
        meant = f"did you mean `{typo[0]}`? " if typo else ""
        return f"{meant}there are {', '.join(_series())}; or search with `--search`"
    names = {name.lower(): name for name in (*catalogue.names(), *guides.NAMES)}
    names |= {str(code): str(code) for code in known_codes()}
    typed = word.lower()
    if typed.startswith("wx"):  # the letter is read for the digit
        typed = typed.replace("o", "0")
    close = difflib.get_close_matches(typed, names, n=1, cutoff=0.5)
    found = search(word)
    if found and (" " in word or not close):
        return f"did you mean `{found[0].id}` ({found[0].title})?"
    if close:
        return f"did you mean `{names[close[0]]}`?"
    return f"search with `--search`; topics: {', '.join(topics())}"


def _series() -> Iterator[str]:
    """The ids of the findings in short: `WX101 to WX108`, gaps shown."""
    numbers = [int(name.removeprefix("WX")) for name in catalogue.finding_ids()]
    for _, group in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        first, *_, last = [number for _, number in group] * 2
        yield f"WX{first}" if first == last else f"WX{first} to WX{last}"


def whole_text(article: Article) -> str:
    """The article as a person reads it, with its sources and what to read next."""
    listed = "\n".join(f"- {source.line}" for source in article.sources)
    rests_on = f"\n\nSources:\n\n{listed}" if article.sources else ""
    see_also = f"\n\nSee also: {', '.join(article.see_also)}" if article.see_also else ""
    return f"{article.id}: {article.title}\n\n{article.body}{rests_on}{see_also}"


def topics() -> list[str]:
    """The names of the articles that are about no finding."""
    return [name for name in catalogue.names() if not name.startswith("WX")]


def contents() -> Iterator[tuple[str, str]]:
    """The guides and topics with their titles, as `wacoex docs` lists them."""
    yield from ((guide.id, guide.title) for guide in guides.everything())
    yield from (row for row in catalogue.titles() if not row[0].startswith("WX"))


def candidates() -> Iterator[tuple[str, str]]:
    """Everything that can be explained, each with a few words: ids, topics, codes of Meta."""
    yield from catalogue.titles()
    yield from ((guide.id, guide.title) for guide in guides.everything())
    for code in known_codes():
        yield str(code), classify(code).meaning


def about_code(code: int) -> Article:
    """What a code of Meta means, what wacoex does about it, and what a person does."""
    known, subcodes = classify(code), with_subcodes(code)
    name, consequence = _CLASSES[known.outcome]
    effects = {
        "The whole number waits.": known.holds_number,
        "The rate is lowered until the number takes more.": known.slows_down,
        "The person goes on the opt-out list.": known.opts_out,
        "wacoex sends nothing to the person for 24 hours.": known.cools_down,
        "The exit status is 4.": known.is_credential,
    }
    more = "".join(f" {text}" for text, applies in effects.items() if applies)
    shown_as = "; ".join(f'"{title}"' for title in known.titles)
    paragraphs = (
        f"What it means: {known.meaning}.",
        *([f"Also shown as: {shown_as}."] if shown_as else ()),
        f"Who is affected: {_SCOPES[known.scope]}.",
        f"Class: {name}.",
        f"What wacoex does: {consequence}{more}",
        f"What to do: {known.action}",
        *(f"With the subcode {it.subcode}: {it.meaning}. {it.action}" for it in subcodes),
        _META if known.is_listed else _META_SILENT,
        _RESPONDIO,
    )
    body = "\n\n".join(
        textwrap.fill(paragraph, _WIDTH, break_on_hyphens=False, break_long_words=False)
        for paragraph in paragraphs
    )
    title = f"Meta error: {known.meaning}"
    names = (*known.sources, *_SOURCES, *(_OF_SUBCODES if subcodes else ()))
    see_also = known.see_also or _ALWAYS
    return Article(str(code), title, body, see_also, catalogue.sources(dict.fromkeys(names)))


def search(text: str) -> list[Article]:
    """The articles about a text, best first; of equally good ones articles before codes.

    What an article says it is also shown as beats its title, and that its body. Of a longer text
    that fits nothing whole, articles with most of its words are better than none.
    """
    wanted = _plain(text)
    if not wanted:
        return []
    known = [*catalogue.everything(), *guides.everything(), *map(about_code, known_codes())]
    ranked = [(rank, article) for article in known if (rank := _rank(wanted, article)) is not None]
    if ranked:
        return [article for _, article in sorted(ranked, key=lambda pair: pair[0])]
    words = wanted.split()
    if len(words) < _WORDS_OF_A_LONG_TEXT:
        return []
    shares = [(_share(words, article), article) for article in known]
    enough = [pair for pair in shares if pair[0] >= _SHARE_OF_A_LONG_TEXT]
    return [article for _, article in sorted(enough, key=lambda pair: -pair[0])[:_IN_WORDS]]


def _rank(wanted: str, article: Article) -> tuple[int, int] | None:
    """How well it fits, smaller is better: the kind of match, then the phrase left over."""
    shown_as = [_plain(phrase) for phrase in article.shown_as]
    name, title, body = _plain(article.id), _plain(article.title), _plain(article.body)
    if wanted in (name, *shown_as) or (name.isdigit() and name in _NUMBER.findall(wanted)):
        return (0, 0)

    def is_in(phrase: str) -> bool:
        # A single word would be found in too many pasted texts.
        return phrase in wanted and len(phrase.split()) >= _WORDS_OF_A_PHRASE

    held = [len(phrase) for phrase in shown_as if is_in(phrase) or wanted in phrase]
    if held:
        return (1, min(abs(length - len(wanted)) for length in held))
    words = wanted.split()
    tests = (
        wanted in title,
        all(word in f"{name} {title}" for word in words),
        wanted in body,
        all(word in f"{name} {title} {body}" for word in words),
    )
    return next(((kind, 0) for kind, holds in enumerate(tests, start=2) if holds), None)


def _share(words: list[str], article: Article) -> float:
    words_here = set(_plain(f"{article.title} {article.body}").split())
    return sum(word in words_here for word in words) / len(words)


def _plain(text: str) -> str:
    """Lower case, without punctuation and line ends, so that a wrapped or quoted text is found."""
    return " ".join(re.sub(r"[^\w.+-]+|[.](?!\w)", " ", text.lower()).split())
