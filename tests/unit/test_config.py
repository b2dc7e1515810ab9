"""Where settings come from, which source wins, and what they may be."""

import os
from pathlib import Path

import pytest

from scheduler_modules.config import SchedulerConfig, load_config
from scheduler_modules.errors import ConfigError
from tests.config_folder import ConfigFolder


@pytest.fixture
def folder(tmp_path):
    return ConfigFolder(tmp_path / "home")


@pytest.fixture
def home(folder):
    return folder.home


@pytest.fixture
def load(folder):
    return folder.load


# -- sources --------------------------------------------------------------------------------


def test_without_any_source_every_setting_has_its_default(load, home):
    config = load().config

    assert config == SchedulerConfig(home=home, scheduler_db_url=f"sqlite:///{home}/task_queue.db")


def test_every_setting_tells_its_variable_and_origin(load, home):
    loaded = load(
        dotenv="# ours\nTICK_SEC=2\n", toml="kill_grace_sec = 3\n", MAX_CONCURRENT_PROJECTS="4"
    )

    told = {
        name: (setting.variable, setting.value, setting.origin)
        for name, setting in loaded.sources.items()
        if not setting.origin.startswith("default")
    }

    assert told == {
        "home": ("TMUX_ORCHESTRATOR_HOME", home, "environment"),
        "tick_sec": ("TICK_SEC", 2.0, f"{home}/.env:2"),
        "kill_grace_sec": ("KILL_GRACE_SEC", 3.0, f"{home}/config.toml"),
        "max_concurrent_projects": ("MAX_CONCURRENT_PROJECTS", 4, "environment"),
    }


def test_settings_are_told_in_the_order_of_the_configuration(load):
    assert tuple(load().sources) == SchedulerConfig.__struct_fields__


def test_what_is_told_is_what_is_in_effect(load):
    loaded = load(dotenv="SMTP_USER=me\n", MAX_AUTO_ORCHESTRATE_RUNTIME_SEC="60")

    assert {name: getattr(loaded.config, name) for name in loaded.sources} == {
        name: setting.value for name, setting in loaded.sources.items()
    }


def test_the_environment_wins_over_files_and_dotenv_over_toml(load):
    every = {"dotenv": "TICK_SEC=2\nKILL_GRACE_SEC=2\n", "toml": "tick_sec=3\nkill_grace_sec=3\n"}

    config = load(**every, TICK_SEC="1").config

    assert (config.tick_sec, config.kill_grace_sec) == (1, 2)


def test_variables_of_other_programs_are_ignored(load):
    load(dotenv="OTHER_PROGRAM=1\n", NOT_OURS="x", PATH="/bin")


def test_an_empty_variable_counts_as_not_set(load):
    config = load(dotenv="TICK_SEC=2\n", TICK_SEC="", KEEP_SESSIONS=" ", SCHEDULER_DB_URL="").config

    assert (config.tick_sec, config.keep_sessions) == (2, "failed")


def test_nothing_is_a_value_where_it_means_something(load):
    config = load(dotenv="SMTP_SERVER=mail.example\nPROJECT_COMMAND=make\n", SMTP_SERVER="").config

    assert (config.smtp_server, config.project_command) == ("", "make")


# -- other names, and defaults that depend --------------------------------------------------


@pytest.mark.parametrize(
    ("alias", "field"),
    [
        ("SMTP_HOST", "smtp_server"),
        ("SMTP_USER", "smtp_username"),
        ("SMTP_FROM", "sender_email"),
        ("SMTP_TO", "recipient_email"),
    ],
)
def test_old_names_set_the_same_settings(load, alias, field):
    loaded = load(**{alias: "mail.example"})

    assert getattr(loaded.config, field) == "mail.example"
    assert loaded.sources[field].origin == f"environment, as {alias}"


def test_a_settings_own_name_wins_over_its_old_one(load):
    assert load(SMTP_HOST="old", SMTP_SERVER="own").config.smtp_server == "own"


def test_an_old_name_in_the_environment_wins_over_the_own_one_in_a_file(load):
    assert load(dotenv="SMTP_SERVER=own\n", SMTP_HOST="old").config.smtp_server == "old"


def test_the_old_database_variable_names_the_same_file(load):
    loaded = load(QUEUE_DB_PATH="/var/lib/q/task_queue.db")

    assert loaded.config.scheduler_db_url == "sqlite:////var/lib/q/task_queue.db"
    assert loaded.sources["scheduler_db_url"].origin == "environment, as QUEUE_DB_PATH"


def test_the_process_limit_follows_the_run_limit(load):
    loaded = load(MAX_AUTO_ORCHESTRATE_RUNTIME_SEC="77")

    assert loaded.config.max_process_runtime_sec == 77
    assert loaded.sources["max_process_runtime_sec"].origin == (
        "default: MAX_AUTO_ORCHESTRATE_RUNTIME_SEC"
    )


def test_the_process_limit_may_differ(load):
    assert load(MAX_PROCESS_RUNTIME_SEC="5").config.max_process_runtime_sec == 5


def test_mail_goes_from_and_to_the_user_unless_told(load):
    config = load(SMTP_USERNAME="me@example.org", RECIPIENT_EMAIL="you@example.org").config

    assert (config.sender_email, config.recipient_email) == ("me@example.org", "you@example.org")


# -- home -----------------------------------------------------------------------------------


def test_home_is_the_working_folder_where_the_caller_says_so(tmp_path):
    loaded = load_config({"HOME": "/nowhere"}, cwd=tmp_path)

    assert loaded.config.home == tmp_path
    assert loaded.sources["home"].origin == "working folder"


def test_the_variable_wins_over_the_working_folder(home, tmp_path):
    config = load_config({"TMUX_ORCHESTRATOR_HOME": str(home)}, cwd=tmp_path).config

    assert config.home == home


def test_home_is_in_the_state_folder_by_default(tmp_path):
    config = load_config({"XDG_STATE_HOME": str(tmp_path), "HOME": "/nowhere"}).config

    assert config.home == tmp_path / "tmux-orchestrator"


@pytest.mark.parametrize("state", ["", "relative/folder"])
def test_without_a_state_folder_home_is_below_the_users(tmp_path, state):
    config = load_config({"HOME": str(tmp_path), "XDG_STATE_HOME": state}).config

    assert config.home == tmp_path / ".local/state/tmux-orchestrator"


def test_a_tilde_is_the_home_folder_of_the_environment(tmp_path):
    config = load_config({"HOME": str(tmp_path), "TMUX_ORCHESTRATOR_HOME": "~/queue"}).config

    assert config.home == tmp_path / "queue"


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "relative"}])
def test_a_tilde_without_a_home_folder_asks_the_accounts(environ):
    import pwd

    config = load_config({**environ, "TMUX_ORCHESTRATOR_HOME": "~/no-such-queue"}).config

    assert config.home == Path(pwd.getpwuid(os.getuid()).pw_dir) / "no-such-queue"


def test_a_tilde_with_a_name_is_that_accounts_folder():
    import pwd

    config = load_config({"TMUX_ORCHESTRATOR_HOME": "~root/no-such-queue"}).config

    assert config.home == Path(pwd.getpwnam("root").pw_dir) / "no-such-queue"


def test_a_tilde_with_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match=r"TMUX_ORCHESTRATOR_HOME='~no-such-user/x' .*not known"):
        load_config({"TMUX_ORCHESTRATOR_HOME": "~no-such-user/x"})


def test_an_account_without_a_home_folder_is_told_what_to_set(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)

    with pytest.raises(ConfigError, match="TMUX_ORCHESTRATOR_HOME"):
        load_config({})


def test_a_relative_home_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    config = load_config({"TMUX_ORCHESTRATOR_HOME": "a/../queue/"}).config

    assert config.home == tmp_path / "queue"


def test_a_relative_home_in_a_deleted_folder_is_refused(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    with pytest.raises(ConfigError, match="the working folder is gone"):
        load_config({"TMUX_ORCHESTRATOR_HOME": "queue"})


@pytest.mark.parametrize(
    "folder", ["/tmp/a\nb", "/tmp/\x1b[2J", "/tmp/\udcff", "/x" * 501, "/tmp/" + "x" * 300]
)
def test_a_home_that_cannot_be_named_is_refused_in_one_short_line(folder):
    with pytest.raises(ConfigError) as caught:
        load_config({"TMUX_ORCHESTRATOR_HOME": folder})

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_a_home_that_is_a_file_has_no_settings(tmp_path):
    home = tmp_path / "file"
    home.touch()

    assert load_config({"TMUX_ORCHESTRATOR_HOME": str(home)}).config.home == home


def test_loading_creates_nothing(tmp_path):
    load_config({"HOME": str(tmp_path)})

    assert list(tmp_path.iterdir()) == []


def test_folders_are_below_home(load, home):
    config = load().config

    assert [config.runs_dir, config.logs_dir, config.locks_dir, config.signals_dir] == [
        home / "runs",
        home / "logs",
        home / "locks",
        home / "signals",
    ]
    assert config.socket_path == home / "run" / "tmux.sock"


# -- the database's password --------------------------------------------------------------------


def test_an_address_without_its_password_finds_it_in_the_home(load):
    loaded = load(
        dotenv="SCHEDULER_DB_URL=postgresql://me:pw@host/queue\n",
        SCHEDULER_DB_URL="postgresql://me@host/queue",
    )

    assert loaded.config.scheduler_db_url == "postgresql://me:pw@host/queue"
    assert ".env" in loaded.sources["scheduler_db_url"].origin


@pytest.mark.parametrize("told", ["postgresql://you@host/queue", "postgresql://me@host/other"])
def test_the_password_of_another_address_is_not_taken(load, told):
    loaded = load(dotenv="SCHEDULER_DB_URL=postgresql://me:pw@host/queue\n", SCHEDULER_DB_URL=told)

    assert loaded.config.scheduler_db_url == told


def test_the_password_of_the_database_is_not_shown(load):
    loaded = load(SCHEDULER_DB_URL="postgresql://me:hunter2@host/queue")

    assert loaded.sources["scheduler_db_url"].shown == "postgresql://***@host/queue"
    assert "hunter2" not in repr(loaded.config)
