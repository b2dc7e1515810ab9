"""Makes a row of the queue from paths exactly as somebody typed them."""

import os
from pathlib import Path

from scheduler_modules.errors import InvalidInput
from scheduler_modules.model import NewProject
from scheduler_modules.project_launcher import dependency_keys
from scheduler_modules.spec import Spec, project_name, read_spec, shown_path

AUTO = "auto"
"""The old word for "find the project folder by the spec"."""


def typed_project(
    spec_path: str,
    project_path: str | None,
    *,
    base_dir: Path,
    now: float,
    batch_id: str | None = None,
    retry_count: int = 0,
) -> tuple[NewProject, list[str]]:
    """Return the row and what its owner should be told. Neither path needs to exist.

    Paths stay as typed; relative ones are meant from `base_dir`.

    Raises:
        InvalidInput: a path is empty or no text.
        SpecError: the spec is there but cannot be used.
    """
    project = None if project_path in {None, AUTO} else project_path
    for path in (spec_path, project):
        _check(path)
    warnings = []
    resolved = (base_dir / spec_path).absolute()
    spec = Spec(name=project_name(spec_path))
    if os.path.lexists(resolved):
        spec = read_spec(resolved)
    else:
        warnings.append(
            f"{shown_path(spec_path)}: no such file yet; it is needed when its turn comes"
        )
    if project is not None and not (base_dir / project).is_dir():
        warnings.append(f"{shown_path(project)}: no such folder yet; it is needed at the start")
    new = NewProject(
        spec_path=spec_path,
        name=spec.name,
        enqueued_at=now,
        project_path=project,
        priority=spec.priority,
        batch_id=batch_id,
        group=spec.group or "",
        retry_count=retry_count,
        base_dir=str(base_dir),
        spec_key=os.path.realpath(resolved),
        project_key=None if project is None else os.path.realpath(base_dir / project),
        after_keys=tuple(dependency_keys(spec, resolved)),
    )
    return new, warnings


def _check(path: str | None) -> None:
    if path is None:
        return
    if not path:
        raise InvalidInput("an empty path names nothing")
    try:
        is_text = "\0" not in path and bool(path.encode())
    except UnicodeEncodeError:
        is_text = False
    if not is_text:
        raise InvalidInput(f"{shown_path(path)}: a path must be UTF-8 text")
