/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Work that may have to wait for a file system, done by a short-lived process.
 *
 * A helper process lasts until its process has been waited for; those who wait for what it does are
 * told before, when its socket has ended or its time is over.
 */
#include "vmms/base/helper.h"

#include "common/base/list.h"
#include "vmms/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct helpers {
	sd_event *loop;
	struct list list; /* of struct helper process */
};

struct helper {
	struct list link;
	struct helpers *helpers;
	char *whose;
	const struct helper_callbacks *callbacks; /* NULL: whoever waits has been told */
	void *owner;
	int socket, pidfd;
	sd_event_source *socket_source, *pidfd_source, *timer;
	bool cancelled, reaped;
};

/* ---- The process ---- */

static pid_t daemon_pid; /* whose copy we are */

void helper_bind(void)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != daemon_pid)
		_exit(1);
}

union descriptor {
	char space[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static ssize_t helper_send_pieces(int socket, const struct iovec *pieces, size_t count, int fd,
				  int flags)
{
	union descriptor control = { 0 };
	struct msghdr message = { .msg_iov = (struct iovec *)pieces, .msg_iovlen = count };
	struct cmsghdr *header;

	if (fd >= 0) {
		message.msg_control = control.space;
		message.msg_controllen = sizeof(control.space);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(int));
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL | flags);
}

void helper_send(int socket, const void *bytes, size_t size, int fd)
{
	const struct iovec piece = { (void *)bytes, size };

	while (helper_send_pieces(socket, &piece, 1, fd, 0) < 0) {
		if (errno != EINTR)
			_exit(1);
	}
}

int helper_pass(int socket, int fd)
{
	const struct iovec piece = { "", 1 };

	return helper_send_pieces(socket, &piece, 1, fd, MSG_DONTWAIT) < 0 ? -errno : 0;
}

static int helper_take_descriptor(struct msghdr *message)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	int fd;

	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
	    header->cmsg_len != CMSG_LEN(sizeof(int)))
		return -1;
	memcpy(&fd, CMSG_DATA(header), sizeof(int));
	return fd;
}

ssize_t helper_receive(int socket, void *bytes, size_t size, int flags, int *ret_fd)
{
	struct iovec iov = { bytes, size };
	union descriptor control;
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control.space,
				  .msg_controllen = sizeof(control.space) };
	ssize_t received = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);

	*ret_fd = received < 0 ? -1 : helper_take_descriptor(&message);
	return received < 0 ? -errno : received;
}

static int helper_by_number(const void *a, const void *b)
{
	return *(const int *)a < *(const int *)b ? -1 : *(const int *)a > *(const int *)b;
}

/* Locks of the daemon's and its bus are not to last as long as we may. */
static void helper_close_others(const struct helper_config *config, int socket)
{
	int *kept = calloc(config->kept_count + 1, sizeof(*kept));
	unsigned next = STDERR_FILENO + 1;

	if (!kept)
		_exit(1);
	kept[0] = socket;
	for (size_t i = 0; i < config->kept_count; i++)
		kept[i + 1] = config->kept[i];
	qsort(kept, config->kept_count + 1, sizeof(*kept), helper_by_number);
	for (size_t i = 0; i <= config->kept_count; i++) {
		if ((unsigned)kept[i] > next)
			(void)close_range(next, (unsigned)kept[i] - 1, 0);
		next = (unsigned)kept[i] + 1;
	}
	(void)close_range(next, ~0u, 0);
	free(kept);
}

_Noreturn static void helper_run_process(const struct helper_config *config, int socket,
					 pid_t parent)
{
	sigset_t none;

	daemon_pid = parent;
	helper_bind();
	/* A session of its own: ^C in the daemon's terminal is not meant for it. */
	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	helper_close_others(config, socket);
	config->work(socket, config->data);
	_exit(0);
}

/* ---- The end ---- */

static void helper_dispose(struct helper *helper)
{
	list_unlink(&helper->link);
	sd_event_source_disable_unref(helper->socket_source);
	sd_event_source_disable_unref(helper->pidfd_source);
	sd_event_source_disable_unref(helper->timer);
	close_fdp(&helper->socket);
	close_fdp(&helper->pidfd);
	free(helper->whose);
	free(helper);
}

/* Whoever waits is told; what is left is to wait for the process. */
static void helper_conclude(struct helper *helper, int result)
{
	const struct helper_callbacks *callbacks = helper->callbacks;
	void *owner = helper->owner;

	helper->callbacks = NULL;
	helper->socket_source = sd_event_source_disable_unref(helper->socket_source);
	helper->timer = sd_event_source_disable_unref(helper->timer);
	close_fdp(&helper->socket);
	if (helper->reaped)
		helper_dispose(helper);
	else
		(void)pidfd_send_signal(helper->pidfd, SIGKILL, NULL, 0);
	if (callbacks)
		callbacks->ended(owner, result);
}

static int helper_process_ended(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct helper *helper = data;

	(void)waitid(P_PIDFD, (id_t)helper->pidfd, NULL, WEXITED | WNOHANG);
	helper->reaped = true;
	helper->pidfd_source = sd_event_source_disable_unref(helper->pidfd_source);
	/* Else there may be more to read, and the end of it is sure to come. */
	if (!helper->callbacks)
		helper_dispose(helper);
	return 0;
}

static int helper_overdue(sd_event_source *source, uint64_t usec, void *data)
{
	struct helper *helper = data;

	helper_conclude(helper, helper->cancelled ? -ECANCELED : -ETIMEDOUT);
	return 0;
}

static int helper_set_timer(struct helper *helper, uint64_t microseconds)
{
	sd_event_source *timer;
	int r = sd_event_add_time_relative(helper->helpers->loop, &timer, CLOCK_MONOTONIC,
					   microseconds, 0, helper_overdue, helper);

	if (r < 0)
		return r;
	sd_event_source_disable_unref(helper->timer);
	helper->timer = timer;
	return 0;
}

int helper_limit(struct helper *helper, unsigned timeout)
{
	return helper_set_timer(helper, timeout * UINT64_C(1000000));
}

void helper_cancel(struct helper *helper)
{
	helper->cancelled = true;
	if (helper_set_timer(helper, 0) < 0)
		(void)pidfd_send_signal(helper->pidfd, SIGKILL, NULL, 0);
}

void helper_free(struct helper *helper)
{
	if (!helper)
		return;
	helper->callbacks = NULL;
	helper_conclude(helper, -ECANCELED);
}

/* ---- What it says ---- */

/* One at a time: there may be more than is good for others who wait for the loop. */
static int helper_socket_ready(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct helper *helper = data;
	_Alignas(8) char bytes[HELPER_MESSAGE_MAX];
	int descriptor;
	ssize_t size = helper_receive(fd, bytes, sizeof(bytes), MSG_DONTWAIT, &descriptor);

	if (size > 0)
		helper->callbacks->message(helper->owner, bytes, (size_t)size, descriptor);
	else if (size != -EAGAIN && size != -EINTR)
		helper_conclude(helper, 0);
	return 0;
}

int helper_tell(struct helper *helper, const struct iovec *pieces, size_t count, int fd)
{
	return helper_send_pieces(helper->socket, pieces, count, fd, MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* ---- The beginning ---- */

unsigned helpers_count_stuck(const struct helpers *helpers, const char *whose)
{
	unsigned stuck = 0;

	list_for_each (link, (struct list *)&helpers->list) {
		const struct helper *helper = container_of(link, struct helper, link);

		stuck += !helper->callbacks && (!whose || strcmp(helper->whose, whose) == 0);
	}
	return stuck;
}

bool helpers_are_stuck(const struct helpers *helpers, const char *whose)
{
	unsigned stuck = helpers_count_stuck(helpers, whose);

	return stuck >= HELPERS_STUCK_MAX ||
	       (stuck > 0 && helpers_count_stuck(helpers, NULL) >= HELPERS_STUCK_ALL_MAX);
}

int helper_blame(struct helper *helper, const char *whose)
{
	char *copy = strdup(whose);

	if (!copy)
		return -ENOMEM;
	free(helper->whose);
	helper->whose = copy;
	return 0;
}

static int helper_watch(struct helper *helper, unsigned timeout)
{
	sd_event *loop = helper->helpers->loop;
	int r;

	r = sd_event_add_io(loop, &helper->socket_source, helper->socket, EPOLLIN,
			    helper_socket_ready, helper);
	if (r < 0)
		return r;
	r = sd_event_add_io(loop, &helper->pidfd_source, helper->pidfd, EPOLLIN,
			    helper_process_ended, helper);
	if (r < 0 || timeout == 0)
		return r;
	return helper_set_timer(helper, timeout * UINT64_C(1000000));
}

static int helper_run(struct helper *helper, const struct helper_config *config)
{
	int sockets[2], r;
	pid_t parent = getpid(), pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return -errno;
	helper->socket = sockets[0];
	AUTO_CLOSE int far = sockets[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		helper_run_process(config, far, parent);
	helper->pidfd = pidfd_open(pid, 0);
	r = helper->pidfd < 0 ? -errno : helper_watch(helper, config->timeout);
	if (r < 0) {
		kill(pid, SIGKILL);
		process_reap(helper->helpers->loop, TAKE_FD(helper->pidfd));
	}
	return r;
}

int helper_new(struct helpers *helpers, const struct helper_config *config,
	       struct helper **ret_helper)
{
	struct helper *helper;
	int r;

	if (helpers_are_stuck(helpers, config->whose))
		return -EBUSY;
	helper = calloc(1, sizeof(*helper));
	if (!helper)
		return -ENOMEM;
	list_init(&helper->link);
	helper->helpers = helpers;
	helper->socket = helper->pidfd = -1;
	helper->callbacks = config->callbacks;
	helper->owner = config->owner;
	helper->whose = strdup(config->whose);
	r = helper->whose ? helper_run(helper, config) : -ENOMEM;
	if (r < 0) {
		helper_dispose(helper);
		return r;
	}
	list_append(&helpers->list, &helper->link);
	*ret_helper = helper;
	return 0;
}

/* ---- All of them ---- */

int helpers_new(sd_event *loop, struct helpers **ret_helpers)
{
	struct helpers *helpers = calloc(1, sizeof(*helpers));

	if (!helpers)
		return -ENOMEM;
	helpers->loop = sd_event_ref(loop);
	list_init(&helpers->list);
	*ret_helpers = helpers;
	return 0;
}

sd_event *helpers_loop(const struct helpers *helpers)
{
	return helpers->loop;
}

void helpers_free(struct helpers *helpers)
{
	if (!helpers)
		return;
	list_for_each (link, &helpers->list) {
		struct helper *helper = container_of(link, struct helper, link);

		if (helper->callbacks)
			helper->callbacks->ended(helper->owner, -ECANCELED);
		(void)pidfd_send_signal(helper->pidfd, SIGKILL, NULL, 0);
		helper_dispose(helper);
	}
	sd_event_unref(helpers->loop);
	free(helpers);
}
