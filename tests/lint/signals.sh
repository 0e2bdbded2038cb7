#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Nothing is broadcast on the bus, whose policy lets everybody have what is sent to them: signals go
# to those who may know of them (vmms/bus/dbus_signal.h). usage: signals.sh ROOT
set -u
cd "$1" || exit 1
bad=$(grep -rnE 'sd_bus_emit_|sd_bus_message_new_signal' vmms --include='*.[ch]' | grep -v '^vmms/bus/dbus_signal\.c:')
[ -z "$bad" ] || printf '%s\n' "$bad" "signals: see vmms/bus/dbus_signal.h for how to send them"
own=$(grep -c 'sd_bus_message_new_signal' vmms/bus/dbus_signal.c)
echo "signals: made in $own place"
[ -z "$bad" ] && [ "$own" = 1 ]
