/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The checks of 'vmctl doctor' that take the caller's place: the bus, the service upon it, its
 * unit, what else is on the bus, and who the caller is.
 */
#pragma once

#include "common/host/host.h"

#include <systemd/sd-bus.h>

#define DOCTOR_BOUND UINT64_C(5000000) /* microseconds that others on the bus get to answer */

struct doctor {
	const char *root;        /* before paths; "" but in tests */
	sd_bus *bus;             /* NULL: there is none, since */
	const char *bus_problem; /* this */
	bool is_system_bus;      /* the host's own, not one that was named */
	bool is_user_bus;

	/* What the service answered. */
	struct json_object *report; /* NULL: nothing, since */
	const char *problem;        /* this; NULL: it was not asked */
	bool not_permitted;         /* it is there, but not for this caller */
	bool too_old;               /* it is there, but knows no such question */
	bool hangs;                 /* it is there, and says nothing */
	struct host_kernel kernel;
};

/* They take a struct doctor. */
extern const struct host_check doctor_checks[];
