/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images of a VM that are brought into those that they stand on, by a process that may wait for it. */
#include "vmms/image/image_merge.h"

#include "common/base/text.h"
#include "common/dbus_names.h"
#include "common/image/image.h"
#include "vmms/image/resources.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECTOR_SIZE   512
#define PATH_SHOWN    512
#define TELL_INTERVAL 100000000 /* nanoseconds */
#define WAIT_INTERVAL 20000000  /* nanoseconds */
#define WAITS_MAX     100

/* What it says: how far it is, and its last words. */
struct merge_words {
	uint64_t done, total;
	int32_t ended, result; /* 0; negative */
	char name[64];         /* of the error */
	char text[FAILURE_MESSAGE_MAX];
};
_Static_assert(sizeof(struct merge_words) <= HELPER_MESSAGE_MAX, "fits a message");

struct image_merge {
	struct helper *helper;
	bool told;
	struct merge_words words;
	const struct image_merge_callbacks *callbacks;
	void *data;
};

/* ---- The process ---- */

struct merging {
	const struct image_merge_request *request;
	struct failure *failure;
	int socket;
	uint64_t before, total; /* bytes: of the disks before this; of all */
	struct timespec told_at;
};

static int merging_refuse(const struct merging *merging, const char *path, int error)
{
	const char *why = error == -ENOSPC
				  ? "there is not enough room on its file system; nothing is lost, "
				    "and it is tried again with the next deletion"
			  : error > 0 ? vhdx_error_text(error)
				      : strerror(-error);
	char shown[PATH_SHOWN];

	text_repair(shown, sizeof(shown), path, strlen(path));
	return failure_set(merging->failure, DBUS_ERROR_RESOURCE, "'%s' cannot be merged: %s",
			   shown, why);
}

/* A process of ours that was killed may still have it. */
static int merging_open(struct merging *merging, const char *path, int *ret_fd)
{
	const struct timespec interval = { .tv_nsec = WAIT_INTERVAL };
	const struct image_options options = { .sector_size = SECTOR_SIZE };
	struct image image = { .fd = -1 };
	char shown[PATH_SHOWN];
	int r = image_open(path, &options, &image);

	for (unsigned i = 0; r == IMAGE_E_IN_USE && i < WAITS_MAX; i++) {
		nanosleep(&interval, NULL);
		r = image_open(path, &options, &image);
	}
	text_repair(shown, sizeof(shown), path, strlen(path));
	if (r)
		return failure_set(merging->failure,
				   r == IMAGE_E_IN_USE ? DBUS_ERROR_DISK_IN_USE
						       : DBUS_ERROR_RESOURCE,
				   "'%s' cannot be merged: %s", shown, image_error_text(r));
	*ret_fd = image.fd;
	return 0;
}

static void merging_tell(struct merging *merging, uint64_t done)
{
	const struct merge_words words = { .done = done, .total = merging->total };

	/* Without waiting: there will be another. */
	(void)send(merging->socket, &words, sizeof(words), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool merging_goes_on(void *data, uint64_t done, uint64_t total)
{
	struct merging *merging = data;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if ((now.tv_sec - merging->told_at.tv_sec) * 1000000000L + now.tv_nsec -
		    merging->told_at.tv_nsec <
	    TELL_INTERVAL)
		return true;
	merging->told_at = now;
	merging_tell(merging, merging->before + done);
	return true;
}

/* What stands on the image stands on its parent from now on. */
static int merging_relink(struct merging *merging, const struct image_merge_disk *disk,
			  int parent_fd)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < disk->above_count; i++) {
		AUTO_CLOSE int fd = -1;

		r = merging_open(merging, disk->above[i], &fd);
		if (r < 0)
			return r;
		r = vhdx_relink_fd(fd, disk->above[i], parent_fd, disk->parent);
		if (r)
			return merging_refuse(merging, disk->above[i], r);
	}
	return r;
}

/* What others have made on it would be worth nothing. */
static int merging_check_users(const struct merging *merging, const char *path, int fd)
{
	const struct image_merge_request *request = merging->request;
	char shown[PATH_SHOWN];
	struct stat status;
	const char *user =
		fstat(fd, &status) == 0 ? request->find_user(request->user_data, &status) : NULL;

	if (!user)
		return 0;
	text_repair(shown, sizeof(shown), path, strlen(path));
	return failure_set(merging->failure, DBUS_ERROR_DISK_IN_USE,
			   "'%s' cannot be merged: a disk of VM '%s' stands on it", shown, user);
}

/* measures: nothing is done but that. */
static int merging_take(struct merging *merging, const struct image_merge_disk *disk, bool measures)
{
	const struct vhdx_follower follower = { merging_goes_on, merging };
	AUTO_CLOSE int parent_fd = -1, fd = -1;
	uint64_t moved = 0, room;
	int r = merging_open(merging, disk->parent, &parent_fd);

	if (r == 0)
		r = merging_open(merging, disk->image, &fd);
	if (r == 0 && measures)
		r = merging_check_users(merging, disk->parent, parent_fd);
	if (r == 0 && measures)
		r = merging_check_users(merging, disk->image, fd);
	if (r < 0)
		return r;
	r = vhdx_merge_measure_fd(parent_fd, fd, &moved, &room);
	if (r == 0 && measures) {
		merging->total += moved;
		return 0;
	}
	if (r == 0)
		r = vhdx_merge_fd(parent_fd, fd, &follower);
	merging->before += moved;
	return r ? merging_refuse(merging, disk->image, r)
		 : merging_relink(merging, disk, parent_fd);
}

static int merging_run(struct merging *merging)
{
	const struct image_merge_request *request = merging->request;
	int r = 0;

	for (size_t i = 0; r == 0 && i < request->disk_count; i++)
		r = merging_take(merging, &request->disks[i], true);
	for (size_t i = 0; r == 0 && i < request->disk_count; i++)
		r = merging_take(merging, &request->disks[i], false);
	return r;
}

static int merging_become_owner(const struct image_merge_request *request, struct failure *failure)
{
	CLEANUP(user_freep) struct user *user = NULL;
	int r = resources_find_owner(request->owner, request->owner_uid, &user, failure);

	return r == 0 ? resources_become_owner(user, failure) : r;
}

static void merge_run(int socket, void *data)
{
	struct failure failure = { 0 };
	struct merging merging = { .request = data, .failure = &failure, .socket = socket };
	struct merge_words words = { .ended = true };
	int r = merging_become_owner(merging.request, &failure);

	if (r == 0) {
		helper_bind();
		r = merging_run(&merging);
	}
	words.result = r;
	if (r < 0) {
		snprintf(words.name, sizeof(words.name), "%s", failure.name);
		snprintf(words.text, sizeof(words.text), "%s", failure.message);
	}
	helper_send(socket, &words, sizeof(words), -1);
}

/* ---- What it says ---- */

static void merge_heard(void *owner, const void *bytes, size_t size, int fd)
{
	struct image_merge *merge = owner;
	struct merge_words words;

	close_fdp(&fd); /* none comes */
	if (size != sizeof(words))
		return;
	memcpy(&words, bytes, size);
	words.name[sizeof(words.name) - 1] = '\0';
	words.text[sizeof(words.text) - 1] = '\0';
	if (words.ended) {
		merge->words = words;
		merge->told = true;
	} else {
		merge->callbacks->progress(merge->data, MIN(words.done, words.total), words.total);
	}
}

/* Names of errors are static. Return: 0; negative with *failure filled. */
static int merge_judge(const struct image_merge *merge, int result, struct failure *failure)
{
	const char *in_use = DBUS_ERROR_DISK_IN_USE;

	if (merge->told && merge->words.result == 0)
		return 0;
	if (merge->told)
		return failure_set(failure,
				   strcmp(merge->words.name, in_use) == 0 ? in_use
									  : DBUS_ERROR_RESOURCE,
				   "%s", merge->words.text);
	if (result == -ECANCELED)
		return failure_set(failure, DBUS_ERROR_CANCELLED,
				   "merging was stopped before its end");
	return failure_set(failure, DBUS_ERROR_RESOURCE,
			   "the process that merged the VM's disks was killed");
}

static void merge_ended(void *owner, int result)
{
	struct image_merge *merge = owner;
	struct failure failure;
	int r;

	merge->helper = NULL;
	r = merge_judge(merge, result, &failure);
	merge->callbacks->done(merge->data, r < 0 ? &failure : NULL);
	image_merge_free(merge);
}

static const struct helper_callbacks helper_calls = { .message = merge_heard,
						      .ended = merge_ended };

/* ---- Life ---- */

int image_merge_new(struct helpers *helpers, const struct image_merge_request *request,
		    const struct image_merge_callbacks *callbacks, void *data,
		    struct image_merge **ret_merge, struct failure *failure)
{
	struct image_merge *merge = calloc(1, sizeof(*merge));
	struct image_merge_request copy = *request;
	const struct helper_config config = { .whose = request->owner ? request->owner : "",
					      .work = merge_run,
					      .data = &copy,
					      .callbacks = &helper_calls,
					      .owner = merge };
	int r;

	if (!merge)
		return failure_no_memory(failure);
	merge->callbacks = callbacks;
	merge->data = data;
	r = helper_new(helpers, &config, &merge->helper);
	if (r == 0) {
		*ret_merge = merge;
		return 0;
	}
	image_merge_free(merge);
	return failure_set(failure, r == -EBUSY ? DBUS_ERROR_TIMEOUT : DBUS_ERROR_INTERNAL,
			   "cannot start a process for the VM's disks: %s",
			   r == -EBUSY
				   ? "too many still wait for a file system that does not answer"
				   : strerror(-r));
}

void image_merge_cancel(struct image_merge *merge)
{
	helper_cancel(merge->helper);
}

void image_merge_free(struct image_merge *merge)
{
	if (!merge)
		return;
	helper_free(merge->helper);
	free(merge);
}
