"""How a daemon's log lines look and where they go. Modules only call stdlib logging."""

import logging
import logging.handlers
import sys
from pathlib import Path

MAX_BYTES = 5 * 1024 * 1024
BACKUPS = 3


def set_up_logging(level: str, log_file: Path) -> None:
    """Send every record to stderr and to a rotating file, one line each: event, then facts.

    A file that cannot be written is said once on stderr; the daemon goes on without it.
    """
    # A full disk must not print tracebacks from inside logging itself.
    logging.raiseExceptions = False
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.setLevel(level)
    _add(root, logging.StreamHandler(sys.stderr))
    try:
        log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _add(
            root,
            logging.handlers.RotatingFileHandler(
                log_file, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8", delay=True
            ),
        )
    except OSError as error:
        sys.stderr.write(f"warning: no log file: {log_file}: {error.strerror}\n")


def _add(root: logging.Logger, handler: logging.Handler) -> None:
    handler.setFormatter(_formatter())
    root.addHandler(handler)


def _formatter() -> logging.Formatter:
    import structlog

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            # repr of each value: no text of a project can start a new line or colour a terminal.
            structlog.processors.KeyValueRenderer(
                key_order=["timestamp", "level", "event"], repr_native_str=True
            ),
        ],
    )
