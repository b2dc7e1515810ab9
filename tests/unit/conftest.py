"""What unit tests share."""

import pytest

from tests.cli_world import CliWorld
from tests.world import World


@pytest.fixture
def world(tmp_path):
    """A daemon in surroundings of fakes, nothing queued."""
    return World(tmp_path)


@pytest.fixture
def cli(tmp_path):
    """The command line in such surroundings; no daemon runs."""
    return CliWorld(tmp_path)


@pytest.fixture
def make_world(tmp_path):
    """The same with settings of its own: `make_world(max_concurrent_projects=3)`."""

    def make(**settings):
        return World(tmp_path, **settings)

    return make
