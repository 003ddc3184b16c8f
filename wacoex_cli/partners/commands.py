"""`wacoex partner`: who is connected to the WhatsApp Business Account."""

from wacoex_cli.terminal.options import Invocation, LookedAtArgument, command, group
from wacoex_cli.terminal.render import Result

app = group(
    "partner", "Who is connected to the WhatsApp Business Account (WABA), as far as wacoex can see."
)


@command(app, "check", "wacoex partner check", "wacoex partner check shop --json", is_check=True)
def check(
    invocation: Invocation,
    channel: LookedAtArgument = None,
) -> Result:
    """Show whether the partner is there, who else is, and where messages are diverted.

    Meta has no list of partners, so this shows signs, not proof.
    Exit status: 0 ok, 1 warning, 2 critical, 3 unknown or not checked.
    """
    from wacoex_cli.partners.ownership import show_partners

    name = invocation.one_channel(channel)
    with invocation.open_workspace() as workspace:
        return show_partners(workspace, name)
