/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The disks of a VM and how they are, as vmctl show has them: what GetDisks() tells.
 */
#pragma once

#include "vmms/vmctl/service.h"

/* *ret_disks: an array, a new reference; NULL: the service is an older one. */
enum status disk_list_get(struct invocation *invocation, const char *path,
			  struct json_object **ret_disks);

/* A table, and a line for each disk that is not well. Nothing for no disks. */
void disk_list_print(struct json_object *disks);
