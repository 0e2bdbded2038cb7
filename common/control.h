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
 * Methods                 arguments
 *   descriptors           {"names": ["kvm", "kernel", "initrd", "serial", "end", "disk:0:3"]}, one
 *                         descriptor for each name; may be sent several times. "end" is a message
 *                         queue (mq_overview(7)) in which the worker leaves the data of the last
 *                         "state" event, of at most CONTROL_END_MAX bytes, for a daemon that was
 *                         not there to hear it. "sockets" is a stream socket that listens,
 *                         and leads to ports of the guest. For the image of a disk whose "format"
 *                         is not raw, here and in "attach", it is a connection to the image's
 *                         server (common/wire/nbd.h), which may still be starting. A network
 * adapter has "net:NAME:QUEUE" for each queue of a tap (opened with IFF_VNET_HDR, and
 * IFF_MULTI_QUEUE if there are several; QUEUE from 0), or "net:NAME" for the socket of a user-mode
 * network, or none: its link is down configure             {"definition": {…}}: vmms-vm.json(5),
 * after the descriptors it needs start                 the guest's first instruction; the first
 * "state" event follows pause, resume, reset dump                  and the descriptor of an empty
 * file: a core file of the guest, which is paused meanwhile; answered when it is written
 *   cancel_dump           the answer to "dump" follows
 *   shutdown              {"force": bool, "reboot": bool, "hibernate": bool}: ask the guest by
 *                         the shutdown service; "not-connected" if it has none running
 *   stop                  turn off: the worker answers and exits
 *   change_actions        {"actions": {…}}: what happens upon the guest's crash and the like, as in
 *                         the definition, from now on
 *   pin                   {"pinning": […]}: which CPUs vps run on from now on, as in the
 * definition's "resources"; what can be done is done, also where it fails set_memory {"size":
 * bytes}: what the guest is meant to have from now on, of dynamic memory attach {"disk": {…}}, as
 * in the definition, and its descriptor (none for an empty DVD drive) detach {"controller": n,
 * "lun": n} insert                {"controller": n, "lun": n, "path": "…"} and a descriptor eject
 * {"controller": n, "lun": n, "force": bool} attach_adapter        {"adapter": {…}, "backend":
 * "tap|socket|none"}, the adapter as in the definition, and the descriptors of the back end, of a
 * tap by queue detach_adapter        {"name": "…"}: the guest loses the adapter connect_adapter
 * {"name": "…", "backend": "tap|socket"} and the descriptors: in place of what it was connected to;
 * the guest sees its link go and come back disconnect_adapter    {"name": "…"}: the link goes down,
 * the descriptors are closed list_values           {"pool":
 * "external|guest|auto|auto-external|auto-internal"}; result:
 *                         {"values": [["key", "value"], …], "truncated": bool}
 *   reconnect             {"controller": n, "lun": n}, and the descriptor of another connection to
 *                         the server of that disk's image, of which requests are made again that
 *                         were under way over the last one; or none: they fail, and all later ones
 *   cancel_detach         nobody waits any more for media that leave: "detach", "insert" and
 * "eject" are answered with {"in_use": true}; they leave the guest all the same, and are closed
 * when their I/O is over get_value             {"pool": "…", "key": "…"}; result: {"value": "…"}
 *   set_value             {"pool": "…", "key": "…", "value": "…"}
 *   delete_value          {"pool": "…", "key": "…"}
 *   freeze                {"limit": seconds}: the guest's file systems; thawed after that by itself
 *   thaw
 *   copy_file             {"path": "…", "overwrite": bool, "create_path": bool}, and the
 *                         descriptor of a regular file; answered when the guest has it
 *   cancel_copy
 *   open_socket           {"port": n}, and the descriptor of a connected stream socket: becomes a
 *                         connection to that port of the guest; answered when the guest has taken
 *                         it
 *   answer_socket         {"request": n}, of a "connect" event, and the descriptor of a connected
 *                         stream socket, or none: nobody listens there; a request that is no more
 *                         is ignored
 *   status                result: {"state", "engine", "vps", "vmbus_version", …}
 *   statistics            result: what is counted, from the VM's start, over resets:
 *                         {"exits": {"io-port", "mmio", "msr-read", "msr-write", "hypercall",
 *                         "synic", "halt", "shutdown", "kick", "error"}: of vps, to the worker;
 *                         "kernel_exits": {"all", "halt", "interrupt", "interrupt-window",
 *                         "io-port", "mmio", "hypercall", "signal"}: of vps, as KVM counts them;
 *                         "vmbus": {"interrupts", "messages", "timers"}; "disk": {"reads",
 *                         "writes", "flushes", "unmaps", "bytes_read", "bytes_written", "errors",
 *                         "read_latency": [n, …], "read_latency_ns", and the same of writes: how
 *                         many took at most 2^i microseconds, CONTROL_LATENCY_BUCKETS numbers of
 *                         which the last has all others, and the sum of nanoseconds};
 *                         "network": {"sent_frames", "sent_bytes", "sent_dropped", and the same
 *                         of "received_"}}
 *   disks                 result: {"disks": […]}, of each with a medium as a "disk" event has it
 *   processors            result: {"removed": ["avx2", …], "enlightenments":
 *                         {"reference_tsc": "on|off|not-offered", …}}: features that KVM could
 *                         give the guest, and the definition's model does not have; what the
 *                         guest is told of Hyper-V
 *   inspect               {"part": "machine|vps|vmbus|channels|gpadls|devices|sockets",
 *                         "first": n}; result: the worker's objects as they are, under the name of
 *                         the part: an object, or an array, of vps from that vp on, of channels
 *                         from that relid on, of others from the one that `first` counts to, and of
 *                         no more than a message holds; "next": n, where the rest begins, if there
 *                         is more
 *   capabilities          result: as `vmwp --probe` prints it
 *
 * Events                  data
 *   state                 {"state": "running|paused|stopped|kept", "reason": "…", "message": "…"}
 *                         reason: guest-shutdown, guest-hibernated, guest-reset,
 *                         triple-fault, crash, stopped, error, disk-error: also of "paused"
 *   reset                 {"reason": "…", "resets": n}: the machine was reset and runs on; n: how
 *                         often by now
 *   crash                 {"parameters": ["0x…", …], "text": "…"}: the guest's crash MSRs; once
 *                         until it has come up anew
 *   heartbeat             {"status": "ok|lost|unknown"}
 *   guest                 {"host_name", "os_name", "os_version", "os_major", "os_build",
 *                         "architecture", "services_version", "ipv4", "ipv6"}, all text: what the
 *                         guest tells of itself; addresses with semicolons between them
 *   memory                {"state": "absent|negotiating|resting|taking|giving|adding|refused",
 *                         "target", "assigned", "reported": bool, "demand", "available",
 *                         "failures"}, in bytes but for the last: what the guest is meant to have,
 *                         as far as it can, has, and needs,
 *                         as far as it has said; and how often pages could not be given back to
 *                         the host
 *   thawed                {"reason": "limit|gone|unknown"}: a frozen guest is not any more, without
 *                         having been asked; unknown: it was told to thaw, and did not answer
 *   copy                  {"copied": bytes, "size": bytes}: of the file, every now and then
 *   dump                  {"done": bytes, "size": bytes}: of the guest's memory, every now and then
 *   connect               {"request": n, "port": n}: the guest wants to connect to that port of the
 *                         host's; "answer_socket" is to follow, within some seconds
 *   vmbus                 {"version": "5.3"}; "" when the guest has left
 *   ejected               {"controller": n, "lun": n}: the guest took the medium out of a DVD drive
 *   disk                  {"controller": n, "lun": n, "health":
 *                         "ok|errors|full|held|no-server|lost", "size": bytes, "sector_size":
 *                         bytes, "held": n, "errors": n, "error": "…", "operation":
 *                         "read|write|flush|unmap|zero", "offset": bytes}: held: requests that
 *                         wait until the host can carry them out, for space ("full") or because
 *                         of another error ("held"); errors: those that failed, and the guest was
 *                         told; the last three, of the last failure, are missing if there was none
 *   network               {"adapter": "…", "state": "closed"}: the back end has ended by itself;
 *                         the link is down. {"adapter": "…", "addresses": ["192.0.2.7", …]}: what
 *                         the guest says it has there, at most CONTROL_ADDRESSES_MAX texts; []:
 *                         nothing any more
 *
 * Of what a guest can make happen as often as it likes the last is told, a few times a second at
 * most, and before any reply that comes after it; a state that was told already is not told again.
 * So a guest cannot keep replies and states from coming.
 *
 * Where the socket that a worker is given listens, as control_listen() makes it, the worker's VM
 * outlives the daemon: the worker talks to one connection at a time, and when that ends, it takes
 * the next. What was asked over the old one is not answered over the new one, which begins with
 *
 *   adopt                 {}, and two descriptors: a serial line, and a standard error; result: as
 *                         of "status", after events that tell what is true now, and "changed": the
 *                         number of the last request over the old connection that has changed
 *                         devices or actions, or is about to; 0: none has
 *
 * Both ends distrust each other: what is not a message as above is refused as a whole and its
 * descriptors are closed. Unknown events and error codes are to be ignored by the receiver.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"

#include <stddef.h>
#include <stdint.h>

#define CONTROL_MESSAGE_MAX     (256 * 1024) /* bytes; a definition with 256 disks fits */
#define CONTROL_EVENT_MAX       (16 * 1024)  /* bytes of an event, which nobody has asked for */
#define CONTROL_END_MAX         4096         /* bytes of what is left in the queue "end" */
#define CONTROL_FDS_MAX         64
#define CONTROL_ADDRESSES_MAX   16 /* of an adapter */
#define CONTROL_LATENCY_BUCKETS 24
#define CONTROL_FD              3 /* where a worker finds its end: vmwp --control-fd 3 */

/* What "inspect" tells of. */
enum control_part {
	CONTROL_PART_MACHINE,
	CONTROL_PART_VPS,
	CONTROL_PART_VMBUS,
	CONTROL_PART_CHANNELS,
	CONTROL_PART_GPADLS,
	CONTROL_PART_DEVICES,
	CONTROL_PART_SOCKETS,
	CONTROL_PARTS,
};
extern const char *const control_part_names[CONTROL_PARTS + 1]; /* closed by NULL */

/* Codes of errors. */
#define CONTROL_ERROR_INVALID       "invalid"       /* arguments make no sense */
#define CONTROL_ERROR_INVALID_STATE "invalid-state" /* not now */
#define CONTROL_ERROR_NOT_CONNECTED "not-connected" /* the guest runs no such service */
#define CONTROL_ERROR_NOT_CAPABLE   "not-capable"   /* this host cannot do it */
#define CONTROL_ERROR_BUSY          "busy"          /* the guest refuses: locked tray, … */
#define CONTROL_ERROR_NOT_FOUND     "not-found"     /* no such disk, or value */
#define CONTROL_ERROR_EXISTS        "exists"        /* its place is taken */
#define CONTROL_ERROR_REFUSED       "refused"       /* the guest would not, or could not */
#define CONTROL_ERROR_TIMEOUT       "timeout"       /* the guest does not answer */
#define CONTROL_ERROR_FAILED        "failed"        /* anything else; the message says what */

enum {
	_CONTROL_E_OK,
	CONTROL_E_CLOSED,    /* the peer has closed its end */
	CONTROL_E_EMPTY,     /* nothing to receive now */
	CONTROL_E_MALFORMED, /* one datagram was not a message; it is dropped, its fds are closed */
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

/* A connected pair, non-blocking, close-on-exec, with room for the largest message. */
int control_socketpair(int ret_sockets[static 2]) MUST_CHECK;

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
