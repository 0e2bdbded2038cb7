/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl connect, ssh: ports of the guest, by Hyper-V sockets.
 *
 * What is read of one end is written to the other before more is read; each direction ends by
 * itself.
 */
#include "common/base/cleanup.h"
#include "common/base/parse.h"
#include "common/wire/exec.h"
#include "vmms/vmctl/guest_socket.h"
#include "vmms/vmctl/remote.h"
#include "vmms/vmctl/service.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT_MAX   0x7fffffffu
#define PIECE_SIZE 4096 /* bytes; a pipe that takes any takes as many */

/* ---- Relaying ---- */

struct direction {
	int from, to;
	bool ended; /* no more is read */
	bool over;  /* and all is written */
	char bytes[PIECE_SIZE];
	size_t first, end;
};

static void socket_direction_read(struct direction *direction)
{
	ssize_t size = read(direction->from, direction->bytes, sizeof(direction->bytes));

	if (size < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	direction->ended = size <= 0;
	direction->first = 0;
	direction->end = size > 0 ? (size_t)size : 0;
}

/* Whoever does not take it any more has had all that is wanted. */
static void socket_direction_write(struct direction *direction)
{
	ssize_t size = write(direction->to, direction->bytes + direction->first,
			     direction->end - direction->first);

	if (size > 0)
		direction->first += (size_t)size;
	else if (errno != EINTR && errno != EAGAIN)
		direction->ended = direction->over = true;
}

static struct pollfd socket_direction_poll(const struct direction *direction)
{
	if (direction->over)
		return (struct pollfd){ .fd = -1 };
	if (direction->first < direction->end)
		return (struct pollfd){ .fd = direction->to, .events = POLLOUT };
	return (struct pollfd){ .fd = direction->from, .events = POLLIN };
}

static void socket_direction_go(struct direction *direction)
{
	if (direction->first < direction->end)
		socket_direction_write(direction);
	else
		socket_direction_read(direction);
	if (!direction->ended || direction->first < direction->end || direction->over)
		return;
	direction->over = true;
	/* Standard output ends with vmctl. Of a guest that is a socket, and hears that no more comes. */
	if (direction->to != STDOUT_FILENO)
		(void)!shutdown(direction->to, SHUT_WR);
}

/* Until the guest sends no more. */
enum status guest_socket_relay(int fd, int input, int output)
{
	struct direction to_guest = { .from = input, .to = fd };
	struct direction from_guest = { .from = fd, .to = output };

	while (!from_guest.over) {
		struct pollfd fds[] = { socket_direction_poll(&to_guest),
					socket_direction_poll(&from_guest) };

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			return service_failed(-errno, NULL);
		if (fds[0].revents)
			socket_direction_go(&to_guest);
		if (fds[1].revents)
			socket_direction_go(&from_guest);
	}
	return STATUS_OK;
}

/* ---- connect ---- */

/* Who listens at the ports that vmctl knows, where it is not there. */
static const struct {
	uint32_t port;
	const char *text;
} listeners[] = {
	{ EXEC_PORT,
	  "this takes the agent in the guest: install the package vmms-guest there, and see "
	  "that its unit vmms-guest-agent.socket is active" },
	{ 22,
	  "ssh takes an sshd that listens at Hyper-V sockets: install the package vmms-guest in "
	  "the guest, and see that its unit vmms-guest-ssh.socket is active; systemd has "
	  "sshd-vsock.socket from version 256 on" },
};

/* Says why the call failed, and what the guest may lack. Frees *error. */
static enum status socket_refused(uint32_t port, int r, sd_bus_error *error)
{
	const char *text = "a program in the guest has to listen at that port of AF_VSOCK, and in "
			   "Linux the module hv_sock has to be loaded";
	bool lacks = sd_bus_error_has_name(error, DBUS_ERROR_GUEST_REFUSED) ||
		     sd_bus_error_has_name(error, DBUS_ERROR_NOT_CONNECTED);
	enum status status = service_failed(r, error);

	for (size_t i = 0; i < ARRAY_SIZE(listeners); i++) {
		if (listeners[i].port == port)
			text = listeners[i].text;
	}
	if (lacks)
		fprintf(stderr, "vmctl: %s\n", text);
	return status;
}

static enum status socket_open_here(struct invocation *invocation, const char *vm, uint32_t port,
				    int *ret_fd)
{
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	AUTO_FREE char *path = NULL;
	enum status status;
	int fd, r;

	status = service_find_vm(invocation, vm, &path);
	if (status == STATUS_OK)
		status = service_new_call(invocation, path, "OpenSocket", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "u", port);
	if (r < 0)
		return service_failed(r, NULL);
	r = service_call(invocation, call, SERVICE_LONG_TIMEOUT, &error, &reply);
	if (r < 0)
		return socket_refused(port, r, &error);
	r = sd_bus_message_read(reply, "h", &fd);
	if (r >= 0)
		r = *ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

/* By vmctl connect, which says there what guests may lack. */
static enum status socket_open_there(struct invocation *invocation, const char *vm, uint32_t port,
				     int *ret_fd)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", port);
	return remote_stream_open(invocation,
				  (const char *const[]){ "connect", "--", vm, text, NULL }, ret_fd);
}

enum status guest_socket_open(struct invocation *invocation, const char *vm, uint32_t port,
			      int *ret_fd)
{
	return remote_is_named(invocation) ? socket_open_there(invocation, vm, port, ret_fd)
					   : socket_open_here(invocation, vm, port, ret_fd);
}

enum status command_connect(struct invocation *invocation)
{
	const char *text = invocation->arguments[1];
	AUTO_CLOSE int fd = -1;
	enum status status;
	uint64_t port;

	if (parse_unsigned(text, 0, PORT_MAX, &port) < 0)
		return usage_error(invocation, "'%s' is no port, a number up to %u", text,
				   PORT_MAX);
	status = guest_socket_open(invocation, invocation->arguments[0], (uint32_t)port, &fd);
	if (status != STATUS_OK)
		return status;
	service_stop_asking(invocation);
	signal(SIGPIPE, SIG_IGN);
	/* A blocking write would hold up the other direction. */
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return service_failed(-errno, NULL);
	return guest_socket_relay(fd, STDIN_FILENO, STDOUT_FILENO);
}

/* ---- ssh ---- */

/*
 * By variables: ssh and the user's shell take names of VMs and paths for what they are not. ssh
 * puts an "exec" before it. For another host it may have to ask for a password.
 */
#define PROXY_COMMAND(option)                                                              \
	"ProxyCommand=\"$VMCTL_PROGRAM\" " option "--host=\"$VMCTL_HOST\" \"$VMCTL_BUS\" " \
	"connect \"$VMCTL_VM\" \"$VMCTL_PORT\""
#define SSH_PORT "22"

/* The option by which the bus is named, as it was for this vmctl. NULL without memory. */
static char *socket_bus_option(const struct invocation *invocation)
{
	const char *address = invocation_value(invocation, "address");
	char *option;

	if (!address && !remote_is_named(invocation) && !invocation_has(invocation, "user") &&
	    !invocation_has(invocation, "system"))
		address = getenv("VMMS_BUS_ADDRESS");
	if (address)
		return asprintf(&option, "--address=%s", address) < 0 ? NULL : option;
	return strdup(invocation_has(invocation, "user") ? "--user" : "--system");
}

/* NULL without memory. */
static char *socket_host_option(const struct remote_host *host)
{
	const char *at = strrchr(host->destination, '@'), *name = at ? at + 1 : host->destination;
	bool address = strchr(name, ':') != NULL;
	char *text;

	if (asprintf(&text, "%.*s%s%s%s%s%s", (int)(name - host->destination), host->destination,
		     address ? "[" : "", name, address ? "]" : "", host->port[0] ? ":" : "",
		     host->port) < 0)
		return NULL;
	return text;
}

static bool socket_set_environment(struct invocation *invocation, const char *vm)
{
	char program[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
	AUTO_FREE char *bus = socket_bus_option(invocation),
		       *host = socket_host_option(&invocation->host);

	program[MAX(length, 0)] = '\0';
	return bus && host && setenv("VMCTL_PROGRAM", length > 0 ? program : "vmctl", 1) == 0 &&
	       setenv("VMCTL_VM", vm, 1) == 0 && setenv("VMCTL_PORT", SSH_PORT, 1) == 0 &&
	       setenv("VMCTL_BUS", bus, 1) == 0 && setenv("VMCTL_HOST", host, 1) == 0;
}

/* By the uuid: another VM of that name has other keys. */
static char *socket_host_key_alias(const char *path)
{
	const char *uuid = strrchr(path, '/') + 1;
	char *alias;

	return asprintf(&alias, "HostKeyAlias=%s.vmms", uuid) < 0 ? NULL : alias;
}

/* Return: if there is no ssh. */
static enum status socket_run_ssh(const struct invocation *invocation, const char *alias)
{
	const char *proxy = remote_is_named(invocation) ? PROXY_COMMAND("")
							: PROXY_COMMAND("--no-ask-password ");
	const char *const first[] = {
		"ssh", "-o", proxy, "-o", alias, "-o", "CheckHostIP=no", "--"
	};
	size_t count = ARRAY_SIZE(first);
	AUTO_FREE const char **words =
		calloc(count + invocation->argument_count + 1, sizeof(*words));

	if (!words)
		return service_failed(-ENOMEM, NULL);
	memcpy(words, first, sizeof(first));
	for (size_t i = 0; i < invocation->argument_count; i++)
		words[count++] = invocation->arguments[i];
	execvp("ssh", (char **)words);
	fprintf(stderr, "vmctl: cannot run ssh: %s\n", strerror(errno));
	return STATUS_FAILED;
}

enum status command_ssh(struct invocation *invocation)
{
	const char *destination = invocation->arguments[0], *at = strrchr(destination, '@');
	const char *name = at ? at + 1 : destination;
	AUTO_FREE char *path = NULL, *alias = NULL;
	enum status status;

	status = service_find_vm(invocation, name, &path);
	if (status != STATUS_OK)
		return status;
	alias = socket_host_key_alias(path);
	if (!alias || !socket_set_environment(invocation, name))
		return service_failed(-ENOMEM, NULL);
	service_stop_asking(invocation);
	return socket_run_ssh(invocation, alias);
}
