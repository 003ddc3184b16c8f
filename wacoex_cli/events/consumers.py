"""What packages further down bring to the events, handed over by `app` before a command runs.

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


class _HandedOver(NamedTuple):
    projections: Callable[[], Sequence[Projection]] = tuple
    pages: Callable[[Workspace], Sequence[WebPage]] = lambda workspace: ()
    interest: Callable[[State, Channel, datetime], Interest] = lambda *about: Interest()


_handed_over = [_HandedOver()]


def hand_over(
    projections: Callable[[], Sequence[Projection]],
    pages: Callable[[Workspace], Sequence[WebPage]],
    interest: Callable[[State, Channel, datetime], Interest],
) -> None:
    """Say what there is to project, to serve and to ask about; each is called when needed.

    Replaces what was said before.
    """
    _handed_over[0] = _HandedOver(projections, pages, interest)


def projections() -> tuple[Projection, ...]:
    """Every package's projection of the events."""
    return tuple(_handed_over[0].projections())


def pages(workspace: Workspace) -> tuple[WebPage, ...]:
    """Every page that the listener serves beside the webhooks."""
    return tuple(_handed_over[0].pages(workspace))


def interest(state: State, channel: Channel, now: datetime) -> Interest:
    """What is worth asking about on a channel."""
    return _handed_over[0].interest(state, channel, now)
