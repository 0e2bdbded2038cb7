/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* By hand: taps and passt for network adapters. */
#include "vmwp/resource/network_open.h"

#include "common/base/error.h"
#include "common/base/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

extern char **environ;

/* ---- Taps ---- */

/* One more queue of the interface. Return: its descriptor, -errno. */
static int tap_open(const char *name, bool multi_queue)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	AUTO_CLOSE int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return error_origin(-errno);
	if (multi_queue)
		request.ifr_flags |= IFF_MULTI_QUEUE;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return error_origin(-errno);
	return TAKE_FD(fd);
}

/* A network that takes everything and gives nothing: what it costs is what the adapter does. */
static int network_open_null(struct resources *resources, const struct definition_adapter *adapter,
			     struct failure *failure)
{
	char name[RESOURCES_NAME_MAX];
	int fd = open(DEFINITION_TAP_NULL, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return failure_set(failure, -errno, "Cannot open %s: %s.", DEFINITION_TAP_NULL,
				   strerror(errno));
	resources_socket_name(adapter->name, name);
	return resources_put(resources, name, fd);
}

/* An interface that was made for one queue alone says so at the first attempt. */
static int network_open_tap(struct resources *resources, const struct definition_adapter *adapter,
			    unsigned queues, struct failure *failure)
{
	char name[RESOURCES_NAME_MAX];
	bool multi_queue = true;
	int r = 0;

	for (unsigned i = 0; r >= 0 && i < queues; i++) {
		int fd = tap_open(adapter->tap, multi_queue);

		if (fd == -EINVAL && i == 0) {
			multi_queue = false;
			queues = 1;
			fd = tap_open(adapter->tap, multi_queue);
		}
		if (fd < 0)
			return failure_set(failure, fd, "Cannot open the tap %s: %s.", adapter->tap,
					   strerror(-fd));
		resources_tap_name(adapter->name, i, name);
		r = resources_put(resources, name, fd);
	}
	return r;
}

/* ---- passt ---- */

#define ARGUMENTS_MAX (16 + 2 * DEFINITION_FORWARDS_MAX)
#define PEER_FD       3 /* in passt */

struct passt {
	const char *arguments[ARGUMENTS_MAX];
	unsigned count;
	char mtu[16];
	char ports[DEFINITION_FORWARDS_MAX][DEFINITION_FORWARD_TEXT_SIZE];
};

static void passt_add(struct passt *passt, const char *argument)
{
	passt->arguments[passt->count++] = argument;
}

static void passt_fill(struct passt *passt, const struct definition_adapter *adapter)
{
	static const char *const fixed[] = { "passt", "--fd", "3", "--foreground", "--quiet" };

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		passt_add(passt, fixed[i]);
	snprintf(passt->mtu, sizeof(passt->mtu), "%u", adapter->mtu);
	passt_add(passt, "--mtu");
	passt_add(passt, passt->mtu);
	if (!adapter->host_loopback)
		passt_add(passt, "--no-map-gw");
	for (unsigned i = 0; i < adapter->forward_count; i++) {
		passt_add(passt, definition_forward_option(&adapter->forwards[i], passt->ports[i]));
		passt_add(passt, passt->ports[i]);
	}
	passt_add(passt, NULL);
}

/* Return: 0, -errno. */
static int passt_spawn(const struct passt *passt, int peer)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	pid_t pid;
	int r;

	r = posix_spawn_file_actions_init(&actions);
	if (r)
		return -r;
	r = posix_spawn_file_actions_adddup2(&actions, peer, PEER_FD);
	if (r)
		goto out_actions;
	r = posix_spawnattr_init(&attributes);
	if (r)
		goto out_actions;
	/* The signals that the worker takes care of are blocked here. */
	sigemptyset(&none);
	r = posix_spawnattr_setsigmask(&attributes, &none);
	if (!r)
		r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	if (!r)
		r = posix_spawnp(&pid, "passt", &actions, &attributes,
				 (char *const *)passt->arguments, environ);
	posix_spawnattr_destroy(&attributes);
out_actions:
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int network_open_user(struct resources *resources, const struct definition_adapter *adapter,
			     struct failure *failure)
{
	char name[RESOURCES_NAME_MAX];
	struct passt passt = { 0 };
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_origin(-errno);
	socket_make_room(pair[1], SOCKET_PASST_ROOM);
	passt_fill(&passt, adapter);
	r = passt_spawn(&passt, pair[1]);
	close(pair[1]);
	if (r < 0) {
		close(pair[0]);
		return failure_set(failure, r,
				   "Cannot run passt, the user-mode network of adapter %s: %s.%s",
				   adapter->name, strerror(-r),
				   r == -ENOENT ? " Install Debian's package passt." : "");
	}
	resources_socket_name(adapter->name, name);
	return resources_put(resources, name, pair[0]);
}

int network_open(struct resources *resources, const struct definition_adapter *adapter,
		 unsigned processors, struct failure *failure)
{
	if (adapter->tap && strcmp(adapter->tap, DEFINITION_TAP_NULL) == 0)
		return network_open_null(resources, adapter, failure);
	if (adapter->tap)
		return network_open_tap(resources, adapter,
					definition_adapter_queues(adapter, processors), failure);
	if (strcmp(adapter->switch_name, DEFINITION_SWITCH_DEFAULT) == 0)
		return network_open_user(resources, adapter, failure);
	if (strcmp(adapter->switch_name, DEFINITION_SWITCH_NONE) == 0)
		return 0;
	return failure_set(
		failure, -ENOTSUP,
		"Adapter %s is on the virtual switch %s, which only the service vmms can "
		"reach; by hand, name a \"tap\".",
		adapter->name, adapter->switch_name);
}
