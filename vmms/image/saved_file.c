/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file of a saved VM, by a process that may wait for it. */
#include "vmms/image/saved_file.h"

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/dbus_names.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define ROOM_LEFT      (UINT64_C(64) << 20) /* bytes that a save leaves on the file system */
#define REMOVE_TIMEOUT 600                  /* seconds */

/* Its last words: without any it was killed, or the file system did not answer. */
struct saved_file_words {
	int32_t result;             /* 0; -errno; -EDQUOT: there is not as much room as needed */
	char text[PATH_MAX + 1024]; /* why, for people */
};
_Static_assert(sizeof(struct saved_file_words) <= HELPER_MESSAGE_MAX, "fits a message");

struct saved_file {
	struct helper *helper;
	struct file_holder *holder;
	struct saved_file_request request;
	char path[PATH_MAX];
	bool told;
	struct saved_file_words words;
	saved_file_done_fn done;
	void *data;
};

/* ---- The process ---- */

struct saved_file_work {
	struct saved_file_request request;
	int filler; /* the holder's; -1: none */
};

static int work_check_room(const char *folder, uint64_t size, struct saved_file_words *words)
{
	struct statvfs status;
	uint64_t room;

	if (statvfs(folder, &status) < 0)
		return error_origin(-errno);
	room = (uint64_t)status.f_bavail * status.f_frsize;
	if (room >= size + ROOM_LEFT)
		return 0;
	snprintf(words->text, sizeof(words->text),
		 "there are %" PRIu64 " MiB free in %s, and the VM may need %" PRIu64
		 "; make room there, or shut the guest down instead",
		 room >> 20, folder, (size + ROOM_LEFT) >> 20);
	return -EDQUOT;
}

/* What has been made and removed in a folder is there after a power cut. */
static int work_sync_folder(const char *folder)
{
	AUTO_CLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int work_create(const struct saved_file_request *request, const char *folder,
		       struct saved_file_words *words, int *ret_fd)
{
	int r;

	if (unlink(request->path) < 0 && errno != ENOENT)
		return error_origin(-errno);
	r = work_check_room(folder, request->size, words);
	if (r < 0)
		return r;
	*ret_fd = open(request->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return *ret_fd < 0 ? -errno : work_sync_folder(folder);
}

static int work_open(const struct saved_file_request *request, int *ret_fd)
{
	*ret_fd = open(request->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return *ret_fd < 0 ? -errno : 0;
}

static int work_remove(const struct saved_file_request *request, const char *folder)
{
	if (unlink(request->path) < 0)
		return errno == ENOENT ? 0 : -errno;
	return work_sync_folder(folder);
}

static int work_do(const struct saved_file_request *request, struct saved_file_words *words,
		   int *ret_fd)
{
	char folder[PATH_MAX];
	char *slash;

	snprintf(folder, sizeof(folder), "%s", request->path);
	slash = strrchr(folder, '/');
	if (!slash)
		return -EINVAL;
	*slash = '\0';
	switch (request->task) {
	case SAVED_FILE_CREATE:
		return work_create(request, folder, words, ret_fd);
	case SAVED_FILE_OPEN:
		return work_open(request, ret_fd);
	case SAVED_FILE_REMOVE:
		return work_remove(request, folder);
	}
	return -EINVAL;
}

static void work_run(int socket, void *data)
{
	const struct saved_file_work *work = data;
	struct saved_file_words words = { 0 };
	AUTO_CLOSE int fd = -1;

	words.result = work_do(&work->request, &words, &fd);
	if (words.result < 0 && words.text[0] == '\0')
		snprintf(words.text, sizeof(words.text), "%s: %s", work->request.path,
			 strerror(-words.result));
	if (words.result == 0 && fd >= 0)
		file_holder_fill(work->filler, fd);
	helper_send(socket, &words, sizeof(words), -1);
}

/* ---- What it says ---- */

static void saved_file_heard(void *owner, const void *bytes, size_t size, int fd)
{
	struct saved_file *saved_file = owner;

	close_fdp(&fd); /* none comes */
	if (size != sizeof(saved_file->words))
		return;
	memcpy(&saved_file->words, bytes, size);
	saved_file->words.text[sizeof(saved_file->words.text) - 1] = '\0';
	saved_file->told = true;
}

static const char *saved_file_purpose(enum saved_file_task task)
{
	static const char *const purposes[] = {
		[SAVED_FILE_CREATE] = "the VM cannot be saved",
		[SAVED_FILE_OPEN] = "the VM's saved state cannot be opened",
		[SAVED_FILE_REMOVE] = "the VM's saved state cannot be removed",
	};

	return purposes[task];
}

/* Return: 0; negative with *failure filled. */
static int saved_file_judge(const struct saved_file *saved_file, int result,
			    struct failure *failure)
{
	const char *purpose = saved_file_purpose(saved_file->request.task);

	if (saved_file->told && saved_file->words.result == 0)
		return 0;
	if (saved_file->told)
		return failure_set(failure, DBUS_ERROR_RESOURCE, "%s: %s", purpose,
				   saved_file->words.text);
	if (result == -ETIMEDOUT)
		return failure_set(failure, DBUS_ERROR_TIMEOUT,
				   "%s: the file system of '%s' did not answer within %u seconds",
				   purpose, saved_file->path, saved_file->request.timeout);
	return failure_set(failure, DBUS_ERROR_RESOURCE,
			   "%s: the process that was to do that was killed", purpose);
}

static void saved_file_ended(void *owner, int result)
{
	struct saved_file *saved_file = owner;
	struct failure failure;

	saved_file->helper = NULL;
	if (saved_file_judge(saved_file, result, &failure) == 0)
		saved_file->done(saved_file->data, &saved_file->holder, NULL);
	else
		saved_file->done(saved_file->data, &saved_file->holder, &failure);
	saved_file_free(saved_file);
}

static const struct helper_callbacks callbacks = { .message = saved_file_heard,
						   .ended = saved_file_ended };

/* ---- Life ---- */

static int saved_file_start(struct saved_file *saved_file, struct helpers *helpers)
{
	AUTO_CLOSE int filler = -1;
	struct saved_file_work work = { .request = saved_file->request };
	struct helper_config config = { .whose = "root",
					.timeout = saved_file->request.timeout,
					.work = work_run,
					.data = &work,
					.kept = &filler,
					.callbacks = &callbacks,
					.owner = saved_file };
	int r = 0;

	if (saved_file->request.task != SAVED_FILE_REMOVE)
		r = file_holder_new(helpers, config.whose, &filler, &saved_file->holder);
	if (r < 0)
		return r;
	work.filler = filler;
	config.kept_count = filler >= 0;
	return helper_new(helpers, &config, &saved_file->helper);
}

int saved_file_new(struct helpers *helpers, const struct saved_file_request *request,
		   saved_file_done_fn done, void *data, struct saved_file **ret_saved_file,
		   struct failure *failure)
{
	struct saved_file *saved_file = calloc(1, sizeof(*saved_file));
	int r;

	if (!saved_file)
		return failure_no_memory(failure);
	snprintf(saved_file->path, sizeof(saved_file->path), "%s", request->path);
	saved_file->request = *request;
	saved_file->request.path = saved_file->path;
	saved_file->done = done;
	saved_file->data = data;
	r = saved_file_start(saved_file, helpers);
	if (r == 0) {
		*ret_saved_file = saved_file;
		return 0;
	}
	saved_file_free(saved_file);
	return failure_set(failure, DBUS_ERROR_RESOURCE, "%s: no process can be started for it: %s",
			   saved_file_purpose(request->task), strerror(-r));
}

void saved_file_free(struct saved_file *saved_file)
{
	if (!saved_file)
		return;
	helper_free(saved_file->helper);
	file_holder_free(saved_file->holder);
	free(saved_file);
}

static void saved_file_removed(void *data, struct file_holder **holder,
			       const struct failure *failure)
{
	if (failure)
		log_warning("%s", failure->message);
}

void saved_file_remove(struct helpers *helpers, const char *path)
{
	const struct saved_file_request request = { .task = SAVED_FILE_REMOVE,
						    .path = path,
						    .timeout = REMOVE_TIMEOUT };
	struct saved_file *saved_file;
	struct failure failure;

	if (saved_file_new(helpers, &request, saved_file_removed, NULL, &saved_file, &failure) < 0)
		log_warning("%s", failure.message);
}
