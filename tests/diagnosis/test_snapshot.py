"""What is wrong on this machine itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from wacoex_cli.diagnosis.checks import check_machine, newer_schema
from wacoex_cli.diagnosis.snapshot import Exposed, Machine, look_at
from wacoex_cli.errors import StateError
from wacoex_cli.findings.model import Severity
from wacoex_cli.foundation.workspace import Workspace, open_workspace

NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
WELL = Machine(exposed=(), disk="/var", free_bytes=2**33, newest_stored_at=NOW)
MEBIBYTE = 2**20


def found(**changes: object) -> list[tuple[str, Severity]]:
    machine = WELL._replace(**changes)  # type: ignore[arg-type]
    return [(entry.id, entry.severity) for entry in check_machine(machine, NOW)]


def test_a_healthy_machine_has_no_findings() -> None:
    assert found(newest_stored_at=None) == []


def test_a_file_that_others_may_read_comes_with_the_command_that_closes_it() -> None:
    exposed = (Exposed("/home/ann/.env", 0o644, "holds a secret"),)

    [finding] = check_machine(WELL._replace(exposed=exposed), NOW)

    assert (finding.id, finding.severity) == ("WX704", Severity.WARNING)
    assert finding.evidence[0].text == "/home/ann/.env holds a secret and has the mode 0644"
    assert finding.remedy == ("chmod go-rwx /home/ann/.env",)


@pytest.mark.parametrize(
    ("changes", "is_wrong"),
    [
        ({"newest_stored_at": NOW + timedelta(minutes=5)}, False),
        ({"newest_stored_at": NOW + timedelta(minutes=6)}, True),
        ({"clock_skew_seconds": 299.0}, False),
        ({"clock_skew_seconds": 301.0}, True),
        ({"clock_skew_seconds": -301.0}, True),
    ],
)
def test_a_clock_that_went_back_or_differs_from_metas_is_a_warning(
    changes: dict[str, object], is_wrong: bool
) -> None:
    assert found(**changes) == ([("WX705", Severity.WARNING)] if is_wrong else [])


def test_a_keyring_that_was_asked_for_and_fails_is_a_warning() -> None:
    assert found(keyring_problem="there is none on this system") == [("WX706", Severity.WARNING)]


@pytest.mark.parametrize(
    ("free", "severities"),
    [
        (200 * MEBIBYTE, []),
        (199 * MEBIBYTE, [Severity.WARNING]),
        (19 * MEBIBYTE, [Severity.CRITICAL]),
    ],
)
def test_a_disk_that_fills_up_is_reported_in_time(free: int, severities: list[Severity]) -> None:
    assert [severity for _, severity in found(free_bytes=free)] == severities


def test_a_newer_state_file_makes_everything_unknown() -> None:
    finding = newer_schema(StateError("it was written by a newer wacoex", hint="update"), NOW)

    assert (finding.id, finding.severity) == ("WX708", Severity.UNKNOWN)
    assert finding.remedy == ("update",)


def opened(**environ: str) -> Workspace:
    return open_workspace(
        environ=environ, warn=print, log=lambda text: None, announce=lambda settings: None
    )


def test_secret_files_are_checked_in_every_place_that_names_them(tmp_path: Path) -> None:
    token, stored = tmp_path / "token", tmp_path / "config" / "secrets" / "meta-token"
    stored.parent.mkdir(parents=True)
    for path, mode in ((token, 0o640), (stored, 0o600)):
        path.write_text("token-0123456789")
        path.chmod(mode)
    environ = {
        "WACOEX_META_TOKEN_FILE_SHOP": str(token),
        "WACOEX_CONFIG_DIR": str(tmp_path / "config"),
        "WACOEX_STATE": str(tmp_path / "wacoex.db"),
    }
    with opened(**environ) as workspace:
        assert workspace.state.path.exists()
        machine = look_at(workspace, None, clock_skew_seconds=None, offline=False)

    assert [entry.path for entry in machine.exposed] == [str(token)]
    assert machine.keyring_problem is None


def test_a_state_file_that_was_opened_to_others_is_noticed(tmp_path: Path) -> None:
    with opened(WACOEX_STATE=str(tmp_path / "wacoex.db")) as workspace:
        workspace.state.path.chmod(0o644)
        machine = look_at(workspace, None, clock_skew_seconds=None, offline=True)

    assert [(entry.mode, entry.what) for entry in machine.exposed] == [
        (0o644, "holds phone numbers")
    ]


def test_the_keyring_is_only_asked_where_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    environ = {"WACOEX_STATE": str(tmp_path / "wacoex.db")}
    problems: list[str | None] = []
    for more in ({}, {"WACOEX_KEYRING": "on"}):
        with opened(**environ, **more) as workspace:
            assert workspace.state.path.exists()
            machine = look_at(workspace, None, clock_skew_seconds=None, offline=False)
            problems.append(machine.keyring_problem)

    assert problems[0] is None
    assert problems[1]
