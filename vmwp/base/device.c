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
