/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The worker's end of the control socket.
 *
 * Requests are taken off the socket whenever it is readable, and done in turn. One that is
 * answered later leaves a ticket, which is the server's until it is redeemed; it is worth nothing
 * any more when the connection is another one by then.
 *
 * Without a connection, events are lost: the next daemon asks what is true.
 */
#include "vmwp/control_server.h"

#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "vmwp/control_methods.h"
#include "vmwp/worker.h"
#include "vsp/ic.h"
#include "vsp/ic_kvp.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct control_server {
	struct worker *worker;
	int listener;        /* -1: the VM goes with the daemon */
	int socket;          /* -1: there is no daemon now */
	unsigned connection; /* counts them */
	struct loop_operation receive, accept;
	struct list tickets;
};

struct ticket {
	struct list link;
	struct control_server *server;
	uint32_t id;
	unsigned connection;
};

/* ---- Requests ---- */

static void control_send(struct control_server *server, uint32_t id, const struct reply *reply)
{
	int r;

	if (reply->error)
		r = control_send_error(server->socket, id, reply->error, reply->failure.message);
	else
		r = control_send_reply(server->socket, id, reply->result);
	if (r < 0)
		log_warning("a reply to the daemon was lost: %s", strerror(-r));
}

static void control_handle(struct control_server *server, struct control_message *message)
{
	struct reply reply = { 0 };

	if (message->kind != CONTROL_REQUEST)
		return;
	control_method_call(server, server->worker, message, &reply);
	if (!reply.later)
		control_send(server, message->id, &reply);
	json_object_put(reply.result);
}

/* ---- Connections ---- */

static void control_await(struct control_server *server)
{
	close_fdp(&server->socket);
	server->socket = -1;
	loop_accept(server->worker->loop, &server->accept, server->listener);
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

static void control_accepted(struct loop_operation *operation, int result, bool more)
{
	struct control_server *server = container_of(operation, struct control_server, accept);

	if (result >= 0) {
		server->socket = result;
		control_make_room(server->socket);
		loop_poll(server->worker->loop, &server->receive, server->socket, POLLIN);
	} else if (result == -ECONNABORTED || result == -EINTR) {
		control_await(server);
	} else {
		log_warning("no daemon can reach this worker any more: %s", strerror(-result));
	}
}

/* Return: whether it listens; -ENOTSOCK; -errno. */
static int socket_listens(int socket)
{
	socklen_t size = sizeof(int);
	int type, listens;

	if (getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
	    getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0)
		return -errno;
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
	server->worker = worker;
	server->listener = listens ? socket : -1;
	server->socket = listens ? -1 : socket;
	server->receive.complete = control_readable;
	server->accept.complete = control_accepted;
	list_init(&server->tickets);
	if (listens)
		control_await(server);
	else
		loop_poll(worker->loop, &server->receive, socket, POLLIN);
	*ret_server = server;
	return 0;

error:
	close(socket);
	return r;
}

void control_server_free(struct control_server *server)
{
	if (!server)
		return;
	list_for_each (link, &server->tickets)
		control_server_forget(container_of(link, struct ticket, link));
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
		control_send(ticket->server, ticket->id, reply);
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

static void control_send_and_put(struct control_server *server, const char *event,
				 struct json_object *data)
{
	int r = data ? 0 : -ENOMEM;

	if (r == 0 && server->socket >= 0)
		r = control_send_event(server->socket, event, data);
	if (r < 0 && r != -EPIPE)
		log_warning("the event \"%s\" was lost: %s", event, strerror(-r));
	json_object_put(data);
}

void control_server_state(struct control_server *server, enum machine_state state,
			  enum machine_reason reason, const char *message)
{
	control_send_and_put(server, "state",
			     json_make("state", json_object_new_string(machine_state_name(state)),
				       "reason",
				       json_object_new_string(machine_reason_name(reason)),
				       "message", json_object_new_string(message), NULL));
}

void control_server_reset(struct control_server *server, enum machine_reason reason)
{
	control_send_and_put(
		server, "reset",
		json_make("reason", json_object_new_string(machine_reason_name(reason)), NULL));
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
	control_send_and_put(
		server, "crash",
		json_make("parameters", parameters, "text", json_object_new_string(text), NULL));
}

void control_server_vmbus(struct control_server *server, uint32_t version)
{
	char text[16];

	worker_version_text(version, text);
	control_send_and_put(server, "vmbus",
			     json_make("version", json_object_new_string(text), NULL));
}

void control_server_heartbeat(struct control_server *server, const char *status)
{
	control_send_and_put(server, "heartbeat",
			     json_make("status", json_object_new_string(status), NULL));
}

void control_server_guest(struct control_server *server, const struct ic_kvp_guest *guest)
{
	control_send_and_put(server, "guest",
			     json_make("host_name", json_object_new_string(guest->host_name),
				       "os_name", json_object_new_string(guest->os_name),
				       "os_version", json_object_new_string(guest->os_version),
				       "os_major", json_object_new_string(guest->os_major),
				       "os_build", json_object_new_string(guest->os_build),
				       "architecture", json_object_new_string(guest->architecture),
				       "services_version",
				       json_object_new_string(guest->services_version), "ipv4",
				       json_object_new_string(guest->ipv4), "ipv6",
				       json_object_new_string(guest->ipv6), NULL));
}

void control_server_thawed(struct control_server *server, const char *reason)
{
	control_send_and_put(server, "thawed",
			     json_make("reason", json_object_new_string(reason), NULL));
}

void control_server_copy(struct control_server *server, uint64_t copied, uint64_t size)
{
	control_send_and_put(server, "copy",
			     json_make("copied", json_object_new_uint64(copied), "size",
				       json_object_new_uint64(size), NULL));
}

void control_server_ejected(struct control_server *server, unsigned controller, unsigned lun)
{
	control_send_and_put(server, "ejected",
			     json_make("controller", json_object_new_int64(controller), "lun",
				       json_object_new_int64(lun), NULL));
}

void control_server_network(struct control_server *server, const char *adapter, const char *state)
{
	control_send_and_put(server, "network",
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
		if (length > 0) {
			json_append(&list, json_object_new_string_len(addresses, (int)length));
			count++;
		}
		length += addresses[length] == ';';
	}
	control_send_and_put(
		server, "network",
		json_make("adapter", json_object_new_string(adapter), "addresses", list, NULL));
}
