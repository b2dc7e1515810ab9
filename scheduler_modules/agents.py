"""Agent profiles, as data: how a coding agent is started, resumed and known to be ready."""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec


class AgentProfile(msgspec.Struct, frozen=True, kw_only=True):
    """What the scheduler knows of one agent. Argument lists are templates, as in specs."""

    name: str
    """What `agent:` and PROJECT_AGENT call it."""
    program: str
    """Looked up on PATH; without it the profile cannot be used."""
    start_argv: tuple[str, ...]
    """Starts the agent and hands it the spec."""
    resume_argv: tuple[str, ...]
    """Takes the last conversation in the project folder up again."""
    ready_pattern: str
    """Regular expression; found in one of the pane's last lines while the agent awaits input."""


_CLAUDE = AgentProfile(
    name="claude",
    program="claude",
    start_argv=(
        "claude",
        "Read the specification {spec} and carry it out in the folder {project}. When all it asks "
        "for is done and checked, run: tmux-orchestrator done. If it cannot be done, run: "
        'tmux-orchestrator fail "the reason in one line".',
    ),
    resume_argv=("claude", "--continue"),
    ready_pattern=r"^[\s│]*[>❯](?:\s|$)",
)

AGENT_PROFILES: Mapping[str, AgentProfile] = MappingProxyType({_CLAUDE.name: _CLAUDE})
"""Profiles by name."""
