/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Test guest: what a hostile guest can do, and that all it can stop is itself.
 *
 * Every attack begins with a fresh connection. After it the guest leaves the host, connects, opens
 * the disk and reads a sector, as a decent guest does: the host must have survived, and must have
 * forgotten. tests/guest/run checks that the worker ends in order, that it has not grown, and that
 * the disk, which nobody writes to here, is as it was.
 */
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"
#include "guest-vsc/synic.h"
#include "tests/guest/hostile.h"
#include "tests/guest/pattern.h"
#include "tests/guest/report.h"

#define SEED 1

uint8_t hostile_buffer[HOSTILE_BUFFER_SIZE] __attribute__((aligned(4096)));
uint8_t hostile_shared[RIG_RING_PAGES * RING_PAGE_SIZE] __attribute__((aligned(4096)));

static const struct attack *const tables[] = {
	hostile_messages, hostile_gpadls, hostile_rings,
	hostile_storage,  hostile_synic,  hostile_random,
};

struct client_channel *hostile_channel(void)
{
	return &rig.storage.channels[0];
}

uint32_t hostile_relid(void)
{
	return rig_storage_offer()->relid;
}

void hostile_post(const void *message, size_t size)
{
	if (vmbus_client_post(&rig.bus, message, size))
		rig.bus.status = 0;
}

void hostile_await_version(void)
{
	struct vmbus_message_version_response response;

	report(!vmbus_client_await(&rig.bus, VMBUS_MESSAGE_VERSION_RESPONSE, 0, 0, &response,
				   sizeof(response)),
	       "the host answers a contact", "it does not");
}

/* What a decent guest does next. Return: whether the host still serves it. */
static bool host_serves(void)
{
	struct storvsc_request request;

	if (!rig_connect(UINT32_MAX) || !rig_open(UINT16_MAX))
		return false;
	memset(hostile_buffer, 0, 4096);
	request = disk_client_read(&rig.disk, 0, hostile_buffer, 4096);
	return storvsc_client_execute(&rig.storage, &request) == 0 &&
	       storvsc_request_succeeded(&request) &&
	       pattern_check(hostile_buffer, 4096, SEED, 0) == 4096;
}

/* Takes whatever still comes, so that it is not taken for the answer to what follows. */
static void drain(void)
{
	struct hv_message message;

	while (synic_take_message(VMBUS_SINT, &message))
		;
	vmbus_client_init(&rig.bus);
	rig.bus.connection_id = VMBUS_CONNECTION_ID_MESSAGE_4;
}

/* Whether one of the completions that lie in the ring says success. */
static bool request_succeeded(void)
{
	const struct storvsp_packet *payload;
	struct ring_packet packet;

	while (client_channel_receive(hostile_channel(), hostile_buffer, sizeof(hostile_buffer),
				      &packet) == 0) {
		payload = packet.payload;
		if (packet.payload_size >= sizeof(*payload) &&
		    payload->srb.srb_status == STORVSP_SRB_SUCCESS)
			return true;
	}
	return false;
}

/*
 * Afterwards the guest leaves before it connects again, or just does, as after a crash. When the
 * host has let it leave, all that is to come of the attack has come.
 */
static bool attack(const struct attack *how, unsigned variant, bool leave)
{
	if (!rig_connect(UINT32_MAX) || (how->flags & HOSTILE_OPEN && !rig_open(UINT16_MAX)))
		return false;
	how->run(variant);
	drain();
	if (leave && (!rig_unload() || (how->flags & HOSTILE_REFUSED && request_succeeded())))
		return false;
	return host_serves() && rig_unload();
}

/* Return: false if the host does not serve any more. */
static bool mount(const struct attack *how)
{
	for (unsigned variant = 0; variant < how->variants; variant++)
		if (!attack(how, variant, false) || !attack(how, variant, true))
			return report(false, how->name,
				      "variant %u: a request succeeded, or the host does not serve",
				      variant);
	return report(true, how->name, "%s", "");
}

void guest_main(void)
{
	bool alive = rig_enable();

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		for (const struct attack *how = tables[i]; alive && how->name; how++)
			alive = mount(how);
	report_done();
}
