/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shutting a process in: who it is, and what it could see.
 *
 * Namespaces are made in one of two ways. With CAP_SYS_ADMIN first those of mounts, network and
 * IPC, which then belong to the host, and in them one of users; without, one of users first, which
 * gives the capability for the others. In the namespace of users no user is mapped: whoever we are
 * outside, in there we are nobody, and may become nobody else.
 *
 * The root is an empty, read-only tmpfs; the old one is not hidden under it but gone. /proc is not
 * in it: that is half of why there is no namespace of PIDs. The other half is that no system call
 * on the lists (vmwp/sandbox/sandbox_calls.c, vmms/image/guard/image_guard_calls.c) takes another
 * process's PID, so that there is nothing to be done with one; and that a process enters such a
 * namespace only by being forked into it, which would cost each VM a second process, that waits for
 * the first.
 *
 * The guard of image servers has this file without the rest of common: it calls the C library alone.
 */
#include "common/base/isolate.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC)

/* There for certain: the hypervisor's device is in it. */
#define MOUNT_POINT "/dev"

/* Puts the mount that we stand on in the place of all there is. */
static int take_root(void)
{
	if (syscall(SYS_pivot_root, ".", ".") == 0)
		return umount2(".", MNT_DETACH) < 0 ? -errno : 0;
	/* An initramfs is the root of all mounts, and cannot be moved: it is covered. */
	if (errno != EINVAL || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
		return -errno;
	return 0;
}

static int empty_root(void)
{
	int r;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("empty", MOUNT_POINT, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "nr_inodes=1,mode=555") < 0 ||
	    chdir(MOUNT_POINT) < 0)
		return -errno;
	r = take_root();
	if (r < 0)
		return r;
	return chdir("/") < 0 ? -errno : 0;
}

static int become(uid_t user)
{
	int signal = 0;

	if (user == ISOLATE_SAME_USER)
		return 0;
	/* The signal that the daemon's death would send us does not survive the change. */
	(void)prctl(PR_GET_PDEATHSIG, &signal);
	if (setgroups(0, NULL) < 0 || setresgid(user, user, user) < 0 ||
	    setresuid(user, user, user) < 0 || prctl(PR_SET_PDEATHSIG, signal) < 0)
		return -errno;
	return 0;
}

/* None of ours, and none to be had from a program that has them. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	/* Where we may not take them away, no_new_privs makes that they are never given. */
	for (unsigned long i = 0; prctl(PR_CAPBSET_READ, i) >= 0; i++)
		(void)prctl(PR_CAPBSET_DROP, i);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    syscall(SYS_capset, &header, none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

static int enter_namespaces(bool have_others)
{
	if (have_others) {
		/* The others belong to the host, and it has taken what we could do to them. */
		(void)unshare(CLONE_NEWUSER);
		return 0;
	}
	if (unshare(CLONE_NEWUSER | NAMESPACES) < 0)
		return -errno;
	return empty_root();
}

int isolate_process(uid_t user, int *ret_error)
{
	bool others = unshare(NAMESPACES) == 0;
	int namespaces = others ? empty_root() : 0;

	*ret_error = become(user);
	if (*ret_error < 0)
		return ISOLATE_E_USER;
	if (namespaces == 0)
		namespaces = enter_namespaces(others);
	*ret_error = drop_capabilities();
	if (*ret_error < 0)
		return ISOLATE_E_PRIVILEGES;
	*ret_error = namespaces;
	return namespaces < 0 ? ISOLATE_E_NAMESPACES : 0;
}
