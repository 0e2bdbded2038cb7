/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hyper-V sockets: byte streams between ports of the guest (its AF_VSOCK) and stream sockets of the
 * host's.
 *
 * The host's end of a connection is a descriptor of a connected stream socket, which comes from
 * elsewhere: of somebody who wants to reach a port of the guest, or, asked for, of somebody who
 * listens on the host's port that the guest wants to reach. Bytes go from one to the other with
 * back-pressure both ways; either side may say that it sends no more, and still receive.
 *
 * All is bounded: SOCKETS_MAX connections, SOCKETS_ASKED_MAX of the guest's that are being asked
 * for; what a connection holds of the host's memory is one buffer and one packet. A connection
 * that the other side does not take within SOCKETS_TIMEOUT_NS fails.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "vsp/socket/socket_listener.h"
#include "vsp/vmbus/vmbus.h"

#include <stdint.h>

#define SOCKETS_MAX        128
#define SOCKETS_ASKED_MAX  16
#define SOCKETS_TIMEOUT_NS (10ull * 1000 * 1000 * 1000)

/* What has become of a connection to the guest. */
enum {
	_SOCKETS_E_OK,
	SOCKETS_E_ABSENT,  /* there is no guest, or it knows no such sockets */
	SOCKETS_E_LIMIT,   /* there are SOCKETS_MAX connections */
	SOCKETS_E_REFUSED, /* the guest did not take it: nobody listens on that port */
	SOCKETS_E_GONE,    /* the guest went before it had answered */
};

struct sockets;

struct sockets_callbacks {
	/*
	 * The guest connects to this port of the host's: sockets_answer() is to follow, perhaps at
	 * once. What is not answered in time is refused. request: not 0; of those that wait for an
	 * answer, no two are the same modulo SOCKETS_ASKED_MAX.
	 */
	void (*connect)(void *data, uint32_t request, uint32_t port);
};

/*
 * timeout_ns: 0: SOCKETS_TIMEOUT_NS. callbacks: borrowed. The connections are the bus's only
 * ones. Return: 0, -errno.
 */
int sockets_new(struct vmbus *bus, uint64_t timeout_ns, const struct sockets_callbacks *callbacks,
		void *data, struct sockets **ret_sockets) MUST_CHECK;

/* After vmbus_reset() is done, and the loop does not run again, or no guest has ever connected. */
void sockets_free(struct sockets *sockets);
DEFINE_CLEANUP(struct sockets *, sockets_free)

/* fd: a connected stream socket, taken over; -1: refused. A request that is no more is ignored. */
void sockets_answer(struct sockets *sockets, uint32_t request, int fd);

/*
 * Called once, perhaps before sockets_connect() has returned. result: 0; SOCKETS_E_. fd: on
 * success, of the host's end, through which nothing has gone yet; may be written to, still
 * theirs. port: of that end, as the guest sees it.
 */
typedef void (*sockets_connected_fn)(void *data, int result, int fd, uint32_t port);

/* Connects fd, of a connected stream socket, taken over, with a port of the guest. */
void sockets_connect(struct sockets *sockets, uint32_t port, int fd, sockets_connected_fn done,
		     void *data);

/*
 * Connections, at most `count` of them, from the one on that `first` counts to: an array.
 * *ret_next: where to go on; 0: that was all. New reference; NULL without memory.
 */
struct json_object;
struct json_object *sockets_inspect(const struct sockets *sockets, uint32_t first, unsigned count,
				    uint32_t *ret_next);

/* ---- State ---- */

struct state_reader;
struct state_writer;

/* The vps have stopped, and run again: between the two nothing goes through a connection. */
void sockets_quiesce(struct sockets *sockets);
void sockets_resume(struct sockets *sockets);

/*
 * What is known of quiet sockets where the VM goes on, as a record of that name: connections are
 * not, as their other ends are not there. The bus lets go of those, vmbus_restored(); what the guest
 * has asked for and was not answered is refused by sockets_resume(). Return: 0; STATE_E_ of
 * common/base/state.h.
 */
void sockets_save(const struct sockets *sockets, const char *name, struct state_writer *writer);
int sockets_restore(struct sockets *sockets, const char *name,
		    const struct state_reader *reader) MUST_CHECK;

/* ---- Reports ---- */

/* Connections that there are, those included that one side has not taken yet. */
unsigned sockets_count(const struct sockets *sockets);
