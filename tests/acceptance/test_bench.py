"""The benches run; what they measure is not judged here."""

import json
import math
import re
import subprocess
import sys

import pytest

from bench.lib import Figure, Goal, per_pair, percentile
from tests.lab.installation import ROOT

pytestmark = pytest.mark.acceptance

NOT_HERE = ("is not installed",)
VERDICTS = {"ok", "missed", "told"}


def bench(*args):
    return subprocess.run(
        [sys.executable, str(ROOT / "bench" / "run.py"), *args],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def short_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench") / "bench.json"
    done = bench("--short", "--out", str(out))
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(out.read_text())


@pytest.fixture(scope="module")
def listed():
    return [line.split()[0] for line in bench("--list").stdout.splitlines()]


@pytest.mark.parametrize(
    ("limit", "is_floor", "value", "verdict"),
    [
        (2, False, 2.0, "ok"),
        (2, False, 2.01, "missed"),
        (0.5, True, 0.5, "ok"),
        (0.5, True, 0.49, "missed"),
        (None, False, 7.0, "told"),
        (2, False, None, "absent"),
    ],
)
def test_a_figure_is_judged_by_its_goal(limit, is_floor, value, verdict):
    goal = Goal("theme.name", "what it is", limit, is_floor=is_floor)

    assert Figure(goal, value).verdict == verdict


def test_a_ratio_is_the_median_over_the_rounds():
    assert per_pair([1, 2, 30], [1, 1, 10]) == 2


def test_a_percentile_is_a_value_that_was_measured():
    assert percentile([5, 1, 4, 2, 3], 99) == 5
    assert percentile(range(1, 101), 90) == 90


def test_every_figure_that_is_listed_is_in_the_document(short_run, listed):
    _, document = short_run

    assert [figure["name"] for figure in document["figures"]] == listed


def test_every_figure_has_its_line_in_the_table(short_run, listed):
    table, _ = short_run

    assert [line.split()[0] for line in table.splitlines()[1:]] == listed


def test_every_figure_is_a_number_or_says_what_is_not_installed(short_run):
    _, document = short_run

    wrong = [
        (figure["name"], figure["value"], figure["note"])
        for figure in document["figures"]
        if not (
            figure["verdict"] in VERDICTS
            and math.isfinite(figure["value"])
            and figure["value"] >= 0
            if figure["value"] is not None
            else any(words in figure["note"] for words in NOT_HERE)
        )
    ]

    assert wrong == []


def test_nothing_is_claimed_twice_and_no_large_table_is_read_whole(short_run):
    _, document = short_run
    value = {figure["name"]: figure["value"] for figure in document["figures"]}

    assert (value["sqlite_queue.twice"], value["sqlite_queue.scans"]) == (0, 0)


def test_the_document_tells_machine_versions_and_how_it_was_measured(short_run):
    _, document = short_run

    assert document["machine"].keys() >= {"cores", "model", "kernel", "load_before", "load_after"}
    assert all(document["versions"][name] for name in ("python", "sqlite", "tmux", "click"))
    assert (document["is_short"], document["reps"], document["seed"]) == (True, 2, 1)


def test_the_page_on_performance_tells_every_figure(listed):
    page = (ROOT / "docs" / "reference" / "performance.md").read_text()
    measured = page.partition("\n## As measured\n")[2].partition("\n## ")[0]

    assert re.findall(r"^\| `([\w.]+)` \|", measured, re.MULTILINE) == listed


def test_a_figure_can_be_measured_alone(tmp_path):
    out = tmp_path / "one.json"

    bench("--short", "--only", "sqlite_queue.enqueue.rule", "--out", str(out))

    found = json.loads(out.read_text())["figures"]
    assert [figure["name"] for figure in found] == ["sqlite_queue.enqueue.rule"]


def test_a_name_that_no_figure_has_is_refused():
    done = bench("--short", "--only", "no-such-figure")

    assert (done.returncode, done.stdout) == (2, "")
    assert "no-such-figure" in done.stderr
