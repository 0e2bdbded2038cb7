#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The packages have the version of the project. usage: version.sh ROOT VERSION
set -u
version=$(dpkg-parsechangelog --file "$1/packaging/debian/changelog" --show-field Version)
[ "$version" = "$2" ] || {
	echo "packaging/debian/changelog has $version, CMakeLists.txt $2"
	exit 1
}
echo "version: $2 everywhere"
