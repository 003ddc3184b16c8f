"""Whether a state file is the one that was used last here, or a copy of it, or an older one.

Planning, sending and resuming raise a counter in the file, then in a sidecar beside it, which also
holds what tells this file from a copy: inode and machine. A copy takes at most the counter along,
so what it does not know of can be asked about before anybody is sent to from it. Where the file
is stored is found here too: some file systems cannot keep two senders apart.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.errors import RefusedError
from wacoex_cli.foundation.settings import default_state_path
from wacoex_cli.foundation.state import demand_one_name, explained, real_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from wacoex_cli.foundation.state import State

_PRIVATE_FILE = 0o600
_GENERATION = "SELECT CAST(value AS INTEGER) FROM about WHERE key = 'generation'"
_UNSEALED = "SELECT 1 FROM about WHERE key = 'unsealed'"
_SIGNS_OF_CONTAINER = (Path("/.dockerenv"), Path("/run/.containerenv"))
_CGROUP = Path("/proc/1/cgroup")
_CONTAINER_GROUPS = ("docker", "kubepods", "containerd", "libpod", "lxc")
_MACHINE_ID = Path("/etc/machine-id")
# Linux: admin-guide/devices, "non-device mounts".
_WITHOUT_DEVICE = frozenset({0, 144, 145, 146})

NETWORK_FILE_SYSTEMS: Mapping[str, str] = {
    "nfs": "NFS",
    "nfs4": "NFS",
    "cifs": "CIFS (SMB)",
    "smb3": "CIFS (SMB)",
    "smbfs": "CIFS (SMB)",
    "9p": "9p",
    "fuse.sshfs": "sshfs",
    "osxfuse": "a file system in user space (sshfs)",
    "macfuse": "a file system in user space (sshfs)",
}
"""Types on which the locks of SQLite and of this program cannot be trusted, and their names."""


@dataclass(frozen=True)
class Sidecar:
    """What is known of a state file outside of it. `machine_id` is None where there is none.

    Device numbers change when a computer starts or a volume moves: they are for people to read.
    """

    state_id: str
    generation: int
    device: int
    inode: int
    machine_id: str | None


class Mount(NamedTuple):
    """A place where a file system is mounted, in the order of mounting."""

    place: str
    kind: str


def sidecar_path(state_path: Path) -> Path:
    """Where the sidecar of a state file is."""
    return state_path.with_name(f"{state_path.name}.generation")


def stable_machine_id(
    machine_id: Path = _MACHINE_ID,
    cgroup: Path = _CGROUP,
    signs: Iterable[Path] = _SIGNS_OF_CONTAINER,
    environ: Mapping[str, str] | None = None,
) -> str | None:
    """What names this machine for as long as it exists; None in a container, or where none is.

    A container is another one after each update, with the same volume.
    """
    environ = os.environ if environ is None else environ
    in_environ = any(environ.get(name) for name in ("container", "KUBERNETES_SERVICE_HOST"))
    if in_environ or any(sign.exists() for sign in signs):
        return None
    with contextlib.suppress(OSError, ValueError):
        groups = cgroup.read_text(encoding="utf-8")
        if any(word in groups for word in _CONTAINER_GROUPS):
            return None
    with contextlib.suppress(OSError, ValueError):
        return machine_id.read_text(encoding="ascii").strip() or None
    return None


def describe(path: Path, state_id: str, generation: int, machine_id: str | None) -> Sidecar:
    """The sidecar that a state file should have now. Raises StateError."""
    with explained(path):
        found = path.stat()
    return Sidecar(state_id, generation, found.st_dev, found.st_ino, machine_id)


def read_sidecar(path: Path) -> Sidecar | None:
    """The sidecar of a state file; None when it is missing, unreadable or broken."""
    try:
        found = json.loads(sidecar_path(path).read_text(encoding="utf-8"))
        sidecar = Sidecar(
            state_id=found["state_id"],
            generation=found["generation"],
            device=found["device"],
            inode=found["inode"],
            machine_id=found["machine_id"],
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    numbers = (sidecar.generation, sidecar.device, sidecar.inode)
    texts = (sidecar.state_id, sidecar.machine_id or "")
    is_whole = all(type(number) is int for number in numbers)
    return sidecar if is_whole and all(isinstance(text, str) for text in texts) else None


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    """Replace the sidecar of a state file, so that a crash leaves the old one or the new one.

    Raises:
        StateError: it cannot be written.
    """
    target = sidecar_path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with explained(target):
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE_FILE)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(asdict(sidecar), file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        directory = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def what_is_wrong(now: Sidecar, before: Sidecar | None, *, has_sidecar: bool) -> str | None:
    """Why a state file is not known to be the one that was used last; None when it is.

    `now` describes the file, `before` is its sidecar, None when that is missing or broken. A file
    ahead of its sidecar is fine: a program ended between writing the one and the other.
    """
    if before is None:
        if has_sidecar:
            return "wacoex cannot read the note about its last use beside it"
        if now.generation:
            return "no note beside it says that it was used here: it is a copy, or was moved alone"
        return None
    if before.state_id != now.state_id:
        return "another state file was used under this name"
    if now.generation < before.generation:
        return (
            f"it is older than its last use here (generation {now.generation},"
            f" last used at {before.generation})"
        )
    if now.inode != before.inode:
        return (
            f"it is another file under the same name (inode {now.inode} on device {now.device},"
            f" last used as {before.inode} on {before.device})"
        )
    if now.machine_id and before.machine_id and now.machine_id != before.machine_id:
        return "it was last used on another machine"
    return None


def suspicion(state: State, machine_id: str | None = None) -> str | None:
    """Why nobody may be sent to from this file until `state adopt`; None when nothing speaks so.

    `machine_id` is that of this machine, found out when it is None. Changes nothing.
    """
    # In this order: a program that raises the counter meanwhile raises it in the file first. The
    # first sidecar is the exception, so one that came meanwhile is read again.
    while True:
        has_sidecar = sidecar_path(state.path).exists()
        before = read_sidecar(state.path) if has_sidecar else None
        if not has_sidecar and state.value(_UNSEALED):
            return None
        now = _now(state, machine_id)
        if has_sidecar or not sidecar_path(state.path).exists():
            return what_is_wrong(now, before, has_sidecar=has_sidecar)


def demand_own(state: State, machine_id: str | None = None) -> None:
    """Refuse to plan or send from a file that is a copy, or went back in time.

    A new file gets its sidecar here.

    Raises:
        RefusedError: with how to go on.
        StateError: it has a second name, or its sidecar cannot be written.
    """
    with explained(state.path):
        demand_one_name(state.path)
    if (why := suspicion(state, machine_id)) is not None:
        raise RefusedError(
            f"wacoex plans and sends nothing: the state file {state.path} may lack what was sent"
            f" last: {why}",
            hint="if the file used last is elsewhere, use that one; otherwise: wacoex state adopt",
            code="state_copied",
            details={"reason": why},
        )
    if not sidecar_path(state.path).exists():
        # Before the counter is raised for the first time: a kill right after that leaves a file
        # that is ahead of its sidecar, not one that looks like a copy.
        write_sidecar(state.path, _now(state, machine_id))


def raise_counter(state: State, least: int = 0) -> None:
    """Count a plan, a send or a resume, inside a transaction; `seal` follows when it has ended.

    The counter becomes more than `least`, too.
    """
    state.execute(
        "UPDATE about SET value = CASE WHEN CAST(value AS INTEGER) < ? THEN ?"
        " ELSE CAST(CAST(value AS INTEGER) + 1 AS TEXT) END WHERE key = 'generation'",
        [least, str(least + 1)],
    )
    state.execute("DELETE FROM about WHERE key = 'unsealed'")


def seal(state: State, machine_id: str | None = None, *, anew: bool = False) -> bool:
    """Put the counter into the file itself, past its write-ahead log, then into the sidecar.

    `anew` replaces a sidecar whatever it says. False when the log could not be emptied just now.

    Raises:
        StateError: it cannot be written.
    """
    is_whole = state.checkpoint()
    now, before = _now(state, machine_id), read_sidecar(state.path)
    # Two programs may seal at once; the later one has counted both.
    if before != now and (anew or not _is_ahead(before, now)):
        write_sidecar(state.path, now)
    return is_whole


def seal_older(state: State, machine_id: str | None = None) -> None:
    """Give a file that was written before there were sidecars its first one, unasked.

    Where there is one already, the file is older than that: it is left alone.
    """
    if state.value(_UNSEALED) is None:
        return
    if not sidecar_path(state.path).exists():
        write_sidecar(state.path, _now(state, machine_id))
    with state.transaction():
        state.execute("DELETE FROM about WHERE key = 'unsealed'")


def _is_ahead(before: Sidecar | None, now: Sidecar) -> bool:
    return (
        before is not None
        and (before.state_id, before.inode) == (now.state_id, now.inode)
        and before.generation > now.generation
    )


def _now(state: State, machine_id: str | None) -> Sidecar:
    state_id = str(state.value("SELECT value FROM about WHERE key = 'state_id'"))
    generation = int(state.value(_GENERATION) or 0)
    return describe(state.path, state_id, generation, machine_id or stable_machine_id())


def network_file_system(path: Path, mounts: Iterable[Mount]) -> str | None:
    """The name of the network file system that holds a file; None for any other, or unknown one.

    The mount with the longest place counts, and of several at one place the last one.
    """
    best, kind = -1, ""
    for mount in mounts:
        place = Path(mount.place)
        is_above = path == place or place in path.parents
        if is_above and len(place.parts) >= best:
            best, kind = len(place.parts), mount.kind
    return NETWORK_FILE_SYSTEMS.get(kind.lower())


def mounts_around(path: Path) -> list[Mount]:
    """Everything that is mounted; nothing where the system does not say, or cannot matter.

    It cannot for a file on a disk of this machine: see `_is_on_disk`.
    """
    if _is_on_disk(path):
        return []
    # Few need it, and it takes longer to load than most commands do.
    import psutil

    with contextlib.suppress(OSError, RuntimeError, psutil.Error):
        return [Mount(found.mountpoint, found.fstype) for found in psutil.disk_partitions(all=True)]
    return []


def _is_on_disk(path: Path) -> bool:
    """Whether Linux says that a file is on a block device: no network file system has one.

    Elsewhere the numbers of devices do not tell.
    """
    if sys.platform != "linux":
        return False
    try:
        return os.major(path.stat().st_dev) not in _WITHOUT_DEVICE
    except OSError:
        return False


def local_path_for(path: Path, mounts: Sequence[Mount]) -> Path:
    """Where a state file that is on a network could be on this machine."""
    usual, system = real_path(default_state_path()), Path("/var/lib/wacoex") / path.name
    return system if network_file_system(usual, mounts) else usual
