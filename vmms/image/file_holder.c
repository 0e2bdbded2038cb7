/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Open files of others, held by a process of their own.
 *
 * The holder has two sockets: one from which files come, in an order that numbers them, and one
 * from which the daemon's orders come, each with the socket that it is about. A file that the
 * daemon knows of has been sent before: so all that have come are taken before an order is obeyed.
 * Nothing is closed before the daemon has done with the holder, since the first file may be the
 * last that is closed.
 */
#include "vmms/image/file_holder.h"

#include "common/base/error.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SEND_TIMEOUT 10000 /* milliseconds, for whoever is to receive them */
#define END_TIMEOUT  5     /* seconds */

struct order {
	uint32_t number;
	uint32_t count; /* of files; a text follows. 0: all files are to be closed */
	uint32_t files[FILE_HOLDER_SEND_MAX];
};

struct report {
	uint32_t number;
	int32_t result;
};

struct file_holder {
	struct helpers *helpers;
	struct helper *helper; /* NULL: it has ended */
	uint32_t number;       /* of the last order */
	struct list deliveries;
	sd_event_source *timer; /* of its end */
	void (*ended)(void *data);
	void *data;
};

/* ---- The process ---- */

struct process_files {
	size_t count;
	int fds[RESOURCES_MAX]; /* by number */
};

void file_holder_fill(int filler, int fd)
{
	helper_send(filler, "", 1, fd);
}

/* Return: false: there is none now, or never again. */
static bool holder_take_file(struct process_files *files, struct pollfd *filler)
{
	char byte;
	int fd;
	ssize_t size = helper_receive(filler->fd, &byte, sizeof(byte), MSG_DONTWAIT, &fd);

	if (size == -EAGAIN || size == -EINTR)
		return false;
	if (size <= 0) {
		close(filler->fd);
		filler->fd = -1;
		return false;
	}
	if (fd < 0 || files->count == ARRAY_SIZE(files->fds))
		_exit(1);
	files->fds[files->count++] = fd;
	return true;
}

/* Whoever is to receive them may not keep up at once. */
static int holder_send_files(int socket, struct iovec *text, const int *fds, size_t count)
{
	union {
		char space[CMSG_SPACE(FILE_HOLDER_SEND_MAX * sizeof(int))];
		struct cmsghdr header;
	} control = { 0 };
	struct msghdr message = { .msg_iov = text,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
	struct pollfd room = { .fd = socket, .events = POLLOUT };

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
	while (sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return error_origin(-errno);
		if (errno == EAGAIN && poll(&room, 1, SEND_TIMEOUT) == 0)
			return -EAGAIN;
	}
	return 0;
}

/* Those that somebody else sends may not have come yet. */
static void holder_wait_for_files(struct process_files *files, struct pollfd *filler, size_t count)
{
	while (files->count < count && filler->fd >= 0) {
		if (poll(filler, 1, SEND_TIMEOUT) == 0)
			return;
		(void)holder_take_file(files, filler);
	}
}

static void holder_obey(const struct process_files *files, int orders, const struct order *order,
			struct iovec *text, int socket)
{
	struct report report = { .number = order->number };
	int fds[FILE_HOLDER_SEND_MAX];

	for (uint32_t i = 0; i < order->count; i++) {
		if (order->files[i] >= files->count)
			report.result = -ENOENT;
		else
			fds[i] = files->fds[order->files[i]];
	}
	if (report.result == 0)
		report.result = holder_send_files(socket, text, fds, order->count);
	helper_send(orders, &report, sizeof(report), -1);
}

static void holder_close_all(struct process_files *files, int orders, uint32_t number)
{
	const struct report report = { .number = number };

	while (files->count > 0)
		close(files->fds[--files->count]);
	helper_send(orders, &report, sizeof(report), -1);
}

/* Return: false: the daemon has done with it. */
static bool holder_take_order(struct process_files *files, int orders, struct pollfd *filler)
{
	static struct {
		struct order order;
		char text[FILE_HOLDER_TEXT_MAX];
	} message;
	struct iovec text = { .iov_base = message.text };
	int socket;
	ssize_t size = helper_receive(orders, &message, sizeof(message), 0, &socket);

	if (size == -EINTR)
		return true;
	if (size < (ssize_t)sizeof(message.order) || message.order.count > FILE_HOLDER_SEND_MAX)
		return false;
	text.iov_len = (size_t)size - sizeof(message.order);
	for (uint32_t i = 0; i < message.order.count; i++)
		holder_wait_for_files(files, filler, (size_t)message.order.files[i] + 1);
	if (message.order.count > 0)
		holder_obey(files, orders, &message.order, &text, socket);
	else
		holder_close_all(files, orders, message.order.number);
	if (socket >= 0)
		close(socket);
	return true;
}

static void holder_run(int socket, void *data)
{
	static struct process_files files;
	struct pollfd polls[] = { { .fd = *(const int *)data, .events = POLLIN },
				  { .fd = socket, .events = POLLIN } };
	bool more = true;

	while (more && (poll(polls, ARRAY_SIZE(polls), -1) >= 0 || errno == EINTR)) {
		while (polls[0].fd >= 0 && holder_take_file(&files, &polls[0]))
			;
		if (polls[1].revents)
			more = holder_take_order(&files, socket, &polls[0]);
	}
}

/* ---- What it says ---- */

static void holder_delivered(struct file_holder *holder, const struct report *report)
{
	list_for_each (link, &holder->deliveries) {
		struct file_delivery *delivery = container_of(link, struct file_delivery, link);

		if (delivery->number != report->number)
			continue;
		list_unlink(&delivery->link);
		delivery->sent(delivery, report->result);
		return;
	}
}

static void holder_conclude(struct file_holder *holder)
{
	void (*ended)(void *data) = holder->ended;
	void *data = holder->data;

	file_holder_free(holder);
	ended(data);
}

static void holder_heard(void *owner, const void *bytes, size_t size, int fd)
{
	struct report report;

	close_fdp(&fd); /* none comes */
	if (size != sizeof(report))
		return;
	memcpy(&report, bytes, sizeof(report));
	if (((struct file_holder *)owner)->ended)
		holder_conclude(owner);
	else
		holder_delivered(owner, &report);
}

/* It was killed, as nothing else ends it. */
static void holder_process_ended(void *owner, int result)
{
	struct file_holder *holder = owner;
	struct list lost = LIST_INIT(lost);

	holder->helper = NULL;
	if (holder->ended) {
		holder_conclude(holder);
		return;
	}
	list_for_each (link, &holder->deliveries) {
		list_unlink(link);
		list_append(&lost, link);
	}
	/* Who is told may free the holder. */
	while (!list_empty(&lost)) {
		struct file_delivery *delivery =
			container_of(lost.next, struct file_delivery, link);

		list_unlink(&delivery->link);
		delivery->sent(delivery, -EPIPE);
	}
}

static const struct helper_callbacks callbacks = { .message = holder_heard,
						   .ended = holder_process_ended };

/* ---- Orders ---- */

static int holder_give_order(struct file_holder *holder, const struct order *order,
			     const void *text, size_t size, int socket)
{
	const struct iovec pieces[] = { { (void *)order, sizeof(*order) }, { (void *)text, size } };

	return holder->helper ? helper_tell(holder->helper, pieces, ARRAY_SIZE(pieces), socket)
			      : -EPIPE;
}

int file_holder_send(struct file_holder *holder, int socket, const void *text, size_t size,
		     const struct held_file *files, size_t count, struct file_delivery *delivery)
{
	struct order order = { .number = ++holder->number, .count = (uint32_t)count };
	int r;

	if (count == 0 || count > FILE_HOLDER_SEND_MAX || size > FILE_HOLDER_TEXT_MAX)
		return -EMSGSIZE;
	for (size_t i = 0; i < count; i++)
		order.files[i] = files[i].number;
	r = holder_give_order(holder, &order, text, size, socket);
	if (r < 0)
		return r;
	delivery->number = order.number;
	list_append(&holder->deliveries, &delivery->link);
	return 0;
}

/* ---- Life ---- */

int file_holder_open(struct helpers *helpers, const char *whose, int source,
		     struct file_holder **ret_holder)
{
	CLEANUP(file_holder_freep) struct file_holder *holder = calloc(1, sizeof(*holder));
	int r;

	if (!holder)
		return -ENOMEM;
	list_init(&holder->deliveries);
	holder->helpers = helpers;
	const struct helper_config config = { .whose = whose,
					      .work = holder_run,
					      .data = &source,
					      .kept = &source,
					      .kept_count = 1,
					      .callbacks = &callbacks,
					      .owner = holder };

	r = helper_new(helpers, &config, &holder->helper);
	if (r < 0)
		return r;
	*ret_holder = TAKE_PTR(holder);
	return 0;
}

int file_holder_new(struct helpers *helpers, const char *whose, int *ret_filler,
		    struct file_holder **ret_holder)
{
	int sockets[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return error_origin(-errno);
	AUTO_CLOSE int far = sockets[0], filler = sockets[1];

	r = file_holder_open(helpers, whose, far, ret_holder);
	if (r == 0)
		*ret_filler = TAKE_FD(filler);
	return r;
}

void file_holder_free(struct file_holder *holder)
{
	if (!holder)
		return;
	list_for_each (link, &holder->deliveries)
		list_unlink(link);
	sd_event_source_disable_unref(holder->timer);
	helper_free(holder->helper);
	free(holder);
}

static int holder_end_now(sd_event_source *source, uint64_t usec, void *data)
{
	holder_conclude(data);
	return 0;
}

void file_holder_end(struct file_holder *holder, void (*ended)(void *data), void *data)
{
	const struct order order = { .number = ++holder->number };
	int r = holder_give_order(holder, &order, NULL, 0, -1);

	holder->ended = ended;
	holder->data = data;
	(void)sd_event_add_time_relative(
		helpers_loop(holder->helpers), &holder->timer, CLOCK_MONOTONIC,
		r < 0 ? 0 : END_TIMEOUT * UINT64_C(1000000), 0, holder_end_now, holder);
}
