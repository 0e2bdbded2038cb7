/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Work on files of disks, asked of vmms and followed to its end. */
#include "vmms/vmctl/disk_job.h"

#include "vmms/vmctl/job.h"
#include "vmms/vmctl/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status disk_job_begin(struct invocation *invocation, struct json_object *request,
				  char **ret_path)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	const char *text = request ? json_object_to_json_string(request) : NULL;
	enum status status;

	if (!text)
		return service_failed(-ENOMEM, NULL);
	status = service_call_manager(invocation, "WorkOnDisk", SERVICE_TIMEOUT, &reply, "s", text);
	return status == STATUS_OK ? job_read(reply, ret_path) : status;
}

static enum status disk_job_print(const struct invocation *invocation, const char *path)
{
	const char *number = strrchr(path, '/') + 1;

	if (!invocation->json) {
		puts(number);
		return STATUS_OK;
	}
	return json_print(json_make("job", json_object_new_uint64(strtoull(number, NULL, 10)),
				    "path", json_object_new_string(path), NULL)) < 0
		       ? service_failed(-ENOMEM, NULL)
		       : STATUS_OK;
}

/* A job that has ended is kept for some minutes. */
static enum status disk_job_read_found(struct invocation *invocation, const char *path,
				       struct json_object **ret_found)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	AUTO_FREE char *text = NULL;
	struct json_error why;
	int r;

	r = sd_bus_get_property_string(invocation->bus, DBUS_NAME, path, DBUS_INTERFACE_JOB,
				       "Result", &error, &text);
	if (r < 0)
		return service_failed(r, &error);
	if (text[0] == '\0')
		return STATUS_OK;
	r = json_parse(text, strlen(text), ret_found, &why);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

enum status disk_job_do(struct invocation *invocation, struct json_object *request,
			const char *label, struct json_object **ret_found)
{
	AUTO_JSON struct json_object *taken = request;
	AUTO_FREE char *path = NULL;
	enum status status;

	*ret_found = NULL;
	/* Else one that comes before the job is followed would leave it alone. */
	if (!invocation_has(invocation, "no-wait"))
		job_catch_interrupt();
	status = disk_job_begin(invocation, taken, &path);
	if (status != STATUS_OK || !path)
		return status;
	if (invocation_has(invocation, "no-wait"))
		return disk_job_print(invocation, path);
	status = job_follow(invocation, path, label, true);
	return status == STATUS_OK ? disk_job_read_found(invocation, path, ret_found) : status;
}
