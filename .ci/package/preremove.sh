#!/bin/sh
# dpkg says "remove" and rpm says how many versions stay: an upgrade lets the agent run.
set -e
case "$1" in
remove | 0) ;;
*) exit 0 ;;
esac
[ -d /run/systemd/system ] || exit 0
systemctl disable --now --quiet rollcall-agent.service
