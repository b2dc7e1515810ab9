"""The old flags about projects in the queue."""

from scheduler_modules.cli.daemons import why_nothing_launches
from scheduler_modules.cli.words import NO_STATUS
from scheduler_modules.errors import EXIT_DONE, EXIT_FAILED, SchedulerError
from scheduler_modules.legacy.call import INVALID_ID, OldCall, cell, working_folder
from scheduler_modules.queue_manager import RECOVERABLE

HEADER = "ID | Spec | Project | Status | Priority | Enqueued At | Error"


def queue_add(call: OldCall) -> int:
    """`--queue-add SPEC PROJECT`"""
    from scheduler_modules.legacy.intake import typed_project

    spec_path, project_path = call.operands
    new, warnings = typed_project(
        spec_path, project_path, base_dir=working_folder(), now=call.cli.clock.now()
    )
    result = call.cli.queue.enqueue(new)
    for warning in warnings:
        call.cli.terminal.warn(warning)
    found = result.duplicate_of
    if found is not None:
        call.cli.terminal.warn(f"project {found.id} has this spec and is {found.status}; not added")
    call.say(f"Project {result.project_id} added to queue")
    return EXIT_DONE


def queue_list(call: OldCall) -> int:
    """`--queue-list`"""
    _, rows = call.cli.store.raw_projects()
    if not rows:
        call.say("No queued projects")
        return EXIT_DONE
    call.say(HEADER)
    call.say("-" * 80)
    for row in rows:
        call.say(" | ".join(cell(value, "-") for value in row))
    return EXIT_DONE


def queue_status(call: OldCall) -> int:
    """`--queue-status ID`"""
    names, rows = call.cli.store.raw_projects()
    row = next((row for row in rows if row[names.index("id")] == call.number), None)
    if row is None:
        call.say(f"Project {call.number} not found")
        return EXIT_DONE
    for name, value in zip(names, row, strict=True):
        call.say(f"{name}: {cell(value, 'None')}")
    return EXIT_DONE


def mark_recovered(call: OldCall) -> int:
    """`--mark-recovered ID`"""
    number = call.number or 0
    project = call.project(number)
    if project is None:
        call.say(f"❌ Invalid project ID or state: Project {number} not found")
        return EXIT_FAILED
    if project.state not in RECOVERABLE:
        call.say(
            f"❌ Project {number} is in {cell(project.status, 'an unknown').upper()} state"
            " - can only recover from FAILED, ZOMBIE, or TIMING_OUT"
        )
        return EXIT_FAILED
    call.cli.queue.mark_recovered(number)
    call.say(f"✅ Project {number} marked as RECOVERED")
    return EXIT_DONE


def remove_project(call: OldCall) -> int:
    """`--remove-project ID`"""
    number = call.number
    if number is None:
        call.say(INVALID_ID)
        return EXIT_FAILED
    try:
        is_known = call.project(number) is not None
        if is_known:
            call.cli.queue.remove(number)
    except SchedulerError as error:
        call.cli.terminal.error(str(error))
        is_known = False
    if is_known:
        call.say(f"✅ Project {number} has been removed from queue")
    else:
        call.say(f"❌ Project {number} not found or could not be removed")
    return EXIT_DONE


def status(call: OldCall) -> int:
    """`--status`"""
    counts = call.cli.store.counts()
    told = sorted((word or NO_STATUS, count) for word, count in counts.items())
    projects = ", ".join(f"{count} {cell(word, NO_STATUS)}" for word, count in told)
    call.say(f"Projects: {projects or 'none'}")
    call.say(f"Tasks: {len(call.cli.store.tasks())}")
    call.say(f"Daemon: {why_nothing_launches(call.cli.locks) or 'running'}")
    return EXIT_DONE
