/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl view: the screen of a guest, in whichever viewer there is.
 *
 * A viewer connects to a Unix socket of the caller's, here; each connection, one after another, is
 * handed on to one of the service's, here or on another host.
 */
#include "common/base/cleanup.h"
#include "vmms/vmctl/guest_socket.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/remote.h"
#include "vmms/vmctl/service.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Those that take the path of a socket; the first that there is. */
static const struct {
	const char *program;
	const char *before; /* the path, in its argument */
} viewers[] = {
	{ "xtigervncviewer", "" },
	{ "remote-viewer", "vnc+unix://" },
	{ "vncviewer", "" },
};

/* ---- The service ---- */

static enum status view_open_here(struct invocation *invocation, int *ret_fd)
{
	bool watch = invocation_has(invocation, "read-only");
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	enum status status = service_ask_vm(invocation, watch ? "WatchScreen" : "OpenScreen",
					    SERVICE_TIMEOUT, NULL, &reply);
	int fd, r;

	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_read(reply, "h", &fd);
	if (r >= 0)
		r = *ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

static enum status view_open_there(struct invocation *invocation, int *ret_fd)
{
	const char *vm = invocation->arguments[0];
	const char *const look[] = { "view", "--read-only", "--socket=-", "--", vm, NULL };
	const char *const use[] = { "view", "--socket=-", "--", vm, NULL };

	return remote_stream_open(invocation, invocation_has(invocation, "read-only") ? look : use,
				  ret_fd);
}

/* Bytes between a viewer and the service, until one of them has had enough. */
static enum status view_relay(struct invocation *invocation, int input, int output)
{
	bool there = remote_is_named(invocation);
	AUTO_CLOSE int fd = -1;
	enum status status;

	status = there ? view_open_there(invocation, &fd) : view_open_here(invocation, &fd);
	if (status == STATUS_OK && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		status = service_failed(-errno, NULL);
	if (status == STATUS_OK)
		status = guest_socket_relay(fd, input, output);
	close_fdp(&fd);
	return there && status == STATUS_OK ? remote_stream_end(invocation) : status;
}

/* ---- The socket ---- */

/* For nobody but the caller. Return: 0; -errno. */
static int view_listen(const char *path, int *ret_fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	mode_t mask;
	int r;

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	mask = umask(0177);
	r = bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	umask(mask);
	if (r == 0 && listen(fd, 1) < 0)
		r = -errno;
	if (r == 0)
		*ret_fd = TAKE_FD(fd);
	return r;
}

/* pidfd: of the viewer, whose end is the end of it all; -1: there is none. */
static enum status view_serve(struct invocation *invocation, int listener, int pidfd)
{
	enum status status = STATUS_OK;

	while (status == STATUS_OK) {
		struct pollfd fds[] = { { .fd = listener, .events = POLLIN },
					{ .fd = pidfd, .events = POLLIN } };

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0) {
			if (errno != EINTR)
				return service_failed(-errno, NULL);
			continue;
		}
		if (fds[0].revents) {
			AUTO_CLOSE int fd =
				accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

			if (fd >= 0)
				status = view_relay(invocation, fd, fd);
		} else if (fds[1].revents) {
			break;
		}
	}
	return status;
}

static const char *view_path; /* to be removed when a signal ends us */

static void view_on_signal(int number)
{
	unlink(view_path);
	signal(number, SIG_DFL);
	raise(number);
}

static enum status view_at(struct invocation *invocation, const char *path)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	AUTO_CLOSE int listener = -1;
	enum status status;
	int r = view_listen(path, &listener);

	if (r < 0)
		return usage_error(invocation, "cannot listen at '%s': %s", path, strerror(-r));
	view_path = path;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		signal(signals[i], view_on_signal);
	output_say(invocation, "the screen of VM '%s' is at %s, until ^C", invocation->arguments[0],
		   path);
	fflush(stdout);
	status = view_serve(invocation, listener, -1);
	unlink(path);
	return status;
}

/* ---- The viewer ---- */

_Noreturn static void view_run_viewer(const char *path)
{
	signal(SIGPIPE, SIG_DFL);
	for (size_t i = 0; i < ARRAY_SIZE(viewers); i++) {
		AUTO_FREE char *argument = NULL;

		if (asprintf(&argument, "%s%s", viewers[i].before, path) < 0)
			argument = NULL;
		else
			execlp(viewers[i].program, viewers[i].program, argument, NULL);
	}
	fprintf(stderr, "vmctl: there is no viewer; install the package tigervnc-viewer or "
			"virt-viewer, or see 'vmctl view --help' for a socket\n");
	_exit(STATUS_FAILED);
}

static enum status view_wait_for_viewer(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return service_failed(-errno, NULL);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? STATUS_OK : STATUS_FAILED;
}

static enum status view_with_viewer(struct invocation *invocation, const char *path)
{
	AUTO_CLOSE int listener = -1, pidfd = -1;
	enum status status, ended;
	pid_t pid;
	int r = view_listen(path, &listener);

	if (r < 0)
		return service_failed(r, NULL);
	pid = fork();
	if (pid == 0)
		view_run_viewer(path);
	if (pid > 0)
		pidfd = pidfd_open(pid, 0);
	if (pid < 0 || pidfd < 0)
		return service_failed(-errno, NULL);
	status = view_serve(invocation, listener, pidfd);
	/* Where there is nothing to be seen, it would wait for its user. */
	if (status != STATUS_OK)
		(void)kill(pid, SIGTERM);
	ended = view_wait_for_viewer(pid);
	return status == STATUS_OK ? ended : status;
}

static enum status view_in_folder(struct invocation *invocation)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	AUTO_FREE char *folder = NULL, *path = NULL;
	enum status status;

	if (asprintf(&folder, "%s/vmctl-view-XXXXXX", runtime && *runtime ? runtime : "/tmp") < 0 ||
	    !mkdtemp(folder) || asprintf(&path, "%s/%s", folder, invocation->arguments[0]) < 0)
		return service_failed(-errno, NULL);
	status = view_with_viewer(invocation, path);
	unlink(path);
	rmdir(folder);
	return status;
}

enum status command_view(struct invocation *invocation)
{
	const char *path = invocation_value(invocation, "socket");

	signal(SIGPIPE, SIG_IGN);
	if (!path)
		return view_in_folder(invocation);
	if (strcmp(path, "-") == 0)
		return view_relay(invocation, STDIN_FILENO, STDOUT_FILENO);
	return view_at(invocation, path);
}
