"""The machine's clock: the only place that asks the time."""

import time
from functools import cached_property
from pathlib import Path

from scheduler_modules.errors import SchedulerError

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class SystemClock:
    """The port `Clock` on Linux."""

    def now(self) -> float:
        """Return seconds since the epoch, UTC."""
        return time.time()

    def since_boot_sec(self) -> float:
        """Return seconds since boot, suspend included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot_id(self) -> str:
        """Return the kernel's id of this boot.

        Raises:
            SchedulerError: there is no /proc to ask.
        """
        return self._boot_id

    @cached_property
    def _boot_id(self) -> str:
        try:
            return _BOOT_ID.read_text("ascii").strip()
        except OSError as error:
            raise SchedulerError(f"{_BOOT_ID} cannot be read: {error.strerror}") from error
