/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The worker's end of the control socket.
 *
 * Requests are taken off the socket whenever it is readable, and done in turn. One that is
 * answered later leaves a ticket, which is the server's until it is redeemed; it is worth nothing
 * any more when the connection is another one by then.
 *
 * Without a connection, events are lost: the next daemon asks what is true. With one, replies and
 * states come in order, whatever the guest does meanwhile: see vmwp/control/control_outbox.h. While
 * the daemon does not take them, no request of its is taken either.
 */
#include "vmwp/control/control_server.h"

#include "common/base/error.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/control_contract.h"
#include "vmwp/control/control_methods.h"
#include "vmwp/control/control_outbox.h"
#include "vmwp/control/worker.h"
#include "vmwp/control/worker_events.h"
#include "vsp/ic/ic.h"
#include "vsp/socket/sockets.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Of what a guest says, in bytes as JSON: an event has to fit into CONTROL_EVENT_MAX. */
#define CRASH_TEXT_MAX (14 * 1024)
#define GUEST_TEXT_MAX 1600 /* of each of nine */
#define ADDRESS_MAX    64   /* characters; what is longer is no address */

#define ACCEPT_PAUSE_NS 100000000 /* after a connection could not be taken */

struct control_server {
	struct worker *worker;
	int listener;        /* -1: the VM goes with the daemon */
	int socket;          /* -1: there is no daemon now */
	unsigned connection; /* counts them */
	struct loop_operation receive, accept;
	struct loop_timer pause; /* before a connection is accepted again */
	bool accept_failed;      /* the last time */
	struct control_outbox *outbox;
	bool held;                     /* requests wait until there is room for their replies */
	enum machine_state told_state; /* MACHINE_CREATED: none yet */
	struct list tickets;
};

struct ticket {
	struct list link;
	struct control_server *server;
	uint32_t id;
	unsigned connection;
};

/* ---- Requests ---- */

static void server_reply(struct control_server *server, uint32_t id, const struct reply *reply)
{
	control_outbox_send(server->outbox,
			    reply->error ? control_error(id, reply->error, reply->failure.message)
					 : control_reply(id, reply->result));
}

static void control_handle(struct control_server *server, struct control_message *message)
{
	struct reply reply = { 0 };

	if (message->kind != CONTROL_REQUEST)
		return;
	control_method_call(server, server->worker, message, &reply);
	if (!reply.later)
		server_reply(server, message->id, &reply);
	json_object_put(reply.result);
}

/* ---- Connections ---- */

static void control_connect_to(struct control_server *server, int socket)
{
	server->socket = socket;
	server->held = false;
	server->told_state = MACHINE_CREATED;
	control_outbox_connect(server->outbox, socket);
	loop_poll(server->worker->loop, &server->receive, socket, POLLIN);
}

static void control_accept(struct control_server *server)
{
	loop_accept(server->worker->loop, &server->accept, server->listener);
}

static void control_await(struct control_server *server)
{
	control_outbox_connect(server->outbox, -1);
	close_fdp(&server->socket);
	control_accept(server);
}

/*
 * A VM that runs waits for the next daemon; one that does not was given up half made. armed: the
 * socket is still watched.
 */
static void control_disconnected(struct control_server *server, bool armed)
{
	const struct machine *machine = server->worker->machine;

	server->connection++;
	if (server->listener < 0 || !machine || machine_state(machine) == MACHINE_CREATED) {
		log_warning("the daemon is gone: stopping");
		worker_stop(server->worker);
	} else if (armed) {
		loop_cancel(server->worker->loop, &server->receive);
	} else {
		control_await(server);
	}
}

/* Return: whether there is still a connection. */
static bool control_receive_all(struct control_server *server)
{
	struct control_message message;
	int r;

	for (;;) {
		server->held = control_outbox_is_full(server->outbox);
		if (server->held)
			return true;
		r = control_receive(server->socket, &message);
		if (r == CONTROL_E_MALFORMED) {
			log_warning("the daemon sent what is no message");
			continue;
		}
		if (r)
			return r == CONTROL_E_EMPTY;
		control_handle(server, &message);
		control_message_deinit(&message);
	}
}

static void control_readable(struct loop_operation *operation, int result, bool more)
{
	struct control_server *server = container_of(operation, struct control_server, receive);

	if (result == -ECANCELED)
		control_await(server);
	else if (!control_receive_all(server))
		control_disconnected(server, more);
	else if (!more)
		loop_poll(server->worker->loop, &server->receive, server->socket, POLLIN);
}

static void control_room(void *data)
{
	struct control_server *server = data;

	if (server->held && !control_receive_all(server))
		control_disconnected(server, true);
}

static void control_accepted(struct loop_operation *operation, int result, bool more)
{
	struct control_server *server = container_of(operation, struct control_server, accept);

	if (result >= 0) {
		server->accept_failed = false;
		control_make_room(result);
		control_connect_to(server, result);
	} else if (result == -ECONNABORTED || result == -EINTR) {
		control_accept(server);
	} else {
		if (!server->accept_failed)
			log_warning("no daemon can reach this worker; it tries on: %s",
				    strerror(-result));
		server->accept_failed = true;
		loop_timer_start(server->worker->loop, &server->pause, ACCEPT_PAUSE_NS);
	}
}

static void control_paused(struct loop_operation *operation, int result, bool more)
{
	control_accept(container_of(operation, struct control_server, pause.operation));
}

/* Return: whether it listens; -ENOTSOCK; -errno. */
static int socket_listens(int socket)
{
	socklen_t size = sizeof(int);
	int type, listens;

	if (getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
	    getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0)
		return error_origin(-errno);
	return type == SOCK_SEQPACKET ? listens : -ENOTSOCK;
}

int control_server_new(struct worker *worker, int socket, struct control_server **ret_server)
{
	struct control_server *server = NULL;
	int r, listens;

	r = listens = socket_listens(socket);
	if (r < 0)
		goto error;
	r = -ENOMEM;
	server = calloc(1, sizeof(*server));
	if (!server)
		goto error;
	r = control_outbox_new(worker->loop, control_room, server, &server->outbox);
	if (r < 0)
		goto error;
	server->worker = worker;
	server->listener = listens ? socket : -1;
	server->socket = -1;
	server->receive.complete = control_readable;
	server->accept.complete = control_accepted;
	server->pause.operation.complete = control_paused;
	list_init(&server->tickets);
	if (listens)
		control_await(server);
	else
		control_connect_to(server, socket);
	*ret_server = server;
	return 0;

error:
	free(server);
	close(socket);
	return r;
}

void control_server_free(struct control_server *server)
{
	if (!server)
		return;
	list_for_each (link, &server->tickets)
		control_server_forget(container_of(link, struct ticket, link));
	control_outbox_free(server->outbox);
	close_fdp(&server->socket);
	close_fdp(&server->listener);
	free(server);
}

/* ---- Answers that take their time ---- */

void *control_server_defer(struct control_server *server, uint32_t id)
{
	struct ticket *ticket = calloc(1, sizeof(*ticket));

	if (!ticket)
		return NULL;
	ticket->server = server;
	ticket->id = id;
	ticket->connection = server->connection;
	list_append(&server->tickets, &ticket->link);
	return ticket;
}

void control_server_forget(void *data)
{
	struct ticket *ticket = data;

	list_unlink(&ticket->link);
	free(ticket);
}

static void ticket_redeem(struct ticket *ticket, const struct reply *reply)
{
	if (ticket->connection == ticket->server->connection)
		server_reply(ticket->server, ticket->id, reply);
	control_server_forget(ticket);
}

void control_server_answer(void *data, const struct reply *reply)
{
	ticket_redeem(data, reply);
}

void control_server_done(void *data)
{
	ticket_redeem(data, &(struct reply){ 0 });
}

void control_server_shutdown_answered(void *data, int result)
{
	struct reply reply = { 0 };

	if (result == IC_E_REFUSED)
		reply_error(&reply, CONTROL_ERROR_BUSY, "The guest will not shut down.");
	else if (result == IC_E_TIMEOUT)
		reply_error(&reply, CONTROL_ERROR_FAILED, "The guest does not answer.");
	else if (result)
		reply_error(&reply, CONTROL_ERROR_NOT_CONNECTED,
			    "The guest's shutdown service ended before it answered.");
	ticket_redeem(data, &reply);
}

/* ---- Events ---- */

/* Takes over the data. */
static struct json_object *make_event(const char *event, struct json_object *data)
{
	AUTO_JSON struct json_object *taken = data;

	return taken ? control_event(event, taken) : NULL;
}

/* Takes over the data, the only ones of that event that are worth telling. */
static void server_tell(struct control_server *server, const char *event, struct json_object *data)
{
	control_outbox_tell(server->outbox, event, make_event(event, data));
}

/* The same of events that each have a subject of their own. */
static void server_tell_of(struct control_server *server, const char *event, const char *subject,
			   struct json_object *data)
{
	char name[CONTROL_OUTBOX_SUBJECT_MAX];

	snprintf(name, sizeof(name), "%s %s", event, subject);
	control_outbox_tell(server->outbox, name, make_event(event, data));
}

void control_server_state(struct control_server *server, enum machine_state state,
			  enum machine_reason reason, const char *message)
{
	if (state == server->told_state)
		return;
	server->told_state = state;
	control_outbox_send(
		server->outbox,
		make_event("state",
			   json_make("state", json_object_new_string(machine_state_name(state)),
				     "reason", json_object_new_string(machine_reason_name(reason)),
				     "message", json_object_new_string(message), NULL)));
}

void control_server_reset(struct control_server *server, enum machine_reason reason,
			  unsigned resets)
{
	server_tell(server, "reset",
		    json_make("reason", json_object_new_string(machine_reason_name(reason)),
			      "resets", json_object_new_int64(resets), NULL));
}

void control_server_crash(struct control_server *server, const struct hvshim_crash *crash)
{
	struct json_object *parameters = json_object_new_array();
	char text[sizeof(crash->text)];

	text_repair(text, sizeof(text), crash->text, crash->text_size);
	for (size_t i = 0; i < ARRAY_SIZE(crash->parameters); i++) {
		char parameter[24];

		snprintf(parameter, sizeof(parameter), "0x%" PRIx64, crash->parameters[i]);
		json_append(&parameters, json_object_new_string(parameter));
	}
	server_tell(server, "crash",
		    json_make("parameters", parameters, "text",
			      json_make_text(text, CRASH_TEXT_MAX), NULL));
}

void control_server_vmbus(struct control_server *server, uint32_t version)
{
	char text[16];

	worker_version_text(version, text);
	server_tell(server, "vmbus", json_make("version", json_object_new_string(text), NULL));
}

void control_server_firmware(struct control_server *server, enum firmware_word word)
{
	server_tell(server, "firmware",
		    json_make("state", json_object_new_string(firmware_word_names[word]), NULL));
}

void control_server_heartbeat(struct control_server *server, const char *status)
{
	server_tell(server, "heartbeat", json_make("status", json_object_new_string(status), NULL));
}

static struct json_object *guest_text(const char *text)
{
	return json_make_text(text, GUEST_TEXT_MAX);
}

void control_server_guest(struct control_server *server, const struct ic_kvp_guest *guest)
{
	server_tell(server, "guest",
		    json_make("host_name", guest_text(guest->host_name), "os_name",
			      guest_text(guest->os_name), "os_version",
			      guest_text(guest->os_version), "os_major",
			      guest_text(guest->os_major), "os_build", guest_text(guest->os_build),
			      "architecture", guest_text(guest->architecture), "services_version",
			      guest_text(guest->services_version), "ipv4", guest_text(guest->ipv4),
			      "ipv6", guest_text(guest->ipv6), NULL));
}

/* Takes over the report, as guest_memory_report() makes it. */
void control_server_memory(struct control_server *server, struct json_object *report)
{
	server_tell(server, "memory", report);
}

void control_server_thawed(struct control_server *server, const char *reason)
{
	server_tell(server, "thawed", json_make("reason", json_object_new_string(reason), NULL));
}

/*
 * The subject is the request's place: it is told of again only when it was answered, and that a few
 * times a second at most, which bounds what a guest can make of work here.
 */
void control_server_connect(struct control_server *server, uint32_t request, uint32_t port)
{
	char place[16];

	snprintf(place, sizeof(place), "%u", request % SOCKETS_ASKED_MAX);
	server_tell_of(server, "connect", place,
		       json_make("request", json_object_new_int64(request), "port",
				 json_object_new_int64(port), NULL));
}

void control_server_copy(struct control_server *server, uint64_t copied, uint64_t size)
{
	server_tell(server, "copy",
		    json_make("copied", json_object_new_uint64(copied), "size",
			      json_object_new_uint64(size), NULL));
}

static void server_tell_done(struct control_server *server, const char *event, uint64_t done,
			     uint64_t size)
{
	server_tell(server, event,
		    json_make("done", json_object_new_uint64(done), "size",
			      json_object_new_uint64(size), NULL));
}

void control_server_dump(struct control_server *server, uint64_t done, uint64_t size)
{
	server_tell_done(server, "dump", done, size);
}

void control_server_save(struct control_server *server, uint64_t done, uint64_t size)
{
	server_tell_done(server, "save", done, size);
}

void control_server_ejected(struct control_server *server, unsigned controller, unsigned lun)
{
	char drive[16];

	snprintf(drive, sizeof(drive), "%u:%u", controller, lun);
	server_tell_of(server, "ejected", drive,
		       json_make("controller", json_object_new_int64(controller), "lun",
				 json_object_new_int64(lun), NULL));
}

void control_server_disk(struct control_server *server, unsigned controller, unsigned lun,
			 struct json_object *report)
{
	char disk[16];

	snprintf(disk, sizeof(disk), "%u:%u", controller, lun);
	server_tell_of(server, "disk", disk, report);
}

void control_server_network(struct control_server *server, const char *adapter, const char *state)
{
	char subject[CONTROL_OUTBOX_SUBJECT_MAX / 2 + 16];

	snprintf(subject, sizeof(subject), "%s of %s", state, adapter);
	server_tell_of(server, "network", subject,
		       json_make("adapter", json_object_new_string(adapter), "state",
				 json_object_new_string(state), NULL));
}

/* The daemon knows an address from what is none. */
void control_server_addresses(struct control_server *server, const char *adapter,
			      const char *addresses)
{
	struct json_object *list = json_object_new_array();
	size_t length, count = 0;

	for (; *addresses != '\0' && count < CONTROL_ADDRESSES_MAX; addresses += length) {
		length = strcspn(addresses, ";");
		if (length > 0 && length <= ADDRESS_MAX) {
			json_append(&list, json_object_new_string_len(addresses, (int)length));
			count++;
		}
		length += addresses[length] == ';';
	}
	server_tell_of(
		server, "network", adapter,
		json_make("adapter", json_object_new_string(adapter), "addresses", list, NULL));
}
