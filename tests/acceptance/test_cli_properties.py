"""Whatever is typed: a documented exit code, one line for what is wrong, never a traceback."""

import json
import os
import re
import tempfile
from pathlib import Path

import click
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from scheduler_modules import compose
from scheduler_modules.cli.context import Cli
from scheduler_modules.cli.output import Terminal
from scheduler_modules.cli_handler import VERBS, make_root, run_cli
from scheduler_modules.config import ensure_home, load_config
from scheduler_modules.model import NewProject
from tests.cli_world import Stream

pytestmark = pytest.mark.acceptance

DOCUMENTED = frozenset({*range(9), 130, 141})
PAUSES = 3
# Not tried here: these two would start real daemons.
STARTING = frozenset({"start", "run"})
ODD_WORDS = (
    "",
    "0",
    "1",
    "2",
    "-1",
    "1-3",
    "3-1",
    "1,2,99",
    "9" * 25,
    "9" * 5000,
    "@last",
    "-",
    "--",
    "web",
    "w",
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned",
    "#(touch pwned)",
    "new\nline",
    "tab\t",
    "\x1b[31mred",
    "\x00",
    "\udcff",
    "٣",
    "½",
    "[bold]x",
    "{spec}",
    "%s%n",
    "..",
    "/",
    "/dev/null",
    "/dev/zero",
    "spec.md",
    "broken.md",
    "latin.md",
    "pipe.md",
)


def tried(times):
    """Try so many examples, all in the one place that the fixture makes."""
    return settings(
        max_examples=times,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


class Place:
    """A home with projects in several states, in a folder that is the working folder."""

    def __init__(self, folder):
        self.folder = folder
        self.environ = {
            "TMUX_ORCHESTRATOR_HOME": str(folder / "home"),
            "TMUX_TIMEOUT_SEC": "2",
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
        }
        (folder / "spec.md").write_text("---\ncommand: make\nafter: [other.md]\n---\n")
        (folder / "broken.md").write_text("---\ncomand: make\n---\n")
        (folder / "latin.md").write_bytes(b"caf\xe9")
        os.mkfifo(folder / "pipe.md")
        self._fill()

    def _fill(self):
        config = load_config(self.environ).config
        ensure_home(config)
        queue = compose.open_queue(config)
        for stem in ("web", "web-two", "docs"):
            spec = str(self.folder / f"{stem}.md")
            queue.enqueue(NewProject(spec_path=spec, spec_key=spec, name=stem, enqueued_at=1.0))
        queue.claim_next("daemon")
        queue.finish(1, success=False, reason="exit 3")
        store = queue.store
        store.mark_cleaned(store.runs_of(1)[0].token, 2.0)
        queue.claim_next("daemon")
        store.close()

    def call(self, argv, *, stdin="", is_tty=False, environ=()):
        streams = [Stream(stdin), Stream(is_tty=is_tty), Stream(is_tty=is_tty)]
        environ = {**self.environ, **dict(environ)}
        left = iter(range(PAUSES))

        def pause(sec):
            if next(left, None) is None:
                raise KeyboardInterrupt

        cli = Cli(Terminal(*streams, environ), environ, compose, pause=pause)
        code = run_cli(argv, cli)
        return code, streams[1].getvalue(), streams[2].getvalue()


@pytest.fixture
def place():
    folder = Path(tempfile.mkdtemp(prefix="to-"))
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield Place(folder)
    finally:
        os.chdir(before)


def option_words():
    """Return every option of every verb, as it is typed."""
    root = make_root()
    context = click.Context(root)
    words = set()
    commands = [root.get_command(context, verb.name) for verb in VERBS]
    below = [sub for command in commands for sub in getattr(command, "commands", {}).values()]
    for command in [root, *commands, *below]:
        for param in command.params:
            words.update(param.opts if isinstance(param, click.Option) else ())
    # Another home would be made wherever the next word says.
    return sorted(words - {"--home"})


def is_safe(argv):
    """Whether a command line stays in its place: no daemon, no other home."""
    words = [word for word in argv if not word.startswith("-")]
    return not (set(words) & STARTING) and not any("home" in word for word in argv)


BELOW = (
    *(("daemon", verb) for verb in ("status", "stop")),
    *(("group", verb) for verb in ("list", "set", "remove")),
)
WORDS = st.one_of(
    st.sampled_from(ODD_WORDS),
    st.sampled_from(option_words()),
    st.sampled_from([verb.name for verb in VERBS]),
    st.text(max_size=12).filter(lambda word: "/" not in word),
    st.integers().map(str),
)
ARGV = st.tuples(
    st.lists(st.sampled_from(["--json", "-q", "--quiet", "-x"]), max_size=1),
    st.sampled_from([*((verb.name,) for verb in VERBS), *BELOW]),
    st.lists(WORDS, max_size=6),
).map(lambda parts: [*parts[0], *parts[1], *parts[2]])


@tried(800)
@given(argv=ARGV.filter(is_safe), stdin=st.text(max_size=30), is_tty=st.booleans())
@example(argv=["list", "--all", "--json"], stdin="", is_tty=False)
@example(argv=["wait", "--all", "--timeout", "nan"], stdin="", is_tty=True)
@example(argv=["logs", "-f", "2", "-n", "0"], stdin="", is_tty=False)
@example(argv=["reset", "1-3", "--yes"], stdin="", is_tty=False)
@example(argv=["add", "-"], stdin="spec.md\nbroken.md\n\x00\n", is_tty=False)
def test_every_command_line_ends_in_order(place, argv, stdin, is_tty):
    code, out, err = place.call(argv, stdin=stdin, is_tty=is_tty)

    assert code in DOCUMENTED, (argv, code, err)
    assert "Traceback" not in out + err, (argv, err)
    assert "should not happen" not in err, (argv, err)
    assert code in {0, 1, 130} or err or "-q" in argv or "--quiet" in argv or out, argv
    assert not (place.folder / "pwned").exists(), argv


@tried(150)
@given(
    argv=st.tuples(
        st.sampled_from([["list"], ["status"], ["config"], ["show", "2"], ["show", "@last"]]),
        st.lists(st.sampled_from(["--all", "-q", "--json"]), max_size=1),
    ).map(lambda parts: ["--json", *parts[0], *(w for w in parts[1] if parts[0] == ["list"])])
)
def test_json_can_be_read_and_has_snake_case_keys(place, argv):
    code, out, _ = place.call(argv)

    told = json.loads(out)
    assert code == 0
    assert all(key == key.lower() and " " not in key for key in keys_of(told))


def keys_of(value):
    """Give every key of nested objects that is a field, not a value."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield key
            yield from keys_of(child)
    elif isinstance(value, list):
        for child in value:
            yield from keys_of(child)


@tried(150)
@given(
    name=st.sampled_from(
        ["MAX_CONCURRENT_PROJECTS", "TICK_SEC", "TMUX_SOCKET", "SCHEDULER_DB_URL", "LOG_LEVEL"]
    ),
    value=st.text(max_size=20).filter(lambda text: "/" not in text),
    verb=st.sampled_from([["list"], ["status"], ["config", "--json"], ["show", "1"]]),
)
def test_no_setting_makes_a_verb_fall_over(place, name, value, verb):
    code, _, err = place.call(verb, environ={name: value})

    assert code in {0, 2}, err
    assert len(err.splitlines()) <= 1 or code == 0
    assert "should not happen" not in err


@tried(200)
@given(name=st.text(min_size=1, max_size=40), as_json=st.booleans())
def test_any_name_is_shown_on_one_line(place, name, as_json):
    path = place.folder / "specs" / "x.md"
    try:
        name.encode()
        path = path.with_name(name + ".md")
        path.parent.mkdir(exist_ok=True)
        path.write_text("# x\n")
    except (UnicodeEncodeError, ValueError, OSError):
        return

    code, out, err = place.call(["add", "--again", *(["--json"] if as_json else []), str(path)])

    assert (code, len(out.splitlines())) == (0, 1), (out, err)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out)
