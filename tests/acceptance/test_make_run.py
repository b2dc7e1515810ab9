"""`make run` and `make stop`, as a newcomer types them, in a copy of the repository.

The copy uses the environment the tests run in, so nothing is installed here; what installs it is
tried by `test_setup.py` and by every fresh clone.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = ["pipeline", "primes", "report", "wordcount"]
WAIT_SEC = 30


class Checkout:
    """A copy of the repository, as a clone would be, with the demo that runs in it."""

    def __init__(self, folder):
        self.folder = folder
        listing = git(REPOSITORY, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        for name in filter(None, listing.split("\0")):
            if (REPOSITORY / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(REPOSITORY / name, folder / name)
        git(folder, "init", "--quiet")
        git(folder, "add", "--all")

    def keep_only(self, **specs):
        """Let the demo run these specs instead of the examples."""
        shutil.rmtree(self.folder / "examples")
        (self.folder / "examples").mkdir()
        for name, text in specs.items():
            (self.folder / "examples" / f"{name}.md").write_text(text)

    def start(self, target):
        return subprocess.Popen(
            ["make", target],
            cwd=self.folder,
            env={**os.environ, "VENV": sys.prefix},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def make(self, target):
        """Return the exit code and all that was printed."""
        running = self.start(target)
        printed, _ = running.communicate(timeout=150)
        return running.returncode, printed

    def ask(self, *arguments):
        """Return what a verb of the demo's own command answers in JSON."""
        return json.loads(self.demo("--json", *arguments).stdout)

    def demo(self, *arguments):
        return subprocess.run(
            [str(self.folder / ".demo" / "tmux-orchestrator"), *arguments],
            check=False,
            cwd=self.folder,
            capture_output=True,
            text=True,
        )

    def projects(self):
        return {project["id"]: project for project in self.ask("list", "--all")["projects"]}


def git(folder, *arguments):
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def checkout(tmp_path):
    """A copy whose demo is stopped at the end."""
    copy = Checkout(tmp_path)
    yield copy
    copy.make("stop")


@pytest.fixture(scope="module")
def after_two_runs(tmp_path_factory):
    """A copy in which `make run` was typed twice, and what was printed each time."""
    copy = Checkout(tmp_path_factory.mktemp("c"))
    yield copy, [copy.make("run"), copy.make("run")]
    copy.make("stop")


def test_both_runs_end_well(after_two_runs):
    _, results = after_two_runs

    assert [code for code, _ in results] == [0, 0], results


def test_every_example_is_completed_in_each_run(after_two_runs):
    checkout, _ = after_two_runs

    ended = [(p["name"], p["state"]) for p in checkout.projects().values()]

    assert sorted(ended) == sorted((name, "completed") for name in EXAMPLES * 2)


def test_in_each_run_the_primes_take_two_goes(after_two_runs):
    checkout, _ = after_two_runs
    primes = [p["id"] for p in checkout.projects().values() if p["name"] == "primes"]

    runs = [checkout.ask("show", str(number))["runs"] for number in primes]

    assert [[run["outcome"] for run in of_one] for of_one in runs] == [["failed", "completed"]] * 2


def test_the_report_waits_for_what_it_is_made_of(after_two_runs):
    checkout, _ = after_two_runs
    by_name = {p["name"]: p for _, p in sorted(checkout.projects().items())}

    assert by_name["report"]["started_at"] >= max(
        by_name["primes"]["ended_at"], by_name["wordcount"]["ended_at"]
    )


def test_the_newcomer_is_told_what_to_type_next(after_two_runs):
    _, results = after_two_runs
    printed = results[-1][1]

    said = [verb for verb in ("attach", "list", "show", "logs") if f" {verb}" in printed]

    assert said == ["attach", "list", "show", "logs"], printed
    assert "make stop" in printed


def test_nothing_printed_is_meant_for_a_terminal_only(after_two_runs):
    _, results = after_two_runs

    assert "\x1b" not in "".join(printed for _, printed in results)


def test_the_checkout_stays_clean(after_two_runs):
    checkout, _ = after_two_runs

    # The copy's files are staged; whatever the second column or a "??" shows came later.
    changed = [
        line
        for line in git(checkout.folder, "status", "--porcelain").splitlines()
        if line[1] != " "
    ]

    assert changed == []


def test_a_failing_example_makes_make_fail(checkout):
    checkout.keep_only(broken="---\ncommand: 'false'\n---\n")

    code, printed = checkout.make("run")

    assert code != 0
    assert "make stop" in printed


def test_stop_leaves_no_daemon_and_no_session(checkout):
    checkout.keep_only(long="---\ncommand: sleep 300\n---\n")
    running = checkout.start("run")
    wait_until(lambda: any(b"sleep" in line for line in processes_in(checkout.folder)))

    code, _ = checkout.make("stop")

    running.communicate(timeout=WAIT_SEC)
    assert code == 0
    assert checkout.demo("daemon", "status").returncode == 7
    assert not processes_in(checkout.folder)


def test_stop_without_a_demo_is_no_error(checkout):
    code, _ = checkout.make("stop")

    assert code == 0


def test_ctrl_c_leaves_the_work_running_and_says_so(checkout):
    checkout.keep_only(long="---\ncommand: sleep 300\n---\n")
    running = checkout.start("run")
    wait_until(lambda: states_of(checkout) == ["running"])
    wait_until(lambda: is_watched(checkout.folder))

    os.killpg(running.pid, signal.SIGINT)
    printed, _ = running.communicate(timeout=WAIT_SEC)

    assert running.returncode != 0
    assert "go on without you" in printed
    assert states_of(checkout) == ["running"]


def test_a_checkout_deeper_than_a_socket_name_allows_works(tmp_path):
    folder = tmp_path / ("a folder with spaces " * 5).strip()
    folder.mkdir()
    checkout = Checkout(folder)
    checkout.keep_only(quick="---\ncommand: echo done\n---\n")
    try:
        code, printed = checkout.make("run")
    finally:
        checkout.make("stop")

    assert code == 0, printed
    assert not (folder / ".demo" / "run" / "tmux.sock").exists()


def states_of(checkout):
    if not (checkout.folder / ".demo" / "task_queue.db").exists():
        return []
    return [project["state"] for project in checkout.projects().values()]


def is_watched(folder):
    """Return whether `wait` is at work: it has the demo's database open."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"wait" in (process / "cmdline").read_bytes().split(b"\0"):
                files = [str(link.readlink()) for link in (process / "fd").iterdir()]
                return f"{folder}/.demo/task_queue.db" in files
        except OSError:
            continue
    return False


def processes_in(folder):
    """Return the command lines of living processes that work in the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_bytes())
        except OSError:
            continue
    return found


def wait_until(is_so):
    deadline = time.monotonic() + WAIT_SEC
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
