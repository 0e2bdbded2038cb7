# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What the rows have in common that use the packages: tests/lab/installed, tests/lab/quick-guests.

failed=0
export DEBIAN_FRONTEND=noninteractive

say() {
	printf '== %s\n' "$*"
}

fail() {
	printf 'FAIL: %s\n' "$*" >&2
	failed=1
}

# Runs a command, which must end with that status. expect STATUS COMMAND...
expect() {
	local status=0 expected=$1
	shift
	"$@" >/tmp/output 2>&1 || status=$?
	[ "$status" = "$expected" ] || {
		fail "$*: exit status $status, not $expected"
		cat /tmp/output
	}
}

# As expect 0, for what the rest cannot do without.
need() {
	expect 0 "$@"
	[ $failed = 0 ] || exit 1
}

# The last command of expect() said something that matches. said PATTERN
said() {
	grep -q -- "$1" /tmp/output || {
		fail "no '$1' in:"
		cat /tmp/output
	}
}

# Runs a command as another user, who has the groups that the user database says. as USER COMMAND...
as() {
	local user=$1
	shift
	setpriv --reuid="$user" --regid="$(id --group "$user")" --init-groups "$@"
}

# Waits until a command succeeds; shows the console of the VM $watched, or "guest", if it does not.
# wait_for WHAT COMMAND...
wait_for() {
	local what=$1 end=$((SECONDS + 400))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || {
			fail "waited for $what"
			vmctl console "${watched:-guest}" --log | tail -n 20
			exit 1
		}
		sleep 0.5
	done
}
