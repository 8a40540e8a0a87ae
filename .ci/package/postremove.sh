#!/bin/sh
# The state stays: the machine is managed until rollcall agent unenroll, or by a package that is installed again. A purge takes it too,
# but for what was there before profiles became files of the system.
set -e
state=/var/lib/rollcall-agent

# touched tells whether files of the system are, or may be, otherwise than they were: by the ledger, its copy, or one that was cut short.
touched() {
	for ledger in "$state/profiles/files.json" "$state/profiles/files.json.copy"; do
		[ -e "$ledger" ] || continue
		if grep -q '"files":{' "$ledger"; then return 0; fi
		[ "$(tail -c 1 "$ledger")" = "}" ] || return 0
	done
	[ -n "$(ls -A "$state/profiles/before" 2>/dev/null)" ]
}

if [ "$1" = purge ]; then
	if touched; then
		echo "rollcall-agent: files of profiles are still in the system, and what was there before is in $state: install this package again for rollcall agent unenroll, or, where it says that its state is damaged, enroll --anew; then purge it" >&2
	else
		rm -rf "$state" /var/lib/private/rollcall-agent
		unit=/etc/systemd/system/rollcall-agent.service # as rollcall agent install wrote it
		if grep -q '^ExecStart="/usr/bin/rollcall" ' "$unit" 2>/dev/null; then rm -f "$unit"; fi
		[ -e "$unit" ] || rm -f /etc/systemd/system/multi-user.target.wants/rollcall-agent.service
	fi
fi
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
