"""`wacoex config`: what is set, by what, and where files lie."""

import dataclasses
from typing import TYPE_CHECKING

from wacoex_cli.terminal.options import Invocation, command, group

if TYPE_CHECKING:
    from wacoex_cli.terminal.render import Result

app = group("The settings in force, and the files they come from.")


@command(
    app,
    "show",
    path=("config", "show"),
    examples=("wacoex config show", "wacoex config show --channel shop --json"),
)
def show(invocation: Invocation) -> "Result":
    """Show every setting and secret with its source; of a secret its last four characters."""
    from wacoex_cli.setup.configuration import secrets_in_force, settings_in_force
    from wacoex_cli.terminal.render import Result, Table

    flags: dict[str, object] = {
        name: value
        for name in ("channel", "no_input", "debug")
        if (value := getattr(invocation, name))
    }
    with invocation.open_workspace() as workspace:
        settings = settings_in_force(workspace, invocation.channel, flags)
        secrets = secrets_in_force(workspace, invocation.channel)
    data = {
        "settings": [dataclasses.asdict(one) for one in settings],
        "secrets": [dataclasses.asdict(one) for one in secrets],
    }
    rows = [(one.name, one.value, one.source) for one in (*settings, *secrets)]
    return Result(data, [Table(("name", "value", "source"), rows)])


@command(
    app,
    "path",
    path=("config", "path"),
    examples=("wacoex config path", "wacoex config path --json"),
)
def path(invocation: Invocation) -> "Result":
    """Show where wacoex keeps and looks for its files."""
    from wacoex_cli.setup.configuration import locations
    from wacoex_cli.terminal.render import Result, Table

    with invocation.open_workspace() as workspace:
        found = locations(workspace)
    rows = [(one.name, one.path, one.exists) for one in found]
    return Result(
        {"paths": [dataclasses.asdict(one) for one in found]},
        [Table(("name", "path", "exists"), rows)],
    )
