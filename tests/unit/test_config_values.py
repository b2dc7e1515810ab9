"""What settings may be, how a refusal is told, and that secrets stay secret."""

import pytest

from scheduler_modules.config import SchedulerConfig, Setting, masked
from scheduler_modules.config_values import RULES, without_password
from tests.config_folder import ConfigFolder

SECRET = "hunter2-marker"


@pytest.fixture
def folder(tmp_path):
    return ConfigFolder(tmp_path / "home")


@pytest.fixture
def home(folder):
    return folder.home


@pytest.fixture
def load(folder):
    return folder.load


@pytest.fixture
def refusal(folder):
    return folder.refusal


def test_every_setting_has_a_rule():
    assert set(RULES) == set(SchedulerConfig.__struct_fields__) - {"home"}


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("MAX_CONCURRENT_PROJECTS", " 12 ", 12),
        ("MAX_CONCURRENT_PROJECTS", "+3", 3),
        ("TICK_SEC", "0.25", 0.25),
        ("TICK_SEC", ".5", 0.5),
        ("RETRY_DELAY_SEC", "1e3", 1000.0),
        ("RETRY_DELAY_SEC", "0", 0.0),
        ("STUCK_TIMEOUT_HOURS", "4", 4.0),
        ("MAX_AUTO_ORCHESTRATE_RUNTIME_SEC", "0", 0),
        ("ENABLE_BATCH_MONITORING", "No", False),
        ("ENABLE_BATCH_MONITORING", "TRUE", True),
        ("SMTP_USE_TLS", "off", False),
        ("DISABLE_RECONCILIATION", "1", True),
        ("LOG_LEVEL", "debug", "DEBUG"),
        ("KEEP_SESSIONS", "All", "all"),
        ("SMTP_PORT", "65535", 65535),
        ("TMUX_SOCKET", "default", "default"),
        ("TMUX_SOCKET", "/run/user/1000/s", "/run/user/1000/s"),
        ("HOST_NAME", "build-01.example.org", "build-01.example.org"),
        ("SMTP_SERVER", "[::1]", "[::1]"),
        ("PROJECT_COMMAND", " ./run.sh '{spec}' ", "./run.sh '{spec}'"),
        ("PROJECT_COMMAND", "   ", ""),
        ("LAUNCHER_COMMAND", "sh -c 'a\nb'", "sh -c 'a\nb'"),
        ("LOG_FILE", "/var/log/scheduler.log", "/var/log/scheduler.log"),
        ("SMTP_PASSWORD", " with spaces ", " with spaces "),
        ("SCHEDULER_DB_URL", "sqlite:////srv/q.db", "sqlite:////srv/q.db"),
        ("SCHEDULER_DB_URL", "postgresql://me@h:5433/q", "postgresql://me@h:5433/q"),
        ("SCHEDULER_DB_URL", "postgres:///q?host=/run/pg", "postgres:///q?host=/run/pg"),
    ],
)
def test_an_allowed_value_is_taken(load, variable, text, value):
    taken = getattr(load(**{variable: text}).config, variable.lower())

    assert (taken, type(taken)) == (value, type(value))


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [
        ("MAX_CONCURRENT_PROJECTS", "0", "a whole number from 1 to 1,000,000"),
        ("MAX_CONCURRENT_PROJECTS", "1_0", "a whole number"),
        ("MAX_CONCURRENT_PROJECTS", "٣", "a whole number"),
        ("MAX_CONCURRENT_PROJECTS", "2.0", "a whole number"),
        ("MAX_CONCURRENT_PROJECTS", "9" * 5000, "a whole number"),
        ("POLL_INTERVAL_SEC", "-1", "a whole number"),
        ("TICK_SEC", "0", "a number from 0.01 to 3,600"),
        ("TICK_SEC", "nan", "a number"),
        ("TICK_SEC", "inf", "a number"),
        ("TICK_SEC", "-0.5", "a number"),
        ("DEFAULT_RETRIES", "101", "a whole number from 0 to 100"),
        ("RETRY_DELAY_SEC", "1e99999", "a number from 0 to 1,000,000,000"),
        ("RETRY_DELAY_SEC", "soon", "a number"),
        ("SMTP_USE_TLS", "maybe", "true or false"),
        ("LOG_LEVEL", "loud", "DEBUG, INFO, WARNING, ERROR or CRITICAL"),
        ("KEEP_SESSIONS", "some", "none, failed or all"),
        ("SMTP_PORT", "0", "a whole number from 1 to 65,535"),
        ("SMTP_PORT", "65536", "a whole number from 1 to 65,535"),
        ("TMUX_SOCKET", "a/b", "an absolute path of at most 107 bytes"),
        ("TMUX_SOCKET", "-x", "a name of letters"),
        ("TMUX_SOCKET", "/" + "ä" * 54, "at most 107 bytes"),
        ("TMUX_SOCKET", "/a\nb", "an absolute path"),
        ("HOST_NAME", "-rf", "a host name"),
        ("HOST_NAME", "a b", "a host name"),
        ("SMTP_SERVER", "mail.example\r\nX: y", "a host name"),
        ("PROJECT_AGENT", "../x", "a name"),
        ("PROJECT_COMMAND", "echo 'open", "every quote closed"),
        ("PROJECT_COMMAND", "'' x", "a command line"),
        ("PROJECT_COMMAND", "echo \x07", "a command line"),
        ("LAUNCHER_COMMAND", "echo \udcff", "a command line"),
        ("LOG_FILE", "logs/", "the path of a file"),
        ("LOG_FILE", "..", "the path of a file"),
        ("LOG_FILE", "a\x00b", "the path of a file"),
        ("SENDER_EMAIL", "a@b\nBcc: c@d", "without control characters"),
        ("EMAIL_SUBJECT_PREFIX", "a\x85b", "without control characters"),
        ("TMO_DEFAULT_SESSION", "a:b", "letters, digits"),
        ("SCHEDULER_DB_URL", "sqlite:///relative.db", "an absolute path"),
        ("SCHEDULER_DB_URL", "sqlite://", "an absolute path"),
        ("SCHEDULER_DB_URL", "sqlite:////srv/", "an absolute path"),
        ("SCHEDULER_DB_URL", "sqlite:////srv/q.db?mode=ro", "an absolute path"),
        ("SCHEDULER_DB_URL", "/srv/q.db", "sqlite:///"),
        ("SCHEDULER_DB_URL", "postgresql://", "postgresql://USER@HOST/DATABASE"),
        ("SCHEDULER_DB_URL", "postgresql://h/a b", "postgresql://USER@HOST/DATABASE"),
        ("SCHEDULER_DB_URL", "mysql://h/db", "postgresql://USER@HOST/DATABASE"),
        ("QUEUE_DB_PATH", "q.db", "absolute path"),
        ("QUEUE_DB_PATH", "/srv/..", "absolute path"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_what_is(refusal, variable, text, allowed):
    said = str(refusal(**{variable: text}))

    assert said.startswith(f"{variable}=")
    assert "(environment): allowed is " in said
    assert allowed in said
    assert len(said) < 400


def test_a_bad_value_in_dotenv_is_told_with_its_line(refusal, home):
    said = str(refusal(dotenv="\n# x\nTICK_SEC=fast\n"))

    assert said == f"TICK_SEC='fast' ({home}/.env:3): allowed is a number from 0.01 to 3,600"


def test_a_bad_value_in_toml_is_told_under_its_name_there(refusal, home):
    said = str(refusal(toml='smtp_host = "a b"\n'))

    assert said.startswith(f"smtp_host='a b' ({home}/config.toml): allowed is ")


def test_a_number_in_toml_is_no_text(refusal, home):
    said = str(refusal(toml="smtp_password = 5\n"))

    assert said == f"smtp_password='***' ({home}/config.toml): allowed is a text in quotes"


def test_a_text_in_toml_may_be_a_number(load):
    assert load(toml='tick_sec = "2"\n').config.tick_sec == 2


def test_paths_may_begin_with_a_tilde(load, tmp_path):
    config = load(
        HOME=str(tmp_path),
        TMUX_SOCKET="~/s",
        LOG_FILE="~/scheduler.log",
        QUEUE_DB_PATH="~/q.db",
    ).config

    assert (config.tmux_socket, config.log_file, config.scheduler_db_url) == (
        f"{tmp_path}/s",
        f"{tmp_path}/scheduler.log",
        f"sqlite:///{tmp_path}/q.db",
    )


def test_a_path_of_nobody_is_refused_under_its_own_name(refusal):
    said = str(refusal(TMUX_SOCKET="~no-such-user/s"))

    assert said.startswith("TMUX_SOCKET='~no-such-user/s' (environment)")


# -- secrets --------------------------------------------------------------------------------


def test_the_password_is_in_no_text_of_the_configuration(load):
    loaded = load(SMTP_PASSWORD=SECRET, PROJECT_COMMAND=f"fetch https://me:{SECRET}@host/x?q")

    assert loaded.config.smtp_password == SECRET
    assert SECRET not in repr(loaded.config)
    assert SECRET not in repr(loaded)
    assert SECRET not in str(list(loaded.sources.values()))
    assert loaded.sources["smtp_password"].shown == "***"
    assert loaded.sources["smtp_password"].is_secret
    assert loaded.sources["project_command"].shown == "fetch https://***@host/x?q"


def test_a_password_that_is_not_set_shows_as_nothing(load):
    assert load().sources["smtp_password"].shown == ""


@pytest.mark.parametrize(
    "settings",
    [
        {"SMTP_PASSWORD": f"{SECRET}\n"},
        {"SMTP_PASSWORD": f"\udcff{SECRET}" * 50},
        {"dotenv": f'SMTP_PASSWORD="{SECRET}\\n"'},
        {"dotenv": f"SMTP_PASSWORD='{SECRET}"},
        {"dotenv": f"SMTP PASSWORD={SECRET}"},
        {"toml": f'smtp_password = "{SECRET}\\n"'},
        {"toml": f'smtp_password = "{SECRET}'},
        {"toml": f'[smtp_password]\nx = "{SECRET}"'},
        {"SCHEDULER_DB_URL": f"mysql://me:{SECRET}@host/db"},
        {"SCHEDULER_DB_URL": f"postgresql://me:a/b c@d{SECRET}@host/db"},
        {"SCHEDULER_DB_URL": f"mysql://host/db?password={SECRET}"},
        {"SCHEDULER_DB_URL": f"me:{SECRET}@host"},
        {"SCHEDULER_DB_URL": f"sqlite://me:{SECRET}@host"},
        {"SCHEDULER_DB_URL": f"sqlite:///x?password={SECRET}"},
        {"PROJECT_COMMAND": f"fetch https://me:{SECRET}@host 'open"},
        {"PROJECT_COMMAND": f"fetch https://me:{SECRET * 20}@host 'open"},
        {"SMTP_SERVER": f"smtp://me:{SECRET}@host"},
        {"TICK_SEC": f"https://me:{SECRET}@host"},
    ],
)
def test_no_refusal_tells_a_secret(refusal, settings):
    error = refusal(**settings)

    assert SECRET not in f"{error} {error!r} {error.value} {error.__cause__!r}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        (5, "5"),
        ("mail a@b", "mail a@b"),
        ("x://a:b@c y://d:e@f", "x://***@c y://***@f"),
        ("x://host/?passwd=1&b=2", "x://host/?passwd=***&b=2"),
        ("x://host/?b=2&%70assword=1", "x://host/?b=2&%70assword=***"),
        ("x://host/?scram_client_key=1", "x://host/?scram_client_key=***"),
    ],
)
def test_credentials_in_addresses_are_masked(value, shown):
    assert masked(value) == shown


def test_masking_a_long_text_takes_no_time():
    masked("://" * 100_000 + "pass" * 100_000)


def test_a_setting_prints_masked():
    setting = Setting(
        name="smtp_password", variable="SMTP_PASSWORD", value=SECRET, origin="x", is_secret=True
    )

    assert repr(setting) == "Setting(SMTP_PASSWORD='***', 'x')"


@pytest.mark.parametrize(
    ("url", "rest"),
    [
        ("postgresql://me:pw@h:5433/q?sslmode=require", "postgresql://me@h:5433/q?sslmode=require"),
        ("postgres://me@h/q", "postgres://me@h/q"),
        ("postgresql:///q?password=pw", "postgresql:///q"),
        ("postgresql:///q?host=/run&password=pw&user=a@b", "postgresql:///q?host=/run&user=a@b"),
        ("postgresql:///q?passfile=/p&service=s", "postgresql:///q?passfile=/p&service=s"),
        ("sqlite:////home/a:b@c/q.db", "sqlite:////home/a:b@c/q.db"),
        ("postgresql://me:p?w@h/q", "postgresql://me@h/q"),
        ("postgresql://me:p?a=b&c@h/q?port=1", "postgresql://me@h/q?port=1"),
        ("postgresql://h/q?%70assword=pw&port=1", "postgresql://h/q?port=1"),
        ("postgresql://h/q?sslpassword=a&scram_client_key=b", "postgresql://h/q"),
        ("postgresql://:pw@h/q", "postgresql://@h/q"),
    ],
)
def test_a_password_is_taken_out_of_an_address_and_nothing_else(url, rest):
    assert without_password(url) == rest


@pytest.mark.parametrize(
    "credentials", ["me:{}/b", "me:{}@b", "me:a?{}/b", "me@{}:pw", "{}/me:pw", "h:5?password=a"]
)
def test_credentials_that_could_end_in_two_places_are_refused_without_quoting_them(
    refusal, credentials
):
    error = refusal(SCHEDULER_DB_URL=f"postgresql://{credentials.format(SECRET)}@{SECRET}/queue")

    assert "write @, / and ? in a name or password as %40, %2F and %3F" in str(error)
    assert SECRET not in f"{error} {error!r}"
