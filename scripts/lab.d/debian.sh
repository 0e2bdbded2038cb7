# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # the parts share their variables
# Trees and kernels out of Debian's suites, from the mirrors that this machine's own apt uses.

debian_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# Timers with work of their own to do, which a machine that lives for minutes has no use for.
debian_idle_timers=(
	apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer
	e2scrub_all.timer e2scrub_reap.service fstrim.timer xfs_scrub_all.timer
)

# Drivers of hardware that no virtual machine has, and half of the modules' size.
debian_modules_left_out=(
	sound drivers/{gpu,media,infiniband,staging,iio,usb,isdn,hwmon,platform}
	drivers/net/{wireless,ethernet}
)

# debian_sources SUITE : sources.list lines of SUITE on the machine's mirrors.
debian_sources() {
	local suite=$1 codename lines
	# shellcheck source=/dev/null
	codename=$(. /etc/os-release && printf %s "$VERSION_CODENAME")
	lines=$(debian_index_targets)
	if [[ -z $lines ]]; then
		apt-get update -q >&2
		lines=$(debian_index_targets)
	fi
	[[ -n $lines ]] || die "apt knows no Debian mirror here: look at the machine's apt sources"
	echo "${lines// $codename/ $suite}"
}

debian_index_targets() {
	# shellcheck disable=SC2016 # apt replaces these, not the shell
	apt-get indextargets --format \
		"deb [signed-by=$debian_keyring]"' $(REPO_URI) $(RELEASE) main' \
		'Created-By: Packages' 'Origin: Debian' 'Component: main' |
		sed '/-backports/d' | sort -u
}

# debian_has SUITE : whether the machine's mirror has it.
debian_has() {
	local uri file found=1
	uri=$(debian_sources "$1" | sed -n "s/^deb \[[^]]*\] \([^ ]*\) $1 main\$/\1/p" | head -n 1)
	file=$(mktemp)
	/usr/lib/apt/apt-helper -q download-file "${uri%/}/dists/$1/InRelease" "$file" || found=0
	rm -f "$file"
	[[ $found -eq 1 ]]
}

# The machine's own ways of fetching (proxies, checks of the date) for apt in another place.
debian_apt_options() {
	apt-config dump | sed -n -E '/^Acquire::(Check|http|https|Retries)/p'
	echo 'APT::Install-Recommends "false";'
}

# debian_fetch COMMAND... : what fetches from the mirrors, which may be in the middle of their own update.
debian_fetch() {
	local tries=3
	until "$@"; do
		[[ $((--tries)) -gt 0 ]] || return 1
		say "that failed; once more in half a minute" && sleep 30
	done
}

# debian_tree SUITE DIRECTORY PACKAGES [ARCHITECTURE] : a root file system. PACKAGES are separated by
# commas; those with "/SUITE-backports" behind the name are from there. Of an architecture that is not the
# machine's own there is the release without updates: the mirrors of those need not have it.
debian_tree() {
	local suite=$1 tree=$2 packages=$3 architecture=${4:-} scratch
	scratch=$(mktemp -d)
	debian_sources "$suite" | sed "${architecture:+/ $suite main/!d}" >"$scratch/sources.list"
	[[ $packages != */"$suite-backports"* ]] ||
		sed -i "/ $suite main/{p;s// $suite-backports main/}" "$scratch/sources.list"
	debian_apt_options >"$scratch/apt.conf"
	mkdir -p "$(dirname "$tree")"
	debian_fetch debian_tree_anew "$tree" --mode=root --variant=minbase --include="$packages" \
		${architecture:+--architectures="$architecture"} \
		--aptopt="$scratch/apt.conf" \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		"$suite" "$tree" "$scratch/sources.list"
	rm -rf "$scratch"
}

debian_tree_anew() {
	local tree=$1
	shift
	rm -rf "$tree"
	mmdebstrap "$@"
}

debian_mask_timers() {
	local tree=$1 unit
	for unit in "${debian_idle_timers[@]}"; do
		ln -sf /dev/null "$tree/etc/systemd/system/$unit"
	done
}

# debian_ext4 TREE IMAGE SIZE LABEL : the tree as a file system without a partition table.
debian_ext4() {
	rm -f "$2"
	truncate -s "$3" "$2"
	mke2fs -q -t ext4 -L "$4" -E lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0 -d "$1" "$2"
}

# debian_apt SUITE STATE-DIRECTORY ARCHITECTURE... : an apt of its own for a suite that the machine need not
# know; use it with APT_CONFIG=STATE-DIRECTORY/apt.conf. Only of the machine's own architecture it has updates,
# and no more architectures should be asked for than are needed: mirrors keep the others less well.
debian_apt() {
	local suite=$1 state=$2
	shift 2
	mkdir -p "$state"/{lists/partial,cache/archives/partial,parts}
	touch "$state/status"
	debian_sources "$suite" | sed "/ $suite main/!s/\[/[arch=amd64 /" >"$state/sources.list"
	{
		debian_apt_options
		cat <<-END
			Dir::Etc::SourceList "$state/sources.list";
			Dir::Etc::SourceParts "$state/parts";
			Dir::State::Lists "$state/lists";
			Dir::State::Status "$state/status";
			Dir::Cache "$state/cache";
			APT::Sandbox::User "root";
			APT::Architectures { $(printf '"%s"; ' "$@")};
		END
	} >"$state/apt.conf"
	APT_CONFIG=$state/apt.conf debian_fetch apt-get update -q
}

# debian_unpack STATE-DIRECTORY TREE PACKAGE : unpacks a package without installing it.
debian_unpack() {
	local state=$1 tree=$2 package=$3
	mkdir -p "$tree"
	(cd "$state" && APT_CONFIG=$state/apt.conf debian_fetch apt-get download -q "$package")
	dpkg -x "$state/${package%:*}"_*.deb "$tree"
	rm "$state/${package%:*}"_*.deb
}

# debian_kernel STATE-DIRECTORY TREE METAPACKAGE : the kernel that a metapackage stands for:
# TREE/vmlinuz, and TREE/lib/modules.
debian_kernel() {
	local state=$1 tree=$2 package=$3 name
	name=$(APT_CONFIG=$state/apt.conf apt-cache depends --important "$package" |
		sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p')
	[[ -n $name ]] || die "$package names no kernel"
	debian_unpack "$state" "$tree" "$name"
	cp "$tree"/boot/vmlinuz-* "$tree/vmlinuz"
	# From Debian 13 on modules are below /usr/lib: one place for all.
	[[ -d $tree/lib/modules ]] || { mkdir -p "$tree/lib" && mv "$tree/usr/lib/modules" "$tree/lib/"; }
	rm -rf "${tree:?}/usr/share" "${tree:?}/boot"
	(cd "$tree"/lib/modules/*/kernel && rm -rf "${debian_modules_left_out[@]}")
	depmod -b "$tree" "$(ls "$tree/lib/modules")"
}
