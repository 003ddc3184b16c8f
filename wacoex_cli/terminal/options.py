"""What every command shares: the global options, examples in its help, how its result is shown."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wacoex_cli.errors import UsageError
from wacoex_cli.terminal.help import GLOBAL_PANEL, PlainCommand, PlainGroup

if TYPE_CHECKING:
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.render import Result

CommandPath = tuple[str, ...]
# A value and what it is; where such values come from, given the file named by `--env-file`.
Candidate = tuple[str, str]
ValueSource = Callable[[Path | None], Iterable[Candidate]]

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
ProgressOption = Annotated[
    str | None,
    typer.Option("--progress", metavar="json", help="Stream progress as one object a line."),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", "-n", help="Say what would be done, change nothing.")
]


@dataclass
class Learnt:
    """What only the settings tell; filled in when the workspace opens."""

    sandbox_url: str | None = None
    no_input: bool = False
    debug: bool = False
    streams: bool = False


@dataclass(frozen=True)
class Invocation:
    """The global options of one command, whether they stood before or after its name."""

    channel: str | None = None
    json: bool = False
    quiet: int = 0
    verbose: int = 0
    color: bool | None = None
    no_input: bool = False
    env_file: Path | None = None
    debug: bool = False
    learnt: Learnt = field(default_factory=Learnt, repr=False, compare=False)

    @property
    def wants_json(self) -> bool:
        """Whether standard output is for a program: one envelope, or a stream that ends in one."""
        return self.json or self.learnt.streams

    def one_channel(self, named: str | None) -> str | None:
        """The channel named as argument or by `--channel`; raises UsageError when they differ."""
        if named and self.channel and named != self.channel:
            raise UsageError(
                f"two channels are named: `{named}` and `{self.channel}`",
                hint="name one, or none to see them all",
            )
        return named or self.channel

    def stream(self) -> None:
        """Let progress be one JSON object a line on standard output, the envelope last."""
        self.learnt.streams = True

    @property
    def allows_input(self) -> bool:
        """Whether a person may be asked, as far as options and settings say."""
        return not (self.no_input or self.learnt.no_input)

    def open_workspace(self) -> "Workspace":
        """Settings, state, secrets and HTTP of this command, as a context manager.

        Says on standard error, and in the JSON, when the API it talks to is not Meta's.
        """
        from wacoex_cli.terminal.opening import open_for

        return open_for(self)


@dataclass(frozen=True)
class Running:
    """The command in force, for whoever has to report how it failed."""

    invocation: Invocation
    path: CommandPath
    is_check: bool


_registered: dict[CommandPath, bool] = {}
_running: list[Running] = []
_value_sources: dict[str, ValueSource] = {}


def offer_values(sources: Mapping[str, ValueSource]) -> None:
    """Say where the values come from that TAB offers for each kind of parameter."""
    _value_sources.update(sources)


def completing(kind: str) -> Callable[[typer.Context, str], list[Candidate]]:
    """For `autocompletion=`: offer the values of a kind, such as `channel`, on TAB."""

    def offered(ctx: typer.Context, incomplete: str) -> list[Candidate]:
        source = _value_sources.get(kind)
        values = source(_env_file_before(ctx)) if source else ()
        return [one for one in values if one[0].startswith(incomplete)]

    return offered


LookedAtArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="CHANNEL",
        help="The channel to look at; all unless one is named.",
        autocompletion=completing("channel"),
    ),
]


def _env_file_before(ctx: Any) -> Path | None:
    given = ctx.params.get("global_env_file")
    if given is None and ctx.parent is not None:
        return _env_file_before(ctx.parent)
    return Path(given) if given else None


def _option(*names: str, help: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=GLOBAL_PANEL, show_default=False, **more)


# Prefixed, because a command may have parameters of its own called `channel` or `json`.
_GLOBAL_OPTIONS = {
    "global_channel": Annotated[
        str | None,
        _option(
            "--channel",
            "-c",
            metavar="NAME",
            help="The channel to use (WACOEX_CHANNEL).",
            autocompletion=completing("channel"),
        ),
    ],
    "global_json": Annotated[bool, _option("--json", help="Print one JSON object.")],
    "global_quiet": Annotated[
        int, _option("--quiet", "-q", count=True, help="Say less; twice: only errors.")
    ],
    "global_verbose": Annotated[
        int, _option("--verbose", "-v", count=True, help="Say what is done; twice: each request.")
    ],
    "global_color": Annotated[
        bool | None, _option("--color/--no-color", help="Force colours on or off.")
    ],
    "global_no_input": Annotated[
        bool, _option("--no-input", help="Never ask anything (WACOEX_NO_INPUT).")
    ],
    "global_env_file": Annotated[
        Path | None,
        _option("--env-file", metavar="FILE", help="Read this file instead of `.env`."),
    ],
    "global_debug": Annotated[
        bool, _option("--debug", help="Show a traceback on a crash (WACOEX_DEBUG).")
    ],
}
_GLOBAL_DEFAULTS: dict[str, object] = {
    "global_channel": None,
    "global_json": False,
    "global_quiet": 0,
    "global_verbose": 0,
    "global_color": None,
    "global_no_input": False,
    "global_env_file": None,
    "global_debug": False,
}


def group(help: str, *, examples: tuple[str, ...] = ()) -> typer.Typer:
    """A plain group of commands: no markup, no boxes, help when it is called bare."""
    app = typer.Typer(
        help=help,
        epilog="\n".join(examples),
        cls=PlainGroup,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(accepting_global_options(_nothing_more))
    return app


def command(
    app: typer.Typer,
    name: str,
    *,
    examples: tuple[str, ...],
    path: CommandPath,
    is_check: bool = False,
    heading: str | None = None,
) -> Callable[[Callable[..., "Result"]], Callable[..., "Result"]]:
    """Register a function as a command.

    The function takes the `Invocation` and then its own parameters, and returns a `Result`, which
    is rendered; its exit code becomes the exit status of the process. The function itself is
    handed back unchanged. `path` is the command as typed, without the program's name. A check
    answers in the four exit codes of monitoring systems, so any failure of it is 3 (unknown).
    """
    _registered[path] = is_check

    def register(function: Callable[..., "Result"]) -> Callable[..., "Result"]:
        @functools.wraps(function)
        def run(ctx: typer.Context, **values: Any) -> None:
            from wacoex_cli.terminal.render import emit

            invocation = _merged(ctx, values)
            _running[:] = [Running(invocation, path, is_check)]
            try:
                result = function(invocation, **values)
            except KeyboardInterrupt:
                # Typer would end without a word; this way the caller of main() gets to tell it.
                raise SystemExit(130) from None
            raise typer.Exit(emit(result, invocation, path))

        own = list(inspect.signature(function).parameters.values())[1:]
        _pose_as(run, own)
        app.command(
            name,
            cls=PlainCommand,
            epilog="\n".join(examples),
            rich_help_panel=heading,
            context_settings={"help_option_names": ["-h", "--help"]},
        )(run)
        return function

    return register


def accepting_global_options(function: Callable[..., None]) -> Callable[..., None]:
    """A group's callback that keeps the global options given before the subcommand."""

    @functools.wraps(function)
    def run(ctx: typer.Context, **values: Any) -> None:
        ctx.obj = _merged(ctx, values)
        function(**values)

    _pose_as(run, list(inspect.signature(function).parameters.values()))
    return run


def running(arguments: Sequence[str]) -> Running:
    """The command in force; when parsing never got that far, what the arguments give away."""
    if _running:
        return _running[0]
    words = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    color = {"--color": True, "--no-color": False}
    invocation = Invocation(
        json="--json" in words,
        debug="--debug" in words,
        color=next((color[word] for word in reversed(words) if word in color), None),
    )
    path = _path_in(words)
    return Running(invocation, path, _registered.get(path, False))


def forget_running() -> None:
    """Start afresh: no command is in force."""
    _running.clear()


def _path_in(words: Sequence[str]) -> CommandPath:
    named = []
    takes_value = {"-c", "--channel", "--env-file"}
    for before, word in zip(["", *words], words, strict=False):
        if not word.startswith("-") and before not in takes_value:
            named.append(word)
    prefixes = (tuple(named[:length]) for length in range(len(named), 0, -1))
    return next((prefix for prefix in prefixes if prefix in _registered), ())


def _merged(ctx: typer.Context, values: dict[str, Any]) -> Invocation:
    before = ctx.obj if isinstance(ctx.obj, Invocation) else Invocation()
    given = {name.removeprefix("global_"): values.pop(name) for name in _GLOBAL_OPTIONS}
    return replace(
        before,
        channel=given["channel"] or before.channel,
        json=given["json"] or before.json,
        quiet=given["quiet"] + before.quiet,
        verbose=given["verbose"] + before.verbose,
        color=before.color if given["color"] is None else given["color"],
        no_input=given["no_input"] or before.no_input,
        env_file=given["env_file"] or before.env_file,
        debug=given["debug"] or before.debug,
    )


def _pose_as(run: Callable[..., None], own: Sequence[inspect.Parameter]) -> None:
    """Let Typer see the context, the command's own parameters and the global options."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    context = inspect.Parameter("ctx", keyword, annotation=typer.Context)
    shared = [
        inspect.Parameter(name, keyword, annotation=annotation, default=_GLOBAL_DEFAULTS[name])
        for name, annotation in _GLOBAL_OPTIONS.items()
    ]
    mine = [parameter.replace(kind=keyword) for parameter in own]
    run.__signature__ = inspect.Signature([context, *mine, *shared])  # type: ignore[attr-defined]
    run.__annotations__ = {}


def _nothing_more() -> None:
    """A group without options of its own."""
