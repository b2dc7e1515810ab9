"""The folder that state is kept in: made for us alone, refused where others could tamper."""

import errno
import os
import stat

import pytest

from scheduler_modules.config import SchedulerConfig, ensure_home
from scheduler_modules.errors import EXIT_USAGE, DiskFull, UnusableHome

FOLDERS = {"runs", "logs", "locks", "signals", "run"}


def config_of(home):
    return SchedulerConfig(home=home, scheduler_db_url=f"sqlite:///{home}/task_queue.db")


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def refusal(home):
    with pytest.raises(UnusableHome) as caught:
        ensure_home(config_of(home))
    assert caught.value.exit_code == EXIT_USAGE
    return str(caught.value)


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_home_and_its_folders_are_made_for_us_alone(home):
    ensure_home(config_of(home))

    assert {path.name for path in home.iterdir()} == FOLDERS
    assert {mode_of(path) for path in [home, *home.iterdir()]} == {0o700}


def test_missing_parents_are_made_for_us_alone(tmp_path):
    ensure_home(config_of(tmp_path / ".local/state/tmux-orchestrator"))

    assert mode_of(tmp_path / ".local") == mode_of(tmp_path / ".local/state") == 0o700


def test_no_umask_makes_home_unusable(home):
    before = os.umask(0o777)
    try:
        ensure_home(config_of(home))
    finally:
        os.umask(before)

    assert mode_of(home) == mode_of(home / "locks") == 0o700


def test_a_second_time_nothing_changes(home):
    ensure_home(config_of(home))
    home.chmod(0o755)
    (home / "runs" / "x").touch()

    ensure_home(config_of(home))

    assert mode_of(home) == 0o755
    assert (home / "runs" / "x").exists()


def test_a_home_that_is_a_file_is_refused(home):
    home.write_text("precious")

    assert refusal(home) == f"state folder {home}: is not a folder"
    assert home.read_text() == "precious"


def test_a_home_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()

    assert "cannot be used: Not a directory" in refusal(tmp_path / "file" / "home")


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o722, 0o1777])
def test_a_home_that_others_may_write_is_refused_with_the_remedy(home, mode):
    home.mkdir()
    home.chmod(mode)

    assert refusal(home).endswith(f"others may write in it; to go on: chmod go-w {home}")
    assert list(home.iterdir()) == []


def test_the_remedy_can_be_copied_whatever_the_name(tmp_path):
    home = tmp_path / "it's $(mine)"
    home.mkdir()
    home.chmod(0o777)

    assert refusal(home).endswith("/it'\"'\"'s $(mine)'")


def test_a_home_of_somebody_else_is_refused(home, monkeypatch):
    home.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    assert f"belongs to uid {os.getuid()}, not to you" in refusal(home)


def test_a_home_that_cannot_be_written_is_refused(home, monkeypatch):
    home.mkdir(mode=0o700)
    monkeypatch.setattr(os, "access", lambda *args, **options: False)

    assert refusal(home) == (
        f"state folder {home}: cannot be written: check its permissions and that its disk is not "
        "mounted read-only, or name another folder with --home"
    )


def test_a_folder_that_others_may_write_is_refused(home):
    home.mkdir(mode=0o700)
    (home / "locks").mkdir()
    (home / "locks").chmod(0o777)

    assert f"chmod go-w {home}/locks" in refusal(home)


def test_a_file_in_the_place_of_a_folder_is_refused(home):
    home.mkdir(mode=0o700)
    (home / "runs").touch()

    assert refusal(home) == f"state folder {home}/runs: is not a folder"


def test_our_own_links_are_followed(home, tmp_path):
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "logs").mkdir(mode=0o700)
    home.symlink_to(tmp_path / "disk")
    (home / "logs").symlink_to(tmp_path / "logs")

    ensure_home(config_of(home))

    assert {path.name for path in (tmp_path / "disk").iterdir()} == FOLDERS


def test_a_link_that_leads_nowhere_is_refused(home, tmp_path):
    home.mkdir(mode=0o700)
    (home / "locks").symlink_to(tmp_path / "nowhere")

    assert "cannot be used: No such file" in refusal(home)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["", "locks"])
def test_a_link_of_somebody_else_is_refused(home, tmp_path, monkeypatch, name):
    """Whoever placed it would choose where our files go."""
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    link = home / name if name else home
    if name:
        home.mkdir(mode=0o700)
    link.symlink_to(target)
    really = type(home).lstat

    def owned_by_stranger(path):
        found = list(really(path))
        if path == link:
            found[stat.ST_UID] = 4242
        return os.stat_result(found)

    monkeypatch.setattr(type(home), "lstat", owned_by_stranger)

    assert "is a symbolic link of uid 4242" in refusal(home)
    assert list(target.iterdir()) == []


def test_two_that_make_it_at_once_both_succeed(home, monkeypatch):
    """The other one made the folder between our look and our mkdir."""
    really = type(home).mkdir

    def mkdir(path, *args, **options):
        really(path, *args, **options)
        really(path, *args, **options)

    monkeypatch.setattr(type(home), "mkdir", mkdir)

    ensure_home(config_of(home))

    assert {path.name for path in home.iterdir()} == FOLDERS


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_as_such(home, monkeypatch, number):
    def fail(*args, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(type(home), "mkdir", fail)

    with pytest.raises(DiskFull, match=f"no space left to make {home}"):
        ensure_home(config_of(home))
