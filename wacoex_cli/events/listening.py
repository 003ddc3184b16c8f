"""`events listen`: receive, store, answer, and let the rooms read what came in."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.events import consumers, ledger
from wacoex_cli.events.intake import Face, Intake
from wacoex_cli.events.keys import Keys, demand_keys, known_keys
from wacoex_cli.events.listener import PATHS, Listener, prefix_of
from wacoex_cli.events.model import Kind, Source, Via
from wacoex_cli.events.payloads import read_payload
from wacoex_cli.events.projector import Projector
from wacoex_cli.events.writer import Writer
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.interruption import STOPPING
from wacoex_cli.foundation.server import serve
from wacoex_cli.foundation.state import open_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from wacoex_cli.events.model import Payload
    from wacoex_cli.events.telling import Telling
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.dialogue import Dialogue

_NAMES = {Source.META: "Meta", Source.RESPONDIO: "respond.io"}
_WHERE = {
    Source.META: "App Dashboard, WhatsApp, Configuration, Callback URL",
    Source.RESPONDIO: "Workspace Settings, Integrations, Webhooks",
}


@dataclass(frozen=True)
class Heard:
    """What came in while it listened; `events` counts new ones by kind."""

    signal_number: int
    stored: int
    duplicates: int
    refused: int
    events: Mapping[Kind, int]

    def to_json(self) -> dict[str, object]:
        """The `data` of `events listen`."""
        return {
            "stored": self.stored,
            "duplicates": self.duplicates,
            "refused": self.refused,
            "by_kind": {kind.value: self.events.get(kind, 0) for kind in Kind},
        }


@dataclass(frozen=True)
class Door:
    """Where to listen. `insecure` takes unsigned deliveries, which only this machine may send."""

    host: str
    port: int
    insecure: bool = False


async def listen(workspace: Workspace, door: Door, dialogue: Dialogue, telling: Telling) -> Heard:
    """Receive until a signal, then store and project what came in before it.

    Raises:
        CredentialError: no key is known by which deliveries could be told from forgeries.
        UsageError: unsigned deliveries from other machines, or a host or port that cannot be had.
        TemporaryError: the port is taken.
        StateError: the state file cannot be used.
    """
    keys = known_keys(workspace)
    demand_keys(keys, door.host, insecure=door.insecure)
    faces = _faces(keys, insecure=door.insecure)
    public_url = workspace.settings.public_url

    def ready(url: str) -> None:
        for line in _opening(url, public_url, faces, keys):
            dialogue.note(line)
        telling.ready(url)

    with _storing(workspace, telling) as writer:
        intake = Intake(faces, _reader(workspace), writer)
        arrivals = [ledger.newest_arrival(workspace.state, source) for source in Source]
        health = health_of(
            writer,
            telling,
            before=max((one for one in arrivals if one is not None), default=None),
            started_at=workspace.clock.now(),
        )
        listener = Listener(intake, keys.verify_tokens, health, telling)
        pages = consumers.pages(workspace)
        number = await serve(
            listener.application(pages, prefix_of(public_url)),
            door.host,
            door.port,
            on_ready=ready,
            on_stopping=lambda: dialogue.note(STOPPING),
            log=telling.trouble,
        )
    return Heard(
        signal_number=number,
        stored=telling.stored,
        duplicates=telling.duplicates,
        refused=telling.refused,
        events=dict(telling.events),
    )


@contextlib.contextmanager
def _storing(workspace: Workspace, telling: Telling) -> Iterator[Writer]:
    """A writer, and the rooms reading on behind it; both finish when the block is left."""

    def failed(name: str, why: str) -> None:
        telling.trouble(f"what comes in is stored, but projection `{name}` fails: {why}")

    # The rooms read on a connection of their own, so that their commits hold up no answer.
    with contextlib.closing(open_state(workspace.state.path)) as rooms:
        clock = workspace.clock
        projector = Projector(rooms, consumers.projections(), clock, on_failure=failed)
        writer = Writer(workspace.state, Via.LISTEN, clock, on_stored=projector.wake)
        projector.start()
        writer.start()
        try:
            yield writer
        finally:
            writer.close()
            projector.close()


def _faces(keys: Keys, *, insecure: bool) -> dict[Source, Face]:
    return {
        Source.META: Face(Source.META, keys.app_secrets, insecure),
        Source.RESPONDIO: Face(Source.RESPONDIO, keys.signing_keys, insecure),
    }


def _reader(workspace: Workspace) -> Callable[[Source, bytes], Payload]:
    key = workspace.secrets.local_key()
    store_bodies = workspace.settings.events.store_bodies

    def read(source: Source, body: bytes) -> Payload:
        now = workspace.clock.now()
        return read_payload(source, body, key=key, received_at=now, store_bodies=store_bodies)

    return read


def health_of(
    writer: Writer, telling: Telling, *, before: datetime | None, started_at: datetime
) -> Callable[[], dict[str, object]]:
    """What `/healthz` says. It does not ask the state file: a full disk must not delay it.

    `before` is the newest arrival before this listener started.
    """

    def health() -> dict[str, object]:
        newest = telling.newest_at or before
        return {
            "ok": writer.problem is None,
            "stored": telling.stored,
            "duplicates": telling.duplicates,
            "queued": writer.waiting,
            "newest_at": to_text(newest) if newest else None,
            "started_at": to_text(started_at),
        }

    return health


def _opening(
    url: str, public_url: str | None, faces: Mapping[Source, Face], keys: Keys
) -> Iterator[str]:
    yield f"listening at {url}; stop it with Ctrl-C"
    for source, face in faces.items():
        name = _NAMES[source]
        if not (face.keys or face.takes_unsigned):
            yield f"{name}: closed, there is no {face.key_name}"
            continue
        how = (
            f"{len(face.keys)} {face.key_name} known"
            if face.keys
            else "UNSIGNED deliveries are taken"
        )
        yield f"{name}: open, {how}"
        yield f"  enter {public_url or 'https://YOUR-HOST'}{PATHS[source]}"
        yield f"  at {_WHERE[source]}"
    if faces[Source.META].keys and not keys.verify_tokens:
        yield "Meta's handshake will be refused: there is no webhook-verify-token"
    if public_url is None:
        yield "set `WACOEX_PUBLIC_URL` to the address under which this is reached from outside"
