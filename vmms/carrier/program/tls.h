/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TLS 1.3 over a socket that does not block, between two who have the same key and no certificates:
 * who has proved that is the one that the daemons were told of. The keys of the traffic are made anew
 * each time (ECDHE), so that whoever gets the key later reads nothing of what was recorded.
 *
 * Thread: the process's only one.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/carrier/program/carrier_protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tls;

/* What GnuTLS opens, it opens here: before the process is shut in. Return: 0; -EIO. */
int tls_prepare(void) MUST_CHECK;

/* socket: taken over, if 0 is returned. key: copied. Return: 0; -ENOMEM. */
int tls_new(int socket, bool server, const uint8_t key[static CARRIER_KEY_SIZE],
	    struct tls **ret_tls) MUST_CHECK;

/* NULL is allowed. */
void tls_free(struct tls *tls);

int tls_socket(const struct tls *tls);

/* POLLIN or POLLOUT: what is to be waited for after -EAGAIN. */
short tls_waits_for(const struct tls *tls);

/* Return: 0: it is done; -EAGAIN; -EPROTO: the other side does not have the key, or speaks otherwise;
 * -errno. */
int tls_shake_hands(struct tls *tls) MUST_CHECK;

/* There is more to be read than the socket would tell. */
bool tls_has_more(const struct tls *tls);

/* Return: bytes; 0: the other side has said that no more comes; -EAGAIN; -EPROTO: what came is not what
 * was sent; -ECONNRESET: it has ended without a word; -errno. */
ssize_t tls_read(struct tls *tls, void *bytes, size_t size) MUST_CHECK;

/* After -EAGAIN the same bytes are to be written again. Return: bytes; -EAGAIN; -errno. */
ssize_t tls_write(struct tls *tls, const void *bytes, size_t size) MUST_CHECK;

/* Says that no more comes from here. Return: 0; -EAGAIN; -errno. */
int tls_end(struct tls *tls) MUST_CHECK;
