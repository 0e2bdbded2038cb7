/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TCP sockets for processes that carry VMs. */
#include "vmms/carrier/carrier.h"

#include "common/base/error.h"
#include "common/base/parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* A link that is dead is found so in half a minute. */
#define KEEPALIVE_IDLE     10 /* seconds */
#define KEEPALIVE_INTERVAL 5  /* seconds */
#define KEEPALIVE_COUNT    4
#define USER_TIMEOUT       30000 /* milliseconds */

union address {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
};

int carrier_ports_parse(const char *text, struct carrier_ports *ret_ports)
{
	const char *dash = strchr(text, '-');
	char first[8];
	uint64_t from, to;

	if (strcmp(text, "none") == 0) {
		*ret_ports = (struct carrier_ports){ 0, 0 };
		return 0;
	}
	snprintf(first, sizeof(first), "%.*s", dash ? (int)(dash - text) : (int)strlen(text), text);
	if ((dash && dash - text >= (ptrdiff_t)sizeof(first)) ||
	    parse_unsigned(first, 1, UINT16_MAX, &from) < 0 ||
	    parse_unsigned(dash ? dash + 1 : text, from, UINT16_MAX, &to) < 0)
		return -EINVAL;
	*ret_ports = (struct carrier_ports){ (uint16_t)from, (uint16_t)to };
	return 0;
}

static int carrier_read_address(const char *text, uint16_t port, union address *ret_address,
				socklen_t *ret_size)
{
	union address address = { .ipv6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) } };

	if (inet_pton(AF_INET6, text, &address.ipv6.sin6_addr) == 1) {
		*ret_address = address;
		*ret_size = sizeof(address.ipv6);
		return 0;
	}
	address = (union address){ .ipv4 = { .sin_family = AF_INET, .sin_port = htons(port) } };
	if (inet_pton(AF_INET, text, &address.ipv4.sin_addr) != 1)
		return -EINVAL;
	*ret_address = address;
	*ret_size = sizeof(address.ipv4);
	return 0;
}

int carrier_address_check(const char *address)
{
	union address ignored;
	socklen_t size;

	return carrier_read_address(address, 1, &ignored, &size);
}

/* Of a listening one, for those that it accepts. All of it is for speed, or for a link that dies. */
static void carrier_tune(int fd)
{
	static const struct {
		int level, option, value;
	} options[] = {
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE },
		{ IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL },
		{ IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT },
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		(void)setsockopt(fd, options[i].level, options[i].option, &options[i].value,
				 sizeof(options[i].value));
}

static int carrier_socket(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return error_origin(-errno);
	carrier_tune(fd);
	return fd;
}

static int carrier_listen_at(const char *address, uint16_t port, int *ret_fd)
{
	const int yes = 1;
	union address at;
	socklen_t size;
	int r = carrier_read_address(address, port, &at, &size);

	if (r < 0)
		return r;
	AUTO_CLOSE int fd = carrier_socket(at.any.sa_family);

	if (fd < 0)
		return fd;
	/* Whoever came last may still be in TIME_WAIT. */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(fd, &at.any, size) < 0 || listen(fd, SOMAXCONN) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int carrier_listen(const char *address, const struct carrier_ports *ports, int *ret_fd,
		   uint16_t *ret_port)
{
	int r = -EADDRINUSE;

	for (unsigned port = ports->first; r == -EADDRINUSE && port > 0 && port <= ports->last;
	     port++) {
		r = carrier_listen_at(address, (uint16_t)port, ret_fd);
		*ret_port = (uint16_t)port;
	}
	return r;
}

int carrier_connect(const char *address, uint16_t port, int *ret_fd)
{
	union address to;
	socklen_t size;
	int r = carrier_read_address(address, port, &to, &size);

	if (r < 0)
		return r;
	AUTO_CLOSE int fd = carrier_socket(to.any.sa_family);

	if (fd < 0)
		return fd;
	if (connect(fd, &to.any, size) < 0 && errno != EINPROGRESS)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}
