#!/bin/sh
# dpkg says "remove" and rpm says how many versions stay: an upgrade lets the agent run. What dpkg installs again after that starts at boot
# if it did before.
set -e
[ -d /run/systemd/system ] || exit 0
case "$1" in
remove) systemctl stop --quiet rollcall-agent.service || true ;;
0) systemctl disable --now --quiet rollcall-agent.service || true ;;
esac
