"""`reminder schedule`: one crontab line or one systemd timer, and nothing of anybody else."""

from __future__ import annotations

import getpass
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.foundation.state import State
from wacoex_cli.inactivity import schedule
from wacoex_cli.inactivity.schedule import Job

SCHEDULE = ("reminder", "schedule")
OTHERS = b"# my own\nMAILTO=ana@example.com\n\n5 4 * * * backup %F  \n\t@daily x\r\n"

CRONTAB = """#!/bin/sh
# Keeps the crontab in a file, as cron does.
case "$1" in
  -l) test -f {kept} || {{ echo "no crontab for ana" >&2; exit 1; }}; cat {kept} ;;
  -) cat > {kept}.new && mv {kept}.new {kept}; echo written >> {kept}.log ;;
  *) exit 2 ;;
esac
"""
DENIED = '#!/bin/sh\necho "You (ana) are not allowed to use this program (crontab)" >&2\nexit 1\n'
SYSTEMCTL = """#!/bin/sh
# A user's systemd that knows one timer.
echo "$*" >> {log}
case "$2" in
  enable) touch {log}.enabled ;;
  disable) rm -f {log}.enabled ;;
  is-enabled|is-active) test -f {log}.enabled ;;
esac
"""
PROGRAM = "#!/bin/sh\necho wacoex 0.1.0\n"


class Machine:
    """A directory on PATH with what a machine has, and what that remembers."""

    def __init__(self, directory: Path) -> None:
        self.bin = directory / "bin"
        self.bin.mkdir()
        self.kept = directory / "crontab"
        self.log = directory / "systemctl.log"
        self.program = self.has("wacoex", PROGRAM)
        self.has("python", PROGRAM)

    def has(self, name: str, script: str) -> Path:
        path = self.bin / name
        path.write_text(script)
        path.chmod(0o755)
        return path

    def has_cron(self, content: bytes | None = None) -> None:
        self.has("crontab", CRONTAB.format(kept=self.kept))
        if content is not None:
            self.kept.write_bytes(content)

    def has_systemd(self) -> None:
        self.has("systemctl", SYSTEMCTL.format(log=self.log))

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with wacoex installed, and without cron and systemd until a test adds them."""
    made = Machine(tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "cat", "mv", "touch", "rm", "test"):
        found = next(
            entry for entry in (Path("/bin", name), Path("/usr/bin", name)) if entry.exists()
        )
        (tools / name).symlink_to(found)
    monkeypatch.setenv("PATH", f"{made.bin}:{tools}")
    monkeypatch.setattr(sys, "executable", str(made.bin / "python"))
    return made


@pytest.fixture
def urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with an address for notices, so that there is no warning."""
    path = tmp_path / "urls"
    path.write_text("ntfy://topic\n")
    path.chmod(0o600)
    monkeypatch.setenv("WACOEX_NOTIFY_URLS_FILE", str(path))
    return path


def test_cron_gets_one_line_and_keeps_every_other(
    run, machine: Machine, urls: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.has_cron(OTHERS)
    monkeypatch.delenv("XDG_CONFIG_HOME")

    done = run(*SCHEDULE, "install", env={"WACOEX_STATE": str(state.path)})

    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("cron: installed\n")
    content = machine.kept.read_bytes()
    assert content.startswith(OTHERS)
    minute, rest = content.removeprefix(OTHERS).decode().split(" ", 1)
    assert 0 <= int(minute) <= 59
    assert rest == (
        f"* * * * WACOEX_STATE={state.path} WACOEX_KEYRING=off WACOEX_NOTIFY_URLS_FILE={urls}"
        f" {machine.program} reminder notify # wacoex reminder notify\n"
    )
    assert state.rows("SELECT host, kind, every_seconds FROM reminder_schedules") == [
        {"host": socket.gethostname(), "kind": "cron", "every_seconds": 3600}
    ]


def test_a_second_install_writes_nothing_and_a_change_replaces_the_line(
    run, machine: Machine, urls: Path
) -> None:
    machine.has_cron(OTHERS)
    first = run(*SCHEDULE, "install", "--json")
    second = run(*SCHEDULE, "install")
    changed = run(*SCHEDULE, "install", env={"WACOEX_TIMEZONE": "Asia/Singapore"})

    assert first.data["changed"]
    assert second.out.startswith("cron: installed already, nothing changed\n")
    assert changed.out.startswith("cron: installed\n")
    assert machine.kept.with_name("crontab.log").read_text() == "written\n" * 2
    assert machine.kept.read_bytes().count(schedule.CRON_MARK) == 1
    assert machine.kept.read_bytes().startswith(OTHERS)


def test_remove_leaves_the_crontab_as_it_was(run, machine: Machine, urls: Path) -> None:
    machine.has_cron(OTHERS)
    run(*SCHEDULE, "install")
    would = run(*SCHEDULE, "remove", "--dry-run")
    done = run(*SCHEDULE, "remove")
    again = run(*SCHEDULE, "remove")

    assert [would.out, done.out, again.out] == [
        "cron: would be removed\n",
        "cron: removed\n",
        "nothing is installed\n",
    ]
    assert machine.kept.read_bytes() == OTHERS


def test_a_user_without_a_crontab_gets_one(run, machine: Machine, urls: Path) -> None:
    machine.has_cron()

    assert run(*SCHEDULE, "install").code == 0
    assert len(machine.kept.read_bytes().splitlines()) == 1


def test_a_crontab_that_cannot_be_read_is_never_replaced(run, machine: Machine, urls: Path) -> None:
    machine.has("crontab", DENIED)

    for arguments in (["--cron"], []):
        done = run(*SCHEDULE, "install", *arguments)
        assert done.code == 1
        assert "not allowed to use this program" in done.err


def test_a_dry_run_shows_the_line_and_writes_nothing(
    run, machine: Machine, urls: Path, state: State
) -> None:
    machine.has_cron(OTHERS)

    done = run(*SCHEDULE, "install", "-n", env={"WACOEX_STATE": str(state.path)})

    assert done.out.startswith("cron: would be installed\n")
    assert str(machine.program) in done.out
    assert machine.kept.read_bytes() == OTHERS
    assert state.rows("SELECT * FROM reminder_schedules") == []


def test_a_secret_of_this_shell_is_left_out_and_warned_about(run, machine: Machine) -> None:
    machine.has_cron()
    secrets = {
        "WACOEX_NOTIFY_URLS": "ntfy://sup3rsecret",
        "WACOEX_NOTIFY_URLS_SHOP": "ntfy://sup3rsecret",
        "WACOEX_HEARTBEAT_URL": "https://example.com/sup3rsecret",
        "WACOEX_META_TOKEN": "sup3rsecret",
    }

    done = run(*SCHEDULE, "install", "-v", env=secrets)

    assert done.code == 0
    assert "sup3rsecret" not in machine.kept.read_text() + done.out + done.err
    for name in ("WACOEX_NOTIFY_URLS", "WACOEX_NOTIFY_URLS_SHOP", "WACOEX_HEARTBEAT_URL"):
        assert f"warning: `{name}` is set in this shell only" in done.err
    assert "WACOEX_META_TOKEN" not in done.err


NO_RECEIVER = "warning: nobody would receive a notice: give an address with"


def test_without_a_terminal_and_an_address_it_installs_and_warns(run, machine: Machine) -> None:
    machine.has_cron()

    done = run(*SCHEDULE, "install")

    assert (done.code, machine.kept.exists()) == (0, True)
    assert NO_RECEIVER in done.err
    assert "wacoex explain WX106" in done.err


@pytest.mark.parametrize(
    "environ",
    [
        {"WACOEX_NOTIFY_URLS": "ntfy://topic"},
        {"WACOEX_HEARTBEAT_URL": "https://example.com/ping"},
    ],
)
def test_an_address_or_a_heartbeat_is_enough(run, machine: Machine, environ) -> None:
    machine.has_cron()

    assert NO_RECEIVER not in run(*SCHEDULE, "install", env=environ).err


@pytest.mark.parametrize(
    ("line", "is_enough"),
    [
        (b"MAILTO=ana@example.com\n", True),
        (b' MAILTO = "ana"\n', True),
        (b"MAILTO=\n", False),
        (b'MAILTO=""\n', False),
        (b"#MAILTO=ana\n", False),
        (b"MAILTO=\nSHELL=/bin/sh\n", False),
    ],
)
def test_cron_that_mails_what_it_prints_is_enough(
    run, machine: Machine, line: bytes, is_enough: bool
) -> None:
    machine.has_cron(line)

    assert (NO_RECEIVER not in run(*SCHEDULE, "install").err) is is_enough


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """What a person types where it is not shown; gives the questions."""

    def types(answer: str) -> list[str]:
        questions: list[str] = []

        def read(prompt: str, stream: object = None) -> str:
            questions.append(prompt)
            return answer

        monkeypatch.setattr(getpass, "getpass", read)
        return questions

    return types


def test_a_person_is_asked_for_an_address_which_the_schedule_finds(
    run, machine: Machine, isolated_home: Path, typed
) -> None:
    machine.has_cron()
    questions = typed("ntfy://topic")

    done = run(*SCHEDULE, "install", tty=True)

    path = isolated_home / ".config" / "wacoex" / "secrets" / "notify-urls"
    assert (done.code, path.read_text()) == (0, "ntfy://topic\n")
    assert path.stat().st_mode & 0o777 == 0o600
    assert "where should notices go?" in questions[0]
    assert NO_RECEIVER not in done.err
    assert run(*SCHEDULE, "install", tty=True).code == 0
    assert len(questions) == 1, "it knows the address now"


@pytest.mark.parametrize("answer", ["ana@example.com", "ntfy://a ntfy://b", "nowhere://x"])
def test_an_address_that_cannot_be_used_installs_nothing(
    run, machine: Machine, typed, answer: str
) -> None:
    machine.has_cron()
    typed(answer)

    done = run(*SCHEDULE, "install", tty=True)

    assert (done.code, machine.kept.exists()) == (2, False)
    assert answer not in done.err


def test_a_schedule_without_an_address_is_warned_about(run, machine: Machine, typed) -> None:
    machine.has_cron()
    typed("")

    done = run(*SCHEDULE, "install", tty=True)

    assert (done.code, machine.kept.exists()) == (0, True)
    assert NO_RECEIVER in done.err


def test_the_env_file_is_named_whole(run, machine: Machine, tmp_path: Path) -> None:
    machine.has_cron()
    Path(".env").write_text("WACOEX_NOTIFY_URLS=ntfy://topic\nWACOEX_STATE=here.db\n")
    Path(".env").chmod(0o600)
    run(*SCHEDULE, "install")
    line = machine.kept.read_text()
    Path("my env").write_text("WACOEX_NOTIFY_URLS=ntfy://topic\n")
    Path("my env").chmod(0o600)
    run(*SCHEDULE, "install", "--env-file", "my env")
    other = machine.kept.read_text()

    assert f"--env-file {tmp_path}/work/.env #" in line
    assert f"WACOEX_STATE={tmp_path}/work/here.db " in line
    assert f"--env-file '{tmp_path}/work/my env' #" in other


def test_a_dotenv_that_sends_secrets_elsewhere_is_scheduled_only_when_it_is_named(
    run, machine: Machine
) -> None:
    machine.has_cron()
    path = Path(".env")
    path.write_text(
        "WACOEX_NOTIFY_URLS=ntfy://topic\nWACOEX_META_BASE_URL=https://example.com\n"
        "WACOEX_META_TOKEN_FILE=~no-such-user-here/x\n"
    )
    path.chmod(0o600)

    refused = run(*SCHEDULE, "install")
    scheduled = machine.kept.exists()
    named = run(*SCHEDULE, "install", "--env-file", ".env")

    assert (refused.code, scheduled) == (2, False)
    assert "given by `WACOEX_META_BASE_URL` in .env" in refused.err
    assert "name the file with `--env-file`" in refused.err
    assert named.code == 0
    assert "--env-file" in machine.kept.read_text()


def test_a_program_that_starts_only_here_is_not_scheduled(run, machine: Machine) -> None:
    machine.has_cron()
    machine.has("wacoex", "#!/bin/sh\nexit 1\n")

    done = run(*SCHEDULE, "install")

    assert done.code == 1
    assert "does not start outside this directory" in done.err
    assert not machine.kept.exists()


def test_systemd_is_preferred_where_it_answers(
    run, machine: Machine, urls: Path, isolated_home: Path
) -> None:
    machine.has_cron(OTHERS)
    machine.has_systemd()
    first = run(*SCHEDULE, "install")
    calls = machine.calls
    second = run(*SCHEDULE, "install")

    units = isolated_home / ".config/systemd/user"
    assert first.out.startswith("systemd: installed\n")
    assert "it runs while you are logged in; to run it always: loginctl enable-linger" in first.out
    assert second.out.startswith("systemd: installed already, nothing changed\n")
    assert (
        f"ExecStart={machine.program} reminder notify\n" in (units / schedule.SERVICE).read_text()
    )
    assert [call for call in calls if "--user enable" in call] == [
        "--user enable --now wacoex-reminder.timer"
    ]
    assert machine.calls[len(calls) :] == [
        "--user show-environment",
        "--user is-enabled wacoex-reminder.timer",
        "--user is-active wacoex-reminder.timer",
    ]
    assert machine.kept.read_bytes() == OTHERS


def test_removing_the_timer_leaves_other_units(
    run, machine: Machine, urls: Path, isolated_home: Path
) -> None:
    machine.has_systemd()
    run(*SCHEDULE, "install", "--systemd")
    units = isolated_home / ".config/systemd/user"
    (units / "other.timer").write_text("[Timer]\n")

    done = run(*SCHEDULE, "remove", "--systemd")

    assert done.out == "systemd: removed\n"
    assert [entry.name for entry in units.iterdir()] == ["other.timer"]
    assert "--user disable --now wacoex-reminder.timer" in machine.calls


def test_units_of_somebody_else_are_not_touched(
    run, machine: Machine, urls: Path, isolated_home: Path
) -> None:
    machine.has_systemd()
    units = isolated_home / ".config/systemd/user"
    units.mkdir(parents=True)
    (units / schedule.TIMER).write_text("[Timer]\nOnCalendar=daily\n")

    installed = run(*SCHEDULE, "install", "--systemd")
    removed = run(*SCHEDULE, "remove")

    assert installed.code == 5
    assert "was not written by wacoex" in installed.err
    assert removed.out == "nothing is installed\n"
    assert (units / schedule.TIMER).read_text() == "[Timer]\nOnCalendar=daily\n"


def test_two_schedules_at_once_are_reported(run, machine: Machine, urls: Path) -> None:
    machine.has_cron()
    machine.has_systemd()
    run(*SCHEDULE, "install", "--cron")
    default = run(*SCHEDULE, "install")
    both = run(*SCHEDULE, "install", "--systemd")

    assert default.out.startswith("cron: installed already")
    assert "cron starts it too: `wacoex reminder schedule remove --cron`" in both.out


def test_without_cron_and_systemd_it_says_what_else_works(run, machine: Machine) -> None:
    done = run(*SCHEDULE, "install")

    assert done.code == 1
    assert "neither systemd nor cron can be used here" in done.err
    assert "`wacoex reminder notify`" in done.err
    assert run(*SCHEDULE, "install", "--cron", "--systemd").code == 2


def test_show_says_what_is_installed_and_what_would_be(run, machine: Machine, urls: Path) -> None:
    machine.has_cron(OTHERS)
    before = run(*SCHEDULE, "show", "--json").data["schedules"]
    run(*SCHEDULE, "install")
    after = run(*SCHEDULE, "show", "--json").data["schedules"]
    text = run(*SCHEDULE, "show").out

    assert [(entry["kind"], entry["installed"], entry["current"]) for entry in before] == [
        ("systemd", False, False),
        ("cron", False, False),
    ]
    assert before[0]["problem"] == "there is no `systemctl` command"
    assert after[1]["there"] == before[1]["would_be"]
    assert "systemd: not installed, and cannot be used here" in text
    assert "cron: installed\n" in text


def test_words_are_quoted_for_cron_and_for_systemd() -> None:
    job = Job(("/opt/my tools/wacoex", "100%", "$HOME", 'a"b'), {"WACOEX_STATE": "/a 5%/it's"})

    line = schedule.cron_line(job, 7)
    unit = schedule.service_unit(job)

    assert line == (
        "7 * * * * WACOEX_STATE='/a 5'\\%'/it'\"'\"'s' '/opt/my tools/wacoex' 100\\% '$HOME'"
        " 'a\"b' # wacoex reminder notify"
    )
    assert 'Environment="WACOEX_STATE=/a 5%%/it\'s"\n' in unit
    assert 'ExecStart="/opt/my tools/wacoex" 100%% $$HOME "a\\"b"\n' in unit


@given(
    st.lists(st.binary(max_size=20).filter(lambda entry: b"\n" not in entry), max_size=6),
    st.integers(0, 59),
)
def test_any_crontab_survives_install_and_remove(lines: list[bytes], minute: int) -> None:
    content = b"".join(line + b"\n" for line in lines)
    ours = schedule.cron_line(Job(("/usr/bin/wacoex", "reminder", "notify"), {}), minute).encode()

    once = schedule.with_line(content, ours)
    twice = schedule.with_line(once, ours)

    assert once == content + ours + b"\n"
    assert twice == once
    assert schedule.without_line(once) == content


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_our_line_is_replaced_in_its_place(before: bytes, after: bytes) -> None:
    old = b"3 * * * * /old/wacoex reminder notify # wacoex reminder notify"
    new: Any = b"3 * * * * /new/wacoex reminder notify # wacoex reminder notify"

    changed = schedule.with_line(before + b"\n" + old + b"\n" + after + b"\n", new)

    assert changed == before + b"\n" + new + b"\n" + after + b"\n"
