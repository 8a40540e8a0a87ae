#!/bin/sh
# The agent is started at each boot from now on; a machine that is enrolled goes on at once.
set -e
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
systemctl enable --quiet rollcall-agent.service
systemctl restart rollcall-agent.service
