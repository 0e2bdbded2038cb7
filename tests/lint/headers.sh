#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every header compiles alone: it includes what it uses, and says nothing that only makes sense
# after another header. usage: headers.sh ROOT [CC]
set -u
root=$1 cc=${2:-cc} bad=0 count=0
cd "$root" || exit 1
read -ra packages < <(pkg-config --cflags json-c libnl-3.0)
while IFS= read -r header; do
	count=$((count + 1))
	flags=()
	case $header in common/wire/* | guest-vsc/*) flags=(-ffreestanding) ;; esac
	if ! printf '#include "%s"\n' "$header" |
		"$cc" -std=gnu17 -D_GNU_SOURCE -I. "${packages[@]}" \
			-Wall -Wextra -Werror -Wno-unused-parameter "${flags[@]}" -fsyntax-only -xc -; then
		echo "$header: does not compile alone"
		bad=1
	fi
done < <(find common vid hvshim vsp vmwp vmms guest-vsc tests -name '*.h' | sort)
echo "headers: $count compiled alone"
exit $bad
