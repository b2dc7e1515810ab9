"""Judges a finished test run: every skip must be allowed, and enough of the code be covered.

`check_results.py skips JUNIT.xml ALLOWED.txt` or `check_results.py coverage COVERAGE.json PERCENT`.
"""

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree


def allowed_patterns(text: str) -> list[re.Pattern[str]]:
    """Return the patterns of the list; each line is `PATTERN  # why this skip is all right`."""
    patterns = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        pattern, mark, why = line.partition("  # ")
        if not (mark and why.strip()):
            raise ValueError(f"line {number}: a skip is allowed only with its reason")
        patterns.append(re.compile(pattern.strip()))
    return patterns


def skips_of(junit: Path) -> list[str]:
    """Return each skipped test with its reason, as `class::name: reason`."""
    # The file was written by our own pytest a moment ago.
    cases = ElementTree.parse(junit).iter("testcase")
    return [
        f"{case.get('classname')}::{case.get('name')}: {skipped.get('message', '')}"
        for case in cases
        for skipped in case.iter("skipped")
        if skipped.get("type") != "pytest.xfail"
    ]


def check_skips(junit: Path, allowed: Path) -> int:
    patterns = allowed_patterns(allowed.read_text(encoding="utf-8"))
    skips = skips_of(junit)
    refused = [skip for skip in skips if not any(p.search(skip) for p in patterns)]
    for skip in refused:
        print(f"skipped without leave (see {allowed}): {skip}")
    print(f"skips: {len(skips)} in all, {len(refused)} not allowed")
    return 1 if refused else 0


def check_coverage(report: Path, wanted_percent: float) -> int:
    """Hold lines and branches to the mark each on its own; one must not make up for the other."""
    totals = json.loads(report.read_text(encoding="utf-8"))["totals"]
    shares = {
        "lines": (totals["covered_lines"], totals["num_statements"]),
        "branches": (totals["covered_branches"], totals["num_branches"]),
    }
    is_enough = True
    for what, (covered, total) in shares.items():
        percent = 100 * covered / total if total else 100.0
        is_enough = is_enough and percent >= wanted_percent
        print(f"coverage of {what}: {percent:.1f} % ({covered} of {total})")
    if not is_enough:
        print(f"at least {wanted_percent:g} % of each is wanted")
    return 0 if is_enough else 1


def main(arguments: list[str]) -> int:
    match arguments:
        case ["skips", junit, allowed]:
            return check_skips(Path(junit), Path(allowed))
        case ["coverage", report, percent]:
            return check_coverage(Path(report), float(percent))
        case _:
            print(__doc__)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
