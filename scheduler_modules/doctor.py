"""What `doctor` says in all: its findings in order, and the exit code they come to."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from scheduler_modules.doctor_values import Finding, Level, bad
from scheduler_modules.errors import EXIT_DONE, EXIT_FAILED, SchedulerError
from scheduler_modules.utils import one_line

Check = Callable[[], Iterable[Finding]]


def findings_of(checks: Sequence[tuple[str, Check]]) -> Iterator[Finding]:
    """Give what each check finds; one that cannot be made is a finding itself.

    `checks`: what each is about, and how it is made.
    """
    for name, check in checks:
        try:
            yield from check()
        except (SchedulerError, OSError) as error:
            yield bad(name, f"cannot be looked at: {one_line(str(error))}", "put that right first")


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 1 where something is bad, else 0: warnings are no failure."""
    is_bad = any(finding.level is Level.BAD for finding in findings)
    return EXIT_FAILED if is_bad else EXIT_DONE
