#!/bin/sh
# Writes the systemd units for this user, with the path of this checkout: scripts/units.sh [FOLDER]
set -eu
# shellcheck source=scripts/common.sh
. "$(dirname -- "$0")/common.sh"

folder=${1:-${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user}
state=${TMUX_ORCHESTRATOR_HOME:-${XDG_STATE_HOME:-$HOME/.local/state}/tmux-orchestrator}
# What systemd or sed would act on has no business in a path here.
case $repo$state in
    *[!A-Za-z0-9/._+-]*) die "systemd units need plain paths, without blanks or signs: $repo, $state" ;;
esac
mkdir -p "$folder"
for unit in queue checkin; do
    name=tmux-orchestrator-$unit.service
    sed "s|%h/Tmux-Orchestrator|$repo|g; s|^\(Environment=TMUX_ORCHESTRATOR_HOME=\).*|\1$state|" "$repo/systemd/$name" >"$folder/$name"
    say "wrote $folder/$name"
done
if [ $# = 0 ]; then
    systemctl --user daemon-reload 2>/dev/null || say "not reloaded: this user's systemd cannot be asked"
    say "next: systemctl --user enable --now tmux-orchestrator-checkin tmux-orchestrator-queue"
fi
