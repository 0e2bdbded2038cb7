/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening what a definition names, by a process that is the VM's owner.
 *
 * It says of each file that it is about to look at it, so that one that takes too long has a name;
 * then of each that it has opened, and given to the holder, what it is; and last that this was all,
 * or what is wrong. Without a last word it was killed, which its user may do.
 */
#include "vmms/image/opener.h"

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
_Static_assert(sizeof(struct message) <= ERRAND_MESSAGE_MAX, "fits a message");

struct opener {
	struct errand *errand;
	struct opened_files files;
	struct failure failure;         /* name NULL: none */
	char path[FAILURE_MESSAGE_MAX]; /* "": it has not come to files */
	char owner[USER_NAME_SIZE];
	bool all;
	unsigned timeout;
	opener_done_fn done;
	void *data;
};

/* ---- The process ---- */

struct work {
	const struct resources_wish *wish;
	int filler; /* the holder's */
};

static void opener_say(int socket, enum word word, const char *name, const char *text)
{
	struct message message = { .word = word };

	snprintf(message.name, sizeof(message.name), "%s", name);
	snprintf(message.text, sizeof(message.text), "%s", text);
	errand_send(socket, &message, sizeof(message), -1);
}

/* What is sent was not closed here: the process does that at its end, when all has been said. */
static void opener_give(int socket, int filler, uint32_t number, const char *name, int fd)
{
	struct message message = { .word = WORD_HAS, .file.number = number };
	int flags = fcntl(fd, F_GETFL);
	struct stat status;

	snprintf(message.file.name, sizeof(message.file.name), "%s", name);
	if (fstat(fd, &status) == 0) {
		message.file.device = S_ISBLK(status.st_mode);
		message.file.size = S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
	}
	message.file.direct = flags >= 0 && (flags & O_DIRECT);
	file_holder_fill(filler, fd);
	errand_send(socket, &message, sizeof(message), -1);
}

static void opener_looks(void *data, const char *path)
{
	opener_say(*(int *)data, WORD_LOOKS, "", path);
}

/*
 * As the daemon: the owner may not make it. user: NULL: it is the daemon's own. Where others have
 * used up the room for sockets the VM runs without.
 */
static int opener_make_folder(struct resources_wish *wish, const struct user *user,
			      struct failure *failure)
{
	const char *folder = wish->sockets;
	int r = socket_folder_make(folder, user ? user->uid : geteuid(),
				   user ? user->gid : getegid());

	if (r == -ENOSPC) {
		wish->sockets = NULL;
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
static int opener_listen_in(const char *folder, struct resources *resources,
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

static int opener_become_owner(struct resources_wish *wish, struct failure *failure)
{
	CLEANUP(user_freep) struct user *user = NULL;
	int r;

	r = resources_find_owner(wish->definition->owner, wish->definition->owner_uid, &user,
				 failure);
	if (r == 0 && wish->sockets)
		r = opener_make_folder(wish, user, failure);
	return r == 0 ? resources_become_owner(user, failure) : r;
}

/* Whoever passes them has sent them, or is about to. */
static int opener_take_passed(struct resources *passed, struct failure *failure)
{
	int source = passed->count > 0 ? passed->items[0].fd : -1;

	for (size_t i = 0; i < passed->count; i++) {
		char byte;
		ssize_t size = errand_receive(source, &byte, sizeof(byte), 0, &passed->items[i].fd);

		if (size < 0 || passed->items[i].fd < 0)
			return failure_set(failure, DBUS_ERROR_RESOURCE,
					   "the files that were passed did not come");
	}
	return 0;
}

static void opener_run(int socket, void *data)
{
	const struct work *work = data;
	struct resources_wish wish = *work->wish;
	static struct resources passed;
	struct resources resources = { .count = 0 };
	struct failure failure;
	int r;

	wish.looks = opener_looks;
	wish.looks_data = &socket;
	r = opener_become_owner(&wish, &failure);
	if (r == 0 && wish.passed) {
		passed = *wish.passed;
		wish.passed = &passed;
		r = opener_take_passed(&passed, &failure);
	}
	if (r == 0) {
		errand_bind();
		opener_looks(&socket, wish.disk ? wish.disk->path : wish.definition->boot.kernel);
		r = resources_open(&resources, &wish, &failure);
	}
	if (r == 0 && wish.sockets)
		r = opener_listen_in(wish.sockets, &resources, &failure);
	if (r < 0) {
		opener_say(socket, WORD_FAILED, failure.name, failure.message);
		return;
	}
	for (uint32_t i = 0; i < resources.count; i++)
		opener_give(socket, work->filler, i, resources.items[i].name,
			    resources.items[i].fd);
	if (resources.warning[0] != '\0')
		opener_say(socket, WORD_WARNS, "", resources.warning);
	opener_say(socket, WORD_ALL, "", "");
}

/* ---- What it says ---- */

/* Names of errors are static. */
static const char *opener_error_name(const char *name)
{
	static const char *const names[] = { DBUS_ERROR_RESOURCE, DBUS_ERROR_DISK_IN_USE };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i], name) == 0)
			return names[i];
	}
	return DBUS_ERROR_INTERNAL;
}

/* Its end may take as long as the file systems of what it has opened like. */
static void opener_conclude(struct opener *opener)
{
	opener->all = true;
	errand_cancel(opener->errand);
}

static void opener_heard(void *owner, const void *bytes, size_t size, int fd)
{
	struct opener *opener = owner;
	struct message message;

	close_fdp(&fd); /* none comes */
	if (size != sizeof(message))
		return;
	memcpy(&message, bytes, sizeof(message));
	message.name[sizeof(message.name) - 1] = '\0';
	message.text[sizeof(message.text) - 1] = '\0';
	message.file.name[sizeof(message.file.name) - 1] = '\0';
	if (message.word == WORD_LOOKS)
		memcpy(opener->path, message.text, sizeof(opener->path));
	else if (message.word == WORD_HAS && opener->files.count < ARRAY_SIZE(opener->files.items))
		opener->files.items[opener->files.count++] = message.file;
	else if (message.word == WORD_WARNS)
		memcpy(opener->files.warning, message.text, sizeof(message.text));
	else if (message.word == WORD_ALL)
		opener_conclude(opener);
	else if (message.word == WORD_FAILED)
		failure_set(&opener->failure, opener_error_name(message.name), "%s", message.text);
}

static void opener_judge(struct opener *opener, int result)
{
	if (opener->failure.name || opener->all)
		return;
	if (result == -ETIMEDOUT && opener->path[0] == '\0')
		failure_set(&opener->failure, DBUS_ERROR_TIMEOUT,
			    "the VM's owner '%s' could not be looked up within %u seconds: the "
			    "user database does not answer; see to that, and try again",
			    opener->owner, opener->timeout);
	else if (result == -ETIMEDOUT)
		failure_set(&opener->failure, DBUS_ERROR_TIMEOUT,
			    "'%s' could not be opened within %u seconds: its file system does not "
			    "answer; see to that, or give it more time with vmms's --open-timeout",
			    opener->path, opener->timeout);
	else
		failure_set(&opener->failure, DBUS_ERROR_RESOURCE,
			    "the process that was opening the VM's files was killed, at '%s'",
			    opener->path);
}

static void opener_ended(void *owner, int result)
{
	struct opener *opener = owner;

	opener->errand = NULL;
	opener_judge(opener, result);
	opener->done(opener->data, &opener->files, opener->failure.name ? &opener->failure : NULL);
	opener_free(opener);
}

static const struct errand_callbacks callbacks = { .message = opener_heard, .ended = opener_ended };

/* ---- Life ---- */

void opener_cancel(struct opener *opener)
{
	errand_cancel(opener->errand);
}

void opener_free(struct opener *opener)
{
	if (!opener)
		return;
	errand_free(opener->errand);
	file_holder_free(opener->files.holder);
	free(opener);
}

static int opener_start(struct opener *opener, struct errands *errands,
			const struct resources_wish *wish)
{
	AUTO_CLOSE int filler = -1;
	int kept[2], r;
	struct work work = { .wish = wish };
	struct errand_config config = { .whose = opener->owner,
					.timeout = opener->timeout,
					.work = opener_run,
					.data = &work,
					.kept = kept,
					.callbacks = &callbacks,
					.owner = opener };

	r = file_holder_new(errands, opener->owner, &filler, &opener->files.holder);
	if (r < 0)
		return r;
	work.filler = kept[config.kept_count++] = filler;
	/* All of them come from the same socket, in their order. */
	if (wish->passed && wish->passed->count > 0)
		kept[config.kept_count++] = wish->passed->items[0].fd;
	return errand_new(errands, &config, &opener->errand);
}

int opener_new(struct errands *errands, unsigned timeout, const struct resources_wish *wish,
	       opener_done_fn done, void *data, struct opener **ret_opener, struct failure *failure)
{
	struct opener *opener = calloc(1, sizeof(*opener));
	int r;

	if (!opener)
		return failure_no_memory(failure);
	snprintf(opener->owner, sizeof(opener->owner), "%s",
		 wish->definition->owner ? wish->definition->owner : "");
	opener->timeout = timeout;
	opener->done = done;
	opener->data = data;
	r = opener_start(opener, errands, wish);
	if (r == 0) {
		*ret_opener = opener;
		return 0;
	}
	opener_free(opener);
	if (r == -EBUSY)
		return failure_set(
			failure, DBUS_ERROR_TIMEOUT,
			"%d processes still wait for files that the VM's owner has named "
			"before, on a file system that does not answer; see to that first",
			ERRANDS_STUCK_MAX);
	return failure_set(failure, DBUS_ERROR_INTERNAL, "cannot start a process to open files: %s",
			   strerror(-r));
}
