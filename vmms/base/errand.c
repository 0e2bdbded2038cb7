/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Work that may have to wait for a file system, done by a short-lived process.
 *
 * An errand lasts until its process has been waited for; those who wait for what it does are told
 * before, when its socket has ended or its time is over.
 */
#include "vmms/base/errand.h"

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

struct errands {
	sd_event *loop;
	struct list list; /* of struct errand */
};

struct errand {
	struct list link;
	struct errands *errands;
	char *whose;
	const struct errand_callbacks *callbacks; /* NULL: whoever waits has been told */
	void *owner;
	int socket, pidfd;
	sd_event_source *socket_source, *pidfd_source, *timer;
	bool cancelled, reaped;
};

/* ---- The process ---- */

static pid_t daemon_pid; /* whose copy we are */

void errand_bind(void)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != daemon_pid)
		_exit(1);
}

union descriptor {
	char space[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static ssize_t errand_send_pieces(int socket, const struct iovec *pieces, size_t count, int fd,
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

void errand_send(int socket, const void *bytes, size_t size, int fd)
{
	const struct iovec piece = { (void *)bytes, size };

	while (errand_send_pieces(socket, &piece, 1, fd, 0) < 0) {
		if (errno != EINTR)
			_exit(1);
	}
}

int errand_pass(int socket, int fd)
{
	const struct iovec piece = { "", 1 };

	return errand_send_pieces(socket, &piece, 1, fd, MSG_DONTWAIT) < 0 ? -errno : 0;
}

static int errand_take_descriptor(struct msghdr *message)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	int fd;

	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
	    header->cmsg_len != CMSG_LEN(sizeof(int)))
		return -1;
	memcpy(&fd, CMSG_DATA(header), sizeof(int));
	return fd;
}

ssize_t errand_receive(int socket, void *bytes, size_t size, int flags, int *ret_fd)
{
	struct iovec iov = { bytes, size };
	union descriptor control;
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control.space,
				  .msg_controllen = sizeof(control.space) };
	ssize_t received = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);

	*ret_fd = received < 0 ? -1 : errand_take_descriptor(&message);
	return received < 0 ? -errno : received;
}

static int errand_by_number(const void *a, const void *b)
{
	return *(const int *)a < *(const int *)b ? -1 : *(const int *)a > *(const int *)b;
}

/* Locks of the daemon's and its bus are not to last as long as we may. */
static void errand_close_others(const struct errand_config *config, int socket)
{
	int *kept = calloc(config->kept_count + 1, sizeof(*kept));
	unsigned next = STDERR_FILENO + 1;

	if (!kept)
		_exit(1);
	kept[0] = socket;
	for (size_t i = 0; i < config->kept_count; i++)
		kept[i + 1] = config->kept[i];
	qsort(kept, config->kept_count + 1, sizeof(*kept), errand_by_number);
	for (size_t i = 0; i <= config->kept_count; i++) {
		if ((unsigned)kept[i] > next)
			(void)close_range(next, (unsigned)kept[i] - 1, 0);
		next = (unsigned)kept[i] + 1;
	}
	(void)close_range(next, ~0u, 0);
	free(kept);
}

_Noreturn static void errand_run_process(const struct errand_config *config, int socket,
					 pid_t parent)
{
	sigset_t none;

	daemon_pid = parent;
	errand_bind();
	/* A session of its own: ^C in the daemon's terminal is not meant for it. */
	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	errand_close_others(config, socket);
	config->work(socket, config->data);
	_exit(0);
}

/* ---- The end ---- */

static void errand_dispose(struct errand *errand)
{
	list_unlink(&errand->link);
	sd_event_source_disable_unref(errand->socket_source);
	sd_event_source_disable_unref(errand->pidfd_source);
	sd_event_source_disable_unref(errand->timer);
	close_fdp(&errand->socket);
	close_fdp(&errand->pidfd);
	free(errand->whose);
	free(errand);
}

/* Whoever waits is told; what is left is to wait for the process. */
static void errand_conclude(struct errand *errand, int result)
{
	const struct errand_callbacks *callbacks = errand->callbacks;
	void *owner = errand->owner;

	errand->callbacks = NULL;
	errand->socket_source = sd_event_source_disable_unref(errand->socket_source);
	errand->timer = sd_event_source_disable_unref(errand->timer);
	close_fdp(&errand->socket);
	if (errand->reaped)
		errand_dispose(errand);
	else
		(void)pidfd_send_signal(errand->pidfd, SIGKILL, NULL, 0);
	if (callbacks)
		callbacks->ended(owner, result);
}

static int errand_process_ended(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct errand *errand = data;

	(void)waitid(P_PIDFD, (id_t)errand->pidfd, NULL, WEXITED | WNOHANG);
	errand->reaped = true;
	errand->pidfd_source = sd_event_source_disable_unref(errand->pidfd_source);
	/* Else there may be more to read, and the end of it is sure to come. */
	if (!errand->callbacks)
		errand_dispose(errand);
	return 0;
}

static int errand_overdue(sd_event_source *source, uint64_t usec, void *data)
{
	struct errand *errand = data;

	errand_conclude(errand, errand->cancelled ? -ECANCELED : -ETIMEDOUT);
	return 0;
}

static int errand_set_timer(struct errand *errand, uint64_t microseconds)
{
	errand->timer = sd_event_source_disable_unref(errand->timer);
	return sd_event_add_time_relative(errand->errands->loop, &errand->timer, CLOCK_MONOTONIC,
					  microseconds, 0, errand_overdue, errand);
}

void errand_cancel(struct errand *errand)
{
	errand->cancelled = true;
	if (errand_set_timer(errand, 0) < 0)
		(void)pidfd_send_signal(errand->pidfd, SIGKILL, NULL, 0);
}

void errand_free(struct errand *errand)
{
	if (!errand)
		return;
	errand->callbacks = NULL;
	errand_conclude(errand, -ECANCELED);
}

/* ---- What it says ---- */

/* One at a time: there may be more than is good for others who wait for the loop. */
static int errand_socket_ready(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct errand *errand = data;
	_Alignas(8) char bytes[ERRAND_MESSAGE_MAX];
	int descriptor;
	ssize_t size = errand_receive(fd, bytes, sizeof(bytes), MSG_DONTWAIT, &descriptor);

	if (size > 0)
		errand->callbacks->message(errand->owner, bytes, (size_t)size, descriptor);
	else if (size != -EAGAIN && size != -EINTR)
		errand_conclude(errand, 0);
	return 0;
}

int errand_tell(struct errand *errand, const struct iovec *pieces, size_t count, int fd)
{
	return errand_send_pieces(errand->socket, pieces, count, fd, MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* ---- The beginning ---- */

unsigned errands_count_stuck(const struct errands *errands, const char *whose)
{
	unsigned stuck = 0;

	list_for_each (link, (struct list *)&errands->list) {
		const struct errand *errand = container_of(link, struct errand, link);

		stuck += !errand->callbacks && strcmp(errand->whose, whose) == 0;
	}
	return stuck;
}

int errand_blame(struct errand *errand, const char *whose)
{
	char *copy = strdup(whose);

	if (!copy)
		return -ENOMEM;
	free(errand->whose);
	errand->whose = copy;
	return 0;
}

static int errand_watch(struct errand *errand, unsigned timeout)
{
	sd_event *loop = errand->errands->loop;
	int r;

	r = sd_event_add_io(loop, &errand->socket_source, errand->socket, EPOLLIN,
			    errand_socket_ready, errand);
	if (r < 0)
		return r;
	r = sd_event_add_io(loop, &errand->pidfd_source, errand->pidfd, EPOLLIN,
			    errand_process_ended, errand);
	if (r < 0 || timeout == 0)
		return r;
	return errand_set_timer(errand, timeout * UINT64_C(1000000));
}

static int errand_run(struct errand *errand, const struct errand_config *config)
{
	int sockets[2], r;
	pid_t parent = getpid(), pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return -errno;
	errand->socket = sockets[0];
	AUTO_CLOSE int far = sockets[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		errand_run_process(config, far, parent);
	errand->pidfd = pidfd_open(pid, 0);
	r = errand->pidfd < 0 ? -errno : errand_watch(errand, config->timeout);
	if (r < 0) {
		kill(pid, SIGKILL);
		process_reap(errand->errands->loop, TAKE_FD(errand->pidfd));
	}
	return r;
}

int errand_new(struct errands *errands, const struct errand_config *config,
	       struct errand **ret_errand)
{
	struct errand *errand;
	int r;

	if (errands_count_stuck(errands, config->whose) >= ERRANDS_STUCK_MAX)
		return -EBUSY;
	errand = calloc(1, sizeof(*errand));
	if (!errand)
		return -ENOMEM;
	list_init(&errand->link);
	errand->errands = errands;
	errand->socket = errand->pidfd = -1;
	errand->callbacks = config->callbacks;
	errand->owner = config->owner;
	errand->whose = strdup(config->whose);
	r = errand->whose ? errand_run(errand, config) : -ENOMEM;
	if (r < 0) {
		errand_dispose(errand);
		return r;
	}
	list_append(&errands->list, &errand->link);
	*ret_errand = errand;
	return 0;
}

/* ---- All of them ---- */

int errands_new(sd_event *loop, struct errands **ret_errands)
{
	struct errands *errands = calloc(1, sizeof(*errands));

	if (!errands)
		return -ENOMEM;
	errands->loop = sd_event_ref(loop);
	list_init(&errands->list);
	*ret_errands = errands;
	return 0;
}

sd_event *errands_loop(const struct errands *errands)
{
	return errands->loop;
}

void errands_free(struct errands *errands)
{
	if (!errands)
		return;
	list_for_each (link, &errands->list) {
		struct errand *errand = container_of(link, struct errand, link);

		if (errand->callbacks)
			errand->callbacks->ended(errand->owner, -ECANCELED);
		(void)pidfd_send_signal(errand->pidfd, SIGKILL, NULL, 0);
		errand_dispose(errand);
	}
	sd_event_unref(errands->loop);
	free(errands);
}
