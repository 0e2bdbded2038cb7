/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The head of a note in a guest's page: any bytes. What is found fits into what it may be. */
#include "vmwp/control/core_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct vid_memory_region region = { GPA(0), 4096 };
	uint8_t page[VMCOREINFO_SIZE_MAX] = { 0 };
	struct core_file file = { .regions = &region, .region_count = 1 };
	size_t text, head_size;
	void *head;

	memcpy(page, data, size < sizeof(page) ? size : sizeof(page));
	text = vmcoreinfo_at(page);
	if (text > sizeof(page) - VMCOREINFO_HEAD_SIZE)
		abort();
	file.vmcoreinfo = text ? page + VMCOREINFO_HEAD_SIZE : NULL;
	file.vmcoreinfo_size = text;
	if (core_file_head(&file, &head, &head_size) < 0)
		abort();
	if (head_size % CORE_FILE_ALIGNMENT != 0)
		abort();
	free(head);
	return 0;
}
