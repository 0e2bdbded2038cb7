/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a worker needs and may not open itself: /dev/kvm, the kernel, the disks, the serial line.
 *
 * Descriptors are collected under the names of the "descriptors" method (common/control.h), and
 * closed when they have been sent: the worker's copies keep the locks of the images.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/definition.h"
#include "vmms/failure.h"

/* The hypervisor, the kernel, the initrd, the serial line, where the end is written down, all
 * disks, and queues of adapters. */
#define RESOURCES_MAX \
	(5 + DEFINITION_DISKS_MAX + DEFINITION_ADAPTERS_MAX * DEFINITION_ADAPTER_QUEUES_MAX)

struct resources {
	size_t count;
	struct {
		char name[48];
		int fd;
	} items[RESOURCES_MAX];
};

void resources_deinit(struct resources *resources);

/* Takes over the descriptor. There is room for what is defined once. */
void resources_add(struct resources *resources, const char *name, int fd);

/* Who has that image, for the message: the name of a VM, or NULL. */
typedef const char *(*resources_user_fn)(void *data, const char *path);

/*
 * Opens and locks the medium of a disk. owner: the VM's, whose rights count; NULL: root, as for
 * resources_check_owner().
 */
int resources_open_disk(const struct definition_disk *disk, const char *owner,
			resources_user_fn user, void *data, int *ret_fd,
			struct failure *failure) MUST_CHECK;

/* The owner is a user of this host. */
int resources_check_owner(const char *owner, struct failure *failure) MUST_CHECK;

/*
 * Opens all that the definition names, with its owner's rights, and the hypervisor device. On
 * failure the caller deinits what was opened until then.
 */
int resources_open(struct resources *resources, const struct definition *definition,
		   const char *hypervisor, resources_user_fn user, void *data,
		   struct failure *failure) MUST_CHECK;
