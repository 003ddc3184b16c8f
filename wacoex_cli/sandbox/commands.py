"""`wacoex sandbox start`: the pretend world as a server, to practise against."""

import signal
from typing import Annotated

import typer

from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.options import Invocation, command, group
from wacoex_cli.terminal.output import Working
from wacoex_cli.terminal.render import Result

_ENDED_BY_SIGNAL = 128

app = group("sandbox", "A pretend Meta on this machine. No message leaves, no account is needed.")


@command(app, "start", "wacoex sandbox start", "wacoex sandbox start --port 4600")
def start(
    invocation: Invocation,
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="The port on 127.0.0.1.")
    ] = 4555,
) -> Result:
    """Run the sandbox until Ctrl-C, and say how to point wacoex at it.

    It is strict: it refuses what Meta refuses, with Meta's codes, and takes 20 messages a second.
    """
    from wacoex_cli.sandbox import account, defaults, respondio, respondio_world, serve, world

    dialogue = TerminalDialogue(invocation)

    def say(base_url: str) -> None:
        is_json = "-H 'Content-Type: application/json'"
        for line in (
            f"sandbox ready at {base_url} (this is not Meta); stop it with Ctrl-C",
            "in another terminal:",
            f"  export WACOEX_META_BASE_URL={base_url}",
            f"  export WACOEX_META_TOKEN={world.DEFAULT_TOKEN}",
            f"  export WACOEX_META_APP_ID={world.APP_ID}",
            f"  export WACOEX_META_APP_SECRET={world.APP_SECRET}",
            f"  export WACOEX_META_CONFIG_ID={account.CONFIG_ID}",
            f"  export WACOEX_META_SDK_URL={base_url}{account.SDK_PATH}",
            f"  export WACOEX_RESPONDIO_BASE_URL={base_url}{respondio.PREFIX.rstrip('/')}",
            f"  export WACOEX_RESPONDIO_TOKEN={respondio_world.DEFAULT_RESPONDIO_TOKEN}",
            f"  export WACOEX_RESPONDIO_SIGNING_KEYS={world.SIGNING_KEY}",
            "  export WACOEX_STATE=sandbox.db",
            f"  wacoex channel add practice --phone {world.PHONE}"
            f" --phone-number-id {world.PHONE_NUMBER_ID} --waba-id {world.WABA_ID}"
            f" --respondio-channel-id {respondio_world.RESPONDIO_CHANNEL_ID}",
            f"what it saw: {base_url}/_sandbox/summary",
            "what happens, told to `wacoex events listen` by signed webhooks:",
            f"  curl {base_url}/_sandbox/webhooks {is_json} -d"
            """ '{"meta_url": "http://127.0.0.1:8765/webhooks/meta"}'""",
            f"""  curl {base_url}/_sandbox/phone {is_json} -d '{{"action": "opened"}}'""",
        ):
            dialogue.note(line)

    pretend = defaults.default_world()
    with Working():
        received = serve.serve(pretend, port, say)
    if received != signal.SIGINT:
        raise SystemExit(_ENDED_BY_SIGNAL + received)
    dialogue.note("sandbox stopped")
    return Result({"summary": pretend.log.summary()}, exit_code=_ENDED_BY_SIGNAL + received)
