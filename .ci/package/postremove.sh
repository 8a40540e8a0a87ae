#!/bin/sh
# The state stays: the machine is managed until rollcall agent unenroll, or by a package that is installed again. A purge takes it too,
# but for what was there before profiles became files of the system.
set -e
state=/var/lib/rollcall-agent
if [ "$1" = purge ]; then
	if grep -q '"files":{' "$state/profiles/files.json" 2>/dev/null; then
		echo "rollcall-agent: files of profiles are still in the system, and what was there before is in $state: install this package again for rollcall agent unenroll, then purge it" >&2
	else
		rm -rf "$state" /var/lib/private/rollcall-agent
		unit=/etc/systemd/system/rollcall-agent.service # as rollcall agent install wrote it
		if grep -q '^ExecStart="/usr/bin/rollcall" ' "$unit" 2>/dev/null; then rm -f "$unit"; fi
	fi
fi
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
