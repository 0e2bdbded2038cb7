/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The system calls of a process that carries a VM, and why. None takes a path or the address of a
 * socket, makes a process, or names another one.
 */
#include "vmms/carrier/program/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct {
	int call;
	const char *reason;
} allowed[] = {
	{ SCMP_SYS(poll), "waiting" },
	{ SCMP_SYS(ppoll), "waiting" },
	{ SCMP_SYS(restart_syscall), "the kernel itself, after SIGSTOP and SIGCONT" },
	{ SCMP_SYS(accept4), "who connects" },
	{ SCMP_SYS(getsockopt), "what has become of connect()" },
	{ SCMP_SYS(recvfrom), "what the worker writes" },
	{ SCMP_SYS(sendto), "what the worker reads" },
	{ SCMP_SYS(recvmsg), "GnuTLS" },
	{ SCMP_SYS(sendmsg), "GnuTLS" },
	{ SCMP_SYS(read), "GnuTLS" },
	{ SCMP_SYS(write), "what the daemon is told; last words" },
	{ SCMP_SYS(writev), "last words of abort()" },
	{ SCMP_SYS(shutdown), "the end of what the worker reads" },
	{ SCMP_SYS(close), "sockets of those who have no key" },
	{ SCMP_SYS(getrandom), "keys" },
	{ SCMP_SYS(clock_gettime), "time limits, where the host's clock takes a call" },
	{ SCMP_SYS(gettimeofday), "GnuTLS" },
	{ SCMP_SYS(time), "GnuTLS" },
	{ SCMP_SYS(getpid), "GnuTLS, which looks whether it has been forked" },
	{ SCMP_SYS(getrusage), "GnuTLS, as another seed" },
	{ SCMP_SYS(futex), "locks" },
	{ SCMP_SYS(brk), "malloc()" },
	{ SCMP_SYS(munmap), "malloc()" },
	{ SCMP_SYS(mremap), "malloc()" },
	{ SCMP_SYS(madvise), "malloc()" },
	{ SCMP_SYS(rt_sigreturn), "the end of a handler" },
	{ SCMP_SYS(rt_sigprocmask), "abort()" },
	{ SCMP_SYS(gettid), "abort()" },
	{ SCMP_SYS(exit_group), "the end" },
};

/* Nothing becomes executable that was not when the program began. */
static int calls_allow_memory(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp plain = {
		.arg = 2, .op = SCMP_CMP_MASKED_EQ, .datum_a = PROT_EXEC, .datum_b = 0
	};
	int r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, &plain);

	return r < 0 ? r
		     : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
					      &plain);
}

static int calls_fill(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp ours = { .arg = 0,
					   .op = SCMP_CMP_EQ,
					   .datum_a = (scmp_datum_t)getpid() };
	int r = calls_allow_memory(filter);

	if (r == 0)
		r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &ours);
	/* malloc() asks how much may be promised, and does without the answer. */
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 0);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(allowed); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i].call, 0);
	return r;
}

int calls_limit(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = filter ? calls_fill(filter) : -ENOMEM;

	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}
