"""`wacoex broadcast send | resume` as a person or a script meets them.

A broadcast that is being sent in one process, and what other processes do to it.
The state file is backed up, checked and guarded while a broadcast runs in another process.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.state import problems_in
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import DEFAULT_TOKEN

SEND = ("broadcast", "send")


def test_the_one_planned_broadcast_is_sent_after_a_yes(shop, cli):
    broadcast = shop.planned(3)
    sent = cli("broadcast", "send", "--rate", "20", tty=True, stdin="y\n")

    assert sent.code == 0
    assert "to 3 people from +6560000001 (shop) at 20/s" in sent.err
    assert "broadcast 1 on shop (opening_hours (en_US)): completed" in sent.out
    assert "3 recipients: 3 accepted" in sent.out
    assert shop.counts(broadcast) == {"accepted": 3}
    assert [arrival.recipient for arrival in shop.world.log.arrivals] == [
        shop.phone(n) for n in (1, 2, 3)
    ]


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "maybe\n"])
def test_any_answer_except_yes_sends_nothing_and_exits_with_1(shop, cli, answer):
    broadcast = shop.planned(3)
    declined = cli(*SEND, "--rate", 20, tty=True, stdin=answer)

    assert declined.code == 1
    assert "nothing was sent" in declined.err
    assert shop.world.log.arrivals == []
    assert shop.current(broadcast).status.value == "planned"


@pytest.mark.parametrize(("tty", "options"), [(False, ()), (True, ("--no-input",))])
def test_without_a_terminal_it_needs_yes(shop, cli, tty, options):
    shop.planned(3)
    refused = cli(*SEND, *options, tty=tty)

    assert refused.code == 2
    assert "needs `--yes`" in refused.err
    assert shop.world.log.arrivals == []
    assert cli(*SEND, *options, "--yes", tty=tty).code == 0


def test_with_none_planned_it_says_how_to_plan(shop, cli):
    nothing = cli(*SEND, "--rate", 20, "--yes")

    assert nothing.code == 2
    assert "no broadcast of channel shop is planned" in nothing.err
    assert "wacoex broadcast plan RECIPIENTS" in nothing.err


def test_with_several_planned_it_lists_them_and_one_can_be_named(shop, cli):
    shop.planned(2, name="spring")
    second = shop.planned(3)
    several = cli(*SEND, "--rate", 20, "--yes")

    assert several.code == 2
    assert "1 (spring, 2 recipients), 2 (" in several.err
    assert "wacoex broadcast send 1" in several.err
    assert cli(*SEND, 2, "--yes").code == 0
    assert shop.counts(second) == {"accepted": 3}


@pytest.mark.parametrize("rate", ["21", "0", "-1", "0.5", "20.01", "nan", "inf", "fast"])
def test_a_rate_outside_1_to_20_is_refused(shop, cli, rate):
    shop.planned(1)
    refused = cli(*SEND, "--rate", rate, "--yes")

    assert refused.code == 2
    assert "rate" in refused.err
    assert shop.world.log.arrivals == []


@pytest.mark.parametrize("rate", ["1", "20", "20.0"])
def test_a_rate_from_1_to_20_is_taken(shop, cli, rate):
    shop.planned(1)
    sent = cli(*SEND, "--rate", rate, "--yes", "--json")

    assert sent.code == 0
    assert sent.data["rate"]["requested"] == float(rate)


def test_expect_refuses_any_other_number_of_people(shop, cli):
    shop.planned(3)
    refused = cli(*SEND, "--yes", "--expect", 4)
    assert refused.code == 5
    assert "it is for 3 people, not 4" in refused.err
    assert shop.world.log.arrivals == []

    assert cli(*SEND, "--yes", "--expect", 3).code == 0


def test_a_dry_run_shows_the_first_three_requests_and_sends_nothing(shop, cli):
    people = [(shop.phone(n), f"Ana{n}", f"A-{n}") for n in range(1, 6)]
    file = shop.file("five.csv", people, ("phone", "name", "order"))
    parameters = {"1": "name", "2": "order"}
    broadcast = shop.planned(file, template="order_ready", parameters=parameters)
    shown = cli(*SEND, "--dry-run", "--json")

    assert shown.code == 0
    requests = shown.data["requests"]
    assert [request["body"]["to"] for request in requests] == [shop.phone(n) for n in (1, 2, 3)]
    assert requests[0]["url"].endswith("/messages")
    assert requests[0]["body"]["biz_opaque_callback_data"].endswith("-1-1-1")
    body = requests[2]["body"]["template"]["components"][0]["parameters"]
    assert [entry["text"] for entry in body] == ["Ana3", "A-3"]
    assert {request["headers"]["Authorization"] for request in requests} == {"Bearer ****"}
    assert shop.world.log.arrivals == []
    assert shop.counts(broadcast) == {"pending": 5}
    assert shop.current(broadcast).status.value == "planned"


def test_the_token_is_never_written(shop, cli):
    shop.planned(2)
    for options in (("--dry-run",), ("--yes", "-vv"), ("--yes", "--debug")):
        written = cli(*SEND, 1, *options)
        assert DEFAULT_TOKEN not in written.out + written.err


def test_planning_and_sending_in_one_go(shop, cli):
    options = ("--template", "opening_hours", "--lang", "en_US", "--rate", 20, "--yes", "--json")
    sent = cli(*SEND, "--to", shop.people(3), *options)

    assert (sent.code, sent.data["taken"]) == (0, 3)
    assert cli("broadcast", "list", "--json").data["broadcasts"][0]["status"] == "completed"


def test_a_dry_run_of_planning_and_sending_leaves_no_broadcast(shop, cli):
    options = ("--template", "opening_hours", "--lang", "en_US", "--dry-run", "--json")
    shown = cli(*SEND, "--to", shop.people(5), *options)

    assert (shown.code, len(shown.data["requests"])) == (0, 3)
    assert cli("broadcast", "list", "--json").data["broadcasts"] == []


@pytest.mark.parametrize("options", [("1", "--to", "x.csv"), ("1", "--template", "opening_hours")])
def test_a_planned_broadcast_takes_no_planning_options(shop, cli, options):
    shop.planned(1)
    assert cli(*SEND, *options, "--yes").code == 2


def test_the_json_of_send_counts_each_row_once(shop, cli):
    shop.faults(
        Fault("refuse", code=131026, recipients=frozenset({shop.phone(2)})),
        Fault("reset_after", recipients=frozenset({shop.phone(3)})),
    )
    people = [(shop.phone(n),) for n in (1, 2, 3, 4, 1)]
    shop.planned(shop.file("mixed.csv", people))
    sent = cli(*SEND, "--rate", 20, "--yes", "--json")

    assert (sent.code, sent.envelope["status"]) == (7, "partial")
    data = sent.data
    assert {name: n for name, n in data["counts"].items() if n} == {
        "accepted": 2,
        "rejected": 1,
        "ambiguous": 1,
        "skipped": 1,
    }
    assert sum(data["counts"].values()) == data["recipients"] + 1
    assert (data["status"], data["taken"]) == ("completed", 2)
    assert data["rate"].keys() == {"requested", "achieved", "peak_in_one_second"}
    assert data["started_at"] <= data["finished_at"]


def test_a_log_gets_a_line_at_the_start_and_at_the_end(shop, cli):
    shop.planned(3)
    lines = cli(*SEND, "--rate", 20, "--yes").err.splitlines()

    marks, texts = zip(*(line.split(" info: ") for line in lines[1:]), strict=True)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z shop", mark) for mark in marks)
    assert texts[0] == "broadcast 1: 0 of 3"
    assert texts[-1] == (
        "broadcast 1: 3 of 3, 3 accepted, 0 failed, 0 ambiguous, at most 3 in one second"
    )


def test_the_line_at_the_start_of_a_resume_counts_what_was_done_before(shop, cli):
    broadcast = shop.planned(3)
    shop.faults(Fault("expired_token", arrivals=frozenset({2})))
    cli(*SEND, "--yes")
    done = shop.counts(broadcast)["accepted"]
    shop.faults()
    lines = cli("broadcast", "resume", 1, "--yes").err.splitlines()

    assert done in (1, 2)
    assert lines[1].endswith(f" shop info: broadcast 1: {done} of 3")


def test_a_terminal_shows_errors_by_code_below_the_bar_without_numbers(shop, cli, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    shop.faults(Fault("refuse", code=131026, recipients=frozenset({shop.phone(2)})))
    shop.planned(3)
    shown = cli(*SEND, "--rate", 20, "--yes", "--no-color", tty=True).err

    last = [line.rstrip() for line in shown.split("\r")[-1].splitlines()]
    assert "3/3" in last[0]
    assert last[1:3] == [
        "  most in one second: 3",
        "  2 accepted, 0 failed, 1 rejected, 0 ambiguous",
    ]
    assert last[3].startswith("  code 131026 (1 rejected): the message cannot be delivered")
    assert shop.phone(2) not in shown


def test_a_program_follows_the_rate_the_outcomes_and_the_codes(shop, cli):
    shop.faults(Fault("refuse", code=131026, recipients=frozenset({shop.phone(2)})))
    shop.planned(3)
    *progress, envelope = [
        json.loads(line)
        for line in cli(*SEND, "--rate", 20, "--yes", "--progress", "json").out.splitlines()
    ]

    last = progress[-1]
    assert (last["event"], last["of"], last["done"], last["total"]) == (
        "progress",
        "broadcast 1",
        3,
        3,
    )
    assert (last["counts"]["accepted"], last["counts"]["rejected"]) == (2, 1)
    assert last["rate"].keys() == {"now", "last_minute", "peak_in_one_second", "told_limit"}
    assert last["rate"]["peak_in_one_second"] == 3
    assert [(code["code"], code["state"], code["n"]) for code in last["codes"]] == [
        (131026, "rejected", 1)
    ]
    assert (last["held"], last["seconds_left"]) == ([], None)
    assert envelope["data"]["counts"] == last["counts"]


def test_a_stopped_broadcast_exits_by_cause_and_says_how_to_continue(shop, cli):
    shop.faults(Fault("expired_token"))
    broadcast = shop.planned(5)
    stopped = cli(*SEND, "--rate", 20, "--yes")
    assert stopped.code == 4
    assert "paused: Meta refused with code 190" in stopped.out
    assert "to continue: wacoex broadcast resume 1" in stopped.out

    again = cli(*SEND, 1, "--yes")
    assert again.code == 2
    assert "`wacoex broadcast resume 1` continues it" in again.err

    shop.faults()
    assert cli("broadcast", "resume", 1, "--yes").code == 0
    assert shop.counts(broadcast) == {"accepted": 5}


def test_resume_without_a_number_continues_the_one_paused_broadcast(shop, cli):
    assert "no broadcast of channel shop is paused" in cli("broadcast", "resume", "--yes").err
    shop.faults(Fault("expired_token"))
    paused = shop.planned(5)
    assert cli(*SEND, "--yes").code == 4
    shop.planned(2)
    shop.faults()

    assert cli("broadcast", "resume", "--yes").code == 0
    assert shop.counts(paused) == {"accepted": 5}


def test_with_several_paused_resume_lists_them(shop, cli):
    shop.faults(Fault("expired_token"))
    for number in (1, 2):
        shop.planned(number, name=f"list {number}")
        assert cli(*SEND, number, "--again", "--yes").code == 4
    several = cli("broadcast", "resume", "--yes")

    assert several.code == 2
    assert "1 (list 1, 1 recipient), 2 (list 2, 2 recipients)" in several.err
    assert "wacoex broadcast resume 1" in several.err


def test_resume_is_not_for_a_planned_or_a_completed_broadcast(shop, cli):
    shop.planned(1)
    assert "`wacoex broadcast send 1` starts it" in cli("broadcast", "resume", 1, "--yes").err
    cli(*SEND, "--yes")
    completed = cli("broadcast", "resume", 1, "--yes")

    assert completed.code == 2
    assert "plan a new one" in completed.err
    assert len(shop.world.log.arrivals) == 1


def test_a_broadcast_planned_against_another_api_is_not_sent_to_this_one(shop, cli):
    shop.planned(1)
    shop.environ["WACOEX_META_BASE_URL"] = "http://127.0.0.1:9"
    refused = cli(*SEND, "--yes")

    assert refused.code == 5
    assert f"was planned against {shop.base_url}" in refused.err
    assert shop.world.log.arrivals == []


def test_an_opt_out_after_planning_is_kept(shop, cli):
    broadcast = shop.planned(3)
    cli("optout", "add", shop.phone(2))
    sent = cli(*SEND, "--yes", "--json")

    assert sent.code == 0
    assert shop.states(broadcast) == ["accepted", "skipped", "accepted"]
    assert sent.data["recipients"] == 2


def test_a_broadcast_of_another_channel_is_not_sent_by_mistake(shop, cli):
    cli("channel", "add", "second", "--phone", "+6560000002")
    shop.planned(1)

    assert cli(*SEND, 1, "--channel", "second", "--yes").code == 2
    assert cli(*SEND, 99, "--yes").code == 2
    assert shop.world.log.arrivals == []


def test_never_more_leave_in_one_second_than_the_rate_says(shop, cli):
    shop.planned(16)
    sent = cli(*SEND, "--rate", 10, "--yes", "--json")

    assert sent.data["taken"] == 16
    assert sent.data["rate"]["peak_in_one_second"] <= 10


def test_list_shows_the_newest_first_with_how_far_each_has_come(shop, cli):
    shop.planned(2, name="first")
    cli(*SEND, "--yes")
    shop.planned(3)
    listed = cli("broadcast", "list", "--json").data["broadcasts"]

    assert [(entry["broadcast_id"], entry["status"], entry["taken"]) for entry in listed] == [
        (2, "planned", 0),
        (1, "completed", 2),
    ]
    assert "first" in cli("broadcast", "list", tty=True).out


def test_show_has_the_keys_of_send_and_says_what_comes_next(shop, cli):
    shop.planned(2)
    assert "to send it: wacoex broadcast send 1" in cli("broadcast", "show", 1).out
    sent = cli(*SEND, "--yes", "--json").data
    shown = cli("broadcast", "show", 1, "--json").data

    assert shown["counts"] == sent["counts"]
    assert shown.keys() >= {"broadcast_id", "status", "reason", "recipients", "taken", "rate"}
    assert cli("broadcast", "show", 2).code == 2


def test_a_mistyped_finding_to_overrule_is_answered_with_the_nearest(run):
    ended = run("broadcast", "send", "--overrule", "wx502", "--yes")

    assert ended.code == 2
    assert "error: `--overrule wx502` names no finding" in ended.err
    assert "hint: did you mean `WX502`?" in ended.err


PEOPLE = 60
MANY = 600
"""They take half a minute: another process is there in time on a busy machine too."""


@pytest.fixture
def start(shop, eventually):
    """Start the program, and wait until it has sent this many messages."""
    children = []

    def start_program(*arguments, arrivals=5):
        child = shop.start("-m", "wacoex_cli", *arguments)
        children.append(child)
        asyncio.run(
            eventually(lambda: len(shop.world.log.arrivals) >= arrivals or child.poll() is not None)
        )
        return child

    yield start_program
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture
def sending(shop, start):
    """A child that is sending broadcast 1."""

    def start_sending(*options):
        return start("broadcast", "send", 1, "--rate", 20, "--yes", *options)

    return start_sending


def interrupted(child, number):
    child.send_signal(number)
    return child.communicate(timeout=30)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_records_everything_and_says_how_to_resume(shop, sending, number, status):
    broadcast = shop.planned(PEOPLE)
    child = sending()
    out, err = interrupted(child, number)

    assert child.returncode == status
    assert (
        "stopping: running requests may finish (10 s at most); press Ctrl-C again to stop at once"
        in err
    )
    assert "broadcast 1 on shop (opening_hours (en_US)): paused: it was interrupted" in out
    assert "to continue: wacoex broadcast resume 1" in out
    counts = shop.counts(broadcast)
    assert counts == {
        "accepted": len(shop.world.log.arrivals),
        "pending": PEOPLE - len(shop.world.log.arrivals),
    }


def test_an_interrupted_script_still_gets_its_json(shop, sending):
    shop.planned(PEOPLE)
    child = sending("--json")
    out, _ = interrupted(child, signal.SIGINT)

    envelope = json.loads(out)
    assert (child.returncode, envelope["exit_code"]) == (130, 130)
    assert envelope["data"]["status"] == "paused"
    assert sum(envelope["data"]["counts"].values()) == PEOPLE


def test_the_first_interrupt_waits_for_answers_and_the_second_does_not(shop, sending, eventually):
    shop.faults(Fault("hang"))
    broadcast = shop.planned(PEOPLE)
    child = sending()
    child.send_signal(signal.SIGINT)
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(eventually(lambda: child.poll() is not None), 1.0))
    out, _ = interrupted(child, signal.SIGINT)

    assert child.returncode == 130
    left = len(shop.world.log.arrivals)
    assert shop.counts(broadcast) == {"ambiguous": left, "pending": PEOPLE - left}
    assert "wacoex broadcast reconcile 1" in out


def test_after_an_interrupt_resume_sends_the_rest(shop, cli, sending):
    broadcast = shop.planned(PEOPLE)
    interrupted(sending(), signal.SIGINT)
    resumed = cli("broadcast", "resume", 1, "--yes", "--json")

    assert (resumed.code, resumed.data["status"]) == (0, "completed")
    assert resumed.data["rate"]["requested"] == 20, "the rate it was sent with"
    assert shop.counts(broadcast) == {"accepted": PEOPLE}
    assert shop.taken_twice() == []


def test_pause_stops_the_sender_in_another_process(shop, cli, sending):
    broadcast = shop.planned(MANY)
    child = sending()
    paused = cli("broadcast", "pause", 1, "--json")
    out, _ = child.communicate(timeout=30)

    assert (paused.code, paused.data["status"]) == (0, "paused")
    assert paused.data["counts"]["sending"] == 0, "it waits until the sender has ended"
    assert child.returncode == 7
    assert "paused by" in out
    assert "to continue: wacoex broadcast resume 1" in out
    arrived = len(shop.world.log.arrivals)
    assert shop.counts(broadcast) == {"accepted": arrived, "pending": MANY - arrived}


def test_cancel_ends_it_for_good(shop, cli, sending):
    broadcast = shop.planned(MANY)
    child = sending()
    cancelled = cli("broadcast", "cancel", 1, "--yes", "--json")
    child.communicate(timeout=30)

    assert (cancelled.code, cancelled.data["status"]) == (0, "cancelled")
    assert child.returncode == 7
    arrived = len(shop.world.log.arrivals)
    assert arrived < MANY
    for verb in ("resume", "send"):
        refused = cli("broadcast", verb, 1, "--yes")
        assert refused.code == 2
        assert "broadcast 1 is cancelled" in refused.err
    assert shop.counts(broadcast) == {"accepted": arrived, "pending": MANY - arrived}


def test_a_second_sender_is_locked_out(shop, cli, sending):
    shop.planned(PEOPLE)
    child = sending()
    second = cli("broadcast", "resume", 1, "--yes", "--json")

    assert second.code == 6
    assert second.envelope["errors"][0]["code"] == "locked"
    assert str(child.pid) in second.envelope["errors"][0]["message"]
    started = cli("broadcast", "send", 1, "--yes", "--json")
    assert (started.code, started.envelope["errors"]) == (6, second.envelope["errors"])
    assert "wacoex broadcast pause 1" in started.envelope["errors"][0]["hint"]
    child.communicate(timeout=30)
    assert child.returncode == 0
    assert shop.taken_twice() == []


def test_while_it_is_being_sent_nobody_can_settle_its_rows(shop, cli, sending, eventually):
    shop.faults(Fault("reset_after", count=1))
    broadcast = shop.planned(PEOPLE)
    sending()
    asyncio.run(eventually(lambda: "ambiguous" in shop.states(broadcast)))
    refused = cli("broadcast", "reconcile", 1, "--as", "sent", "--yes")

    assert refused.code == 6
    assert "wacoex broadcast pause 1" in refused.err
    assert shop.counts(broadcast)["ambiguous"] == 1


def test_a_broadcast_cancelled_during_the_question_is_not_sent(shop, cli):
    broadcast = shop.planned(3)
    cli("broadcast", "cancel", 1, "--yes")

    with pytest.raises(UsageError, match="became cancelled meanwhile"):
        shop.send(broadcast)
    assert shop.counts(broadcast) == {"pending": 3}
    assert shop.current(broadcast).status.value == "cancelled"
    assert shop.state.rows("SELECT * FROM locks") == []


def test_a_sender_whose_broadcast_was_taken_over_does_not_close_it_for_the_other(shop, eventually):
    broadcast = shop.planned(100)

    async def take_over():
        await eventually(lambda: len(shop.world.log.arrivals) >= 5)
        with shop.state.transaction():
            shop.state.execute("UPDATE locks SET holder = 'somebody on another machine'")

    sent = shop.send(broadcast, rate=50.0, during=take_over)
    assert "another process took this broadcast over" in str(sent.stop)
    assert shop.current(broadcast).status.value == "sending"
    assert shop.state.row("SELECT holder FROM locks")["holder"] == "somebody on another machine"


def test_after_a_kill_the_broadcast_is_shown_with_the_command_that_continues_it(shop, cli, sending):
    broadcast = shop.planned(PEOPLE)
    child = sending()
    child.kill()
    child.communicate()
    shown = cli("broadcast", "show", 1)

    assert "wacoex broadcast resume 1" in shown.out
    assert cli("broadcast", "show", 1, "--json").data["is_being_sent"] is False
    assert cli("broadcast", "resume", 1, "--yes").code in (0, 7)
    assert shop.taken_twice() == []
    assert shop.counts(broadcast).keys() <= {"accepted", "ambiguous"}


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_an_inactive_broadcast_cannot_be_paused_or_resumed(shop, cli, verb):
    shop.planned(1)
    refused = cli("broadcast", verb, 1, "--yes") if verb == "resume" else cli("broadcast", verb, 1)

    assert refused.code == 2
    assert "broadcast 1 is planned" in refused.err


def test_cancel_asks_first(shop, cli):
    broadcast = shop.planned(3)
    assert cli("broadcast", "cancel", 1, tty=True, stdin="n\n").code == 1
    assert cli("broadcast", "cancel", 1).code == 2
    assert shop.current(broadcast).status.value == "planned"
    assert "never send to 3 people" in cli("broadcast", "cancel", 1, tty=True, stdin="y\n").err
    assert cli("broadcast", "cancel", 1, "--yes").code == 2, "once is enough"


MANY = 200


@pytest.fixture
def sender(shop, eventually) -> Iterator[subprocess.Popen[str]]:
    """A child process that is sending broadcast 1, some messages into it, some under way."""
    shop.planned(MANY)
    shop.faults(Fault("latency", seconds=0.5))
    child = shop.start("-m", "wacoex_cli", "broadcast", "send", 1, "--rate", 20, "--yes")
    asyncio.run(eventually(lambda: len(shop.world.log.accepted()) >= 5))
    yield child
    child.kill()
    child.communicate()


def rows_in(shop: Any, state: str) -> Any:
    return shop.state.rows("SELECT * FROM recipients WHERE state = ?", [state])


def killed(sender: subprocess.Popen[str]) -> None:
    sender.send_signal(signal.SIGKILL)
    sender.wait()


def test_a_backup_is_whole_private_and_does_not_disturb_the_sender(cli, shop, sender, eventually):
    before = len(shop.world.log.accepted())
    target = shop.directory / "copy.db"

    taken = cli("state", "backup", target, "--json")

    assert (taken.code, taken.data["integrity"]) == (0, "ok")
    assert problems_in(target) == []
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert not list(shop.directory.glob("copy.db?*"))
    asyncio.run(eventually(lambda: len(shop.world.log.accepted()) >= before + 5))
    assert sender.poll() is None


def test_while_a_sender_lives_nothing_is_restored_and_nothing_is_wrong(cli, shop, sender):
    target = shop.directory / "copy.db"
    cli("state", "backup", target)

    refused = cli("state", "restore", target, "--force", "--yes", "--json")
    compacted = cli("state", "prune", "--older-than", 1, "--vacuum", "--yes", "--json")

    for outcome in (refused, compacted):
        assert (outcome.code, outcome.envelope["errors"][0]["code"]) == (6, "locked")
    assert cli("state", "check").code == 0
    [lock] = cli("state", "path", "--json").data["locks"]
    assert (lock["purpose"], lock["pid"], lock["alive"]) == ("broadcast 1", sender.pid, True)


def test_rows_that_the_backup_lacks_are_not_sent_again_without_force(cli, shop, sender, eventually):
    target = shop.directory / "copy.db"
    cli("state", "backup", target)
    known = len(shop.world.log.accepted())
    asyncio.run(eventually(lambda: len(shop.world.log.accepted()) >= known + 15))
    killed(sender)

    refused = cli("state", "restore", target, "--yes", "--json")
    forced = cli("state", "restore", target, "--force", "--yes", "--json")

    assert (refused.code, refused.envelope["errors"][0]["code"]) == (5, "older_state")
    assert refused.envelope["errors"][0]["details"]["lost"]["attempts"] > 0
    assert forced.code == 0
    assert problems_in(Path(forced.data["kept"])) == []
    assert (forced.data["must_be_adopted"], cli("state", "check").code) == (True, 8)
    assert cli("state", "adopt", "--yes").code == 0
    assert cli("state", "check").code == 0
    assert {file.suffix for file in Path(f"{shop.state.path}.presence").iterdir()} == {".lock"}


def test_rows_that_were_on_their_way_in_the_backup_are_never_sent_again(cli, shop, sender):
    killed(sender)
    target = shop.directory / "copy.db"
    cli("state", "backup", target)
    claimed = {row["phone"] for row in rows_in(shop, "sending")}

    restored = cli("state", "restore", target, "--yes", "--json").data
    ambiguous = {row["phone"] for row in rows_in(shop, "ambiguous")}

    assert restored["ambiguous"] == len(claimed) > 0
    assert claimed <= ambiguous


def test_a_dead_sender_is_named_with_the_command_that_settles_its_rows(cli, shop, sender):
    killed(sender)
    claimed = rows_in(shop, "sending")

    answer = cli("state", "check", "--json")

    assert answer.code == 8
    [problem] = answer.data["problems"]
    assert problem["problem"].startswith(f"{len(claimed)} rows of broadcast 1")
    assert problem["remedy"].startswith("wacoex broadcast resume 1 ")
