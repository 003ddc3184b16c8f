"""`wacoex sandbox`: the pretend world as a server, and commands that let things happen in it."""

import dataclasses
import enum
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wacoex_cli.errors import TemporaryError, UsageError
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.options import Invocation, command, group
from wacoex_cli.terminal.output import Working
from wacoex_cli.terminal.render import Result, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wacoex_cli.foundation.workspace import Workspace

_ENDED_BY_SIGNAL = 128
_ENV_FILE = "sandbox.env"
_ANSWERS_WITHIN_SECONDS = 10.0
_PRIVATE_FILE = 0o600
_SPAN = re.compile(r"\+?(\d+(?:\.\d+)?)\s*([dh])")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_IN_DAYS = {"d": 1.0, "h": 1 / 24}
_DAY_SECONDS = 86_400
_STATE_NAME, _CONFIG_NAME = "sandbox.db", "sandbox-config"
# What a state file says of when things happened, as far as the countdown rests on it.
_DATED_COLUMNS = {
    "evidence": ("at",),
    "account_events": ("at",),
    "devices": ("linked_at", "relinked_at", "last_used_at", "removed_at"),
    "device_confirmations": ("confirmed_at",),
    "notices": ("deadline_at", "sent_at"),
    "reminder_runs": ("started_at", "finished_at"),
}
_NO_SANDBOX_HINT = (
    "run `wacoex sandbox start` in another terminal, then `. ./sandbox.env` in this one"
)

app = group("sandbox", "A pretend Meta on this machine. No message leaves, no account is needed.")


class PhoneEvent(enum.StrEnum):
    """What may happen to the phone or the number."""

    OPENED = "opened"
    COMPANION = "companion"
    LEAVES = "leaves"
    BACK = "back"


class PartnerEvent(enum.StrEnum):
    """What may happen to the partner's connection."""

    REMOVE = "remove"
    ADD = "add"
    OFFBOARD = "offboard"
    RECONNECT = "reconnect"


_PHONE_ACTIONS = {
    PhoneEvent.OPENED: ("opened", "somebody opened the app on the phone and sent a message"),
    PhoneEvent.COMPANION: ("companion_echo", "somebody wrote from a computer; the phone stayed"),
    PhoneEvent.LEAVES: ("leaves", "Meta does not show the number any more, and sends no webhook"),
    PhoneEvent.BACK: ("comes_back", "Meta shows the number again"),
}
_PARTNER_EVENTS = {
    PartnerEvent.REMOVE: ("removed", "Meta says PARTNER_REMOVED: the channel is disconnected"),
    PartnerEvent.ADD: ("added", "Meta says PARTNER_ADDED: the channel is connected again"),
    PartnerEvent.OFFBOARD: ("offboarded", "Meta says ACCOUNT_OFFBOARDED: sending is suspended"),
    PartnerEvent.RECONNECT: ("reconnected", "Meta says ACCOUNT_RECONNECTED: sending works again"),
}
PhoneOption = Annotated[
    str | None,
    typer.Option("--phone", metavar="PHONE", help="Another number of the sandbox: +6560000002."),
]


@command(
    app,
    "start",
    "wacoex sandbox start",
    "wacoex sandbox start --port 4600 --env practice/sandbox.env",
)
def start(
    invocation: Invocation,
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="The port on 127.0.0.1.")
    ] = 4555,
    env: Annotated[
        Path,
        typer.Option(
            "--env",
            metavar="FILE",
            help="Write the settings to this file; files to practise with go beside it.",
        ),
    ] = Path(_ENV_FILE),
    listener_port: Annotated[
        int,
        typer.Option(
            "--listener-port",
            min=1,
            max=65535,
            help="The port of `wacoex events listen`: the sandbox sends its webhooks there.",
        ),
    ] = 8765,
) -> Result:
    """Run the sandbox until Ctrl-C, and write the files to practise with.

    It is strict: it refuses what Meta refuses, with Meta's codes, and takes 20 messages a second.
    Beside the settings it writes customers.csv, messy.csv, menu.jpg and webhooks.ndjson. It keeps
    files that are there already.
    """
    from wacoex_cli.sandbox import defaults, serve, world

    dialogue = TerminalDialogue(invocation)
    env = env.absolute()
    _demand_own(env, defaults.ENV_HEAD)
    listener = defaults.listener_url(listener_port)

    def say(base_url: str) -> None:
        kept = _write_practice(env, base_url)
        for line in (
            f"sandbox ready at {base_url} (this is not Meta); stop it with Ctrl-C",
            f"written to {env.parent}: {env.name}, {', '.join(defaults.practice_files())}",
            *(f"{name} was there already, and stays as it is" for name in kept),
            "in another terminal:",
            f"  cd {env.parent}",
            f"  . ./{env.name}",
            f"  wacoex channel add shop --phone {world.PHONE} \\",
            f"    --phone-number-id {world.PHONE_NUMBER_ID} --waba-id {world.WABA_ID}",
            "  wacoex broadcast plan customers.csv --template spring_sale --lang en_US",
            f"its webhooks go to {listener}: start `wacoex events listen` to get them",
            "what happens in it: wacoex sandbox --help",
        ):
            dialogue.note(line)

    pretend = defaults.practice_world(listener)
    with Working():
        received = serve.serve(pretend, port, say)
    if received != signal.SIGINT:
        raise SystemExit(_ENDED_BY_SIGNAL + received)
    dialogue.note("sandbox stopped")
    return Result({"summary": pretend.log.summary()}, exit_code=_ENDED_BY_SIGNAL + received)


def _demand_own(env: Path, head: str) -> None:
    """Raise UsageError for a file of settings that the sandbox did not write, or cannot write."""
    if not env.parent.is_dir():
        raise UsageError(
            f"{env.parent} is not a directory",
            hint="make it, or name another place with `--env FILE`",
            code="unwritable_file",
        )
    try:
        is_ours = not env.exists() or env.read_text(encoding="utf-8").startswith(head)
    except (OSError, UnicodeDecodeError):
        is_ours = False
    if not is_ours:
        raise UsageError(
            f"{env} exists already, and the sandbox did not write it",
            hint="name another file with `--env FILE`",
            code="file_exists",
        )


def _write_practice(env: Path, base_url: str) -> list[str]:
    """Write settings, token and files. Gives the names of the files that were there already."""
    from wacoex_cli.foundation.secrets import secret_path, write_secret
    from wacoex_cli.sandbox import defaults, world

    values, kept = defaults.settings(base_url, env.parent), []
    try:
        env.touch(mode=_PRIVATE_FILE)
        env.chmod(_PRIVATE_FILE)
        env.write_text(defaults.env_text(values), encoding="utf-8")
        secrets = Path(values["WACOEX_CONFIG_DIR"]) / "secrets"
        write_secret(secret_path(secrets, "meta-token", None), world.DEFAULT_TOKEN)
        for name, content in defaults.practice_files().items():
            try:
                with (env.parent / name).open("xb") as file:
                    file.write(content)
            except FileExistsError:
                kept.append(name)
    except OSError as error:
        raise UsageError(
            f"{error.filename or env} cannot be written: {error.strerror or error}",
            hint="name another place with `--env FILE`",
            code="unwritable_file",
        ) from error
    return kept


@command(
    app,
    "phone",
    "wacoex sandbox phone opened",
    "wacoex sandbox phone companion --phone +6560000002",
)
def phone(
    invocation: Invocation,
    event: Annotated[
        PhoneEvent,
        typer.Argument(metavar="EVENT", help="opened, companion, leaves or back."),
    ],
    number: PhoneOption = None,
) -> Result:
    """Let something happen to the phone of the running sandbox.

    `opened`: somebody opens the WhatsApp Business app and writes a message. `companion`: somebody
    writes from a computer, and the phone stays in the drawer. `leaves` and `back`: Meta hides the
    number and shows it again.
    """
    action, text = _PHONE_ACTIONS[event]
    found = _control(invocation, "POST", "phone", {"action": action, **_of(number)})
    return Result({"event": event.value, "webhooks": found["emitted"]}, [text])


@command(app, "time", "wacoex sandbox time +12d", "wacoex sandbox time +6h")
def time(
    invocation: Invocation,
    span: Annotated[str, typer.Argument(metavar="SPAN", help="Days or hours: +12d, +6h.")],
) -> Result:
    """Let days pass in the running sandbox: the 14 days run on, tokens expire.

    The clock of this computer does not change. The sandbox dates the past back instead: a number
    that was connected yesterday was then connected 13 days ago. The evidence in sandbox.db, the
    state file that `sandbox start` names, moves with it. Any other state file stays as it is.
    """
    match = _SPAN.fullmatch(span.strip())
    if match is None:
        raise UsageError(
            f"`{span}` is not a span of time", hint="give days or hours, such as `+12d` or `+6h`"
        )
    days = float(match[1]) * _IN_DAYS[match[2]]
    found = _control(invocation, "POST", "time", {"days": days, "dates_back": True})
    file = _date_evidence_back(invocation, round(days * _DAY_SECONDS))
    unit = {"d": "day", "h": "hour"}[match[2]]
    is_one = float(match[1]) == 1
    passed = f"{match[1]} {unit}{'' if is_one else 's'} passed in the sandbox"
    text = [f"{passed}; to see it: wacoex reminder check"]
    text += [
        f"nobody opened the phone for 14 days: Meta disconnected number {number}"
        for number in found["removed"]
    ]
    if file is None:
        text.append("the state file in use is not sandbox.db, so its evidence keeps its dates")
    return Result({"days": days, "removed": found["removed"], "dated_back": file}, text)


def _date_evidence_back(invocation: Invocation, seconds: int) -> Path | None:
    """Date back what the sandbox's own state file says of the past; None for any other file.

    A client keeps evidence as long as it counts, so the world alone could not make it older.
    """
    with _settings_here(invocation) as workspace:
        settings = workspace.settings
        is_own = settings.state == settings.config_dir.parent / _STATE_NAME
        if not (is_own and settings.config_dir.name == _CONFIG_NAME and settings.state.exists()):
            return None
        state = workspace.state
        with state.transaction():
            for table, columns in _DATED_COLUMNS.items():
                for column in columns:
                    state.execute(
                        f"UPDATE OR REPLACE {table}"
                        f" SET {column} = strftime('%Y-%m-%dT%H:%M:%fZ', {column}, ?)"
                        f" WHERE {column} IS NOT NULL",
                        [f"-{seconds} seconds"],
                    )
        return state.path


@command(app, "break", "wacoex sandbox break 2%", "wacoex sandbox break 0%")
def break_connections(
    invocation: Invocation,
    share: Annotated[str, typer.Argument(metavar="SHARE", help="How many messages: 2%.")],
) -> Result:
    """Let the connection break at this share of the messages, from now on; 0% ends it.

    Half of them arrive anyway, as it happens in real life: the sender cannot know.
    """
    match = _SHARE.fullmatch(share.strip())
    percent = float(match[1]) if match else -1.0
    if not 0 <= percent <= 100:
        raise UsageError(f"`{share}` is not a share", hint="give 0% to 100%, such as `2%`")
    # The second fault strikes at what the first has left.
    half = percent / 200
    kinds = {"reset_after": half, "reset_before": half / (1 - half)}
    faults = [{"kind": kind, "probability": part} for kind, part in kinds.items() if part]
    _control(invocation, "POST", "faults", {"faults": faults})
    text = f"from now on the connection breaks at {percent:g} % of the messages"
    return Result({"percent": percent}, [text if percent else "connections no longer break"])


@command(app, "partner", "wacoex sandbox partner remove", "wacoex sandbox partner add")
def partner(
    invocation: Invocation,
    event: Annotated[
        PartnerEvent,
        typer.Argument(metavar="EVENT", help="remove, add, offboard or reconnect."),
    ],
    number: PhoneOption = None,
) -> Result:
    """Let Meta disconnect a number of the running sandbox from its partner, or connect it again."""
    name, text = _PARTNER_EVENTS[event]
    found = _control(invocation, "POST", "partner", {"event": name, **_of(number)})
    return Result({"event": event.value, "webhooks": found["emitted"]}, [text])


@command(app, "limit", "wacoex sandbox limit 5", "wacoex sandbox limit 20")
def limit(
    invocation: Invocation,
    messages: Annotated[int, typer.Argument(metavar="N", min=0, help="Messages per second.")],
    number: PhoneOption = None,
) -> Result:
    """Let the running sandbox take at most N messages per second; Meta's own limit is 20."""
    named = _of(number) or _of(None, always=True)
    _control(invocation, "POST", "limit", {**named, "limit": messages})
    text = f"from now on the sandbox takes {messages} message{'s' * (messages != 1)} per second"
    return Result({"limit": messages, **named}, [text])


@command(app, "inbox", "wacoex sandbox inbox", "wacoex sandbox inbox --reply STOP")
def inbox(
    invocation: Invocation,
    most: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=1000, help="The newest N messages.")
    ] = 20,
    reply: Annotated[
        str | None,
        typer.Option("--reply", metavar="TEXT", help="Let a person answer with this text."),
    ] = None,
    person: Annotated[
        str | None,
        typer.Option("--person", metavar="PHONE", help="Who answers; else the last to get one."),
    ] = None,
) -> Result:
    """Show what the people of the running sandbox got, and the notices that you got."""
    from datetime import datetime

    found = _control(invocation, "GET", "inbox")
    messages, notices = found["messages"][-most:], found["notices"]
    if reply is not None:
        return _answered(invocation, reply, person, messages)
    rows = [(row["at"], row["person"], row["text"].replace("\n", " / ")) for row in messages]
    rows += [(row["at"], "you", f"notice: {row['title']}") for row in notices]
    shown = [(datetime.fromisoformat(at), to, text) for at, to, text in sorted(rows)]
    table = Table(("at", "to", "message"), shown, "nobody got a message in this sandbox yet")
    return Result({"messages": messages, "notices": notices}, [table])


def _answered(
    invocation: Invocation, reply: str, person: str | None, messages: "Sequence[Mapping[str, Any]]"
) -> Result:
    """Let a person write to the number; the answer travels as a webhook, as Meta would send it."""
    if person is None and not messages:
        raise UsageError(
            "nobody got a message in this sandbox yet", hint="name somebody: `--person +6591000001`"
        )
    contact = person or messages[-1]["person"]
    answer = {"kind": "message", "contact": contact, "text": reply}
    emitted = _control(invocation, "POST", "emit", answer)["emitted"]
    text = f"{contact} wrote `{reply}`; a running `wacoex events listen` receives it"
    return Result({"contact": contact, "text": reply, "webhooks": emitted}, [text])


def _of(phone: str | None, *, always: bool = False) -> dict[str, str]:
    """The number that is meant, as a control call names it; nothing for the usual one."""
    from wacoex_cli.sandbox import world

    ids = {
        world.PHONE: world.PHONE_NUMBER_ID,
        world.SECOND_PHONE: world.SECOND_PHONE_NUMBER_ID,
    }
    if phone is None:
        return {"phone_number_id": world.PHONE_NUMBER_ID} if always else {}
    named = re.sub(r"[\s()-]", "", phone)
    if named not in ids and named not in ids.values():
        raise UsageError(
            f"the sandbox has no number {phone}", hint=f"its numbers are {' and '.join(ids)}"
        )
    return {"phone_number_id": ids.get(named, named)}


def _control(
    invocation: Invocation, method: str, name: str, body: "Mapping[str, Any] | None" = None
) -> Any:
    """The answer of the running sandbox to a control call.

    Raises:
        UsageError: the settings point at Meta, or the sandbox refuses the call.
        TemporaryError: no sandbox answers at the address.
    """
    import httpx

    base_url = _address(invocation)
    try:
        with httpx.Client(trust_env=False, timeout=_ANSWERS_WITHIN_SECONDS) as client:
            answer = client.request(method, f"{base_url}/_sandbox/{name}", json=body)
    except httpx.HTTPError:
        answer = None
    if answer is None or "X-Wacoex-Sandbox" not in answer.headers:
        raise TemporaryError(
            f"no sandbox answers at {base_url}", hint=_NO_SANDBOX_HINT, code="no_sandbox"
        )
    if answer.status_code != 200:
        raise UsageError(
            f"the sandbox refuses this: {answer.json()['error']}",
            hint="`wacoex sandbox --help` shows what may happen",
            code="sandbox_refuses",
        )
    return answer.json()


def _address(invocation: Invocation) -> str:
    """Where the running sandbox is. Raises UsageError when the settings point at Meta."""
    with _settings_here(invocation) as workspace:
        settings = workspace.settings
    if settings.talks_to_meta:
        raise UsageError(
            "no sandbox is named: `WACOEX_META_BASE_URL` is Meta's own address",
            hint=_NO_SANDBOX_HINT,
            code="no_sandbox",
        )
    return settings.meta_base_url.rstrip("/")


def _settings_here(invocation: Invocation) -> "Workspace":
    """The settings, or those of `sandbox.env` in this directory where nothing names a sandbox."""
    workspace = invocation.open_workspace()
    is_named = invocation.env_file is not None or not workspace.settings.talks_to_meta
    if is_named or not Path(_ENV_FILE).is_file():
        return workspace
    workspace.close()
    return dataclasses.replace(invocation, env_file=Path(_ENV_FILE)).open_workspace()
