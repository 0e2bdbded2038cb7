/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finding the other side: who connects here, or is connected to, and has the key. Whoever has not may
 * come as often as they like; of those who have not said all some are kept, the latest.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/carrier/program/tls.h"

#include <stdint.h>

#define WELCOME_GUESTS_MAX 8 /* who are at it at a time */

struct welcome {
	int network;        /* the socket; taken over */
	int daemon;         /* what ends when the daemon does; borrowed */
	uint64_t until;     /* ns, CLOCK_MONOTONIC */
	const uint8_t *key; /* of CARRIER_KEY_SIZE bytes; borrowed */
};

/*
 * Return: 0, *ret_tls: what has shaken hands; -ETIMEDOUT; -ECANCELED: the daemon has ended; -EPROTO: who
 * was connected to does not have the key; -errno of connect(2).
 */
int welcome_connect(const struct welcome *welcome, struct tls **ret_tls) MUST_CHECK;
int welcome_listen(const struct welcome *welcome, struct tls **ret_tls) MUST_CHECK;

uint64_t welcome_now(void);
