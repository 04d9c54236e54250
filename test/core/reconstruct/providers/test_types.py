"""How a provider is found by its name, and what is said of names and settings that are wrong."""

from __future__ import annotations

import pytest

from pw_core import plugins
from pw_core.config import ProviderConfig
from pw_core.errors import ErrorCode, ReconstructError
from pw_core.reconstruct.providers.types import DEPTH, VIEWS, DepthProvider, ViewsProvider, load_provider


class Announced:
    """An installed package's entry point."""

    def __init__(self, name: str, made: object) -> None:
        self.name, self.value, self.made = name, "theirs:Made", made

    def load(self) -> object:
        if isinstance(self.made, Exception):
            raise self.made
        return self.made


@pytest.fixture
def announce(monkeypatch):
    def put(made: object) -> None:
        monkeypatch.setattr(plugins, "entry_points", lambda group: [Announced("theirs", made)])

    return put


def refused(match: str, group: plugins.PluginGroup = DEPTH, **config: object) -> None:
    with pytest.raises(ReconstructError, match=match) as caught:
        load_provider(ProviderConfig(**config), group)
    assert caught.value.code == ErrorCode.INVALID_CONFIG


def test_built_in_ones_are_made_from_their_settings() -> None:
    program = {"command": ["depth", "{image}", "{output}"]}
    made = load_provider(ProviderConfig(provider="program", settings=program), DEPTH)
    assert isinstance(made, DepthProvider) and made.settings.command[0] == "depth"
    assert isinstance(load_provider(ProviderConfig(provider="gen3c"), VIEWS), ViewsProvider)


def test_names_nobody_has_are_listed_with_those_there_are(announce) -> None:
    announce(None)
    refused(r"reconstruct\.depth\.provider: 'moge' is not known; there are: program, theirs, transformers",
            provider="moge")  # fmt: skip
    refused(r"reconstruct\.more_views\.provider: 'x' is not known; there are: gen3c, theirs", VIEWS, provider="x")


def test_what_others_announce_must_import_take_its_settings_and_be_a_provider(announce) -> None:
    announce(ImportError("no torch"))
    refused(r"'theirs' \(theirs:Made\) cannot be imported: no torch", provider="theirs")
    announce(lambda: object())
    refused(r"does not take the settings \['size'\]", provider="theirs", settings={"size": 1})
    refused(r"makes a object, which lacks name and depth\(\)", provider="theirs")
