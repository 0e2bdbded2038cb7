/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every test guest begins with.
 */
#include "tests/guest/rig.h"
#include "guest-vsc/clock.h"
#include "guest-vsc/hypercall.h"
#include "guest-vsc/synic.h"
#include "tests/guest/report.h"

struct rig rig;

static uint8_t rings[STORVSC_CLIENT_CHANNELS_MAX][RIG_RING_PAGES][RING_PAGE_SIZE]
	__attribute__((aligned(4096)));

struct client_channel_memory rig_ring(unsigned n)
{
	return (struct client_channel_memory){ .address = rings[n], .pages = RIG_RING_PAGES };
}

/* Reports failures only. */
static bool need(bool passed, const char *name)
{
	return passed || report(false, name, "bus status 0x%x, storage status 0x%x", rig.bus.status,
				rig.storage.status);
}

static bool need_code(int code, const char *name)
{
	return code == 0 || report(false, name, "code %d, bus status 0x%x, storage status 0x%x",
				   code, rig.bus.status, rig.storage.status);
}

bool rig_enable(void)
{
	return need(hypercall_enable(), "hypercalls can be enabled") &&
	       need(clock_enable(), "the reference TSC page can be enabled") &&
	       need(synic_enable(VMBUS_SINT), "the SynIC can be enabled");
}

bool rig_connect(uint32_t newest)
{
	size_t first = 0;

	while (first + 1 < vmbus_client_version_count && vmbus_client_versions[first] > newest)
		first++;
	vmbus_client_init(&rig.bus);
	return need_code(vmbus_client_connect(&rig.bus, vmbus_client_versions + first,
					      vmbus_client_version_count - first),
			 "the host answers the contact") &&
	       need_code(vmbus_client_request_offers(&rig.bus), "the host delivers its offers");
}

const struct vmbus_message_offer_channel *rig_storage_offer(void)
{
	return vmbus_client_find(&rig.bus, &storvsc_device_type, 0, 0);
}

bool rig_open(uint16_t newest)
{
	const struct vmbus_message_offer_channel *offer = rig_storage_offer();

	return need(offer != NULL, "a storage controller is offered") &&
	       need_code(storvsc_client_open(&rig.storage, &rig.bus, offer, newest, rig_ring(0)),
			 "the storage controller opens") &&
	       need_code(disk_client_open(&rig.disk, &rig.storage, 0), "the disk on LUN 0 answers");
}

bool rig_start(void)
{
	return rig_enable() && rig_connect(UINT32_MAX) && rig_open(UINT16_MAX);
}

bool rig_unload(void)
{
	return need_code(vmbus_client_unload(&rig.bus), "the host answers the unload");
}
