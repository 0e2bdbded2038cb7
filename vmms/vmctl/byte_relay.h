/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes between standard input and output, which may be pipes, and a stream socket for somebody who
 * needs one, by two threads.
 */
#pragma once

#include "common/base/cc.h"

#include <pthread.h>

struct byte_relay {
	int near; /* our end of the socket */
	pthread_t outwards;
};

/*
 * *ret_far: the other end; closed by the caller. SIGPIPE is ignored by the caller.
 * Return: 0; -errno.
 */
int byte_relay_begin(struct byte_relay *relay, int *ret_far) MUST_CHECK;

/*
 * Whoever has the other end has written all that it will: waits until that is at standard output.
 * What comes from standard input goes nowhere from then on.
 */
void byte_relay_end(struct byte_relay *relay);
