"""Giving a channel another name: its stored secrets move along, everything else goes by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.channels.registry import alike, check_name, entries_of, known
from wacoex_cli.channels.store import Channels
from wacoex_cli.errors import UsageError, WacoexError
from wacoex_cli.foundation.secrets import channel_suffix
from wacoex_cli.foundation.settings import SECRET_VARIABLES
from wacoex_cli.terminal.render import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wacoex_cli.foundation.workspace import Workspace


class MovedSecret(NamedTuple):
    """A stored secret of the channel, and the places, in words, that keep it for the new name."""

    name: str
    places: list[str]


def rename_channel(workspace: Workspace, old: str, new: str, *, dry_run: bool) -> Result:
    """Rename a channel, archived or not, with the secrets that `auth login` stored for it.

    The secrets are stored for the new name first and deleted last, so that an interruption loses
    none. With `dry_run` only check that it can be done. Warns of what only a person can change:
    variables and settings that carry the old name.

    Raises:
        UsageError: there is no such channel, the new name is not valid or taken, or another secret
            is stored for it.
        WacoexError: a secret cannot be stored for the new name; nothing is changed then.
    """
    state = workspace.state
    _check(workspace, old, new)
    moved = _copy_secrets(workspace, old, new, dry_run=dry_run)
    if not dry_run:
        with state.transaction():
            _check(workspace, old, new)
            Channels(state).rename(known(state, old).channel_id, new)
        _forget_secrets(workspace, old, moved)
    for warning in _left_to_do(workspace, old, new):
        workspace.warn(warning)
    [entry] = entries_of(workspace, [known(state, old if dry_run else new)])
    data = {
        **entry,
        "channel": new,
        "former_name": old,
        "moved_secrets": [secret._asdict() for secret in moved],
        "dry_run": dry_run,
    }
    would, goes = ("would be ", "would go") if dry_run else ("", "went")
    text = [f"channel {old} ({entry['phone']}) {would}renamed: {new}"]
    text += [f"  {name} {goes} along: {', '.join(places)}" for name, places in moved]
    return Result(data, text)


def _check(workspace: Workspace, old: str, new: str) -> None:
    channel, state = known(workspace.state, old), workspace.state
    if old == new:
        raise UsageError(
            f"channel `{old}` has this name already",
            hint="give another one: wacoex channel rename OLD NEW",
            code="channel_name",
        )
    others = [other for other in Channels(state).all_channels() if other.name != channel.name]
    check_name(new, others)


def _copy_secrets(workspace: Workspace, old: str, new: str, *, dry_run: bool) -> list[MovedSecret]:
    """Store each secret of the old name for the new one too; all of them or none."""
    stored = workspace.secrets.stored
    moved: list[MovedSecret] = []
    try:
        for name in SECRET_VARIABLES:
            if places := stored.copy_to(name, old, new, dry_run=dry_run):
                moved.append(MovedSecret(name, places))
    except WacoexError:
        if not dry_run:
            _forget_secrets(workspace, new, moved)
        raise
    if problem := stored.keyring_failure:
        workspace.warn(
            f"the keyring cannot be asked: {problem}; a secret that it keeps for `{old}` is not"
            f" found for `{new}`: store it again with `wacoex auth login SECRET -c {new}`"
        )
    return moved


def _forget_secrets(workspace: Workspace, owner: str, moved: list[MovedSecret]) -> None:
    for name, _ in moved:
        try:
            workspace.secrets.stored.forget(name, owner)
        except WacoexError as error:
            workspace.warn(f"the {name} of `{owner}` is still stored: {error.message}")


def _left_to_do(workspace: Workspace, old: str, new: str) -> Iterator[str]:
    """What still carries the old name, and only a person can change."""
    sources = workspace.sources
    if old in sources.channel_tables:
        yield f"rename `[channels.{old}]` in {sources.toml_path}: `[channels.{new}]`"
    if workspace.settings.channel == old:
        place = sources.place_of("channel", {})
        yield f"{place} still names `{old}`: write `{new}`"
    if alike(old) == alike(new):
        return
    former, suffix = channel_suffix(old), channel_suffix(new)
    dotenv = (str(sources.dotenv_path), sources.dotenv)
    for place, given in (("the environment", sources.environ), dotenv):
        for variable in SECRET_VARIABLES.values():
            for form in ("{0}_{1}", "{0}_{1}_FILE", "{0}_FILE_{1}"):
                if (name := form.format(variable, former)) in given:
                    yield f"rename `{name}` in {place}: `{form.format(variable, suffix)}`"
