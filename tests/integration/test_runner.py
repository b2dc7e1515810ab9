"""The runner of commands in panes, and what is read of the files it writes."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scheduler_modules.adapters.run_files import DiskRunFiles
from scheduler_modules.errors import DiskFull, SchedulerError
from scheduler_modules.model import RunStart
from tests.full_disk import on_a_full_disk
from tests.waiting import wait_until

TOKEN = "0123456789abcdef0123456789abcdef"
DIGIT = "٣\n".encode()
NASTY = ["", " ", "a b", "-n", "$HOME", "$(touch x)", "`x`", "*", "~", "a\nb", "it's", 'a"b', "\\"]
NASTY += [";", "a;", "\\;", "#(touch x)", "#{pid}", "%H", "é", "\x1b[31m", os.fsdecode(b"\xff\xfe")]


class Runs:
    """The folder of run files, and the runner as it is started in a pane."""

    def __init__(self, folder: Path) -> None:
        self.files = DiskRunFiles(folder / "runs", folder / "logs")
        self.base = folder / "runs" / f"{TOKEN}.main"

    def argv(self, *command):
        return self.files.runner_argv(TOKEN, "main", command)

    def run(self, *command, **options):
        return subprocess.run(
            self.argv(*command), check=False, capture_output=True, timeout=20, **options
        )

    def exit_code(self):
        return self.files.exit_code(TOKEN, "main")

    def start(self):
        return self.files.start(TOKEN, "main")


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path)


class Terminal:
    """A command as the leader of a session with a terminal of its own, as in a pane."""

    def __init__(self, argv) -> None:
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            try:
                os.execv(argv[0], argv)
            finally:
                os._exit(99)

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def hang_up(self) -> None:
        os.close(self._master)

    def wait(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


@pytest.mark.parametrize("code", [0, 1, 3, 125, 255])
def test_the_exit_code_is_recorded_and_passed_on(runs, code):
    done = runs.run("sh", "-c", f"exit {code}")

    assert (runs.exit_code(), done.returncode) == (code, code)


def test_a_program_that_is_not_there_is_127(runs):
    done = runs.run("no-such-program")

    assert (runs.exit_code(), done.returncode) == (127, 127)
    assert done.stderr == b"no-such-program: not found on PATH\n"


def test_a_program_that_cannot_be_run_is_126(runs, tmp_path):
    (tmp_path / "data").write_text("x")

    runs.run(str(tmp_path / "data"))

    assert runs.exit_code() == 126


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_command_ended_by_a_signal_is_128_and_its_number(runs, number):
    runs.run("sh", "-c", f"kill -{number.value} $$")

    assert runs.exit_code() == 128 + number


@pytest.mark.parametrize(
    "builtin", ["exit", "trap", "cd", "record", "run", "is_there", "shift", "A=b", "-v"]
)
def test_words_of_the_shell_are_no_commands(runs, builtin):
    runs.run(builtin, "/")

    assert runs.exit_code() == 127


def test_the_start_is_recorded_before_the_command_runs(runs):
    script = 'cat "$0.start"; cut -d" " -f22 "/proc/$PPID/stat"; echo "$PPID"'

    done = runs.run("sh", "-c", script, str(runs.base))

    pid_and_ticks, ticks, pid = done.stdout.decode().split("\n")[:3]
    assert pid_and_ticks == f"{pid} {ticks}"
    assert runs.start() == RunStart(int(pid), int(ticks))


def test_while_the_command_runs_there_is_no_exit_file(runs):
    done = runs.run("sh", "-c", 'ls "$0"', str(runs.base.parent))

    assert done.stdout.decode().split() == [f"{TOKEN}.go", f"{TOKEN}.main.start"]


def test_nothing_but_the_leave_to_run_and_the_two_records_is_left(runs):
    runs.run("true")

    assert sorted(path.name for path in runs.base.parent.iterdir()) == [
        f"{TOKEN}.go",
        f"{TOKEN}.main.exit",
        f"{TOKEN}.main.start",
    ]


def test_arguments_arrive_byte_for_byte(runs):
    done = runs.run("printf", "%s\\0", *NASTY)

    assert done.stdout == b"".join(os.fsencode(text) + b"\0" for text in NASTY)


def test_the_environment_arrives_byte_for_byte(runs):
    env = {f"V{n}": value for n, value in enumerate(NASTY)}
    env |= {"PATH": os.environ["PATH"], "out": "mine", "rc": "7", "stat": "x", "IFS": "5"}
    ours = dict(os.environb)

    done = runs.run("env", "-0", env=env)

    seen = dict(item.split(b"=", 1) for item in done.stdout.rstrip(b"\0").split(b"\0"))
    # The shell sets IFS and PWD itself.
    expected = {os.fsencode(k): os.fsencode(v) for k, v in env.items() if k != "IFS"}
    assert {name: seen.get(name) for name in expected} == expected
    assert not any(b"runner" in name for name in seen)
    assert dict(os.environb) == ours


def test_input_and_output_are_the_command_s_own(runs):
    done = runs.run("cat", input=b"hello")

    assert (done.stdout, done.stderr) == (b"hello", b"")


def test_what_was_begun_once_is_not_begun_again(runs, tmp_path):
    runs.run("sh", "-c", "exit 3")

    late = runs.run("touch", str(tmp_path / "ran"))

    assert (late.returncode, runs.exit_code()) == (125, 3)
    assert not (tmp_path / "ran").exists()


def test_what_comes_up_after_the_run_is_over_runs_nothing(runs, tmp_path):
    late = runs.argv("touch", str(tmp_path / "ran"))
    runs.files.remove(TOKEN)

    done = subprocess.run(late, check=False, capture_output=True)

    assert done.returncode == 125
    assert done.stderr.decode() == (
        "runner: this run is over or was begun before, so nothing was run\n"
    )
    assert not (tmp_path / "ran").exists()
    assert list(runs.base.parent.iterdir()) == []


def test_an_interrupt_from_the_terminal_ends_the_command_and_is_recorded(runs, tmp_path):
    terminal = Terminal(runs.argv("sh", "-c", 'touch "$0"; exec sleep 1000', str(tmp_path / "up")))
    wait_until((tmp_path / "up").exists, "the command to run")

    terminal.type(b"\x03")

    assert terminal.wait() == 130
    terminal.hang_up()
    assert runs.exit_code() == 130


def test_the_command_dies_with_its_terminal_and_no_exit_is_recorded(runs, tmp_path):
    script = 'echo $$ >"$0.tmp"; mv "$0.tmp" "$0"; exec sleep 1000'
    terminal = Terminal(runs.argv("sh", "-c", script, str(tmp_path / "pid")))
    wait_until((tmp_path / "pid").exists, "the command to run")
    pid = int((tmp_path / "pid").read_text())

    terminal.hang_up()

    assert terminal.wait() == -signal.SIGHUP
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the command to die")
    assert runs.start() is not None
    assert runs.exit_code() is None


def test_a_command_that_answers_to_the_hang_up_leaves_no_exit_code_either(runs, tmp_path):
    script = "trap 'exit 0' HUP; touch \"$0\"; while :; do sleep 0.05; done"
    terminal = Terminal(runs.argv("sh", "-c", script, str(tmp_path / "up")))
    wait_until((tmp_path / "up").exists, "the command to run")

    terminal.hang_up()

    terminal.wait()
    assert runs.exit_code() is None


def test_where_the_start_cannot_be_recorded_nothing_is_run(runs, tmp_path):
    argv = runs.argv("touch", str(tmp_path / "ran"))
    Path(f"{runs.base}.start").symlink_to("/nowhere/at/all")

    done = subprocess.run(argv, check=False, capture_output=True)

    assert done.returncode == 125
    assert done.stderr.decode() == (
        f"runner: {runs.base}.start cannot be written, so nothing was run\n"
    )
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"3", b"-1\n", b"256\n", b"3 \n", b"3\n3\n", b"x\n", b"\xff\n", b"9" * 99, DIGIT],
    ids=repr,
)
def test_a_half_or_foreign_exit_file_is_none(runs, content):
    runs.argv("true")
    runs.base.with_name(f"{TOKEN}.main.exit").write_bytes(content)

    assert runs.exit_code() is None


@pytest.mark.parametrize("content", [b"", b"12\n", b"12 34", b"12 34 56\n", b"a b\n", b"-1 2\n"])
def test_a_half_or_foreign_start_file_is_none(runs, content):
    runs.argv("true")
    runs.base.with_name(f"{TOKEN}.main.start").write_bytes(content)

    assert runs.start() is None


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("x", path)])
def test_what_is_no_plain_file_is_no_exit_file(runs, make):
    runs.argv("true")
    make(f"{runs.base}.exit")

    assert runs.exit_code() is None


def test_a_link_to_an_exit_file_is_none(runs, tmp_path):
    runs.argv("true")
    (tmp_path / "elsewhere").write_text("0\n")
    Path(f"{runs.base}.exit").symlink_to(tmp_path / "elsewhere")

    assert runs.exit_code() is None


def test_a_runs_folder_that_is_none_has_no_exit_files(runs):
    runs.base.parent.write_text("a file")

    assert runs.exit_code() is None
    with pytest.raises(SchedulerError, match="File exists"):
        runs.argv("true")


def test_what_cannot_be_asked_is_not_told_as_missing(tmp_path):
    files = DiskRunFiles(tmp_path / ("x" * 300), tmp_path / ("x" * 300))

    with pytest.raises(SchedulerError, match="File name too long"):
        files.exit_code(TOKEN, "main")
    with pytest.raises(SchedulerError, match="File name too long"):
        files.last_line(TOKEN, "main")


def test_what_cannot_be_removed_is_said(runs):
    runs.argv("true")
    os.mkdir(f"{runs.base}.exit")

    with pytest.raises(SchedulerError, match="directory"):
        runs.files.remove(TOKEN)


def test_the_runner_is_quick(runs):
    took_sec = []
    for _ in range(10):
        started = time.monotonic()
        runs.run("true")
        took_sec.append(time.monotonic() - started)

    assert min(took_sec) < 0.05


# -- disk full ----------------------------------------------------------------------------------


def test_on_a_full_disk_nothing_is_run(runs, tmp_path):
    argv = runs.argv("echo", "it ran")

    script = f'touch "$0/runs/{TOKEN}.go"; fill; "$@"; echo "code $?"; ls "$0/runs"'
    done = on_a_full_disk(tmp_path, script, *argv)

    assert done.stdout == f"code 125\n{TOKEN}.go\n"
    assert "so nothing was run" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_disk_that_fills_up_meanwhile_leaves_no_half_exit_file(runs, tmp_path):
    fill = "cat /dev/zero >$FOLDER/filler; exit 7"
    argv = runs.argv("sh", "-c", fill)

    script = f'touch "$0/runs/{TOKEN}.go"; "$@" 2>/dev/null; echo "code $?"; cat "$0"/runs/*.exit'
    done = on_a_full_disk(tmp_path, script, *argv)

    assert done.stdout == "code 7\n"


def test_a_full_disk_is_told_as_such(tmp_path):
    program = (
        "import sys; from pathlib import Path;"
        "from scheduler_modules.adapters.run_files import DiskRunFiles;"
        "from scheduler_modules.errors import DiskFull\n"
        "files = DiskRunFiles(Path(sys.argv[1]), Path(sys.argv[1]))\n"
        "try:\n  [files.log_path(f't{n}', 'main') for n in range(9999)]\n"
        "except DiskFull as error:\n  print('full:', error)\n"
    )
    done = on_a_full_disk(
        tmp_path,
        'mount -t tmpfs -o size=64k,nr_inodes=20 tmpfs "$0"; "$@"',
        sys.executable, "-c", program, str(tmp_path),
    )  # fmt: skip

    assert done.stdout.startswith("full:"), done.stderr
    assert DiskFull.exit_code == 8
