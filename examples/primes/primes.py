"""`primes.py find` does one half of the work per call; `primes.py check` wants both halves."""

import os
import shutil
import sys
from pathlib import Path

PARTS = ((2, 10_000_000), (10_000_000, 20_000_000))
BUILD = Path(__file__).parent / "build"
# Every project starts afresh; its retries find what the goes before them left.
FOLDER = BUILD / f"project-{os.environ.get('SCHEDULER_PROJECT_ID', 'none')}"


def primes_between(low: int, high: int) -> list[int]:
    """Return the primes of a range, by crossing out the multiples of those below its root."""
    small = (
        n for n in range(2, int(high**0.5) + 1) if all(n % d for d in range(2, int(n**0.5) + 1))
    )
    sieve = bytearray([1]) * (high - low)
    for prime in small:
        first = max(prime * prime, -(-low // prime) * prime)
        for multiple in range(first, high, prime):
            sieve[multiple - low] = 0
    return [low + offset for offset, is_prime in enumerate(sieve) if is_prime]


def part_file(index: int) -> Path:
    return FOLDER / f"part-{index + 1}.txt"


def find() -> int:
    missing = [index for index in range(len(PARTS)) if not part_file(index).exists()]
    if len(missing) in (0, len(PARTS)):
        shutil.rmtree(BUILD, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        missing = [0]
    index = missing[0]
    low, high = PARTS[index]
    print(f"part {index + 1} of {len(PARTS)}: from {low} to {high}", flush=True)
    found = primes_between(low, high)
    part_file(index).write_text("\n".join(map(str, found)) + "\n")
    print(f"{len(found)} primes; the time budget is used up")
    return 0


def check() -> int:
    present = [index for index in range(len(PARTS)) if part_file(index).exists()]
    print(f"{len(present)} of {len(PARTS)} parts are there")
    if len(present) < len(PARTS):
        return 1
    numbers = [part_file(index).read_text() for index in present]
    (BUILD / "primes.txt").write_text("".join(numbers))
    return 0


if __name__ == "__main__":
    sys.exit({"find": find, "check": check}[sys.argv[1]]())
