"""What `wacoex sandbox start` puts beside itself: lists, a picture, webhooks, and settings."""

from __future__ import annotations

import csv
import io
import json
import shlex
from typing import TYPE_CHECKING

from wacoex_cli.sandbox.account import CONFIG_ID, SDK_PATH
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.respondio import PREFIX
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN
from wacoex_cli.sandbox.webhooks import META_KINDS, Scene, post
from wacoex_cli.sandbox.wire import Callbacks
from wacoex_cli.sandbox.world import APP_ID, APP_SECRET, PHONE_NUMBER_ID, SIGNING_KEY, World

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

VERIFY_TOKEN = "sandbox-verify-token-0123456789"  # noqa: S105 - a marker, no secret
ENV_HEAD = "# Written by `wacoex sandbox start`; it points wacoex at the sandbox, not at Meta."
# One day and some hours: Meta's answers about a number settle within a day after the connection.
ONBOARDED_DAYS_AGO = 1.25
PEOPLE = 160
_LISTENER_PORT = 8765
_NAMES = ("Ana", "Ben", "Chloe", "Dev", "Eva", "Farid", "Grace", "Hui Min", "Ismail", "Jo")
_MESSY_ROWS = (
    ("+65 9100-0001", "Ana"),
    ("0065 9100 0002", "Ben"),
    ("(+65) 91000001", "Ana again"),
    ("not a number", "Chris"),
    ("+6591000003", ""),
    ("91000004", "Dana"),
)
_MENU = (("Lemon cake", "4.50"), ("Plum tart", "3.80"), ("Rye bread", "6.00"), ("Coffee", "2.90"))
_ARCHIVE_DAYS_AGO = (1.2, 1.0, 0.75, 0.5, 0.25, 0.1)


def listener_url(port: int = _LISTENER_PORT) -> str:
    """Where `wacoex events listen` takes Meta's webhooks at this port of this machine."""
    return f"http://127.0.0.1:{port}/webhooks/meta"


def practice_world(webhooks_url: str | None = None) -> World:
    """The world of `wacoex sandbox start`: connected a day ago; Meta's webhooks go to the URL."""
    world = default_world(onboarded_days_ago=ONBOARDED_DAYS_AGO)
    world.callbacks = Callbacks(meta_url=webhooks_url or listener_url(), verify_token=VERIFY_TOKEN)
    return world


def guest(number: int) -> str:
    """The phone number of a person of `customers.csv`, counted from 0 (E.164)."""
    return f"+65920{number:05d}"


def practice_files() -> Mapping[str, bytes]:
    """The files to practise with, by name: two lists, a picture, an archive of webhooks."""
    good = [(guest(number), _NAMES[number % len(_NAMES)]) for number in range(PEOPLE)]
    return {
        "customers.csv": _as_csv(good),
        "messy.csv": _as_csv(_MESSY_ROWS),
        "menu.jpg": _menu(),
        "webhooks.ndjson": "".join(f"{json.dumps(body)}\n" for body in _archive()).encode(),
    }


def _as_csv(rows: Iterable[tuple[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("phone", "first_name"))
    writer.writerows(rows)
    return text.getvalue().encode()


def _menu() -> bytes:
    """A picture for the header of `new_menu`."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (960, 600), "#f6e7d2")
    pen = ImageDraw.Draw(picture)
    title, small = ImageFont.load_default(72), ImageFont.load_default(34)
    pen.rounded_rectangle((24, 24, 936, 576), 28, outline="#7a4a26", width=5)
    pen.text((72, 64), "Corner Bakery", "#4a2b14", title)
    pen.text((76, 156), "our new menu", "#7a4a26", small)
    for line, (dish, price) in enumerate(_MENU):
        y = 250 + 74 * line
        pen.text((76, y), dish, "#4a2b14", small)
        pen.text((470, y), price, "#4a2b14", small)
    for step, colour in enumerate(("#c9803f", "#f3c98b", "#b5563c")):
        inset, top = 20 * step, 390 - 70 * step
        pen.rounded_rectangle((620 + inset, top, 880 - inset, top + 70), 20, colour)
    pen.ellipse((732, 206, 768, 242), "#b3261e")
    pen.ellipse((596, 462, 904, 500), "#7a4a26")
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=85)
    return written.getvalue()


def _archive() -> Iterable[Mapping[str, object]]:
    """What another receiver may have kept: customers who wrote, and answers from the app."""
    world = default_world(onboarded_days_ago=ONBOARDED_DAYS_AGO)
    node = world.nodes[PHONE_NUMBER_ID]
    for number, days_ago in enumerate(_ARCHIVE_DAYS_AGO):
        scene = Scene(world, node, world.now() - days_ago * 86_400)
        for kind in ("message", "echo"):
            yield from post(scene, META_KINDS[kind].payloads(scene, contact=guest(number))).payloads


def settings(base_url: str, directory: Path) -> Mapping[str, str]:
    """The variables that point wacoex at the sandbox, and keep what it does in a directory.

    The Graph token is no variable: it lies in a file of the config directory, because a variable
    would go before the token that a signup stores.
    """
    return {
        "WACOEX_META_BASE_URL": base_url,
        "WACOEX_META_APP_ID": APP_ID,
        "WACOEX_META_APP_SECRET": APP_SECRET,
        "WACOEX_META_CONFIG_ID": CONFIG_ID,
        "WACOEX_META_SDK_URL": f"{base_url}{SDK_PATH}",
        "WACOEX_RESPONDIO_BASE_URL": f"{base_url}{PREFIX.rstrip('/')}",
        "WACOEX_RESPONDIO_TOKEN": DEFAULT_RESPONDIO_TOKEN,
        "WACOEX_RESPONDIO_SIGNING_KEYS": SIGNING_KEY,
        "WACOEX_WEBHOOK_VERIFY_TOKEN": VERIFY_TOKEN,
        "WACOEX_NOTIFY_URLS": f"{base_url.replace('http', 'json', 1)}/_sandbox/notices",
        "WACOEX_KEYRING": "off",
        "WACOEX_STATE": str(directory / "sandbox.db"),
        "WACOEX_CONFIG_DIR": str(directory / "sandbox-config"),
    }


def env_text(values: Mapping[str, str]) -> str:
    """The variables as a file that a shell reads with `.`, and wacoex with `--env-file`."""
    lines = (f"export {name}={shlex.quote(value)}\n" for name, value in values.items())
    return f"{ENV_HEAD}\n{''.join(lines)}"
