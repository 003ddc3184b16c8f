"""Which state file was used last here, and which one is a copy, an older one, or far away."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from wacoex_cli.errors import RefusedError, StateError
from wacoex_cli.foundation import generation
from wacoex_cli.foundation.generation import Mount, Sidecar
from wacoex_cli.foundation.state import State, open_state

FILE = Sidecar("abc", 5, device=1, inode=77, machine_id="m1")


def used(state: State, machine_id: str | None = "m1") -> None:
    """Plan or send once."""
    with state.transaction():
        generation.raise_counter(state)
    generation.seal(state, machine_id)


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (FILE, None),
        (replace(FILE, generation=4), None),
        (replace(FILE, device=9), None),
        (replace(FILE, machine_id=None), None),
        (replace(FILE, generation=6), "older than its last use"),
        (replace(FILE, inode=78), "another file under the same name"),
        (replace(FILE, machine_id="m2"), "another machine"),
        (replace(FILE, state_id="xyz"), "another state file"),
        (None, "it is a copy"),
    ],
    ids=[
        "the same file",
        "ended between file and sidecar",
        "the device has another number after a restart",
        "before in a container",
        "went back",
        "copied over it",
        "another machine",
        "another file",
        "copied alone",
    ],
)
def test_the_sidecar_shows_the_generation_of_a_file(
    before: Sidecar | None, words: str | None
) -> None:
    found = generation.what_is_wrong(FILE, before, has_sidecar=before is not None)

    assert (found is None) if words is None else (words in str(found))


def test_a_machine_without_an_id_is_not_another_one() -> None:
    container = replace(FILE, machine_id=None)

    assert generation.what_is_wrong(container, FILE, has_sidecar=True) is None


def test_a_file_that_never_planned_needs_no_sidecar(state: State) -> None:
    assert generation.suspicion(state) is None
    generation.demand_own(state)


def test_a_kill_right_after_the_first_use_was_counted_leaves_no_copy(state: State) -> None:
    generation.demand_own(state, "m1")
    with state.transaction():
        generation.raise_counter(state)
    # Here the process is killed: the sidecar does not count this use yet.

    generation.demand_own(state, "m1")


def test_each_use_raises_file_and_sidecar(state: State) -> None:
    used(state)
    used(state)

    sidecar = generation.read_sidecar(state.path)
    assert sidecar is not None
    assert (sidecar.generation, sidecar.inode) == (2, state.path.stat().st_ino)
    assert generation.sidecar_path(state.path).stat().st_mode & 0o777 == 0o600
    assert generation.suspicion(state, "m1") is None


def test_the_counter_survives_the_loss_of_the_log(state: State) -> None:
    used(state)
    state.close()
    for ending in ("-wal", "-shm"):
        Path(f"{state.path}{ending}").unlink(missing_ok=True)

    with closing(open_state(state.path)) as again:
        assert generation.suspicion(again, "m1") is None


def test_a_copy_is_refused_and_named(state: State, tmp_path: Path) -> None:
    used(state)
    copy = tmp_path / "copy.db"
    shutil.copy(state.path, copy)

    refusal = pytest.raises(RefusedError, match="it is a copy")
    with closing(open_state(copy)) as other, refusal as refused:
        generation.demand_own(other, "m1")
    assert (refused.value.code, refused.value.exit_status) == ("state_copied", 5)
    assert "wacoex state adopt" in str(refused.value.hint)


def test_reading_the_suspicion_writes_nothing(state: State) -> None:
    used(state)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in state.path.parent.iterdir())
    generation.suspicion(state)

    names = sorted((path.name, path.stat().st_mtime_ns) for path in state.path.parent.iterdir())
    assert names == before


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"state_id": 1}', "\0" * 99, "[" * 9_999]
)
def test_a_broken_sidecar_refuses_and_can_be_replaced(state: State, content: str) -> None:
    used(state)
    generation.sidecar_path(state.path).write_text(content)

    assert "cannot read" in str(generation.suspicion(state))
    generation.seal(state, anew=True)
    assert generation.suspicion(state) is None


def test_when_two_processes_seal_at_once_the_higher_count_stays(state: State) -> None:
    used(state)
    later = replace(generation.read_sidecar(state.path) or FILE, generation=9)
    generation.write_sidecar(state.path, later)
    generation.seal(state)

    assert generation.read_sidecar(state.path) == later


def test_a_machine_has_an_id_and_a_container_has_none(tmp_path: Path) -> None:
    machine, cgroup = tmp_path / "machine-id", tmp_path / "cgroup"
    machine.write_text("0123abcd\n")
    cgroup.write_text("0::/init.scope\n")
    sign = tmp_path / ".dockerenv"

    def of(**environ: str) -> str | None:
        return generation.stable_machine_id(machine, cgroup, [sign], environ)

    assert of() == "0123abcd"
    assert of(container="podman") is None
    assert of(KUBERNETES_SERVICE_HOST="10.0.0.1") is None
    cgroup.write_text("12:cpu:/docker/3f2a\n")
    assert of() is None
    cgroup.write_text("0::/\n")
    sign.touch()
    assert of() is None
    sign.unlink()
    machine.write_text("\n")
    assert of() is None


def test_through_a_symbolic_link_everything_is_beside_the_real_file(
    state: State, tmp_path: Path
) -> None:
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(state.path)

    with closing(open_state(link)) as linked:
        assert linked.path == state.path
        used(linked)
    assert [path.name for path in link.parent.iterdir()] == ["link.db"]


def test_a_second_hard_link_is_refused_by_both_names(state: State, tmp_path: Path) -> None:
    link = tmp_path / "second.db"
    os.link(state.path, link)

    for path in (state.path, link):
        with pytest.raises(StateError, match="has 2 names") as refused:
            open_state(path)
        assert refused.value.code == "state_linked"
    link.unlink()
    open_state(state.path).close()


MOUNTS = [
    Mount("/", "ext4"),
    Mount("/home", "nfs4"),
    Mount("/home/ana/local", "xfs"),
    Mount("/srv/my data", "cifs"),
    Mount("/mnt/host", "9p"),
    Mount("/mnt/ssh", "fuse.sshfs"),
    Mount("/data", "nfs"),
    Mount("/data", "ext4"),
    Mount("/new", "ext4"),
    Mount("/new", "NFS4"),
    Mount("/odd", "fuse.tomorrowfs"),
    Mount("/var/one/wacoex.db", "nfs"),
]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/var/lib/wacoex/wacoex.db", None),
        ("/home/ana/wacoex.db", "NFS"),
        ("/homes/ana/wacoex.db", None),
        ("/home/ana/local/wacoex.db", None),
        ("/srv/my data/wacoex.db", "CIFS (SMB)"),
        ("/mnt/host/wacoex.db", "9p"),
        ("/mnt/ssh/wacoex.db", "sshfs"),
        ("/data/wacoex.db", None),
        ("/new/wacoex.db", "NFS"),
        ("/odd/wacoex.db", None),
        ("/var/one/wacoex.db", "NFS"),
    ],
)
def test_the_longest_and_last_mount_names_the_file_system(path: str, name: str | None) -> None:
    assert generation.network_file_system(Path(path), MOUNTS) == name
    assert generation.network_file_system(Path(path), []) is None


def test_a_local_path_is_not_on_the_network(tmp_path: Path) -> None:
    far = [Mount("/", "ext4"), Mount(str(tmp_path), "nfs4")]
    path = tmp_path / "wacoex.db"

    assert generation.local_path_for(path, far) == Path("/var/lib/wacoex/wacoex.db")
    assert generation.local_path_for(path, [Mount("/", "ext4")]).name == "wacoex.db"


def test_this_machine_has_mounts() -> None:
    assert "/" in {mount.place for mount in generation.mounts_around(Path("/proc"))}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says so by the device")
def test_the_mounts_are_not_read_for_a_file_on_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "major", lambda device: 8)

    assert generation.mounts_around(tmp_path) == []
    assert generation.mounts_around(tmp_path / "missing") != []
