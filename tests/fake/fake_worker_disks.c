/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fake worker's disks and DVD drives: they come and go, take media and are forked for checkpoints;
 * nothing is read from them or written.
 */
#include "tests/fake/control_send.h"
#include "tests/fake/fake_worker.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void set_medium(struct fake *fake, size_t controller, size_t lun, int fd)
{
	int *medium;

	assert(controller < DEFINITION_CONTROLLERS_MAX && lun < DEFINITION_LUNS_MAX);
	medium = &fake->media[controller][lun];
	if (*medium > 0)
		close(*medium);
	*medium = fd;
}

void eject_all(struct fake *fake)
{
	for (size_t i = 0; i < fake->definition->disk_count; i++) {
		const struct definition_disk *disk = &fake->definition->disks[i];

		if (disk->drive == DEFINITION_DRIVE_DVD)
			event(fake, "ejected",
			      json_make("controller", json_object_new_int64(disk->controller),
					"lun", json_object_new_int64(disk->lun), NULL));
	}
}

/* A disk comes to a place that is free, and what else is asked is of one that is there. */
static const char *take_place(struct fake *fake, struct control_message *message,
			      const struct control_arguments *arguments, unsigned *ret_controller,
			      unsigned *ret_lun)
{
	struct definition_disk disk;
	struct json_error error;
	bool *there;

	*ret_controller = arguments->controller;
	*ret_lun = arguments->lun;
	if (arguments->disk) {
		if (definition_disk_from_json(arguments->disk, &disk, &error) < 0)
			return CONTROL_ERROR_INVALID;
		*ret_controller = disk.controller;
		*ret_lun = disk.lun;
		definition_disk_deinit(&disk);
	}
	there = &fake->drives[*ret_controller][*ret_lun];
	if (*there == (arguments->disk != NULL))
		return *there ? CONTROL_ERROR_EXISTS : CONTROL_ERROR_NOT_FOUND;
	*there = strcmp(message->name, "detach") != 0;
	return NULL;
}

const char *method_disk(struct fake *fake, struct control_message *message,
			const struct control_arguments *arguments)
{
	unsigned controller, lun;
	const char *code;
	char text[512];

	if (asked_for(fake, "eject-meanwhile"))
		eject_all(fake);
	if (asked_for(fake, "refuse-disks"))
		return CONTROL_ERROR_BUSY;
	code = take_place(fake, message, arguments, &controller, &lun);
	if (code)
		return code;
	if (strcmp(message->name, "detach") == 0)
		fake->detach = message->id;
	snprintf(text, sizeof(text), "guest: %s %s, %zu descriptors\r\n", message->name,
		 json_object_to_json_string_ext(message->body, JSON_C_TO_STRING_PLAIN),
		 message->fd_count);
	set_medium(fake, controller, lun, message->fd_count > 0 ? TAKE_FD(message->fds[0]) : 0);
	/* Parents stay open for good. */
	for (size_t i = 1; i < message->fd_count; i++)
		(void)TAKE_FD(message->fds[i]);
	say(fake, text);
	return NULL;
}

/* Of what the disks have been, others may read from now on. */
static void share_medium(struct fake *fake, unsigned controller, unsigned lun)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	int *medium = &fake->media[controller][lun];

	if (*medium > 0 && fcntl(*medium, F_OFD_SETLK, &lock) < 0)
		perror("fake worker: fork");
	/* It stays open for good. */
	*medium = 0;
}

static const char *fork_disk(struct fake *fake, struct control_message *message,
			     struct json_object *object, size_t index)
{
	struct definition_disk disk;
	struct json_error error;
	unsigned controller, lun;
	bool vhdx;

	if (definition_disk_from_json(object, &disk, &error) < 0)
		return CONTROL_ERROR_INVALID;
	controller = disk.controller;
	lun = disk.lun;
	vhdx = disk.format && strcmp(disk.format, "vhdx") == 0;
	definition_disk_deinit(&disk);
	if (!fake->drives[controller][lun])
		return CONTROL_ERROR_NOT_FOUND;
	if (!vhdx)
		return CONTROL_ERROR_INVALID;
	if (message->fd_count == 0)
		return NULL;
	share_medium(fake, controller, lun);
	set_medium(fake, controller, lun, TAKE_FD(message->fds[index]));
	return NULL;
}

const char *method_fork(struct fake *fake, struct control_message *message,
			const struct control_arguments *arguments)
{
	size_t count = json_object_array_length(arguments->disks);
	const char *code = NULL;
	char text[64];

	if (asked_for(fake, message->fd_count ? "refuse-fork" : "refuse-prepare"))
		return CONTROL_ERROR_BUSY;
	if (asked_for(fake, "die-before-fork") && message->fd_count)
		_exit(3);
	for (size_t i = 0; !code && i < count; i++) {
		if (message->fd_count && message->fd_count <= i)
			return CONTROL_ERROR_INVALID;
		code = fork_disk(fake, message, json_object_array_get_idx(arguments->disks, i), i);
	}
	if (!code && message->fd_count > count)
		return CONTROL_ERROR_INVALID;
	if (asked_for(fake, "die-after-fork") && message->fd_count)
		_exit(3);
	snprintf(text, sizeof(text), "guest: %s of %zu disks\r\n", message->name, count);
	if (!code)
		say(fake, text);
	return code;
}

/* Disk 0:0 cannot be written; what is said of it is hostile. */
void disk_event(struct fake *fake, const char *health)
{
	event(fake, "disk",
	      json_make("controller", json_object_new_int64(0), "lun", json_object_new_int64(0),
			"health", json_object_new_string(health), "size",
			json_object_new_int64(4096), "sector_size", json_object_new_int64(512),
			"held", json_object_new_int64(1), "errors", json_object_new_int64(2),
			"error", json_object_new_string("No space \x1b[31m"), "operation",
			json_object_new_string("write"), "offset", json_object_new_int64(512),
			NULL));
}

/* Without a descriptor the disk is lost. */
const char *method_reconnect(struct fake *fake, struct control_message *message,
			     const struct control_arguments *arguments)
{
	if (!fake->drives[arguments->controller][arguments->lun])
		return CONTROL_ERROR_NOT_FOUND;
	if (message->fd_count)
		set_medium(fake, arguments->controller, arguments->lun, TAKE_FD(message->fds[0]));
	else
		disk_event(fake, "lost");
	return NULL;
}

long long fake_size(const struct fake *fake, const struct control_arguments *arguments)
{
	struct stat status;

	return fstat(fake->media[arguments->controller][arguments->lun], &status) < 0
		       ? 0
		       : (long long)status.st_size;
}

const char *method_measure(struct fake *fake, struct control_message *message,
			   const struct control_arguments *arguments)
{
	char text[80];

	if (!fake->drives[arguments->controller][arguments->lun])
		return CONTROL_ERROR_NOT_FOUND;
	if (asked_for(fake, "refuse-disks"))
		return CONTROL_ERROR_INVALID;
	snprintf(text, sizeof(text), "guest: disk %u:%u has %lld bytes\r\n", arguments->controller,
		 arguments->lun, fake_size(fake, arguments));
	say(fake, text);
	return NULL;
}

const char *method_cancel_detach(struct fake *fake, struct control_message *message,
				 const struct control_arguments *arguments)
{
	AUTO_JSON struct json_object *result =
		json_make("in_use", json_object_new_boolean(true), NULL);

	if (asked_for(fake, "slow-detach") &&
	    control_send_reply(fake->control, fake->detach, result) < 0)
		perror("fake worker: cancel_detach");
	return NULL;
}
