"""What every attack gets: a pretend Meta in a process of its own, and people's homes to attack.

The commands are real processes. What arrived at the pretend Meta decides, not what they say.
Each attack adds a line to the table that is printed at the end of the test run.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.bench.harness import Home, Sandbox, home_at, phone, running_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PATIENCE_SECONDS = 60.0
"""A command that takes longer than this counts as stuck."""


class Ended(NamedTuple):
    """How a command ended; `data` and `errors` are those of its JSON."""

    code: int
    out: str
    err: str

    @property
    def envelope(self) -> dict[str, Any]:
        """The last JSON object on standard output."""
        found: dict[str, Any] = json.loads(self.out.strip().splitlines()[-1])
        return found

    @property
    def data(self) -> dict[str, Any]:
        """What the command found out."""
        found: dict[str, Any] = self.envelope["data"]
        return found

    @property
    def codes(self) -> list[str]:
        """The codes of its errors."""
        return [error["code"] for error in self.envelope["errors"]]


class Attack:
    """One attack: the pretend Meta, a home, and the verdict over what arrived."""

    def __init__(self, sandbox: Sandbox, home: Home, node: pytest.Item) -> None:
        self.sandbox = sandbox
        self.home = home
        self._node = node
        self._stuck = 0

    def run(self, *arguments: str, patience: float = PATIENCE_SECONDS, **start: Any) -> Ended:
        """Run a command to its end; one that does not end is killed and counts as stuck."""
        process = self.home.start(*arguments, **start)
        return self.end(process, patience=patience)

    def end(self, process: subprocess.Popen[str], patience: float = PATIENCE_SECONDS) -> Ended:
        """Wait for a command that was started."""
        try:
            out, err = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            self._stuck += 1
            process.kill()
            out, err = process.communicate()
        return Ended(process.returncode, out or "", err or "")

    def write_list(self, people: int, name: str = "list.csv") -> Path:
        """A list of the first this many people; two lists share theirs."""
        path = self.home.directory / name
        lines = [f"{phone(place)},Person {place},{place}" for place in range(people)]
        path.write_text("\n".join(["phone,name,id", *lines, ""]), encoding="utf-8")
        return path

    def arrived(self) -> list[str]:
        """To whom the pretend Meta took a message, in order, each as often as it was taken."""
        return [row["recipient"] for row in self.sandbox.arrivals().rows if row["accepted"]]

    def judge(self, people: Sequence[str], *, open_rows: int = 0, meant: int = 0) -> None:
        """Nobody twice, only these people (E.164), and all of them except the open rows.

        `open_rows` are those that the program itself says it has not sent or does not know about,
        `meant` are second messages that a person asked for.
        """
        arrived = [f"+{recipient.lstrip('+')}" for recipient in self.arrived()]
        line = {
            "attack": self._node.name,
            "people": len(people),
            "twice": len(arrived) - len(set(arrived)) - meant,
            "wrong": len(set(arrived) - set(people)),
            "lost": max(0, len(set(people) - set(arrived)) - open_rows),
            "stuck": self._stuck,
        }
        self._node.user_properties.append(("attack", line))
        assert [line[name] for name in ("twice", "wrong", "lost", "stuck")] == [0, 0, 0, 0]


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """One pretend Meta for all attacks of a test process; each starts it again."""
    with running_sandbox() as found:
        yield found


@pytest.fixture
def attack(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[Attack]:
    """A pretend Meta that answers at once, and a home whose channel `first` is connected to it."""
    with home_at(sandbox) as home:
        yield Attack(sandbox, home, request.node)
