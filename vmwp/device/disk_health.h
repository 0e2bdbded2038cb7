/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the disks of a machine are, and what comes of requests that the host cannot carry out.
 *
 * A request that fails is told to the guest, or is held, by the disk's "on_error" in the
 * definition. While some are held the VM is paused. Those that a file system had no room for are
 * tried again every now and then, all of them when the VM is resumed; and when all have been
 * carried out the VM goes on by itself. A guest has no more requests under way than a controller
 * has, so that their number is bounded.
 *
 * What a guest can make fail as often as it likes is told every few seconds at most.
 *
 * Thread: the loop's. Callbacks run by themselves, below no other call.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/base/loop.h"
#include "common/definition/definition.h"
#include "vsp/storage/storage.h"

struct disk_health;
struct disk_healths;

struct disk_healths_callbacks {
	/* How a disk is has changed: as the "disk" event has it (common/control.h); taken over. */
	void (*changed)(void *data, unsigned controller, unsigned lun, struct json_object *report);

	/* The VM is to be paused, goes on if that was why it was paused, or is to be turned off. */
	void (*pause)(void *data, const char *why);
	void (*go_on)(void *data);
	void (*stop)(void *data, const char *why);
};

/* callbacks: borrowed. Return: 0; -ENOMEM. */
int disk_healths_new(struct loop *loop, const struct disk_healths_callbacks *callbacks, void *data,
		     struct disk_healths **ret_healths) MUST_CHECK;

/* No disk is watched any more; the loop has ended, or nothing has failed yet. Accepts NULL. */
void disk_healths_free(struct disk_healths *healths);
DEFINE_CLEANUP(struct disk_healths *, disk_healths_free)

/* A disk from its beginning until it is given up. definition: copied. Return: 0; -ENOMEM. */
int disk_health_new(struct disk_healths *healths, const struct definition_disk *definition,
		    struct disk *disk) MUST_CHECK;

/* NULL: none is watched there. */
struct disk_health *disk_health_find(struct disk_healths *healths, unsigned controller,
				     unsigned lun);

/* The same by the disk. */
struct disk_health *disk_health_of(struct disk_healths *healths, const struct disk *disk);

struct disk *disk_health_disk(struct disk_health *health);

/* Another disk has taken the place of the one that was watched: disk_replace(). */
void disk_health_replace(struct disk_health *health, struct disk *disk);

/* What became of the server of its image. */
enum disk_server {
	DISK_SERVER_THERE,
	DISK_SERVER_GONE, /* for a while: given up by itself if none comes in a few minutes */
	DISK_SERVER_LOST,
};
void disk_health_server(struct disk_health *health, enum disk_server server);

/*
 * disk_lock() of all, until one fails: *ret_controller, *ret_lun are that one's place. Return: as
 * disk_lock().
 */
int disk_healths_lock(struct disk_healths *healths, enum disk_lock what, unsigned *ret_controller,
		      unsigned *ret_lun) MUST_CHECK;

/* The VM has been resumed: what is held is tried again. */
void disk_healths_retry(struct disk_healths *healths);

/* All of them are told again, as they are, where they are not well: to somebody new. */
void disk_healths_tell(struct disk_healths *healths);

/* An array of all. New reference; NULL without memory. */
struct json_object *disk_healths_report(struct disk_healths *healths);
