"""The orchestrator: a durable queue of projects, each run in a tmux session of its own."""
