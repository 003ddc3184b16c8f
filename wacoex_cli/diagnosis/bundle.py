"""What support needs to help, in one file: numbers masked, no secrets, no texts of messages."""

from __future__ import annotations

import json
import platform
import sys
from typing import TYPE_CHECKING, Any

import wacoex_cli
from wacoex_cli.diagnosis.view import doctor_data
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.masking import masked
from wacoex_cli.foundation.settings import SECRET_VARIABLES, settings_origins
from wacoex_cli.foundation.state import new_private_file

if TYPE_CHECKING:
    from pathlib import Path

    from wacoex_cli.diagnosis.doctor import Diagnosis
    from wacoex_cli.diagnosis.snapshot import ChannelView
    from wacoex_cli.foundation.workspace import Workspace

_BUNDLE_VERSION = 1


def write(workspace: Workspace, found: Diagnosis, path: Path) -> None:
    """Write the bundle as JSON, readable for its owner only.

    Raises UsageError when the file exists or cannot be written, StateError on a full disk.
    """
    # Every secret at hand, so that none can come in by way of a message of somebody else.
    secrets = [one for name in SECRET_VARIABLES for one in _secrets(workspace, found, name)]
    text = json.dumps(masked(contents(workspace, found), secrets), indent=1)
    with new_private_file(path) as part:
        part.write_text(f"{text}\n", encoding="utf-8")


def contents(workspace: Workspace, found: Diagnosis) -> dict[str, Any]:
    """Everything that goes into the bundle, before it is masked."""
    views = found.snapshot.channels if found.snapshot else ()
    origins = settings_origins(workspace.sources)
    return {
        "wacoex_bundle": _BUNDLE_VERSION,
        "written_at": to_text(workspace.clock.now()),
        "version": wacoex_cli.__version__,
        "python": sys.version.split()[0],
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "settings": {
            name: {"value": value, "from": origins.get(name, "default")}
            for name, value in workspace.settings.to_json().items()
        },
        "secrets": {name: bool(_secrets(workspace, found, name)) for name in SECRET_VARIABLES},
        "diagnosis": doctor_data(found),
        "details": [_channel(one) for one in views],
        "arrivals": {
            source.value: [list(hour) for hour in hours]
            for source, hours in (found.snapshot.arrivals if found.snapshot else {}).items()
        },
    }


def _channel(view: ChannelView) -> dict[str, Any]:
    standing = view.standing
    return {
        **view.channel.to_json(),
        "facts": [one.to_json() for one in view.facts.facts],
        "failures": [
            {"code": one.code, "message": one.message, "details": one.details}
            for one in view.facts.failures.values()
        ],
        "stage": standing.stage.value,
        "grade": standing.grade.value,
        "last_opened_at": to_text(standing.last_opened_at) if standing.last_opened_at else None,
        "account_events": [
            {
                "event": one.event,
                "at": one.at,
                "reason": one.reason,
                "initiated_by": one.initiated_by,
            }
            for one in view.facts.account_events
        ],
        "devices": [
            {"kind": one.kind.value, "state": state.value, "visible": one.visible}
            for one, state in view.inventory.devices
        ],
        "steps": {step: record.state.value for step, record in view.records.items()},
    }


def _secrets(workspace: Workspace, found: Diagnosis, name: str) -> list[str]:
    """The secrets of that name, of no channel in particular and of those looked at."""
    owners = [None, *(one.name for one in found.snapshot.channels)] if found.snapshot else [None]
    given = (workspace.secrets.find(name, owner) for owner in owners)
    return [secret.reveal() for secret in given if secret is not None]
