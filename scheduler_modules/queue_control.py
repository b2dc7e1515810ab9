"""What may start, and when: pauses, groups, holds, start times, order. Never a project's status."""

from collections.abc import Sequence

import msgspec

from scheduler_modules.errors import InvalidInput, NotFound, NotPossible
from scheduler_modules.model import FactName, Group, Project, ProjectState, Run
from scheduler_modules.queue_moves import QueueMoves
from scheduler_modules.utils import GROUP_PATTERN

PAUSED_AT = "paused_at"
"""The key of `scheduler_state` that says since when the whole queue is paused; empty: it is not."""


class QueueControl:
    """Each method is one transaction; the fact that tells of a change commits with it."""

    def __init__(self, moves: QueueMoves) -> None:
        self._moves = moves
        self._store = moves.store
        self._clock = moves.clock

    # -- the whole queue --------------------------------------------------------------------

    def paused_at(self) -> float | None:
        """Return since when nothing new starts; None: the queue is not paused."""
        stored = self._store.get_state(PAUSED_AT)
        try:
            return float(stored) if stored else None
        except ValueError:
            # Somebody wrote another word: it is paused, and nobody knows since when.
            return 0.0

    def pause_queue(self) -> bool:
        """Start nothing new, on any host; what runs goes on. False: it was paused already."""
        with self._moves.transaction():
            if self.paused_at() is not None:
                return False
            self._store.set_state(PAUSED_AT, repr(self._clock.now()))
            self._moves.tell(FactName.QUEUE_PAUSED)
        return True

    def resume_queue(self) -> bool:
        """Let the queue start projects again. False: it was not paused."""
        with self._moves.transaction():
            if self.paused_at() is None:
                return False
            self._store.set_state(PAUSED_AT, "")
            self._moves.tell(FactName.QUEUE_RESUMED)
        return True

    # -- groups -----------------------------------------------------------------------------

    def groups(self) -> list[Group]:
        """Return all groups by name, the default one (`""`) first."""
        return self._store.groups()

    def group(self, name: str) -> Group:
        """Return a group.

        Raises:
            NotFound: nobody has made it.
        """
        for group in self._store.groups():
            if group.name == name:
                return group
        raise NotFound(f"there is no group {name!r}; `group list` shows them")

    def set_limit(self, name: str, max_running: int | None) -> None:
        """Let at most so many projects of a group run at once; a new group is made.

        None: only the limit over the whole queue counts.

        Raises:
            InvalidInput: the name or the number is not allowed.
        """
        check_group_name(name)
        if max_running is not None and max_running < 1:
            raise InvalidInput(f"a group's limit is 1 or more, not {max_running}; pause it instead")
        with self._moves.transaction():
            known = {group.name: group for group in self._store.groups()}
            paused_at = known[name].paused_at if name in known else None
            self._store.save_group(name, max_running, paused_at)
            self._moves.tell(FactName.GROUP_CHANGED, group=name, max_running=max_running)

    def pause_group(self, name: str) -> bool:
        """Start nothing new of a group. False: it was paused already.

        Raises:
            NotFound
        """
        return self._set_paused(name, self._clock.now(), FactName.GROUP_PAUSED)

    def resume_group(self, name: str) -> bool:
        """Let a group start projects again. False: it was not paused.

        Raises:
            NotFound
        """
        return self._set_paused(name, None, FactName.GROUP_RESUMED)

    def remove_group(self, name: str) -> None:
        """Delete a group that no queued or running project belongs to.

        Raises:
            NotFound
            NotPossible: it is still used, or it is the default group.
        """
        with self._moves.transaction():
            group = self.group(name)
            if not name:
                raise NotPossible("the default group cannot be removed")
            if not self._store.remove_group(name):
                used = group.queued + group.running
                have = "1 project that has" if used == 1 else f"{used} projects that have"
                raise NotPossible(f"group {name} still has {have} not ended")
            self._moves.tell(FactName.GROUP_REMOVED, group=name)

    # -- one project ------------------------------------------------------------------------

    def hold(self, project_id: int) -> bool:
        """Set a queued project aside until it is released. False: it was already.

        Raises:
            ProjectNotFound
            NotPossible: it is not queued.
        """
        with self._moves.transaction():
            before = self._queued(project_id)
            if before.held_at is not None:
                return False
            self._save(before, held_at=self._clock.now())
            self._moves.tell(FactName.PROJECT_HELD, project_id)
        return True

    def release(self, project_id: int) -> bool:
        """Let a project that was set aside start again. False: it was not set aside.

        Raises:
            ProjectNotFound
        """
        with self._moves.transaction():
            before = self._moves.get(project_id)
            if before.held_at is None:
                return False
            self._save(before, held_at=None)
            self._moves.tell(FactName.PROJECT_RELEASED, project_id)
        return True

    def want_pause(self, project_id: int) -> bool:
        """Ask for the processes of a running project to be stopped. False: that is so already.

        The daemon of the host it runs on stops them; no time-out counts the time they stand.

        Raises:
            ProjectNotFound
            NotPossible: nothing of ours runs for it.
        """
        return self._want(project_id, is_pause_wanted=True)

    def want_resume(self, project_id: int) -> bool:
        """Ask for the processes of a paused project to go on. False: they are not to be paused.

        Raises:
            ProjectNotFound
            NotPossible: nothing of ours runs for it.
        """
        return self._want(project_id, is_pause_wanted=False)

    def set_priority(self, project_id: int, priority: int) -> None:
        """Change a queued project's priority; higher runs first."""
        with self._moves.transaction():
            self._save(self._queued(project_id), priority=priority)
            self._moves.tell(FactName.PROJECT_CHANGED, project_id, priority=priority)

    def set_group(self, project_id: int, name: str) -> None:
        """Move a queued project to another group, which is made if nobody has made it yet."""
        check_group_name(name)
        with self._moves.transaction():
            self._save(self._queued(project_id), group=name)
            self._moves.tell(FactName.PROJECT_CHANGED, project_id, group=name)

    def set_start(self, project_id: int, not_before: float | None) -> None:
        """Let a queued project start at that time at the earliest; None: at once.

        `not_before`: seconds since the epoch, UTC.
        """
        with self._moves.transaction():
            self._save(self._queued(project_id), not_before=not_before)
            self._moves.tell(FactName.PROJECT_CHANGED, project_id, start_at=not_before)

    def set_host(self, project_id: int, host: str | None) -> None:
        """Let only that host run a queued project; None: any."""
        with self._moves.transaction():
            self._save(self._queued(project_id), host=host)
            self._moves.tell(FactName.PROJECT_CHANGED, project_id, host=host or "")

    def set_dependencies(self, project_id: int, spec_keys: Sequence[str]) -> None:
        """Replace what a queued project waits for.

        Raises:
            InvalidInput: it would wait for itself.
        """
        with self._moves.transaction():
            self._queued(project_id)
            own_key = self._store.spec_key_of(project_id)
            if own_key is not None:
                self._moves.refuse_circle(own_key, spec_keys)
            self._store.set_dependencies(project_id, spec_keys)
            self._moves.tell(FactName.PROJECT_CHANGED, project_id, after=list(spec_keys))

    # -- below: each runs inside the caller's transaction -----------------------------------

    def _set_paused(self, name: str, paused_at: float | None, fact: FactName) -> bool:
        with self._moves.transaction():
            group = self.group(name)
            if (group.paused_at is None) == (paused_at is None):
                return False
            self._store.save_group(name, group.max_running, paused_at)
            self._moves.tell(fact, group=name)
        return True

    def _queued(self, project_id: int) -> Project:
        project = self._moves.get(project_id)
        if project.state is not ProjectState.QUEUED:
            word = "running" if project.state is ProjectState.PROCESSING else project.status
            raise NotPossible(f"project {project_id} is {word or 'without a status'}, not queued")
        return project

    def _save(self, before: Project, **changes: object) -> None:
        self._moves.save(before, msgspec.structs.replace(before, **changes))

    def _want(self, project_id: int, *, is_pause_wanted: bool) -> bool:
        with self._moves.transaction():
            run = self._running(project_id)
            if run.is_pause_wanted == is_pause_wanted:
                return False
            self._moves.write(msgspec.structs.replace(run, is_pause_wanted=is_pause_wanted))
            name = FactName.PROJECT_HELD if is_pause_wanted else FactName.PROJECT_RELEASED
            self._moves.tell(name, project_id, run)
        return True

    def _running(self, project_id: int) -> Run:
        project = self._moves.get(project_id)
        run = self._moves.open_run_of(project_id)
        if run is None:
            is_elsewhere = project.state is ProjectState.PROCESSING
            word = "run by another program" if is_elsewhere else f"{project.status}, not running"
            raise NotPossible(f"project {project_id} is {word}")
        return run


def check_group_name(name: str) -> None:
    """Let a group's name pass; the empty one is the default group's.

    Raises:
        InvalidInput: see its text.
    """
    if name and not GROUP_PATTERN.fullmatch(name):
        raise InvalidInput(
            f"group {name[:80]!r}: allowed are up to 40 letters, digits, '_', '.' and '-',"
            " beginning with a letter or a digit"
        )
