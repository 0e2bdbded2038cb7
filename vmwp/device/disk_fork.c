/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks of a machine that go on with other images, which stand on those that they have been. */
#include "vmwp/device/disk_fork.h"

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/image/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One of the disks. */
struct forked_disk {
	struct disk_fork *fork;
	struct definition_disk definition;
	struct disk_health *health;
	struct disk *old;   /* that there is */
	struct disk *child; /* in its place; NULL: not opened, or it is */
	struct disk_request request;
};

struct disk_fork {
	struct disks *disks;
	struct loop *loop;
	size_t count;
	unsigned pending; /* disks, and the walk over them */
	int result;
	bool seals;
	struct loop_deferred ended; /* whatever has called is over */
	void (*done)(void *data, int result);
	void *data;
	struct forked_disk items[];
};

/* ---- Life ---- */

void disk_fork_free(struct disk_fork *fork)
{
	if (!fork)
		return;
	loop_deferred_cancel(&fork->ended);
	for (size_t i = 0; i < fork->count; i++) {
		if (fork->items[i].child)
			disk_retire(fork->items[i].child, NULL, NULL);
		definition_disk_deinit(&fork->items[i].definition);
	}
	free(fork);
}

static bool fork_has(const struct disk_fork *fork, size_t count, const struct disk *disk)
{
	for (size_t i = 0; i < count; i++) {
		if (fork->items[i].old == disk)
			return true;
	}
	return false;
}

static int fork_find(struct disk_fork *fork, size_t index, struct failure *failure)
{
	struct forked_disk *item = &fork->items[index];
	unsigned controller = item->definition.controller, lun = item->definition.lun;

	item->fork = fork;
	item->health = disk_health_find(disks_healths(fork->disks), controller, lun);
	if (!item->health) {
		failure_set(failure, 0, "There is no disk %u:%u.", controller, lun);
		return DISKS_E_ABSENT;
	}
	item->old = disk_health_disk(item->health);
	if (disk_vhdx_can_be_parent(item->old) && !fork_has(fork, index, item->old))
		return 0;
	failure_set(failure, 0, "Disk %u:%u is not one on a VHDX image that is written.",
		    controller, lun);
	return DISKS_E_KIND;
}

int disk_fork_new(struct disks *disks, struct loop *loop, struct json_object *array,
		  struct disk_fork **ret_fork, struct failure *failure)
{
	size_t count = json_object_array_length(array);
	struct disk_fork *fork = calloc(1, sizeof(*fork) + count * sizeof(fork->items[0]));
	int r = 0;

	if (!fork)
		return -ENOMEM;
	fork->disks = disks;
	fork->loop = loop;
	list_init(&fork->ended.link);
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct json_error error = { 0 };

		if (definition_disk_from_json(json_object_array_get_idx(array, i),
					      &fork->items[i].definition, &error) < 0) {
			failure_set(failure, 0, "%s: %s", error.key, error.message);
			r = DISKS_E_REFUSED;
			break;
		}
		fork->count++;
		r = fork_find(fork, i, failure);
	}
	if (r) {
		disk_fork_free(fork);
		return r;
	}
	*ret_fork = fork;
	return 0;
}

/* ---- The children ---- */

static int fork_refuse(const struct forked_disk *item, const char *why, struct failure *failure)
{
	failure_set(failure, 0,
		    "The image that is to stand on that of disk %u:%u cannot be used: %s.",
		    item->definition.controller, item->definition.lun, why);
	return DISKS_E_REFUSED;
}

static int fork_open_child(struct forked_disk *item, int fd, struct failure *failure)
{
	const struct definition_disk *definition = &item->definition;
	const struct image_options options = { .sector_size = definition->sector_size };
	const struct disk_limits limits = { .iops = definition->iops,
					    .bandwidth = definition->bandwidth };
	struct image image;
	int r = image_examine(fd, &options, &image);

	if (r) {
		close(fd);
		return fork_refuse(item, image_error_text(r), failure);
	}
	r = disk_vhdx_open_child(item->fork->loop, &image, item->old,
				 definition->cache == DEFINITION_CACHE_UNSAFE, &item->child);
	if (r)
		return fork_refuse(item, vhdx_error_text(r), failure);
	return disk_limit(item->child, item->fork->loop, &limits);
}

int disk_fork_open(struct disk_fork *fork, int *fds, size_t count, struct failure *failure)
{
	int r = 0;

	if (count != fork->count) {
		failure_set(failure, 0, "There are %zu images for %zu disks.", count, fork->count);
		return DISKS_E_REFUSED;
	}
	for (size_t i = 0; r == 0 && i < count; i++)
		r = fork_open_child(&fork->items[i], TAKE_FD(fds[i]), failure);
	return r;
}

/* ---- What takes its time ---- */

static void fork_one(struct disk_fork *fork, int result)
{
	if (result && !fork->result)
		fork->result = result < 0 ? result : -EIO;
	if (--fork->pending == 0)
		loop_defer(fork->loop, &fork->ended);
}

static void fork_ended(struct loop_deferred *deferred)
{
	struct disk_fork *fork = container_of(deferred, struct disk_fork, ended);

	for (size_t i = 0; fork->seals && !fork->result && i < fork->count; i++) {
		if (fork->items[i].old->in_flight > 0)
			fork->result = -EBUSY;
	}
	fork->done(fork->data, fork->result);
}

static void fork_begin(struct disk_fork *fork, void (*done)(void *data, int result), void *data)
{
	fork->done = done;
	fork->data = data;
	fork->result = 0;
	fork->ended.run = fork_ended;
	fork->pending = 1;
}

static void fork_prepared(struct disk_request *request, int result)
{
	fork_one(container_of(request, struct forked_disk, request)->fork, result);
}

/* A change of nothing is one before which the headers say that the image is in use. */
void disk_fork_prepare(struct disk_fork *fork, void (*done)(void *data, int result), void *data)
{
	fork_begin(fork, done, data);
	for (size_t i = 0; i < fork->count; i++) {
		struct forked_disk *item = &fork->items[i];

		fork->pending++;
		item->request =
			(struct disk_request){ .operation = DISK_ZERO, .complete = fork_prepared };
		disk_submit(item->old, &item->request);
	}
	fork_one(fork, 0);
}

static void fork_sealed(void *data)
{
	struct forked_disk *item = data;

	fork_one(item->fork, 0);
}

static void fork_flushed(struct disk_request *request, int result)
{
	struct forked_disk *item = container_of(request, struct forked_disk, request);

	if (result)
		fork_one(item->fork, result);
	else
		disk_vhdx_seal(item->old, fork_sealed, item);
}

void disk_fork_seal(struct disk_fork *fork, void (*done)(void *data, int result), void *data)
{
	fork_begin(fork, done, data);
	fork->seals = true;
	for (size_t i = 0; i < fork->count; i++) {
		struct forked_disk *item = &fork->items[i];

		if (item->old->in_flight > 0) {
			fork->result = -EBUSY;
			continue;
		}
		fork->pending++;
		item->request =
			(struct disk_request){ .operation = DISK_FLUSH, .complete = fork_flushed };
		disk_submit(item->old, &item->request);
	}
	fork_one(fork, 0);
}

void disk_fork_exchange(struct disk_fork *fork)
{
	for (size_t i = 0; i < fork->count; i++) {
		struct forked_disk *item = &fork->items[i];
		const struct definition_disk *definition = &item->definition;
		struct disk *child = TAKE_PTR(item->child);
		struct storage_controller *storage;
		unsigned unit;

		disk_replace(item->old, child);
		disk_vhdx_set_parent(child, item->old);
		disk_health_replace(item->health, child);
		storage =
			disks_storage(fork->disks, definition->controller, definition->lun, &unit);
		storage_replace_disk(storage, unit, child);
		if (disk_vhdx_share(item->old) < 0)
			log_warning("the image below disk %u:%u stays locked against readers",
				    definition->controller, definition->lun);
	}
}
