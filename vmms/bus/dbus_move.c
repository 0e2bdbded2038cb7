/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Methods that are about VMs that move from host to host: docs/dbus/org.vmms1.Manager.md, org.vmms1.VM.md. */
#include "common/control.h"
#include "vmms/bus/dbus_internal.h"
#include "vmms/vm/manager.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int dbus_read_move_options(sd_bus_message *call, struct vm_send_options *options,
			   struct failure *failure)
{
	uint32_t bandwidth = 0, max_downtime = 0;
	int force = false, r;
	const struct dbus_option known[] = { { "bandwidth", 'u', &bandwidth },
					     { "max-downtime", 'u', &max_downtime },
					     { "force", 'b', &force } };

	r = dbus_read_options(call, known, ARRAY_SIZE(known), failure);
	if (r < 0)
		return r;
	if (max_downtime > CONTROL_DOWNTIME_MAX)
		return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "a guest may stand for %d seconds at most",
				   CONTROL_DOWNTIME_MAX / 1000);
	*options = (struct vm_send_options){ .bandwidth = (uint64_t)bandwidth << 20,
					     .max_downtime = max_downtime,
					     .force = force };
	return 0;
}

/* ---- The target ---- */

static int move_reply_meeting(sd_bus_message *call, const struct vm *vm, const struct job *job,
			      const struct vm_meeting *meeting)
{
	CLEANUP(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	char path[DBUS_VM_PATH_SIZE], job_path[sizeof(DBUS_JOB_PREFIX) + 12];
	int r;

	dbus_vm_path(vm, path);
	snprintf(job_path, sizeof(job_path), DBUS_JOB_PREFIX "/%u", job->id);
	r = sd_bus_message_new_method_return(call, &reply);
	if (r >= 0)
		r = sd_bus_message_append(reply, "oosu", path, job_path, meeting->address,
					  (uint32_t)meeting->port);
	if (r >= 0)
		r = sd_bus_message_append_array(reply, 'y', meeting->key, sizeof(meeting->key));
	return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int move_expect(struct dbus_service *service, sd_bus_message *call,
		       struct definition *definition, const char *address)
{
	struct vm_meeting meeting = { .port = 0 };
	struct failure failure, ignored;
	struct job *job;
	/* Known of the call only until something is told on the bus. */
	bool has_quota = dbus_caller(call);
	struct vm *vm;
	int r = manager_create_vm(service->manager, definition, &vm, &failure);

	if (r < 0)
		return dbus_reply_failure(call, &failure);
	r = vm_expect(vm, address, has_quota, &meeting, &job, &failure);
	if (r < 0) {
		(void)!manager_delete_vm(service->manager, vm, &ignored);
		return dbus_reply_failure(call, &failure);
	}
	r = move_reply_meeting(call, vm, job, &meeting);
	explicit_bzero(&meeting, sizeof(meeting));
	return r;
}

int dbus_expect_vm(sd_bus_message *call, void *data, sd_bus_error *error)
{
	const char *text, *address = NULL;
	const struct dbus_option options[] = { { "address", 's', &address } };
	struct definition *definition;
	struct failure failure = { 0 };
	int r;

	(void)sd_bus_message_sensitive(call);
	r = sd_bus_message_read(call, "s", &text);
	if (r >= 0)
		r = dbus_read_options(call, options, ARRAY_SIZE(options), &failure);
	if (r < 0)
		return failure.name ? dbus_reply_failure(call, &failure) : r;
	r = dbus_take_definition(data, call, text, &definition);
	return r == 0 ? move_expect(data, call, definition, address) : r;
}

/* ---- The source ---- */

static void move_found(void *data, struct job *job, const struct failure *failure)
{
	sd_bus_message *call = data;

	(void)dbus_reply_job(call, failure ? -EIO : 0, job, failure);
	sd_bus_message_unref(call);
}

static int move_read_meeting(sd_bus_message *call, struct vm_meeting *meeting,
			     struct failure *failure)
{
	const char *address;
	const void *key;
	uint32_t port;
	size_t size;
	int r = sd_bus_message_read(call, "su", &address, &port);

	if (r >= 0)
		r = sd_bus_message_read_array(call, 'y', &key, &size);
	if (r < 0)
		return r;
	if (strlen(address) >= sizeof(meeting->address) || port == 0 || port > UINT16_MAX ||
	    size != sizeof(meeting->key))
		return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "an IP address, a port and %d bytes of a key are wanted",
				   CARRIER_KEY_SIZE);
	*meeting = (struct vm_meeting){ .port = (uint16_t)port };
	strcpy(meeting->address, address);
	memcpy(meeting->key, key, size);
	return 0;
}

int dbus_move_vm(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct vm_meeting meeting;
	struct vm_send_options options;
	struct failure failure = { 0 };
	int r;

	(void)sd_bus_message_sensitive(call);
	r = move_read_meeting(call, &meeting, &failure);
	if (r >= 0)
		r = dbus_read_move_options(call, &options, &failure);
	if (r < 0)
		return failure.name ? dbus_reply_failure(call, &failure) : r;
	r = vm_depart(data, &meeting, &options, move_found, sd_bus_message_ref(call), &failure);
	explicit_bzero(&meeting, sizeof(meeting));
	if (r == 0)
		return 1;
	sd_bus_message_unref(call);
	return dbus_reply_failure(call, &failure);
}
