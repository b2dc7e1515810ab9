#!/bin/sh
# Pins requirements*.in anew: with hashes, for every platform, and without any address.
set -eu
# shellcheck source=scripts/common.sh
. "$(dirname -- "$0")/common.sh"

cd "$repo"
tool=$(mktemp -d "${TMPDIR:-/tmp}/pin-XXXXXX")
trap 'rm -rf "$tool"' EXIT
"$venv/bin/python" -m venv "$tool"
"$tool/bin/pip" --disable-pip-version-check install --quiet uv
for name in requirements requirements-dev; do
    say "pinning $name.in ..."
    "$tool/bin/uv" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate --no-emit-index-url "$name.in" --output-file "$name.txt"
done
"$venv/bin/python" scripts/guards.py
