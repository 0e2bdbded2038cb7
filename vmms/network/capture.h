/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What passes an interface of the host, as a stream of pcapng, for whoever reads it.
 *
 * The reader is slow or gone: frames are dropped, and counted in the stream; or the capture ends.
 * Format: draft-ietf-opsawg-pcapng; section header, interface description, enhanced packets with
 * their direction, and interface statistics at the end.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"

#include <systemd/sd-event.h>

struct capture;

struct capture_config {
	int interface; /* index */
	const char *name, *description;
	unsigned snap_length; /* bytes kept of a frame; 0: all */

	/* The reader is gone, or the interface. The owner frees the capture here. */
	void (*ended)(void *owner);
	void *owner;
};

/* *ret_fd: the reader's end, the caller's to close. Return: 0; -EPERM: no CAP_NET_RAW; -errno. */
int capture_start(sd_event *loop, const struct capture_config *config, struct capture **ret_capture,
		  int *ret_fd) MUST_CHECK;

void capture_free(struct capture *capture);
DEFINE_CLEANUP(struct capture *, capture_free)
