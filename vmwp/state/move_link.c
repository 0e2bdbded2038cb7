/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records come and go over a socket. */
#include "vmwp/state/move_link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static void link_end_when_idle(struct move_link *link)
{
	if (!link->out.runs && !link->in.runs)
		loop_defer(link->loop, &link->end);
}

/* Return: whether the operation has ended, and with what. */
static bool flow_advance(struct move_flow *flow, int result)
{
	if (result <= 0)
		return true;
	flow->at += result;
	flow->left -= (uint32_t)result;
	return flow->left == 0;
}

/* ---- Writing ---- */

static void link_write_on(struct move_link *link)
{
	struct move_flow *flow = &link->out;

	flow->runs = true;
	loop_write(link->loop, &flow->operation, link->fd, flow->at, flow->left);
}

static void link_wrote(struct loop_operation *operation, int result, bool more)
{
	struct move_link *link = container_of(operation, struct move_link, out.operation);
	struct move_flow *flow = &link->out;

	flow->runs = false;
	if (link->ending) {
		link_end_when_idle(link);
		return;
	}
	if (!flow_advance(flow, result)) {
		link_write_on(link);
		return;
	}
	if (result > 0 && flow->next && flow->header.size > 0) {
		flow->at = TAKE_PTR(flow->next);
		flow->left = flow->header.size;
		link_write_on(link);
		return;
	}
	link->ops->written(link->data, result > 0 ? 0 : result < 0 ? result : -EPIPE);
}

void move_link_write(struct move_link *link, const struct move_header *header, const void *bytes)
{
	struct move_flow *flow = &link->out;

	flow->header = *header;
	flow->at = (uint8_t *)&flow->header;
	flow->left = sizeof(flow->header);
	flow->next = (uint8_t *)bytes;
	link_write_on(link);
}

/* ---- Reading ---- */

static void link_read_on(struct move_link *link)
{
	struct move_flow *flow = &link->in;

	flow->runs = true;
	loop_read(link->loop, &flow->operation, link->fd, flow->at, flow->left);
}

static void link_has_record(struct move_link *link, const void *bytes)
{
	struct state_refusal refusal = { .text = "" };
	int r = move_header_check_bytes(&link->in.header, bytes, &refusal);

	link->ops->received(link->data, r, &link->in.header, &refusal);
}

static void link_has_header(struct move_link *link)
{
	struct move_flow *flow = &link->in;
	struct state_refusal refusal = { .text = "" };
	int r = move_header_check(&flow->header, &refusal);

	if (r < 0) {
		link->ops->received(link->data, r, &flow->header, &refusal);
		return;
	}
	flow->next = link->ops->place(link->data, &flow->header);
	if (!flow->next)
		return;
	flow->at = flow->next;
	flow->left = flow->header.size;
	if (flow->left == 0)
		link_has_record(link, TAKE_PTR(flow->next));
	else
		link_read_on(link);
}

static void link_has_read(struct loop_operation *operation, int result, bool more)
{
	struct move_link *link = container_of(operation, struct move_link, in.operation);
	struct move_flow *flow = &link->in;
	static const struct state_refusal none;

	flow->runs = false;
	if (link->ending)
		link_end_when_idle(link);
	else if (!flow_advance(flow, result))
		link_read_on(link);
	else if (result <= 0)
		link->ops->received(link->data, result < 0 ? result : -ECONNRESET, &flow->header,
				    &none);
	else if (flow->next)
		link_has_record(link, TAKE_PTR(flow->next));
	else
		link_has_header(link);
}

void move_link_read(struct move_link *link)
{
	struct move_flow *flow = &link->in;

	flow->at = (uint8_t *)&flow->header;
	flow->left = sizeof(flow->header);
	flow->next = NULL;
	link_read_on(link);
}

/* ---- Life ---- */

static void link_has_ended(struct loop_deferred *deferred)
{
	struct move_link *link = container_of(deferred, struct move_link, end);

	link->ops->ended(link->data);
}

void move_link_end(struct move_link *link)
{
	link->ending = true;
	if (link->out.runs)
		loop_cancel(link->loop, &link->out.operation);
	if (link->in.runs)
		loop_cancel(link->loop, &link->in.operation);
	link_end_when_idle(link);
}

int move_link_init(struct move_link *link, struct loop *loop, int fd,
		   const struct move_link_ops *ops, void *data)
{
	int type;
	socklen_t size = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
		return errno == ENOTSOCK ? -EINVAL : -errno;
	if (type != SOCK_STREAM)
		return -EINVAL;
	*link = (struct move_link){ .loop = loop, .fd = fd, .ops = ops, .data = data };
	link->out.operation.complete = link_wrote;
	link->in.operation.complete = link_has_read;
	link->end.run = link_has_ended;
	list_init(&link->end.link);
	return 0;
}
