# Sourced by the other scripts: where things are, and how to say something. POSIX sh.
# shellcheck shell=sh disable=SC2034

repo=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
# An environment named by the caller is used as it is; the one of our own is made and kept up.
if [ -n "${VENV:-}" ]; then
    venv=$VENV is_own_venv=false
else
    venv=$repo/.venv is_own_venv=true
fi
# What an activated or half-activated Python leaves behind must not leak into ours.
unset PYTHONHOME PYTHONPATH VIRTUAL_ENV

say() { printf '%s\n' "$*" >&2; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
