"""The same message to the same people again: another command, another file, at the same time.

Inside one broadcast nobody is sent to twice. Here the second message would come from outside it.
"""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from openpyxl import Workbook  # type: ignore[import-untyped]

from tests.bench.harness import TEMPLATE, phone

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.attacks.conftest import Attack, Ended

PEOPLE = 80
FIRST = ("--channel", "first")


def people(number: int) -> list[str]:
    return [phone(place) for place in range(number)]


def sending(path: Path | str, *more: str) -> tuple[str, ...]:
    return ("broadcast", "send", "--to", str(path), *TEMPLATE, *FIRST, "--yes", *more)


def arrivals(attack: Attack) -> int:
    found: int = attack.sandbox.control("GET", "summary")["arrivals"]
    return found


def end_after(
    attack: Attack, process: subprocess.Popen[str], number: int, how: signal.Signals
) -> Ended:
    """End a command as soon as this many messages have arrived."""
    while arrivals(attack) < number and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(how)
    return attack.end(process)


def broadcasts(attack: Attack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = attack.run("broadcast", "list").data["broadcasts"]
    return found


def refused(ended: Ended) -> dict[str, Any]:
    """The one error of a command that refused to send the same message again."""
    assert (ended.code, ended.codes) == (5, ["already_sent"]), ended.out
    error: dict[str, Any] = ended.envelope["errors"][0]
    assert "--skip-sent" in error["hint"]
    assert "--again" in error["hint"]
    return error


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_command_is_started_again(attack: Attack, how: signal.Signals) -> None:
    path = attack.write_list(PEOPLE)
    end_after(attack, attack.home.start(*sending(path)), 30, how)
    before = arrivals(attack)

    for _ in range(2):
        error = refused(attack.run(*sending(path)))
        assert f"of {PEOPLE} people already have this message (broadcast 1" in error["message"]
        assert "are open: wacoex broadcast resume 1" in error["message"]
        counted = error["details"]["already_sent"]
        assert counted["have"]["1"] + counted["open"]["1"] == PEOPLE
    assert arrivals(attack) == before
    assert [each["broadcast_id"] for each in broadcasts(attack)] == [1], "no plan is left behind"

    resumed = attack.run("broadcast", "resume", "1", "--yes")
    assert resumed.data["status"] == "completed"
    attack.judge(people(PEOPLE), open_rows=resumed.data["counts"]["ambiguous"])


def test_two_commands_start_at_once(attack: Attack) -> None:
    path = attack.write_list(PEOPLE)

    started = [attack.home.start(*sending(path)) for _ in range(3)]
    ended = sorted((attack.end(process) for process in started), key=lambda each: each.code)

    assert [each.code for each in ended] == [0, 5, 5]
    assert refused(ended[1])
    assert refused(ended[2])
    assert [each["status"] for each in broadcasts(attack)] == ["completed"]
    attack.judge(people(PEOPLE))


def test_two_plans_of_one_list_are_sent_at_once(attack: Attack) -> None:
    path = attack.write_list(PEOPLE)
    for _ in range(2):
        assert attack.run("broadcast", "plan", str(path), *TEMPLATE, *FIRST).code == 0

    started = [attack.home.start("broadcast", "send", str(n), "--yes") for n in (2, 1)]
    ended = [attack.end(process) for process in started]

    assert sorted(each.code for each in ended) == [0, 5]
    assert {each["status"] for each in broadcasts(attack)} == {"completed", "planned"}
    attack.judge(people(PEOPLE))


def test_a_list_is_planned_and_sent_and_then_sent_in_one_go(attack: Attack) -> None:
    path = attack.write_list(20)
    planned = attack.run("broadcast", "plan", str(path), *TEMPLATE, *FIRST)
    assert planned.data["findings"] == []
    assert attack.run("broadcast", "send", "1", "--yes").code == 0

    assert "20 of 20 people" in refused(attack.run(*sending(path)))["message"]
    again = attack.run("broadcast", "plan", str(path), *TEMPLATE, *FIRST)
    [finding] = again.data["findings"]
    assert (finding["id"], finding["severity"]) == ("WX507", "critical")
    assert "20 of 20 people already have this message" in finding["evidence"][0]["text"]
    assert refused(attack.run("broadcast", "send", "2", "--yes"))
    assert attack.run("broadcast", "send", "2", "--yes", "--overrule", "WX507").code == 2
    attack.judge(people(20))


def reversed_csv(path: Path, rows: Sequence[tuple[str, ...]]) -> Path:
    lines = [",".join(row) for row in reversed(rows)]
    path.write_text("\n".join(["phone,name,id", *lines, ""]), encoding="utf-8")
    return path


def respelled_csv(path: Path, rows: Sequence[tuple[str, ...]]) -> Path:
    """Brazil's ninth digit, Argentina's 9 and Mexico's 1 come and go; spaces too."""
    spellings = {"+55": "+55 11 8{}", "+54": "+54 9 {}", "+52": "+52 1 {}"}
    lines = []
    for number, *rest in rows:
        begin, country = number[:3], number[3:]
        if begin == "+55":
            country = number[7:]
        written = spellings[begin].format(country) if begin in spellings else f"{begin} {country}"
        lines.append(",".join([f'"{written}"', *rest]))
    path.write_text("\n".join(["Phone number;name;id".replace(";", ","), *lines, ""]))
    return path


def ndjson(path: Path, rows: Sequence[tuple[str, ...]]) -> Path:
    path = path.with_suffix(".ndjson")
    lines = [json.dumps(dict(zip(("phone", "name", "id"), row, strict=True))) for row in rows]
    path.write_text("\n".join(lines))
    return path


def workbook(path: Path, rows: Sequence[tuple[str, ...]]) -> Path:
    path, book = path.with_suffix(".xlsx"), Workbook()
    assert book.active is not None
    for row in (("phone", "name", "id"), *rows):
        book.active.append(row)
    book.save(path)
    return path


@pytest.mark.parametrize("write", [reversed_csv, respelled_csv, ndjson, workbook])
def test_the_list_comes_in_another_form(
    attack: Attack, write: Callable[[Path, Sequence[tuple[str, ...]]], Path]
) -> None:
    numbers = [*people(9), "+5511987654321", "+541123456789", "+525512345678"]
    rows = [(number, f"Person {place}", str(place)) for place, number in enumerate(numbers)]
    first = reversed_csv(attack.home.directory / "list.csv", rows[::-1])
    assert attack.run(*sending(first)).code == 0

    error = refused(attack.run(*sending(write(attack.home.directory / "other.csv", rows))))

    assert "12 of 12 people already have this message" in error["message"]
    assert len(attack.arrived()) == len(set(attack.arrived())) == 12


def test_a_longer_list_skips_people_who_have_the_message(attack: Attack) -> None:
    assert attack.run(*sending(attack.write_list(20))).code == 0
    longer = attack.write_list(30)

    assert "20 of 30 people" in refused(attack.run(*sending(longer)))["message"]
    ended = attack.run(*sending(longer, "--skip-sent", "--expect", "10"))

    assert ended.code == 0
    assert ended.data["skipped"] == {"already_sent": 20}
    assert ended.data["repeats"] == "skipped"
    attack.judge(people(30))


def test_a_person_can_ask_for_a_repeat(attack: Attack) -> None:
    path = attack.write_list(40)
    assert attack.run(*sending(path)).code == 0

    interrupted = end_after(attack, attack.home.start(*sending(path, "--again")), 50, signal.SIGINT)
    assert interrupted.code == 130
    resumed = attack.run("broadcast", "resume", "2", "--yes")

    assert (resumed.code, resumed.data["repeats"]) == (0, "sent")
    [decision] = attack.run("broadcast", "report", "2").data["decisions"]
    assert decision["decision"].startswith("again: 40 of 40 people already have this message")
    attack.judge(people(40), meant=40)


def test_a_list_is_corrected_and_planned_again(attack: Attack) -> None:
    assert attack.run("broadcast", "plan", str(attack.write_list(10)), *TEMPLATE, *FIRST).code == 0
    corrected = attack.write_list(12)
    planned = attack.run("broadcast", "plan", str(corrected), *TEMPLATE, *FIRST)

    assert planned.data["findings"] == []
    assert attack.run("broadcast", "send", "2", "--yes").code == 0
    attack.judge(people(12))


def test_another_value_is_another_message(attack: Attack) -> None:
    path = attack.write_list(10)
    assert attack.run(*sending(path)).code == 0
    other = ("broadcast", "send", "--to", str(path), *TEMPLATE[:-2], "--text", "2=another")

    assert attack.run(*other, *FIRST, "--yes").code == 0
    attack.judge(people(10), meant=10)


def test_failed_rows_are_sent_again(attack: Attack) -> None:
    numbers = people(10)
    fault = {"kind": "refuse", "code": 131026, "recipients": numbers[:3]}
    attack.sandbox.control("POST", "faults", {"faults": [fault], "seed": 1})
    path = attack.write_list(10)
    assert attack.run(*sending(path)).code == 7
    attack.sandbox.control("POST", "faults", {"faults": [], "seed": 1})
    retried = attack.run("broadcast", "send", "1", "--retry-failed", "all", "--yes")
    assert (retried.code, retried.data["counts"]["accepted"]) == (0, 3)
    # Now everybody has the message, three of them from the retry.
    error = refused(attack.run(*sending(path)))
    assert "10 of 10 people already have this message (broadcasts 1 and 2" in error["message"]
    attack.judge(numbers)


def test_two_clients_send_the_same_template(attack: Attack) -> None:
    path = attack.write_list(10)
    assert attack.run(*sending(path)).code == 0
    other = ("--channel", "second")
    same_business = ("broadcast", "plan", str(path), *TEMPLATE, *other)
    assert [f["id"] for f in attack.run(*same_business).data["findings"]] == ["WX507"]

    # The sandbox has one account: what counts is what this machine knows of the channel.
    assert attack.run("channel", "edit", "first", "--waba-id", "104000000000077").code == 0
    send = ("broadcast", "send", "--to", str(path), *TEMPLATE, *other, "--yes")

    assert attack.run(*send).code == 0
    attack.judge(people(10), meant=10)
