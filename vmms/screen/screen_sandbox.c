/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shutting the process in: a user of its own, an empty root, no network (common/base/isolate.h),
 * and the system calls that it makes, of which none takes a path. Any other ends it.
 */
#include "common/base/isolate.h"
#include "vmms/screen/screen.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The sanitizers' runtime fails in a sandbox, and takes the program along. */
#if defined(__SANITIZE_ADDRESS__)
#define SANDBOX_LEFT_OUT 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANDBOX_LEFT_OUT 1
#endif
#endif
#ifndef SANDBOX_LEFT_OUT
#define SANDBOX_LEFT_OUT 0
#endif

struct rule {
	int call;
	const char *reason;
	unsigned count; /* of conditions: 0 or 1 */
	struct scmp_arg_cmp argument;
};

#define ALLOW(name, why)                              \
	{                                             \
		.call = SCMP_SYS(name), .reason = why \
	}
#define ALLOW_IF(name, index, value, why)                                            \
	{                                                                            \
		.call = SCMP_SYS(name), .reason = why, .count = 1,                   \
		.argument = { .arg = index, .op = SCMP_CMP_EQ, .datum_a = (value) }, \
	}
#define ALLOW_WITHOUT(name, index, bits, why)                                            \
	{                                                                                \
		.call = SCMP_SYS(name), .reason = why, .count = 1,                       \
		.argument = { .arg = index, .op = SCMP_CMP_MASKED_EQ, .datum_a = bits }, \
	}

static const struct rule rules[] = {
	ALLOW(poll, "the loop"),
	ALLOW(restart_syscall, "the kernel itself, after SIGSTOP and SIGCONT"),
	ALLOW(recvmsg, "viewers, and the frame buffer"),
	ALLOW(recvfrom, "what viewers say"),
	ALLOW(sendto, "what viewers and the worker are sent"),
	ALLOW(close, "viewers that have gone"),
	ALLOW_IF(fcntl, 1, F_GET_SEALS, "whether the frame buffer keeps its size"),
	ALLOW_IF(newfstatat, 3, AT_EMPTY_PATH, "how large it is"),
	ALLOW(fstat, "the same, as newer C libraries make it"),
	ALLOW_WITHOUT(mmap, 2, PROT_EXEC, "the frame buffer; malloc()"),
	ALLOW_WITHOUT(mprotect, 2, PROT_EXEC, "malloc()"),
	ALLOW(munmap, "free()"),
	ALLOW(mremap, "realloc()"),
	ALLOW(madvise, "free()"),
	ALLOW(brk, "malloc()"),
	ALLOW(getrandom, "malloc()"),
	ALLOW(clock_gettime, "time, where programs cannot read the clock"),
	ALLOW(write, "last words"),
	ALLOW(writev, "last words of the C library"),
	ALLOW(getpid, "abort()"),
	ALLOW(gettid, "abort()"),
	ALLOW(rt_sigprocmask, "abort()"),
	ALLOW(rt_sigaction, "abort()"),
	ALLOW(rt_sigreturn, "the kernel itself"),
	ALLOW(exit_group, "the end"),
};

static int sandbox_allow(scmp_filter_ctx filter, const struct rule *rule)
{
	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rule->call, rule->count,
				      &rule->argument);
}

static int sandbox_limit_calls(void)
{
	const struct rule own = ALLOW_IF(tgkill, 0, (scmp_datum_t)getpid(), "abort()");
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = filter ? sandbox_allow(filter, &own) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rules); i++)
		r = sandbox_allow(filter, &rules[i]);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}

int screen_sandbox_enter(uint32_t user)
{
	int error, r;

	if (SANDBOX_LEFT_OUT)
		return 0;
	r = isolate_process(user > 0 ? user : ISOLATE_SAME_USER, &error);
	if (r == 0) {
		error = sandbox_limit_calls();
		if (error == 0)
			return 0;
	}
	fprintf(stderr, "cannot be shut in: %s: %s\n",
		r == ISOLATE_E_USER         ? "its user"
		: r == ISOLATE_E_PRIVILEGES ? "its privileges"
		: r == ISOLATE_E_NAMESPACES ? "this host gives it no namespaces"
					    : "its system calls",
		strerror(-error));
	return error;
}
