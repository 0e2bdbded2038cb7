/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The process that carries a VM that moves from host to host: between the socket of the worker on its
 * own host and TCP, by TLS 1.3, whose key both daemons were given (vmms/carrier/carrier.h).
 *
 *	move-carrier connect|listen SECONDS
 *
 * It begins as the worker's user, and shuts itself in before it looks at anything that comes: with
 * common/base/isolate.h, and a list of system calls. What it has is open when it begins.
 *
 * On its standard output are lines: CARRIER_CONNECTED, once the other side has proved that it has the
 * key; of one that has listened CARRIER_BEGUN, when the first bytes have come; and others, which say
 * what went wrong, the last of them why it ended.
 */
#pragma once

#define CARRIER_KEY     3 /* a pipe: the key, and the end of it when the daemon ends */
#define CARRIER_STREAM  4 /* the worker's socket is its other end */
#define CARRIER_NETWORK 5 /* a TCP socket that does not block: connecting, or listening */

#define CARRIER_KEY_SIZE 32 /* bytes */

#define CARRIER_CONNECTED "connected"
#define CARRIER_BEGUN     "begun"
