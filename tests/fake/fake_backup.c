/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fake worker's backups. */
#include "tests/fake/fake_backup.h"

#include "common/base/cleanup.h"
#include "common/control.h"
#include "common/image/image.h"
#include "vsp/storage/disk_changes.h"
#include "vsp/storage/disk_point.h"
#include "vsp/storage/nbd_server.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DISKS_MAX 16

struct served {
	struct loop *loop;
	size_t count, written, retired;
	struct disk *disks[DISKS_MAX];
	struct disk_point *points[DISKS_MAX];
	struct nbd_served names[DISKS_MAX];
	struct nbd_server *server; /* NULL: not yet */
	int parent; /* a byte: it has begun; from there a socket with 'r', 'l', or how it ends */
	struct loop_operation operation;
	char word;
	bool complete, ending;
};

static void need(bool is_so)
{
	if (!is_so)
		_exit(1);
}

/* One message, with a descriptor or without. */
static ssize_t receive_word(struct served *served, int *ret_fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { &served->word, 1 };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	ssize_t size = recvmsg(served->parent, &message, 0);

	*ret_fd = -1;
	if (size == 1 && CMSG_FIRSTHDR(&message))
		memcpy(ret_fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(*ret_fd));
	return size;
}

static void send_word(int socket, char word, int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { &word, 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	(void)!sendmsg(socket, &message, MSG_NOSIGNAL);
}

static void on_retired(void *data)
{
	struct served *served = data;

	if (++served->retired == served->count)
		loop_stop(served->loop);
}

static void on_stopped(void *data)
{
	struct served *served = data;

	for (size_t i = 0; i < served->count; i++)
		disk_point_end(served->points[i], served->complete);
	for (size_t i = 0; i < served->count; i++)
		disk_retire(served->disks[i], on_retired, served);
}

/* A socket that listens. */
static void start_server(struct served *served, int socket)
{
	const struct nbd_server_options options = { .served = served->names,
						    .count = served->count,
						    .releases = served->word == 'r' };

	need(nbd_server_new(served->loop, &options, &served->server) == 0);
	nbd_server_listen(served->server, socket);
}

static void on_word(struct loop_operation *operation, int result, bool more)
{
	struct served *served = container_of(operation, struct served, operation);
	int socket;

	if (served->ending)
		return;
	need(result >= 0);
	if (receive_word(served, &socket) == 1 && socket >= 0) {
		start_server(served, socket);
		return;
	}
	served->ending = true;
	loop_cancel(served->loop, operation);
	served->complete = served->word == 'y';
	if (served->server)
		nbd_server_stop(served->server, on_stopped, served);
	else
		on_stopped(served);
}

static void on_written(void *data)
{
	struct served *served = data;

	if (++served->written == served->count)
		need(write(served->parent, "b", 1) == 1);
}

static unsigned place(struct json_object *item, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(item, key, &value) ? (unsigned)json_object_get_int(value)
							    : UINT32_MAX;
}

static void add_disk(struct served *served, int image_fd, const int fds[2], const char *id,
		     uint64_t scratch)
{
	const struct image_options options = { .sector_size = 512 };
	size_t i = served->count++;
	struct changes_identity opened;
	enum changes_loss loss;
	struct image image;
	struct guid guid;

	changes_identify(image_fd, &opened);
	need(image_examine(dup(image_fd), &options, &image) == 0);
	need(disk_file_new(served->loop, &image, 512, &served->disks[i]) == 0);
	need(disk_changes_new(served->disks[i], served->loop, fds[0], &opened, &loss) == 0);
	need(guid_parse(id, &guid) == 0);
	while (served->disks[i]->in_flight > 0)
		need(loop_run_once(served->loop, 1000000000) == 0);
	need(disk_changes_begin_point(disk_changes_of(served->disks[i]), &guid, fds[1], scratch,
				      on_written, served, &served->points[i]) == 0);
}

static void serve(const struct fake *fake, struct control_message *message,
		  const struct control_arguments *arguments, int parent)
{
	static struct served served;
	size_t count = json_object_array_length(arguments->disks);

	served.parent = parent;
	served.operation.complete = on_word;
	need(loop_new(256, &served.loop) == 0);
	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_array_get_idx(arguments->disks, i);
		unsigned controller = place(item, "controller"), lun = place(item, "lun");

		add_disk(&served, fake->media[controller][lun], message->fds + 2 * i,
			 arguments->point, arguments->size);
		snprintf(served.names[i].name, sizeof(served.names[i].name), "%u:%u", controller,
			 lun);
		served.names[i].point = served.points[i];
	}
	loop_poll(served.loop, &served.operation, parent, POLLIN);
	_exit(loop_run(served.loop) < 0);
}

const char *method_begin_backup(struct fake *fake, struct control_message *message,
				const struct control_arguments *arguments)
{
	size_t count = json_object_array_length(arguments->disks);
	struct guid guid;
	int pair[2];
	char word;

	if (guid_parse(arguments->point, &guid) < 0 || message->fd_count != 2 * count ||
	    count == 0 || count > DISKS_MAX)
		return CONTROL_ERROR_INVALID;
	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_array_get_idx(arguments->disks, i);
		unsigned controller = place(item, "controller"), lun = place(item, "lun");

		if (controller >= DEFINITION_CONTROLLERS_MAX || lun >= DEFINITION_LUNS_MAX ||
		    fake->media[controller][lun] <= 0)
			return CONTROL_ERROR_NOT_FOUND;
	}
	if (fake->backup.process > 0 || asked_for(fake, "refuse-backup"))
		return CONTROL_ERROR_BUSY;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return CONTROL_ERROR_FAILED;
	fake->backup.process = fork();
	if (fake->backup.process == 0) {
		close(pair[0]);
		serve(fake, message, arguments, pair[1]);
	}
	close(pair[1]);
	fake->backup.socket = pair[0];
	if (fake->backup.process > 0 && read(pair[0], &word, 1) == 1)
		return NULL;
	(void)!method_end_backup(fake, message, arguments);
	return CONTROL_ERROR_FAILED;
}

const char *method_serve_backup(struct fake *fake, struct control_message *message,
				const struct control_arguments *arguments)
{
	if (fake->backup.process <= 0 || fake->backup.served)
		return CONTROL_ERROR_INVALID_STATE;
	fake->backup.served = true;
	send_word(fake->backup.socket, arguments->releases ? 'r' : 'l', message->fds[0]);
	return NULL;
}

const char *method_end_backup(struct fake *fake, struct control_message *message,
			      const struct control_arguments *arguments)
{
	int status = 0;

	if (fake->backup.process <= 0)
		return CONTROL_ERROR_INVALID_STATE;
	send_word(fake->backup.socket, arguments->complete ? 'y' : 'n', -1);
	close(fake->backup.socket);
	(void)waitpid(fake->backup.process, &status, 0);
	fake->backup.process = 0;
	fake->backup.served = false;
	say(fake, arguments->complete ? "guest: backed up\r\n" : "guest: not backed up\r\n");
	return status == 0 ? NULL : CONTROL_ERROR_FAILED;
}
