/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images of a VM that stand on others, made and removed by a process that may wait for it. */
#include "vmms/image/image_fork.h"

#include "common/base/text.h"
#include "common/dbus_names.h"
#include "common/image/image.h"
#include "vmms/image/resources.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SECTOR_SIZE 512
#define PATH_SHOWN  512

#define WAIT_INTERVAL 20000000 /* nanoseconds */
#define WAITS_MAX     100

/* Its last words: without any it was killed, or the file system did not answer. */
struct fork_words {
	int32_t result; /* 0; negative */
	char name[64];  /* of the error */
	char text[FAILURE_MESSAGE_MAX];
};
_Static_assert(sizeof(struct fork_words) <= HELPER_MESSAGE_MAX, "fits a message");

struct image_fork {
	struct helper *helper;
	unsigned timeout;
	bool told;
	struct fork_words words;
	image_fork_done_fn done;
	void *data;
};

/* ---- The process ---- */

static int fork_refuse(const char *path, const char *what, const char *error, const char *why,
		       struct failure *failure)
{
	char shown[PATH_SHOWN];

	text_repair(shown, sizeof(shown), path, strlen(path));
	return failure_set(failure, error, "'%s' cannot be %s: %s", shown, what, why);
}

static const char *fork_error_name(int image_error)
{
	return image_error == IMAGE_E_IN_USE ? DBUS_ERROR_DISK_IN_USE : DBUS_ERROR_RESOURCE;
}

/* What has been made and removed in a folder is there after a power cut. Return: 0; -errno. */
static int fork_sync_folder(const char *path)
{
	AUTO_FREE char *folder = strdup(path);
	AUTO_CLOSE int fd = -1;

	if (!folder)
		return -ENOMEM;
	*(strrchr(folder, '/') + 1) = '\0';
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int fork_open_parent(const struct image_fork_request *request, const char *path, int *ret_fd,
			    struct failure *failure)
{
	bool settled = request->settled || request->in_use;
	const struct image_options options = { .read_only = settled,
					       .unlocked = request->in_use,
					       .sector_size = SECTOR_SIZE };
	struct image image = { .fd = -1 };
	uint64_t most;
	int r = image_open(path, &options, &image);

	if (r)
		return fork_refuse(path, "a parent", fork_error_name(r), image_error_text(r),
				   failure);
	r = request->in_use ? 0 : vhdx_recover(image.fd, !settled, &most);
	if (r) {
		close(image.fd);
		return fork_refuse(path, "a parent", DBUS_ERROR_RESOURCE, vhdx_error_text(r),
				   failure);
	}
	*ret_fd = image.fd;
	return 0;
}

static int fork_make_child(const struct image_fork_child *wanted, int parent_fd, bool in_use,
			   struct failure *failure)
{
	const struct vhdx_child child = { .path = wanted->path,
					  .parent = wanted->parent,
					  .parent_fd = parent_fd,
					  .in_use = in_use };
	AUTO_CLOSE int fd =
		open(wanted->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	uint64_t size;
	int r;

	if (fd < 0)
		return fork_refuse(wanted->path, "made", DBUS_ERROR_RESOURCE, strerror(errno),
				   failure);
	r = vhdx_child_make(fd, &child, &size);
	if (r > 0)
		fork_refuse(wanted->parent, "a parent", DBUS_ERROR_RESOURCE, vhdx_error_text(r),
			    failure);
	if (r == 0)
		r = fsync(fd) < 0 ? -errno : fork_sync_folder(wanted->path);
	if (r < 0)
		fork_refuse(wanted->path, "made", DBUS_ERROR_RESOURCE, strerror(-r), failure);
	if (r)
		(void)unlink(wanted->path);
	return r ? -EINVAL : 0;
}

/* Parents stay open, and so locked, until all children are there. */
static int fork_make(const struct image_fork_request *request, struct failure *failure)
{
	AUTO_FREE int *fds = calloc(request->child_count, sizeof(*fds));
	size_t made = 0, opened = 0;
	int r = fds ? 0 : failure_no_memory(failure);

	while (r == 0 && opened < request->child_count) {
		r = fork_open_parent(request, request->children[opened].parent, &fds[opened],
				     failure);
		opened += r == 0;
	}
	while (r == 0 && made < request->child_count) {
		r = fork_make_child(&request->children[made], fds[made], request->in_use, failure);
		made += r == 0;
	}
	while (r < 0 && made > 0)
		(void)unlink(request->children[--made].path);
	while (opened > 0)
		close(fds[--opened]);
	return r;
}

/* What others have made on it would be worth nothing. */
static int fork_check_users(const struct image_fork_request *request, const char *path, int fd,
			    struct failure *failure)
{
	char why[FAILURE_MESSAGE_MAX / 2];
	struct stat status;
	const char *user =
		fstat(fd, &status) == 0 ? request->find_user(request->user_data, &status) : NULL;

	if (!user)
		return 0;
	snprintf(why, sizeof(why), "a disk of VM '%s' stands on it", user);
	return fork_refuse(path, "removed", DBUS_ERROR_DISK_IN_USE, why, failure);
}

/* One that has gone is gone. */
static int fork_remove_file(const struct image_fork_request *request, const char *path,
			    struct failure *failure)
{
	const struct timespec interval = { .tv_nsec = WAIT_INTERVAL };
	const struct image_options options = { .sector_size = SECTOR_SIZE };
	struct image image = { .fd = -1 };
	int r = image_open(path, &options, &image);

	for (unsigned i = 0; request->waits && r == IMAGE_E_IN_USE && i < WAITS_MAX; i++) {
		nanosleep(&interval, NULL);
		r = image_open(path, &options, &image);
	}

	if (r == -ENOENT)
		return 0;
	if (r == IMAGE_E_IN_USE)
		return fork_refuse(path, "removed", DBUS_ERROR_DISK_IN_USE, image_error_text(r),
				   failure);
	if (r == 0 && fork_check_users(request, path, image.fd, failure) < 0) {
		close(image.fd);
		return -EBUSY;
	}
	r = unlink(path) < 0 && errno != ENOENT ? -errno : fork_sync_folder(path);
	close_fdp(&image.fd);
	return r < 0 ? fork_refuse(path, "removed", DBUS_ERROR_RESOURCE, strerror(-r), failure) : 0;
}

static int fork_remove(const struct image_fork_request *request, struct failure *failure)
{
	int first = 0;

	for (size_t i = 0; i < request->removed_count; i++) {
		struct failure other;
		int r = fork_remove_file(request, request->removed[i], first ? &other : failure);

		first = first ? first : r;
	}
	return first;
}

static int fork_become_owner(const struct image_fork_request *request, struct failure *failure)
{
	CLEANUP(user_freep) struct user *user = NULL;
	int r = resources_find_owner(request->owner, request->owner_uid, &user, failure);

	return r == 0 ? resources_become_owner(user, failure) : r;
}

static void fork_run(int socket, void *data)
{
	const struct image_fork_request *request = data;
	struct failure failure = { 0 };
	struct fork_words words = { 0 };
	int r = fork_become_owner(request, &failure);

	if (r == 0) {
		helper_bind();
		r = request->child_count ? fork_make(request, &failure)
					 : fork_remove(request, &failure);
	}
	words.result = r;
	if (r < 0) {
		snprintf(words.name, sizeof(words.name), "%s", failure.name);
		snprintf(words.text, sizeof(words.text), "%s", failure.message);
	}
	helper_send(socket, &words, sizeof(words), -1);
}

/* ---- What it says ---- */

static void fork_heard(void *owner, const void *bytes, size_t size, int fd)
{
	struct image_fork *fork = owner;

	close_fdp(&fd); /* none comes */
	if (size != sizeof(fork->words))
		return;
	memcpy(&fork->words, bytes, size);
	fork->words.name[sizeof(fork->words.name) - 1] = '\0';
	fork->words.text[sizeof(fork->words.text) - 1] = '\0';
	fork->told = true;
}

/* Names of errors are static. Return: 0; negative with *failure filled. */
static int fork_judge(const struct image_fork *fork, int result, struct failure *failure)
{
	const char *in_use = DBUS_ERROR_DISK_IN_USE;

	if (fork->told && fork->words.result == 0)
		return 0;
	if (fork->told)
		return failure_set(failure,
				   strcmp(fork->words.name, in_use) == 0 ? in_use
									 : DBUS_ERROR_RESOURCE,
				   "%s", fork->words.text);
	if (result == -ETIMEDOUT)
		return failure_set(failure, DBUS_ERROR_TIMEOUT,
				   "the file system of the VM's disks did not answer within %u "
				   "seconds; see to that, and try again",
				   fork->timeout);
	return failure_set(failure, DBUS_ERROR_RESOURCE,
			   "the process that worked on the VM's disks was killed");
}

static void fork_ended(void *owner, int result)
{
	struct image_fork *fork = owner;
	struct failure failure;
	int r;

	fork->helper = NULL;
	r = fork_judge(fork, result, &failure);
	fork->done(fork->data, r < 0 ? &failure : NULL);
	image_fork_free(fork);
}

static const struct helper_callbacks callbacks = { .message = fork_heard, .ended = fork_ended };

/* ---- Life ---- */

int image_fork_new(struct helpers *helpers, const struct image_fork_request *request,
		   image_fork_done_fn done, void *data, struct image_fork **ret_fork,
		   struct failure *failure)
{
	struct image_fork *fork = calloc(1, sizeof(*fork));
	struct image_fork_request copy = *request;
	const struct helper_config config = { .whose = request->owner ? request->owner : "",
					      .timeout = request->timeout,
					      .work = fork_run,
					      .data = &copy,
					      .callbacks = &callbacks,
					      .owner = fork };
	int r;

	if (!fork)
		return failure_no_memory(failure);
	fork->timeout = request->timeout;
	fork->done = done;
	fork->data = data;
	r = helper_new(helpers, &config, &fork->helper);
	if (r == 0) {
		*ret_fork = fork;
		return 0;
	}
	image_fork_free(fork);
	return failure_set(failure, r == -EBUSY ? DBUS_ERROR_TIMEOUT : DBUS_ERROR_INTERNAL,
			   "cannot start a process for the VM's disks: %s",
			   r == -EBUSY
				   ? "too many still wait for a file system that does not answer"
				   : strerror(-r));
}

void image_fork_free(struct image_fork *fork)
{
	if (!fork)
		return;
	helper_free(fork->helper);
	free(fork);
}
