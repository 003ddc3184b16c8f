"""Run the program and note which of its files had a function called.

    python -m tests.support.trace FILES.txt broadcast plan customers.csv ...

The names of the files, relative to `wacoex_cli/`, are added to FILES.txt, one a line. What runs
when a module or a class is only loaded does not count.
"""

from __future__ import annotations

import inspect
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import wacoex_cli
from wacoex_cli.__main__ import main

ROOT = f"{Path(wacoex_cli.__file__).parent}/"


class Trace:
    """The files of the package whose functions were called, as `sys.setprofile` reports them."""

    def __init__(self) -> None:
        self.files: set[str] = set()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        is_function = bool(code.co_flags & inspect.CO_OPTIMIZED)
        if event == "call" and is_function and code.co_filename.startswith(ROOT):
            self.files.add(code.co_filename.removeprefix(ROOT))


def run(target: Path, arguments: list[str]) -> int:
    """Run one command line; returns its exit status."""
    trace = Trace()
    sys.argv = ["wacoex", *arguments]
    threading.setprofile(trace)
    sys.setprofile(trace)
    try:
        return main()
    finally:
        sys.setprofile(None)
        with target.open("a", encoding="utf-8") as file:
            file.writelines(f"{name}\n" for name in sorted(trace.files))


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:]))
