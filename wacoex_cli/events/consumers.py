"""What the rooms to the right bring to the events, handed over by `app` before a command runs.

So `events listen` and `events pull` can serve rooms that they may not import.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.events.projection import Projection
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace


class PageRequest(NamedTuple):
    """A browser asks for a page. `method` is GET or POST, `token` the last part of the path."""

    method: str
    token: str
    form: Mapping[str, str] = MappingProxyType({})


class PageAnswer(NamedTuple):
    """What the browser is shown, with its HTTP status."""

    status: int
    html: str


class Page(NamedTuple):
    """A page that `events listen` serves beside the webhooks, such as `/confirm/{token}`."""

    path: str
    methods: tuple[str, ...]
    handler: Callable[[PageRequest], PageAnswer]


class Interest(NamedTuple):
    """What the rooms wait for news about: people (E.164), and messages of ours by their id.

    Each message id comes with the attempt id it was sent under.
    """

    phones: tuple[str, ...] = ()
    message_ids: Mapping[str, str] = MappingProxyType({})


class Consumers(NamedTuple):
    """Everything that is handed over. Each is called only when a command needs it."""

    projections: Callable[[], Sequence[Projection]]
    pages: Callable[[Workspace], Sequence[Page]]
    interest: Callable[[State, Channel, datetime], Interest]


_handed_over: list[Consumers] = []


def hand_over(
    projections: Callable[[], Sequence[Projection]],
    pages: Callable[[Workspace], Sequence[Page]],
    interest: Callable[[State, Channel, datetime], Interest],
) -> None:
    """Say what there is to project, to serve and to ask about; replaces what was said before."""
    _handed_over[:] = [Consumers(projections, pages, interest)]


def projections() -> tuple[Projection, ...]:
    """Every room's projection of the events."""
    return tuple(one for consumers in _handed_over for one in consumers.projections())


def pages(workspace: Workspace) -> tuple[Page, ...]:
    """Every page that the listener serves beside the webhooks."""
    return tuple(one for consumers in _handed_over for one in consumers.pages(workspace))


def interest(state: State, channel: Channel, now: datetime) -> Interest:
    """What is worth asking about on a channel."""
    for consumers in _handed_over:
        return consumers.interest(state, channel, now)
    return Interest()
