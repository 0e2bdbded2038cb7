/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Exit statuses of vmwp; `vmwp --help` lists them. */
#pragma once

enum {
	STATUS_OK = 0,
	STATUS_ERROR = 1,
	STATUS_USAGE = 2,
	STATUS_GUEST_FAILED = 3, /* by hand: the guest crashed or triple-faulted, and was stopped */
};
