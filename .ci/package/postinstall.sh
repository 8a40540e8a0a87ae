#!/bin/sh
# From the first installation on the agent is started at each boot, and a machine that is enrolled goes on at once. A newer version leaves
# that as its owner has it: after rollcall agent uninstall, or where the unit is masked, nothing starts. None of it fails the installation:
# systemd has said why.
set -e
[ -d /run/systemd/system ] || exit 0
unit=rollcall-agent.service
systemctl daemon-reload
case "$1 $2" in # dpkg names the version before, rpm says how many there are
"configure " | "1 ") systemctl enable --quiet "$unit" || true ;;
esac
if systemctl is-enabled --quiet "$unit"; then
	systemctl restart "$unit" || true
else
	systemctl try-restart "$unit" || true
fi
