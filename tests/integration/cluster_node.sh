#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The first process of a node of a cluster on one machine, in namespaces of its own (tests/integration/cluster_nodes.py):
# what a host has for itself is made here, then its services are started. It ends when it is killed, and all of the
# node with it.
#
# usage: cluster_node.sh NAME ADDRESS FOLDER BUILD SOURCE
set -eu
name=$1 address=$2 folder=$3 build=$4 source=$5
own=$folder/$name # what the test wants to see afterwards

hostname "$name"
for path in /dev/shm /run /var/lib/corosync /var/lib/pacemaker /etc/corosync /etc/ssh /usr/local/bin; do
	mount -t tmpfs none "$path"
done
mkdir -p /var/lib/vmms /run/dbus /run/sshd /run/crm /run/resource-agents /run/lock "$own"
mount -t tmpfs none /var/lib/vmms

# Agents, with ours beside the others.
mkdir /run/agents /run/programs
mount --bind /usr/lib/ocf/resource.d /run/agents
mount -t tmpfs none /usr/lib/ocf/resource.d
ln -s /run/agents/* /usr/lib/ocf/resource.d/
mkdir /usr/lib/ocf/resource.d/vmms
ln -s "$source/packaging/pacemaker/VM" /usr/lib/ocf/resource.d/vmms/VM
mount --bind /usr/sbin /run/programs
mount -t tmpfs none /usr/sbin
ln -s /run/programs/* /usr/sbin/
ln -s "$folder/fence_lab" /usr/sbin/fence_lab
ln -s "$build/bin/vmctl" /usr/local/bin/vmctl

# Names, and logins to each other.
mount --bind "$folder/hosts" /etc/hosts
printf '%s\n' "IdentityFile $folder/key" "StrictHostKeyChecking no" "UserKnownHostsFile /dev/null" "LogLevel ERROR" \
	>/etc/ssh/ssh_config

ip link set lo up
until ip link show eth0 >/dev/null 2>&1; do sleep 0.1; done
ip address add "$address/24" dev eth0
ip link set eth0 up

dbus-daemon --config-file="$folder/bus.conf" --nofork --nopidfile >"$own/bus.log" 2>&1 &
/usr/sbin/sshd -D -f "$folder/sshd_config" -E "$own/sshd.log" &
until [ -S /run/dbus/system_bus_socket ]; do sleep 0.1; done

cp "$folder/corosync.conf" /etc/corosync/
install -d -o hacluster -g haclient /var/lib/pacemaker/cib /var/lib/pacemaker/pengine /var/lib/pacemaker/cores \
	/var/lib/pacemaker/blackbox /run/crm
install -m 0600 -o hacluster -g haclient "$folder/cib.xml" /var/lib/pacemaker/cib/cib.xml
chown hacluster:haclient /var/lib/pacemaker
corosync -f >"$own/corosync.log" 2>&1 &
until corosync-cfgtool -s >/dev/null 2>&1; do sleep 0.2; done
PCMK_logfile=$own/pacemaker.log PCMK_logfacility=none pacemakerd >"$own/pacemakerd.log" 2>&1 &

# vmms may be killed, and comes again, as systemd would have it.
while :; do
	"$build/bin/vmms" --keep-guests --units never --apparmor off --worker "$build/bin/vmwp" >>"$own/vmms.log" 2>&1 ||
		true
	sleep 1
done
