"""Notices on their way to people, through Apprise: mail, chat, push, desktop, by URL.

An Apprise URL holds passwords and tokens, so it is shown masked and never quoted.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from wacoex_cli.errors import UsageError
from wacoex_cli.inactivity.model import NoticeKind, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wacoex_cli.inactivity.notice_text import Message

SEND_SECONDS = 30.0
"""How long a target may take before it counts as failed."""

TIMED_OUT = f"no answer within {SEND_SECONDS:.0f} seconds"
_LONGEST_SHOWN_PART = 12
_SHORTEST_HIDDEN_WORD = 4


@dataclass(frozen=True)
class Target:
    """One place that notices go to. `target_id` is a hash of its URL, `shown` has no secrets."""

    target_id: str
    shown: str
    notifier: Any = field(repr=False, compare=False)
    hidden_words: frozenset[str] = field(repr=False, compare=False)


def split_urls(text: str) -> list[str]:
    """The URLs of a list separated by commas; a comma inside a URL does not part it."""
    pieces = re.split(r"[,\s]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", text.strip(", \t\r\n"))
    return [one.strip(", \t\r\n") for one in pieces if one.strip(", \t\r\n")]


def targets_of(urls: Iterable[str], source: str) -> tuple[Target, ...]:
    """The targets of Apprise URLs, each once. `source` is where they stand, for errors.

    Raises UsageError, which does not quote the URL, for one that Apprise cannot use.
    """
    found: dict[str, Target] = {}
    for number, url in enumerate(urls, start=1):
        target = _target(url)
        if target is None:
            scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://", url)
            kind = f"`{scheme.group()}...`" if scheme else "without `scheme://`"
            raise UsageError(
                f"URL {number} of {source} ({kind}) is none that Apprise can use",
                hint="write it as Apprise documents it, such as"
                " `mailto://user:password@example.com` or `ntfys://ntfy.sh/topic`",
                code="notify_url",
            )
        found.setdefault(target.target_id, target)
    return tuple(found.values())


def send(target: Target, message: Message, seconds: float = SEND_SECONDS) -> str | None:
    """Send a message to a target; returns why that failed, or None when it was taken."""
    heard = _Heard()
    ended: list[bool | str] = []

    def deliver() -> None:
        # Whatever a notifier raises is its own failure, and must not stop the others.
        try:
            ended.append(_notify(target, message))
        except Exception as error:
            ended.append(f"the notifier broke ({type(error).__name__})")

    log = logging.getLogger("apprise")
    log.addHandler(heard)
    try:
        # A thread, because a notifier that hangs cannot be interrupted; it ends with the process.
        thread = threading.Thread(target=deliver, daemon=True, name="notifier")
        thread.start()
        thread.join(seconds)
    finally:
        log.removeHandler(heard)
    if not ended:
        return TIMED_OUT
    if isinstance(ended[0], str):
        return ended[0]
    return None if ended[0] else _reason(heard.texts, target.hidden_words)


class _Heard(logging.Handler):
    """Keeps what Apprise says about a failure."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _target(url: str) -> Target | None:
    notifier = _notifier(url)
    if notifier is None:
        return None
    masked = notifier.url(privacy=True)
    digest = hashlib.sha256(url.encode()).hexdigest()
    return Target(digest, _shown(masked), notifier, _words(url) - _words(masked))


def _notifier(url: str) -> Any:
    # Loading its plugins imports parts of the standard library that later Pythons drop.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import apprise

        asset = apprise.AppriseAsset(app_id="wacoex", app_desc="wacoex", async_mode=False)
        return apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)


def _notify(target: Target, message: Message) -> bool:
    import apprise

    kinds = {
        NoticeKind.RECOVERY: apprise.NotifyType.SUCCESS,
        NoticeKind.REMOVED: apprise.NotifyType.FAILURE,
    }
    is_late = message.stage in {Stage.CRITICAL, Stage.OVERDUE}
    by_stage = apprise.NotifyType.FAILURE if is_late else apprise.NotifyType.WARNING
    sender = apprise.Apprise(asset=target.notifier.asset)
    sender.add(target.notifier)
    taken = sender.notify(
        body=message.body,
        title=message.title,
        notify_type=kinds.get(message.kind, by_stage),
        body_format=apprise.NotifyFormat.TEXT,
    )
    return bool(taken)


def _shown(masked: str) -> str:
    """Scheme, host and who is written to: of a long part of the path only its beginning."""
    scheme, _, rest = masked.partition("?")[0].partition("://")
    host, *path = (unquote(one) for one in rest.split("/") if one)
    parts = [
        one if "@" in one or len(one) <= _LONGEST_SHOWN_PART else f"{one[:4]}..." for one in path
    ]
    return f"{scheme}://{'/'.join([host, *parts])}"


def _words(url: str) -> frozenset[str]:
    words = re.split(r"[^\w.-]+", f"{url} {unquote(url)}")
    return frozenset(one for one in words if len(one) >= _SHORTEST_HIDDEN_WORD)


def _reason(texts: list[str], hidden_words: frozenset[str]) -> str:
    if not texts:
        return "the notifier gave no reason"
    text = " ".join(texts[0].split()).rstrip(".")
    for word in sorted(hidden_words, key=len, reverse=True):
        text = text.replace(word, "...")
    return text[:1].lower() + text[1:]
