/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The system calls that an image server makes, and why.
 *
 * It is a program that is not ours, and other versions of it may try other calls: one that is not
 * on the list is refused, not the program's end. None takes a path that leads anywhere from an
 * empty root, makes a program or a process, or names another process. The filter is written by
 * hand: a library that it took would be loaded into a stranger's program.
 */
#include "vmms/image/guard/image_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum condition {
	ALWAYS,
	EQUAL,   /* the argument is that value */
	WITH,    /* it has one of these bits */
	WITHOUT, /* it has none of them */
};

struct rule {
	unsigned call;
	const char *reason;
	enum condition condition;
	unsigned argument; /* its index; the lower half counts */
	uint32_t value;
};

#define ALLOW(name, why)                          \
	{                                         \
		.call = SYS_##name, .reason = why \
	}
#define ALLOW_IF(name, calls_test, index, number, why)                                         \
	{                                                                                      \
		.call = SYS_##name, .reason = why, .condition = calls_test, .argument = index, \
		.value = (uint32_t)(number),                                                   \
	}

static const struct rule rules[] = {
	ALLOW(read, "eventfds and signals"),
	ALLOW(write, "eventfds; standard error"),
	ALLOW(readv, "the image"),
	ALLOW(writev, "the image; standard error"),
	ALLOW(pread64, "the image"),
	ALLOW(pwrite64, "the image"),
	ALLOW(preadv, "the image"),
	ALLOW(pwritev, "the image"),
	ALLOW(preadv2, "the image"),
	ALLOW(pwritev2, "the image"),
	ALLOW(lseek, "the image's holes"),
	ALLOW(fallocate, "the image's holes"),
	ALLOW(ftruncate, "the image's size"),
	ALLOW(fsync, "flushing"),
	ALLOW(fdatasync, "flushing"),
	ALLOW(sync_file_range, "flushing"),
	ALLOW(fstat, "the image's size"),
	ALLOW(newfstatat, "the same"),
	ALLOW(statx, "the same"),
	ALLOW(fstatfs, "its file system"),
	ALLOW(copy_file_range, "within the image"),
	ALLOW(close, "descriptors"),
	ALLOW(dup, "descriptors"),
	ALLOW(pipe2, "wake-ups"),
	ALLOW(eventfd2, "wake-ups"),
	ALLOW(signalfd4, "signals"),
	ALLOW(ppoll, "the event loop"),
	ALLOW(poll, "the event loop"),
	ALLOW(epoll_create1, "the event loop"),
	ALLOW(epoll_ctl, "the event loop"),
	ALLOW(epoll_wait, "the event loop"),
	ALLOW(epoll_pwait, "the event loop"),
	ALLOW(timerfd_create, "the event loop"),
	ALLOW(timerfd_settime, "the event loop"),
	ALLOW(listen, "the socket that was passed"),
	ALLOW(accept4, "the client"),
	ALLOW(recvmsg, "requests"),
	ALLOW(recvfrom, "requests"),
	ALLOW(sendmsg, "replies"),
	ALLOW(sendto, "replies"),
	ALLOW(shutdown, "the client's end"),
	ALLOW(getsockopt, "the kind of a socket"),
	ALLOW(setsockopt, "the connection"),
	ALLOW(getsockname, "the same"),
	ALLOW(getpeername, "the same"),
	ALLOW(munmap, "memory"),
	ALLOW(mremap, "memory"),
	ALLOW(brk, "memory"),
	ALLOW(madvise, "memory"),
	ALLOW(membarrier, "read-copy-update"),
	ALLOW(futex, "locks"),
	ALLOW(set_robust_list, "threads"),
	ALLOW(rseq, "threads"),
	ALLOW(exit, "the end of a thread"),
	ALLOW(exit_group, "the end"),
	ALLOW(rt_sigaction, "signals"),
	ALLOW(rt_sigprocmask, "signals"),
	ALLOW(rt_sigreturn, "signals"),
	ALLOW(rt_sigtimedwait, "signals"),
	ALLOW(sigaltstack, "coroutines"),
	ALLOW(restart_syscall, "the kernel itself"),
	ALLOW(getpid, "whom to end"),
	ALLOW(gettid, "threads"),
	ALLOW(sched_yield, "threads"),
	ALLOW(sched_getaffinity, "threads"),
	ALLOW(clock_gettime, "time"),
	ALLOW(clock_getres, "time"),
	ALLOW(clock_nanosleep, "time"),
	ALLOW(nanosleep, "time"),
	ALLOW(gettimeofday, "time"),
	ALLOW(time, "time"),
	ALLOW(getrandom, "seeds"),
	ALLOW(uname, "glib"),
	ALLOW(sysinfo, "how much memory there is"),
	ALLOW(getuid, "glib"),
	ALLOW(geteuid, "glib"),
	ALLOW(getgid, "glib"),
	ALLOW(getegid, "glib"),
	ALLOW_IF(fcntl, EQUAL, 1, F_GETFL, "how a descriptor is open"),
	ALLOW_IF(fcntl, EQUAL, 1, F_SETFL, "O_NONBLOCK of sockets"),
	ALLOW_IF(fcntl, EQUAL, 1, F_GETFD, "descriptors"),
	ALLOW_IF(fcntl, EQUAL, 1, F_SETFD, "descriptors"),
	ALLOW_IF(fcntl, EQUAL, 1, F_DUPFD_CLOEXEC, "the image, wherever it is opened"),
	ALLOW_IF(prctl, EQUAL, 0, PR_SET_NAME, "names of threads"),
	ALLOW_IF(prlimit64, EQUAL, 0, 0, "stacks of threads"),
	ALLOW_IF(mmap, WITHOUT, 2, PROT_EXEC, "memory"),
	ALLOW_IF(mprotect, WITHOUT, 2, PROT_EXEC, "memory; stacks"),
	ALLOW_IF(clone, WITH, 0, CLONE_THREAD, "threads"),
	ALLOW_IF(ioctl, EQUAL, 1, BLKGETSIZE64, "the size of a block device"),
	ALLOW_IF(ioctl, EQUAL, 1, BLKSSZGET, "its sectors"),
	ALLOW_IF(ioctl, EQUAL, 1, BLKPBSZGET, "its physical sectors"),
	ALLOW_IF(ioctl, EQUAL, 1, BLKDISCARD, "space given back"),
	ALLOW_IF(ioctl, EQUAL, 1, BLKDISCARDZEROES, "whether that reads as zeros"),
	ALLOW_IF(ioctl, EQUAL, 1, BLKZEROOUT, "zeros"),
	ALLOW_IF(ioctl, EQUAL, 1, BLKROGET, "whether it can be written"),
};

#define RULE_SIZE 5 /* instructions, at most */

static struct sock_filter calls_load(size_t offset)
{
	return (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset);
}

static struct sock_filter calls_answer(uint32_t value)
{
	return (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, value);
}

/* Where the test holds, `yes` instructions are skipped, else `no`. */
static struct sock_filter calls_test(unsigned kind, uint32_t value, unsigned yes, unsigned no)
{
	return (struct sock_filter)BPF_JUMP(BPF_JMP | kind | BPF_K, value, (uint8_t)yes,
					    (uint8_t)no);
}

/* Return: how many instructions it has become. */
static size_t calls_compile(const struct rule *rule, uint32_t own, struct sock_filter *at)
{
	static const struct {
		unsigned kind, yes, no;
	} tests[] = {
		[EQUAL] = { BPF_JEQ, 0, 1 },
		[WITH] = { BPF_JSET, 0, 1 },
		[WITHOUT] = { BPF_JSET, 1, 0 },
	};
	uint32_t value = rule->call == SYS_kill || rule->call == SYS_tgkill ? own : rule->value;
	size_t count = 0;

	at[count++] = calls_load(offsetof(struct seccomp_data, nr));
	at[count++] = calls_test(BPF_JEQ, rule->call, 0, rule->condition == ALWAYS ? 1 : 3);
	if (rule->condition != ALWAYS) {
		at[count++] = calls_load(offsetof(struct seccomp_data, args) + 8 * rule->argument);
		at[count++] = calls_test(tests[rule->condition].kind, value,
					 tests[rule->condition].yes, tests[rule->condition].no);
	}
	at[count++] = calls_answer(SECCOMP_RET_ALLOW);
	return count;
}

int image_guard_limit_calls(void)
{
	/* Without clone3(2), whose flags cannot be seen, the C library takes clone(2). */
	const struct rule own[] = {
		ALLOW_IF(kill, EQUAL, 0, 0, "the end, by its own hand"),
		ALLOW_IF(tgkill, EQUAL, 0, 0, "abort()"),
	};
	struct sock_filter code[RULE_SIZE * (ARRAY_SIZE(rules) + ARRAY_SIZE(own)) + 7];
	struct sock_fprog program = { .filter = code };
	uint32_t pid = (uint32_t)getpid();
	size_t count = 0;

	code[count++] = calls_load(offsetof(struct seccomp_data, arch));
	code[count++] = calls_test(BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0);
	code[count++] = calls_answer(SECCOMP_RET_KILL_PROCESS);
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		count += calls_compile(&rules[i], pid, code + count);
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		count += calls_compile(&own[i], pid, code + count);
	code[count++] = calls_load(offsetof(struct seccomp_data, nr));
	code[count++] = calls_test(BPF_JEQ, SYS_clone3, 0, 1);
	code[count++] = calls_answer(SECCOMP_RET_ERRNO | ENOSYS);
	code[count++] = calls_answer(SECCOMP_RET_ERRNO | EPERM);
	program.len = (unsigned short)count;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}
