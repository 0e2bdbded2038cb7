/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the control socket's methods share: a request, and its arguments as they were
 * read. */
#pragma once

#include "vmwp/control/control_methods.h"
#include "vmwp/device/devices.h"

#include <stdbool.h>
#include <stdint.h>

struct call {
	struct control_server *server;
	struct worker *worker;
	struct control_message *request;
	struct reply *reply;
};

/* The arguments of all methods. */
struct arguments {
	struct json_object *names, *definition, *disk, *adapter, *actions, *pinning;
	unsigned controller, lun, first;
	uint64_t size;
	bool force, reboot, hibernate;
	char *path, *name;
	enum adapters_backend backend;
	enum control_part part;
};

/* A function of the worker's has failed. */
void reply_failure(struct reply *reply, int error, const struct failure *failure);
