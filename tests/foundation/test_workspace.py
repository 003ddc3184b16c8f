"""A workspace opens what is needed, when it is needed, and closes all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.workspace import Workspace, open_workspace


@pytest.fixture
def warned() -> list[str]:
    return []


def opened(warned: list[str], **environ: str) -> Workspace:
    return open_workspace(
        environ=environ, warn=warned.append, log=warned.append, announce=lambda settings: None
    )


def test_nothing_is_written_until_the_state_is_used(warned: list[str], tmp_path: Path) -> None:
    path = tmp_path / "new" / "wacoex.db"
    with opened(warned, WACOEX_STATE=str(path)) as workspace:
        assert not path.parent.exists()

        assert workspace.state.rows("SELECT * FROM channels") == []

    assert path.exists()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_operations_share_one_event_loop(warned: list[str]) -> None:
    import asyncio

    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    with opened(warned) as workspace:
        assert workspace.run(loop()) is workspace.run(loop())


def test_closing_twice_is_harmless(warned: list[str]) -> None:
    workspace = opened(warned)
    assert workspace.state.rows("SELECT * FROM channels") == []
    assert workspace.http is workspace.http

    workspace.close()
    workspace.close()


def test_what_looks_wrong_is_told(warned: list[str]) -> None:
    opened(warned, WACOEX_CHANEL="x").close()

    assert warned == [
        "`WACOEX_CHANEL` in the environment means nothing to wacoex; did you mean `WACOEX_CHANNEL`?"
    ]


def test_unfit_settings_stop_before_anything_opens(warned: list[str]) -> None:
    with pytest.raises(UsageError):
        opened(warned, WACOEX_TIMEZONE="Mars/Base")
