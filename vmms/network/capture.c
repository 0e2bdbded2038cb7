/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A capture: from a packet socket into a pipe.
 *
 * A record is written as a whole or not at all. What the pipe cannot take waits in a buffer of one
 * pipe's size; while it waits, frames are dropped. The kernel gives the outermost VLAN tag apart
 * from the frame; it is put back where it was.
 */
#include "vmms/network/capture.h"

#include "common/base/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define FRAME_MAX     (256 * 1024)
#define BUFFER_SIZE   (1024 * 1024)
#define RECORD_EXTRA  256 /* bytes of a record beside the frame */
#define TAKEN_AT_ONCE 64  /* frames, before others get their turn */

#define BLOCK_SECTION     0x0a0d0d0au
#define BLOCK_INTERFACE   1u
#define BLOCK_STATISTICS  5u
#define BLOCK_PACKET      6u
#define BYTE_ORDER_MAGIC  0x1a2b3c4du
#define LINKTYPE_ETHERNET 1

#define OPTION_END              0
#define OPTION_NAME             2 /* of an interface */
#define OPTION_DESCRIPTION      3
#define OPTION_RESOLUTION       9
#define OPTION_PACKET_FLAGS     2
#define OPTION_RECEIVED         4
#define OPTION_DROPPED          5
#define OPTION_USER_APPLICATION 4

struct capture {
	struct capture_config config;
	int socket, pipe;
	sd_event_source *socket_source, *pipe_source;
	uint64_t received, dropped;
	size_t start, size; /* what waits in the buffer */
	uint8_t buffer[BUFFER_SIZE];
	uint8_t frame[FRAME_MAX + 4]; /* room for a tag */
};

/* ---- Records ---- */

static void capture_put(struct capture *capture, const void *bytes, size_t size)
{
	static const uint8_t padding[4];
	size_t end = capture->start + capture->size;

	if (size > 0)
		memcpy(capture->buffer + end, bytes, size);
	memcpy(capture->buffer + end + size, padding, -size & 3);
	capture->size += size + (-size & 3);
}

static void capture_put32(struct capture *capture, uint32_t value)
{
	capture_put(capture, &value, sizeof(value));
}

static void capture_put_option(struct capture *capture, uint16_t code, const void *value,
			       size_t size)
{
	const uint16_t head[2] = { code, (uint16_t)size };

	capture_put(capture, head, sizeof(head));
	capture_put(capture, value, size);
}

/* Return: where the block begins, for capture_block_end(). */
static size_t capture_block_begin(struct capture *capture, uint32_t type)
{
	size_t begin = capture->start + capture->size;

	capture_put32(capture, type);
	capture_put32(capture, 0);
	return begin;
}

static void capture_block_end(struct capture *capture, size_t begin)
{
	uint32_t size = (uint32_t)(capture->start + capture->size - begin + 4);

	capture_put32(capture, size);
	memcpy(capture->buffer + begin + 4, &size, sizeof(size));
}

static void capture_put_header(struct capture *capture)
{
	const uint16_t version[2] = { 1, 0 }, link[2] = { LINKTYPE_ETHERNET, 0 };
	const uint64_t unknown = UINT64_MAX;
	size_t block;

	block = capture_block_begin(capture, BLOCK_SECTION);
	capture_put32(capture, BYTE_ORDER_MAGIC);
	capture_put(capture, version, sizeof(version));
	capture_put(capture, &unknown, sizeof(unknown));
	capture_put_option(capture, OPTION_USER_APPLICATION, "vmms", 4);
	capture_put_option(capture, OPTION_END, NULL, 0);
	capture_block_end(capture, block);
	block = capture_block_begin(capture, BLOCK_INTERFACE);
	capture_put(capture, link, sizeof(link));
	capture_put32(capture, capture->config.snap_length);
	capture_put_option(capture, OPTION_NAME, capture->config.name,
			   strlen(capture->config.name));
	capture_put_option(capture, OPTION_DESCRIPTION, capture->config.description,
			   strlen(capture->config.description));
	capture_put_option(capture, OPTION_RESOLUTION, &(uint8_t){ 9 }, 1); /* nanoseconds */
	capture_put_option(capture, OPTION_END, NULL, 0);
	capture_block_end(capture, block);
}

static void capture_put_time(struct capture *capture, const struct timespec *time)
{
	uint64_t nanoseconds = (uint64_t)time->tv_sec * 1000000000 + (uint64_t)time->tv_nsec;

	capture_put32(capture, (uint32_t)(nanoseconds >> 32));
	capture_put32(capture, (uint32_t)nanoseconds);
}

static void capture_put_frame(struct capture *capture, const uint8_t *frame, size_t size,
			      bool outbound, const struct timespec *time)
{
	size_t kept = size, block = capture_block_begin(capture, BLOCK_PACKET);
	const uint32_t flags = outbound ? 2 : 1;

	if (capture->config.snap_length > 0)
		kept = MIN(kept, (size_t)capture->config.snap_length);
	capture_put32(capture, 0);
	capture_put_time(capture, time);
	capture_put32(capture, (uint32_t)kept);
	capture_put32(capture, (uint32_t)size);
	capture_put(capture, frame, kept);
	capture_put_option(capture, OPTION_PACKET_FLAGS, &flags, sizeof(flags));
	capture_put_option(capture, OPTION_END, NULL, 0);
	capture_block_end(capture, block);
}

static void capture_put_statistics(struct capture *capture)
{
	size_t block = capture_block_begin(capture, BLOCK_STATISTICS);
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	capture_put32(capture, 0);
	capture_put_time(capture, &now);
	capture_put_option(capture, OPTION_RECEIVED, &capture->received, sizeof(capture->received));
	capture_put_option(capture, OPTION_DROPPED, &capture->dropped, sizeof(capture->dropped));
	capture_put_option(capture, OPTION_END, NULL, 0);
	capture_block_end(capture, block);
}

/* ---- The pipe ---- */

/* Return: 0; -EAGAIN: something waits; -errno: the reader is gone. */
static int capture_drain(struct capture *capture)
{
	while (capture->size > 0) {
		ssize_t size =
			write(capture->pipe, capture->buffer + capture->start, capture->size);

		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0)
			return error_origin(-errno);
		capture->start += (size_t)size;
		capture->size -= (size_t)size;
	}
	capture->start = 0;
	return 0;
}

static bool capture_has_room(struct capture *capture, size_t size)
{
	if (capture->start > 0) {
		memmove(capture->buffer, capture->buffer + capture->start, capture->size);
		capture->start = 0;
	}
	return BUFFER_SIZE - capture->size >= size + RECORD_EXTRA;
}

/* Return: false: the capture has ended, and is gone. */
static bool capture_pass_on(struct capture *capture)
{
	int r = capture_drain(capture);

	if (r < 0 && r != -EAGAIN) {
		capture->config.ended(capture->config.owner);
		return false;
	}
	sd_event_source_set_io_events(capture->pipe_source, r == -EAGAIN ? EPOLLOUT : 0);
	return true;
}

static int capture_pipe_ready(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct capture *capture = data;

	if (events & EPOLLERR)
		capture->config.ended(capture->config.owner);
	else
		capture_pass_on(capture);
	return 0;
}

/* ---- The socket ---- */

/* Puts the tag back that the kernel took out of the frame. Return: the frame's size then. */
static size_t capture_restore_tag(struct capture *capture, struct msghdr *message, size_t size)
{
	const struct tpacket_auxdata *data = NULL;
	uint16_t tag[2];

	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
	     header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level == SOL_PACKET && header->cmsg_type == PACKET_AUXDATA)
			data = (const void *)CMSG_DATA(header);
	}
	if (!data || !(data->tp_status & TP_STATUS_VLAN_VALID) || size < 12)
		return size;
	tag[0] = htons(data->tp_status & TP_STATUS_VLAN_TPID_VALID ? data->tp_vlan_tpid
								   : ETH_P_8021Q);
	tag[1] = htons(data->tp_vlan_tci);
	memmove(capture->frame + 16, capture->frame + 12, size - 12);
	memcpy(capture->frame + 12, tag, sizeof(tag));
	return size + sizeof(tag);
}

/* Return: 0: a frame; -EAGAIN: there is none; -errno. */
static int capture_take_frame(struct capture *capture)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct iovec room = { capture->frame, FRAME_MAX };
	struct sockaddr_ll from;
	struct msghdr message = { .msg_name = &from,
				  .msg_namelen = sizeof(from),
				  .msg_iov = &room,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct timespec now;
	ssize_t size = recvmsg(capture->socket, &message, MSG_DONTWAIT);

	if (size < 0)
		return -errno;
	clock_gettime(CLOCK_REALTIME, &now);
	capture->received++;
	size = (ssize_t)capture_restore_tag(capture, &message, (size_t)size);
	if (capture_has_room(capture, (size_t)size))
		capture_put_frame(capture, capture->frame, (size_t)size,
				  from.sll_pkttype == PACKET_OUTGOING, &now);
	else
		capture->dropped++;
	return 0;
}

static int capture_socket_ready(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct capture *capture = data;
	int r = 0;

	for (int i = 0; i < TAKEN_AT_ONCE && r == 0; i++)
		r = capture_take_frame(capture);
	if (capture_pass_on(capture) && r == -ENETDOWN && events & EPOLLERR)
		capture->config.ended(capture->config.owner);
	return 0;
}

/* ---- Life ---- */

static int capture_open_socket(int interface)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET,
				       .sll_protocol = htons(ETH_P_ALL),
				       .sll_ifindex = interface };
	AUTO_CLOSE int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1, size = 4 * 1024 * 1024;

	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) < 0)
		return error_origin(-errno);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_origin(-errno);
	return TAKE_FD(fd);
}

static int capture_watch(struct capture *capture, sd_event *loop)
{
	int r;

	r = sd_event_add_io(loop, &capture->socket_source, capture->socket, EPOLLIN,
			    capture_socket_ready, capture);
	if (r < 0)
		return r;
	return sd_event_add_io(loop, &capture->pipe_source, capture->pipe, EPOLLOUT,
			       capture_pipe_ready, capture);
}

int capture_start(sd_event *loop, const struct capture_config *config, struct capture **ret_capture,
		  int *ret_fd)
{
	CLEANUP(capture_freep) struct capture *capture = calloc(1, sizeof(*capture));
	int pipes[2], r;

	if (!capture)
		return -ENOMEM;
	capture->config = *config;
	capture->socket = capture->pipe = -1;
	r = capture->socket = capture_open_socket(config->interface);
	if (r < 0)
		return r;
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return error_origin(-errno);
	capture->pipe = pipes[1];
	AUTO_CLOSE int far = pipes[0];
	/* The reader's end may wait. */
	if (fcntl(capture->pipe, F_SETFL, O_NONBLOCK) < 0)
		return error_origin(-errno);
	r = capture_watch(capture, loop);
	if (r < 0)
		return r;
	capture_put_header(capture);
	capture->config.name = capture->config.description = NULL;
	*ret_fd = TAKE_FD(far);
	*ret_capture = TAKE_PTR(capture);
	return 0;
}

void capture_free(struct capture *capture)
{
	if (!capture)
		return;
	if (capture->pipe >= 0 && capture_has_room(capture, 0)) {
		capture_put_statistics(capture);
		(void)capture_drain(capture);
	}
	sd_event_source_disable_unref(capture->socket_source);
	sd_event_source_disable_unref(capture->pipe_source);
	close_fdp(&capture->socket);
	close_fdp(&capture->pipe);
	free(capture);
}
