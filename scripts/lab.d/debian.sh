# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Trees, packages and kernels of Debian suites, from the mirrors this machine's own apt uses.

debian_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# debian_sources SUITE : sources.list lines for SUITE on the machine's own mirrors.
debian_sources() {
	local suite=$1 codename lines
	codename=$(. /etc/os-release && printf %s "$VERSION_CODENAME")
	lines=$(debian_index_targets)
	if [[ -z $lines ]]; then
		apt-get update -qq >&2
		lines=$(debian_index_targets)
	fi
	[[ -n $lines ]] || die "apt knows no Debian mirror: check the machine's apt sources"
	sed "s/ $codename/ $suite/" <<<"$lines"
}

debian_index_targets() {
	# shellcheck disable=SC2016 # apt expands these, not the shell
	apt-get indextargets --format \
		"deb [signed-by=$debian_keyring]"' $(REPO_URI) $(RELEASE) main' \
		'Created-By: Packages' 'Origin: Debian' 'Component: main' |
		grep -v -- '-backports' | sort -u
}

# The machine's own settings for fetching (proxies, clock checks), for apt elsewhere.
debian_apt_options() {
	apt-config dump | grep -E '^(Acquire::(Check|http|https|Retries)|APT::Install-Recommends)' |
		grep -v '^APT::Install-Recommends'
	echo 'APT::Install-Recommends "false";'
}

# debian_tree SUITE DIRECTORY PACKAGES [MMDEBSTRAP-OPTION...] : a root file system.
debian_tree() {
	local suite=$1 tree=$2 packages=$3 scratch
	shift 3
	scratch=$(mktemp -d)
	debian_sources "$suite" >"$scratch/sources.list"
	debian_apt_options >"$scratch/apt.conf"
	rm -rf "$tree"
	mmdebstrap --mode=root --variant=minbase --include="$packages" \
		--aptopt="$scratch/apt.conf" \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		"$@" "$suite" "$tree" "$scratch/sources.list"
	rm -rf "$scratch"
}

# debian_fetch SUITE DIRECTORY PACKAGE : unpacks PACKAGE, and what it depends on
# whose name begins with linux-image, below DIRECTORY; installs nothing.
debian_fetch_kernel() {
	local suite=$1 tree=$2 package=$3 state name
	state=$(mktemp -d)
	mkdir -p "$state"/{lists/partial,cache/archives/partial,parts}
	debian_sources "$suite" >"$state/sources.list"
	debian_apt_options >"$state/apt.conf"
	touch "$state/status"
	cat >>"$state/apt.conf" <<-CONF
		Dir::Etc::SourceList "$state/sources.list";
		Dir::Etc::SourceParts "$state/parts";
		Dir::State::Lists "$state/lists";
		Dir::State::Status "$state/status";
		Dir::Cache "$state/cache";
		APT::Sandbox::User "root";
	CONF
	APT_CONFIG=$state/apt.conf apt-get update
	name=$(APT_CONFIG=$state/apt.conf apt-cache depends --important "$package" |
		sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1)
	[[ -n $name ]] || die "$package of $suite names no kernel"
	(cd "$state" && APT_CONFIG=$state/apt.conf apt-get download "$name")
	rm -rf "$tree"
	mkdir -p "$tree"
	dpkg -x "$state/$name"_*.deb "$tree"
	rm -rf "$state" "$tree/usr/share"
	# Debian 13 keeps modules below /usr/lib, Debian 12 below /lib: one place for both.
	[[ -d $tree/lib/modules ]] || { mkdir -p "$tree/lib" && mv "$tree/usr/lib/modules" "$tree/lib/"; }
	depmod -b "$tree" "$(ls "$tree/lib/modules")"
}
