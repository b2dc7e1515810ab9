"""A home folder with files of settings in it."""

from pathlib import Path

import pytest

from scheduler_modules.config import LoadedConfig, load_config
from scheduler_modules.errors import EXIT_USAGE, ConfigError


class ConfigFolder:
    """Loads with some variables set, and with these files in home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(mode=0o700)

    def load(
        self, dotenv: str | None = None, toml: str | None = None, **variables: str
    ) -> LoadedConfig:
        if dotenv is not None:
            (self.home / ".env").write_text(dotenv)
        if toml is not None:
            (self.home / "config.toml").write_text(toml)
        return load_config({"TMUX_ORCHESTRATOR_HOME": str(self.home), **variables})

    def refusal(self, **settings: str) -> ConfigError:
        """Return the refusal these settings bring."""
        with pytest.raises(ConfigError) as caught:
            self.load(**settings)
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == EXIT_USAGE
        return caught.value
