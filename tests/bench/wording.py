"""What a default, two formats and a condition add to a plan: a million rows, plainly and worded.

    python -m tests.bench.wording [ROWS [ROUNDS]]

Every name is in capitals and every tenth is empty; every amount is another one. The condition reads
two cells of each row and chooses all. Both plans are made in turn, as often as `ROUNDS` says; the
least of each counts, as other work of the machine only adds.
"""

from __future__ import annotations

import csv
import sys

from tests.bench.figures import Figure, finish, show
from tests.bench.harness import TEMPLATE, Home, bench, used_by

MILLION = 1_000_000
AT_MOST = 1.6
"""The user CPU of a worded plan, as a multiple of that of the plain one."""
WORDED = (
    *("--default", "1=there", "--format", "1=first,title", "--format", "2=money:SGD"),
    *("--where", "id >= 0 and name <> 'NOBODY'"),
)


def plan_seconds(home: Home, *options: str) -> float:
    """The seconds of user CPU of one plan, which is not kept."""
    path = str(home.directory / "worded.csv")
    command = ("broadcast", "plan", path, *TEMPLATE, *options, "--dry-run", "--channel", "first")
    planning = home.start(*command)
    said, usage = used_by(planning)
    if planning.returncode:
        sys.exit(f"a command failed: {said}")
    return usage.ru_utime


def main(rows: int, rounds: int = 1) -> None:
    """Plan both ways in turn and compare."""
    plain, worded = [], []
    with bench() as (_, home):
        with (home.directory / "worded.csv").open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(("phone", "name", "id"))
            for n in range(rows):
                # The plain plan skips the empty ones: so much less work, which makes this strict.
                name = "-" if n % 10 == 1 else f"MARY {n % 5_000} ANN"
                lines.writerow((f"+6591{n:06d}", name, f"{n / 100:.2f}"))
        for _ in range(rounds):
            worded.append(plan_seconds(home, *WORDED))
            plain.append(plan_seconds(home))
    show(
        f"`broadcast plan` of {rows:,} rows with a default, two formats and a condition",
        (
            Figure(
                "user CPU, to that of the plain plan",
                min(worded) / min(plain),
                at_most=AT_MOST,
                decimals=2,
            ),
        ),
    )


if __name__ == "__main__":
    main(*(map(int, sys.argv[1:]) if len(sys.argv) > 1 else [MILLION]))
    finish()
