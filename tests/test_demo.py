"""The demo is the first thing a newcomer sees: it must be true, and leave nothing to chance."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from wacoex_cli.demo import tour
from wacoex_cli.onboarding import connect
from wacoex_cli.terminal import layout

# Real processes at Meta's pace: a busy machine takes its time.
pytestmark = pytest.mark.timeout(300)


def demo(home: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wacoex_cli", "demo", *arguments],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": home, "TMPDIR": home},
    )


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> subprocess.CompletedProcess[str]:
    """The five acts, where nobody can press Enter."""
    return demo(str(tmp_path_factory.mktemp("shown")))


def test_the_demo_is_five_acts_each_begun_by_a_line(shown):
    assert shown.returncode == 0, shown.stderr
    acts = re.findall(r"^== (\d)\. (.+)$", shown.stderr, re.MULTILINE)
    assert [number for number, _ in acts] == ["1", "2", "3", "4", "5"]
    assert max(len(f"== {number}. {title}") for number, title in acts) <= 80


def test_the_demo_interrupts_continues_and_settles(shown):
    assert "paused: it was interrupted" in shown.stdout
    assert "1 ambiguous" in shown.stdout
    assert shown.stdout.count(": completed") == 2
    assert "shop critical (stage): would notify" in shown.stdout
    assert "channel shop: confirmed by Ana" in shown.stdout


def test_the_demo_ends_with_the_verdict_and_what_to_type_next(shown):
    lines = shown.stdout.splitlines()[-7:]
    assert re.fullmatch(r"left:    160 messages, at most \d+ in one second", lines[0])
    assert lines[1] == "arrived: at 160 of 160 people, nobody got it twice"
    assert Path(lines[2].removeprefix("report:  ")).is_file()
    assert "wacoex sandbox start" in lines[4]
    assert "pipx install ." in shown.stdout.splitlines()[-1]


def test_the_demo_is_two_screens(shown):
    # Without a terminal nothing is wrapped or redrawn: each line counts as often as it fills 80.
    printed = [*shown.stdout.splitlines(), *shown.stderr.splitlines()]
    lines = [line for line in printed if not line.startswith("sandbox: talking to")]
    assert sum(max(1, -(-len(line) // 80)) for line in lines) <= 120


@pytest.fixture(scope="module")
def ended(tmp_path_factory) -> subprocess.CompletedProcess[str]:
    """All chapters."""
    return demo(str(tmp_path_factory.mktemp("home")), "--all")


def test_the_tour_sends_to_everybody_once_and_shows_it(ended):
    assert ended.returncode == 0, ended.stderr
    # How many arrive together is the network's affair too; that each arrives once is ours.
    assert re.search(
        r"^messages that the pretend Meta accepted: 164, people who got two: 0, most in one second",
        ended.stdout,
        re.MULTILINE,
    )
    assert "paused: it was interrupted" in ended.stdout
    assert "$ wacoex broadcast resume 3 --yes" in ended.stderr.splitlines()


def test_the_tour_settles_what_went_wrong(ended):
    # How far its status has come when the test ends is the network's affair.
    assert re.search(r"test to \+6591000099: (accepted|sent|delivered|read)\b", ended.stdout)
    assert "canary: 10 of 10 confirmed, 0 failed" in ended.stdout
    assert re.search(r"\+6592000080\t.*\tunknown\ttoo early", ended.stdout)
    assert re.search(r"^  160 recipients: .*2 rejected$", ended.stdout, re.MULTILINE)
    assert "failed rows of broadcast 3 to be sent again: 2" in ended.stderr


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_tour_answers_the_questions_of_connect_at_any_width(columns: int) -> None:
    partner = connect.OTHER_PARTNER.format(partner="your own app")
    for question, answer in (
        (connect.VERSION, "2.26.10"),
        (connect.BADGE, "n"),
        (partner, "n"),
        (connect.TYPE_YES, "yes"),
    ):
        seen = " ".join(" ".join(layout.wrapped(f"{question}: ", columns)).split())
        assert next(text for pattern, text in tour.TYPED if re.search(pattern, seen)) == answer


def test_the_tour_sends_through_respond_io_too(ended):
    assert "contacts to create: 1, each counts as a new MAC" in ended.stdout
    assert re.search(r"^broadcast 5 on shop .*: completed$", ended.stdout, re.MULTILINE)
    assert re.search(r"^  3 recipients: (\d (delivered|read)(, )?)+$", ended.stdout, re.MULTILINE)


def test_the_tour_shows_the_countdown_and_its_new_start(ended):
    lines = ended.stdout.splitlines()
    rows = [tuple(line.split("\t")[:2]) for line in lines if "\t" in line]
    stages = [row for row in rows if row[1] in {"shop", "corner"} and row[0].isalpha()]

    assert stages[:2] == [("warning", "shop"), ("critical", "corner")]  # status of each
    assert stages[2:4] == [("critical", "corner"), ("warning", "shop")]
    assert stages[4:6] == [("warning", "shop"), ("ok", "corner")]
    assert "channel corner: confirmed by Ana" in ended.stdout
    assert any(line.startswith("corner critical (stage): would notify") for line in lines)


def test_the_tour_receives_signed_webhooks(ended):
    answer = re.search(r"deliveries: (\d+) stored, 0 known before, 0 refused", ended.stdout)

    assert answer
    # At least sent and delivered of each message, and the echo.
    assert int(answer[1]) > 2 * 160
    # One person was written to in the app only.
    assert re.search(r"^shop\t\d+\t1$", ended.stdout, re.MULTILINE)


def test_the_tour_offboards_a_channel_and_connects_it_again_with_proof(ended):
    rows = [line.split("\t") for line in ended.stdout.splitlines()]
    steps = {row[1]: row[0] for row in rows if len(row) == 5 and row[0] in ("done", "skipped")}

    assert steps["archive"] == "done"
    assert [steps[name] for name in ("signup", "proof", "echo-proof", "sync")] == ["done"] * 4
    assert "proved: Meta reported PARTNER_REMOVED" in ended.stderr
