/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sandbox's first layer: who the process is, and what it could see. */
#include "common/base/isolate.h"
#include "vmwp/sandbox/sandbox.h"

#include <string.h>

int sandbox_isolate(uid_t user, struct failure *failure)
{
	int error, r;

	r = isolate_process(user, &error);
	switch (r) {
	case ISOLATE_E_USER:
		return failure_set(failure, error, "The worker cannot become user %u: %s.", user,
				   strerror(-error));
	case ISOLATE_E_PRIVILEGES:
		return failure_set(failure, error, "The worker cannot give up its privileges: %s.",
				   strerror(-error));
	case ISOLATE_E_NAMESPACES:
		return failure_set(failure, error,
				   "This host gives the worker no namespaces of its own, without "
				   "which no guest runs: %s. See whether 'sysctl "
				   "user.max_user_namespaces kernel.unprivileged_userns_clone' "
				   "allows them.",
				   strerror(-error));
	default:
		return 0;
	}
}
