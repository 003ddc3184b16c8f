"""TAB, as the program answers it and as the real shells show it."""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wacoex_cli.foundation.state import glimpse

FILES = {"bash": "wacoex.bash", "zsh": "_wacoex", "fish": "wacoex.fish"}
SHIPPED = Path(__file__).parents[1] / "completions"
PROMPT = b"READY> "
ENDLESS = (
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n LIMIT 1"
)


@pytest.fixture
def tab(run):
    """What the program answers when TAB is pressed behind a line: `tab("wacoex chan")`."""

    def press(line: str, shell: str = "bash", **environ: str) -> list[str]:
        words = line.split(" ")
        ended = run(
            env={
                "_WACOEX_COMPLETE": f"complete_{shell}",
                "COMP_WORDS": "\n".join(words),
                "COMP_CWORD": str(len(words) - 1),
                "_TYPER_COMPLETE_ARGS": line,
                **environ,
            }
        )
        assert (ended.code, ended.err) == (0, "")
        return [text for text in ended.out.split("\n") if text]

    return press


@pytest.fixture
def channels(run) -> None:
    for number, name in enumerate(("shop", "shed", "kiosk", "shut")):
        assert run("channel", "add", name, "--phone", f"+656000000{number}").code == 0
    assert run("channel", "remove", "shut", "--yes").code == 0


@pytest.mark.parametrize("shell", FILES)
def test_the_shipped_file_is_what_the_program_prints(run, shell: str) -> None:
    shipped = (SHIPPED / FILES[shell]).read_text()

    assert run("completion", shell).out == shipped, (
        f"run `wacoex completion {shell} > completions/{FILES[shell]}`"
    )


@pytest.mark.usefixtures("channels")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("wacoex chan", ["channel"]),
        ("wacoex channel re", ["rename", "remove", "restore"]),
        ("wacoex channel show --jso", ["--json"]),
        ("wacoex channel edit sh", ["shed", "shop"]),
        ("wacoex channel show ", ["kiosk", "shed", "shop"]),
        ("wacoex channel restore ", ["shut"]),
        ("wacoex channel add sh", []),
        ("wacoex channel rename sh", ["shed", "shop"]),
        ("wacoex device add w", ["web", "wear-os"]),
        ("wacoex --channel k", ["kiosk"]),
        ("wacoex -c k", ["kiosk"]),
        ("wacoex --channel=k", ["kiosk"]),
        ("wacoex --channel = k", ["kiosk"]),
        ("wacoex broadcast list --channel k", ["kiosk"]),
        ("wacoex completion ", ["bash", "zsh", "fish"]),
        ("wacoex optout import cust", []),
    ],
)
def test_commands_options_and_channels_are_offered(tab, line: str, offered: list[str]) -> None:
    assert tab(line) == offered


@pytest.mark.usefixtures("channels")
def test_shells_that_show_descriptions_get_them(tab) -> None:
    assert tab("wacoex channel edit sho", "zsh") == ["shop:+6560000000"]
    assert tab("wacoex channel edit sho", "fish") == ["shop\t+6560000000"]
    assert tab("wacoex opt", "zsh") == ["optout:The people who want no more messages."]


def test_findings_and_topics_are_offered_with_their_titles(tab) -> None:
    assert tab("wacoex explain ex", "fish") == ["exit-codes\tExit status of commands"]
    assert "WX206" in tab("wacoex explain WX")


def add_broadcast(state, broadcast_id: int, name: str | None) -> None:
    with state.transaction():
        state.execute(
            "INSERT INTO broadcasts (broadcast_id, channel_id, name, status, template,"
            " parameter_sources, recipients_file, api_base_url, rate, planned_at)"
            " VALUES (?, 1, ?, 'planned', '{}', '{}', 'june.csv', 'https://x.invalid', 20, '')",
            [broadcast_id, name],
        )


def test_broadcasts_are_offered_newest_first_with_status_and_name(run, tab, state) -> None:
    used = {"WACOEX_STATE": str(state.path)}
    run("channel", "add", "shop", "--phone", "+6560000001", env=used)
    add_broadcast(state, 1, None)
    add_broadcast(state, 2, "50% off:\x1b[2J `spring`")

    for command in ("show", "send", "pause", "cancel", "reconcile", "report"):
        assert tab(f"wacoex broadcast {command} ", **used) == ["2", "1"]
    assert tab("wacoex broadcast resume ", "fish", **used) == [
        "2\tplanned, 50% off:?[2J `spring`",
        "1\tplanned, june.csv",
    ]
    # A colon in a description needs no escape for _describe; only the first one divides.
    assert tab("wacoex broadcast send 2", "zsh", **used)[0].startswith("2:planned, 50% off:")


@pytest.mark.usefixtures("channels")
def test_the_state_file_is_found_wherever_a_setting_puts_it(
    run, tab, isolated_home: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.db"
    run("channel", "add", "barn", "--phone", "+6560000009", env={"WACOEX_STATE": str(other)})
    config = isolated_home / ".config" / "wacoex" / "config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)

    config.write_text(f'state = "{other}"\n')
    assert tab("wacoex channel show ") == ["barn"]
    Path(".env").write_text("WACOEX_STATE=nowhere.db\n")
    assert tab("wacoex channel show ") == []
    Path("mine.env").write_text(f"WACOEX_STATE={other}\n")
    assert tab("wacoex --env-file mine.env channel show ") == ["barn"]
    assert tab("wacoex channel show --env-file mine.env b") == ["barn"]


def test_tab_creates_nothing(tab, tmp_path: Path) -> None:
    absent = tmp_path / "absent" / "wacoex.db"

    assert tab("wacoex channel show ", WACOEX_STATE=str(absent)) == []
    assert tab("wacoex channel show ") == []
    assert not absent.parent.exists()
    assert list((tmp_path / "home").rglob("*.db*")) == []


@pytest.mark.usefixtures("channels")
def test_tab_leaves_nothing_beside_a_resting_state_file(tab, isolated_home: Path) -> None:
    before = sorted(isolated_home.rglob("*"))

    assert tab("wacoex channel show ") == ["kiosk", "shed", "shop"]
    assert sorted(isolated_home.rglob("*")) == before


@pytest.mark.parametrize("content", [b"", b"this is not a database " * 100])
def test_a_file_that_is_not_a_state_file_completes_nothing_silently(
    tab, tmp_path: Path, content: bytes
) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(content)

    assert tab("wacoex channel show ", WACOEX_STATE=str(broken)) == []
    assert broken.read_bytes() == content


def test_wrong_settings_complete_nothing_silently(tab) -> None:
    Path(".env").write_bytes(b"\xff\xfe")

    assert tab("wacoex channel show ") == []


def test_a_state_file_in_use_is_read_and_a_locked_or_slow_one_given_up(run, tab, state) -> None:
    used = {"WACOEX_STATE": str(state.path)}
    run("channel", "add", "shop", "--phone", "+6560000001", env=used)

    with state.transaction():
        assert tab("wacoex channel show ", **used) == ["shop"]
    assert glimpse(ENDLESS, environ=used) == []


class Terminal:
    """A shell on a terminal of its own, and what was typed into it."""

    def __init__(self, command: list[str], typed: Path) -> None:
        self._typed = typed
        self._master, slave = os.openpty()
        self._shell = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            # fish refuses a terminal that does not control its session.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.seen = b""

    def enter(self, keys: str) -> list[str]:
        """The arguments the program is started with after these keys, TAB and Enter."""
        self._await(lambda: PROMPT in self.seen)
        self.seen = b""
        self._typed.unlink(missing_ok=True)
        os.write(self._master, f"{keys}\t\r".encode())
        self._await(lambda: self._typed.exists() and self._typed.read_text().endswith("end\n"))
        return self._typed.read_text().splitlines()[:-1]

    def close(self) -> None:
        self._shell.kill()
        self._shell.wait()
        os.close(self._master)

    def _await(self, condition) -> None:
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end, self.seen.decode(errors="replace")
            if select.select([self._master], [], [], 0.05)[0]:
                self.seen += os.read(self._master, 65536)


@pytest.fixture
def terminal(
    request: pytest.FixtureRequest,
    isolated_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Terminal]:
    shell = request.param
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    typed, program = tmp_path / "typed", tmp_path / "bin" / "wacoex"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\n[ -n "$_WACOEX_COMPLETE" ] && exec {sys.executable} -m wacoex_cli\n'
        f'printf "%s\\n" "$@" end > {typed}\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("ZDOTDIR", str(isolated_home))
    opened = Terminal(prepare(shell, isolated_home), typed)
    yield opened
    opened.close()


def prepare(shell: str, home: Path) -> list[str]:
    """Put the shipped file where the shell looks for it; returns how the shell is started."""
    if shell == "fish":
        config = home / ".config" / "fish"
        (config / "completions").mkdir(parents=True)
        shutil.copy(SHIPPED / "wacoex.fish", config / "completions")
        (config / "config.fish").write_text(
            f"set -g fish_greeting\nfunction fish_prompt\n    echo '{PROMPT.decode()}'\nend\n"
        )
        return ["fish", "--interactive"]
    if shell == "zsh":
        (home / ".zshrc").write_text(
            f"fpath=({SHIPPED} $fpath)\nautoload -Uz compinit\ncompinit -u -D\n"
            f"PS1='{PROMPT.decode()}'\n"
        )
        return ["zsh", "--interactive", "--no-globalrcs"]
    (home / "rc").write_text(f"source {SHIPPED}/wacoex.bash\nPS1='{PROMPT.decode()}'\n")
    return ["bash", "--rcfile", str(home / "rc"), "-i"]


@pytest.mark.usefixtures("channels")
@pytest.mark.parametrize("terminal", FILES, indirect=True)
def test_the_real_shells_complete_from_the_first_tab(terminal: Terminal) -> None:
    Path("customers.csv").touch()

    assert terminal.enter("wacoex channel edit sho") == ["channel", "edit", "shop"]
    assert terminal.enter("wacoex --chan") == ["--channel"]
    assert terminal.enter("wacoex --channel kio") == ["--channel", "kiosk"]
    assert terminal.enter("wacoex optout import cust") == ["optout", "import", "customers.csv"]
