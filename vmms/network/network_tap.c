/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A tap interface with queues, by the ioctls of /dev/net/tun. */
#include "vmms/network/network_tap.h"

#include "common/base/cleanup.h"
#include "common/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define NAME_PATTERN "vmtap-%d" /* the kernel puts in the first free number */

static int tap_open_queue(struct ifreq *request)
{
	AUTO_CLOSE int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || ioctl(fd, TUNSETIFF, request) < 0)
		return error_origin(-errno);
	return TAKE_FD(fd);
}

int network_tap_open(unsigned queues, char ret_name[static IFNAMSIZ], int *ret_fds)
{
	struct ifreq request = { .ifr_flags =
					 IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE };
	int fd;

	strcpy(request.ifr_name, NAME_PATTERN);
	for (unsigned i = 0; i < queues; i++) {
		fd = tap_open_queue(&request);
		if (fd < 0) {
			while (i > 0)
				close(ret_fds[--i]);
			return fd;
		}
		ret_fds[i] = fd;
	}
	memcpy(ret_name, request.ifr_name, IFNAMSIZ);
	return 0;
}
