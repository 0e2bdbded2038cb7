#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # the programs that read this share its variables
# What guest-from-packages and guest-from-image have in common.
#
# vmctl runs them, each as the leader of a process group. They make a folder with disk.raw, vmlinuz and
# initrd.img, and tell on standard output, a line each, what they do and what came of it:
#
#     steps COUNT             so many of the following will come
#     step TEXT               this is begun
#     command-line TEXT       of the guest's kernel
#     user NAME               who logs in
#     password TEXT           with that, on the console
#
# What goes wrong is on standard error, the last line of which is "error: ..." then. Whatever ends them,
# nothing is left of a folder that is not whole.

export LC_ALL=C.UTF-8
PATH=$PATH:/usr/sbin:/sbin
umask 077

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
guest_user=debian

# Standard output stays vmctl's, whatever a function's is.
exec 5>&1
tell() {
	printf '%s %s\n' "$1" "$2" >&5
}

die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# need COMMAND PACKAGE
need() {
	type -P "$1" >/dev/null || die "$1 is missing: apt install $2"
}

# How to be root, to whom files of all owners belong: by a user namespace, if not as it is.
as_root=()
become_root() {
	[ "$(id -u)" != 0 ] || return 0
	need newuidmap uidmap
	as_root=(unshare --map-root-user --map-auto --)
	"${as_root[@]}" true || die "this user has no range of users for a namespace: give it one in" \
		"/etc/subuid and /etc/subgid (usermod --add-subuids 100000-165535" \
		"--add-subgids 100000-165535 $(id -un)), or do this as root"
}

# Makes the folder, which goes again unless finish() was reached. begin FOLDER
begin() {
	output=$1 finished=''
	mkdir -p -- "$(dirname -- "$output")" || die "the folder for $output cannot be made"
	[ ! -e "$output" ] || die "$output is there already, of a guest before: remove it, or take" \
		"another name"
	mkdir -- "$output" || die "$output cannot be made"
	trap end EXIT
	trap stop HUP INT TERM
}

end() {
	[ -n "$finished" ] || "${as_root[@]}" rm -rf -- "$output"
}

# The whole group, which mmdebstrap is of, and what it has started.
stop() {
	trap '' HUP INT TERM
	kill -TERM 0
	wait
	exit 143
}

finish() {
	rm -f -- "$output/authorized_keys"
	finished=1
}

# Runs a function, or a command, so that a signal is obeyed meanwhile. attend COMMAND...
attend() {
	"$@" &
	wait $!
}

# Public keys, those of files or the ones that this user has, in $output/authorized_keys, which may be
# empty. take_keys FILE...
take_keys() {
	local file files=("$@")
	if [ $# = 0 ]; then
		for file in ~/.ssh/id_{ed25519,ecdsa,rsa}.pub; do
			[ ! -r "$file" ] || files+=("$file")
		done
	fi
	: >"$output/authorized_keys"
	for file in "${files[@]}"; do
		take_key_file "$file"
	done
}

take_key_file() {
	local line any=''
	[ -f "$1" ] && [ -r "$1" ] || die "the key $1 cannot be read"
	while IFS= read -r line || [ -n "$line" ]; do
		case $line in
		-----BEGIN*) die "$1 is a private key, which no guest needs: name the public one, $1.pub" ;;
		'' | '#'*) continue ;;
		ssh-* | ecdsa-* | sk-*) printf '%s\n' "$line" >>"$output/authorized_keys" && any=1 ;;
		*) break ;;
		esac
	done < <(tr -d '\000\r' <"$1")
	[ -n "$any" ] || die "$1 has no public key for ssh"
}

# Characters that nobody takes for others. random_text LENGTH
random_text() {
	head -c 4096 /dev/urandom | tr -d -c a-km-np-z2-9 | cut -c "1-$1"
}

# A password that nobody has seen, in $password, and as shadow(5) has it in $hash.
make_password() {
	local salt
	need perl perl-base
	password=$(random_text 16)
	salt=$(random_text 16)
	hash=$(perl -e '$_ = <STDIN>; chomp; print crypt($_, shift)' "\$6\$$salt\$" <<<"$password")
	[[ $hash == \$6\$* ]] || die "this host's crypt(3) knows no SHA-512"
}

# The name of a VM as one of a host. host_name NAME
host_name() {
	tr 'A-Z_.' 'a-z--' <<<"$1" | sed 's/-*$//' | cut -c 1-63
}
