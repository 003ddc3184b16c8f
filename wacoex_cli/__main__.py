"""The program: one command line in, one exit status out, no traceback in between."""

import sys

from wacoex_cli import __version__


def main() -> int:
    """Run the command line in `sys.argv` and return the exit status of the process."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):
        # Before any other import: this is what scripts and package managers call.
        sys.stdout.write(f"wacoex {__version__}\n")
        return 0
    try:
        return _run(arguments)
    except KeyboardInterrupt:  # so early or so late that nothing is there to tell it
        return 130


def _run(arguments: list[str]) -> int:
    import os
    import signal
    import threading

    from wacoex_cli.terminal import options, render

    render.never_fail_on_encoding()
    options.forget_running()
    is_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _terminate) if is_main_thread else None
    root = None
    try:
        from wacoex_cli.app import app, run

        root = app
        _demand_text(arguments)
        return run(arguments)
    except KeyboardInterrupt:
        return options.report_failure(SystemExit(render.INTERRUPTED), arguments, root, debug=False)
    except BaseException as error:
        debug = os.environ.get("WACOEX_DEBUG", "").lower() in {"1", "true", "yes", "on"}
        return options.report_failure(error, arguments, root, debug=debug)
    finally:
        if is_main_thread:
            signal.signal(signal.SIGTERM, before)


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
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
