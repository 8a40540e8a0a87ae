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

# value prints a text that the state has by a name; nothing where it has none.
value() { sed -n "s/^.*\"$1\":\"\([^\"\\]*\)\".*\$/\1/p" "$now" 2>/dev/null; }

# farewell tells what the server does not hear, since the program that could tell it is gone: this machine's identity goes with the state.
farewell() {
	now="$state/agent.json"
	[ -e "$now" ] || now="$state/agent.json.previous"
	if grep -q '"device":"' "$now" 2>/dev/null && ! grep -q '"why":"[^"]*HST-032' "$now"; then # else by its name the server has another
		listed=$(value listed)
		[ -n "$listed" ] || listed=$(value udid)
		echo "rollcall-agent: the server $(value host) was not told that this machine has left, and still lists it: rollcall devices delete $listed takes it from there; another time, rollcall agent unenroll before the package goes" >&2
	fi
}

if [ "$1" = purge ]; then
	if touched; then
		echo "rollcall-agent: files of profiles are still in the system, and what was there before is in $state: install this package again for rollcall agent unenroll, or, where it says that its state is damaged, enroll --anew; then purge it" >&2
	else
		farewell
		rm -rf "$state" /var/lib/private/rollcall-agent
		unit=/etc/systemd/system/rollcall-agent.service # as rollcall agent install wrote it
		if grep -q '^ExecStart="/usr/bin/rollcall" ' "$unit" 2>/dev/null; then rm -f "$unit"; fi
		[ -e "$unit" ] || rm -f /etc/systemd/system/multi-user.target.wants/rollcall-agent.service
	fi
fi
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
