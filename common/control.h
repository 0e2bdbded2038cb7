/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control socket between the daemon and a worker.
 *
 * A connected SOCK_SEQPACKET pair; each datagram is one JSON object of at most
 * CONTROL_MESSAGE_MAX bytes, an event of at most CONTROL_EVENT_MAX, with up to CONTROL_FDS_MAX
 * descriptors (SCM_RIGHTS):
 *
 *   request  {"id": 7, "method": "start", "arguments": {}}
 *   reply    {"id": 7, "result": {}}
 *   error    {"id": 7, "error": {"code": "invalid-state", "message": "…"}}
 *   event    {"event": "state", "data": {"state": "running", …}}
 *
 * Requests go from the daemon to the worker alone, replies and events the other way. Requests are
 * answered in any order, each once. "arguments", "result" and "data" may be left out: {}.
 *
 * Methods and events, their arguments, results and data: common/control_contract.h.
 *
 * Of what a guest can make happen as often as it likes the last is told, a few times a second at
 * most, and before any reply that comes after it; a state that was told already is not told again.
 * So a guest cannot keep replies and states from coming.
 *
 * Where the socket that a worker is given listens, as control_listen() makes it, the worker's VM
 * outlives the daemon: the worker talks to one connection at a time, and when that ends, it takes
 * the next. What was asked over the old one is not answered over the new one, which begins with
 * "adopt".
 *
 * Both ends distrust each other: what is not a message as above is refused as a whole and its
 * descriptors are closed. Unknown events and error codes are to be ignored by the receiver.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"

#include <stddef.h>
#include <stdint.h>

#define CONTROL_MESSAGE_MAX (256 * 1024) /* bytes; a definition with 256 disks fits */
#define CONTROL_EVENT_MAX   (16 * 1024)  /* bytes of an event, which nobody has asked for */
#define CONTROL_END_MAX     4096         /* bytes of what is left in the queue "end" */
#define CONTROL_FDS_MAX     64
#define CONTROL_FD          3 /* where a worker finds its end: vmwp --control-fd 3 */

/* Codes of errors. */
#define CONTROL_ERROR_INVALID         "invalid"         /* arguments make no sense */
#define CONTROL_ERROR_INVALID_STATE   "invalid-state"   /* not now */
#define CONTROL_ERROR_NOT_CONNECTED   "not-connected"   /* the guest runs no such service */
#define CONTROL_ERROR_NOT_CAPABLE     "not-capable"     /* this host cannot do it */
#define CONTROL_ERROR_BUSY            "busy"            /* the guest refuses: locked tray, … */
#define CONTROL_ERROR_NOT_FOUND       "not-found"       /* no such disk, or value */
#define CONTROL_ERROR_EXISTS          "exists"          /* its place is taken */
#define CONTROL_ERROR_REFUSED         "refused"         /* the guest would not, or could not */
#define CONTROL_ERROR_TIMEOUT         "timeout"         /* the guest does not answer */
#define CONTROL_ERROR_UNKNOWN_OUTCOME "unknown-outcome" /* of a move: it may have been done */
#define CONTROL_ERROR_FAILED          "failed"          /* anything else; the message says what */

enum {
	_CONTROL_E_OK,
	CONTROL_E_CLOSED,    /* the peer has closed its end */
	CONTROL_E_EMPTY,     /* nothing to receive now */
	CONTROL_E_MALFORMED, /* one datagram was not a message; it is dropped, its fds are closed */
	CONTROL_E_REFUSED,   /* a request that does not fit the contract, or comes too early */
	CONTROL_E_UNKNOWN,   /* an event that the contract does not have */
};

enum control_kind { CONTROL_REQUEST, CONTROL_REPLY, CONTROL_ERROR, CONTROL_EVENT };

struct control_message {
	enum control_kind kind;
	uint32_t id;              /* not of events */
	const char *name;         /* the method, the error's code, the event; of a reply "" */
	const char *text;         /* the error's message; else "" */
	struct json_object *body; /* arguments, result, data; always an object; of an error {} */
	int fds[CONTROL_FDS_MAX]; /* close-on-exec; -1 where taken with TAKE_FD() */
	size_t fd_count;
	size_t size;              /* bytes of the text */
	struct json_object *tree; /* owns all of the above but the descriptors */
};

/* Frees what the message owns, descriptors that were not taken included. */
void control_message_deinit(struct control_message *message);

/* Has a connected socket take the largest message. */
void control_make_room(int socket);

/*
 * The same between processes that may come later: a listening socket at that path, in place of what
 * was there, and a connection to it. Only their owner may connect. Return: 0; -ENAMETOOLONG;
 * -errno, of connect(2): -ECONNREFUSED: nobody has it open any more.
 */
int control_listen(const char *path, int *ret_socket) MUST_CHECK;
int control_connect(const char *path, int *ret_socket) MUST_CHECK;

/*
 * Receives one message without waiting. Return: 0, the caller deinits *ret_message; CONTROL_E_;
 * -errno of recvmsg(2).
 */
int control_receive(int socket, struct control_message *ret_message) MUST_CHECK;

/* The same of messages of at most `most` bytes; a larger one is CONTROL_E_MALFORMED. */
int control_receive_bounded(int socket, size_t most,
			    struct control_message *ret_message) MUST_CHECK;

/*
 * The same from bytes at hand. The message has no descriptors. Return: 0; CONTROL_E_MALFORMED;
 * -ENOMEM.
 */
int control_decode(const char *text, size_t size, struct control_message *ret_message) MUST_CHECK;

/* Messages to be sent later. The tree (NULL: {}) is borrowed. NULL without memory. */
struct json_object *control_reply(uint32_t id, struct json_object *result);
struct json_object *control_error(uint32_t id, const char *code, const char *text);
struct json_object *control_event(const char *event, struct json_object *data);

/* Sends one of them, borrowed, without waiting. Return: as below. */
int control_send(int socket, struct json_object *message) MUST_CHECK;

/*
 * Sends a request without waiting. The tree (NULL: {}) and the descriptors are borrowed. Return:
 * 0; -EMSGSIZE: too large; -EAGAIN: the peer does not keep up; -EPIPE: it is gone; -ENOMEM;
 * -errno of sendmsg(2).
 */
int control_send_request(int socket, uint32_t id, const char *method, struct json_object *arguments,
			 const int *fds, size_t fd_count) MUST_CHECK;

/* The same request, for another process to send; and the bytes of a message, which keeps them. */
struct json_object *control_request(uint32_t id, const char *method, struct json_object *arguments);
const char *control_text(struct json_object *message, size_t *ret_size);
