"""What every command shares: the global options, examples in its help, how its result is shown."""

import functools
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import typer
from typer._click.exceptions import NoArgsIsHelpError, NoSuchOption
from typer._click.exceptions import UsageError as ParsingError
from typer._click.globals import get_current_context
from typer.exceptions import Abort, TyperException
from typer.main import get_params_convertors_ctx_param_name_from_function

from wacoex_cli.errors import UsageError, WacoexError
from wacoex_cli.terminal import lost_output, output
from wacoex_cli.terminal.help import (
    GLOBAL_PANEL,
    CommandPath,
    ListedCommand,
    PlainCommand,
    PlainGroup,
    first_sentence,
)
from wacoex_cli.terminal.render import INTERRUPTED, TERMINATED, Learnt, Result, emit, write
from wacoex_cli.terminal.render import Invocation as Invocation  # commands take it from here

_CHECK_IMPOSSIBLE = 3
# The last words of commands that only show something. When their reader leaves, they are done.
READING_VERBS = frozenset(
    {
        *("check", "completion", "demo", "diff", "docs", "doctor", "explain", "export", "help"),
        *("inbox", "lint", "list", "mac", "path", "report", "show", "skeleton", "status"),
    }
)
# A value and what it is; where such values come from, given the file named by `--env-file`.
Candidate = tuple[str, str]
ValueSource = Callable[[Path | None], Iterable[Candidate]]

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
ProgressOption = Annotated[
    str | None,
    typer.Option(
        "--progress",
        metavar="json",
        help="Stream progress as one object a line.",
        rich_help_panel="Output",
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", "-n", help="Show what would be done, and change nothing.")
]


class Running(NamedTuple):
    """The command that runs, for the code that reports how it failed."""

    invocation: Invocation
    path: CommandPath
    is_check: bool


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
        return [value for value in values if value[0].startswith(incomplete)]

    return offered


def channel_argument(help: str) -> Any:
    """A channel as argument, whose names TAB offers."""
    return typer.Argument(metavar="CHANNEL", help=help, autocompletion=completing("channel"))


LookedAtArgument = Annotated[
    str | None, channel_argument("The channel to look at; all if you name none.")
]


def _env_file_before(ctx: Any) -> Path | None:
    given = ctx.params.get("global_env_file")
    if given is None and ctx.parent is not None:
        return _env_file_before(ctx.parent)
    return Path(given) if given else None


def _option(*names: str, help: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=GLOBAL_PANEL, show_default=False, **more)


# Prefixed, because a command may have parameters of its own called `channel` or `json`.
def _global_options(
    global_channel: Annotated[
        str | None,
        _option(
            "--channel",
            "-c",
            metavar="NAME",
            help="The channel to use (WACOEX_CHANNEL).",
            autocompletion=completing("channel"),
        ),
    ] = None,
    global_json: Annotated[bool, _option("--json", help="Print one JSON object.")] = False,
    global_quiet: Annotated[
        int, _option("--quiet", "-q", count=True, help="Say less; twice: only errors.")
    ] = 0,
    global_verbose: Annotated[
        int,
        _option(
            "--verbose", "-v", count=True, help="Show all, and what is done; twice: each request."
        ),
    ] = 0,
    global_color: Annotated[
        bool | None, _option("--color/--no-color", help="Force colours on or off.")
    ] = None,
    global_no_input: Annotated[
        bool, _option("--no-input", help="Never ask anything (WACOEX_NO_INPUT).")
    ] = False,
    global_env_file: Annotated[
        Path | None,
        _option("--env-file", metavar="FILE", help="Read this file instead of `.env`."),
    ] = None,
    global_debug: Annotated[
        bool, _option("--debug", help="Show a traceback on a crash (WACOEX_DEBUG).")
    ] = False,
) -> None:
    """What every group and every command takes, as Typer reads it from a signature."""


@functools.cache
def _global_parameters() -> list[Any]:
    return parameters(_global_options)[0]


Function = TypeVar("Function", bound=Callable[..., Result])


def group(path: str, help: str, *examples: str, more: Sequence[Any] = ()) -> PlainGroup:
    """A plain group of commands: no markup, no boxes, help when it is called bare.

    `path` is the group as typed, without the program's name; `more` are Click parameters of its
    own beside the global options.
    """
    params = [*more, *_global_parameters()]
    return PlainGroup(
        tuple(path.split()), help, examples, params=params, callback=_keep_global_options
    )


def command(
    app: PlainGroup, name: str, *examples: str, is_check: bool = False
) -> Callable[[Function], Function]:
    """Register a function as a command of a group; it is handed back unchanged.

    The function takes the `Invocation` and then its own parameters, and returns a `Result`, which
    is rendered; its exit code becomes the exit status of the process. A check answers in the four
    exit codes of monitoring systems, so any failure of it is 3 (unknown).

    Options that several commands share may stand once, as the fields of a NamedTuple that each of
    them takes as one keyword-only parameter. Its `heading()` names their section of the help page.
    """

    def register(function: Function) -> Function:
        make = functools.cache(
            lambda: _made(function, (*app.path, name), examples, is_check=is_check)
        )
        app.entries[name] = ListedCommand(first_sentence(function.__doc__), make)
        return function

    return register


def parameters(function: Callable[..., object]) -> tuple[list[Any], dict[str, Any]]:
    """Click's parameters of a function, and what converts their values, both by Typer."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    given = inspect.signature(function).parameters.values()
    own = [parameter.replace(kind=keyword) for parameter in given]

    def posing() -> None:
        pass

    # Typer would evaluate every annotation, those of the result too.
    posing.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
    made, convertors, _ = get_params_convertors_ctx_param_name_from_function(posing)
    return made, convertors


def _spread(function: Callable[..., "Result"]) -> Callable[..., "Result"]:
    """The function with one parameter for each field of those that are a NamedTuple of options."""
    signature = inspect.signature(function)
    records = {
        parameter.name: parameter.annotation
        for parameter in signature.parameters.values()
        if hasattr(parameter.annotation, "_fields")
    }

    @functools.wraps(function)
    def spread(*arguments: Any, **values: Any) -> "Result":
        for name, record in records.items():
            values[name] = record(**{field: values.pop(field) for field in record._fields})
        return function(*arguments, **values)

    own: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        own += _fields_of(parameter.annotation) if parameter.name in records else [parameter]
    spread.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]
    return spread


def _fields_of(record: Any) -> list[inspect.Parameter]:
    hints, defaults = inspect.get_annotations(record), record._field_defaults
    for hint in hints.values():
        for option in hint.__metadata__:
            option.rich_help_panel = option.rich_help_panel or record.heading()
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(name, keyword, default=defaults[name], annotation=hints[name])
        for name in record._fields
    ]


def _made(
    function: Callable[..., Result],
    path: CommandPath,
    examples: tuple[str, ...],
    *,
    is_check: bool,
) -> PlainCommand:
    function = _spread(function)
    own, convertors = parameters(functools.partial(function, Invocation()))

    def run(**values: Any) -> int:
        invocation = _merged(get_current_context(), values)
        checks = is_check or values.get("check") is True
        _running[:] = [Running(invocation, path, checks)]
        lost_output.notebook.command = " ".join(path)
        output.process.only_reads = checks or path[-1] in READING_VERBS
        # `connect --check` keeps what a person answered.
        output.process.keeps_nothing = output.process.only_reads and path[-1] != "connect"
        for name, convert in convertors.items():
            values[name] = convert(values[name])
        try:
            result = function(invocation, **values)
        except KeyboardInterrupt:
            # Typer would end without a word; this way the caller of main() gets to report it.
            raise SystemExit(INTERRUPTED) from None
        return emit(result, invocation, path)

    return PlainCommand(
        path,
        inspect.getdoc(function) or "",
        examples,
        params=[*own, *_global_parameters()],
        callback=run,
        is_check=is_check,
    )


def running(root: PlainGroup | None, arguments: Sequence[str]) -> Running:
    """The command in use; when parsing never got that far, what the arguments give away."""
    if _running:
        return _running[0]
    words = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    color = {"--color": True, "--no-color": False}
    invocation = Invocation(
        json="--json" in words,
        debug="--debug" in words,
        color=next((color[word] for word in reversed(words) if word in color), None),
    )
    takes_value = {"-c", "--channel", "--env-file"}
    named = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if not word.startswith("-") and before not in takes_value
    ]
    at: PlainCommand | PlainGroup | None = root
    for word in named:
        if not isinstance(at, PlainGroup) or word not in at.entries:
            break
        at = at.entries[word].make()
    if isinstance(at, PlainCommand):
        return Running(invocation, at.path, at.is_check)
    return Running(invocation, (), is_check=False)


def help_page(words: Sequence[str]) -> str | None:
    """The help of the command that the words name, as `--help` prints it; None without one."""
    context = get_current_context().find_root()
    at: Any = context.command
    for word in words:
        if word not in getattr(at, "entries", {}):
            return None
        at = at.entries[word].make()
        context = type(context)(at, parent=context, info_name=word)
        context.help_option_names = ["-h", "--help"]
    page: str = at.get_help(context)
    return page


def forget_running() -> None:
    """Start afresh: no command is in use."""
    _running.clear()


def report_failure(
    error: BaseException, arguments: Sequence[str], root: PlainGroup | None, *, debug: bool
) -> int:
    """Tell why the command failed and return the exit status of the process.

    `root` is the program, where it is known by then: it shows which command was meant.

    A check that fails, for whatever reason, is 3 (unknown): its other exit codes are answers.
    """
    at = running(root, arguments)
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else 1 if error.code else 0
        if how := {INTERRUPTED: "interrupted", TERMINATED: "terminated"}.get(status):
            failed = Result({}, exit_code=status, errors=[WacoexError(how, code=how)])
            emit(failed, at.invocation, at.path)
        return status
    if isinstance(error, NoArgsIsHelpError) and not at.invocation.json:
        write(sys.stderr, f"{error.format_message()}\n")
        return UsageError.exit_status
    reported = explained(error, at.invocation, debug=debug)
    lost_output.notebook.ended_with = _in_one_line(reported, error)
    status = _CHECK_IMPOSSIBLE if at.is_check else reported.exit_status
    return emit(Result({}, exit_code=status, errors=[reported]), at.invocation, at.path)


def explained(error: BaseException, invocation: Invocation, *, debug: bool = False) -> WacoexError:
    """A failure as it is reported to a user; with `--debug` its traceback is shown at once."""
    if debug or invocation.debug or invocation.learnt.debug:
        write(sys.stderr, "".join(traceback.format_exception(error)))
    return _as_ours(error)


def _in_one_line(reported: WacoexError, error: BaseException) -> str:
    """An error for a note; with the place in the program where it was not expected."""
    if reported.code != "unexpected":
        return reported.message
    place = traceback.extract_tb(error.__traceback__)[-1:]
    return reported.message + "".join(f", in {at.name}, line {at.lineno}" for at in place)


def settle_output(status: int, arguments: Sequence[str], root: PlainGroup | None) -> int:
    """The exit status of the process, given that of the work; what could not be written is noted.

    A lost line makes 1 of a 0, and 3 of whatever a check found. One that nobody wanted to read
    changes nothing.
    """
    at = running(root, arguments)
    lost = [
        (lost_output.STREAM_NAMES[outlet.stream_name], outlet.failure)
        for outlet in output.process.outlets
        if outlet.failure
    ]
    for name, failure in lost:
        error = WacoexError(
            f"{name} could not be written: {lost_output.reason_of(failure)}",
            hint="the work was done anyway; see where the output goes",
            code="output_lost",
        )
        emit(Result({}, errors=[error]), replace(at.invocation, json=False, learnt=Learnt()), ())
    lost_output.notebook.close()
    if not lost or status in {INTERRUPTED, TERMINATED}:
        return status
    return _CHECK_IMPOSSIBLE if at.is_check else status or 1


def _as_ours(error: BaseException) -> WacoexError:
    if isinstance(error, WacoexError):
        return error
    if isinstance(error, NoArgsIsHelpError):
        return UsageError("no command is given", hint=f"see `{error.ctx.command_path} --help`")
    if isinstance(error, ParsingError):
        return _misuse(error)
    if isinstance(error, TyperException):
        return UsageError(_in_our_style(error.format_message()))
    if isinstance(error, Abort):
        return WacoexError("no answer was given", hint="nothing was changed", code="declined")
    return WacoexError(
        f"wacoex failed in a way it did not expect ({type(error).__name__})",
        hint="run the command again with `--debug` and report what it prints",
        code="unexpected",
    )


def _misuse(error: ParsingError) -> UsageError:
    message, _, suggestion = error.format_message().partition(" Did you mean ")
    nearest = _in_our_style(suggestion.rstrip("?").partition(", ")[0])
    if isinstance(error, NoSuchOption):
        message = f"no such option `{error.option_name}`"
        nearest = " or ".join(f"`{name}`" for name in sorted(error.possibilities or ()))
    command = error.ctx.command_path if error.ctx else "wacoex"
    hint = f"did you mean {nearest}?" if nearest else f"see `{command} --help`"
    return UsageError(_in_our_style(message), hint=hint)


def _in_our_style(text: str) -> str:
    return (text[:1].lower() + text[1:]).rstrip(".").replace("'", "`")


def _keep_global_options(**values: Any) -> None:
    context = get_current_context()
    context.obj = _merged(context, values)


def _merged(ctx: Any, values: dict[str, Any]) -> Invocation:
    """Takes the global options out of `values`, over those given before the subcommand."""
    before = ctx.obj if isinstance(ctx.obj, Invocation) else Invocation()
    names = [name for name in values if name.startswith("global_")]
    given = {name.removeprefix("global_"): values.pop(name) for name in names}
    env_file = given["env_file"]
    return replace(
        before,
        channel=given["channel"] or before.channel,
        json=given["json"] or before.json,
        quiet=given["quiet"] + before.quiet,
        verbose=given["verbose"] + before.verbose,
        color=before.color if given["color"] is None else given["color"],
        no_input=given["no_input"] or before.no_input,
        env_file=before.env_file if env_file is None else Path(env_file),
        debug=given["debug"] or before.debug,
    )
