"""Which tmux session names can belong to a project. Pure."""

import re
from collections.abc import Iterable
from pathlib import PurePath

from scheduler_modules.model import Project
from scheduler_modules.utils import safe_stem


def has_session(project: Project, session_names: Iterable[str]) -> bool:
    """Return whether one of these sessions is the project's.

    By the recorded name; where none was recorded (old launchers named theirs late or never), by
    the form `<project>-impl-<8 hex>` or `<project>-<8 hex>` of exactly this project.
    """
    if project.session_name is not None:
        return project.session_name in session_names
    stems = {safe_stem(PurePath(project.spec_path).stem), safe_stem(project.name)} - {""}
    if not stems:
        return False
    form = re.compile(
        rf"(?:{'|'.join(map(re.escape, stems))})(?:-impl)?-[0-9a-f]{{8}}", re.IGNORECASE
    )
    return any(form.fullmatch(name) for name in session_names)
