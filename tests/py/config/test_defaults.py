"""Settings that nobody gave: presets of the engine, documented values, and a manual that knows them all."""

from pathlib import Path

import pytest

from llmcore._core import Config
from llmcore.config import Settings
from llmcore.config_sources import VARIABLES
from support.settings import plain


def test_unset_settings_are_the_engines_server_preset() -> None:
    assert plain(Settings().engine_config()) == plain(Config.server())
    assert Settings().cache.enabled is False


def test_the_game_preset_is_the_engines_and_turns_the_cache_on() -> None:
    settings = Settings(queue={"preset": "game"})
    assert plain(settings.engine_config()) == plain(Config.game())
    assert settings.cache.enabled is True
    assert Settings(queue={"preset": "game"}, cache={"enabled": False}).cache.enabled is False


def test_defaults_of_a_call_are_documented_values() -> None:
    defaults = Settings().defaults
    assert (defaults.temperature, defaults.max_tokens, defaults.deadline) == (1.0, 2800, 120.0)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().provider = "openai"


def test_every_setting_is_in_the_manual() -> None:
    manual = Path(__file__).parents[3] / "docs" / "configuration.md"
    if not manual.is_file():
        pytest.skip("the manual is not part of a source distribution")
    text = manual.read_text("utf-8")
    for name, kind in Settings.model_fields.items():
        assert f"`{name}" in text, name
        for field in getattr(kind.annotation, "model_fields", {}):
            assert f"`{name}.{field}" in text, f"{name}.{field}"
    for variable in VARIABLES:
        assert variable in text
