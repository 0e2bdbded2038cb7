/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hyper-V sockets.
 *
 * What waits, for the guest to take an offer or for an answer to what the guest has asked, has a
 * deadline; one timer looks after all.
 */
#include "vsp/socket/sockets.h"

#include "common/base/json.h"
#include "common/base/list.h"
#include "common/base/loop.h"
#include "common/base/state.h"
#include "common/wire/hv_socket.h"
#include "vsp/socket/socket_stream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOCKETS_STATE_VERSION 1
#define SOCKETS_COUNT_MAX     (UINT32_MAX / SOCKETS_ASKED_MAX - 1)

struct connection {
	struct list link; /* in sockets->connections */
	struct sockets *sockets;
	struct socket_stream *stream;
	struct guid type, instance;
	uint32_t port;     /* of the host's end, where the host connects */
	uint64_t deadline; /* for the guest to take it */
	int failure;       /* SOCKETS_E_, if it ends without having been taken */
	sockets_connected_fn done;
	void *data;
};

/* A connection that the guest has asked for. */
struct asked {
	uint32_t request; /* 0: none has this place */
	struct guid service, endpoint;
	uint64_t deadline;
	bool orphaned; /* who was to answer is not here */
};

struct sockets {
	struct vmbus *bus;
	uint64_t timeout_ns;
	const struct sockets_callbacks *callbacks;
	void *data;
	struct list connections;
	unsigned connection_count;
	struct asked asked[SOCKETS_ASKED_MAX];
	uint32_t next_port, request_count;
	struct loop_timer timer;
	bool timer_runs;
	bool quiet;
};

/* ---- Deadlines ---- */

static uint64_t sockets_deadline(struct sockets *sockets)
{
	if (!sockets->timer_runs) {
		sockets->timer_runs = true;
		loop_timer_start(vmbus_loop(sockets->bus), &sockets->timer, sockets->timeout_ns);
	}
	return loop_now() + sockets->timeout_ns;
}

static void asked_refuse(struct sockets *sockets, struct asked *asked)
{
	asked->request = 0;
	vmbus_refuse_connect(sockets->bus, &asked->service, &asked->endpoint);
}

static void connection_abort(struct connection *connection, int failure)
{
	connection->failure = failure;
	socket_stream_abort(connection->stream);
}

/* Looks after one deadline. Return: whether it is over. */
static bool deadline_passed(uint64_t deadline, uint64_t now, uint64_t *next)
{
	if (deadline <= now)
		return true;
	*next = MIN(*next, deadline);
	return false;
}

static void sockets_timer(struct loop_operation *operation, int result, bool more)
{
	struct loop_timer *timer = container_of(operation, struct loop_timer, operation);
	struct sockets *sockets = container_of(timer, struct sockets, timer);
	uint64_t now = loop_now(), next = UINT64_MAX;

	sockets->timer_runs = false;
	if (sockets->quiet)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(sockets->asked); i++) {
		struct asked *asked = &sockets->asked[i];

		if (asked->request && deadline_passed(asked->deadline, now, &next))
			asked_refuse(sockets, asked);
	}
	list_for_each (link, &sockets->connections) {
		struct connection *connection = container_of(link, struct connection, link);

		if (!socket_stream_was_opened(connection->stream) &&
		    deadline_passed(connection->deadline, now, &next))
			connection_abort(connection, SOCKETS_E_REFUSED);
	}
	sockets->timer_runs = next != UINT64_MAX;
	if (sockets->timer_runs)
		loop_timer_start(vmbus_loop(sockets->bus), &sockets->timer, next - now);
}

/* ---- Connections ---- */

static void connection_done(struct connection *connection, int result, int fd)
{
	sockets_connected_fn done = connection->done;

	connection->done = NULL;
	if (done)
		done(connection->data, result, fd, connection->port);
}

static void connection_opened(void *owner, int fd)
{
	connection_done(owner, 0, fd);
}

static void connection_ended(void *owner)
{
	struct connection *connection = owner;

	list_unlink(&connection->link);
	connection->sockets->connection_count--;
	connection_done(connection, connection->failure, -1);
	free(connection);
}

static const struct socket_stream_callbacks stream_callbacks = {
	.opened = connection_opened,
	.ended = connection_ended,
};

/* fd: taken over. Return: 0; SOCKETS_E_LIMIT; -errno. */
static int sockets_offer(struct sockets *sockets, const struct connection *template, bool from_host,
			 int fd)
{
	struct socket_stream_config config = {
		.bus = sockets->bus,
		.type = template->type,
		.instance = template->instance,
		.from_host = from_host,
		.callbacks = &stream_callbacks,
	};
	AUTO_CLOSE int end = fd;
	struct connection *connection;
	int r;

	if (sockets->connection_count >= SOCKETS_MAX)
		return SOCKETS_E_LIMIT;
	connection = malloc(sizeof(*connection));
	if (!connection)
		return -ENOMEM;
	*connection = *template;
	connection->sockets = sockets;
	connection->failure = SOCKETS_E_GONE;
	connection->deadline = sockets_deadline(sockets);
	config.owner = connection;
	r = socket_stream_new(&config, end, &connection->stream);
	if (r < 0) {
		free(connection);
		return r;
	}
	(void)TAKE_FD(end);
	list_append(&sockets->connections, &connection->link);
	sockets->connection_count++;
	return 0;
}

void sockets_connect(struct sockets *sockets, uint32_t port, int fd, sockets_connected_fn done,
		     void *data)
{
	const struct connection template = {
		.type = HV_SOCKET_SERVICE(port),
		.instance = HV_SOCKET_SERVICE(sockets->next_port),
		.port = sockets->next_port,
		.done = done,
		.data = data,
	};
	int r;

	if (vmbus_version(sockets->bus) < HV_SOCKET_VMBUS_VERSION || port > HV_SOCKET_PORT_MAX) {
		close(fd);
		done(data, SOCKETS_E_ABSENT, -1, 0);
		return;
	}
	if (++sockets->next_port == UINT32_MAX)
		sockets->next_port = HV_SOCKET_PORT_MAX + 1;
	r = sockets_offer(sockets, &template, true, fd);
	if (r)
		done(data, SOCKETS_E_LIMIT, -1, 0);
}

/* ---- What the guest asks for ---- */

/* Whether something goes by these names already, of which no two may. */
static bool sockets_know(const struct sockets *sockets, const struct guid *service,
			 const struct guid *endpoint)
{
	for (size_t i = 0; i < ARRAY_SIZE(sockets->asked); i++) {
		const struct asked *asked = &sockets->asked[i];

		if (asked->request && guid_equal(&asked->service, service) &&
		    guid_equal(&asked->endpoint, endpoint))
			return true;
	}
	list_for_each (link, &sockets->connections) {
		const struct connection *connection = container_of(link, struct connection, link);

		if (guid_equal(&connection->type, service) &&
		    guid_equal(&connection->instance, endpoint))
			return true;
	}
	return false;
}

/* Return: whether it is the service of a port. */
static bool service_port(const struct guid *service, uint32_t *ret_port)
{
	const uint8_t *bytes = service->bytes;
	uint32_t port = bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
			(uint32_t)bytes[3] << 24;

	*ret_port = port;
	return port <= HV_SOCKET_PORT_MAX && guid_equal(service, &HV_SOCKET_SERVICE(port));
}

/* The place that a request has, if it is given one; it is part of its number. */
static struct asked *sockets_free_place(struct sockets *sockets, uint32_t *ret_request)
{
	for (uint32_t i = 0; i < ARRAY_SIZE(sockets->asked); i++) {
		if (sockets->asked[i].request)
			continue;
		sockets->request_count = sockets->request_count % SOCKETS_COUNT_MAX + 1;
		*ret_request = sockets->request_count * SOCKETS_ASKED_MAX + i;
		return &sockets->asked[i];
	}
	return NULL;
}

static bool sockets_requested(void *data, const struct guid *service, const struct guid *endpoint)
{
	struct sockets *sockets = data;
	struct asked *asked;
	uint32_t port, request;

	if (vmbus_version(sockets->bus) < HV_SOCKET_VMBUS_VERSION ||
	    !service_port(service, &port) || sockets_know(sockets, service, endpoint))
		return false;
	asked = sockets_free_place(sockets, &request);
	if (!asked)
		return false;
	*asked = (struct asked){
		.request = request,
		.service = *service,
		.endpoint = *endpoint,
		.deadline = sockets_deadline(sockets),
	};
	sockets->callbacks->connect(sockets->data, request, port);
	return true;
}

void sockets_answer(struct sockets *sockets, uint32_t request, int fd)
{
	struct asked *asked = &sockets->asked[request % SOCKETS_ASKED_MAX];
	const struct connection template = { .type = asked->service, .instance = asked->endpoint };

	if (request == 0 || asked->request != request) {
		if (fd >= 0)
			close(fd);
		return;
	}
	if (fd < 0 || sockets_offer(sockets, &template, false, fd))
		asked_refuse(sockets, asked);
	else
		asked->request = 0;
}

/* ---- Life ---- */

/* What the guest has open, it closes. */
static void sockets_left(void *data)
{
	struct sockets *sockets = data;

	memset(sockets->asked, 0, sizeof(sockets->asked));
	list_for_each (link, &sockets->connections) {
		struct connection *connection = container_of(link, struct connection, link);

		if (!socket_stream_was_opened(connection->stream))
			connection_abort(connection, SOCKETS_E_GONE);
	}
}

static const struct vmbus_connect_handler connect_handler = {
	.requested = sockets_requested,
	.left = sockets_left,
};

int sockets_new(struct vmbus *bus, uint64_t timeout_ns, const struct sockets_callbacks *callbacks,
		void *data, struct sockets **ret_sockets)
{
	struct sockets *sockets = calloc(1, sizeof(*sockets));

	if (!sockets)
		return -ENOMEM;
	sockets->bus = bus;
	sockets->timeout_ns = timeout_ns ? timeout_ns : SOCKETS_TIMEOUT_NS;
	sockets->callbacks = callbacks;
	sockets->data = data;
	sockets->next_port = HV_SOCKET_PORT_MAX + 1;
	sockets->timer.operation.complete = sockets_timer;
	list_init(&sockets->connections);
	vmbus_set_connect_handler(bus, &connect_handler, sockets);
	*ret_sockets = sockets;
	return 0;
}

void sockets_free(struct sockets *sockets)
{
	if (!sockets)
		return;
	assert(sockets->connection_count == 0);
	vmbus_set_connect_handler(sockets->bus, NULL, NULL);
	free(sockets);
}

unsigned sockets_count(const struct sockets *sockets)
{
	return sockets->connection_count;
}

/* ---- State ---- */

/* A record: this, and what the guest has asked for. */
struct sockets_state {
	uint32_t next_port; /* not to be mistaken for one that the guest still knows */
	uint32_t asked_count;
};
_Static_assert(sizeof(struct sockets_state) == 8, "stored format");

struct asked_state {
	struct guid service, endpoint;
};
_Static_assert(sizeof(struct asked_state) == 32, "stored format");

void sockets_quiesce(struct sockets *sockets)
{
	sockets->quiet = true;
	list_for_each (link, &sockets->connections)
		socket_stream_set_quiet(container_of(link, struct connection, link)->stream, true);
}

/* The timer finds what is overdue, and by when it is to look again. */
void sockets_resume(struct sockets *sockets)
{
	if (!sockets->quiet)
		return;
	sockets->quiet = false;
	for (size_t i = 0; i < ARRAY_SIZE(sockets->asked); i++)
		if (sockets->asked[i].request && sockets->asked[i].orphaned)
			asked_refuse(sockets, &sockets->asked[i]);
	list_for_each (link, &sockets->connections)
		socket_stream_set_quiet(container_of(link, struct connection, link)->stream, false);
	if (sockets->timer_runs)
		return;
	sockets->timer_runs = true;
	loop_timer_start(vmbus_loop(sockets->bus), &sockets->timer, 0);
}

void sockets_save(const struct sockets *sockets, const char *name, struct state_writer *writer)
{
	struct sockets_state state = { .next_port = sockets->next_port };

	for (size_t i = 0; i < ARRAY_SIZE(sockets->asked); i++)
		state.asked_count += sockets->asked[i].request != 0;
	state_begin(writer, name, SOCKETS_STATE_VERSION);
	state_put(writer, &state, sizeof(state));
	for (size_t i = 0; i < ARRAY_SIZE(sockets->asked); i++) {
		const struct asked *asked = &sockets->asked[i];
		const struct asked_state asked_state = { asked->service, asked->endpoint };

		if (asked->request)
			state_put(writer, &asked_state, sizeof(asked_state));
	}
	state_end(writer);
}

int sockets_restore(struct sockets *sockets, const char *name, const struct state_reader *reader)
{
	struct asked_state asked[SOCKETS_ASKED_MAX];
	struct sockets_state state;
	struct state_record record;
	int r;

	r = state_open(reader, name, SOCKETS_STATE_VERSION, &state, sizeof(state), &record);
	if (r)
		return r;
	if (state.next_port <= HV_SOCKET_PORT_MAX || state.next_port == UINT32_MAX ||
	    state.asked_count > SOCKETS_ASKED_MAX ||
	    (state.asked_count > 0 && vmbus_version(sockets->bus) < HV_SOCKET_VMBUS_VERSION) ||
	    state_get(&record, asked, state.asked_count * sizeof(*asked)) || record.left > 0)
		return STATE_E_INVALID;
	sockets->next_port = state.next_port;
	sockets->quiet = true;
	memset(sockets->asked, 0, sizeof(sockets->asked));
	/* None has a number that anybody could answer. */
	for (uint32_t i = 0; i < state.asked_count; i++)
		sockets->asked[i] = (struct asked){
			.request = UINT32_MAX,
			.service = asked[i].service,
			.endpoint = asked[i].endpoint,
			.deadline = UINT64_MAX,
			.orphaned = true,
		};
	return 0;
}

/* ---- Inspection ---- */

/* A port, where the service is that of one. */
static struct json_object *inspect_port(const struct guid *service)
{
	uint32_t port;

	return service_port(service, &port) ? json_object_new_int64(port) : NULL;
}

static struct json_object *inspect_connection(const struct connection *connection)
{
	struct json_object *tree = socket_stream_inspect(connection->stream);
	bool of_host = connection->port != 0;

	json_add(&tree, "from", json_object_new_string(of_host ? "host" : "guest"));
	json_add(&tree, of_host ? "guest_port" : "host_port", inspect_port(&connection->type));
	return tree;
}

struct json_object *sockets_inspect(const struct sockets *sockets, uint32_t first, unsigned count,
				    uint32_t *ret_next)
{
	struct json_object *connections = json_object_new_array();
	uint32_t number = 0;

	*ret_next = 0;
	list_for_each (link, &sockets->connections) {
		if (number >= first && number - first == count) {
			*ret_next = number;
			break;
		}
		if (number++ >= first)
			json_append(&connections, inspect_connection(container_of(
							  link, struct connection, link)));
	}
	return connections;
}
