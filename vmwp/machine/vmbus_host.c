/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the VMBus host and the VSPs need of the hypervisor, on vid/ and hvshim/. */
#include "vmwp/machine/vmbus_host.h"

#include "common/wire/vmbus.h"

#include <errno.h>
#include <string.h>

static void *vmbus_host_map(void *data, gpa_t gpa, uint64_t size)
{
	struct vmbus_host *host = data;

	return vid_memory_map(host->memory, gpa, size);
}

static void vmbus_host_mark_written(void *data, gpa_t gpa, uint64_t size)
{
	struct vmbus_host *host = data;

	vid_memory_mark_written(host->memory, gpa, size);
}

static int vmbus_host_discard(void *data, gpa_t gpa, uint64_t size)
{
	struct vmbus_host *host = data;

	return vid_memory_discard_range(host->memory, gpa, size);
}

/* What an earlier power cycle of the guest was given is still there, in pieces of other sizes. */
static int vmbus_host_add(void *data, gpa_t gpa, uint64_t size)
{
	struct vmbus_host *host = data;
	int r = 0;

	while (size > 0 && r == 0) {
		struct vid_memory_region region = { .gpa = gpa };
		bool is_ram;

		region.size = vid_memory_run(host->memory, gpa, size, &is_ram);
		if (!is_ram)
			r = vid_memory_add(host->memory, region, host->backing, host->shared);
		gpa = gpa_add(gpa, region.size);
		size -= region.size;
	}
	return r;
}

static int vmbus_host_post_message(void *data, uint32_t vp, const void *payload, size_t size)
{
	struct vmbus_host *host = data;
	struct hvshim_message message = { .type = VMBUS_HV_MESSAGE_TYPE, .size = (uint32_t)size };
	int r;

	if (size > sizeof(message.payload))
		return -EMSGSIZE;
	if (!host->hvshim)
		return VSP_HOST_E_NOT_READY;
	memcpy(message.payload, payload, size);
	r = hvshim_post_message(host->hvshim, vp, VMBUS_SINT, &message);
	if (r == HVSHIM_E_BUSY)
		return VSP_HOST_E_BUSY;
	return r > 0 ? VSP_HOST_E_NOT_READY : r;
}

static void vmbus_host_signal_event(void *data, uint32_t vp, uint32_t flag)
{
	struct vmbus_host *host = data;

	if (host->hvshim)
		hvshim_signal_event(host->hvshim, vp, VMBUS_SINT, flag);
}

static int vmbus_host_connection_add(void *data, uint32_t connection_id, int event_fd)
{
	struct vmbus_host *host = data;

	return host->hvshim ? hvshim_connection_add(host->hvshim, connection_id, event_fd)
			    : -ENODEV;
}

static void vmbus_host_connection_remove(void *data, uint32_t connection_id)
{
	struct vmbus_host *host = data;

	if (host->hvshim)
		hvshim_connection_remove(host->hvshim, connection_id);
}

static uint64_t vmbus_host_reference_time(void *data)
{
	struct vmbus_host *host = data;

	return host->hvshim ? hvshim_reference_time(host->hvshim) : 0;
}

const struct vsp_host_ops vmbus_host_ops = {
	.map = vmbus_host_map,
	.mark_written = vmbus_host_mark_written,
	.discard = vmbus_host_discard,
	.add = vmbus_host_add,
	.post_message = vmbus_host_post_message,
	.signal_event = vmbus_host_signal_event,
	.connection_add = vmbus_host_connection_add,
	.connection_remove = vmbus_host_connection_remove,
	.reference_time = vmbus_host_reference_time,
};
