/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a device of a VM is to its worker. */
#include "vmwp/base/device.h"

#include "common/base/state.h"

#include <errno.h>

int device_restore_result(int result, const char *name, struct failure *failure)
{
	if (result <= 0)
		return result;
	return failure_set(failure, -EINVAL, "The state of '%s' %s.", name,
			   state_error_text(result));
}

void device_quiet_begin(struct device_quiet *quiet, void (*done)(void *data), void *data)
{
	*quiet = (struct device_quiet){ .restless = 1, .done = done, .data = data };
}

void device_quiet_await(struct device_quiet *quiet)
{
	quiet->restless++;
}

void device_quiet_one(void *data)
{
	struct device_quiet *quiet = data;

	if (--quiet->restless == 0 && quiet->done)
		quiet->done(quiet->data);
}

void device_quiet_forget(struct device_quiet *quiet)
{
	quiet->done = NULL;
}
