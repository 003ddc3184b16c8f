"""What `wacoex sandbox start` puts beside itself: lists, an archive of webhooks, and settings."""

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


def practice_files() -> Mapping[str, str]:
    """The files to practise with, by name: a good list, a messy list, an archive of webhooks."""
    good = [(guest(number), _NAMES[number % len(_NAMES)]) for number in range(PEOPLE)]
    return {
        "customers.csv": _as_csv(good),
        "messy.csv": _as_csv(_MESSY_ROWS),
        "webhooks.ndjson": "".join(f"{json.dumps(body)}\n" for body in _archive()),
    }


def _as_csv(rows: Iterable[tuple[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("phone", "first_name"))
    writer.writerows(rows)
    return text.getvalue()


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
