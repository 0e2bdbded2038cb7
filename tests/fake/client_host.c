/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host for guest-vsc/'s drivers.
 *
 * Messages go the way they do in a machine: into the SynIC's slot, one after the other, each when
 * the one before has been taken.
 */
#include "tests/fake/client_host.h"

#include "guest-vsc/clock.h"
#include "guest-vsc/hypercall.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/synic.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size)   ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

#define CONNECTION_ID 0x10005u

struct client_host client_host;

static uint8_t ring_memory[CLIENT_CHANNEL_PAGES_MAX][RING_PAGE_SIZE]
	__attribute__((aligned(RING_PAGE_SIZE)));

/* ---- Messages to the guest ---- */

static void deliver(void)
{
	struct hv_message *slot = (struct hv_message *)synic_message_slot(VMBUS_SINT);

	if (client_host.message_count == 0)
		return;
	if (slot->type != HV_MESSAGE_NONE) {
		slot->flags |= HV_MESSAGE_PENDING;
		return;
	}
	*slot = client_host.messages[0];
	client_host.message_count--;
	memmove(client_host.messages, client_host.messages + 1,
		client_host.message_count * sizeof(client_host.messages[0]));
	if (client_host.message_count > 0)
		slot->flags |= HV_MESSAGE_PENDING;
}

void client_host_deliver(const struct hv_message *message)
{
	assert(client_host.message_count < CLIENT_HOST_MESSAGES);
	client_host.messages[client_host.message_count++] = *message;
	deliver();
}

void client_host_post(const void *message, size_t size)
{
	struct hv_message slot = {
		.type = VMBUS_HV_MESSAGE_TYPE,
		.payload_size = (uint8_t)size,
	};

	assert(size <= UINT8_MAX);
	memset(slot.payload, CLIENT_HOST_STALE, sizeof(slot.payload));
	memcpy(slot.payload, message, MIN(size, sizeof(slot.payload)));
	client_host_deliver(&slot);
}

void client_host_offer(const struct guid *type, uint32_t relid)
{
	struct vmbus_message_offer_channel offer = {
		.header.type = VMBUS_MESSAGE_OFFER_CHANNEL,
		.type = *type,
		.instance = *type,
		.relid = relid,
		.connection_id = CONNECTION_ID,
	};

	client_host_post(&offer, sizeof(offer));
}

/* ---- Messages of the guest ---- */

struct client_host_gpadl *client_host_find_gpadl(uint32_t id)
{
	for (unsigned i = 0; i < CLIENT_HOST_GPADLS; i++)
		if (client_host.gpadls[i].id == id)
			return &client_host.gpadls[i];
	return NULL;
}

static void take_frames(struct client_host_gpadl *gpadl, const uint8_t *words, size_t size)
{
	struct vmbus_message_gpadl_created created = {
		.header.type = VMBUS_MESSAGE_GPADL_CREATED,
		.relid = CLIENT_HOST_RELID,
		.gpadl = gpadl->id,
	};
	uint64_t frame;

	for (; size >= sizeof(frame); size -= sizeof(frame), words += sizeof(frame)) {
		memcpy(&frame, words, sizeof(frame));
		gpadl->pages[gpadl->count++] = machine_address(frame * RING_PAGE_SIZE);
	}
	if (gpadl->count == gpadl->wanted)
		client_host_post(&created, sizeof(created));
}

static void take_gpadl_header(const void *message, size_t size)
{
	const struct vmbus_message_gpadl_header *header = message;
	struct client_host_gpadl *gpadl = client_host_find_gpadl(0);
	const size_t before = sizeof(*header) + sizeof(struct vmbus_gpa_range);

	assert(gpadl && header->range_count == 1);
	gpadl->id = header->gpadl;
	gpadl->count = 0;
	gpadl->wanted = header->range_size / 8u - 1;
	assert(gpadl->wanted <= CLIENT_HOST_PAGES);
	take_frames(gpadl, (const uint8_t *)message + before, size - before);
}

static void take_gpadl_body(const void *message, size_t size)
{
	const struct vmbus_message_gpadl_body *body = message;
	struct client_host_gpadl *gpadl = client_host_find_gpadl(body->gpadl);

	if (gpadl)
		take_frames(gpadl, (const uint8_t *)message + sizeof(*body), size - sizeof(*body));
}

static void take_gpadl_teardown(const void *message)
{
	const struct vmbus_message_gpadl_teardown *teardown = message;
	struct client_host_gpadl *gpadl = client_host_find_gpadl(teardown->gpadl);
	struct vmbus_message_gpadl_torndown torndown = {
		.header.type = VMBUS_MESSAGE_GPADL_TORNDOWN,
		.gpadl = teardown->gpadl,
	};

	if (gpadl)
		gpadl->id = 0;
	client_host_post(&torndown, sizeof(torndown));
}

static void take_open(const void *message)
{
	const struct vmbus_message_open_channel *open = message;
	struct client_host_gpadl *gpadl = client_host_find_gpadl(open->ring_gpadl);
	struct vmbus_message_open_result result = {
		.header.type = VMBUS_MESSAGE_OPEN_RESULT,
		.relid = open->relid,
		.open_id = open->open_id,
	};
	uint32_t downstream = open->downstream_page;

	if (!gpadl) {
		result.status = VMBUS_STATUS_INVALID_PARAMETER;
		client_host_post(&result, sizeof(result));
		return;
	}
	if (ring_init_reader(&client_host.from_guest, gpadl->pages, downstream) ||
	    ring_init_writer(&client_host.to_guest, gpadl->pages + downstream,
			     gpadl->count - downstream))
		abort();
	client_host.open = true;
	client_host_post(&result, sizeof(result));
}

static void take_contact(void)
{
	const struct vmbus_message_version_response response = {
		.header.type = VMBUS_MESSAGE_VERSION_RESPONSE,
		.supported = 1,
		.connection_id = CONNECTION_ID,
	};

	client_host_post(&response, sizeof(response));
}

static void take_request_offers(void)
{
	const struct vmbus_message_header delivered = {
		.type = VMBUS_MESSAGE_ALL_OFFERS_DELIVERED,
	};

	client_host_offer(&client_host.offered, CLIENT_HOST_RELID);
	client_host_post(&delivered, sizeof(delivered));
}

static void take_message(const void *message, size_t size)
{
	const struct vmbus_message_header unloaded = { .type = VMBUS_MESSAGE_UNLOAD_RESPONSE };
	const struct vmbus_message_relid *relid = message;

	switch (relid->header.type) {
	case VMBUS_MESSAGE_INITIATE_CONTACT:
		take_contact();
		break;
	case VMBUS_MESSAGE_REQUEST_OFFERS:
		take_request_offers();
		break;
	case VMBUS_MESSAGE_GPADL_HEADER:
		take_gpadl_header(message, size);
		break;
	case VMBUS_MESSAGE_GPADL_BODY:
		take_gpadl_body(message, size);
		break;
	case VMBUS_MESSAGE_GPADL_TEARDOWN:
		take_gpadl_teardown(message);
		break;
	case VMBUS_MESSAGE_OPEN_CHANNEL:
		take_open(message);
		break;
	case VMBUS_MESSAGE_CLOSE_CHANNEL:
		client_host.open = false;
		break;
	case VMBUS_MESSAGE_RELID_RELEASED:
		client_host.released = relid->relid;
		break;
	case VMBUS_MESSAGE_UNLOAD:
		client_host_post(&unloaded, sizeof(unloaded));
		break;
	}
}

/* ---- The machine ---- */

uint16_t hypercall_post_message(uint32_t connection_id, uint32_t type, const void *payload,
				size_t size)
{
	assert(type == VMBUS_HV_MESSAGE_TYPE && size <= HV_MESSAGE_PAYLOAD_SIZE);
	if (!client_host.posted || !client_host.posted(payload, size))
		take_message(payload, size);
	return HV_STATUS_SUCCESS;
}

uint16_t hypercall_signal_event(uint32_t connection_id, uint16_t flag)
{
	if (client_host.open && client_host.signalled)
		client_host.signalled();
	return HV_STATUS_SUCCESS;
}

bool machine_write_msr(uint32_t index, uint64_t value)
{
	if (index == HV_MSR_EOM)
		deliver();
	return true;
}

uint64_t clock_now(void)
{
	return client_host.now += CLIENT_HOST_TICK;
}

uint64_t machine_interrupts(void)
{
	return 0;
}

void machine_wait_interrupt(uint64_t seen)
{
	guest_panic("nothing will ever wake the guest");
}

void guest_panic(const char *text)
{
	fprintf(stderr, "guest: %s\n", text);
	abort();
}

/* ---- The channel ---- */

/* client_channel.c's own, as the build renames it. */
int client_channel_receive_plainly(struct client_channel *channel, void *buffer, uint32_t size,
				   struct ring_packet *ret_packet);

int client_channel_receive(struct client_channel *channel, void *buffer, uint32_t size,
			   struct ring_packet *ret_packet)
{
	uint32_t used;
	int r;

	ASAN_UNPOISON_MEMORY_REGION(buffer, size);
	r = client_channel_receive_plainly(channel, buffer, size, ret_packet);
	if (r == 0) {
		used = ret_packet->extension_size + ret_packet->payload_size;
		ASAN_POISON_MEMORY_REGION((uint8_t *)buffer + used, size - used);
	}
	return r;
}

bool client_host_send(const struct ring_packet *packet)
{
	if (!client_host.open || ring_write(&client_host.to_guest, packet))
		return false;
	(void)!ring_publish_written(&client_host.to_guest);
	return true;
}

bool client_host_send_inband(const void *payload, size_t size)
{
	return client_host_send(&(struct ring_packet){
		.type = RING_PACKET_INBAND,
		.payload = payload,
		.payload_size = (uint32_t)size,
	});
}

bool client_host_complete(uint64_t transaction_id, const void *payload, size_t size)
{
	return client_host_send(&(struct ring_packet){
		.type = RING_PACKET_COMPLETION,
		.transaction_id = transaction_id,
		.payload = payload,
		.payload_size = (uint32_t)size,
	});
}

const struct ring_packet *client_host_receive(void)
{
	static uint64_t buffer[RING_PAGE_SIZE * 4 / sizeof(uint64_t)];
	static struct ring_packet packet;
	int r;

	if (!client_host.open)
		return NULL;
	r = ring_read(&client_host.from_guest, buffer, sizeof(buffer), &packet);
	assert(r == 0 || r == RING_E_EMPTY);
	if (r == RING_E_EMPTY)
		(void)!ring_publish_read(&client_host.from_guest);
	return r == 0 ? &packet : NULL;
}

/* ---- The beginning ---- */

struct client_channel_memory client_host_rings(unsigned pages)
{
	return (struct client_channel_memory){ .address = ring_memory, .pages = pages };
}

void client_host_reset(const struct guid *type)
{
	struct hv_message *slot = (struct hv_message *)synic_message_slot(VMBUS_SINT);

	client_host = (struct client_host){ .offered = *type };
	*slot = (struct hv_message){ 0 };
	memset(ring_memory, 0, sizeof(ring_memory));
	vmbus_client_init(&client_host.bus);
}

void client_host_start(const struct guid *type)
{
	client_host_reset(type);
	if (vmbus_client_connect(&client_host.bus, vmbus_client_versions,
				 vmbus_client_version_count) ||
	    vmbus_client_request_offers(&client_host.bus))
		abort();
}
