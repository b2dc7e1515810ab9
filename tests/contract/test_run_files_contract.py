"""What runners and windows leave behind, in memory and on disk."""

import os

import pytest

from scheduler_modules.adapters.run_files import DiskRunFiles
from scheduler_modules.errors import InvalidInput, SchedulerError
from scheduler_modules.model import RunStart
from tests.fakes.run_files import FakeRunFiles

TOKEN = "0123456789abcdef0123456789abcdef"
OTHER_TOKEN = "f" * 32


class FakeWorld:
    def __init__(self) -> None:
        self.files = FakeRunFiles()
        self.write_start = self.files.write_start
        self.write_exit = self.files.write_exit
        self.write_log = self.files.write_log
        self.write_session = self.files.write_session


class RealWorld:
    def __init__(self, tmp_path) -> None:
        self.files = DiskRunFiles(tmp_path / "runs", tmp_path / "logs")

    def write_start(self, token, role, pid, started_ticks):
        self._write(token, role, ".start", f"{pid} {started_ticks}\n")

    def write_exit(self, token, role, code, at=None):
        path = self._write(token, role, ".exit", f"{code}\n")
        if at is not None:
            os.utime(path, (at, at))

    def write_session(self, token, text):
        base = self.files.runner_argv(token, "main", ["true"])[2].removesuffix(".main")
        with open(f"{base}.session", "w") as session:
            session.write(text)

    def write_log(self, token, role, text):
        with self.files.log_path(token, role).open("a") as log:
            log.write(text)

    def _write(self, token, role, suffix, text):
        base = self.files.runner_argv(token, role, ["true"])[2]
        with open(base + suffix, "w") as record:
            record.write(text)
        return base + suffix


@pytest.fixture(params=["fake", "real"])
def world(request, tmp_path):
    return FakeWorld() if request.param == "fake" else RealWorld(tmp_path)


def test_a_command_is_wrapped_in_the_runner_and_stays_as_it_is(world):
    argv = world.files.runner_argv(TOKEN, "main", ["make", "all; rm", "-x"])

    assert argv[0] == "/bin/sh"
    assert argv[2].endswith(f"/{TOKEN}.main")
    assert argv[3:] == ("make", "all; rm", "-x")


def test_before_the_runner_wrote_there_is_neither_start_nor_exit(world):
    assert world.files.start(TOKEN, "main") is None
    assert world.files.exit_code(TOKEN, "main") is None


def test_a_start_is_read_as_it_was_written(world):
    world.write_start(TOKEN, "main", 123, 456789)

    assert world.files.start(TOKEN, "main") == RunStart(123, 456789)


def test_the_time_of_an_exit_is_that_of_its_record(world):
    before = world.files.exited_at(TOKEN, "main")

    world.write_exit(TOKEN, "main", 0, at=1_700_000_000.5)

    assert before is None
    assert world.files.exited_at(TOKEN, "main") == 1_700_000_000.5


@pytest.mark.parametrize("code", [0, 3, 125, 255])
def test_an_exit_code_is_read_as_it_was_written(world, code):
    world.write_exit(TOKEN, "main", code)

    assert world.files.exit_code(TOKEN, "main") == code


def test_records_of_one_window_are_not_those_of_another(world):
    world.write_exit(TOKEN, "main", 1)
    world.write_exit(TOKEN, "verify", 2)

    assert world.files.exit_code(TOKEN, "verify") == 2
    assert world.files.exit_code(OTHER_TOKEN, "main") is None


@pytest.mark.parametrize(
    ("text", "name"),
    [("web-impl-1\n", "web-impl-1"), ("  web ", "web"), ("", None), ("two words\n", None)],
)
def test_the_session_a_launcher_wrote_down_is_read(world, text, name):
    world.write_session(TOKEN, text)

    assert world.files.session_name(TOKEN) == name


def test_no_session_is_written_down_at_first_nor_after_removal(world):
    before = world.files.session_name(TOKEN)
    world.write_session(TOKEN, "web")
    world.files.remove(TOKEN)

    assert (before, world.files.session_name(TOKEN)) == (None, None)


def test_removing_a_run_leaves_other_runs_and_its_log(world):
    world.write_start(TOKEN, "main", 1, 1)
    world.write_exit(TOKEN, "main", 1)
    world.write_exit(TOKEN, "verify", 1)
    world.write_exit(OTHER_TOKEN, "main", 2)
    world.write_log(TOKEN, "main", "kept\n")

    world.files.remove(TOKEN)

    assert world.files.start(TOKEN, "main") is None
    assert world.files.exit_code(TOKEN, "main") is None
    assert world.files.exit_code(TOKEN, "verify") is None
    assert world.files.exit_code(OTHER_TOKEN, "main") == 2
    assert world.files.last_line(TOKEN, "main") == "kept"


def test_removing_what_is_not_there_is_no_error(world):
    world.files.remove(TOKEN)


def test_a_run_whose_token_begins_another_s_is_removed_alone(world):
    world.write_exit("abc", "main", 1)
    world.write_exit("abcd", "main", 2)

    world.files.remove("abc")

    assert world.files.exit_code("abcd", "main") == 2


def test_each_window_has_a_log_of_its_own(world):
    path = world.files.log_path(TOKEN, "tester")

    assert path.name == "tester.log"
    assert path.parent.name == TOKEN


def test_without_a_log_there_is_no_last_line(world):
    assert world.files.last_line(TOKEN, "main") is None


@pytest.mark.parametrize(
    "text, last",
    [
        ("one\ntwo\n", "two"),
        ("one\r\ntwo\r\n\r\n   \n", "two"),
        ("10 %\r20 %\r30 %", "30 %"),
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07alert", "red alert"),
        ("\n \n\x1b[0m\n", None),
        ("x" * 20_000, "x" * 499 + "…"),
    ],
    ids=["lines", "blank at the end", "overwritten", "escapes", "no text", "one huge line"],
)
def test_the_last_line_is_the_last_with_text_and_only_text(world, text, last):
    world.write_log(TOKEN, "main", text)

    assert world.files.last_line(TOKEN, "main") == last


@pytest.mark.parametrize(
    "token, role", [("../x", "main"), ("", "main"), (TOKEN, "../x"), (TOKEN, ""), ("a.b", "main")]
)
@pytest.mark.parametrize(
    "use",
    [
        lambda files, token, role: files.runner_argv(token, role, ["true"]),
        lambda files, token, role: files.start(token, role),
        lambda files, token, role: files.exit_code(token, role),
        lambda files, token, role: files.log_path(token, role),
        lambda files, token, role: files.last_line(token, role),
    ],
    ids=["runner_argv", "start", "exit_code", "log_path", "last_line"],
)
def test_a_token_or_role_that_could_leave_the_folder_is_refused(world, token, role, use):
    with pytest.raises(InvalidInput):
        use(world.files, token, role)


def test_a_token_that_could_leave_the_folder_removes_nothing(world):
    with pytest.raises(InvalidInput):
        world.files.remove("../*")


def test_a_log_s_folder_is_there_and_private(tmp_path):
    path = DiskRunFiles(tmp_path / "runs", tmp_path / "logs").log_path(TOKEN, "main")

    assert path == tmp_path / "logs" / "runs" / TOKEN / "main.log"
    assert path.parent.is_dir()
    assert path.parent.stat().st_mode & 0o077 == 0


def test_folders_given_relative_are_the_same_from_everywhere(tmp_path):
    os.chdir(tmp_path)
    files = DiskRunFiles("runs", "logs")
    os.chdir("/")

    assert files.log_path(TOKEN, "main").is_relative_to(tmp_path)
    assert files.runner_argv(TOKEN, "main", ["true"])[2] == f"{tmp_path}/runs/{TOKEN}.main"


def test_the_logs_of_a_run_are_removed_alone(world):
    world.write_log(TOKEN, "main", "gone\n")
    world.write_log(TOKEN, "tester", "gone\n")
    world.write_log(OTHER_TOKEN, "main", "stays\n")

    world.files.remove_logs(TOKEN)

    left = [world.files.last_line(*of) for of in ((TOKEN, "main"), (OTHER_TOKEN, "main"))]
    assert left == [None, "stays"]


def test_logs_that_are_not_there_are_removed_all_the_same(world):
    world.files.remove_logs(TOKEN)

    assert world.files.last_line(TOKEN, "main") is None


def test_a_token_that_could_leave_the_folder_removes_no_logs(world):
    with pytest.raises(InvalidInput):
        world.files.remove_logs("../..")


def test_what_a_link_in_place_of_logs_leads_to_stays(tmp_path):
    files = RealWorld(tmp_path).files
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kept").touch()
    folder = files.log_path(TOKEN, "main").parent
    folder.rmdir()
    folder.symlink_to(tmp_path / "mine")

    files.remove_logs(TOKEN)

    assert (folder.is_symlink(), (tmp_path / "mine" / "kept").exists()) == (False, True)


def test_logs_that_cannot_be_removed_are_said(tmp_path):
    files = RealWorld(tmp_path).files
    folder = files.log_path(TOKEN, "main").parent
    folder.rmdir()
    folder.touch()

    with pytest.raises(SchedulerError, match="Not a directory"):
        files.remove_logs(TOKEN)
