/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Overlay pages.
 *
 * The TLFS lays a page of the hypervisor's own over a guest page: the guest's contents are hidden
 * while it is enabled and back when it is disabled. We have no page to put there without cutting
 * guest memory into small slots, so the guest's page itself takes the contents, and what it held is
 * kept aside. Two differences a guest could see: it can write to the page, which harms nobody but
 * itself, and the page must be RAM, where a real overlay may lie anywhere.
 */
#include "hvshim/internal.h"

#include <string.h>

int overlay_enable(struct overlay *overlay, struct vid_memory *memory, gpa_t gpa,
		   const void *contents, size_t size)
{
	uint8_t *page = vid_memory_map(memory, gpa, HV_PAGE_SIZE);

	if (!page)
		return HVSHIM_MSR_E_FAULT;
	overlay_disable(overlay, memory);
	overlay->below = malloc(HV_PAGE_SIZE);
	if (!overlay->below)
		return -ENOMEM;
	overlay->gpa = gpa;
	memcpy(overlay->below, page, HV_PAGE_SIZE);
	memcpy(page, contents, size);
	memset(page + size, 0, HV_PAGE_SIZE - size);
	vid_memory_mark_written(memory, gpa, HV_PAGE_SIZE);
	return 0;
}

void overlay_disable(struct overlay *overlay, struct vid_memory *memory)
{
	if (!overlay->below)
		return;
	memcpy(vid_memory_map(memory, overlay->gpa, HV_PAGE_SIZE), overlay->below, HV_PAGE_SIZE);
	vid_memory_mark_written(memory, overlay->gpa, HV_PAGE_SIZE);
	free(overlay->below);
	overlay->below = NULL;
}

int overlay_restore(struct overlay *overlay, struct vid_memory *memory, gpa_t gpa,
		    const void *below)
{
	const uint8_t *page = vid_memory_map(memory, gpa, HV_PAGE_SIZE);

	if (!page)
		return HVSHIM_MSR_E_FAULT;
	free(overlay->below);
	overlay->below = malloc(HV_PAGE_SIZE);
	if (!overlay->below)
		return -ENOMEM;
	overlay->gpa = gpa;
	memcpy(overlay->below, below ? below : page, HV_PAGE_SIZE);
	return 0;
}
