"""What `events pull` goes and asks about: people whose fate is unclear, messages without an end."""

from __future__ import annotations

from datetime import timedelta

from wacoex_cli import app
from wacoex_cli.broadcast.projection import interest
from wacoex_cli.broadcast.store import Broadcasts
from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details
from wacoex_cli.events import consumers
from wacoex_cli.foundation.clock import to_text


def test_who_is_unclear_comes_first_and_what_is_long_over_is_left_alone(state, clock):
    channel = registry.add_channel(state, "shop", Details(phone="+6560000001"), clock.now())
    lately, long_ago = (to_text(clock.now() - timedelta(days=days)) for days in (2, 30))
    rows = [
        (1, "+6591000001", "read", "wamid.1", lately),
        (2, "+6591000002", "ambiguous", None, long_ago),
        (3, "+6591000003", "sent", "wamid.3", lately),
        (4, "+6591000004", "sent", "wamid.4", long_ago),
        (5, "+6591000005", "skipped", None, None),
    ]
    with state.transaction():
        state.execute(
            "INSERT INTO broadcasts (broadcast_id, channel_id, status, template,"
            " parameter_sources, recipients_file, api_base_url, rate, planned_at)"
            " VALUES (9, ?, 'completed', '{}', '{}', '', '', 20, '')",
            [channel.channel_id],
        )
        state.execute_many(
            "INSERT INTO recipients (broadcast_id, row, line, phone, parameters, attempts, state,"
            " message_id, answered_at) VALUES (9, ?, 1, ?, '[]', 1, ?, ?, ?)",
            rows,
        )

    found = interest(state, channel, clock.now())

    assert found.phones == ("+6591000002", "+6591000001", "+6591000003")
    assert found.message_ids == {"wamid.3": f"wacoex-{Broadcasts(state).state_id}-9-3-1"}
    assert consumers.interest(state, channel, clock.now()) == found


def test_the_program_hands_every_projection_over_under_a_name_of_its_own():
    names = [one.name for one in consumers.projections()]

    assert names == [one.name for one in app.projections()]
    assert len(names) == len(set(names)) >= 4
