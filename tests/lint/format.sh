#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The sources are as clang-format leaves them. usage: format.sh ROOT
set -u
cd "$1" || exit 1
find common vid hvshim vsp vmwp vmms guest-vsc tests -name '*.[ch]' -print0 |
	xargs -0 clang-format --dry-run --Werror || {
	echo "format: run clang-format -i on the files above"
	exit 1
}
echo "format: clean"
