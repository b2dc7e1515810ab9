"""The benches run; what they measure is not judged here."""

import json
import subprocess
import sys

import pytest

from tests.lab.installation import ROOT

pytestmark = pytest.mark.acceptance


def test_the_bench_of_the_verbs_measures_each_beside_the_reference(tmp_path):
    out = tmp_path / "verbs.json"

    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "verbs.py"), "--reps", "1", "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(out.read_text())["verbs"]
    assert set(found) == {"reference", "add", "list", "show"}
    assert all(row["cpu_sec"] > 0 and row["peak_mib"] > 1 for row in found.values())
    assert found["reference"]["ratio"] == 1
