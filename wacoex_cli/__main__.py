"""The program: one command line in, one exit status out, no traceback in between."""

import contextlib
import gc
import sys
from collections.abc import Iterator

from wacoex_cli import __version__
from wacoex_cli.terminal import output

# Python looks for circles of objects after 700 new ones. Here many rows are held for a moment and
# make no circles: to look less often takes a tenth off a long report or import.
_OBJECTS_BETWEEN_LOOKS = 10_000


def main() -> int:
    """Run the command line in `sys.argv` and return the exit status of the process."""
    # Before anything is opened, which could get the number of a closed stream.
    output.protect()
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):
        # Before any other import: this is what scripts and package managers call.
        sys.stdout.write(f"wacoex {__version__}\n")
        sys.stdout.flush()
        if not any(outlet.failure for outlet in output.process.outlets):
            return 0
    try:
        return _run(arguments)
    except KeyboardInterrupt:  # so early or so late that nothing is there to tell it
        return 130


def _run(arguments: list[str]) -> int:
    import os

    from wacoex_cli.terminal import lost_output, options, render

    gc.set_threshold(_OBJECTS_BETWEEN_LOOKS)
    lost_output.begin()
    options.forget_running()
    root = None
    with _ended_in_order():
        try:
            from wacoex_cli.app import app, run

            root = app
            _demand_text(arguments)
            status = run(arguments)
        except KeyboardInterrupt:
            interrupted = SystemExit(render.INTERRUPTED)
            status = options.report_failure(interrupted, arguments, root, debug=False)
        except BaseException as error:
            debug = os.environ.get("WACOEX_DEBUG", "").lower() in {"1", "true", "yes", "on"}
            status = options.report_failure(error, arguments, root, debug=debug)
        return options.settle_output(status, arguments, root)


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise SystemExit; a SIGHUP that is ignored stays so (`nohup`)."""
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, _terminate) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _demand_text(arguments: list[str]) -> None:
    try:
        "".join(arguments).encode()
    except UnicodeEncodeError:
        from wacoex_cli.errors import UsageError

        raise UsageError(
            "an argument is not text in the character set of this system",
            hint="use a UTF-8 locale, for example `LC_ALL=C.UTF-8`",
        ) from None


def _terminate(number: int, frame: object) -> None:
    import signal

    if number == signal.SIGHUP:  # a terminal that closes often sends two signals
        signal.signal(number, signal.SIG_IGN)
    sys.exit(143)  # SIGHUP counts as SIGTERM


if __name__ == "__main__":
    sys.exit(main())
