"""What an answer means, when a broadcast pauses, how it exits: decisions as tables."""

from datetime import UTC, datetime, timedelta

import pytest

from wacoex_cli.broadcast.engine import exit_status, judge
from wacoex_cli.broadcast.model import Claim, Counts, RowState, Settled, Stop
from wacoex_cli.platforms.meta import NotSent, Refused, Taken, Unclear

NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)

# Written out here once more, so that the table in the package cannot drift away unnoticed.
RETRY = [2, 4, 17, 341, 613, 80007, 80008, 130429, 131016, 131056, 131057, 2494100]
RETRY += [132069, 133004, 133015, 134101]
AMBIGUOUS = [1, 131000]
STOP = [0, 3, 10, 33, 102, 104, 190, *range(200, 300), 368, 131005, 131031, 131037, 131042]
STOP += [131044, 131045, 131048, 131055, 131063, 131064, 132000, 132001, 132007, 132012]
STOP += [132015, 132016, 132068, *range(133005, 133011), 134011, 134100, 134102]
ROW = [100, 130403, 130472, 130497, 131008, 131009, 131021, 131026, 131030, 131047, 131049]
ROW += [131050, 131051, 131052, 131053, 131062, 132005, 132008, 132018, 135000, 137000]


def claim(tries: int = 1) -> Claim:
    return Claim(7, "+6591000007", "[]", attempt=3, tries_in_run=tries, first_try_in_run_at=NOW)


def after_refusal(code: int, *, tries: int = 1, **more):
    return judge(claim(tries), Refused(code, **more), NOW)


def test_a_message_id_means_accepted():
    verdict = judge(claim(), Taken("wamid.1", "held_for_quality_assessment"), NOW)

    assert verdict.settled == Settled(
        7,
        3,
        RowState.ACCEPTED,
        message_id="wamid.1",
        message_status="held_for_quality_assessment",
    )
    assert (verdict.throttled, verdict.hold_seconds, verdict.stop) == (False, 0.0, None)


def test_no_usable_answer_means_ambiguous_and_says_nothing_about_the_rate():
    verdict = judge(claim(), Unclear("the answer took too long"), NOW)

    assert verdict.settled.state is RowState.AMBIGUOUS
    assert verdict.settled.detail == "the answer took too long"
    assert (verdict.throttled, verdict.stop) == (None, None)


@pytest.mark.parametrize(("tries", "seconds"), [(1, 1), (2, 4), (3, 16), (4, 64)])
def test_a_connection_that_was_never_made_is_tried_again_ever_later(tries, seconds):
    settled = judge(claim(tries), NotSent("no connection"), NOW).settled

    assert settled.state is RowState.RETRY
    assert settled.not_before == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("code", RETRY)
def test_throttled_or_refused_before_it_was_taken_means_retry(code):
    verdict = after_refusal(code)

    assert verdict.settled.state is RowState.RETRY
    assert verdict.settled.code == code
    assert verdict.settled.not_before is not None
    assert verdict.settled.not_before > NOW
    assert verdict.stop is None
    assert verdict.throttled is (code == 130429)


@pytest.mark.parametrize("code", AMBIGUOUS)
def test_a_code_that_may_hide_a_sent_message_means_ambiguous(code):
    verdict = after_refusal(code)

    assert verdict.settled.state is RowState.AMBIGUOUS
    assert verdict.settled.code == code
    assert verdict.stop is None


@pytest.mark.parametrize("code", STOP)
def test_a_code_of_the_whole_account_stops_and_leaves_the_row_to_the_next_run(code):
    verdict = after_refusal(code)

    assert verdict.settled.state is RowState.RETRY
    assert verdict.settled.not_before == NOW
    assert verdict.stop is not None
    assert verdict.stop.code == code
    assert f"code {code}" in verdict.stop.reason


def test_an_object_that_the_token_cannot_see_stops():
    stop = after_refusal(100, subcode=33).stop
    assert stop is not None
    assert stop.exit_status == 4


@pytest.mark.parametrize("code", [*ROW, 424242])
def test_a_code_of_one_person_or_an_unknown_one_rejects_the_row(code):
    verdict = after_refusal(code, details="why")

    assert verdict.settled.state is RowState.REJECTED
    assert (verdict.settled.code, verdict.settled.detail) == (code, "why")
    assert verdict.stop is None
    assert verdict.settled.opts_out is (code == 131050)


@pytest.mark.parametrize(
    ("code", "cause"),
    [(0, 4), (3, 4), (10, 4), (102, 4), (190, 4), (200, 4), (299, 4), (131031, 5)],
)
def test_a_stop_for_the_token_exits_with_4_and_any_other_with_5(code, cause):
    stop = after_refusal(code).stop
    assert stop is not None
    assert stop.exit_status == cause


@pytest.mark.parametrize(
    ("code", "tries", "asked", "seconds"),
    [
        (131056, 1, {}, 1),
        (131056, 2, {}, 4),
        (131056, 4, {}, 64),
        (130429, 1, {"retry_after_seconds": 7.0}, 7),
        (130429, 3, {"retry_after_seconds": 7.0}, 16),
        (80007, 1, {"regain_minutes": 5.0}, 300),
        (80007, 1, {"regain_minutes": 5.0, "retry_after_seconds": 400.0}, 400),
    ],
)
def test_a_retry_waits_four_times_longer_each_time_and_never_shorter_than_asked(
    code, tries, asked, seconds
):
    settled = after_refusal(code, tries=tries, **asked).settled
    assert settled.not_before == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("code", "asked", "seconds"),
    [
        (131056, {}, 0),
        (130429, {}, 0),
        (130429, {"retry_after_seconds": 30.0}, 30),
        (130429, {"regain_minutes": 12.0}, 720),
        (4, {}, 60),
        (80007, {"regain_minutes": 2.0}, 120),
    ],
)
def test_the_whole_number_waits_when_meta_asks_for_it_or_the_code_is_of_the_number(
    code, asked, seconds
):
    assert after_refusal(code, **asked).hold_seconds == seconds


CREDENTIALS, REFUSED, TEMPORARY = (Stop("why", status) for status in (4, 5, 6))


@pytest.mark.parametrize(
    ("counts", "stop", "status"),
    [
        ({"accepted": 3}, None, 0),
        ({"accepted": 3, "skipped": 2}, None, 0),
        ({"sent": 1, "delivered": 1, "read": 1, "skipped": 1}, None, 0),
        ({"skipped": 2}, None, 0),
        ({"accepted": 3, "rejected": 1}, None, 7),
        ({"accepted": 3, "failed": 1}, None, 7),
        ({"accepted": 3, "pending": 9}, CREDENTIALS, 7),
        ({"accepted": 3, "retry": 1}, TEMPORARY, 7),
        ({"failed": 1}, None, 7),
        ({"ambiguous": 1}, None, 7),
        ({"ambiguous": 1, "pending": 9}, CREDENTIALS, 7),
        ({"pending": 9, "retry": 1}, CREDENTIALS, 4),
        ({"pending": 9, "retry": 1}, REFUSED, 5),
        ({"retry": 1}, TEMPORARY, 6),
        ({"retry": 1}, None, 6),
        ({"rejected": 4, "skipped": 1}, None, 5),
    ],
)
def test_the_exit_status_says_whether_all_some_or_nobody_was_sent_to(counts, stop, status):
    by_state = {RowState(name): n for name, n in counts.items()}
    assert exit_status(Counts(by_state), stop) == status
