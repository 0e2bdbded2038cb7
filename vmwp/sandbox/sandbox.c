/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sandbox of the worker: its layers together. */
#include "vmwp/sandbox/sandbox.h"

/*
 * The sanitizers' runtime reads /proc/self/maps, looks for leaks in a thread that traces the
 * others, and maps memory as it pleases: with the sandbox entered it fails, and takes the program
 * along. Such builds are for finding errors with friendly guests, and run outside.
 */
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

int sandbox_enter(uid_t user, struct failure *failure)
{
	int r;

	if (SANDBOX_LEFT_OUT)
		return 0;
	r = sandbox_isolate(user, failure);
	return r < 0 ? r : sandbox_limit_calls(failure);
}
