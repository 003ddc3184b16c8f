"""Make the pictures of the README: `wacoex status` as SVG, the report as PNG.

`make pictures` runs this. The screens come from the sandbox; the report is photographed with
Chromium. `made-from.json` holds what the pictures were made from, and tests/test_docs.py says
when that has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

from tests.support.consoles import COLUMNS, ROOT, Console, Shown, opened, plain
from wacoex_cli.sandbox.defaults import practice_world
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.wire import Callbacks
from wacoex_cli.sandbox.world import (
    SECOND_PHONE,
    SECOND_PHONE_NUMBER_ID,
    WABA_ID,
    World,
    meta_time,
)

PICTURES = ROOT / "docs" / "pictures"
MADE_FROM = PICTURES / "made-from.json"
_REPORT_SOURCES = (
    *("broadcast/report.css", "broadcast/report.html.jinja"),
    *("bubble/bubble.css", "bubble/bubble.html.jinja"),
)
_CORNER_DAYS_AGO = 12.5
_DAY_SECONDS = 86_400.0
_WIDTH, _HEIGHT = 1280, 1100
_ADD_CORNER = (
    f"wacoex channel add corner --phone {SECOND_PHONE}"
    f" --phone-number-id {SECOND_PHONE_NUMBER_ID} --waba-id {WABA_ID}"
)
_PLAN = (
    "wacoex broadcast plan customers.csv"
    " --template new_menu --lang en_US --param 1=first_name --media header=menu.jpg"
)
_SVG = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def status_screen() -> str:
    """What `wacoex status` prints for two channels in colour: one is well, one is neglected."""
    world = practice_world()
    neglected = meta_time(world.now() - _CORNER_DAYS_AGO * _DAY_SECONDS)
    world.nodes[SECOND_PHONE_NUMBER_ID].patch(
        {"is_on_biz_app": True, "last_onboarded_time": neglected}
    )
    with opened("pictures", world) as console:
        console.enter(Shown(_ADD_CORNER, ()))
        shown = Shown("wacoex status", ())
        text = console.screen(shown, TERM="xterm-256color", COLORTERM="truecolor")
    lines = [line for line in text.splitlines() if not line.startswith("sandbox:")]
    return "\n".join(lines).strip("\n")


def words_of(screen: str) -> str:
    """The screen without colours and without what differs between two runs, such as its breaks."""
    bare = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen)
    return plain(bare)


def made_from() -> dict[str, object]:
    """What decides how the pictures look: the words of the screen, the sources of the page."""
    package = ROOT / "wacoex_cli"
    digest = hashlib.sha256(b"".join((package / name).read_bytes() for name in _REPORT_SOURCES))
    return {"status": words_of(status_screen()), "report": digest.hexdigest()}


def _draw_status(screen: str) -> None:
    from rich.console import Console as Screen
    from rich.text import Text

    recorder = Screen(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    recorder.print(Text.from_ansi(f"\x1b[2m$\x1b[0m wacoex status\n{screen}"))
    drawn = recorder.export_svg(title="wacoex", code_format=_SVG, unique_id="status")
    (PICTURES / "status.svg").write_text(drawn, encoding="utf-8")


def _photograph_report() -> None:
    """Send to 160 people, some of whom cannot be reached, and photograph the report."""
    world = practice_world()
    unreachable = frozenset({"+6592000060", "+6592000100"})
    world.faults.replace(
        [
            Fault("refuse", code=131026, recipients=unreachable),
            Fault("reset_before", recipients=frozenset({"+6592000080"})),
        ]
    )
    with opened("pictures", world) as console, _listening(console, world):
        for command in (_PLAN, "wacoex broadcast send 1 --yes"):
            console.enter(Shown(command, ()))
        until = time.monotonic() + 20
        while world.outbox.waiting() and time.monotonic() < until:
            time.sleep(0.1)
        console.enter(Shown("wacoex broadcast report 1 --html report.html", ()))
        page = console.work / "report.html"
        subprocess.run(
            [
                shutil.which("chromium") or "chromium",
                *("--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu"),
                f"--window-size={_WIDTH},{_HEIGHT}",
                f"--screenshot={PICTURES / 'report.png'}",
                page.as_uri(),
            ],
            check=True,
            capture_output=True,
        )


@contextlib.contextmanager
def _listening(console: Console, world: World) -> Iterator[None]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with console.beside(f"wacoex events listen --port {port}"):
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        world.callbacks = Callbacks(meta_url=f"http://127.0.0.1:{port}/webhooks/meta")
        yield


def main() -> None:
    """Make both pictures, and note what they were made from."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    _draw_status(status_screen())
    _photograph_report()
    MADE_FROM.write_text(json.dumps(made_from(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
