"""The old flags that start a daemon."""

from scheduler_modules.daemon_main import run_daemon
from scheduler_modules.duty_keeper import DEFAULT_MODE, DUTIES_OF_MODE, QUEUE_MODE
from scheduler_modules.legacy.call import OldCall


def daemon(call: OldCall) -> int:
    """`--daemon [--mode checkin|queue]`: run until told to stop."""
    mode = call.mode or DEFAULT_MODE
    announce = "Starting project queue daemon (systemd mode)..." if mode == QUEUE_MODE else None
    return _run(call, mode, DUTIES_OF_MODE[mode], announce)


def queue_daemon(call: OldCall) -> int:
    """`--queue-daemon`: the duties of the queue, under the lock of a plain daemon."""
    duties = DUTIES_OF_MODE[QUEUE_MODE]
    return _run(call, DEFAULT_MODE, duties, "Starting project queue daemon...")


def _run(call: OldCall, mode: str, duties: frozenset[str], announce: str | None) -> int:
    return run_daemon(call.cli.config, mode, duties, announce, load=call.cli.fresh_config)
