/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guest crash reports: five parameters, and a text if the guest has one. TLFS, "Guest Crash
 * Enlightenment".
 */
#include "hvshim/internal.h"

#include <string.h>

/* With HV_CRASH_MESSAGE, two parameters say where the text is. */
#define TEXT_ADDRESS 3
#define TEXT_SIZE    4

static void crash_copy_text(const struct hvshim *hvshim, struct hvshim_crash *crash)
{
	gpa_t gpa = GPA(crash->parameters[TEXT_ADDRESS]);
	size_t size = MIN(crash->parameters[TEXT_SIZE], (uint64_t)sizeof(crash->text));

	/* Page by page: the next one may lie in RAM that was added. */
	while (crash->text_size < size) {
		size_t part = MIN(size - crash->text_size,
				  (size_t)(HV_PAGE_SIZE - gpa.value % HV_PAGE_SIZE));
		const void *text = vid_memory_map(hvshim->memory, gpa, part);

		if (!text)
			return;
		memcpy(crash->text + crash->text_size, text, part);
		crash->text_size += part;
		gpa = gpa_add(gpa, part);
	}
}

void crash_capture(struct hvshim *hvshim, uint64_t control)
{
	struct hvshim_crash *crash;

	if (!(control & HV_CRASH_NOTIFY))
		return;
	crash = calloc(1, sizeof(*crash));
	if (!crash)
		return;
	crash->control = control;
	pthread_mutex_lock(&hvshim->lock);
	memcpy(crash->parameters, hvshim->state.crash_parameters, sizeof(crash->parameters));
	if (control & HV_CRASH_MESSAGE)
		crash_copy_text(hvshim, crash);
	free(hvshim->crash);
	hvshim->crash = crash;
	pthread_mutex_unlock(&hvshim->lock);
	hvshim_raise(hvshim, HVSHIM_EVENT_CRASH);
}
