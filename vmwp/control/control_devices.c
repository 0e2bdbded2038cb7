/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The methods of the control socket that change devices: disks, media, network adapters. */
#include "vmwp/control/control_devices.h"

#include "vmwp/control/control_server.h"
#include "vmwp/control/worker.h"

#include <errno.h>
#include <stdlib.h>

/* ---- Disks ---- */

void control_disk_reply_error(struct reply *reply, int r, const struct failure *failure)
{
	static const char *const codes[] = {
		[DISKS_E_TAKEN] = CONTROL_ERROR_EXISTS,
		[DISKS_E_ABSENT] = CONTROL_ERROR_NOT_FOUND,
		[DISKS_E_KIND] = CONTROL_ERROR_INVALID,
		[DISKS_E_LOCKED] = CONTROL_ERROR_BUSY,
		[DISKS_E_REFUSED] = CONTROL_ERROR_INVALID,
	};

	if (r < 0)
		reply_failure(reply, r, failure);
	else
		reply_error(reply, codes[r], "%s", failure->message);
}

static struct disks *disks_of(const struct call *call)
{
	return devices_get(call->worker->devices, DEVICE_STORAGE);
}

/* The one descriptor of a request, or -1. */
static int take_medium(struct control_message *request)
{
	return request->fd_count ? TAKE_FD(request->fds[0]) : -1;
}

void control_disk_attach(struct call *call, const struct control_arguments *arguments)
{
	struct definition_disk disk;
	struct json_error error = { 0 };
	struct failure failure = { 0 };
	int r;

	if (definition_disk_from_json(arguments->disk, &disk, &error) < 0) {
		reply_error(call->reply, CONTROL_ERROR_INVALID, "%s: %s", error.key, error.message);
		return;
	}
	r = disks_attach(disks_of(call), &disk, call->request->fds, call->request->fd_count,
			 &failure);
	if (r)
		control_disk_reply_error(call->reply, r, &failure);
	definition_disk_deinit(&disk);
}

/* With a descriptor: another connection to the image's server; without: there will be none. */
void control_disk_reconnect(struct call *call, const struct control_arguments *arguments)
{
	struct disks *disks = disks_of(call);
	struct failure failure = { 0 };
	int r;

	if (call->request->fd_count)
		r = disks_reconnect(disks, arguments->controller, arguments->lun,
				    take_medium(call->request), &failure);
	else
		r = disks_give_up(disks, arguments->controller, arguments->lun, &failure);
	if (r)
		control_disk_reply_error(call->reply, r, &failure);
}

void control_disk_measure(struct call *call, const struct control_arguments *arguments)
{
	struct failure failure = { 0 };
	uint64_t size;
	int r = disks_measure(disks_of(call), arguments->controller, arguments->lun, &size,
			      &failure);

	if (r)
		control_disk_reply_error(call->reply, r, &failure);
	else
		call->reply->result = json_make("size", json_object_new_uint64(size), NULL);
}

/* A medium that leaves, until it is closed: its I/O takes as long as the host's storage does. */
struct leaving {
	struct list link;
	void *ticket; /* NULL: nobody waits any more */
};

static struct leaving *leaving_new(struct call *call)
{
	struct leaving *leaving = calloc(1, sizeof(*leaving));

	if (!leaving)
		return NULL;
	leaving->ticket = control_server_defer(call->server, call->request->id);
	if (!leaving->ticket) {
		free(leaving);
		return NULL;
	}
	list_append(&call->worker->leaving, &leaving->link);
	return leaving;
}

static void leaving_free(struct leaving *leaving)
{
	list_unlink(&leaving->link);
	free(leaving);
}

static void leaving_closed(void *data)
{
	struct leaving *leaving = data;

	if (leaving->ticket)
		control_server_done(leaving->ticket);
	leaving_free(leaving);
}

/* Who waits for media that leave is answered: they have left the guest, and are still in use. */
void control_disk_cancel(struct call *call, const struct control_arguments *arguments)
{
	list_for_each (link, &call->worker->leaving) {
		struct leaving *leaving = container_of(link, struct leaving, link);
		struct reply reply = { .result = json_make("in_use", json_object_new_boolean(true),
							   NULL) };

		if (leaving->ticket)
			control_server_answer(TAKE_PTR(leaving->ticket), &reply);
		json_object_put(reply.result);
	}
}

/* Answers when the medium that leaves is closed. */
static void change_medium(struct call *call, const struct control_arguments *arguments,
			  int (*change)(struct call *call,
					const struct control_arguments *arguments,
					struct leaving *leaving, struct failure *failure))
{
	struct failure failure = { 0 };
	struct leaving *leaving = leaving_new(call);
	int r;

	if (!leaving) {
		reply_failure(call->reply, -ENOMEM, &failure);
		return;
	}
	r = change(call, arguments, leaving, &failure);
	if (r == 0) {
		call->reply->later = true;
		return;
	}
	control_server_forget(leaving->ticket);
	leaving_free(leaving);
	control_disk_reply_error(call->reply, r, &failure);
}

static int change_detach(struct call *call, const struct control_arguments *arguments,
			 struct leaving *leaving, struct failure *failure)
{
	return disks_detach(disks_of(call), arguments->controller, arguments->lun, leaving_closed,
			    leaving, failure);
}

static int change_insert(struct call *call, const struct control_arguments *arguments,
			 struct leaving *leaving, struct failure *failure)
{
	return disks_insert(disks_of(call), arguments->controller, arguments->lun,
			    take_medium(call->request), leaving_closed, leaving, failure);
}

static int change_eject(struct call *call, const struct control_arguments *arguments,
			struct leaving *leaving, struct failure *failure)
{
	return disks_eject(disks_of(call), arguments->controller, arguments->lun, arguments->force,
			   leaving_closed, leaving, failure);
}

void control_disk_detach(struct call *call, const struct control_arguments *arguments)
{
	change_medium(call, arguments, change_detach);
}

void control_disk_insert(struct call *call, const struct control_arguments *arguments)
{
	change_medium(call, arguments, change_insert);
}

void control_disk_eject(struct call *call, const struct control_arguments *arguments)
{
	change_medium(call, arguments, change_eject);
}

/* ---- Network adapters ---- */

static struct adapters *adapters_of(const struct call *call)
{
	return devices_get(call->worker->devices, DEVICE_NETWORK);
}

static void reply_adapter_error(struct reply *reply, int r, const struct failure *failure)
{
	static const char *const codes[] = {
		[ADAPTERS_E_TAKEN] = CONTROL_ERROR_EXISTS,
		[ADAPTERS_E_ABSENT] = CONTROL_ERROR_NOT_FOUND,
		[ADAPTERS_E_REFUSED] = CONTROL_ERROR_INVALID,
	};

	if (r < 0)
		reply_failure(reply, r, failure);
	else
		reply_error(reply, codes[r], "%s", failure->message);
}

/* The adapter has taken the request's descriptors over. */
static void forget_descriptors(struct control_message *request)
{
	for (size_t i = 0; i < request->fd_count; i++)
		request->fds[i] = -1;
}

void control_adapter_attach(struct call *call, const struct control_arguments *arguments)
{
	struct definition_adapter adapter;
	struct json_error error = { 0 };
	struct failure failure = { 0 };
	int r;

	if (definition_adapter_from_json(arguments->adapter, NULL, &adapter, &error) < 0) {
		reply_error(call->reply, CONTROL_ERROR_INVALID, "%s: %s", error.key, error.message);
		return;
	}
	r = adapters_attach(adapters_of(call), &adapter, arguments->backend, call->request->fds,
			    (unsigned)call->request->fd_count, &failure);
	if (r)
		reply_adapter_error(call->reply, r, &failure);
	else
		forget_descriptors(call->request);
	definition_adapter_deinit(&adapter);
}

void control_adapter_detach(struct call *call, const struct control_arguments *arguments)
{
	void *ticket = control_server_defer(call->server, call->request->id);
	struct failure failure = { 0 };
	int r;

	if (!ticket) {
		reply_failure(call->reply, -ENOMEM, &failure);
		return;
	}
	r = adapters_detach(adapters_of(call), arguments->name, control_server_done, ticket,
			    &failure);
	if (r == 0) {
		call->reply->later = true;
		return;
	}
	control_server_forget(ticket);
	reply_adapter_error(call->reply, r, &failure);
}

/* Without a back end: the adapter is disconnected. */
void control_adapter_connect(struct call *call, const struct control_arguments *arguments)
{
	struct failure failure = { 0 };
	int r;

	r = adapters_connect(adapters_of(call), arguments->name, arguments->backend,
			     call->request->fds, (unsigned)call->request->fd_count, &failure);
	if (r)
		reply_adapter_error(call->reply, r, &failure);
	else
		forget_descriptors(call->request);
}
