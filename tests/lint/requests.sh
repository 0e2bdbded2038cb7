#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every request that vid/ makes of KVM is in its list: the worker's allow-list is made from that, and
# a request that is missing is the end of a VM. usage: requests.sh ROOT
set -u
cd "$1" || exit 1
# A request is the second argument of ioctl(), or of cpuid_fetch(), which hands it on.
made=$(cat vid/*.c | tr -d '\n' | grep -oE '(ioctl|cpuid_fetch)\([^,]*,[[:space:]]*KVM_[A-Z0-9_]+' |
	grep -oE 'KVM_[A-Z0-9_]+$' | sort -u)
listed=$(sed -n '/^static const unsigned long requests/,/^};/p' vid/requests.c |
	grep -oE 'KVM_[A-Z0-9_]+' | sort -u)
missing=$(comm -23 <(echo "$made") <(echo "$listed"))
unused=$(comm -13 <(echo "$made") <(echo "$listed"))
for request in $missing; do
	echo "vid/requests.c: $request is made in vid/, but not listed"
done
for request in $unused; do
	echo "vid/requests.c: $request is listed, but not made in vid/"
done
echo "requests: $(echo "$made" | wc -l) are made of KVM"
[ -z "$missing$unused" ]
