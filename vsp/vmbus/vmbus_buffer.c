/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory of the guest that a VSP keeps: a GPADL, mapped page by page. */
#include "vsp/vmbus/vmbus_buffer.h"

#include "vsp/vmbus/bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct vmbus_buffer {
	struct vmbus *bus;
	struct gpadl *gpadl;
	const uint64_t *pfns; /* the list's */
	uint32_t page_count;
	uint8_t *pages[];
};

static int buffer_map_pages(struct vmbus_buffer *buffer)
{
	const struct vsp_host *host = buffer->bus->host;

	for (uint32_t i = 0; i < buffer->page_count; i++) {
		buffer->pages[i] =
			host->ops->map(host->host, gpa_from_pfn(buffer->pfns[i]), HV_PAGE_SIZE);
		if (!buffer->pages[i])
			return VMBUS_E_INVALID;
	}
	return 0;
}

int vmbus_buffer_map(struct vmbus_channel *channel, uint32_t gpadl_id, uint32_t size_max,
		     struct vmbus_buffer **ret_buffer)
{
	struct gpadl *gpadl = gpadl_find(&channel->bus->gpadls, gpadl_id);
	struct vmbus_buffer *buffer;
	const uint64_t *pfns;
	uint32_t page_count;

	if (!gpadl || gpadl->relid != channel->relid ||
	    (!channel->bus->quiet && (gpadl->torn_down || gpadl->orphan)))
		return VMBUS_E_INVALID;
	page_count = gpadl_pages(gpadl, &pfns);
	if (page_count == 0 || page_count > size_max / HV_PAGE_SIZE)
		return VMBUS_E_INVALID;
	buffer = malloc(sizeof(*buffer) + page_count * sizeof(*buffer->pages));
	if (!buffer)
		return -ENOMEM;
	*buffer = (struct vmbus_buffer){
		.bus = channel->bus,
		.gpadl = gpadl,
		.pfns = pfns,
		.page_count = page_count,
	};
	if (buffer_map_pages(buffer)) {
		free(buffer);
		return VMBUS_E_INVALID;
	}
	gpadl->users++;
	*ret_buffer = buffer;
	return 0;
}

void vmbus_buffer_unmap(struct vmbus_buffer *buffer)
{
	if (!buffer)
		return;
	buffer->gpadl->users--;
	channel_settle_gpadl(buffer->bus, buffer->gpadl);
	bus_send(buffer->bus);
	free(buffer);
}

uint32_t vmbus_buffer_gpadl(const struct vmbus_buffer *buffer)
{
	return buffer->gpadl->id;
}

uint32_t vmbus_buffer_size(const struct vmbus_buffer *buffer)
{
	return buffer->page_count * (uint32_t)HV_PAGE_SIZE;
}

unsigned vmbus_buffer_iov(const struct vmbus_buffer *buffer, uint32_t offset, uint32_t size,
			  struct iovec *iov)
{
	unsigned count = 0;

	while (size > 0) {
		uint32_t in_page = (uint32_t)(offset % HV_PAGE_SIZE);
		uint32_t run = MIN(size, (uint32_t)HV_PAGE_SIZE - in_page);
		uint8_t *at = buffer->pages[offset / HV_PAGE_SIZE] + in_page;
		struct iovec *last = count > 0 ? &iov[count - 1] : NULL;

		if (last && (uint8_t *)last->iov_base + last->iov_len == at)
			last->iov_len += run;
		else
			iov[count++] = (struct iovec){ .iov_base = at, .iov_len = run };
		offset += run;
		size -= run;
	}
	return count;
}

void vmbus_buffer_write(struct vmbus_buffer *buffer, uint32_t offset, const void *source,
			uint32_t size)
{
	const uint8_t *from = source;
	uint32_t at = offset, left = size;

	while (left > 0) {
		uint32_t in_page = (uint32_t)(at % HV_PAGE_SIZE);
		uint32_t run = MIN(left, (uint32_t)HV_PAGE_SIZE - in_page);

		memcpy(buffer->pages[at / HV_PAGE_SIZE] + in_page, from, run);
		from += run;
		at += run;
		left -= run;
	}
	vmbus_buffer_mark(buffer, offset, size);
}

void vmbus_buffer_mark(const struct vmbus_buffer *buffer, uint32_t offset, uint32_t size)
{
	const struct vsp_host *host = buffer->bus->host;

	for (uint64_t page = offset / HV_PAGE_SIZE; page * HV_PAGE_SIZE < (uint64_t)offset + size;
	     page++)
		host->ops->mark_written(host->host, gpa_from_pfn(buffer->pfns[page]), HV_PAGE_SIZE);
}
