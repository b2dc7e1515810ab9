"""Writes build/report.txt from what the word counter and the primes left behind."""

from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent
BUILD = EXAMPLES / "report" / "build"


def main() -> None:
    counts = (EXAMPLES / "wordcount" / "build" / "counts.txt").read_text()
    primes = (EXAMPLES / "primes" / "build" / "primes.txt").read_text().split()
    report = f"{counts}\n{len(primes)} primes, the largest {primes[-1]}\n"
    BUILD.mkdir(exist_ok=True)
    (BUILD / "report.txt").write_text(report)
    print(report, end="")


if __name__ == "__main__":
    main()
