/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest file copy service.
 *
 * A copy is: start, one write for each piece, complete; each waits for the answer to the one
 * before. A piece is read from the file right before it is sent, by the loop, into memory of ours;
 * the channel is held meanwhile. Whatever fails after the guest has opened its file leads to a
 * cancel, of which the answer tells only whether something is left there: the code that `done` is
 * told was known before.
 */
#include "vsp/ic/ic_file_copy.h"

#include "common/base/state.h"
#include "common/base/utf16.h"
#include "common/wire/ic_file_copy.h"
#include "vsp/ic/ic_service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct ic_file_copy {
	struct ic_service service;
	uint64_t timeout_ns;

	/* The copy under way. */
	const struct ic_file_copy_callbacks *callbacks; /* NULL: there is none */
	void *data;
	int fd;
	uint64_t size, copied;
	enum ic_file_copy_operation operation; /* of the request under way */
	int result;                            /* why it is to be cancelled, or 0 */

	/* The piece being read or written. */
	struct loop_operation read;
	struct iovec iov;
	struct ic_file_copy_write piece;
	bool reading;
	void (*quiet)(void *data); /* to be called when it has been read */
	void *quiet_data;
};

static const struct ic_version file_copy_versions[] = { { 1, 0 }, { 1, 1 } };

static struct ic_file_copy *file_copy_of(struct ic_service *service)
{
	return container_of(service, struct ic_file_copy, service);
}

const char *ic_file_copy_error_text(int code)
{
	static const char *const texts[] = {
		[IC_FILE_COPY_E_EXISTS] = "the guest has such a file already",
		[IC_FILE_COPY_E_DISK_FULL] = "the guest's file system is full",
		[IC_FILE_COPY_E_REFUSED] = "the guest cannot write that file",
		[IC_FILE_COPY_E_TIMEOUT] = "the guest does not answer",
		[IC_FILE_COPY_E_GONE] = "the guest's file copy service ended",
		[IC_FILE_COPY_E_SOURCE] = "the file cannot be read, or changed while it was",
		[IC_FILE_COPY_E_CANCELLED] = "it was cancelled",
	};

	return texts[code];
}

/* ---- Requests ---- */

static void file_copy_end(struct ic_file_copy *copy, int result, bool left)
{
	const struct ic_file_copy_callbacks *callbacks = copy->callbacks;

	ic_service_stop_timer(&copy->service);
	if (copy->fd >= 0)
		close(copy->fd);
	copy->fd = -1;
	copy->callbacks = NULL;
	callbacks->done(copy->data, result, left);
}

static int file_copy_request(struct ic_file_copy *copy, enum ic_file_copy_operation operation,
			     const void *body, size_t size)
{
	int r = ic_service_request(&copy->service, body, size);

	if (r < 0)
		return r;
	copy->operation = operation;
	ic_service_start_timer(&copy->service, copy->timeout_ns);
	return 0;
}

/* The guest has a file open, or may have. */
static void file_copy_give_up(struct ic_file_copy *copy, int result)
{
	const struct ic_file_copy_header header = { .operation = IC_FILE_COPY_CANCEL };

	copy->result = result;
	ic_service_forget_request(&copy->service);
	if (file_copy_request(copy, IC_FILE_COPY_CANCEL, &header, sizeof(header)) < 0)
		file_copy_end(copy, result, true);
}

static void file_copy_send(struct ic_file_copy *copy, enum ic_file_copy_operation operation,
			   const void *body, size_t size)
{
	if (file_copy_request(copy, operation, body, size) < 0)
		file_copy_give_up(copy, IC_FILE_COPY_E_TIMEOUT);
}

/* ---- Pieces ---- */

static void file_copy_tell_quiet(struct ic_file_copy *copy)
{
	void (*quiet)(void *data) = copy->quiet;

	copy->quiet = NULL;
	if (quiet)
		quiet(copy->quiet_data);
}

static void file_copy_read(struct loop_operation *operation, int result, bool more)
{
	struct ic_file_copy *copy = container_of(operation, struct ic_file_copy, read);

	copy->reading = false;
	/* The guest left meanwhile, and perhaps a later copy waits for this memory. */
	if (copy->callbacks && copy->result == IC_FILE_COPY_E_GONE)
		file_copy_end(copy, copy->result, true);
	else if (copy->result)
		file_copy_give_up(copy, copy->result);
	else if (result != (int)copy->iov.iov_len)
		file_copy_give_up(copy, IC_FILE_COPY_E_SOURCE);
	else
		file_copy_send(copy, IC_FILE_COPY_WRITE, &copy->piece, sizeof(copy->piece));
	file_copy_tell_quiet(copy);
	ic_service_release(&copy->service);
}

/* The next piece, or the end. */
static void file_copy_continue(struct ic_file_copy *copy)
{
	const struct ic_file_copy_header end = { .operation = IC_FILE_COPY_COMPLETE };
	uint64_t left = copy->size - copy->copied;

	if (left == 0) {
		file_copy_send(copy, IC_FILE_COPY_COMPLETE, &end, sizeof(end));
		return;
	}
	ic_service_stop_timer(&copy->service);
	memset(&copy->piece, 0, sizeof(copy->piece));
	copy->piece.header.operation = IC_FILE_COPY_WRITE;
	copy->piece.offset = copy->copied;
	copy->piece.size = (uint32_t)MIN(left, (uint64_t)IC_FILE_COPY_PIECE_SIZE);
	copy->iov = (struct iovec){ copy->piece.data, copy->piece.size };
	copy->reading = true;
	ic_service_hold(&copy->service);
	loop_readv(vmbus_loop(copy->service.bus), &copy->read, copy->fd, &copy->iov, 1,
		   copy->copied);
}

/* ---- Answers ---- */

static int file_copy_result(uint32_t status)
{
	switch (status) {
	case IC_STATUS_OK:
		return 0;
	case IC_FILE_COPY_STATUS_EXISTS:
		return IC_FILE_COPY_E_EXISTS;
	case IC_FILE_COPY_STATUS_DISK_FULL:
		return IC_FILE_COPY_E_DISK_FULL;
	default:
		return IC_FILE_COPY_E_REFUSED;
	}
}

static void file_copy_answered(struct ic_service *service, uint32_t status, const void *body,
			       size_t size)
{
	struct ic_file_copy *copy = file_copy_of(service);
	int result = file_copy_result(status);

	if (copy->operation == IC_FILE_COPY_CANCEL) {
		file_copy_end(copy, copy->result, result != 0);
	} else if (copy->operation == IC_FILE_COPY_COMPLETE) {
		file_copy_end(copy, result, result != 0);
	} else if (copy->operation == IC_FILE_COPY_START && result) {
		file_copy_end(copy, result, false);
	} else if (result || copy->result) {
		file_copy_give_up(copy, result ? result : copy->result);
	} else {
		if (copy->operation == IC_FILE_COPY_WRITE) {
			copy->copied += copy->piece.size;
			if (copy->callbacks->progress)
				copy->callbacks->progress(copy->data, copy->copied, copy->size);
		}
		file_copy_continue(copy);
	}
}

static void file_copy_timer(struct ic_service *service)
{
	struct ic_file_copy *copy = file_copy_of(service);

	if (copy->operation == IC_FILE_COPY_CANCEL) {
		ic_service_forget_request(service);
		file_copy_end(copy, copy->result, true);
	} else {
		file_copy_give_up(copy, IC_FILE_COPY_E_TIMEOUT);
	}
}

static void file_copy_connected(struct ic_service *service)
{
}

static void file_copy_disconnected(struct ic_service *service)
{
	struct ic_file_copy *copy = file_copy_of(service);

	if (!copy->callbacks)
		return;
	copy->result = IC_FILE_COPY_E_GONE;
	if (!copy->reading)
		file_copy_end(copy, copy->result, true);
}

/* ---- State ---- */

void ic_file_copy_quiesce(struct ic_file_copy *copy, void (*done)(void *data), void *data)
{
	ic_service_quiesce(&copy->service);
	copy->quiet = done;
	copy->quiet_data = data;
	if (!copy->reading)
		file_copy_tell_quiet(copy);
}

void ic_file_copy_resume(struct ic_file_copy *copy)
{
	copy->quiet = NULL;
	ic_service_resume(&copy->service);
}

struct file_copy_state {
	uint32_t operation; /* of the copy's request under way */
	uint32_t under_way; /* 0 or 1: there is a copy */
};
_Static_assert(sizeof(struct file_copy_state) == 8, "stored format");

static void file_copy_save(const struct ic_service *service, void *ret_state)
{
	const struct ic_file_copy *copy = container_of(service, struct ic_file_copy, service);
	struct file_copy_state state = { 0 };

	if (copy->callbacks)
		state = (struct file_copy_state){ copy->operation, 1 };
	memcpy(ret_state, &state, sizeof(state));
}

/* A copy has a request under way, and a timer; nothing else has. */
static bool file_copy_state_is_valid(const struct ic_service *service,
				     const struct file_copy_state *state)
{
	if (state->under_way > 1 || state->operation > IC_FILE_COPY_CANCEL ||
	    state->under_way != (service->remaining != IC_SERVICE_NO_TIMER))
		return false;
	if (!ic_service_is_connected(service))
		return !state->under_way;
	return state->under_way == service->waiting;
}

static void file_copy_unheard(void *data, int result, bool left)
{
}

/* Its file, and whoever wanted it, are not here: it is cancelled once the guest has answered. */
static int file_copy_restore(struct ic_service *service, const void *from)
{
	static const struct ic_file_copy_callbacks nobody = { .done = file_copy_unheard };
	struct ic_file_copy *copy = file_copy_of(service);
	struct file_copy_state state;

	memcpy(&state, from, sizeof(state));
	if (!file_copy_state_is_valid(service, &state))
		return STATE_E_INVALID;
	if (!state.under_way)
		return 0;
	copy->callbacks = &nobody;
	copy->operation = (enum ic_file_copy_operation)state.operation;
	copy->result = IC_FILE_COPY_E_CANCELLED;
	return 0;
}

static const struct ic_service_kind file_copy_kind = {
	.name = "file copy service",
	.type = IC_FILE_COPY_TYPE,
	.instance = IC_FILE_COPY_INSTANCE,
	.message_type = IC_MESSAGE_FILE_COPY,
	.versions = file_copy_versions,
	.version_count = ARRAY_SIZE(file_copy_versions),
	.connected = file_copy_connected,
	.answered = file_copy_answered,
	.disconnected = file_copy_disconnected,
	.timer = file_copy_timer,
	.state_size = sizeof(struct file_copy_state),
	.save = file_copy_save,
	.restore = file_copy_restore,
};

int ic_file_copy_new(struct vmbus *bus, uint64_t timeout_ns, struct ic_file_copy **ret_copy)
{
	struct ic_file_copy *copy = calloc(1, sizeof(*copy));
	int r;

	if (!copy)
		return -ENOMEM;
	copy->timeout_ns = timeout_ns ? timeout_ns : IC_FILE_COPY_TIMEOUT_NS;
	copy->fd = -1;
	copy->read.complete = file_copy_read;
	r = ic_service_offer(&copy->service, &file_copy_kind, bus);
	if (r < 0) {
		free(copy);
		return r;
	}
	*ret_copy = copy;
	return 0;
}

void ic_file_copy_free(struct ic_file_copy *copy)
{
	if (!copy)
		return;
	ic_service_free(&copy->service);
	free(copy);
}

struct ic_service *ic_file_copy_service(struct ic_file_copy *copy)
{
	return &copy->service;
}

bool ic_file_copy_is_connected(const struct ic_file_copy *copy)
{
	return ic_service_is_connected(&copy->service);
}

/* ---- Starting and cancelling ---- */

#define UNITS(body, member) \
	((uint8_t *)(body) + offsetof(struct ic_file_copy_start, member)), sizeof((body)->member)

/* Return: whether the path can be told to a guest. */
static bool file_copy_set_path(struct ic_file_copy_start *start, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder;
	bool fits;

	if (path[0] != '/' || slash[1] == '\0')
		return false;
	/* With its slash: Linux makes those of the folders that have one behind them. */
	folder = strndup(path, (size_t)(slash - path) + 1);
	fits = folder && utf16_from_utf8(UNITS(start, folder), folder) > 0 &&
	       utf16_from_utf8(UNITS(start, name), slash + 1) > 0;
	free(folder);
	return fits;
}

int ic_file_copy_start(struct ic_file_copy *copy, int fd,
		       const struct ic_file_copy_options *options,
		       const struct ic_file_copy_callbacks *callbacks, void *data)
{
	struct ic_file_copy_start start = {
		.header.operation = IC_FILE_COPY_START,
		.flags = (options->overwrite ? IC_FILE_COPY_OVERWRITE : 0) |
			 (options->create_path ? IC_FILE_COPY_CREATE_PATH : 0),
	};
	struct stat status;
	int r;

	if (!ic_service_is_connected(&copy->service))
		return -ENOTCONN;
	if (copy->callbacks)
		return -EALREADY;
	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EISDIR;
	if (!file_copy_set_path(&start, options->path))
		return -EINVAL;
	start.size = (uint64_t)status.st_size;
	r = file_copy_request(copy, IC_FILE_COPY_START, &start, sizeof(start));
	if (r < 0)
		return r;
	copy->callbacks = callbacks;
	copy->data = data;
	copy->fd = fd;
	copy->size = start.size;
	copy->copied = 0;
	copy->result = 0;
	return 0;
}

void ic_file_copy_cancel(struct ic_file_copy *copy)
{
	if (copy->callbacks && !copy->result)
		copy->result = IC_FILE_COPY_E_CANCELLED;
}

struct json_object *ic_file_copy_inspect(const struct ic_file_copy *copy)
{
	return ic_service_inspect(&copy->service);
}
