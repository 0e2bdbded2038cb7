#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Manual pages are clean under groff's and mandoc's warnings. usage: manuals.sh FOLDER...
set -u
bad=0 count=0
for page in $(find "$@" -maxdepth 1 -name '*.[1-9]' | sort); do
	count=$((count + 1))
	said=$(LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings --local-file "$page" 2>&1 >/dev/null)
	said+=$(mandoc -T lint -W warning "$page")
	[ -z "$said" ] || { printf '%s\n' "$said" && bad=1; }
done
echo "manuals: $count looked at"
[ $count -gt 0 ] && exit $bad
exit 1
