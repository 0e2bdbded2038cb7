/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a client of the network block device protocol comes to use a disk. */
#include "vsp/storage/nbd_handshake.h"

#include "common/wire/nbd.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define REPLIES_MAX    16   /* to one option */
#define REPLY_SIZE_MAX 4096 /* bytes */

#define SIZE_MAX_OF_A_DISK ((uint64_t)INT64_MAX)
#define MINIMUM_DEFAULT    1u
#define PREFERRED_DEFAULT  4096u
#define PAYLOAD_DEFAULT    (32u << 20)

struct handshake {
	int socket;
	time_t deadline;
	struct nbd_export export;
	bool has_export;
};

/* ---- Bytes ---- */

static time_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static int passing_error(void)
{
	if (errno == EINTR)
		return 0;
	return errno == EAGAIN || errno == EWOULDBLOCK ? -ETIMEDOUT : -errno;
}

static int receive(struct handshake *handshake, void *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		struct iovec iov = { (char *)bytes + done, size - done };
		struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t count = recvmsg(handshake->socket, &message, 0);
		int r = count < 0 ? passing_error() : 0;

		if (r < 0)
			return r;
		if (count == 0)
			return -ECONNRESET;
		if (seconds() >= handshake->deadline)
			return -ETIMEDOUT;
		done += count > 0 ? (size_t)count : 0;
	}
	return 0;
}

static int send_all(struct handshake *handshake, const void *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		struct iovec iov = { (char *)bytes + done, size - done };
		struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t count = sendmsg(handshake->socket, &message, MSG_NOSIGNAL);
		int r = count < 0 ? passing_error() : 0;

		if (r < 0)
			return r;
		if (seconds() >= handshake->deadline)
			return -ETIMEDOUT;
		done += count > 0 ? (size_t)count : 0;
	}
	return 0;
}

/* ---- The greeting ---- */

static int take_greeting(struct handshake *handshake)
{
	struct nbd_greeting greeting;
	uint32_t flags;
	int r;

	r = receive(handshake, &greeting, sizeof(greeting));
	if (r < 0)
		return r;
	if (be64toh(greeting.magic) != NBD_GREETING_MAGIC ||
	    be64toh(greeting.option_magic) != NBD_OPTION_MAGIC ||
	    !(be16toh(greeting.flags) & NBD_FIXED_NEWSTYLE))
		return NBD_E_PROTOCOL;
	flags = htobe32(be16toh(greeting.flags) & (NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES));
	return send_all(handshake, &flags, sizeof(flags));
}

/* ---- The option ---- */

/* The default export has no name; and its block sizes are of interest. */
static int ask_to_go(struct handshake *handshake)
{
	const struct {
		struct nbd_option option;
		uint32_t name_size;
		uint16_t count, info;
	} PACKED message = {
		.option = { .magic = htobe64(NBD_OPTION_MAGIC),
			    .option = htobe32(NBD_OPTION_GO),
			    .size = htobe32(8) },
		.count = htobe16(1),
		.info = htobe16(NBD_INFO_BLOCK_SIZE),
	};

	return send_all(handshake, &message, sizeof(message));
}

static int take_export(struct handshake *handshake, const void *bytes, size_t size)
{
	struct nbd_info_export info;

	if (size != sizeof(info))
		return NBD_E_PROTOCOL;
	memcpy(&info, bytes, sizeof(info));
	handshake->export.size = be64toh(info.size);
	handshake->export.flags = be16toh(info.flags);
	handshake->has_export = true;
	return handshake->export.size <= SIZE_MAX_OF_A_DISK ? 0 : NBD_E_PROTOCOL;
}

static bool is_power_of_two(uint32_t value)
{
	return value && !(value & (value - 1));
}

static int take_block_size(struct handshake *handshake, const void *bytes, size_t size)
{
	struct nbd_export *export = &handshake->export;
	struct nbd_info_block_size info;

	if (size != sizeof(info))
		return NBD_E_PROTOCOL;
	memcpy(&info, bytes, sizeof(info));
	export->minimum = be32toh(info.minimum);
	export->preferred = be32toh(info.preferred);
	export->payload_maximum = be32toh(info.payload_maximum);
	return is_power_of_two(export->minimum) && is_power_of_two(export->preferred) &&
			       export->payload_maximum >= NBD_PAYLOAD_LEAST
		       ? 0
		       : NBD_E_PROTOCOL;
}

/* What was not asked for may be told all the same. */
static int take_info(struct handshake *handshake, const uint8_t *bytes, size_t size)
{
	uint16_t type;

	if (size < sizeof(type))
		return NBD_E_PROTOCOL;
	memcpy(&type, bytes, sizeof(type));
	switch (be16toh(type)) {
	case NBD_INFO_EXPORT:
		return take_export(handshake, bytes, size);
	case NBD_INFO_BLOCK_SIZE:
		return take_block_size(handshake, bytes, size);
	default:
		return 0;
	}
}

/* *ret_done: it was the last one. */
static int take_reply(struct handshake *handshake, bool *ret_done)
{
	struct nbd_option_reply reply;
	uint8_t bytes[REPLY_SIZE_MAX];
	uint32_t type, size;
	int r;

	*ret_done = false;
	r = receive(handshake, &reply, sizeof(reply));
	if (r < 0)
		return r;
	type = be32toh(reply.type);
	size = be32toh(reply.size);
	if (be64toh(reply.magic) != NBD_OPTION_REPLY_MAGIC ||
	    be32toh(reply.option) != NBD_OPTION_GO || size > sizeof(bytes))
		return NBD_E_PROTOCOL;
	r = receive(handshake, bytes, size);
	if (r < 0)
		return r;
	if (type & NBD_REPLY_ERROR)
		return NBD_E_REFUSED;
	if (type == NBD_REPLY_INFO)
		return take_info(handshake, bytes, size);
	*ret_done = true;
	return type == NBD_REPLY_ACKNOWLEDGED && handshake->has_export ? 0 : NBD_E_PROTOCOL;
}

static int check_abilities(const struct nbd_export *export)
{
	const uint16_t needed = NBD_HAS_FLUSH | NBD_HAS_FORCE_ACCESS | NBD_HAS_WRITE_ZEROES;

	if (!(export->flags & NBD_HAS_FLAGS))
		return NBD_E_LACKS;
	if (export->flags & NBD_IS_READ_ONLY)
		return 0;
	return (export->flags & needed) == needed ? 0 : NBD_E_LACKS;
}

int nbd_handshake(int socket, struct nbd_export *ret_export)
{
	struct handshake handshake = {
		.socket = socket,
		.deadline = seconds() + NBD_HANDSHAKE_SECONDS,
		.export = { .minimum = MINIMUM_DEFAULT,
			    .preferred = PREFERRED_DEFAULT,
			    .payload_maximum = PAYLOAD_DEFAULT },
	};
	bool done = false;
	int r;

	r = take_greeting(&handshake);
	if (r == 0)
		r = ask_to_go(&handshake);
	for (unsigned i = 0; r == 0 && !done && i < REPLIES_MAX; i++)
		r = take_reply(&handshake, &done);
	if (r == 0)
		r = done ? check_abilities(&handshake.export) : NBD_E_PROTOCOL;
	if (r == 0)
		*ret_export = handshake.export;
	return r;
}

const char *nbd_error_text(int error)
{
	static const char *const texts[] = {
		[NBD_E_PROTOCOL] = "its server does not speak the protocol",
		[NBD_E_REFUSED] = "its server refuses it",
		[NBD_E_LACKS] = "its server cannot flush, write through or write zeroes",
		[NBD_E_EMPTY] = "it is smaller than one sector",
		[NBD_E_BLOCKS] = "its server's blocks are larger than the disk's sectors",
		[NBD_E_READ_ONLY] = "its server lets nobody write to it",
	};

	if (error < 0)
		return strerrordesc_np(-error) ? strerrordesc_np(-error) : "unknown error";
	return (size_t)error < ARRAY_SIZE(texts) && texts[error] ? texts[error] : "no error";
}
