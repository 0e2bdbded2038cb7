/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's end of a synthetic SCSI controller.
 *
 * A request's transaction id is its slot in the table plus one, so that 0 stays what it is: the
 * host speaking unasked. Handshake packets have an id of their own, as nothing else is in flight.
 */
#include "guest-vsc/storvsc_client.h"
#include "guest-vsc/clock.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"

#define HANDSHAKE_ID UINT64_MAX

#define REQUEST_TIMEOUT     60 /* seconds; what the host is told */
#define QUEUE_ACTION_SIMPLE 0x20
#define COMPLETION_TIMEOUT  (30 * CLOCK_SECOND)
#define PACKET_BUFFER_SIZE  256
#define PAGE_SIZE           4096u

const struct guid storvsc_device_type = { { 0xd9, 0x63, 0x61, 0xba, 0xa1, 0x04, 0x29, 0x4d, 0xb6,
					    0x05, 0x72, 0xe2, 0xff, 0xb1, 0xdc, 0x7f } };

/* The extension of a GPA-direct packet with one range. */
static struct {
	struct ring_gpa_direct direct;
	struct {
		uint32_t byte_count, byte_offset;
	} range;
	uint64_t pfns[STORVSC_CLIENT_PAGES_MAX];
} extension;
_Static_assert(offsetof(__typeof__(extension), pfns) ==
		       sizeof(struct ring_gpa_direct) + sizeof(struct ring_gpa_range),
	       "wire format");

/* ---- Handshake ---- */

/* Waits for a packet on channel 0, and copies its payload. */
static int await_packet(struct storvsc_client *storage, struct storvsp_packet *ret_packet,
			uint64_t *ret_id)
{
	uint64_t deadline = clock_now() + COMPLETION_TIMEOUT;
	static uint64_t buffer[PACKET_BUFFER_SIZE / sizeof(uint64_t)];
	struct ring_packet packet;
	int r;

	while ((r = client_channel_receive(&storage->channels[0], buffer, sizeof(buffer),
					   &packet)) == RING_E_EMPTY) {
		if (clock_now() > deadline)
			return STORVSC_CLIENT_E_TIMEOUT;
		machine_pause();
	}
	if (r)
		return STORVSC_CLIENT_E_RING;
	if (packet.payload_size < sizeof(*ret_packet))
		return STORVSC_CLIENT_E_PROTOCOL;
	memcpy(ret_packet, packet.payload, sizeof(*ret_packet));
	*ret_id = packet.type == RING_PACKET_COMPLETION ? packet.transaction_id : 0;
	return 0;
}

/* Sends a packet and gets its answer in place. */
static int exchange(struct storvsc_client *storage, struct storvsp_packet *packet)
{
	struct ring_packet request = {
		.type = RING_PACKET_INBAND,
		.flags = RING_FLAG_COMPLETION_REQUESTED,
		.transaction_id = HANDSHAKE_ID,
		.payload = packet,
		.payload_size = sizeof(*packet),
	};
	uint64_t id;
	int r;

	packet->flags = STORVSP_REQUEST_COMPLETION;
	if (client_channel_send(&storage->channels[0], &request))
		return STORVSC_CLIENT_E_RING;
	client_channel_flush(&storage->channels[0]);
	do {
		r = await_packet(storage, packet, &id);
	} while (!r && id == 0);
	if (r)
		return r;
	if (id != HANDSHAKE_ID || packet->operation != STORVSP_COMPLETE_IO)
		return STORVSC_CLIENT_E_PROTOCOL;
	storage->status = packet->status;
	return packet->status == STORVSP_STATUS_SUCCESS ? 0 : STORVSC_CLIENT_E_REFUSED;
}

static int agree_on_version(struct storvsc_client *storage, uint16_t newest)
{
	static const uint16_t versions[] = { STORVSP_VERSION_WIN10, STORVSP_VERSION_WIN8_1,
					     STORVSP_VERSION_WIN8 };
	int r = STORVSC_CLIENT_E_REFUSED;

	for (size_t i = 0; i < ARRAY_SIZE(versions) && r == STORVSC_CLIENT_E_REFUSED; i++) {
		struct storvsp_packet packet = {
			.operation = STORVSP_QUERY_PROTOCOL_VERSION,
			.version.version = versions[i],
		};

		if (versions[i] > newest)
			continue;
		r = exchange(storage, &packet);
		storage->version = versions[i];
	}
	return r;
}

static int shake_hands(struct storvsc_client *storage, uint16_t newest)
{
	struct storvsp_packet packet = { .operation = STORVSP_BEGIN_INITIALIZATION };
	int r;

	r = exchange(storage, &packet);
	if (!r)
		r = agree_on_version(storage, newest);
	if (r)
		return r;
	packet = (struct storvsp_packet){ .operation = STORVSP_QUERY_PROPERTIES };
	r = exchange(storage, &packet);
	if (r)
		return r;
	storage->properties = packet.properties;
	packet = (struct storvsp_packet){ .operation = STORVSP_END_INITIALIZATION };
	return exchange(storage, &packet);
}

int storvsc_client_open(struct storvsc_client *storage, struct vmbus_client *bus,
			const struct vmbus_message_offer_channel *offer, uint16_t newest,
			struct client_channel_memory memory)
{
	memset(storage, 0, sizeof(*storage));
	storage->bus = bus;
	storage->offer = offer;
	for (uint16_t i = 0; i < STORVSC_CLIENT_REQUESTS_MAX; i++)
		storage->free_slots[storage->free_count++] = i;
	if (client_channel_open(&storage->channels[0], bus, offer, memory, NULL))
		return STORVSC_CLIENT_E_BUS;
	storage->channel_count = 1;
	return shake_hands(storage, newest);
}

int storvsc_client_add_channels(struct storvsc_client *storage, unsigned count,
				const struct client_channel_memory *memory)
{
	struct storvsp_packet packet = {
		.operation = STORVSP_CREATE_SUB_CHANNELS,
		.sub_channel_count = (uint16_t)count,
	};
	const struct vmbus_message_offer_channel *offer;
	int r;

	if (storage->channel_count + count > STORVSC_CLIENT_CHANNELS_MAX)
		return STORVSC_CLIENT_E_REFUSED;
	r = exchange(storage, &packet);
	for (uint16_t i = 0; !r && i < count; i++) {
		struct client_channel *channel = &storage->channels[storage->channel_count];

		if (vmbus_client_await_offer(storage->bus, &storage->offer->instance, i + 1,
					     &offer) ||
		    client_channel_open(channel, storage->bus, offer, memory[i], NULL))
			r = STORVSC_CLIENT_E_BUS;
		else
			storage->channel_count++;
	}
	return r;
}

int storvsc_client_close(struct storvsc_client *storage)
{
	while (storage->channel_count)
		if (client_channel_close(&storage->channels[--storage->channel_count]))
			return STORVSC_CLIENT_E_BUS;
	return 0;
}

/* ---- Requests ---- */

static void fill_srb(struct storvsp_srb *srb, const struct storvsc_request *request)
{
	*srb = (struct storvsp_srb){
		.length = sizeof(*srb),
		.path = request->path,
		.target = request->target,
		.lun = request->lun,
		.cdb_length = request->cdb_length,
		.sense_length = STORVSP_SENSE_SIZE,
		.data_in = (uint8_t)request->direction,
		.transfer_length = request->size,
		.queue_tag = 0xff,
		.queue_action = QUEUE_ACTION_SIMPLE,
		.timeout = REQUEST_TIMEOUT,
	};
	memcpy(srb->cdb, request->cdb, sizeof(srb->cdb));
	if (request->direction == STORVSP_DIRECTION_IN)
		srb->srb_flags = STORVSP_SRB_DATA_IN;
	else if (request->direction == STORVSP_DIRECTION_OUT)
		srb->srb_flags = STORVSP_SRB_DATA_OUT;
	srb->srb_flags |= STORVSP_SRB_QUEUE_ACTION_ENABLE;
}

/* Return: bytes of `extension` in use, or 0 if the buffer has too many pages. */
static uint32_t fill_extension(const struct storvsc_request *request)
{
	uint64_t start = machine_gpa(request->buffer);
	uint32_t offset = (uint32_t)(start % PAGE_SIZE);
	uint32_t count = (offset + request->size + PAGE_SIZE - 1) / PAGE_SIZE;

	if (count > STORVSC_CLIENT_PAGES_MAX)
		return 0;
	extension.direct = (struct ring_gpa_direct){ .range_count = 1 };
	extension.range.byte_count = request->size;
	extension.range.byte_offset = offset;
	for (uint32_t i = 0; i < count; i++)
		extension.pfns[i] = request->pages ? request->pages[i] : start / PAGE_SIZE + i;
	return (uint32_t)offsetof(__typeof__(extension), pfns) + count * (uint32_t)sizeof(uint64_t);
}

int storvsc_client_submit(struct storvsc_client *storage, unsigned channel,
			  struct storvsc_request *request)
{
	struct storvsp_packet payload = {
		.operation = STORVSP_EXECUTE_SRB,
		.flags = STORVSP_REQUEST_COMPLETION,
	};
	struct ring_packet packet = {
		.type = RING_PACKET_INBAND,
		.flags = RING_FLAG_COMPLETION_REQUESTED,
		.payload = &payload,
		.payload_size = sizeof(payload),
	};
	uint16_t slot;
	int r;

	if (!storage->free_count)
		return STORVSC_CLIENT_E_FULL;
	fill_srb(&payload.srb, request);
	if (request->size) {
		packet.type = RING_PACKET_GPA_DIRECT;
		packet.extension = &extension;
		packet.extension_size = fill_extension(request);
		if (!packet.extension_size)
			return STORVSC_CLIENT_E_TOO_BIG;
	}
	slot = storage->free_slots[storage->free_count - 1];
	packet.transaction_id = slot + 1u;
	r = client_channel_send(&storage->channels[channel], &packet);
	if (r)
		return r == RING_E_FULL      ? STORVSC_CLIENT_E_FULL
		       : r == RING_E_TOO_BIG ? STORVSC_CLIENT_E_TOO_BIG
					     : STORVSC_CLIENT_E_RING;
	storage->free_count--;
	storage->in_flight++;
	storage->requests[slot] = request;
	request->done = false;
	return 0;
}

void storvsc_client_flush(struct storvsc_client *storage)
{
	for (unsigned i = 0; i < storage->channel_count; i++)
		client_channel_flush(&storage->channels[i]);
}

static void complete(struct storvsc_client *storage, uint64_t id,
		     const struct storvsp_packet *packet)
{
	uint16_t slot = (uint16_t)(id - 1);
	struct storvsc_request *request = NULL;

	if (id - 1 < STORVSC_CLIENT_REQUESTS_MAX)
		request = storage->requests[slot];
	if (!request) {
		storage->strays++;
		return;
	}
	storage->requests[slot] = NULL;
	storage->free_slots[storage->free_count++] = slot;
	storage->in_flight--;
	storage->completions++;
	request->status = packet->status;
	request->srb_status = packet->srb.srb_status;
	request->scsi_status = packet->srb.scsi_status;
	request->sense_length = MIN(packet->srb.sense_length, (uint8_t)STORVSP_SENSE_SIZE);
	request->transferred = packet->srb.transfer_length;
	memcpy(request->sense, packet->srb.sense, sizeof(request->sense));
	request->done = true;
	if (request->complete)
		request->complete(request);
}

/* Return: as storvsc_client_poll(), for one channel. */
static int poll_channel(struct storvsc_client *storage, struct client_channel *channel)
{
	static uint64_t buffer[PACKET_BUFFER_SIZE / sizeof(uint64_t)];
	const struct storvsp_packet *payload;
	struct ring_packet packet;
	int count = 0, r;

	while (!(r = client_channel_receive(channel, buffer, sizeof(buffer), &packet))) {
		payload = packet.payload;
		if (packet.payload_size < sizeof(*payload))
			return -STORVSC_CLIENT_E_PROTOCOL;
		if (packet.type == RING_PACKET_COMPLETION) {
			complete(storage, packet.transaction_id, payload);
			count++;
		} else if (payload->operation == STORVSP_ENUMERATE_BUS) {
			storage->bus_changed = true;
		}
	}
	return r == RING_E_EMPTY ? count : -STORVSC_CLIENT_E_RING;
}

int storvsc_client_poll(struct storvsc_client *storage)
{
	int count = 0, r;

	for (unsigned i = 0; i < storage->channel_count; i++) {
		r = poll_channel(storage, &storage->channels[i]);
		if (r < 0)
			return r;
		count += r;
	}
	return count;
}

int storvsc_client_wait(struct storvsc_client *storage, const struct storvsc_request *request,
			bool halt)
{
	uint64_t deadline = clock_now() + COMPLETION_TIMEOUT;
	int r;

	for (;;) {
		r = storvsc_client_poll(storage);
		if (r < 0)
			return -r;
		if (request->done)
			return 0;
		if (clock_now() > deadline)
			return STORVSC_CLIENT_E_TIMEOUT;
		if (halt)
			client_channel_wait(&storage->channels[0]);
		else
			machine_pause();
	}
}

int storvsc_client_execute(struct storvsc_client *storage, struct storvsc_request *request)
{
	int r;

	r = storvsc_client_submit(storage, 0, request);
	if (r)
		return r;
	storvsc_client_flush(storage);
	return storvsc_client_wait(storage, request, false);
}

bool storvsc_request_succeeded(const struct storvsc_request *request)
{
	return request->done && request->status == STORVSP_STATUS_SUCCESS &&
	       request->srb_status == STORVSP_SRB_SUCCESS && request->scsi_status == SCSI_GOOD;
}

uint32_t storvsc_request_sense(const struct storvsc_request *request)
{
	if (!(request->srb_status & STORVSP_SRB_AUTOSENSE_VALID) || request->sense_length < 14)
		return SCSI_SENSE_NONE;
	return SCSI_SENSE(request->sense[2] & 0xf, request->sense[12], request->sense[13]);
}
