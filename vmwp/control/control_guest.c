/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The methods of the control socket that ask something of the guest.
 *
 * All are answered when the guest has: what a method needs until then, and the ticket of its
 * request, is a struct guest_call.
 */
#include "vmwp/control/control_guest.h"

#include "vmwp/control/control_server.h"
#include "vmwp/control/worker.h"
#include "vmwp/device/devices.h"
#include "vsp/ic/ic.h"
#include "vsp/socket/sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALUES_SIZE_MAX (24 * 1024) /* bytes of keys and values that one reply lists */
#define PROGRESS_NS     (250ull * 1000 * 1000)

struct guest_call {
	struct control_server *server;
	struct control_message *request; /* until it has been started */
	void *ticket;
	struct reply reply;
	struct json_object *values; /* of list_values */
	size_t values_size;
	bool truncated;
	uint64_t told_at; /* when copy_file last told of its progress */
};

/* ---- Answers ---- */

static void guest_call_free(struct guest_call *call)
{
	json_object_put(call->values);
	json_object_put(call->reply.result);
	free(call);
}

static void guest_call_answer(struct guest_call *call)
{
	control_server_answer(call->ticket, &call->reply);
	guest_call_free(call);
}

/* What becomes of a guest's IC_E_ in a reply. */
static void reply_result(struct reply *reply, int result)
{
	static const struct {
		const char *error, *text;
	} rows[] = {
		[IC_E_REFUSED] = { CONTROL_ERROR_REFUSED, "The guest would not, or could not." },
		[IC_E_TIMEOUT] = { CONTROL_ERROR_TIMEOUT, "The guest does not answer." },
		[IC_E_GONE] = { CONTROL_ERROR_NOT_CONNECTED,
				"The guest's service ended before it answered." },
		[IC_E_ABSENT] = { CONTROL_ERROR_NOT_FOUND, "The guest has no such value." },
		[IC_E_INVALID] = { CONTROL_ERROR_FAILED, "The guest's answer makes no sense." },
	};

	if (result)
		reply_error(reply, rows[result].error, "%s", rows[result].text);
}

static void guest_done(void *data, int result)
{
	struct guest_call *call = data;

	reply_result(&call->reply, result);
	guest_call_answer(call);
}

/* ---- Values ---- */

static void on_value(void *data, const char *key, const char *value)
{
	struct guest_call *call = data;

	call->reply.result = json_make("value", json_object_new_string(value), NULL);
}

static void on_listed_value(void *data, const char *key, const char *value)
{
	struct guest_call *call = data;
	struct json_object *pair = json_object_new_array();

	call->values_size += strlen(key) + strlen(value) + 16;
	if (call->values_size > VALUES_SIZE_MAX)
		call->truncated = true;
	if (!call->truncated) {
		json_append(&pair, json_object_new_string(key));
		json_append(&pair, json_object_new_string(value));
		json_append(&call->values, pair);
	} else {
		json_object_put(pair);
	}
}

static void list_done(void *data, int result)
{
	struct guest_call *call = data;

	if (result == 0)
		call->reply.result = json_make("values", TAKE_PTR(call->values), "truncated",
					       json_object_new_boolean(call->truncated), NULL);
	guest_done(call, result);
}

static int list_values(struct devices *devices, struct guest_call *call,
		       const struct control_arguments *arguments)
{
	struct ic_kvp *kvp = devices_get(devices, DEVICE_KVP);
	static const struct ic_kvp_handler handler = { .pair = on_listed_value, .done = list_done };

	if (!kvp)
		return -ENOTCONN;
	call->values = json_object_new_array();
	return call->values ? ic_kvp_enumerate(kvp, arguments->pool, &handler, call) : -ENOMEM;
}

static int get_value(struct devices *devices, struct guest_call *call,
		     const struct control_arguments *arguments)
{
	struct ic_kvp *kvp = devices_get(devices, DEVICE_KVP);
	static const struct ic_kvp_handler handler = { .pair = on_value, .done = guest_done };

	return kvp ? ic_kvp_get(kvp, arguments->pool, arguments->key, &handler, call) : -ENOTCONN;
}

static const struct ic_kvp_handler done_handler = { .done = guest_done };

static int set_value(struct devices *devices, struct guest_call *call,
		     const struct control_arguments *arguments)
{
	struct ic_kvp *kvp = devices_get(devices, DEVICE_KVP);

	return kvp ? ic_kvp_set(kvp, arguments->pool, arguments->key, arguments->value,
				&done_handler, call)
		   : -ENOTCONN;
}

static int delete_value(struct devices *devices, struct guest_call *call,
			const struct control_arguments *arguments)
{
	struct ic_kvp *kvp = devices_get(devices, DEVICE_KVP);

	return kvp ? ic_kvp_delete(kvp, arguments->pool, arguments->key, &done_handler, call)
		   : -ENOTCONN;
}

/* ---- Snapshots ---- */

static int freeze(struct devices *devices, struct guest_call *call,
		  const struct control_arguments *arguments)
{
	struct ic_vss *vss = devices_get(devices, DEVICE_VSS);

	return vss ? ic_vss_freeze(vss, arguments->limit * UINT64_C(1000000000), guest_done, call)
		   : -ENOTCONN;
}

static int thaw(struct devices *devices, struct guest_call *call,
		const struct control_arguments *arguments)
{
	struct ic_vss *vss = devices_get(devices, DEVICE_VSS);

	return vss ? ic_vss_thaw(vss, guest_done, call) : -ENOTCONN;
}

/* ---- File copy ---- */

static void copy_progress(void *data, uint64_t copied, uint64_t size)
{
	struct guest_call *call = data;
	uint64_t now = loop_now();

	if (copied < size && now - call->told_at < PROGRESS_NS)
		return;
	call->told_at = now;
	control_server_copy(call->server, copied, size);
}

static void copy_done(void *data, int result, bool left)
{
	static const char *const codes[] = {
		[IC_FILE_COPY_E_EXISTS] = CONTROL_ERROR_EXISTS,
		[IC_FILE_COPY_E_DISK_FULL] = CONTROL_ERROR_REFUSED,
		[IC_FILE_COPY_E_REFUSED] = CONTROL_ERROR_REFUSED,
		[IC_FILE_COPY_E_TIMEOUT] = CONTROL_ERROR_TIMEOUT,
		[IC_FILE_COPY_E_GONE] = CONTROL_ERROR_NOT_CONNECTED,
		[IC_FILE_COPY_E_SOURCE] = CONTROL_ERROR_FAILED,
		[IC_FILE_COPY_E_CANCELLED] = CONTROL_ERROR_FAILED,
	};
	struct guest_call *call = data;

	if (result)
		reply_error(&call->reply, codes[result], "The file was not copied: %s%s.",
			    ic_file_copy_error_text(result),
			    left ? "; a part of it may be left there" : "");
	guest_call_answer(call);
}

static int copy_file(struct devices *devices, struct guest_call *call,
		     const struct control_arguments *arguments)
{
	struct ic_file_copy *file_copy = devices_get(devices, DEVICE_FILE_COPY);
	static const struct ic_file_copy_callbacks callbacks = { .progress = copy_progress,
								 .done = copy_done };
	const struct ic_file_copy_options options = {
		.path = arguments->path,
		.overwrite = arguments->overwrite,
		.create_path = arguments->create_path,
	};
	int *fd = &call->request->fds[0];
	int r = file_copy ? ic_file_copy_start(file_copy, *fd, &options, &callbacks, call)
			  : -ENOTCONN;

	if (r == 0)
		(void)TAKE_FD(*fd);
	return r;
}

static int cancel_copy(struct devices *devices, struct guest_call *call,
		       const struct control_arguments *arguments)
{
	struct ic_file_copy *file_copy = devices_get(devices, DEVICE_FILE_COPY);

	if (file_copy)
		ic_file_copy_cancel(file_copy);
	guest_call_answer(call);
	return 0;
}

/* ---- Hyper-V sockets ---- */

static void socket_opened(void *data, int result, int fd, uint32_t port)
{
	static const struct {
		const char *code, *text;
	} rows[] = {
		[SOCKETS_E_ABSENT] = { CONTROL_ERROR_NOT_CONNECTED,
				       "The guest knows no Hyper-V sockets (in Linux the module "
				       "hv_sock), or no such port." },
		[SOCKETS_E_LIMIT] = { CONTROL_ERROR_BUSY,
				      "The guest has as many sockets open as it may." },
		[SOCKETS_E_REFUSED] = { CONTROL_ERROR_REFUSED,
					"Nobody in the guest takes a connection to that port." },
		[SOCKETS_E_GONE] = { CONTROL_ERROR_NOT_CONNECTED,
				     "The guest has gone before it took the connection." },
	};
	struct guest_call *call = data;

	if (result)
		reply_error(&call->reply, rows[result].code, "%s", rows[result].text);
	guest_call_answer(call);
}

static int open_socket(struct devices *devices, struct guest_call *call,
		       const struct control_arguments *arguments)
{
	struct sockets *sockets = guest_sockets_all(devices_get(devices, DEVICE_SOCKETS));

	if (!sockets)
		return -ENOTCONN;
	sockets_connect(sockets, arguments->port, TAKE_FD(call->request->fds[0]), socket_opened,
			call);
	return 0;
}

static int answer_socket(struct devices *devices, struct guest_call *call,
			 const struct control_arguments *arguments)
{
	struct sockets *sockets = guest_sockets_all(devices_get(devices, DEVICE_SOCKETS));
	struct control_message *message = call->request;
	int fd = message->fd_count ? TAKE_FD(message->fds[0]) : -1;

	if (sockets)
		sockets_answer(sockets, arguments->request, TAKE_FD(fd));
	close_fdp(&fd);
	guest_call_answer(call);
	return 0;
}

/* ---- The table ---- */

_Static_assert(CONTROL_KEY_MAX == IC_KVP_KEY_MAX && CONTROL_VALUE_MAX == IC_KVP_VALUE_MAX,
	       "the guest's bounds");

/* As Debian calls them. */
#define KVP   "hv-kvp-daemon"
#define VSS   "hv-vss-daemon"
#define FCOPY "hv-fcopy-daemon, or hv-fcopy-uio-daemon from Linux 6.10 on,"

static const struct service {
	enum control_method_id method;
	/* Return: 0: the call has been or will be answered; -errno: it will not. */
	int (*start)(struct devices *devices, struct guest_call *call,
		     const struct control_arguments *arguments);
	const char *name;    /* what has to run in the guest */
	const char *daemon;  /* and by which unit it does in Linux; NULL: by none */
	const char *already; /* what -EALREADY means */
} services[] = {
	{ CONTROL_METHOD_list_values, list_values, "key-value pair", KVP, NULL },
	{ CONTROL_METHOD_get_value, get_value, "key-value pair", KVP, NULL },
	{ CONTROL_METHOD_set_value, set_value, "key-value pair", KVP, NULL },
	{ CONTROL_METHOD_delete_value, delete_value, "key-value pair", KVP, NULL },
	{ CONTROL_METHOD_freeze, freeze, "snapshot", VSS, "the guest is frozen or about to be" },
	{ CONTROL_METHOD_thaw, thaw, "snapshot", VSS, "the guest is not frozen" },
	{ CONTROL_METHOD_copy_file, copy_file, "file copy", FCOPY, "a copy is under way" },
	{ CONTROL_METHOD_cancel_copy, cancel_copy, "file copy", FCOPY, NULL },
	{ CONTROL_METHOD_open_socket, open_socket, "socket", NULL, NULL },
	{ CONTROL_METHOD_answer_socket, answer_socket, "socket", NULL, NULL },
};

static const struct service *service_of(enum control_method_id method)
{
	const struct service *service = services;

	while (service->method != method)
		service++;
	return service;
}

static void reply_not_started(struct reply *reply, const struct service *service, int error)
{
	const struct {
		int error;
		const char *code, *text;
	} rows[] = {
		{ ENOTCONN, CONTROL_ERROR_NOT_CONNECTED, "it does not run in the guest" },
		{ EALREADY, CONTROL_ERROR_INVALID_STATE, service->already },
		{ EBUSY, CONTROL_ERROR_BUSY, "too many requests are under way" },
		{ EINVAL, CONTROL_ERROR_INVALID,
		  "a text is too long, empty or not what it has to "
		  "be" },
		{ EISDIR, CONTROL_ERROR_INVALID, "this is no regular file" },
		{ EBADF, CONTROL_ERROR_INVALID, "there is no file" },
		{ EOPNOTSUPP, CONTROL_ERROR_NOT_CONNECTED, "the guest's is too old" },
		{ EAGAIN, CONTROL_ERROR_TIMEOUT, "the guest does not read its requests" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].error != -error)
			continue;
		if (error == -ENOTCONN && service->daemon) {
			reply_error(reply, rows[i].code,
				    "The %s service does not run in the guest. In Linux the unit "
				    "%s has to run, of the package hyperv-daemons (in Ubuntu "
				    "linux-cloud-tools-virtual).",
				    service->name, service->daemon);
			return;
		}
		reply_error(reply, rows[i].code, "The %s service cannot be used: %s.",
			    service->name, rows[i].text);
		return;
	}
	reply_error(reply, CONTROL_ERROR_FAILED, "The %s service cannot be used: %s.",
		    service->name, strerror(-error));
}

static int call_start(const struct service *service, struct call *request, struct guest_call *call,
		      const struct control_arguments *arguments)
{
	int r;

	call->server = request->server;
	call->request = request->request;
	r = service->start(request->worker->devices, call, arguments);
	if (r < 0)
		control_server_forget(call->ticket);
	return r;
}

void control_guest_call(struct call *request, const struct control_arguments *arguments)
{
	const struct service *service = service_of(request->method->id);
	struct guest_call *call = calloc(1, sizeof(*call));
	int r = -ENOMEM;

	if (call)
		call->ticket = control_server_defer(request->server, request->request->id);
	if (call && call->ticket)
		r = call_start(service, request, call, arguments);
	if (r == 0) {
		request->reply->later = true;
		return;
	}
	if (call)
		guest_call_free(call);
	reply_not_started(request->reply, service, r);
}
