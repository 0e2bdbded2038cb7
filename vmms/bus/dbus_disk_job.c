/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The method of org.vmms1.Manager that works on the file of a disk. */
#include "vmms/bus/dbus_internal.h"
#include "vmms/disk/disk_jobs.h"

int dbus_work_on_disk(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;
	const struct user_found *user = dbus_caller(call);
	struct job *job = NULL;
	struct failure failure;
	const char *text;
	int r;

	r = sd_bus_message_read(call, "s", &text);
	if (r < 0)
		return r;
	r = disk_job_begin(service->manager, user, text, &job, &failure);
	return dbus_reply_job(call, r, job, &failure);
}
