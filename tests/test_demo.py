"""The tour is the first thing a newcomer sees: it must be true, and leave nothing to chance."""

from __future__ import annotations

import re
import subprocess
import sys


def test_the_tour_sends_to_everybody_once_and_says_so(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "wacoex_cli", "demo"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
    )

    assert ended.returncode == 0, ended.stderr
    # How many arrive together is the network's affair too; that each arrives once is ours.
    assert re.search(
        r"^the pretend Meta accepted 200 messages, 0 people got two, at most \d+ messages",
        ended.stdout,
        re.MULTILINE,
    )
    assert "paused: it was interrupted" in ended.stdout
    assert "$ wacoex broadcast resume 2 --yes" in ended.stderr.splitlines()
    assert "  200 recipients: 200 accepted" in ended.stdout.splitlines()
