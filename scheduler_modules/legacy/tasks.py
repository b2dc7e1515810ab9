"""The old flags about check-ins."""

from scheduler_modules.checkin_manager import CheckinManager
from scheduler_modules.errors import EXIT_DONE, EXIT_FAILED, InvalidInput
from scheduler_modules.legacy.call import OldCall, cell, local_time

HEADER = "ID | Session | Role | Window | Next Run | Interval | Note"


def add(call: OldCall) -> int:
    """`--add SESSION ROLE WINDOW INTERVAL NOTE`"""
    session, role, window, interval, note = call.operands
    try:
        numbers = int(window), int(interval)
    except ValueError:
        call.cli.terminal.error("WINDOW and INTERVAL must be whole numbers; nothing was added")
        return EXIT_FAILED
    try:
        scheduled = _manager(call).enqueue_task(session, role, *numbers, note)
    except InvalidInput as error:
        # Scripts tell only 0 from the rest here, and 1 is what a failed add has always been.
        call.cli.terminal.error(f"{error}; nothing was added")
        return EXIT_FAILED
    call.say(f"Task {scheduled.task_id} added successfully")
    if not scheduled.is_new:
        call.cli.terminal.warn(f"task {scheduled.task_id} stood there already; it was not doubled")
    return EXIT_DONE


def list_tasks(call: OldCall) -> int:
    """`--list`"""
    tasks = _manager(call).list_tasks()
    if not tasks:
        call.say("No scheduled tasks")
        return EXIT_DONE
    call.say(HEADER)
    call.say("-" * 70)
    for task in tasks:
        values = (
            task.id,
            task.session_name,
            task.agent_role,
            task.window_index,
            local_time(task.next_run),
            task.interval_minutes,
            task.note,
        )
        call.say(" | ".join(cell(value, "None") for value in values))
    return EXIT_DONE


def remove(call: OldCall) -> int:
    """`--remove ID`"""
    task_id = call.number or 0
    was_there = _manager(call).remove_task(task_id)
    call.say(f"Task {task_id} {'removed' if was_there else 'not found'}")
    return EXIT_DONE


def _manager(call: OldCall) -> CheckinManager:
    return CheckinManager(call.cli.store, call.cli.clock)
