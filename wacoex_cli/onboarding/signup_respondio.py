"""Signup in respond.io: the clicks, and which channel of the workspace came out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.channels import registry
from wacoex_cli.channels.access import respondio_for
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.person import login_name
from wacoex_cli.onboarding.beginning import BEGAN_AT, begin, begun
from wacoex_cli.onboarding.browser import offer_to_open
from wacoex_cli.onboarding.model import Outcome, StepState
from wacoex_cli.onboarding.questions import ONLY_A_PERSON
from wacoex_cli.platforms.events import read_moment
from wacoex_cli.platforms.respondio_replies import identity

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from wacoex_cli.onboarding.journey import Context
    from wacoex_cli.platforms.respondio import RespondIO
    from wacoex_cli.platforms.respondio_replies import WorkspaceChannel

STEP = "signup"
RESPONDIO_APP = "https://app.respond.io"
CLICKS = (
    "connect the number in respond.io:",
    "  Settings > Channels > Add Channel > WhatsApp > WhatsApp Business App",
    "  > Connect With Facebook; then choose the portfolio and type the number",
    "  on the phone: open the message of Facebook Business, Connect, Confirm, paste the code",
    "  leave the app open and online until it has refreshed itself",
)
_WAITS_SECONDS = 600.0
_LOOKS_EVERY_SECONDS = 5.0
_NONE = "nothing was chosen; run `wacoex connect {channel}` again when it is connected"


async def signup_respondio(context: Context) -> Outcome:
    """Tell the clicks, and learn from the person which channel of respond.io it became.

    With a token the channels that appear are offered; the ids that were there when the step
    began are kept, so that a resumed walk knows what is new. Raises as `RespondIO` does.
    """
    if context.workspace.secrets.find("respondio-token", context.channel_name) is None:
        return _asked(context)
    respondio = respondio_for(context.workspace, context.channel)
    kept = begun(context, STEP)
    if kept is None:
        found = await respondio.list_channels()
        kept = begin(context, STEP, {"known_ids": sorted(_ids(found))})
    for line in CLICKS:
        context.dialogue.note(line)
    offer_to_open(context, "respond.io", RESPONDIO_APP)
    known = _known(kept)
    listed = await _appeared(context, respondio, known)
    chosen = _choose(context, _in_order(listed, known), known)
    if chosen is None:
        return Outcome(StepState.OPEN, kept, note=_NONE.format(channel=context.channel_name))
    return _settled(context, chosen, kept)


def _asked(context: Context) -> Outcome:
    """Without a token only the person knows."""
    dialogue, name = context.dialogue, context.channel_name
    offer_to_open(context, "respond.io", RESPONDIO_APP)
    # Inside the question, because `--quiet` and `--json` hide notes.
    question = "\n".join([*CLICKS, "is the number connected in respond.io now?"])
    if not dialogue.confirm(question, flag=ONLY_A_PERSON):
        return Outcome(StepState.OPEN, note=_NONE.format(channel=name))
    is_fresh = dialogue.confirm("was it connected just now, with the app open?", flag=ONLY_A_PERSON)
    channel_id = _typed_id(context)
    now = context.workspace.clock.now()
    if channel_id is not None:
        changes = {"respondio_channel_id": channel_id}
        registry.edit_channel(context.workspace.state, name, changes, now)
    answer = {
        "respondio_channel_id": channel_id,
        "connected_at": to_text(now) if is_fresh else None,
        "connected_source": "person",
    }
    return Outcome(StepState.SETTLED, answer, said_by=login_name())


def _typed_id(context: Context) -> int | None:
    question = "the id of the channel in respond.io (Settings > Channels); empty if unknown"
    while text := context.dialogue.ask(question, flag=ONLY_A_PERSON):
        found = identity(text)
        if found:
            return found
        context.dialogue.warn(f"`{text}` is no channel id: it is a number such as 4242")
    return None


async def _appeared(
    context: Context, respondio: RespondIO, known: Collection[int]
) -> Sequence[WorkspaceChannel]:
    """The channels of the workspace, as soon as there is a new one or the person knows better."""
    clock, dialogue = context.workspace.clock, context.dialogue
    listed = await respondio.list_channels()
    if _ids(listed) - set(known):
        return listed
    likely = [one for one in listed if one.is_whatsapp]
    if likely:
        dialogue.note(f"there already: {', '.join(_named(one) for one in likely)}")
        if dialogue.confirm("is the number one of these?", flag=ONLY_A_PERSON):
            return listed
    minutes = _WAITS_SECONDS / 60
    dialogue.note(f"waiting up to {minutes:.0f} minutes for a new channel; Ctrl-C is safe")
    until = clock.monotonic() + _WAITS_SECONDS
    while clock.monotonic() < until and not _ids(listed) - set(known):
        await clock.sleep(_LOOKS_EVERY_SECONDS)
        listed = await respondio.list_channels()
    return listed


def _choose(
    context: Context, listed: Sequence[WorkspaceChannel], known: Collection[int]
) -> WorkspaceChannel | None:
    """The channel that the person picks; None when it is none of them."""
    dialogue = context.dialogue
    new = [one for one in listed if one.id not in known]
    if len(new) == 1 and dialogue.confirm(f"is it {_named(new[0])}?", flag=ONLY_A_PERSON):
        return new[0]
    for one in listed:
        dialogue.note(f"  {_named(one)}{', new' if one in new else ''}")
    by_id: dict[int | None, WorkspaceChannel] = {one.id: one for one in listed}
    while text := dialogue.ask("which one is it? type its id; empty if none", flag=ONLY_A_PERSON):
        if (found := by_id.get(identity(text))) is not None:
            return found
        dialogue.warn(f"there is no channel `{text}` in this workspace")
    return None


def _settled(context: Context, chosen: WorkspaceChannel, kept: dict[str, object]) -> Outcome:
    channel_id = chosen.id
    now = context.workspace.clock.now()
    changes = {"respondio_channel_id": channel_id}
    registry.edit_channel(context.workspace.state, context.channel_name, changes, now)
    is_new = channel_id not in _known(kept)
    # A channel that was there before says nothing about now, but when it was made.
    connected_at = read_moment(chosen.created_at) or (to_text(now) if is_new else None)
    answer = {
        BEGAN_AT: kept[BEGAN_AT],
        "respondio_channel_id": channel_id,
        "name": chosen.name,
        "source": chosen.source,
        "is_new": is_new,
        "connected_at": connected_at,
        "connected_source": "respondio",
    }
    return Outcome(StepState.SETTLED, answer, said_by=login_name())


def _known(kept: dict[str, object]) -> frozenset[int]:
    ids = kept.get("known_ids")
    return frozenset(ids) if isinstance(ids, list) else frozenset()


def _in_order(listed: Sequence[WorkspaceChannel], known: Collection[int]) -> list[WorkspaceChannel]:
    """The new ones first, then those that look like WhatsApp."""
    return sorted(listed, key=lambda one: (one.id in known, not one.is_whatsapp))


def _ids(listed: Sequence[WorkspaceChannel]) -> set[int]:
    return {one.id for one in listed}


def _named(channel: WorkspaceChannel) -> str:
    return f"{channel.id} ({channel.name}, {channel.source})"
