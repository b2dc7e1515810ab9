"""What tests with real processes share, and the figures they are to print."""

import shutil
from collections.abc import Iterator

import pytest

from tests.lab.installation import Installation, installation
from tests.lab.promises import Promise

_figures = pytest.StashKey[list[str]]()


@pytest.fixture
def place() -> Iterator[Installation]:
    """A fresh installation with real processes, gone without a trace at the end."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    with installation() as fresh:
        yield fresh


@pytest.fixture
def promise(request: pytest.FixtureRequest) -> Promise:
    """A promise under trial; its figure is printed at the end of the whole run."""
    figures = request.config.stash.setdefault(_figures, [])
    return Promise(lambda figure: figures.append(f"{request.node.name}: {figure}"))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    figures = config.stash.get(_figures, [])
    if figures:
        terminalreporter.section("promises")
        for figure in figures:
            terminalreporter.write_line(figure)
