#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Services are exposed no more than "OK", by systemd's own measure; and sockets for whoever comes cannot be
# flooded: by default systemd gives one up for good that had 200 connections in two seconds.
# usage: units.sh UNIT...
set -u
bad=0

is_exposed() {
	systemd-analyze security --offline=true --no-pager --threshold=50 "$1" >/tmp/units.$$ || {
		cat /tmp/units.$$
		bad=1
	}
	tail -n 1 /tmp/units.$$
}

is_flooded() {
	for setting in TriggerLimitIntervalSec=0 'MaxConnections=[0-9]+' 'MaxConnectionsPerSource=[0-9]+'; do
		grep -qxE "$setting" "$1" || {
			echo "$1: has no $setting"
			bad=1
		}
	done
}

for unit in "$@"; do
	case $unit in
	*.socket) is_flooded "$unit" ;;
	*) is_exposed "$unit" ;;
	esac
done
rm -f /tmp/units.$$
exit $bad
