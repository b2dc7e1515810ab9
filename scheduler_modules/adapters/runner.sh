#!/bin/sh
# Runs one command of a project in the foreground of its pane and records start and end.
#
#   runner.sh OUT COMMAND [ARGUMENT...]
#
# OUT.start gets "PID STARTTIME" of this shell before the command runs (STARTTIME: field 22 of
# /proc/PID/stat), OUT.exit the command's exit code (128 + n after signal n), which appears whole or
# not at all; a start without its end of line is not there yet. Where the start cannot be recorded
# nothing is run: 125. HUP is not trapped: this shell and its command go with their terminal, and no
# exit code is written.
#
# Nothing is run either once RUN.go is gone (OUT is RUN.ROLE), which means that the run is over, or
# where OUT.start is there already: a tmux client can outlive the daemon that started it and make
# a session long after another daemon has done the same.
#
# Everything is kept in positional parameters: a variable set here could be one that the command
# is to get from its environment.

record_start() { # OUT, then the fields of /proc/PID/stat from the third on
    # The command waits for this: no program is run for it. Whoever makes the file is the one to
    # run; -C makes it anew or not at all.
    set -C
    printf '' >"$1.start" || return 1
    set +C
    printf '%s\n' "$$ ${21}" >>"$1.start" || {
        rm -f "$1.start"
        return 1
    }
} 2>/dev/null

record_exit() { # OUT CODE
    printf '%s\n' "$2" >"$1.exit.tmp" && mv -f "$1.exit.tmp" "$1.exit"
} 2>/dev/null

start() { # OUT
    read -r scheduler_runner_stat <"/proc/$$/stat" || return 1
    # shellcheck disable=SC2086 # to be split into fields; the name before them may hold spaces
    record_start "$1" ${scheduler_runner_stat##*) } && unset scheduler_runner_stat
}

run() { # OUT COMMAND [ARGUMENT...]
    shift
    # exec runs programs only: "exit" or "trap" as a command must not reach this shell.
    (is_there "$1" && exec "$@")
}

is_there() { # COMMAND; this shell's own complaint would hide the name behind a long path
    case $1 in */*) return 0 ;; esac
    command -v -- "$1" >/dev/null || {
        echo "$1: not found on PATH" >&2
        exit 127
    }
}

may_start() { # OUT
    [ -e "${1%.*}.go" ] && [ ! -e "$1.start" ]
}

trap : INT QUIT
may_start "$1" || {
    echo "runner: this run is over or was begun before, so nothing was run" >&2
    exit 125
}
start "$1" || {
    echo "runner: $1.start cannot be written, so nothing was run" >&2
    exit 125
}
run "$@"
set -- "$1" "$?"
record_exit "$1" "$2"
exit "$2"
