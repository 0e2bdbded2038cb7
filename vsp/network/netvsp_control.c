/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Control messages to the guest: answers, and what it is told unasked.
 *
 * Each takes a slot of the receive buffer, and waits where there is none. So many may wait; what
 * the guest asks beyond that is refused, and what it would be told unasked is pending until
 * there is a place again, when it is told how things are by then.
 */
#include "vsp/network/netvsp.h"

struct netvsp_control *netvsp_control_take(struct network_adapter *adapter)
{
	struct netvsp_control *control;

	if (list_empty(&adapter->control_free))
		return NULL;
	control = container_of(adapter->control_free.next, struct netvsp_control, link);
	list_unlink(&control->link);
	return control;
}

void netvsp_control_free(struct network_adapter *adapter, struct netvsp_control *control)
{
	list_append(&adapter->control_free, &control->link);
}

void netvsp_control_send(struct network_adapter *adapter, struct netvsp_control *control)
{
	list_append(&adapter->control_waiting, &control->link);
	netvsp_defer(adapter);
}

/* Return: whether the message is done with. */
static bool control_write(struct network_adapter *adapter, const struct netvsp_control *control)
{
	struct ring_transfer_range range;
	uint32_t slot;
	int r;

	if (!adapter->receive_buffer || adapter->receive_revoked || !adapter->primary ||
	    !adapter->primary->open)
		return true;
	if (adapter->free_count == 0)
		return false;
	slot = netvsp_slot_take(adapter);
	adapter->slots[slot].next = NETVSP_SLOT_NONE;
	range = (struct ring_transfer_range){ (uint32_t)control->size, slot * adapter->slot_size };
	vmbus_buffer_write(adapter->receive_buffer, range.byte_offset, control->bytes,
			   range.byte_count);
	r = netvsp_receive_lend(adapter->primary, NVSP_CHANNEL_CONTROL, &range, 1, slot);
	if (r)
		netvsp_slot_put(adapter, slot);
	return r != VMBUS_E_FULL;
}

/* ---- What it is told unasked ---- */

static void control_tell_link(struct network_adapter *adapter, struct netvsp_control *control)
{
	control->size =
		rndis_indicate_link(&adapter->rndis, adapter->rndis.link_up, control->bytes);
}

static void control_tell_offloads(struct network_adapter *adapter, struct netvsp_control *control)
{
	control->size = rndis_indicate_offloads(&adapter->rndis, control->bytes);
}

static const struct {
	unsigned pending; /* NETVSP_PENDING_ */
	void (*fill)(struct network_adapter *adapter, struct netvsp_control *control);
} control_indications[] = {
	{ NETVSP_PENDING_LINK, control_tell_link },
	{ NETVSP_PENDING_OFFLOADS, control_tell_offloads },
};

static void control_pay(struct network_adapter *adapter)
{
	for (size_t i = 0; i < ARRAY_SIZE(control_indications); i++) {
		struct netvsp_control *control;

		if (!(adapter->pending & control_indications[i].pending))
			continue;
		control = netvsp_control_take(adapter);
		if (!control)
			return;
		adapter->pending &= ~control_indications[i].pending;
		control_indications[i].fill(adapter, control);
		netvsp_control_send(adapter, control);
	}
}

void netvsp_link_changed(struct network_adapter *adapter)
{
	adapter->rndis.link_up = adapter->backend != NULL;
	if (!adapter->rndis.initialized)
		return;
	adapter->pending |= NETVSP_PENDING_LINK;
	control_pay(adapter);
}

void netvsp_indicate_offloads(struct network_adapter *adapter)
{
	adapter->pending |= NETVSP_PENDING_OFFLOADS;
	control_pay(adapter);
}

void netvsp_control_flush(struct network_adapter *adapter)
{
	while (!list_empty(&adapter->control_waiting)) {
		struct netvsp_control *control =
			container_of(adapter->control_waiting.next, struct netvsp_control, link);

		if (!control_write(adapter, control))
			return;
		list_unlink(&control->link);
		netvsp_control_free(adapter, control);
	}
	/* To a guest that begins anew, nothing is pending. */
	if (!adapter->rndis.initialized)
		adapter->pending = 0;
	control_pay(adapter);
}
