#!/bin/sh
# Installs what is missing: `scripts/setup.sh run` for the product, `test` for its tests as well.
#
# System packages come from apt-get, where that is allowed; Python packages go into .venv, pinned
# and checked by their hashes. A second call finds everything in place and takes no time.
set -eu
# shellcheck source=scripts/common.sh
. "$(dirname -- "$0")/common.sh"

purpose=${1:-run}
case $purpose in
    run) requirements='requirements.txt' ;;
    test) requirements='requirements-dev.txt' ;;
    *) die "usage: scripts/setup.sh run|test" ;;
esac

# Prints the Debian packages whose programs are missing.
missing_packages() {
    command -v tmux >/dev/null 2>&1 || echo tmux
    [ "$purpose" = test ] || return 0
    command -v strace >/dev/null 2>&1 || echo strace
    command -v gcc >/dev/null 2>&1 || echo gcc libc6-dev
    command -v ps >/dev/null 2>&1 || echo procps
    command -v shellcheck >/dev/null 2>&1 || echo shellcheck
    command -v ip >/dev/null 2>&1 || echo iproute2
    command -v zsh >/dev/null 2>&1 || echo zsh
    command -v fish >/dev/null 2>&1 || echo fish
    command -v groff >/dev/null 2>&1 || echo groff-base
    # Debian keeps the server's programs off PATH.
    command -v postgres >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 ||
        echo postgresql
}

# install PACKAGE...: by apt-get as root. Non-zero, after one line that says why, if it cannot be.
install() {
    if ! command -v apt-get >/dev/null 2>&1; then
        say "not installed: $* (there is no apt-get here; use this system's own package manager)"
        return 1
    fi
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif sudo -n true 2>/dev/null; then
        as_root='sudo -n'
    else
        say "not installed: $* (that needs root; type: sudo apt-get install $*)"
        return 1
    fi
    say "installing $* with apt-get ..."
    if ! apt_get "$@" && ! { apt_get_update && apt_get "$@"; }; then
        say "not installed: $* (apt-get failed: $(tail -n 1 "$log"); type: apt-get install $*)"
        return 1
    fi
}

# shellcheck disable=SC2086 # as_root is nothing or two words
apt_get() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 \
        install -y -qq --no-install-recommends "$@" >"$log" 2>&1 </dev/null
}

# shellcheck disable=SC2086
apt_get_update() {
    $as_root apt-get -o DPkg::Lock::Timeout=120 update -qq >"$log" 2>&1 </dev/null
}

# Prints the first Python of at least 3.11; with `venv`, one that can make environments too.
find_python() {
    for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3 /usr/bin/python3; do
        modules=${1:+venv, ensurepip,}
        if "$candidate" -c "import ${modules} sys; sys.exit(sys.version_info < (3, 11))" \
            >/dev/null 2>&1; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

make_venv() {
    if ! python=$(find_python venv); then
        bare=$(find_python) || die "Python 3.11 or newer is needed and was not found on PATH"
        # Debian keeps the venv module of each Python in a package of its own.
        version=$("$bare" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        install "python$version-venv" || exit 1
        python=$(find_python venv) || die "$bare still cannot make a virtual environment"
    fi
    say "making .venv with $("$python" -V) ..."
    rm -rf "$venv"
    "$python" -m venv "$venv" >"$log" 2>&1 || die "no .venv: $(tail -n 1 "$log")"
    printf '%s\n' "$repo" >"$venv/.made-for"
}

# An environment names its own path inside: one that was moved, or lost its Python, is of no use.
is_usable_venv() {
    [ "$(cat "$venv/.made-for" 2>/dev/null)" = "$repo" ] &&
        "$venv/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

pip_install() {
    "$venv/bin/python" -m pip --disable-pip-version-check --no-input install --quiet "$@" \
        >"$log" 2>&1 </dev/null || {
        cat "$log" >&2
        die "pip could not install into $venv"
    }
}

log=$(mktemp "${TMPDIR:-/tmp}/setup-XXXXXX")
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

wanted=$(missing_packages)
if [ -n "$wanted" ]; then
    # shellcheck disable=SC2086 # one word is one package
    install $wanted || command -v tmux >/dev/null 2>&1 || exit 1
fi

if ! "$is_own_venv"; then
    [ -x "$venv/bin/python" ] || die "VENV=$venv is no virtual environment"
    exit 0
fi
cd "$repo"
stamp=$venv/.installed-for-$purpose
state=$(cat "$requirements" pyproject.toml | cksum)
is_usable_venv || make_venv
if [ "$(cat "$stamp" 2>/dev/null)" != "$state" ]; then
    say "installing $requirements into .venv ..."
    pip_install --require-hashes -r "$requirements"
    pip_install --no-deps --no-build-isolation -e .
    printf '%s\n' "$state" >"$stamp"
fi
