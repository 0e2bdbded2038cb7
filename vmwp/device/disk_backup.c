/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks of a machine, as they are at one instant, for a backup. */
#include "vmwp/device/disk_backup.h"

#include "common/base/cleanup.h"
#include "vsp/storage/storage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct backup_disk {
	struct disk_backup *backup;
	unsigned controller, lun;
	struct disk *disk; /* until it has begun */
	enum changes_loss loss;
	int scratch; /* -1: its view has it */
	struct disk_point *point;
};

struct disk_backup {
	struct loop *loop;
	struct guid id;
	uint64_t scratch_max;
	bool complete;
	struct nbd_server *server; /* NULL: not yet */
	unsigned pending;          /* disks, and the walk over them */
	int result;
	struct loop_deferred begun;
	void (*done)(void *data, int result);
	void (*ended)(void *data);
	void *data;
	size_t count;
	struct backup_disk items[];
};

/* ---- Life ---- */

static void backup_free(struct disk_backup *backup)
{
	loop_deferred_cancel(&backup->begun);
	for (size_t i = 0; i < backup->count; i++) {
		if (backup->items[i].point)
			disk_point_end(backup->items[i].point, backup->complete);
		close_fdp(&backup->items[i].scratch);
	}
	free(backup);
}

void disk_backup_free(struct disk_backup *backup)
{
	if (!backup)
		return;
	nbd_server_free(backup->server);
	backup_free(backup);
}

static void backup_stopped(void *data)
{
	struct disk_backup *backup = data;
	void (*ended)(void *data) = backup->ended;
	void *ended_data = backup->data;

	backup_free(backup);
	if (ended)
		ended(ended_data);
}

void disk_backup_end(struct disk_backup *backup, bool complete, void (*done)(void *data),
		     void *data)
{
	backup->complete = complete;
	backup->ended = done;
	backup->data = data;
	if (backup->server)
		nbd_server_stop(TAKE_PTR(backup->server), backup_stopped, backup);
	else
		backup_stopped(backup);
}

/* ---- Which disks ---- */

static int backup_find(const struct disk_backup_options *options, struct backup_disk *item,
		       struct failure *failure)
{
	struct disk_health *health =
		disk_health_find(disks_healths(options->disks), item->controller, item->lun);

	if (!health) {
		failure_set(failure, 0, "There is no disk %u:%u.", item->controller, item->lun);
		return DISKS_E_ABSENT;
	}
	item->disk = disk_health_disk(health);
	for (const struct backup_disk *other = item->backup->items; other < item; other++) {
		if (other->disk == item->disk)
			item->disk = NULL;
	}
	if (item->disk && !item->disk->read_only)
		return 0;
	failure_set(failure, 0, "Disk %u:%u is not one that is written, or is named twice.",
		    item->controller, item->lun);
	return DISKS_E_KIND;
}

static int backup_take_files(struct disk_backup *backup, struct backup_disk *item, int *fds,
			     struct failure *failure)
{
	int r;

	item->scratch = TAKE_FD(fds[1]);
	if (disk_changes_of(item->disk))
		return 0;
	r = disk_know_changes(item->disk, backup->loop, item->controller, item->lun,
			      TAKE_FD(fds[0]), NULL, &item->loss);
	return r < 0 ? failure_set(failure, r,
				   "The map of changed blocks of disk %u:%u cannot be read: %s.",
				   item->controller, item->lun, strerror(-r))
		     : 0;
}

static int backup_add(const struct disk_backup_options *options, struct disk_backup *backup,
		      size_t index, int *fds, struct failure *failure)
{
	struct json_object *place = json_object_array_get_idx(options->places, index);
	struct backup_disk *item = &backup->items[index];
	struct json_object *controller, *lun;
	int r;

	item->backup = backup;
	item->scratch = -1;
	backup->count++;
	if (!json_object_object_get_ex(place, "controller", &controller) ||
	    !json_object_object_get_ex(place, "lun", &lun)) {
		failure_set(failure, 0, "A disk has no place.");
		return DISKS_E_REFUSED;
	}
	item->controller = (unsigned)json_object_get_int64(controller);
	item->lun = (unsigned)json_object_get_int64(lun);
	r = backup_find(options, item, failure);
	return r ? r : backup_take_files(backup, item, fds, failure);
}

static int backup_fill(const struct disk_backup_options *options, struct disk_backup *backup,
		       int *fds, size_t count, struct failure *failure)
{
	size_t disks = json_object_array_length(options->places);
	int r = 0;

	if (disks == 0 || count != 2 * disks) {
		failure_set(failure, 0, "There are %zu files for %zu disks.", count, disks);
		return DISKS_E_REFUSED;
	}
	for (size_t i = 0; r == 0 && i < disks; i++)
		r = backup_add(options, backup, i, fds + 2 * i, failure);
	return r;
}

int disk_backup_new(const struct disk_backup_options *options, int *fds, size_t count,
		    struct disk_backup **ret_backup, struct failure *failure)
{
	size_t disks = json_object_array_length(options->places);
	struct disk_backup *backup = calloc(1, sizeof(*backup) + disks * sizeof(backup->items[0]));
	int r = backup ? 0 : -ENOMEM;

	if (r == 0) {
		backup->loop = options->loop;
		backup->id = options->point;
		backup->scratch_max = options->scratch_max;
		list_init(&backup->begun.link);
		r = backup_fill(options, backup, fds, count, failure);
	}
	for (size_t i = 0; i < count; i++)
		close_fdp(&fds[i]);
	if (r) {
		if (backup)
			backup_free(backup);
		return r;
	}
	*ret_backup = backup;
	return 0;
}

/* ---- The instant ---- */

static void backup_one(struct disk_backup *backup, int result)
{
	if (result && !backup->result)
		backup->result = result;
	if (--backup->pending == 0)
		loop_defer(backup->loop, &backup->begun);
}

static void backup_begun(struct loop_deferred *deferred)
{
	struct disk_backup *backup = container_of(deferred, struct disk_backup, begun);

	backup->done(backup->data, backup->result);
}

static void backup_written(void *data)
{
	backup_one(data, 0);
}

static int backup_begin_views(struct disk_backup *backup)
{
	for (size_t i = 0; i < backup->count; i++) {
		struct backup_disk *item = &backup->items[i];
		int r = disk_changes_begin_point(disk_changes_of(item->disk), &backup->id,
						 TAKE_FD(item->scratch), backup->scratch_max,
						 backup_written, backup, &item->point);

		if (r < 0)
			return r;
		backup->pending++;
	}
	return 0;
}

static int backup_new_server(struct disk_backup *backup, bool releases)
{
	AUTO_FREE struct nbd_served *served = calloc(backup->count, sizeof(*served));
	const struct nbd_server_options options = { .served = served,
						    .count = backup->count,
						    .releases = releases };

	if (!served)
		return -ENOMEM;
	for (size_t i = 0; i < backup->count; i++) {
		const struct backup_disk *item = &backup->items[i];

		served[i].point = item->point;
		snprintf(served[i].name, sizeof(served[i].name), "%u:%u", item->controller,
			 item->lun);
	}
	return nbd_server_new(backup->loop, &options, &backup->server);
}

int disk_backup_serve(struct disk_backup *backup, int socket, bool releases)
{
	AUTO_CLOSE int fd = socket;
	int r = backup->server ? -EALREADY : backup_new_server(backup, releases);

	if (r < 0)
		return r;
	nbd_server_listen(backup->server, TAKE_FD(fd));
	return 0;
}

void disk_backup_begin(struct disk_backup *backup, void (*done)(void *data, int result), void *data)
{
	backup->done = done;
	backup->data = data;
	backup->begun.run = backup_begun;
	backup->pending = 1;
	backup_one(backup, backup_begin_views(backup));
}

struct json_object *disk_backup_report(const struct disk_backup *backup)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < backup->count; i++) {
		const struct backup_disk *item = &backup->items[i];
		const char *why = changes_loss_text(item->loss);

		if (item->loss)
			json_append(&array, json_make("controller",
						      json_object_new_uint64(item->controller),
						      "lun", json_object_new_uint64(item->lun),
						      "why", json_object_new_string(why), NULL));
	}
	return array;
}
