/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening what a definition names, by a process that is the VM's owner.
 *
 * It says of each file that it is about to look at it, so that one that takes too long has a name;
 * then of each that it has opened, and given to the holder, what it is; and last that this was all,
 * or what is wrong. Without a last word it was killed, which its user may do.
 */
#include "vmms/image/open_helper.h"

#include "vmms/base/socket_folder.h"
#include "vmms/base/user.h"
#include "vmms/base/user_lookup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define END_TIMEOUT 2 /* seconds, of one that has failed */

enum word {
	WORD_LOOKS, /* text: the path */
	WORD_HAS,   /* file: that the holder has now */
	WORD_WARNS, /* text: for people */
	WORD_ALL,
	WORD_FAILED, /* name: of the error; text: for people */
};

struct message {
	uint32_t word;
	struct held_file file;
	char name[64];
	char text[FAILURE_MESSAGE_MAX];
};
_Static_assert(sizeof(struct message) <= HELPER_MESSAGE_MAX, "fits a message");

struct open_helper {
	struct helper *helper;
	struct opened_files files;
	struct failure failure;         /* name NULL: none */
	char path[FAILURE_MESSAGE_MAX]; /* "": it has not come to files */
	char owner[USER_NAME_SIZE];
	bool all;
	unsigned timeout;
	open_helper_done_fn done;
	void *data;
};

/* ---- The process ---- */

struct work {
	const struct resources_request *request;
	int filler; /* the holder's */
	bool waits; /* as of a resources_request */
};

static void open_helper_say(int socket, enum word word, const char *name, const char *text)
{
	struct message message = { .word = word };

	snprintf(message.name, sizeof(message.name), "%s", name);
	snprintf(message.text, sizeof(message.text), "%s", text);
	helper_send(socket, &message, sizeof(message), -1);
}

/* Of a file that is another's, opening it may have changed that (common/image/image.h). */
static int64_t open_helper_changed(const struct stat *status)
{
	if (!S_ISREG(status->st_mode) || (status->st_uid != geteuid() && geteuid() != 0))
		return -1;
	return status->st_mtim.tv_sec * INT64_C(1000000000) + status->st_mtim.tv_nsec;
}

/* What is sent was not closed here: the process does that at its end, when all has been said. */
static void open_helper_give(int socket, int filler, uint32_t number, const char *name, int fd,
			     uint64_t most)
{
	struct message message = { .word = WORD_HAS, .file = { .number = number, .changed = -1 } };
	int flags = fcntl(fd, F_GETFL);
	struct stat status;

	snprintf(message.file.name, sizeof(message.file.name), "%s", name);
	if (fstat(fd, &status) == 0) {
		message.file.device = S_ISBLK(status.st_mode);
		message.file.size =
			S_ISREG(status.st_mode) ? MAX((uint64_t)status.st_size, most) : 0;
		message.file.inode = status.st_ino;
		message.file.changed = open_helper_changed(&status);
	}
	message.file.direct = flags >= 0 && (flags & O_DIRECT);
	file_holder_fill(filler, fd);
	helper_send(socket, &message, sizeof(message), -1);
}

static void open_helper_looks(void *data, const char *path)
{
	open_helper_say(*(int *)data, WORD_LOOKS, "", path);
}

static const char *open_helper_first_path(const struct resources_request *request)
{
	if (request->disk)
		return request->disk->path;
	return request->definition->boot.kernel ?: definition_firmware(request->definition)->path;
}

/*
 * As the daemon: the owner may not make it. user: NULL: it is the daemon's own. Where others have
 * used up the room for sockets the VM runs without.
 */
static int open_helper_make_folder(struct resources_request *request, const struct user *user,
				   struct failure *failure)
{
	const char *folder = request->sockets;
	int r = socket_folder_make(folder, user ? user->uid : geteuid(),
				   user ? user->gid : getegid());

	if (r == -ENOSPC) {
		request->sockets = NULL;
		return 0;
	}
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "cannot make the folder %s for the VM's sockets: %s; repair "
				   "that, or set services.sockets to false",
				   folder, strerror(-r));
	return 0;
}

/* Changes the working directory, and so comes last. */
static int open_helper_listen_in(const char *folder, struct resources *resources,
				 struct failure *failure)
{
	int fd, r = socket_folder_listen(folder, &fd);

	if (r == -ENOSPC)
		return 0;
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "no socket can be made in %s: %s; remove what is in the way, or "
				   "set services.sockets to false",
				   folder, strerror(-r));
	resources_add(resources, "sockets", fd);
	return 0;
}

static int open_helper_become_owner(struct resources_request *request, struct failure *failure)
{
	CLEANUP(user_freep) struct user *user = NULL;
	int r;

	r = resources_find_owner(request->definition->owner, request->definition->owner_uid, &user,
				 failure);
	if (r == 0 && request->sockets)
		r = open_helper_make_folder(request, user, failure);
	return r == 0 ? resources_become_owner(user, failure) : r;
}

/* Whoever passes them has sent them, or is about to. */
static int open_helper_take_passed(struct resources *passed, struct failure *failure)
{
	int source = passed->count > 0 ? passed->items[0].fd : -1;

	for (size_t i = 0; i < passed->count; i++) {
		char byte;
		ssize_t size = helper_receive(source, &byte, sizeof(byte), 0, &passed->items[i].fd);

		if (size < 0 || passed->items[i].fd < 0)
			return failure_set(failure, DBUS_ERROR_RESOURCE,
					   "the files that were passed did not come");
	}
	return 0;
}

static void open_helper_run(int socket, void *data)
{
	const struct work *work = data;
	struct resources_request request = *work->request;
	static struct resources passed;
	struct resources resources = { .count = 0 };
	struct failure failure;
	int r;

	request.looks = open_helper_looks;
	request.looks_data = &socket;
	request.waits = work->waits;
	r = open_helper_become_owner(&request, &failure);
	if (r == 0 && request.passed) {
		passed = *request.passed;
		request.passed = &passed;
		r = open_helper_take_passed(&passed, &failure);
	}
	if (r == 0) {
		helper_bind();
		open_helper_looks(&socket, open_helper_first_path(&request));
		r = resources_open(&resources, &request, &failure);
	}
	if (r == 0 && request.sockets)
		r = open_helper_listen_in(request.sockets, &resources, &failure);
	if (r < 0) {
		open_helper_say(socket, WORD_FAILED, failure.name, failure.message);
		/* Else the kernel may close the socket first, and whoever tries again meets a lock. */
		resources_deinit(&resources);
		return;
	}
	for (uint32_t i = 0; i < resources.count; i++)
		open_helper_give(socket, work->filler, i, resources.items[i].name,
				 resources.items[i].fd, resources.items[i].most);
	if (resources.warning[0] != '\0')
		open_helper_say(socket, WORD_WARNS, "", resources.warning);
	open_helper_say(socket, WORD_ALL, "", "");
}

/* ---- What it says ---- */

/* Names of errors are static. */
static const char *open_helper_error_name(const char *name)
{
	static const char *const names[] = { DBUS_ERROR_RESOURCE, DBUS_ERROR_DISK_IN_USE };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i], name) == 0)
			return names[i];
	}
	return DBUS_ERROR_INTERNAL;
}

/* Its end may take as long as the file systems of what it has opened like. */
static void open_helper_conclude(struct open_helper *open_helper)
{
	open_helper->all = true;
	helper_cancel(open_helper->helper);
}

/* Its end is waited for, since it has images locked; but not for a file system. */
static void open_helper_failed(struct open_helper *open_helper, const struct message *message)
{
	failure_set(&open_helper->failure, open_helper_error_name(message->name), "%s",
		    message->text);
	if (helper_limit(open_helper->helper, END_TIMEOUT) < 0)
		helper_cancel(open_helper->helper);
}

static void open_helper_heard(void *owner, const void *bytes, size_t size, int fd)
{
	struct open_helper *open_helper = owner;
	struct message message;

	close_fdp(&fd); /* none comes */
	if (size != sizeof(message))
		return;
	memcpy(&message, bytes, sizeof(message));
	message.name[sizeof(message.name) - 1] = '\0';
	message.text[sizeof(message.text) - 1] = '\0';
	message.file.name[sizeof(message.file.name) - 1] = '\0';
	if (message.word == WORD_LOOKS)
		memcpy(open_helper->path, message.text, sizeof(open_helper->path));
	else if (message.word == WORD_HAS &&
		 open_helper->files.count < ARRAY_SIZE(open_helper->files.items))
		open_helper->files.items[open_helper->files.count++] = message.file;
	else if (message.word == WORD_WARNS)
		memcpy(open_helper->files.warning, message.text, sizeof(message.text));
	else if (message.word == WORD_ALL)
		open_helper_conclude(open_helper);
	else if (message.word == WORD_FAILED)
		open_helper_failed(open_helper, &message);
}

static void open_helper_judge(struct open_helper *open_helper, int result)
{
	if (open_helper->failure.name || open_helper->all)
		return;
	if (result == -ETIMEDOUT && open_helper->path[0] == '\0')
		failure_set(&open_helper->failure, DBUS_ERROR_TIMEOUT,
			    "the VM's owner '%s' could not be looked up within %u seconds: the "
			    "user database does not answer; see to that, and try again",
			    open_helper->owner, open_helper->timeout);
	else if (result == -ETIMEDOUT)
		failure_set(&open_helper->failure, DBUS_ERROR_TIMEOUT,
			    "'%s' could not be opened within %u seconds: its file system does not "
			    "answer; see to that, or give it more time with vmms's --open-timeout",
			    open_helper->path, open_helper->timeout);
	else
		failure_set(&open_helper->failure, DBUS_ERROR_RESOURCE,
			    "the process that was opening the VM's files was killed, at '%s'",
			    open_helper->path);
}

static void open_helper_ended(void *owner, int result)
{
	struct open_helper *open_helper = owner;

	open_helper->helper = NULL;
	open_helper_judge(open_helper, result);
	open_helper->done(open_helper->data, &open_helper->files,
			  open_helper->failure.name ? &open_helper->failure : NULL);
	open_helper_free(open_helper);
}

static const struct helper_callbacks callbacks = { .message = open_helper_heard,
						   .ended = open_helper_ended };

/* ---- Life ---- */

void open_helper_cancel(struct open_helper *open_helper)
{
	helper_cancel(open_helper->helper);
}

void open_helper_free(struct open_helper *open_helper)
{
	if (!open_helper)
		return;
	helper_free(open_helper->helper);
	file_holder_free(open_helper->files.holder);
	free(open_helper);
}

static int open_helper_start(struct open_helper *open_helper, struct helpers *helpers,
			     const struct resources_request *request)
{
	AUTO_CLOSE int filler = -1;
	int kept[2], r;
	struct work work = { .request = request,
			     .waits = helpers_count_stuck(helpers, open_helper->owner) > 0 };
	struct helper_config config = { .whose = open_helper->owner,
					.timeout = open_helper->timeout,
					.work = open_helper_run,
					.data = &work,
					.kept = kept,
					.callbacks = &callbacks,
					.owner = open_helper };

	r = file_holder_new(helpers, open_helper->owner, &filler, &open_helper->files.holder);
	if (r < 0)
		return r;
	work.filler = kept[config.kept_count++] = filler;
	/* All of them come from the same socket, in their order. */
	if (request->passed && request->passed->count > 0)
		kept[config.kept_count++] = request->passed->items[0].fd;
	return helper_new(helpers, &config, &open_helper->helper);
}

int open_helper_new(struct helpers *helpers, unsigned timeout,
		    const struct resources_request *request, open_helper_done_fn done, void *data,
		    struct open_helper **ret_open_helper, struct failure *failure)
{
	struct open_helper *open_helper = calloc(1, sizeof(*open_helper));
	int r;

	if (!open_helper)
		return failure_no_memory(failure);
	snprintf(open_helper->owner, sizeof(open_helper->owner), "%s",
		 request->definition->owner ? request->definition->owner : "");
	open_helper->timeout = timeout;
	open_helper->done = done;
	open_helper->data = data;
	r = open_helper_start(open_helper, helpers, request);
	if (r == 0) {
		*ret_open_helper = open_helper;
		return 0;
	}
	open_helper_free(open_helper);
	if (r == -EBUSY)
		return failure_set(
			failure, DBUS_ERROR_TIMEOUT,
			"%u processes still wait for files that the VM's owner has named "
			"before, on a file system that does not answer; see to that first",
			helpers_count_stuck(helpers, request->definition->owner
							     ? request->definition->owner
							     : ""));
	return failure_set(failure, DBUS_ERROR_INTERNAL, "cannot start a process to open files: %s",
			   strerror(-r));
}
