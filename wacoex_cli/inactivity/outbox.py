"""Which notices are to be sent now, and to whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.channels import registry
from wacoex_cli.channels.store import CHANNELS, Channels
from wacoex_cli.errors import UsageError
from wacoex_cli.events.store import catch_up
from wacoex_cli.foundation.settings import ways_to_give
from wacoex_cli.inactivity import delivery, notices_ledger
from wacoex_cli.inactivity.check import watch
from wacoex_cli.inactivity.notice_text import Occasion
from wacoex_cli.inactivity.rule import due

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.inactivity.delivery import Target
    from wacoex_cli.inactivity.model import LastNotice, Stage


@dataclass(frozen=True)
class DueNotice:
    """One notice to send."""

    occasion: Occasion
    target: Target


@dataclass(frozen=True)
class NotDue:
    """A channel and a target that get nothing now: `told`, `nothing_to_tell` or `no_target`."""

    channel: str
    stage: Stage
    to: str | None
    reason: str

    def to_json(self) -> dict[str, object]:
        """The entry of `skipped`."""
        return {
            "channel": self.channel,
            "stage": self.stage.value,
            "to": self.to,
            "reason": self.reason,
        }


def look(
    workspace: Workspace, urls: Sequence[str], channel: str | None
) -> tuple[list[DueNotice], list[NotDue]]:
    """What is due, worst first, and what is not, after the events that came in have been read.

    Raises UsageError when nobody is there to be told, a URL is unfit, or there is no channel.
    """
    catch_up(workspace.state, [CHANNELS], workspace.clock)
    channels = _channels(workspace.state, channel)
    targets = _targets(workspace, urls, channels)
    last = notices_ledger.last_notices(workspace.state)
    now = workspace.clock.now()
    decided: list[DueNotice | NotDue] = []
    for one in watch(workspace, channels, now):
        occasion = Occasion(one.channel, one.standing, one.connection, one.zone, now)
        for target in targets[one.channel.name]:
            former = last.get((one.channel.channel_id, target.target_id))
            decided.append(_decide(occasion, target, former))
        if not targets[one.channel.name]:
            workspace.warn(f"nobody is to be told about channel `{one.channel.name}`")
            decided.append(NotDue(one.channel.name, one.standing.stage, None, "no_target"))
    return (
        [one for one in decided if isinstance(one, DueNotice)],
        [one for one in decided if isinstance(one, NotDue)],
    )


def _decide(occasion: Occasion, target: Target, former: LastNotice | None) -> DueNotice | NotDue:
    stage = occasion.standing.stage
    kind = due(stage, occasion.connection.state, former, occasion.now)
    if kind is None:
        reason = "told" if former else "nothing_to_tell"
        return NotDue(occasion.channel.name, stage, target.shown, reason)
    return DueNotice(occasion.because(kind), target)


def _channels(state: State, name: str | None) -> list[Channel]:
    if name:
        return [registry.active(state, name)]
    known = Channels(state).all_channels()
    if not known:
        # Under cron this is more likely another state file than a person without channels.
        raise UsageError(
            f"there is no channel in {state.path}, so there is nothing to watch",
            hint="set `WACOEX_STATE` to the right file,"
            " or add a channel with `wacoex channel add NAME --phone +65...`",
            code="channel_missing",
        )
    return [one for one in known if not one.archived_at]


def _targets(
    workspace: Workspace, urls: Sequence[str], channels: Sequence[Channel]
) -> Mapping[str, tuple[Target, ...]]:
    """Whom to tell about each channel, by its name."""
    if urls:
        given = delivery.targets_of(urls, "`--to`")
        return {one.name: given for one in channels}
    found: dict[str, tuple[Target, ...]] = {}
    by_text: dict[str, tuple[Target, ...]] = {"": ()}
    for one in channels:
        secret = workspace.secrets.find("notify-urls", one.name)
        text = secret.reveal() if secret else ""
        if secret and text not in by_text:
            by_text[text] = delivery.targets_of(delivery.split_urls(text), secret.source)
        found[one.name] = by_text[text]
    if channels and not any(found.values()):
        raise UsageError(
            "nobody is there to be told",
            hint=f"{ways_to_give('notify-urls')}; or give `--to URL`",
            code="notify_nobody",
        )
    return found
