"""Every way a command can fail, told as `error:` and `hint:`, with its exit status."""

import sys
import traceback
from collections.abc import Sequence

from typer._click.exceptions import NoArgsIsHelpError, NoSuchOption
from typer._click.exceptions import UsageError as ParsingError
from typer.exceptions import Abort, TyperException

from wacoex_cli.errors import UsageError, WacoexError
from wacoex_cli.terminal import streams
from wacoex_cli.terminal.help import PlainGroup
from wacoex_cli.terminal.options import Invocation, Running, running
from wacoex_cli.terminal.render import emit_error

CHECK_IMPOSSIBLE = 3
INTERRUPTED = 130
TERMINATED = 143


def report(
    error: BaseException, arguments: Sequence[str], root: PlainGroup | None, *, debug: bool
) -> int:
    """Tell why the command failed and return the exit status of the process.

    `root` is the program as far as it is known by then: it tells which command was meant.

    A check that fails, for whatever reason, is 3 (unknown): its other exit codes are answers.
    """
    at = running(root, arguments)
    if isinstance(error, SystemExit):
        return _report_exit(error, at)
    if isinstance(error, NoArgsIsHelpError) and not at.invocation.json:
        streams.write(sys.stderr, f"{error.format_message()}\n")
        return UsageError.exit_status
    told = _told(error)
    if debug or _wants_traceback(at.invocation):
        streams.write(sys.stderr, "".join(traceback.format_exception(error)))
    status = CHECK_IMPOSSIBLE if at.is_check else told.exit_status
    return emit_error(told, at.invocation, at.path, exit_status=status)


def _told(error: BaseException) -> WacoexError:
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
    nearest = _in_our_style(suggestion.rstrip("?"))
    if isinstance(error, NoSuchOption):
        message = f"no such option `{error.option_name}`"
        nearest = " or ".join(f"`{one}`" for one in sorted(error.possibilities or ()))
    command = error.ctx.command_path if error.ctx else "wacoex"
    hint = f"did you mean {nearest}?" if nearest else f"see `{command} --help`"
    return UsageError(_in_our_style(message), hint=hint)


def _in_our_style(text: str) -> str:
    return (text[:1].lower() + text[1:]).rstrip(".").replace("'", "`")


def _report_exit(error: SystemExit, at: Running) -> int:
    status = error.code if isinstance(error.code, int) else 1 if error.code else 0
    if status in {INTERRUPTED, TERMINATED}:
        how = "interrupted" if status == INTERRUPTED else "terminated"
        emit_error(WacoexError(how, code=how), at.invocation, at.path, exit_status=status)
    return status


def _wants_traceback(invocation: Invocation) -> bool:
    return invocation.debug or invocation.learnt.debug
