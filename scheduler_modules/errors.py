"""Everything that can go wrong, as types. Each knows the exit code its caller should see."""

from pathlib import Path

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_FOUND = 3
EXIT_STATE = 4
EXIT_TMUX = 5
EXIT_DATABASE = 6
EXIT_NO_DAEMON = 7
EXIT_DISK_FULL = 8
EXIT_INTERRUPTED = 130
EXIT_READER_GONE = 141
"""128 + SIGPIPE, as any program that writes into a pipe nobody reads any more."""


class SchedulerError(Exception):
    """Base of all errors of this product. Its text is one line a person can act on."""

    exit_code = EXIT_FAILED


class InvalidInput(SchedulerError):
    """What the caller gave cannot be used; nothing was changed."""

    exit_code = EXIT_USAGE


class ConfigError(InvalidInput):
    """A setting has a value that is not allowed."""

    def __init__(self, name: str, value: str, allowed: str, origin: str = "environment") -> None:
        super().__init__(f"{name}={value!r} ({origin}): allowed is {allowed}")
        self.name, self.value, self.allowed, self.origin = name, value, allowed, origin


class ConfigFileError(ConfigError):
    """A file of settings cannot be read. `line` is 1-based; None where no line is to blame.

    The text never quotes the line: it may hold a secret.
    """

    def __init__(self, path: str | Path, problem: str, line: int | None = None) -> None:
        where = f"{path}:{line}" if line is not None else f"{path}"
        SchedulerError.__init__(self, f"{where}: {problem}")
        self.name, self.value, self.allowed, self.origin = "", "", problem, where
        self.path, self.problem, self.line = str(path), problem, line


class UnusableHome(InvalidInput):
    """The folder that state is kept in cannot be trusted or used; nothing was changed in it."""

    def __init__(self, path: str | Path, problem: str) -> None:
        super().__init__(f"state folder {path}: {problem}")
        self.path, self.problem = str(path), problem


class SpecError(InvalidInput):
    """A spec cannot be used. `line` is 1-based; None where no line is to blame."""

    def __init__(self, path: str | Path, problem: str, line: int | None = None) -> None:
        where = f"{path}:{line}" if line is not None else f"{path}"
        super().__init__(f"{where}: {problem}")
        self.path, self.problem, self.line = str(path), problem, line


class NotFound(SchedulerError):
    """Nothing has that id or name."""

    exit_code = EXIT_NOT_FOUND


class ProjectNotFound(NotFound):
    """No project has that id."""

    def __init__(self, project_id: int) -> None:
        super().__init__(f"project {project_id} not found")
        self.project_id = project_id


class NotPossible(SchedulerError):
    """The thing exists, but its present state does not allow this."""

    exit_code = EXIT_STATE


class IllegalTransition(NotPossible):
    """The state machine forbids this move."""

    def __init__(self, project_id: int, old: str, new: str) -> None:
        super().__init__(f"project {project_id}: {old} cannot become {new}")
        self.project_id, self.old, self.new = project_id, old, new


class StaleToken(NotPossible):
    """Another run holds this project now; what the old one reports is refused."""

    def __init__(self, project_id: int) -> None:
        super().__init__(f"project {project_id}: this run is over, its report is refused")
        self.project_id = project_id


class TmuxUnavailable(SchedulerError):
    """tmux could not be asked. That says nothing about any session."""

    exit_code = EXIT_TMUX


class TmuxRefused(SchedulerError):
    """tmux was asked and said no; nothing was created."""

    exit_code = EXIT_TMUX


class SessionExists(TmuxRefused):
    """A session of that name is there already."""

    def __init__(self, session_name: str) -> None:
        super().__init__(f"a tmux session named {session_name!r} exists already")
        self.session_name = session_name


class SessionGone(TmuxRefused):
    """The session, window or pane that was meant is not there any more."""


class DatabaseUnavailable(SchedulerError):
    """The database cannot be opened or is not ours; the file was left as it is."""

    exit_code = EXIT_DATABASE


class DiskFull(SchedulerError):
    """No space is left where state is kept; what was asked did not happen."""

    exit_code = EXIT_DISK_FULL


class NoDaemon(SchedulerError):
    """This needs a running daemon and there is none."""

    exit_code = EXIT_NO_DAEMON


class OutputLost(SchedulerError):
    """stdout cannot be written; what was done stays done."""


class ReaderGone(SchedulerError):
    """Whoever read our stdout has gone; nobody wants to hear of it."""

    exit_code = EXIT_READER_GONE


class LockHeld(SchedulerError):
    """Another process holds the lock."""

    def __init__(self, name: str, holder: str) -> None:
        super().__init__(f"lock {name} is held by {holder}")
        self.name, self.holder = name, holder


class StopNow(BaseException):
    """The time for an orderly stop is over; raised in the main thread, wherever that is.

    No `Exception`, so that no guard round a step swallows it.
    """
