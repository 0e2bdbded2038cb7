/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Doorbells: guest actions that KVM turns into a write to an eventfd, without an exit.
 */
#include "vid/internal.h"

#define DOORBELL_SIZE 4u /* bytes of the OUT */

/* The connection id is a 24-bit number. TLFS, HV_CONNECTION_ID. */
#define CONNECTION_ID_MAX 0xffffffu

static int doorbell_set(struct vid_partition *partition, uint16_t port, uint32_t value,
			int event_fd, uint32_t flags)
{
	struct kvm_ioeventfd argument = {
		.datamatch = value,
		.addr = port,
		.len = DOORBELL_SIZE,
		.fd = event_fd,
		.flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH | flags,
	};

	return ioctl(partition->fd, KVM_IOEVENTFD, &argument) < 0 ? -errno : 0;
}

int vid_doorbell_add(struct vid_partition *partition, uint16_t port, uint32_t value, int event_fd)
{
	return doorbell_set(partition, port, value, event_fd, 0);
}

int vid_doorbell_remove(struct vid_partition *partition, uint16_t port, uint32_t value,
			int event_fd)
{
	return doorbell_set(partition, port, value, event_fd, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

static int connection_set(struct vid_partition *partition, uint32_t connection_id, int event_fd,
			  uint32_t flags)
{
	struct kvm_hyperv_eventfd argument = {
		.conn_id = connection_id,
		.fd = event_fd,
		.flags = flags,
	};

	if (connection_id > CONNECTION_ID_MAX)
		return -EINVAL;
	return ioctl(partition->fd, KVM_HYPERV_EVENTFD, &argument) < 0 ? -errno : 0;
}

int vid_connection_add(struct vid_partition *partition, uint32_t connection_id, int event_fd)
{
	if (!partition->vid->capabilities.hyperv_eventfd)
		return -ENOTSUP;
	return connection_set(partition, connection_id, event_fd, 0);
}

int vid_connection_remove(struct vid_partition *partition, uint32_t connection_id)
{
	return connection_set(partition, connection_id, -1, KVM_HYPERV_EVENTFD_DEASSIGN);
}
