"""One part of the pipeline: `pipeline.py maker|checker|board|verify`."""

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

BUILD = Path(__file__).parent / "build"
# The windows start together; a folder for each run keeps them from reading the last one's files.
FOLDER = BUILD / os.environ.get("SCHEDULER_RUN_ID", "run")
MADE, CHECKED = FOLDER / "made.txt", FOLDER / "checked.txt"
HOW_MANY = 30
ROUNDS = 500_000
LOOK_AGAIN_SEC = 0.2


def derive(number: int) -> str:
    """Return the key of the password with that number; slow on purpose."""
    return hashlib.pbkdf2_hmac("sha256", f"password {number}".encode(), b"salt", ROUNDS).hex()


def lines_of(path: Path) -> list[str]:
    """Return the complete lines of a file that may still grow, or not be there yet."""
    try:
        return path.read_text().rpartition("\n")[0].splitlines()
    except FileNotFoundError:
        return []


def append(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line + "\n")
    print(line[:60], flush=True)


def maker() -> int:
    shutil.rmtree(BUILD, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    for number in range(HOW_MANY):
        append(MADE, f"{number} {derive(number)}")
    while len(lines_of(CHECKED)) < HOW_MANY:
        time.sleep(LOOK_AGAIN_SEC)
    print("every key was made and checked")
    return 0


def checker() -> int:
    while True:
        made, checked = lines_of(MADE), lines_of(CHECKED)
        for line in made[len(checked) :]:
            number, key = line.split()
            append(CHECKED, f"{number} {'right' if derive(int(number)) == key else 'WRONG'}")
        time.sleep(LOOK_AGAIN_SEC)


def board() -> int:
    while True:
        for name, path in (("made", MADE), ("checked", CHECKED)):
            done = len(lines_of(path))
            print(f"{name:8} {'#' * done}{'.' * (HOW_MANY - done)} {done}/{HOW_MANY}")
        print(flush=True)
        time.sleep(1)


def verify() -> int:
    right = sum(line.endswith(" right") for line in lines_of(CHECKED))
    print(f"{right} of {HOW_MANY} keys are right")
    return 0 if right == HOW_MANY else 1


PARTS: dict[str, Callable[[], int]] = {
    "maker": maker,
    "checker": checker,
    "board": board,
    "verify": verify,
}

if __name__ == "__main__":
    sys.exit(PARTS[sys.argv[1]]())
