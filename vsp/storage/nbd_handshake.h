/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a client of the network block device protocol (common/wire/nbd.h) comes to use a disk.
 *
 * It takes a few messages, for which the caller's thread waits: the server has greeted already, or
 * is about to. The server may be hostile: what it sends is bounded, in bytes and in time.
 *
 * Thread: any.
 */
#pragma once

#include "common/base/cc.h"

#include <stdint.h>

#define NBD_HANDSHAKE_SECONDS 10 /* after which the server is given up, at its next word */

enum {
	_NBD_E_OK,
	NBD_E_PROTOCOL, /* what it says is no such protocol, or too much of it */
	NBD_E_REFUSED,  /* it has no disk for us */
	NBD_E_LACKS,    /* it cannot do what a disk needs */

	/* Of disk_nbd_new(). */
	NBD_E_EMPTY,     /* its disk is smaller than one sector */
	NBD_E_BLOCKS,    /* its blocks are larger than a sector */
	NBD_E_READ_ONLY, /* it lets nobody write */
};

struct nbd_export {
	uint64_t size;            /* bytes */
	uint16_t flags;           /* NBD_HAS_… */
	uint32_t minimum;         /* bytes: what offsets and sizes are multiples of */
	uint32_t preferred;       /* bytes, a power of two */
	uint32_t payload_maximum; /* bytes, at least NBD_PAYLOAD_LEAST */
};

#define NBD_PAYLOAD_LEAST 65536u

/*
 * socket: connected, a stream, blocking, and with SO_RCVTIMEO and SO_SNDTIMEO if it is not to be
 * waited for for ever. The server's default export is taken; if it can be written, it can flush,
 * write through and write zeroes. Return: 0; NBD_E_; -errno.
 */
int nbd_handshake(int socket, struct nbd_export *ret_export) MUST_CHECK;

/* What an NBD_E_ code or a negative errno says to a person. Static text. */
const char *nbd_error_text(int error);
