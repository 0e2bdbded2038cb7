#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Shell scripts are clean under shellcheck, and Python's under pyflakes. usage: scripts.sh ROOT
set -u
cd "$1" || exit 1
mapfile -t scripts < <(grep -rlIE '^#!/bin/(ba)?sh' scripts tests .ci packaging 2>/dev/null | sort)
shellcheck --external-sources --severity=warning "${scripts[@]}" || exit 1
mapfile -t programs < <({
	find scripts tests .ci packaging vmms -name '*.py'
	grep -rlIE '^#!/usr/bin/(env )?python3' scripts tests .ci packaging
} 2>/dev/null | sort -u)
pyflakes3 "${programs[@]}" || exit 1
echo "scripts: ${#scripts[@]} and ${#programs[@]} clean"
