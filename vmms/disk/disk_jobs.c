/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Work on files of disks, as jobs.
 *
 * A job is cancelled by a message to its process, which takes back what it has begun; one that does
 * not end then, since its file system does not answer, is killed after some time.
 */
#include "vmms/disk/disk_jobs.h"

#include "common/base/text.h"
#include "common/image/image.h"
#include "vmms/disk/disk_work.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STOP_TIMEOUT   UINT64_C(30000000) /* microseconds */
#define ANSWER_TIMEOUT 60                 /* seconds */

struct disk_job {
	struct job *job;
	struct manager *manager;
	struct disk_request *request;
	struct disk_work_config work;
	struct helper *helper;
	sd_event_source *stop_timer;
	char *found; /* NULL: nothing */
	size_t found_size;
	bool sees_all; /* who asks, of VMs of others */
	bool done;
	struct failure failure; /* name NULL: none */
};

static void disk_job_free(struct disk_job *disk_job)
{
	if (!disk_job)
		return;
	helper_free(disk_job->helper);
	sd_event_source_disable_unref(disk_job->stop_timer);
	disk_request_free(disk_job->request);
	free(disk_job->found);
	free(disk_job);
}
DEFINE_CLEANUP(struct disk_job *, disk_job_free)

/* ---- Who has the disk: asked by the process, of its copy of what the daemon knows ---- */

static bool disk_job_may_know(const struct disk_job *disk_job, const struct vm *vm)
{
	return disk_job->sees_all ||
	       (vm->definition->owner && vm->definition->owner_uid == disk_job->job->user);
}

static const struct definition_disk *disk_job_find_disk(const struct definition *definition,
							const struct stat *status)
{
	for (size_t i = 0; i < definition->disk_count; i++) {
		const struct definition_disk *disk = &definition->disks[i];
		struct stat other;

		if (disk->path && stat(disk->path, &other) == 0 && other.st_dev == status->st_dev &&
		    other.st_ino == status->st_ino)
			return disk;
	}
	return NULL;
}

/* What is being saved has to be found again as it is. */
static bool disk_job_may_grow(const struct vm *vm, const struct definition_disk *disk)
{
	return (vm->state == VM_RUNNING || vm->state == VM_PAUSED) && !disk->read_only &&
	       disk->drive == DEFINITION_DRIVE_DISK &&
	       (!disk->format || image_format_find(disk->format) == IMAGE_RAW);
}

static void disk_job_describe_user(const struct disk_job *disk_job, const struct vm *vm,
				   const struct definition_disk *disk, struct disk_user *ret_user)
{
	bool may_know = disk_job_may_know(disk_job, vm), saved = vm->state == VM_SAVED;

	*ret_user = (struct disk_user){
		.name = may_know ? vm->definition->name : NULL,
		.saved = saved,
		.may_grow = may_know && disk_job_may_grow(vm, disk),
		.uuid = vm->definition->uuid,
		.controller = disk->controller,
		.lun = disk->lun,
	};
}

/* DVDs, and disks that are only read, are not a checkpoint's own. */
static bool disk_job_is_of_checkpoint(const struct vm *vm, const struct stat *status)
{
	const struct checkpoints *tree = vm->checkpoints.tree;

	for (size_t i = 0; tree && i < tree->count; i++) {
		const struct definition_disk *disk =
			disk_job_find_disk(tree->items[i].definition, status);

		if (disk && definition_disk_is_written(disk))
			return true;
	}
	return false;
}

static bool disk_job_find_checkpoint(const struct disk_job *disk_job, const struct stat *status,
				     struct disk_user *ret_user)
{
	list_for_each (link, &disk_job->manager->vms) {
		const struct vm *vm = container_of(link, struct vm, link);

		if (!disk_job_is_of_checkpoint(vm, status))
			continue;
		*ret_user = (struct disk_user){
			.name = disk_job_may_know(disk_job, vm) ? vm->definition->name : NULL,
			.checkpoint = true,
			.uuid = vm->definition->uuid,
		};
		return true;
	}
	return false;
}

static bool disk_job_find_vm(void *data, const struct stat *status, struct disk_user *ret_user)
{
	const struct disk_job *disk_job = data;

	list_for_each (link, &disk_job->manager->vms) {
		const struct vm *vm = container_of(link, struct vm, link);
		const struct definition_disk *disk = NULL;

		if (vm_is_up(vm) || vm->state == VM_SAVED)
			disk = disk_job_find_disk(vm->definition, status);
		if (!disk)
			continue;
		disk_job_describe_user(disk_job, vm, disk, ret_user);
		return true;
	}
	return disk_job_find_checkpoint(disk_job, status, ret_user);
}

/* ---- What the process says ---- */

/* Names of errors are static. */
static const char *disk_job_error_name(const char *name)
{
	static const char *const names[] = {
		DBUS_ERROR_RESOURCE,         DBUS_ERROR_DISK_IN_USE,   DBUS_ERROR_EXISTS,
		DBUS_ERROR_INVALID_ARGUMENT, DBUS_ERROR_INVALID_STATE, DBUS_ERROR_CANCELLED,
		DBUS_ERROR_HOST_NOT_CAPABLE, DBUS_ERROR_BUSY,
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i], name) == 0)
			return names[i];
	}
	return DBUS_ERROR_INTERNAL;
}

static void disk_job_take_failure(struct disk_job *disk_job, const struct disk_message *message)
{
	char text[FAILURE_MESSAGE_MAX];

	text_repair(text, sizeof(text), message->text, strnlen(message->text, DISK_PIECE_MAX));
	failure_set(&disk_job->failure, disk_job_error_name(message->name), "%s", text);
}

static void disk_job_take_piece(struct disk_job *disk_job, const struct disk_message *message)
{
	size_t size = MIN(message->size, (uint32_t)DISK_PIECE_MAX);
	char *found;

	if (size > DISK_RESULT_MAX - disk_job->found_size)
		return;
	found = realloc(disk_job->found, disk_job->found_size + size + 1);
	if (!found)
		return;
	memcpy(found + disk_job->found_size, message->text, size);
	disk_job->found = found;
	disk_job->found_size += size;
	found[disk_job->found_size] = '\0';
}

static void disk_job_measured(void *data, struct json_object *result, const char *code,
			      const char *text)
{
	struct vm *vm = data;

	if (!result && strcmp(code, WORKER_ENDED) != 0)
		vm_log(vm, VM_EVENT_DISK, LOG_LEVEL_WARNING,
		       "the guest could not be told that a disk is larger, and finds it so when it "
		       "is started again: %s",
		       text);
}

/* The guest is told of it, by its worker. */
static void disk_job_tell_larger(struct disk_job *disk_job, const struct disk_message *message)
{
	AUTO_JSON struct json_object *place =
		json_make("controller", json_object_new_uint64(message->done), "lun",
			  json_object_new_uint64(message->total), NULL);
	struct guid uuid;
	struct vm *vm;

	memcpy(&uuid, message->text, sizeof(uuid));
	vm = manager_find_uuid(disk_job->manager, &uuid);
	if (!vm || !vm->run.worker || !disk_job_may_know(disk_job, vm) ||
	    message->done >= DEFINITION_CONTROLLERS_MAX || message->total >= DEFINITION_LUNS_MAX)
		return;
	if (!place || worker_request(vm->run.worker, "measure", place, NULL, 0, ANSWER_TIMEOUT,
				     disk_job_measured, vm) < 0)
		disk_job_measured(vm, NULL, "", "the worker cannot be asked");
}

static void disk_job_heard(void *owner, const void *bytes, size_t size, int fd)
{
	struct disk_job *disk_job = owner;
	struct disk_message message;

	close_fdp(&fd); /* none comes */
	if (size != sizeof(message))
		return;
	memcpy(&message, bytes, sizeof(message));
	message.name[sizeof(message.name) - 1] = '\0';
	if (message.word == DISK_WORD_PROGRESS)
		job_progress(disk_job->job, MIN(message.done, message.total), message.total);
	else if (message.word == DISK_WORD_FOUND)
		disk_job_take_piece(disk_job, &message);
	else if (message.word == DISK_WORD_LARGER)
		disk_job_tell_larger(disk_job, &message);
	else if (message.word == DISK_WORD_DONE)
		disk_job->done = true;
	else if (message.word == DISK_WORD_FAILED)
		disk_job_take_failure(disk_job, &message);
}

/* ---- Its end ---- */

/* What it has found is text that the bus takes, or nothing. */
static void disk_job_keep_found(struct disk_job *disk_job)
{
	size_t size = disk_job->found_size;

	if (!disk_job->found || strlen(disk_job->found) != size ||
	    !text_is_utf8(disk_job->found, size))
		return;
	if (job_set_result(disk_job->job, disk_job->found) < 0)
		failure_no_memory(&disk_job->failure);
}

static void disk_job_judge(struct disk_job *disk_job, int result)
{
	if (disk_job->failure.name)
		return;
	if (disk_job->done)
		disk_job_keep_found(disk_job);
	else if (result == -ECANCELED)
		failure_set(&disk_job->failure, DBUS_ERROR_CANCELLED,
			    "its process was killed, and may have left '.….vmms-new' beside the "
			    "file, which the next attempt removes");
	else
		failure_set(&disk_job->failure, DBUS_ERROR_RESOURCE,
			    "the process that worked on '%s' was killed", disk_job->request->path);
}

static void disk_job_ended(void *owner, int result)
{
	CLEANUP(disk_job_freep) struct disk_job *disk_job = owner;

	disk_job->helper = NULL;
	disk_job_judge(disk_job, result);
	job_end(disk_job->job, disk_job->failure.name ? &disk_job->failure : NULL);
}

static const struct helper_callbacks callbacks = { .message = disk_job_heard,
						   .ended = disk_job_ended };

static int disk_job_overdue(sd_event_source *source, uint64_t usec, void *data)
{
	struct disk_job *disk_job = data;

	helper_cancel(disk_job->helper);
	return 0;
}

static int disk_job_cancel(struct job *job, struct failure *failure)
{
	struct disk_job *disk_job = job->work;
	const struct iovec word = { "", 1 };
	int r;

	r = helper_tell(disk_job->helper, &word, 1, -1);
	if (r == 0)
		r = sd_event_add_time_relative(disk_job->manager->loop, &disk_job->stop_timer,
					       CLOCK_MONOTONIC, STOP_TIMEOUT, 0, disk_job_overdue,
					       disk_job);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_INTERNAL,
				   "the process that works on '%s' cannot be told: %s",
				   disk_job->request->path, strerror(-r));
	return 0;
}

/* By what is done; all can be cancelled. */
static const struct job_kind kinds[] = {
	[DISK_CREATE] = { "disk-create", disk_job_cancel },
	[DISK_INFO] = { "disk-info", disk_job_cancel },
	[DISK_CHECK] = { "disk-check", disk_job_cancel },
	[DISK_CONVERT] = { "disk-convert", disk_job_cancel },
	[DISK_RESIZE] = { "disk-resize", disk_job_cancel },
	[DISK_COMPACT] = { "disk-compact", disk_job_cancel },
	[DISK_MAP] = { "disk-map", disk_job_cancel },
	[DISK_MERGE] = { "disk-merge", disk_job_cancel },
	[DISK_REBASE] = { "disk-rebase", disk_job_cancel },
};

/* ---- Its beginning ---- */

static bool disk_job_is_one(const struct job *job)
{
	return job->state == JOB_RUNNING && job->kind >= kinds &&
	       job->kind < kinds + ARRAY_SIZE(kinds);
}

static int disk_job_check_count(const struct manager *manager, uid_t user, struct failure *failure)
{
	unsigned own = 0, all = 0;

	list_for_each (link, (struct list *)jobs_list(manager->jobs)) {
		const struct job *job = container_of(link, struct job, link);

		all += disk_job_is_one(job);
		own += disk_job_is_one(job) && job->user == user;
	}
	if (own < DISK_JOBS_MAX && all < DISK_JOBS_ALL_MAX)
		return 0;
	return failure_set(failure, DBUS_ERROR_BUSY,
			   "%u disks are being worked on; wait until one is done ('vmctl job "
			   "list')",
			   own < DISK_JOBS_MAX ? all : own);
}

static int disk_job_start(struct disk_job *disk_job, const char *whose, struct failure *failure)
{
	const struct helper_config config = { .whose = whose,
					      .work = disk_work_run,
					      .data = &disk_job->work,
					      .callbacks = &callbacks,
					      .owner = disk_job };
	int r = helper_new(disk_job->manager->helpers, &config, &disk_job->helper);

	if (r == -EBUSY)
		return failure_set(failure, DBUS_ERROR_TIMEOUT,
				   "too many processes still wait for files on a file system that "
				   "does not answer; see to that first");
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_INTERNAL, "cannot start a process: %s",
				   strerror(-r));
	return 0;
}

int disk_job_begin(struct manager *manager, const struct user_found *user, const char *request,
		   struct job **ret_job, struct failure *failure)
{
	CLEANUP(disk_job_freep) struct disk_job *disk_job = calloc(1, sizeof(*disk_job));
	uid_t uid = user ? user->uid : geteuid();
	struct job *job;
	int r;

	if (!disk_job)
		return failure_no_memory(failure);
	r = disk_request_parse(request, &disk_job->request, failure);
	if (r == 0)
		r = disk_job_check_count(manager, uid, failure);
	if (r < 0)
		return r;
	if (job_new_for_user(manager->jobs, &kinds[disk_job->request->operation], uid, disk_job,
			     &job) < 0)
		return failure_no_memory(failure);
	disk_job->job = job;
	disk_job->manager = manager;
	disk_job->sees_all = !user;
	disk_job->work = (struct disk_work_config){ .request = disk_job->request,
						    .user = user ? user->uid : (uid_t)-1,
						    .find_vm = disk_job_find_vm,
						    .data = disk_job,
						    .guard = manager->settings.image_guard,
						    .stranger = manager->settings.users.last };
	r = disk_job_start(disk_job, user ? user->name : "", failure);
	if (r < 0) {
		job_drop(job);
		return r;
	}
	TAKE_PTR(disk_job);
	job_publish(job);
	*ret_job = job;
	return 0;
}
