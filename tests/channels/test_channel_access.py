"""From a channel to the API behind it, with the token and settings of that channel."""

from __future__ import annotations

from pathlib import Path

import pytest

from wacoex_cli.channels.access import meta_for
from wacoex_cli.channels.model import Channel
from wacoex_cli.errors import CredentialError, UsageError
from wacoex_cli.terminal.options import Invocation

SHOP = Channel(phone="+6560000001", name="shop-2", channel_id=1)


def test_a_channel_without_a_token_cannot_reach_meta() -> None:
    with (
        Invocation().open_workspace() as workspace,
        pytest.raises(CredentialError, match="there is no meta-token for channel `shop-2`"),
    ):
        meta_for(workspace, SHOP)


def test_a_channel_with_its_own_server_says_so(
    monkeypatch: pytest.MonkeyPatch, isolated_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = isolated_home / ".config/wacoex/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[channels.shop-2]\nmeta_base_url = "http://localhost:4555/"\n')
    monkeypatch.setenv("WACOEX_META_TOKEN_SHOP_2", "token-0123456789")
    invocation = Invocation()

    with invocation.open_workspace() as workspace:
        assert capsys.readouterr().err == ""
        meta_for(workspace, SHOP)
        meta_for(workspace, SHOP)

    assert capsys.readouterr().err == ("sandbox: talking to http://localhost:4555, not to Meta\n")
    assert invocation.learnt.sandbox_url == "http://localhost:4555"


def test_an_id_that_is_not_known_is_asked_for() -> None:
    with pytest.raises(UsageError, match="channel `shop-2` has no waba_id") as raised:
        SHOP.demand_waba_id()

    assert raised.value.hint == "run `wacoex channel edit shop-2 --waba-id ID`"
