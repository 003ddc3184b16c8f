"""What packages further down bring to the events, set by `app` before a command runs.

So `events listen` and `events pull` can serve packages that they may not import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.events import Projection


class PageRequest(NamedTuple):
    """A browser asks for a page. `method` is GET or POST, `token` the last part of the path."""

    method: str
    token: str
    form: Mapping[str, str] = {}


class PageAnswer(NamedTuple):
    """What the browser is shown, with its HTTP status."""

    status: int
    html: str


class WebPage(NamedTuple):
    """A page that `events listen` serves beside the webhooks, such as `/confirm/{token}`."""

    path: str
    methods: tuple[str, ...]
    handler: Callable[[PageRequest], PageAnswer]


class Interest(NamedTuple):
    """Whose news is waited for: people (E.164), and messages of ours by their id.

    Each message id comes with the attempt id it was sent under.
    """

    phones: tuple[str, ...] = ()
    message_ids: Mapping[str, str] = {}


def _no_pages(workspace: Workspace) -> Sequence[WebPage]:
    return ()


def _no_interest(state: State, channel: Channel, now: datetime) -> Interest:
    return Interest()


# `app` sets these four, so that nothing of the events is loaded before it is needed. Call them
# as `consumers.projections()` and the like: a name imported from here would miss what `app` set.
names: Sequence[str] = ()
"""The names of all projections. They say whether one is behind before any of them is loaded."""
projections: Callable[[], Sequence[Projection]] = tuple
"""Every package's projection of the events."""
pages: Callable[[Workspace], Sequence[WebPage]] = _no_pages
"""Every page that the listener serves beside the webhooks."""
interest: Callable[[State, Channel, datetime], Interest] = _no_interest
"""What is worth asking about on a channel."""
