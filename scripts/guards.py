"""Checks what no linter checks: sizes, addresses in requirements, paths of one machine, and that
nothing below imports the files that stand above the packages.

Prints one line for each finding and exits with 1 if there is any.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("scheduler_modules", "services", "app")
# import-linter knows packages only. From the top: nobody imports what stands before him.
ABOVE_PACKAGES = ("scheduler", "scheduler_entrypoint")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
# Put together here, so that this file does not find itself.
_MACHINE_PATH = re.compile(r"(?<![\w.~}-])/" + "root" + "/")
_ADDRESS = ":" + "//"


def tracked_files() -> list[Path]:
    """Return the files that are committed or could be, relative to the repository."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    files = (Path(name) for name in listing.split("\0") if name)
    return sorted(file for file in set(files) if (ROOT / file).is_file())


def findings(file: Path, text: str) -> Iterator[str]:
    """Give what is wrong with one file."""
    if re.fullmatch(r"requirements.*\.(txt|in)", file.name) and _ADDRESS in text:
        yield f"{file}: an address in a requirements file"
    for number, line in enumerate(text.splitlines(), start=1):
        if _MACHINE_PATH.search(line):
            yield f"{file}:{number}: an absolute path of one machine"
    if file.suffix == ".py" and (file.parts[0] in PACKAGES or len(file.parts) == 1):
        tree = ast.parse(text, str(file))
        yield from oversized(file, text, tree)
        yield from upward_imports(file, tree)


def upward_imports(file: Path, tree: ast.Module) -> Iterator[str]:
    """Give the imports of what stands above the file."""
    place = ABOVE_PACKAGES.index(file.stem) if file.stem in ABOVE_PACKAGES else None
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            imported = [node.module]
        elif isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        else:
            continue
        for name in imported:
            if name in ABOVE_PACKAGES[:place]:
                yield f"{file}:{node.lineno}: {name} stands above this file"


def oversized(file: Path, text: str, tree: ast.Module) -> Iterator[str]:
    """Give the file and the functions in it that are longer than they may be."""
    lines = len(text.splitlines())
    if lines > MAX_FILE_LINES:
        yield f"{file}: {lines} lines, at most {MAX_FILE_LINES} are allowed"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            if size > MAX_FUNCTION_LINES:
                yield (
                    f"{file}:{node.lineno}: {node.name} has {size} lines, "
                    f"at most {MAX_FUNCTION_LINES} are allowed"
                )


def main() -> int:
    found: list[str] = []
    for file in tracked_files():
        try:
            text = (ROOT / file).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += findings(file, text)
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
