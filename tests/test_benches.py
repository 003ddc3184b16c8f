"""Every measurement is run by `make bench`, and states what it wants of each figure."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.bench import figures
from tests.bench.figures import Figure, finish, show

CHECKOUT = Path(__file__).parents[1]
SCRIPTS = {
    path.stem: ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted((CHECKOUT / "tests" / "bench").glob("*.py"))
}


def calls_of(name: str, script: ast.Module) -> list[ast.Call]:
    """The calls of a function of that name."""
    found = (node for node in ast.walk(script) if isinstance(node, ast.Call))
    return [call for call in found if isinstance(call.func, ast.Name) and call.func.id == name]


def is_bounded(call: ast.Call) -> bool:
    """Whether a call of Figure gives at least one bound after the name and the value."""
    return len(call.args) > 2 or bool({"at_least", "at_most"} & {it.arg for it in call.keywords})


def test_make_bench_runs_every_script_that_shows_figures() -> None:
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    [listed] = re.findall(r"for script in (.*);", makefile)

    assert sorted(listed.split()) == [name for name, it in SCRIPTS.items() if calls_of("show", it)]


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_figure_of_a_measurement_has_a_bound(name: str) -> None:
    unbounded = [call.lineno for call in calls_of("Figure", SCRIPTS[name]) if not is_bounded(call)]

    assert unbounded == []


def test_a_figure_without_a_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="seconds: a figure needs a bound"):
        Figure("seconds", 1.0, at_most=None)


@pytest.mark.parametrize("name", [name for name, it in SCRIPTS.items() if calls_of("show", it)])
def test_a_measurement_ends_by_its_figures(name: str) -> None:
    last = ast.Module([SCRIPTS[name].body[-1]], [])

    assert len(calls_of("finish", last)) == len(calls_of("finish", SCRIPTS[name])) == 1


@pytest.mark.parametrize(("measured", "status"), [(1.0, 0), (2.1, 1)])
def test_a_missed_bound_ends_a_measurement_with_status_1(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    measured: float,
    status: int,
) -> None:
    monkeypatch.setattr(figures, "_missed", [])

    show("costs", [Figure("seconds", measured, at_most=2), Figure("rows", 5, at_least=5)])

    with pytest.raises(SystemExit) as ended:
        finish()
    assert int(ended.value.code or 0) == status
    assert ("MISSED" in capsys.readouterr().out) == bool(status)
