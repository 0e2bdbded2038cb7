/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl backup create.
 *
 * vmctl itself reads the disks and writes the folder, with the rights of who calls it. The worker of the
 * VM serves the disks on a socket that vmctl makes in a folder of its own; vmms passes that on, and is
 * told in the end that the backup is complete and durable. Should vmctl be killed, vmms cancels the
 * backup, and what is left in the folder belongs to no point.
 */
#include "vmms/vmctl/cmd_backup.h"
#include "vmms/vmctl/backup_set.h"
#include "vmms/vmctl/job.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/table.h"

#include "common/base/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG       8
#define POLL_INTERVAL 50000 /* microseconds */

/* ---- What is said ---- */

enum status backup_failed(const char *why)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;

	sd_bus_error_set(&error, DBUS_ERROR_RESOURCE, why);
	return service_failed(-EIO, &error);
}

bool backup_tell(void *data, uint64_t done, uint64_t total)
{
	struct backup_teller *teller = data;
	struct timespec now;
	uint64_t ms;
	char text[JOB_LINE_SIZE];

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	if (teller->quiet || !isatty(STDERR_FILENO) || ms - teller->told < 200)
		return true;
	teller->told = ms;
	job_format_progress(done, total, 0, text);
	fprintf(stderr, "\r%s: %s\033[K", teller->label, text);
	return true;
}

void backup_tell_end(struct backup_teller *teller)
{
	if (teller->told)
		fprintf(stderr, "\r\033[K");
	teller->told = 0;
}

/* ---- The socket ---- */

struct backup_socket {
	char folder[64];
	struct sockaddr_un address;
	int listener;
};

static void socket_close(struct backup_socket *socket)
{
	close_fdp(&socket->listener);
	if (socket->address.sun_path[0])
		(void)unlink(socket->address.sun_path);
	if (socket->folder[0])
		(void)rmdir(socket->folder);
	*socket = (struct backup_socket){ .listener = -1 };
}

int backup_listen(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	AUTO_CLOSE int fd = -1;
	mode_t mask;
	int r;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	mask = umask(0177);
	r = bind(fd, (const struct sockaddr *)&address, sizeof(address));
	umask(mask);
	if (r < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* In a folder that nobody else can enter. */
static int socket_open(struct backup_socket *socket)
{
	const char *base = getenv("XDG_RUNTIME_DIR");

	*socket = (struct backup_socket){ .listener = -1, .address = { .sun_family = AF_UNIX } };
	if (!base || strlen(base) > 30)
		base = "/tmp";
	snprintf(socket->folder, sizeof(socket->folder), "%s/vmctl-backup-XXXXXX", base);
	if (!mkdtemp(socket->folder)) {
		socket->folder[0] = '\0';
		return -errno;
	}
	snprintf(socket->address.sun_path, sizeof(socket->address.sun_path), "%s/nbd",
		 socket->folder);
	socket->listener = backup_listen(socket->address.sun_path);
	return MIN(socket->listener, 0);
}

static int socket_connect(const struct backup_socket *server)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&server->address, sizeof(server->address)) == 0)
		return fd;
	close(fd);
	return -errno;
}

/* ---- vmms ---- */

enum status backup_ask(struct invocation *invocation, const char *path, int socket, bool releases,
		       char **ret_job)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	uint64_t scratch = 0;
	const char *text = invocation_value(invocation, "scratch-size");
	enum status status;
	int r;

	if (text && parse_size(text, &scratch) < 0)
		return usage_error(invocation, "'%s' is no size", text);
	status = service_new_call(invocation, path, "BackUp", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "ha{sv}", socket, 3, "crash-consistent", "b",
				  (int)invocation_has(invocation, "crash-consistent"), "releases",
				  "b", (int)releases, "scratch", "t", scratch);
	return r < 0 ? service_failed(r, NULL) : job_begin(invocation, call, ret_job);
}

/* What the job says once the disks are served. *ret_description: NULL: it has ended before. */
enum status backup_wait_for_service(struct invocation *invocation, const char *job,
				    struct json_object **ret_description)
{
	*ret_description = NULL;
	for (;;) {
		sd_bus_error error = SD_BUS_ERROR_NULL;
		AUTO_FREE char *text = NULL, *state = NULL;
		struct json_error why;
		int r;

		r = sd_bus_get_property_string(invocation->bus, DBUS_NAME, job, DBUS_INTERFACE_JOB,
					       "State", &error, &state);
		if (r >= 0)
			r = sd_bus_get_property_string(invocation->bus, DBUS_NAME, job,
						       DBUS_INTERFACE_JOB, "Result", &error, &text);
		if (r < 0)
			return service_failed(r, &error);
		if (strcmp(state, "running") != 0)
			return STATUS_OK;
		if (text[0] != '\0') {
			r = json_parse(text, strlen(text), ret_description, &why);
			return r < 0 ? service_failed(r, NULL) : STATUS_OK;
		}
		usleep(POLL_INTERVAL);
	}
}

/* ---- A point ---- */

struct making {
	struct invocation *invocation;
	const char *vm;
	struct backup_set *set;
	struct backup_point *last, *point;
	struct backup_socket socket;
	struct backup_teller teller;
	char *path, *job;
	unsigned since; /* a point that is asked for; 0: none */
};

static bool disk_is_written(struct json_object *disk)
{
	const char *drive = json_object_get_string(json_object_object_get(disk, "drive"));

	return (!drive || strcmp(drive, "disk") == 0) &&
	       !json_object_get_boolean(json_object_object_get(disk, "read_only"));
}

static void making_add_disk(struct making *making, struct json_object *object)
{
	struct backup_point *point = making->point;
	struct backup_disk *disk = &point->disks[point->disk_count];

	if (!disk_is_written(object) || point->disk_count == BACKUP_DISKS_MAX)
		return;
	disk->controller =
		(unsigned)json_object_get_int(json_object_object_get(object, "controller"));
	disk->lun = (unsigned)json_object_get_int(json_object_object_get(object, "lun"));
	snprintf(disk->data, sizeof(disk->data), "%u-%u-%u.data", point->number, disk->controller,
		 disk->lun);
	snprintf(disk->index, sizeof(disk->index), "%u-%u-%u.index", point->number,
		 disk->controller, disk->lun);
	point->disk_count++;
}

struct json_object *backup_find_disk(struct json_object *definition, const struct backup_disk *disk)
{
	struct json_object *disks = json_object_object_get(definition, "disks");

	for (size_t i = 0; disks && i < json_object_array_length(disks); i++) {
		struct json_object *item = json_object_array_get_idx(disks, i);

		if (json_object_get_int(json_object_object_get(item, "controller")) ==
			    (int)disk->controller &&
		    json_object_get_int(json_object_object_get(item, "lun")) == (int)disk->lun)
			return item;
	}
	return NULL;
}

static const char *member(struct json_object *object, const char *key)
{
	const char *text = json_object_get_string(json_object_object_get(object, key));

	return text ? text : "";
}

static enum status making_describe(struct making *making, struct json_object *description)
{
	struct json_object *definition = json_object_object_get(description, "definition");
	struct json_object *disks = json_object_object_get(definition, "disks");
	struct backup_point *point = making->point;

	point->number = making->last ? making->last->number + 1 : 1;
	point->time = json_object_get_int64(json_object_object_get(description, "time"));
	point->definition = json_object_get(definition);
	snprintf(point->id, sizeof(point->id), "%s", member(description, "point"));
	snprintf(point->consistency, sizeof(point->consistency), "%s",
		 member(description, "consistency"));
	snprintf(point->vm, sizeof(point->vm), "%s", member(definition, "name"));
	snprintf(point->uuid, sizeof(point->uuid), "%s", member(definition, "uuid"));
	for (size_t i = 0; disks && i < json_object_array_length(disks); i++)
		making_add_disk(making, json_object_array_get_idx(disks, i));
	if (making->last && strcmp(making->last->uuid, point->uuid) != 0)
		return backup_failed("the folder has backups of another VM");
	return STATUS_OK;
}

/* Of the point before, on which an increment can stand. NULL: a full one is wanted. */
static const char *making_since(const struct making *making, const struct backup_disk *disk)
{
	if (!making->last || invocation_has(making->invocation, "full") ||
	    !backup_point_find(making->last, disk->controller, disk->lun))
		return NULL;
	return making->last->id;
}

static int making_take(struct making *making, struct backup_disk *disk)
{
	CLEANUP(backup_source_freep) struct backup_source *source = NULL;
	const struct backup_progress progress = { backup_tell, &making->teller };
	char name[32];
	int socket, r;

	snprintf(name, sizeof(name), "%u:%u", disk->controller, disk->lun);
	socket = socket_connect(&making->socket);
	if (socket < 0)
		return socket;
	r = backup_source_new(socket, name, making_since(making, disk), &source);
	if (r < 0)
		return r;
	disk->size = backup_source_size(source);
	disk->full = !backup_source_knows(source);
	if (!disk->full)
		making->point->parent = making->last->number;
	if (disk->full && making->since)
		return -ENODATA;
	return backup_data_take(making->set, disk, source, &progress);
}

static enum status making_say(int r)
{
	char why[BACKUP_WHY_MAX];

	if (r == -ENODATA)
		return backup_failed("what changed since that point is not known any more; make a "
				     "full backup");
	snprintf(why, sizeof(why), "the backup cannot be made: %s", strerror(-r));
	return backup_failed(why);
}

/* The job says why, if it has ended. */
static enum status making_fail(struct making *making, int r)
{
	struct json_object *description = NULL;

	backup_tell_end(&making->teller);
	if (r == -ENODATA)
		return making_say(r);
	usleep(POLL_INTERVAL);
	if (backup_wait_for_service(making->invocation, making->job, &description) == STATUS_OK &&
	    !description)
		return job_follow(making->invocation, making->job, making->vm, false);
	json_object_put(description);
	return making_say(r);
}

/* served: by a worker, which is told of it. */
static enum status making_conclude(struct making *making, bool served)
{
	enum status status = STATUS_OK;
	int r = backup_set_write(making->set, making->point);

	backup_tell_end(&making->teller);
	if (r < 0)
		return making_say(r);
	/* It is one, whatever comes; what it takes is that the next is an increment. */
	if (served)
		status = service_call_vm(making->invocation, making->path, "EndBackUp");
	if (status != STATUS_OK)
		return status;
	r = backup_set_add(making->set, TAKE_PTR(making->point));
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

static enum status making_take_all(struct making *making)
{
	AUTO_JSON struct json_object *description = NULL;
	struct backup_point *point = making->point;
	enum status status = backup_wait_for_service(making->invocation, making->job, &description);

	/* From now on nobody else has it: who connects is told when there is no worker any more. */
	close_fdp(&making->socket.listener);
	if (status == STATUS_OK && !description)
		return job_follow(making->invocation, making->job, making->vm, false);
	if (status == STATUS_OK)
		status = making_describe(making, description);
	for (size_t i = 0; status == STATUS_OK && i < point->disk_count; i++) {
		int r = making_take(making, &point->disks[i]);

		if (r < 0)
			status = making_fail(making, r);
	}
	return status == STATUS_OK ? making_conclude(making, true) : status;
}

static enum status making_print(struct invocation *invocation, const struct backup_point *point)
{
	size_t full = 0;

	if (invocation->json)
		return json_print(backup_point_to_json(point)) < 0 ? service_failed(-ENOMEM, NULL)
								   : STATUS_OK;
	for (size_t i = 0; i < point->disk_count; i++)
		full += point->disks[i].full;
	output_say(invocation, "point %u of VM '%s' made: %s", point->number, point->vm,
		   full == point->disk_count ? "full"
		   : full > 0                ? "full of some disks"
					     : "what has changed");
	return STATUS_OK;
}

/* ---- Of a VM that does not run ---- */

static enum status making_take_stopped(struct making *making, struct json_object *definition,
				       const char *state)
{
	const struct backup_progress progress = { backup_tell, &making->teller };
	AUTO_JSON struct json_object *description = backup_describe_stopped(definition, state);
	struct backup_point *point = making->point;
	char why[BACKUP_WHY_MAX];
	enum status status;

	if (!description)
		return service_failed(-ENOMEM, NULL);
	if (making->since)
		return making_say(-ENODATA);
	status = making_describe(making, description);
	if (status == STATUS_OK && point->disk_count == 0)
		return backup_failed("the VM has no disks that are written");
	for (size_t i = 0; status == STATUS_OK && i < point->disk_count; i++) {
		struct backup_disk *disk = &point->disks[i];

		if (backup_take_stopped(making->set, disk, backup_find_disk(definition, disk),
					&progress, why) < 0) {
			backup_tell_end(&making->teller);
			return backup_failed(why);
		}
	}
	return status == STATUS_OK ? making_conclude(making, false) : status;
}

static enum status making_take_any(struct making *making)
{
	sd_bus *bus = making->invocation->bus;
	AUTO_JSON struct json_object *definition = NULL;
	AUTO_FREE char *state = NULL, *text = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	struct json_error why;
	enum status status;
	int r = sd_bus_get_property_string(bus, DBUS_NAME, making->path, DBUS_INTERFACE_VM, "State",
					   &error, &state);

	if (r >= 0 && (strcmp(state, "off") == 0 || strcmp(state, "crashed") == 0)) {
		r = sd_bus_get_property_string(bus, DBUS_NAME, making->path, DBUS_INTERFACE_VM,
					       "Definition", &error, &text);
		if (r >= 0)
			r = json_parse(text, strlen(text), &definition, &why);
	}
	if (r < 0)
		return service_failed(r, &error);
	if (definition)
		return making_take_stopped(making, definition, state);
	status = backup_ask(making->invocation, making->path, making->socket.listener, true,
			    &making->job);
	return status == STATUS_OK ? making_take_all(making) : status;
}

static enum status making_run(struct making *making)
{
	struct invocation *invocation = making->invocation;
	const char *since = invocation_value(invocation, "since");
	uint64_t number = 0;
	enum status status;
	int r;

	making->last = backup_set_last(making->set);
	if (since && (parse_unsigned(since, 1, UINT32_MAX, &number) < 0 || !making->last ||
		      making->last->number != number))
		return usage_error(invocation,
				   "an increment is since the last point of the folder, which '%s' "
				   "is not",
				   since);
	making->since = (unsigned)number;
	backup_set_clean(making->set);
	making->point = calloc(1, sizeof(*making->point));
	r = making->point ? socket_open(&making->socket) : -ENOMEM;
	if (r < 0)
		return service_failed(r, NULL);
	status = service_find_vm(invocation, making->vm, &making->path);
	return status == STATUS_OK ? making_take_any(making) : status;
}

enum status backup_create(struct invocation *invocation, const char *vm)
{
	struct making making = { .invocation = invocation,
				 .vm = vm,
				 .socket = { .listener = -1 },
				 .teller = { .label = vm, .quiet = invocation->json } };
	const char *folder = invocation_value(invocation, "to");
	char why[BACKUP_WHY_MAX];
	enum status status;

	if (!folder)
		return usage_error(invocation, "which folder? say --to FOLDER");
	if (invocation_has(invocation, "full") && invocation_has(invocation, "since"))
		return usage_error(invocation, "--full and --since exclude each other");
	if (backup_set_open(folder, true, &making.set, why) < 0)
		return backup_failed(why);
	status = making_run(&making);
	if (status == STATUS_OK)
		status = backup_keep(invocation, making.set, &making.teller);
	if (status == STATUS_OK)
		status = making_print(invocation, backup_set_last(making.set));
	socket_close(&making.socket);
	backup_point_free(making.point);
	backup_set_free(making.set);
	free(making.path);
	free(making.job);
	return status;
}
