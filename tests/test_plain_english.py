"""Texts for users are plain English: no text that they can meet holds a phrase of the list below.

The same applies to the names, docstrings and comments of the tests, which show how wacoex behaves.

`CONTRIBUTING.md` has the rules, a glossary, and pairs of before and after. A phrase comes onto the
list when a reader stumbled over it.
"""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

import pytest

from tests.support.user_texts import ROOT, Text, all_texts, names_and_notes

# A phrase, and what to write instead.
BANNED = {
    r"\b(?:is|are|was|were) none\b": "there is no ..., or nobody ...",
    r"(?<!there )\b(?:is|are) no (?!longer\b|more\b)": "is not a ...",
    r"\bunfit\b|\bnot fit\b": "cannot be used, is not valid",
    r"\btold\b": "reported, shown, known, sent",
    r"\b(?:did|does|do|could) not tell\b|\bnothing tells\b": "does not say, gives no answer",
    r"\btells? (?:of|that)\b": "reports, says that",
    r"\bminded\b|\bminds\b": "follows, keeps to",
    r"\bwhoever\b|\bwhomever\b": "the person who, anybody who, the process that",
    r"\bone's\b": "the owner's, your",
    r"\bnobody is there\b|\bnobody is to be\b": "name what is missing",
    r"\bso many\b": "this many, how many, the number",
    r"\b1 (?!(?:is|was|has|status|hours|plus|ambiguous|as)\b)[a-z]*[^\Ws]s\b": "the singular",
    r"\bhas it\b": "says, names, already has this",
    r"\bfor long\b": "for a long time, since ...",
    r"\banew\b": "again",
    r"\bfor ever\b": "without an end",
    r"\b(?:thereof|therein|whilst|upon|hence|thus|lest|hitherto|whereof)\b": "plain words",
    r"\bspeaks? (?:for|against)\b": "points to, shows",
    r"\ball the same\b": "anyway",
    r"\bas far as (?:is|it is|was) known\b": "as far as we know, or the source",
    r"\bof now\b": "current, now",
    r"\bbut for\b|\ball but\b|\bnobody but\b": "except, only",
    r"\bsays? so\b": "record it, confirm it",
    r"\bwithout a word\b": "without a message",
    r"\b(?:is|are|was|were) to be\b": "must be, will be, can be",
    r"\bstands?\b(?! for\b)": "is, shows",
    r"\blies\b": "is",
    r"\bholds for\b": "applies to",
    r"\bmend(?:s|ed|ing)?\b": "fix, correct",
    r"\bheals?\b": "goes away, ends",
    r"\bis meant\b|\bare meant\b": "do you mean ..., is intended",
    r"\bof (?:ours|theirs|hers)\b": "our, their",
    r"\band the like\b": "and similar",
    r"\bgoes before\b": "is used first",
    r"\bmeans nothing to\b": "does not know",
    r"\bin force\b": "in use",
    r"\bspelt\b|\bgainsay\w*|\bforgone\b": "plain words",
    r"\bsays (?:meta|respondio)\b": "(Meta, 2 days ago)",
    r"\ban own\b|\bour own app\b": "your own",
    r"\b(?:goes|go|went) on where\b": "continues where",
    r"\b(?:are|is) the most\b(?! [a-z])": "more than, at most",
    r"\b(?:wants|want) (?:a file|the number|standard)\b": "needs, asks for, writes to",
    r"\btells? about\b": "reports",
    r"\bhangs? on it\b": "depends on it",
    r"\bof what (?:became|becomes)\b|\bwhat (?:became|becomes) of\b": "what happened to",
    r"\boneself\b": "yourself",
    r"\bunless you say\b": "unless you add",
    r"\bpresent (?:month|state file|one)\b": "current",
    r"\bread otherwise\b|\botherwise than\b": "another text than, in another way than",
    r"\bto who (?:failed|opted)\b|\bleaves out who\b": "to those who, leaves out people who",
    r"\bgoes? along\b": "stays with it",
    r"\bachieved of\b": "on average (set: ...)",
    r"\bturned (?:the|a) request away\b": "refused the request",
    r"\bdie in silence\b|\bcalls home\b|\blags?\b": "plain words",
    r"\b(?:was|were) to (?:start|send|run)\b": "should have started",
}
_PHRASES = {re.compile(pattern, re.IGNORECASE): instead for pattern, instead in BANNED.items()}

# Texts that may hold a phrase, each with its reason. A path ending in `/` is a directory.
EXCEPTIONS: dict[str, str] = {
    "CONTRIBUTING.md": "it shows the phrases beside what to write instead",
}

# Words that a page explains in parentheses where it first names them, or that explain others so.
EXPLAINED = ("WABA", "MAC", "echo", "ambiguous")
_NOT_READ = re.compile(
    r"\A\+\+\+\n.*?\n\+\+\+\n|`[^`]*`|^#[^\n]*$|^    [^\n]*$"
    r"|^(?:Also (?:shown|looked up) as|Sources|See also):(?:.|\n(?!\n))*",
    re.MULTILINE | re.DOTALL,
)


def phrases_in(text: Text) -> list[str]:
    """The banned phrases of a text, with its place and what to write."""
    return [
        f"{text.path}:{text.line}: “{match[0]}”; write: {instead}"
        for pattern, instead in _PHRASES.items()
        for match in pattern.finditer(text.words)
    ]


def unexplained(page: str, word: str) -> bool:
    """Whether a page uses a word of the field before it says what it means."""
    prose = _NOT_READ.sub(" ", page)
    first = re.search(rf"\b{word}(?:s|es)?\b", prose, re.IGNORECASE if word == "echo" else 0)
    if first is None:
        return False
    before, after = prose[: first.start()], prose[first.end() :]
    is_explained = re.match(r"(?: ids?| messages)?\s+\(", after) or re.search(r"\w\s+\(\Z", before)
    return not is_explained and not re.search(rf"^#.*\({word}\)", page, re.MULTILINE)


@pytest.fixture(scope="module")
def texts() -> list[Text]:
    return list(all_texts())


def test_no_text_for_users_holds_a_banned_phrase(texts: list[Text]) -> None:
    hits = [
        hit
        for text in texts
        if not text.path.startswith(tuple(EXCEPTIONS))
        for hit in phrases_in(text)
    ]
    assert not hits, "\n".join(["", *hits])


def test_no_name_docstring_or_comment_of_a_test_holds_a_banned_phrase() -> None:
    hits = [
        hit
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for text in names_and_notes(path)
        for hit in phrases_in(text)
    ]
    assert not hits, "\n".join(["", *hits])


def test_names_docstrings_and_comments_of_code_are_read() -> None:
    found = {text.words for text in names_and_notes(Path(__file__))}

    assert "test names docstrings and comments of code are read" in found
    assert "The banned phrases of a text, with its place and what to write." in found
    assert "# A phrase, and what to write instead." in found


def test_every_exception_is_still_needed(texts: list[Text]) -> None:
    idle = [
        path
        for path in EXCEPTIONS
        if not any(phrases_in(text) for text in texts if text.path.startswith(path))
    ]
    assert not idle, f"these hold no banned phrase any more; take them off the list: {idle}"


def test_texts_of_every_kind_are_read(texts: list[Text]) -> None:
    """A text that the search would pass over is one where a phrase could hide."""
    everything = " ".join(text.words for text in texts)

    assert "which channel do you mean?" in everything  # an error
    assert "Show the days left for each channel" in everything  # the help of a command
    assert "An Apprise URL to notify" in everything  # the help of an option
    assert "somebody must connect the channel again" in everything  # a page
    assert "no address for notices is set" in everything  # a message
    assert "You can close this page" in everything  # HTML


@pytest.mark.parametrize(
    "words",
    ["nobody is there to be told", "`x` is no number", "1 recipients", "the value is unfit",
     "there are none", "plan it anew", "it lies in the file", "say so", "whoever it is"],
)  # fmt: skip
def test_a_banned_phrase_is_found(words: str) -> None:
    assert phrases_in(Text("page.md", 1, words))


@pytest.mark.parametrize(
    "words",
    ["there is no number", "1 recipient", "11 recipients", "MAC stands for"],
)
def test_plain_words_and_contract_words_pass(words: str) -> None:
    assert not phrases_in(Text("page.md", 1, words))


@pytest.mark.parametrize("word", EXPLAINED)
def test_a_page_explains_words_of_the_field_where_it_first_names_them(word: str) -> None:
    pages = (ROOT / "wacoex_cli" / "findings" / "knowledge").glob("*.md")
    assert [page.name for page in pages if unexplained(page.read_text(), word)] == []


def test_an_explanation_is_missed() -> None:
    assert unexplained("# A page\n\nThe WABA is new.\n", "WABA")
    assert not unexplained("# A page\n\nThe `WABA` is a WABA (an account) here.\n", "WABA")


# Nouns that a number comes before, and the places where it is surely not 1.
_PLURALS = re.compile(
    r"^ (?:more |other |new |open |failed )?"
    r"(recipients|messages|rows|people|contacts|templates|requests|channels|events|files|lines)\b"
)
_NEVER_ONE = {
    "wacoex_cli/broadcast/reconcile.py": "its singular is another sentence",
    "wacoex_cli/broadcast/report.py": "the limit of a portfolio is 250 people at least",
    "wacoex_cli/diagnosis/status.py": "the limit of a portfolio is 250 people at least",
    "wacoex_cli/demo/acts.py": "the demo sends to 160 people",
    "wacoex_cli/demo/tour.py": "the demo sends to 160 people",
    "wacoex_cli/events/unplaced.py": "its singular is another sentence",
}


def raw_plurals(path: Path) -> list[str]:
    """The f-strings of a file with a number right before a plural noun."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            for number, text in itertools.pairwise(node.values):
                if isinstance(number, ast.FormattedValue) and isinstance(text, ast.Constant):
                    noun = _PLURALS.match(str(text.value))
                    found += [f"{path.name}:{node.lineno}: {noun[0]}"] if noun else []
    return found


def test_a_number_and_its_noun_come_from_counted() -> None:
    """`counted(1, "row")` says "1 row"; an f-string would say `1 rows`."""
    hits = [
        hit
        for path in sorted((ROOT / "wacoex_cli").rglob("*.py"))
        if str(path.relative_to(ROOT)) not in _NEVER_ONE
        for hit in raw_plurals(path)
    ]
    assert hits == []


def broken_paragraphs(path: Path) -> list[str]:
    """The paragraphs of docstrings, help of commands included, that end in mid-sentence."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = [
        ast.get_docstring(node) or ""
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, documented)
    ]
    paragraphs = [part.rstrip() for text in texts for part in text.split("\n\n") if part.strip()]
    return [f"{path.name}: {part[-60:]}" for part in paragraphs if part[-1] not in ".:;?)`"]


def test_a_paragraph_ends_where_its_sentence_ends() -> None:
    hits = [hit for path in (ROOT / "wacoex_cli").rglob("*.py") for hit in broken_paragraphs(path)]
    assert hits == []
