/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The descriptors that a worker hands over to the one that takes its place (docs/state.md), by the
 * names that they have in the table of resources.
 *
 * They go over a connected SOCK_SEQPACKET socket between the two, as "descriptors" requests of
 * common/control.h that nobody answers. All are sent before the first is received: so many fit into
 * the socket. Both have the same open files meanwhile, and a lock on one of these never lapses.
 */
#pragma once

#include "common/base/cc.h"

#include <stddef.h>

#define HANDOVER_MAX       512
#define HANDOVER_NAME_SIZE 48 /* bytes, with the NUL; RESOURCES_NAME_MAX */

struct resources;

struct handover {
	size_t count;
	struct {
		char name[HANDOVER_NAME_SIZE];
		int fd; /* borrowed */
	} items[HANDOVER_MAX];
};

/* fd: borrowed; -1 is passed over. Return: 0; -E2BIG. */
int handover_add(struct handover *handover, const char *name, int fd) MUST_CHECK;

/* Does not wait. Return: 0; -EAGAIN: they do not fit; -errno. */
int handover_send(const struct handover *handover, int socket) MUST_CHECK;

/* Takes what was sent, and nothing that is no descriptor of a VM. Return: 0; -EINVAL; -errno. */
int handover_receive(struct resources *resources, int socket) MUST_CHECK;
