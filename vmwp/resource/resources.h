/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The open descriptors that a VM runs on, by name: "kvm", "kernel", "initrd", "bios", "uefi",
 * "uefi-variables", "variables", "serial", "end", "sockets", "memory:REGION" for each region of RAM that another worker has handed over,
 * and "disk:CONTROLLER:LUN" for each disk image, "disk:CONTROLLER:LUN+1" for its parent,
 * "changes:CONTROLLER:LUN" for the map of its changed blocks,
 * and for each network adapter "net:NAME:QUEUE" for
 * the queues of a tap, or "net:NAME" for the socket of a user-mode network, or /dev/null for none.
 *
 * Under the daemon they arrive over the control socket, and the worker opens no path of its own;
 * by hand resources_open() opens what the definition names. The table owns what is in it.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/definition/definition.h"
#include "vmwp/base/failure.h"
#include "vmwp/resource/handover.h"

#include <stdbool.h>

#define RESOURCES_NAME_MAX 48 /* bytes, with the NUL */

struct resources;

int resources_new(struct resources **ret_resources) MUST_CHECK;
void resources_free(struct resources *resources);
DEFINE_CLEANUP(struct resources *, resources_free)

/* "disk:0:3"; of a parent, from 1 on, "disk:0:3+1". */
void resources_disk_name(unsigned controller, unsigned lun, char name[RESOURCES_NAME_MAX]);
void resources_parent_name(unsigned controller, unsigned lun, unsigned number,
			   char name[RESOURCES_NAME_MAX]);
#define RESOURCES_PARENTS_MAX 15

/* "changes:0:3". */
void resources_changes_name(unsigned controller, unsigned lun, char name[RESOURCES_NAME_MAX]);

/* "memory:0". */
void resources_memory_name(size_t region, char name[RESOURCES_NAME_MAX]);
#define RESOURCES_REGIONS_MAX 128

/* "net:NAME:QUEUE" and "net:NAME". */
void resources_tap_name(const char *adapter, unsigned queue, char name[RESOURCES_NAME_MAX]);
void resources_socket_name(const char *adapter, char name[RESOURCES_NAME_MAX]);

/*
 * Takes over fd, also on failure; a descriptor of that name that was there is closed. Return: 0;
 * -EINVAL: no such name; -ENOMEM.
 */
int resources_put(struct resources *resources, const char *name, int fd) MUST_CHECK;

/* The descriptor, now the caller's; -1 if there is none of that name. */
int resources_take(struct resources *resources, const char *name);

/* By hand: opens what the definition names, and /dev/kvm; starts what networks need. Return: 0;
 * -errno and *failure. */
int resources_open(struct resources *resources, const struct definition *definition,
		   struct failure *failure) MUST_CHECK;
