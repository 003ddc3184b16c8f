"""What a user of other command-line programs expects of this one, seen from outside."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("arguments", "code", "reported"),
    [
        (["chanel"], 2, "no such command `chanel`\n\nhint: did you mean `channel`?"),
        (["channel", "lst"], 2, "no such command `lst`\n\nhint: did you mean `list`?"),
        (["channel", "list", "--arcived"], 2, "`--arcived`\n\nhint: did you mean `--archived`?"),
        (["--jsn", "channel", "list"], 2, "`--jsn`\n\nhint: did you mean `--json`?"),
        (["channel", "show", "shp"], 2, "wacoex.db\n\nhint: did you mean `shop`?"),
        (["--channel", "shpo", "broadcast", "list"], 2, "wacoex.db\n\nhint: did you mean `shop`?"),
        (["status", "--ofline"], 3, "`--ofline`\n\nhint: did you mean `--offline`?"),
        (["status", "shp"], 3, "wacoex.db\n\nhint: did you mean `shop`?"),
        (["explain", "WX2O6"], 2, "did you mean `WX206`?"),
        (["completion", "bsh"], 2, "hint: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_typo_is_answered_with_the_likely_word_and_never_run(
    run, arguments: list[str], code: int, reported: str
) -> None:
    run("channel", "add", "shop", "--phone", "+6560000001")

    ended = run(*arguments)

    assert (ended.code, ended.out) == (code, "")
    assert reported in ended.err


def test_standard_output_is_data_at_every_verbosity(run) -> None:
    run("channel", "add", "shop", "--phone", "+6560000001")
    aside = {"WACOEX_META_BASE_URL": "http://127.0.0.1:9", "WACOEX_CHANEL": "x"}

    plain = run("channel", "list")
    talkative = run("channel", "list", "-vv", env=aside)

    assert talkative.out == plain.out
    assert plain.out.startswith("shop\t+6560000001\t")
    assert "sandbox: " in talkative.err
    assert "did you mean `WACOEX_CHANNEL`?" in talkative.err


def test_twice_quiet_leaves_only_errors(run) -> None:
    added = run("-qq", "channel", "add", "shop", "--phone", "+6560000001")
    again = run("channel", "add", "shop", "--phone", "+6560000001", "-qq")

    assert (added.code, added.out, added.err) == (0, "", "")
    assert again.code == 2
    assert again.err.startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "environ", "colored"),
    [
        ([], {"TERM": "xterm"}, True),
        ([], {"TERM": "dumb"}, False),
        ([], {"TERM": "xterm", "NO_COLOR": "1"}, False),
        ([], {"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        (["--no-color"], {"TERM": "xterm", "FORCE_COLOR": "1"}, False),
        (["--color"], {"TERM": "dumb", "NO_COLOR": "1"}, True),
    ],
)
def test_colour_follows_option_then_environment_then_terminal(
    run, arguments: list[str], environ: dict[str, str], colored: bool
) -> None:
    ended = run("channel", "show", "nobody", *arguments, tty=True, env=environ)

    assert ("\x1b[" in ended.err) is colored
    assert "\x1b[" not in run("channel", "show", "nobody", "--json", "--color", tty=True).out


def test_an_encoding_that_lacks_a_letter_never_stops_the_program(
    run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("channel", "add", "shop", "--phone", "+6560000001", "--owner", "Zo\u00eb \u5e97")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")

    ended = subprocess.run(
        [sys.executable, "-m", "wacoex_cli", "channel", "list"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "Zo? ?" in ended.stdout
