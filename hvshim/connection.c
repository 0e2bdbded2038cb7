/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connections: where the guest's signals and messages go. TLFS, "Inter-Partition Communication".
 *
 * Signals are eventfds, found by connection id. The kernel does the finding where it can; the table
 * here is for those that exit, because the kernel has no room for more, or none at all.
 *
 * Messages wait in a queue for each connection until the loop's thread takes them. Its depth is
 * what a port of Hyper-V has; a guest that posts faster is told so, and tries again.
 */
#include "hvshim/internal.h"

#include <string.h>
#include <sys/eventfd.h>

/* ---- Signals ---- */

/* The first connection whose id is not less. Caller holds connections_lock. */
static size_t connection_position(const struct hvshim *hvshim, uint32_t id)
{
	size_t low = 0, high = hvshim->connection_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (hvshim->connections[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool connection_is_at(const struct hvshim *hvshim, size_t position, uint32_t id)
{
	return position < hvshim->connection_count && hvshim->connections[position].id == id;
}

static int connections_grow(struct hvshim *hvshim)
{
	size_t capacity = MAX(hvshim->connection_capacity * 2, (size_t)16);
	struct connection *connections;

	if (hvshim->connection_count < hvshim->connection_capacity)
		return 0;
	connections = realloc(hvshim->connections, capacity * sizeof(*connections));
	if (!connections)
		return -ENOMEM;
	hvshim->connections = connections;
	hvshim->connection_capacity = capacity;
	return 0;
}

static int connection_insert(struct hvshim *hvshim, uint32_t id, int event_fd)
{
	size_t position = connection_position(hvshim, id);
	struct connection *connection;
	int r;

	if (connection_is_at(hvshim, position, id))
		return -EEXIST;
	if (hvshim->connection_count == HVSHIM_CONNECTIONS_MAX)
		return -ENOSPC;
	r = connections_grow(hvshim);
	if (r < 0)
		return r;
	connection = &hvshim->connections[position];
	memmove(connection + 1, connection,
		(hvshim->connection_count - position) * sizeof(*connection));
	*connection = (struct connection){
		.id = id,
		.event_fd = event_fd,
		.in_kernel = hvshim->ops->connect(hvshim, id, event_fd) == 0,
	};
	hvshim->connection_count++;
	return 0;
}

int hvshim_connection_add(struct hvshim *hvshim, uint32_t connection_id, int event_fd)
{
	int r;

	if (connection_id > HV_CONNECTION_ID_MASK)
		return -EINVAL;
	pthread_mutex_lock(&hvshim->connections_lock);
	r = connection_insert(hvshim, connection_id, event_fd);
	pthread_mutex_unlock(&hvshim->connections_lock);
	return r;
}

void hvshim_connection_remove(struct hvshim *hvshim, uint32_t connection_id)
{
	struct connection *connection;
	size_t position;

	pthread_mutex_lock(&hvshim->connections_lock);
	position = connection_position(hvshim, connection_id);
	if (connection_is_at(hvshim, position, connection_id)) {
		connection = &hvshim->connections[position];
		if (connection->in_kernel)
			hvshim->ops->disconnect(hvshim, connection->id, connection->event_fd);
		hvshim->connection_count--;
		memmove(connection, connection + 1,
			(hvshim->connection_count - position) * sizeof(*connection));
	}
	pthread_mutex_unlock(&hvshim->connections_lock);
}

int connection_signal(struct hvshim *hvshim, uint32_t id)
{
	size_t position;
	int r = -ENOENT;

	pthread_mutex_lock(&hvshim->connections_lock);
	position = connection_position(hvshim, id);
	if (connection_is_at(hvshim, position, id)) {
		eventfd_write(hvshim->connections[position].event_fd, 1);
		r = 0;
	}
	pthread_mutex_unlock(&hvshim->connections_lock);
	return r;
}

/* ---- Messages ---- */

/* Types from here on are the hypervisor's own. */
#define MESSAGE_TYPE_HYPERVISOR 0x80000000u

static struct message_queue *message_queue_find(struct hvshim *hvshim, uint32_t connection_id)
{
	for (size_t i = 0; i < HVSHIM_MESSAGE_CONNECTIONS; i++)
		if (connection_id != 0 && hvshim->queues[i].connection_id == connection_id)
			return &hvshim->queues[i];
	return NULL;
}

static void message_queue_push(struct message_queue *queue, const struct hv_post_message *post)
{
	unsigned last = (queue->first + queue->count) % HVSHIM_MESSAGE_QUEUE_DEPTH;
	struct hvshim_message *message = &queue->messages[last];

	message->type = post->type;
	message->size = post->size;
	memcpy(message->payload, post->payload, post->size);
	queue->count++;
}

enum hv_status message_queue_post(struct hvshim *hvshim, const struct hv_post_message *post)
{
	struct message_queue *queue;
	bool full;

	if (post->size > HV_MESSAGE_PAYLOAD_SIZE || post->type == HV_MESSAGE_NONE ||
	    post->type >= MESSAGE_TYPE_HYPERVISOR)
		return HV_STATUS_INVALID_PARAMETER;
	queue = message_queue_find(hvshim, post->connection_id);
	if (!queue)
		return HV_STATUS_INVALID_CONNECTION_ID;
	pthread_mutex_lock(&hvshim->messages_lock);
	full = queue->count == HVSHIM_MESSAGE_QUEUE_DEPTH;
	if (!full)
		message_queue_push(queue, post);
	pthread_mutex_unlock(&hvshim->messages_lock);
	if (full)
		return HV_STATUS_INSUFFICIENT_BUFFERS;
	loop_post(hvshim->loop, &hvshim->task);
	return HV_STATUS_SUCCESS;
}

static bool message_queue_pop(struct hvshim *hvshim, struct message_queue *queue,
			      struct hvshim_message *ret_message)
{
	bool any;

	pthread_mutex_lock(&hvshim->messages_lock);
	any = queue->count > 0;
	if (any) {
		*ret_message = queue->messages[queue->first];
		queue->first = (queue->first + 1) % HVSHIM_MESSAGE_QUEUE_DEPTH;
		queue->count--;
	}
	pthread_mutex_unlock(&hvshim->messages_lock);
	return any;
}

/*
 * A guest that keeps posting cannot keep the loop here: what it posts after a queue's depth is
 * delivered by the task that its post has queued again.
 */
void message_queues_deliver(struct hvshim *hvshim)
{
	struct hvshim_message message;

	for (size_t i = 0; i < HVSHIM_MESSAGE_CONNECTIONS; i++) {
		struct message_queue *queue = &hvshim->queues[i];

		for (size_t n = 0; n < HVSHIM_MESSAGE_QUEUE_DEPTH && !hvshim->freed; n++) {
			if (!message_queue_pop(hvshim, queue, &message))
				break;
			hvshim->callbacks->message(hvshim->data, queue->connection_id, &message);
		}
	}
}

/* ---- State ---- */

uint32_t message_queues_save(struct hvshim *hvshim, struct state_writer *writer)
{
	uint32_t count = 0;

	pthread_mutex_lock(&hvshim->messages_lock);
	for (size_t i = 0; i < HVSHIM_MESSAGE_CONNECTIONS; i++) {
		const struct message_queue *queue = &hvshim->queues[i];

		for (unsigned n = 0; n < queue->count; n++, count++) {
			const struct hvshim_message *message =
				&queue->messages[(queue->first + n) % HVSHIM_MESSAGE_QUEUE_DEPTH];
			struct hvshim_message_state state = { .connection_id = queue->connection_id,
							      .type = message->type,
							      .size = message->size };

			memcpy(state.payload, message->payload, message->size);
			state_put(writer, &state, sizeof(state));
		}
	}
	pthread_mutex_unlock(&hvshim->messages_lock);
	return count;
}

static bool message_is_valid(const struct hvshim_message_state *state)
{
	return state->size <= HV_MESSAGE_PAYLOAD_SIZE && state->type != HV_MESSAGE_NONE &&
	       state->type < MESSAGE_TYPE_HYPERVISOR && state->zero == 0;
}

int message_queues_restore(struct hvshim *hvshim, struct state_record *record, uint32_t count,
			   struct state_refusal *refusal)
{
	struct hvshim_message_state state;
	struct hv_post_message post;

	for (uint32_t i = 0; i < count; i++) {
		if (state_get(record, &state, sizeof(state)) != 0)
			return state_refuse(refusal, "it has fewer messages than it says");
		if (!message_is_valid(&state))
			return state_refuse(refusal, "message %u of %u is none", i, count);
		post = (struct hv_post_message){ .connection_id = state.connection_id,
						 .type = state.type,
						 .size = state.size };
		memcpy(post.payload, state.payload, state.size);
		if (message_queue_post(hvshim, &post) != HV_STATUS_SUCCESS)
			return state_refuse(refusal,
					    "message %u of %u has no place in connection %u", i,
					    count, state.connection_id);
	}
	return 0;
}
