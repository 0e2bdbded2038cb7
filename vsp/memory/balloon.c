/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dynamic memory.
 *
 * One thing at a time: pages are asked for, or given back, in steps, and the next begins when the
 * guest has answered. What is to be done next is found anew each time (balloon_advance) from what
 * the guest has and what it is meant to have, so that a new target needs nothing but to be set.
 *
 * A guest that hands over less than it was asked for has no more to spare. It is asked again after
 * a number of its reports, or for another target.
 *
 * RAM is added when the balloon is empty, in units that the guest chooses, so that it gets a little
 * more than it is meant to have, which the balloon then takes. It cannot be taken away again but by
 * the balloon.
 *
 * What is in the balloon is forgotten when the channel closes: the next driver to open it knows
 * nothing of it, and may be that of another kernel, to which these pages are as good as any.
 */
#include "vsp/memory/dynamic_memory.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ADDITIONS_MAX 64 /* about: each is a memory slot of the hypervisor's */

static uint64_t assigned_pages(const struct balloon *balloon)
{
	return balloon->size + balloon->added - page_set_count(balloon->taken);
}

/* What the guest can be brought to. */
static uint64_t target_pages(const struct balloon *balloon)
{
	uint64_t most = balloon->grows ? balloon->maximum : balloon->size + balloon->added;

	return MIN(balloon->target, most);
}

static void balloon_enter(struct balloon *balloon, enum balloon_state state)
{
	balloon->state = state;
	balloon->callbacks->changed(balloon->data);
}

static void balloon_refuse(struct balloon *balloon)
{
	balloon_enter(balloon, BALLOON_REFUSED);
}

/* Return: whether it was sent; else `writable` will be called, or the channel is broken. */
static bool balloon_send(struct balloon *balloon, enum dm_type type, void *message, size_t size)
{
	struct dm_header header = {
		.type = (uint16_t)type,
		.size = (uint16_t)size,
		.transaction_id = ++balloon->transaction_id,
	};

	memcpy(message, &header, sizeof(header));
	return vmbus_channel_send(balloon->channel, RING_PACKET_INBAND, false, 0, message, size) ==
	       0;
}

/* ---- Taking and giving ---- */

static void balloon_take(struct balloon *balloon, uint64_t pages)
{
	struct dm_balloon_request request = { .pages = (uint32_t)pages };

	if (!balloon_send(balloon, DM_BALLOON_REQUEST, &request, sizeof(request)))
		return;
	balloon->asked = pages;
	balloon_enter(balloon, BALLOON_TAKING);
}

struct unballoon {
	struct dm_unballoon_request request;
	uint64_t ranges[DM_RANGES_MAX];
} PACKED;

_Static_assert(sizeof(struct unballoon) <= DM_MESSAGE_MAX, "one page holds it");

/* Return: the pages that the message names. */
static uint64_t unballoon_fill(const struct balloon *balloon, struct unballoon *message)
{
	uint64_t named = 0, from = 0, first, count;
	uint32_t i = 0;

	while (i < DM_RANGES_MAX && named < balloon->asked &&
	       page_set_next(balloon->taken, from, balloon->asked - named, &first, &count)) {
		message->ranges[i++] = DM_RANGE(first, count);
		named += count;
		from = first + count;
	}
	message->request.range_count = i;
	message->request.flags = named < balloon->asked ? DM_MORE_PAGES : 0;
	return named;
}

static void unballoon_forget(struct balloon *balloon, const struct unballoon *message)
{
	for (uint32_t i = 0; i < message->request.range_count; i++)
		page_set_remove(balloon->taken, DM_RANGE_FRAME(message->ranges[i]),
				DM_RANGE_COUNT(message->ranges[i]));
}

/* As much of the step as the ring takes. */
static void balloon_give(struct balloon *balloon)
{
	while (balloon->asked > 0) {
		struct unballoon message = { 0 };
		uint64_t named = unballoon_fill(balloon, &message);
		size_t size = offsetof(struct unballoon, ranges[message.request.range_count]);

		if (!balloon_send(balloon, DM_UNBALLOON_REQUEST, &message, size))
			return;
		unballoon_forget(balloon, &message);
		balloon->asked -= named;
	}
	balloon->telling = false;
}

static void balloon_begin_giving(struct balloon *balloon, uint64_t pages)
{
	balloon->asked = pages;
	balloon->telling = true;
	balloon_enter(balloon, BALLOON_GIVING);
	balloon_give(balloon);
}

/* ---- Adding ---- */

/* The guest will not have more RAM than now. */
static void balloon_stop_growing(struct balloon *balloon)
{
	balloon->grows = false;
	balloon->callbacks->changed(balloon->data);
}

/* In units of the guest's; `may` and `room` allow for the last. Return: 0: there are no more. */
static uint64_t add_count(const struct balloon *balloon, uint64_t first, uint64_t wanted,
			  uint64_t unit)
{
	uint64_t room = balloon->room_end - MIN(first, balloon->room_end);
	uint64_t may = balloon->maximum - balloon->size - balloon->added;
	uint64_t pages = MIN(ALIGN_UP(wanted, unit), ALIGN_UP(balloon->room_step, unit));

	pages = MIN(pages, may);
	return ALIGN_DOWN(MIN(pages, room), unit);
}

static void balloon_add(struct balloon *balloon, uint64_t wanted)
{
	const struct vsp_host *host = vmbus_host(balloon->bus);
	uint64_t unit = balloon_add_unit(balloon);
	uint64_t first = ALIGN_UP(balloon->room, unit);
	uint64_t pages = add_count(balloon, first, wanted, unit);
	struct dm_hot_add_request request = { .range = DM_RANGE(first, pages) };

	if (pages == 0) {
		balloon_stop_growing(balloon);
	} else if (host->ops->add(host->host, gpa_from_pfn(first), pages * HV_PAGE_SIZE) < 0) {
		balloon->failures++;
		balloon_stop_growing(balloon);
	} else if (balloon_send(balloon, DM_HOT_ADD_REQUEST, &request, sizeof(request))) {
		balloon->room = first;
		balloon->asked = pages;
		balloon_enter(balloon, BALLOON_ADDING);
	}
}

/* ---- What comes next ---- */

static void balloon_raise(struct balloon *balloon, uint64_t pages)
{
	uint64_t taken = page_set_count(balloon->taken), part = MIN(pages, taken);

	if (taken > 0)
		balloon_begin_giving(balloon, MIN(part, BALLOON_STEP_PAGES));
	else if (balloon->grows && balloon->timeout == 0)
		balloon_add(balloon, pages);
}

static void balloon_lower(struct balloon *balloon, uint64_t pages)
{
	pages = ALIGN_DOWN(MIN(pages, BALLOON_STEP_PAGES), DM_BALLOON_PAGES);
	if (pages > 0 && balloon->capabilities & DM_CAPABILITY_BALLOON && balloon->timeout == 0)
		balloon_take(balloon, pages);
}

void balloon_advance(struct balloon *balloon)
{
	uint64_t assigned = assigned_pages(balloon), target = target_pages(balloon);

	if (balloon->quiet)
		return;
	if (balloon->telling)
		balloon_give(balloon);
	if (balloon->state != BALLOON_RESTING)
		return;
	if (assigned < target)
		balloon_raise(balloon, target - assigned);
	else
		balloon_lower(balloon, assigned - target);
}

static void balloon_rest(struct balloon *balloon)
{
	balloon_enter(balloon, BALLOON_RESTING);
	balloon_advance(balloon);
}

/* ---- What the guest sends ---- */

struct received {
	const uint8_t *bytes; /* size bytes, a private copy; begins with the header */
	size_t size;
};

static void on_version(struct balloon *balloon, const struct received *received)
{
	static const uint32_t versions[] = { DM_VERSION_0_3, DM_VERSION_1_0, DM_VERSION_2_0 };
	struct dm_version_request request;
	struct dm_acceptance answer = { 0 };

	memcpy(&request, received->bytes, sizeof(request));
	balloon->version = 0;
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++)
		if (versions[i] == request.version)
			balloon->version = request.version;
	answer.flags = balloon->version ? DM_ACCEPTED : 0;
	if (!balloon_send(balloon, DM_VERSION_RESPONSE, &answer, sizeof(answer)))
		balloon_refuse(balloon);
}

static void balloon_tell_maximum(struct balloon *balloon)
{
	struct dm_info info = {
		.info_size = sizeof(info) - offsetof(struct dm_info, type),
		.type = DM_INFO_MAXIMUM_PAGES,
		.data_size = sizeof(info.maximum_pages),
		.maximum_pages = balloon->maximum,
	};

	/* Only told for the guest's log: should there be no room for it, nothing is lost. */
	(void)balloon_send(balloon, DM_INFO, &info, sizeof(info));
}

static void on_capabilities(struct balloon *balloon, const struct received *received)
{
	struct dm_capabilities_report report;
	struct dm_acceptance answer = { .flags = DM_ACCEPTED };

	memcpy(&report, received->bytes, sizeof(report));
	if (!balloon->version ||
	    !balloon_send(balloon, DM_CAPABILITIES_RESPONSE, &answer, sizeof(answer))) {
		balloon_refuse(balloon);
		return;
	}
	balloon->capabilities = report.capabilities;
	balloon->grows =
		report.capabilities & DM_CAPABILITY_HOT_ADD && balloon->maximum > balloon->size;
	if (balloon->version >= DM_VERSION_1_0)
		balloon_tell_maximum(balloon);
	balloon_rest(balloon);
}

/*
 * Measured by what the guest had when it said so: what is taken from it or given to it from then on
 * is neither committed nor available in its words. It counts what it has handed over as committed.
 */
static uint64_t balloon_measure(const struct balloon *balloon, uint64_t committed,
				uint64_t available)
{
	uint64_t assigned = assigned_pages(balloon), taken = page_set_count(balloon->taken);
	uint64_t promised = committed > taken ? committed - taken : 0;
	uint64_t used = assigned > available ? assigned - available : 0;

	return MAX(promised, used);
}

static void on_status(struct balloon *balloon, const struct received *received)
{
	struct dm_status_report report;

	memcpy(&report, received->bytes, sizeof(report));
	balloon->available = MIN(report.available, DM_RANGE_FRAME_MAX);
	balloon->demand = balloon_measure(balloon, MIN(report.committed, DM_RANGE_FRAME_MAX),
					  balloon->available);
	balloon->reported = true;
	if (balloon->timeout > 0)
		balloon->timeout--;
	balloon->callbacks->changed(balloon->data);
	balloon_advance(balloon);
}

/* A range may go from RAM that was added into what was added next, which is not mapped as one. */
bool balloon_range_is_ram(const struct balloon *balloon, uint64_t first, uint64_t count)
{
	const struct vsp_host *host = vmbus_host(balloon->bus);

	if (host->ops->map(host->host, gpa_from_pfn(first), count * HV_PAGE_SIZE))
		return true;
	for (uint64_t i = 0; i < count; i++)
		if (!host->ops->map(host->host, gpa_from_pfn(first + i), HV_PAGE_SIZE))
			return false;
	return true;
}

/* Return: whether the guest may hand these pages over; then they are taken. */
static bool balloon_accept(struct balloon *balloon, uint64_t first, uint64_t count)
{
	if (count == 0 || count > balloon->asked || !balloon_range_is_ram(balloon, first, count) ||
	    !page_set_add(balloon->taken, first, count))
		return false;
	balloon->asked -= count;
	return true;
}

static void balloon_discard(struct balloon *balloon, uint64_t first, uint64_t count)
{
	const struct vsp_host *host = vmbus_host(balloon->bus);

	if (count > 0 && host->ops->discard(host->host, gpa_from_pfn(first), count * HV_PAGE_SIZE))
		balloon->failures++;
}

/* Neighbours are discarded at once. Return: whether all could be taken. */
static bool balloon_take_ranges(struct balloon *balloon, const uint8_t *ranges, size_t range_count)
{
	uint64_t first = 0, count = 0, range;
	bool accepted = true;

	for (size_t i = 0; i < range_count && accepted; i++) {
		memcpy(&range, ranges + i * sizeof(range), sizeof(range));
		accepted = balloon_accept(balloon, DM_RANGE_FRAME(range), DM_RANGE_COUNT(range));
		if (!accepted)
			break;
		if (DM_RANGE_FRAME(range) != first + count) {
			balloon_discard(balloon, first, count);
			first = DM_RANGE_FRAME(range);
			count = 0;
		}
		count += DM_RANGE_COUNT(range);
	}
	balloon_discard(balloon, first, count);
	return accepted;
}

static void on_balloon_response(struct balloon *balloon, const struct received *received)
{
	struct dm_balloon_response response;
	size_t range_count;

	memcpy(&response, received->bytes, sizeof(response));
	range_count = response.flags_and_count >> 1;
	if (balloon->state != BALLOON_TAKING ||
	    range_count > (received->size - sizeof(response)) / sizeof(uint64_t) ||
	    !balloon_take_ranges(balloon, received->bytes + sizeof(response), range_count)) {
		balloon_refuse(balloon);
		return;
	}
	if (response.flags_and_count & DM_MORE_PAGES)
		return;
	if (balloon->asked > 0)
		balloon->timeout = BALLOON_REPORTS_BEFORE_RETRY;
	balloon->asked = 0;
	balloon_rest(balloon);
}

static void on_unballoon_response(struct balloon *balloon, const struct received *received)
{
	if (balloon->state == BALLOON_GIVING && !balloon->telling)
		balloon_rest(balloon);
	else
		balloon_refuse(balloon);
}

/* Fewer pages than it was offered: it has reached its end. None, and no success: not now. */
static void on_hot_add_response(struct balloon *balloon, const struct received *received)
{
	struct dm_hot_add_response response;

	memcpy(&response, received->bytes, sizeof(response));
	if (balloon->state != BALLOON_ADDING || response.pages > balloon->asked) {
		balloon_refuse(balloon);
		return;
	}
	if (response.pages == 0 && response.result == 0) {
		balloon->timeout = BALLOON_REPORTS_BEFORE_RETRY;
	} else {
		balloon->room += balloon->asked;
		balloon->added += response.pages;
		balloon->grows = response.pages == balloon->asked;
	}
	balloon->asked = 0;
	balloon_rest(balloon);
}

/* Linux up to 6.0 may report before it has negotiated: there a thread of its own does. */
static const struct handler {
	size_t size;      /* of the message, at least */
	bool early, late; /* whether it may come before the capabilities are agreed on; after */
	void (*handle)(struct balloon *balloon, const struct received *received);
} handlers[] = {
	[DM_VERSION_REQUEST] = { sizeof(struct dm_version_request), true, false, on_version },
	[DM_CAPABILITIES_REPORT] = { sizeof(struct dm_capabilities_report), true, false,
				     on_capabilities },
	[DM_STATUS_REPORT] = { sizeof(struct dm_status_report), true, true, on_status },
	[DM_BALLOON_RESPONSE] = { sizeof(struct dm_balloon_response), false, true,
				  on_balloon_response },
	[DM_UNBALLOON_RESPONSE] = { sizeof(struct dm_header), false, true, on_unballoon_response },
	[DM_HOT_ADD_RESPONSE] = { sizeof(struct dm_hot_add_response), false, true,
				  on_hot_add_response },
};

static void balloon_receive(struct balloon *balloon, const struct vmbus_packet *packet)
{
	struct received received = { .bytes = packet->payload };
	bool early = balloon->state == BALLOON_NEGOTIATING;
	const struct handler *handler = NULL;
	struct dm_header header;

	if (balloon->state == BALLOON_REFUSED)
		return;
	if (packet->type == RING_PACKET_INBAND && packet->size >= sizeof(header)) {
		memcpy(&header, packet->payload, sizeof(header));
		if (header.type < ARRAY_SIZE(handlers) && header.size <= packet->size)
			handler = &handlers[header.type];
		received.size = header.size;
	}
	if (!handler || received.size < handler->size || !(early ? handler->early : handler->late))
		balloon_refuse(balloon);
	else
		handler->handle(balloon, &received);
}

/* ---- The channel ---- */

static void balloon_forget_guest(struct balloon *balloon)
{
	page_set_clear(balloon->taken);
	balloon->version = 0;
	balloon->capabilities = 0;
	balloon->grows = false;
	balloon->asked = 0;
	balloon->telling = false;
	balloon->timeout = 0;
	balloon->reported = false;
}

static int balloon_opened(void *device, struct vmbus_channel *channel, const uint8_t *user_data)
{
	balloon_enter(device, BALLOON_NEGOTIATING);
	return 0;
}

static void balloon_closed(void *device, struct vmbus_channel *channel)
{
	struct balloon *balloon = device;

	balloon_forget_guest(balloon);
	balloon_enter(balloon, BALLOON_ABSENT);
	vmbus_channel_closed(channel);
}

static void balloon_readable(void *device, struct vmbus_channel *channel)
{
	struct vmbus_packet packet;

	while (vmbus_channel_receive(channel, &packet) == 0)
		balloon_receive(device, &packet);
}

static void balloon_writable(void *device, struct vmbus_channel *channel)
{
	balloon_advance(device);
}

static void balloon_released(void *device, struct vmbus_channel *channel)
{
	struct balloon *balloon = device;

	balloon->channel = NULL;
}

static const struct vmbus_channel_ops balloon_channel_ops = {
	.open = balloon_opened,
	.close = balloon_closed,
	.readable = balloon_readable,
	.writable = balloon_writable,
	.released = balloon_released,
};

int balloon_new(struct vmbus *bus, const struct balloon_options *options,
		const struct balloon_callbacks *callbacks, void *data, struct balloon **ret_balloon)
{
	static const struct vmbus_offer offer = {
		.type = DM_TYPE,
		.instance = DM_INSTANCE,
		.flags = VMBUS_OFFER_ENUMERATE,
		.name = "dynamic memory",
	};
	CLEANUP(balloon_freep) struct balloon *balloon = calloc(1, sizeof(*balloon));
	int r;

	if (!balloon)
		return -ENOMEM;
	balloon->bus = bus;
	balloon->callbacks = callbacks;
	balloon->data = data;
	balloon->size = balloon->target = options->size / HV_PAGE_SIZE;
	balloon->maximum = MAX(options->maximum / HV_PAGE_SIZE, balloon->size);
	balloon->room = balloon->room_start = options->room.value / HV_PAGE_SIZE;
	balloon->room_end = (options->room.value + options->room_size) / HV_PAGE_SIZE;
	balloon->room_step = options->room_size / HV_PAGE_SIZE / ADDITIONS_MAX;
	balloon->room_step = MAX(balloon->room_step, BALLOON_STEP_PAGES);
	balloon->room_step = MIN(balloon->room_step, DM_RANGE_COUNT_MAX / 2);
	r = page_set_new(MAX(options->end / HV_PAGE_SIZE, balloon->room_end), &balloon->taken);
	if (r < 0)
		return r;
	r = vmbus_channel_offer(bus, &offer, &balloon_channel_ops, balloon, &balloon->channel);
	if (r < 0)
		return r;
	*ret_balloon = TAKE_PTR(balloon);
	return 0;
}

void balloon_free(struct balloon *balloon)
{
	if (!balloon)
		return;
	loop_assert_thread(vmbus_loop(balloon->bus));
	assert(balloon->state == BALLOON_ABSENT && page_set_count(balloon->taken) == 0);
	vmbus_channel_free(balloon->channel);
	page_set_free(balloon->taken);
	free(balloon);
}

void balloon_start_over(struct balloon *balloon)
{
	balloon->added = 0;
	balloon->room = balloon->room_start;
}

void balloon_set_target(struct balloon *balloon, uint64_t bytes)
{
	balloon->target = MIN(bytes / HV_PAGE_SIZE, balloon->maximum);
	balloon->timeout = 0;
	balloon_advance(balloon);
	balloon->callbacks->changed(balloon->data);
}

struct balloon_report balloon_report(const struct balloon *balloon)
{
	return (struct balloon_report){
		.state = balloon->state,
		.target = target_pages(balloon) * HV_PAGE_SIZE,
		.assigned = assigned_pages(balloon) * HV_PAGE_SIZE,
		.reported = balloon->reported,
		.demand = balloon->reported ? balloon->demand * HV_PAGE_SIZE : 0,
		.available = balloon->available * HV_PAGE_SIZE,
		.failures = balloon->failures,
	};
}

const char *balloon_state_name(enum balloon_state state)
{
	static const char *const names[] = {
		[BALLOON_ABSENT] = "absent",   [BALLOON_NEGOTIATING] = "negotiating",
		[BALLOON_RESTING] = "resting", [BALLOON_TAKING] = "taking",
		[BALLOON_GIVING] = "giving",   [BALLOON_ADDING] = "adding",
		[BALLOON_REFUSED] = "refused",
	};

	return names[state];
}
