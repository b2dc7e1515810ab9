#!/bin/sh
# The demo behind `make run` and `make stop`: a daemon of its own in .demo, fed with examples/.
set -eu
# shellcheck source=scripts/common.sh
. "$(dirname -- "$0")/common.sh"

home=$repo/.demo
command=.demo/tmux-orchestrator

# Prints the file of the demo's tmux server. Unix sockets have short names: 107 bytes at most.
socket_path() {
    socket=$home/run/tmux.sock
    if [ "$(printf %s "$socket" | wc -c)" -gt 107 ]; then
        short=${XDG_RUNTIME_DIR:-}
        { [ -n "$short" ] && [ -w "$short" ]; } || short=$HOME/.cache
        # The demo of another checkout must not get the same one.
        socket=$short/tmux-orchestrator/demo-$(printf %s "$repo" | cksum | cut -d ' ' -f 1).sock
    fi
    printf '%s\n' "$socket"
}

# quoted TEXT: prints it as one word for a shell, whatever is in it.
quoted() {
    printf '%s\n' "$1" | sed "s/'/'\\\\''/g; 1s/^/'/; \$s/\$/'/"
}

# Writes the demo's settings, and a command that uses them and no others.
prepare() {
    umask 077
    mkdir -p "$home"
    socket=$(socket_path)
    {
        echo MAX_CONCURRENT_PROJECTS=3
        echo RETRY_DELAY_SEC=2
        echo KEEP_SESSIONS=all
        echo KEEP_SESSIONS_HOURS=1
        if [ "$socket" != "$home/run/tmux.sock" ]; then
            mkdir -p "$(dirname "$socket")"
            printf 'TMUX_SOCKET="%s"\n' "$(printf %s "$socket" | sed 's/[\\"]/\\&/g')"
        fi
    } >"$home/.env"
    cat >"$home/command.new" <<END
#!/bin/sh
# tmux-orchestrator as the demo uses it: its own home, whatever the surroundings say.
unset SCHEDULER_DB_URL QUEUE_DB_PATH TMUX_SOCKET MAX_CONCURRENT_PROJECTS RETRY_DELAY_SEC \\
    KEEP_SESSIONS KEEP_SESSIONS_HOURS DEFAULT_RETRIES PROJECT_COMMAND LAUNCHER_COMMAND SMTP_SERVER
export TMUX_ORCHESTRATOR_HOME=$(quoted "$home")
export PATH=$(quoted "$venv/bin"):"\$PATH"
exec tmux-orchestrator "\$@"
END
    chmod +x "$home/command.new"
    mv -f "$home/command.new" "$command"
}

run() {
    sh scripts/setup.sh run
    prepare
    # Caught, because in a terminal it would go on to name a command that is not on PATH here.
    started=$("$command" daemon start)
    say "$started"
    # Relative commands in the examples are meant from here, be it a git checkout or not.
    ids=$("$command" add --quiet --again --project . examples/*.md)
    # shellcheck disable=SC2086 # each line is an id
    set -- $ids
    # Ctrl-C ends the watching, not the work; what is still to be said is said below.
    trap : INT
    result=0
    "$command" wait "$@" || result=$?
    trap - INT
    if [ "$result" != 130 ]; then
        echo
        "$command" list
    fi
    explain "$@"
    exit "$result"
}

# explain ID...: prints what a newcomer may try next. The ids are in the order of examples/*.md.
explain() {
    for spec in examples/*.md; do
        case $spec in
            */pipeline.md) windows=$1 ;;
            */primes.md) retried=$1 ;;
        esac
        shift
    done
    if [ "$result" = 130 ]; then
        heading='The examples go on without you.'
    else
        heading='The daemon waits for more, and the sessions can still be looked at.'
    fi
    printf '\n%s Try, from this folder:\n' "$heading"
    hint "$command attach ${windows:-ID}" 'three windows; Ctrl-b n for the next, Ctrl-b d to leave'
    hint "$command list" 'what needs you, runs, waits and has ended'
    hint "$command show ${retried:-ID}" 'why it took two goes'
    hint "$command logs ${retried:-ID}" 'what it printed'
    hint "$command add SPEC" 'queue a spec of your own'
    hint 'make stop' 'end the daemon and every session of the demo'
}

hint() { printf '  %-34s # %s\n' "$1" "$2"; }

stop() {
    if [ -x "$command" ] && "$command" daemon status >/dev/null 2>&1; then
        "$command" --quiet daemon stop
        say "stopped the demo's daemon"
    fi
    socket=$(socket_path)
    if [ -S "$socket" ] && tmux -S "$socket" kill-server 2>/dev/null; then
        say "ended the demo's sessions"
    fi
}

cd "$repo"
case ${1:-} in
    run) run ;;
    stop) stop ;;
    *) die "usage: scripts/demo.sh run|stop" ;;
esac
