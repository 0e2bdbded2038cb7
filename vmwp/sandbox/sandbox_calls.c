/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sandbox's second layer: the system calls that a worker makes, and why.
 *
 * None of them takes a path or the address of a socket, makes a program or a process, or names
 * another process. What takes a path besides a descriptor is let through only where the path is
 * said to be empty.
 *
 * A call that is not on the list ends the process. To refuse it would be the kinder answer, and the
 * worse one: this program never makes such a call, so whoever does is not this program any more,
 * and could try on, unseen. Its end shows as SIGSYS, in the kernel's log with the number of the
 * call. What the C library tries by itself, and does without, is refused.
 */
#include "vid/vid.h"
#include "vmwp/sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct rule {
	int call;
	const char *reason;
	unsigned count;                   /* of conditions */
	struct scmp_arg_cmp arguments[2]; /* the conditions: all of them */
};

#define ALLOW(name, why)                              \
	{                                             \
		.call = SCMP_SYS(name), .reason = why \
	}

/* Only if argument `index`, from 0, is that value. */
#define ALLOW_IF(name, index, value, why)                                                 \
	{                                                                                 \
		.call = SCMP_SYS(name), .reason = why, .count = 1,                        \
		.arguments = { { .arg = index, .op = SCMP_CMP_EQ, .datum_a = (value) } }, \
	}

/* Only of the socket itself, whatever its protocol, and that option. */
#define ALLOW_OPTION(name, option, why)                                                \
	{                                                                              \
		.call = SCMP_SYS(name), .reason = why, .count = 2,                     \
		.arguments = { { .arg = 1, .op = SCMP_CMP_EQ, .datum_a = SOL_SOCKET }, \
			       { .arg = 2, .op = SCMP_CMP_EQ, .datum_a = (option) } }, \
	}

/* Only if argument `index` has none of these bits. */
#define ALLOW_WITHOUT(name, index, bits, why)                                                 \
	{                                                                                     \
		.call = SCMP_SYS(name), .reason = why, .count = 1,                            \
		.arguments = { { .arg = index, .op = SCMP_CMP_MASKED_EQ, .datum_a = bits } }, \
	}

/* What pthread_create() asks for; without CLONE_VM and CLONE_THREAD it would be a process. */
#define CLONE_OF_A_THREAD                                                                   \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | \
	 CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

static const struct rule rules[] = {
	/* The event loop and its descriptors. ioctl(2) for KVM is added from vid's list. */
	ALLOW(io_uring_enter, "the event loop: all I/O of the guest; the ring is limited"),
	ALLOW(read, "eventfds of interrupts; files of the console"),
	ALLOW(write, "eventfds of interrupts and of the loop; the log"),
	ALLOW(close, "what was detached, or belonged to the partition before a reset"),
	ALLOW(eventfd2, "doorbells and interrupts of channels and partitions"),
	ALLOW(timerfd_create, "synthetic timers of vps"),
	ALLOW(timerfd_settime, "synthetic timers of vps"),
	ALLOW_IF(fcntl, 1, F_GETFL, "how a descriptor that was passed is open"),
	ALLOW_IF(fcntl, 1, F_SETFL, "O_NONBLOCK of taps and sockets; O_DIRECT of images"),
	ALLOW_IF(fcntl, 1, F_OFD_SETLK, "images of a VM that moves"),
	ALLOW_IF(fcntl, 1, F_OFD_GETLK, "images of a VM that moves"),
	ALLOW_IF(fcntl, 1, F_ADD_SEALS, "guest memory that is shared keeps its size"),
	ALLOW_IF(fcntl, 1, F_GET_SEALS, "and so does what another worker has handed over"),

	/* The control socket. */
	ALLOW(recvmsg, "requests of the daemon, with descriptors"),
	ALLOW(recvfrom, "the size of the next request"),
	ALLOW(sendmsg, "replies and events"),
	ALLOW_OPTION(getsockopt, SO_TYPE, "the kind of a socket that was passed"),
	ALLOW_OPTION(getsockopt, SO_ACCEPTCONN, "whether it listens"),
	ALLOW(mq_timedsend, "how the VM ended, for a daemon that is not there"),
	ALLOW(shutdown, "the guest's end of a Hyper-V socket sends no more"),
	ALLOW_OPTION(setsockopt, SO_SNDBUF, "room for the largest reply to the next daemon"),
	ALLOW_IF(dup2, 1, STDERR_FILENO, "the log of the next daemon"),

	/* Images, kernels and files to copy, as descriptors. */
	ALLOW(pread64, "kernels and initrds; a trial of an image's alignment"),
	ALLOW(lseek, "stdio, when it closes what it has read ahead of; holes of a saved VM's file"),
	ALLOW_IF(newfstatat, 3, AT_EMPTY_PATH, "fstat(): kind and size of what was passed"),
	ALLOW(fstat, "the same, as newer C libraries make it"),
	ALLOW_IF(statx, 2, AT_EMPTY_PATH, "alignments of an image"),
	ALLOW_IF(fallocate, 1, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		 "holes: whether an image takes them; guest memory given back"),
	ALLOW_IF(utimensat, 1, 0, "the image's time of change is set back after that trial"),
	ALLOW_IF(ioctl, 1, BLKGETSIZE64, "size of a block device"),
	ALLOW_IF(ioctl, 1, BLKPBSZGET, "its physical sectors"),
	ALLOW_IF(ioctl, 1, BLKDISCARD, "whether it discards"),
	ALLOW_IF(ioctl, 1, TUNGETIFF, "what a descriptor that was passed as a tap is"),
	ALLOW_IF(ioctl, 1, TUNSETOFFLOAD, "the offloads that the guest takes"),
	ALLOW_IF(ioctl, 1, TUNSETVNETHDRSZ, "the header of a tap's frames"),
	ALLOW_IF(ioctl, 1, TCGETS, "stdio, of standard output"),
	ALLOW_IF(ioctl, 1, TCSETSF, "by hand: gives the terminal back as it was"),

	/* Memory. Nothing becomes executable that was not when the program began. */
	ALLOW_WITHOUT(mmap, 2, PROT_EXEC, "memory of the guest, of vps, threads and malloc()"),
	ALLOW_WITHOUT(mprotect, 2, PROT_EXEC, "malloc(); stacks of threads"),
	ALLOW(munmap, "as mmap"),
	ALLOW(mremap, "realloc()"),
	ALLOW(brk, "malloc()"),
	ALLOW(madvise, "huge pages; guest memory given back; stacks of threads that ended"),
	ALLOW(mbind, "the node of the host that a node of the guest has its memory from"),
	ALLOW(mincore, "what a reset has to zero of huge pages that were set aside"),
	ALLOW(memfd_create, "guest memory that is shared"),
	ALLOW(ftruncate, "its size"),
	ALLOW(membarrier, "before the dirty log is read"),

	/* Threads: a vp has one, which a reset of the machine makes anew. */
	ALLOW_IF(clone, 0, CLONE_OF_A_THREAD, "pthread_create()"),
	ALLOW(set_robust_list, "every thread's first call"),
	ALLOW(rseq, "every thread's second call"),
	ALLOW_IF(prctl, 0, PR_SET_NAME, "names of threads"),
	ALLOW(futex, "locks, conditions, joins"),
	ALLOW(gettid, "whom to kick: a vp's thread"),
	ALLOW(getpid, "the same"),
	ALLOW(rt_sigaction, "the handler of kicks"),
	ALLOW(rt_sigprocmask, "pthread_create(), abort()"),
	ALLOW(rt_sigreturn, "the end of the handler"),
	ALLOW(restart_syscall, "the kernel itself, after SIGSTOP and SIGCONT"),
	ALLOW_IF(sched_getaffinity, 0, 0, "whether there are CPUs to spare for us"),
	ALLOW_IF(sched_setaffinity, 0, 0, "a vp that is pinned: its thread, by itself"),
	ALLOW(exit, "the end of a thread"),
	ALLOW(exit_group, "the end"),

	/* Time, which takes calls where the host's clock is one that programs cannot read. */
	ALLOW(clock_gettime, "all clocks; those of processor time at any rate"),
	ALLOW(gettimeofday, "time of day"),
	ALLOW(time, "time of day, for the guest's clock"),
	ALLOW(clock_nanosleep, "a ring that takes nothing for a moment; what the host can do"),

	/* The C library and json-c. */
	ALLOW(getrandom, "seeds of hash tables; UUIDs"),
	ALLOW(writev, "last words of abort()"),
};

static const struct {
	int call, error;
	const char *reason;
} refusals[] = {
	{ SCMP_SYS(clone3), ENOSYS, "then pthread_create() takes clone, whose flags can be seen" },
	{ SCMP_SYS(openat), EACCES, "time zones, for gmtime_r(); overcommit, for malloc()" },
};

static int allow(scmp_filter_ctx filter, const struct rule *rule)
{
	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rule->call, rule->count,
				      rule->arguments);
}

/* A kick, or abort(); to no process but ours. */
static int allow_own_signals(scmp_filter_ctx filter)
{
	const struct rule rule = ALLOW_IF(tgkill, 0, getpid(), "kicks of vps; abort()");

	return allow(filter, &rule);
}

static int allow_hypervisor(scmp_filter_ctx filter)
{
	size_t count;
	const unsigned long *requests = vid_requests(&count);
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		const struct rule rule = ALLOW_IF(ioctl, 1, requests[i], "KVM");

		r = allow(filter, &rule);
	}
	return r;
}

static int fill(scmp_filter_ctx filter)
{
	int r;

	/*
	 * Looked at first, for it enters the guest; the loop's call is let through without a look.
	 */
	r = seccomp_syscall_priority(filter, SCMP_SYS(ioctl), UINT8_MAX);
	if (r == 0)
		r = allow_hypervisor(filter);
	if (r == 0)
		r = allow_own_signals(filter);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rules); i++)
		r = allow(filter, &rules[i]);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(refusals); i++)
		r = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((unsigned)refusals[i].error),
					   refusals[i].call, 0, NULL);
	return r;
}

int sandbox_limit_calls(struct failure *failure)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	r = filter ? fill(filter) : -ENOMEM;
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	if (r < 0)
		return failure_set(failure, r, "The worker's system calls cannot be limited: %s.",
				   strerror(-r));
	return 0;
}
