/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Work on the file of a disk: who does it, and what is said of it. */
#include "vmms/disk/disk_work.h"

#include "common/base/path.h"
#include "common/base/text.h"
#include "vmms/base/helper.h"
#include "vmms/base/user.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TELL_INTERVAL 100000 /* microseconds */
#define PATH_SHOWN    512

_Static_assert(sizeof(struct disk_message) <= HELPER_MESSAGE_MAX, "fits a message");
_Static_assert(FAILURE_MESSAGE_MAX <= DISK_PIECE_MAX, "a failure fits, too");

/* ---- What it says ---- */

static uint64_t work_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Any message means that; and so does the end of who would listen. */
static bool work_is_told_to_stop(struct disk_work *work)
{
	char byte;

	if (!work->stopped) {
		ssize_t size = recv(work->socket, &byte, sizeof(byte), MSG_DONTWAIT);

		work->stopped = size >= 0 || (errno != EAGAIN && errno != EINTR);
	}
	return work->stopped;
}

bool disk_work_goes_on(struct disk_work *work, uint64_t done, uint64_t total)
{
	struct disk_message message = { .word = DISK_WORD_PROGRESS, .done = done, .total = total };
	uint64_t now = work_now();

	if (work_is_told_to_stop(work))
		return false;
	if (now - work->told_at >= TELL_INTERVAL) {
		work->told_at = now;
		/* Without waiting: there will be another. */
		(void)send(work->socket, &message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	return true;
}

int disk_work_stop(struct disk_work *work)
{
	return failure_set(work->failure, DBUS_ERROR_CANCELLED, "it was stopped before its end");
}

int disk_work_refuse(struct disk_work *work, const char *path, const char *what, int error)
{
	char shown[PATH_SHOWN];

	text_repair(shown, sizeof(shown), path, strlen(path));
	return failure_set(work->failure, DBUS_ERROR_RESOURCE, "'%s' %s: %s", shown, what,
			   strerror(error < 0 ? -error : error));
}

static void work_send_found(struct disk_work *work)
{
	const char *text = json_object_to_json_string_ext(work->found, JSON_C_TO_STRING_PLAIN);
	size_t size = text ? strlen(text) : 0;

	for (size_t at = 0; at < size; at += DISK_PIECE_MAX) {
		struct disk_message message = { .word = DISK_WORD_FOUND };

		message.size = (uint32_t)MIN(size - at, (size_t)DISK_PIECE_MAX);
		memcpy(message.text, text + at, message.size);
		helper_send(work->socket, &message, sizeof(message), -1);
	}
}

void disk_work_tell_larger(struct disk_work *work, const struct disk_user *user)
{
	struct disk_message message = { .word = DISK_WORD_LARGER,
					.done = user->controller,
					.total = user->lun };

	memcpy(message.text, &user->uuid, sizeof(user->uuid));
	helper_send(work->socket, &message, sizeof(message), -1);
}

static void work_conclude(struct disk_work *work, int r)
{
	struct disk_message message = { .word = r < 0 ? DISK_WORD_FAILED : DISK_WORD_DONE };

	if (r < 0) {
		snprintf(message.name, sizeof(message.name), "%s", work->failure->name);
		snprintf(message.text, sizeof(message.text), "%s", work->failure->message);
	} else if (work->found) {
		work_send_found(work);
	}
	helper_send(work->socket, &message, sizeof(message), -1);
}

/* ---- Who does it ---- */

/* Whose the folder is of the file that is made or changed; what root asks for is done as that. */
static int work_find_folder_owner(struct disk_work *work, uid_t *ret_user)
{
	const char *path = work->request->target ? work->request->target : work->request->path;
	AUTO_FREE char *folder = strdup(path);
	struct stat status;

	if (!folder)
		return failure_no_memory(work->failure);
	*strrchr(folder, '/') = '\0';
	AUTO_CLOSE int fd = path_look(folder[0] ? folder : "/", &status);
	if (fd < 0)
		return disk_work_refuse(work, folder, "cannot be looked at", errno);
	*ret_user = status.st_uid;
	return 0;
}

static int work_become(struct disk_work *work)
{
	CLEANUP(user_freep) struct user *user = NULL;
	uid_t uid = work->config->user;
	int r = 0;

	if (uid == (uid_t)-1 && geteuid() == 0)
		r = work_find_folder_owner(work, &uid);
	if (r < 0)
		return r;
	if (uid == (uid_t)-1 || uid == geteuid())
		return 0;
	r = user_find_uid(uid, &user);
	if (r == 0)
		r = user_become(user);
	if (r < 0)
		return failure_set(work->failure, DBUS_ERROR_RESOURCE,
				   "cannot work as the user with the number %u, whose the files "
				   "are: %s",
				   uid, strerror(-r));
	return 0;
}

/* ---- The process ---- */

static int (*const operations[])(struct disk_work *work) = {
	[DISK_CREATE] = disk_create,   [DISK_INFO] = disk_info,     [DISK_CHECK] = disk_check,
	[DISK_CONVERT] = disk_convert, [DISK_RESIZE] = disk_resize, [DISK_COMPACT] = disk_compact,
	[DISK_MAP] = disk_map,         [DISK_MERGE] = disk_merge,   [DISK_REBASE] = disk_rebase,
};

void disk_work_run(int socket, void *data)
{
	const struct disk_work_config *config = data;
	struct failure failure = { 0 };
	struct disk_work work = {
		.config = config, .request = config->request, .socket = socket, .failure = &failure
	};
	int r;

	/* Who is killed in the middle leaves something behind. */
	(void)prctl(PR_SET_PDEATHSIG, 0);
	signal(SIGPIPE, SIG_IGN);
	umask(0077);
	work.guard = open(config->guard, O_RDONLY | O_CLOEXEC);
	r = work_become(&work);
	if (r == 0)
		r = operations[work.request->operation](&work);
	work_conclude(&work, r);
	json_object_put(work.found);
}
