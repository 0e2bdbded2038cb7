/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the VMBus host and the VSPs need of the hypervisor, and nothing else.
 *
 * Two implementations: the worker's, on hvshim/ and vid/ (vmwp/machine/vmbus_host.c), and the
 * tests' in-memory guest (tests/fake/). All members are required. Thread: the loop's.
 */
#pragma once

#include "common/base/gpa.h"

#include <stddef.h>
#include <stdint.h>

enum {
	_VSP_HOST_E_OK,
	VSP_HOST_E_BUSY,      /* the slot is taken: vmbus_slot_free() will follow */
	VSP_HOST_E_NOT_READY, /* that vp takes no messages: drop it */
};

struct vsp_host_ops {
	/*
	 * size bytes of guest RAM at gpa, or NULL unless all of it is RAM, which has come by one
	 * `add` or been there from the start. Within a page it has. Lives as long as the host.
	 */
	void *(*map)(void *host, gpa_t gpa, uint64_t size);

	/* The host has written there (dirty tracking). Call after writing. */
	void (*mark_written)(void *host, gpa_t gpa, uint64_t size);

	/*
	 * The guest does not need what is in these pages, which are RAM: they go back to the host,
	 * and are zeros when the guest uses them again. Return: 0; -errno: they stay as they are.
	 */
	int (*discard)(void *host, gpa_t gpa, uint64_t size);

	/*
	 * From now on there is RAM, zero-filled, where there was none; there may be from an earlier
	 * call. In pages. Return: 0, -errno.
	 */
	int (*add)(void *host, gpa_t gpa, uint64_t size);

	/* Posts a message of type 1 to the VMBus SINT of a vp. Return: 0, VSP_HOST_E_, -errno. */
	int (*post_message)(void *host, uint32_t vp, const void *payload, size_t size);

	/* Sets event flag `flag` in the VMBus SINT's event flags of a vp, and interrupts it. */
	void (*signal_event)(void *host, uint32_t vp, uint32_t flag);

	/* The guest's HvCallSignalEvent on connection_id adds 1 to event_fd. Return: 0, -errno. */
	int (*connection_add)(void *host, uint32_t connection_id, int event_fd);
	void (*connection_remove)(void *host, uint32_t connection_id);

	/* The partition's reference time, in units of 100 ns. */
	uint64_t (*reference_time)(void *host);
};

struct vsp_host {
	const struct vsp_host_ops *ops;
	void *host;        /* first argument of the operations */
	uint32_t vp_count; /* vps are 0 to vp_count - 1 */
};
