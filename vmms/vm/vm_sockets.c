/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: its Hyper-V sockets.
 *
 * A port of the host's that the guest connects to is a socket in a folder of the owner's, who may
 * have put anything there: it is connected to by a helper process that is the owner, and reaches no
 * more than that. The worker, which asks for it, is believed nothing: how often it may is
 * rate-limited.
 */
#include "vmms/vm/vm_sockets.h"

#include "common/base/log.h"
#include "common/control.h"
#include "vmms/base/helper.h"
#include "vmms/base/plain_socket.h"
#include "vmms/base/socket_folder.h"
#include "vmms/base/user.h"
#include "vmms/image/image.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_guest.h"
#include "vmms/vm/vm_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Seconds. */
#define CONNECT_TIMEOUT 5
#define OPEN_TIMEOUT    60 /* the worker bounds it; this is for a worker that does not */

/*
 * Each costs the daemon a process: so many at once, and one in each interval; of each VM, and of
 * all together.
 */
#define CALLS_AT_ONCE      32
#define CALLS_INTERVAL     125000 /* microseconds */
#define CALLS_ALL_AT_ONCE  128
#define CALLS_ALL_INTERVAL 15625

/* A connection that the guest has asked for. */
struct socket_call {
	struct list link; /* in vm->sockets.calls */
	struct vm *vm;
	struct helper *helper;
	uint32_t request, port;
	bool answered;
};

void vm_sockets_init(struct vm_sockets *sockets)
{
	*sockets = (struct vm_sockets){
		.rate_limit = { .most = CALLS_AT_ONCE, .interval = CALLS_INTERVAL },
	};
	list_init(&sockets->calls);
}

void vm_sockets_init_all(struct rate_limit *all)
{
	*all = (struct rate_limit){ .most = CALLS_ALL_AT_ONCE, .interval = CALLS_ALL_INTERVAL };
}

/* ---- The folder ---- */

void vm_sockets_path(const struct vm *vm, char path[PATH_MAX])
{
	char uuid[GUID_TEXT_SIZE];

	guid_format(&vm->definition->uuid, uuid);
	snprintf(path, PATH_MAX, "%s/" SOCKET_FOLDERS "/%s",
		 vm->manager->settings.runtime_directory, uuid);
}

void vm_sockets_stopped(const struct vm *vm)
{
	char path[PATH_MAX];

	vm_sockets_path(vm, path);
	socket_folder_remove(path, false);
}

void vm_sockets_deleted(const struct vm *vm)
{
	char path[PATH_MAX];

	vm_sockets_path(vm, path);
	socket_folder_remove(path, true);
}

/* ---- The guest connects ---- */

static void sockets_call_free(struct socket_call *call)
{
	list_unlink(&call->link);
	call->vm->sockets.call_count--;
	helper_free(call->helper);
	free(call);
}

void vm_sockets_forget(struct vm *vm)
{
	list_for_each (link, &vm->sockets.calls)
		sockets_call_free(container_of(link, struct socket_call, link));
}

static struct json_object *sockets_answer_arguments(uint32_t request)
{
	return json_make("request", json_object_new_int64(request), NULL);
}

static void sockets_refuse(struct vm *vm, uint32_t request)
{
	AUTO_JSON struct json_object *arguments = sockets_answer_arguments(request);

	/* Without an answer the worker refuses by itself. */
	if (vm->run.worker && arguments)
		(void)!worker_request(vm->run.worker, "answer_socket", arguments, NULL, 0,
				      vm->manager->settings.answer_timeout, NULL, NULL);
}

struct connect_work {
	const char *owner, *path;
	uint64_t owner_uid;
	uint32_t request, port;
	int worker;         /* its control socket */
	uint32_t worker_id; /* of the message on it */
};

/*
 * In the helper process. Who accepts the connection may have sent files along, which are closed
 * with the socket: so it goes to the worker from here, and never through the daemon.
 */
static void sockets_work(int socket, void *data)
{
	const struct connect_work *wanted = data;
	CLEANUP(user_freep) struct user *user = NULL;
	AUTO_JSON struct json_object *arguments = sockets_answer_arguments(wanted->request);
	struct failure failure;
	int fd;

	if (!arguments ||
	    resources_find_owner(wanted->owner, wanted->owner_uid, &user, &failure) < 0 ||
	    resources_become_owner(user, &failure) < 0)
		return;
	helper_bind();
	if (socket_folder_connect(wanted->path, wanted->port, &fd) == 0 &&
	    control_send_request(wanted->worker, wanted->worker_id, "answer_socket", arguments, &fd,
				 1) == 0)
		helper_send(socket, "", 1, -1);
}

static void sockets_connected(void *owner, const void *bytes, size_t size, int fd)
{
	struct socket_call *call = owner;

	close_fdp(&fd); /* none comes */
	call->answered = true;
}

static void sockets_ended(void *owner, int result)
{
	struct socket_call *call = owner;

	call->helper = NULL;
	if (!call->answered)
		sockets_refuse(call->vm, call->request);
	sockets_call_free(call);
}

static const struct helper_callbacks call_callbacks = { .message = sockets_connected,
							.ended = sockets_ended };

static int sockets_call_start(struct socket_call *call)
{
	const char *owner = call->vm->definition->owner;
	char path[PATH_MAX];
	struct connect_work wanted = { .owner = owner,
				       .path = path,
				       .owner_uid = call->vm->definition->owner_uid,
				       .request = call->request,
				       .port = call->port };
	const struct helper_config config = { .whose = owner ? owner : "",
					      .timeout = CONNECT_TIMEOUT,
					      .work = sockets_work,
					      .data = &wanted,
					      .kept = &wanted.worker,
					      .kept_count = 1,
					      .callbacks = &call_callbacks,
					      .owner = call };

	if (!call->vm->run.worker)
		return -ESRCH;
	vm_sockets_path(call->vm, path);
	wanted.worker = worker_lend_socket(call->vm->run.worker, &wanted.worker_id);
	return helper_new(call->vm->manager->helpers, &config, &call->helper);
}

static bool sockets_may_call(struct vm *vm)
{
	uint64_t now = vm_clock(CLOCK_MONOTONIC);
	unsigned refused;

	return vm->definition->services.sockets && vm->state == VM_RUNNING &&
	       vm->sockets.call_count < VM_SOCKETS_CALLS_MAX &&
	       rate_limit_take(&vm->sockets.rate_limit, now, &refused) &&
	       rate_limit_take(&vm->manager->socket_calls, now, &refused);
}

static void sockets_guest_connects(struct vm *vm, uint32_t request, uint32_t port)
{
	struct socket_call *call = sockets_may_call(vm) ? calloc(1, sizeof(*call)) : NULL;

	if (!call) {
		sockets_refuse(vm, request);
		return;
	}
	call->vm = vm;
	call->request = request;
	call->port = port;
	list_append(&vm->sockets.calls, &call->link);
	vm->sockets.call_count++;
	if (sockets_call_start(call) < 0) {
		sockets_refuse(vm, request);
		sockets_call_free(call);
	}
}

void vm_sockets_on_connect(struct vm *vm, const struct control_event_data *data)
{
	sockets_guest_connects(vm, data->request, data->port);
}

/* ---- The host connects ---- */

struct opening {
	struct vm *vm;
	int fd;
	vm_socket_fn done;
	void *data;
};

static void sockets_opened(void *data, struct json_object *result, const struct failure *failure)
{
	struct opening *opening = data;

	if (failure)
		plain_socket_close(opening->vm->manager->helpers, vm_owner(opening->vm),
				   opening->fd);
	opening->done(opening->data, failure ? -1 : opening->fd, failure);
	free(opening);
}

int vm_open_socket(struct vm *vm, uint32_t port, vm_socket_fn done, void *data,
		   struct failure *failure)
{
	AUTO_JSON struct json_object *arguments =
		json_make("port", json_object_new_int64(port), NULL);
	struct opening *opening = malloc(sizeof(*opening));
	AUTO_CLOSE int far = -1;
	int pair[2], r = -1;

	if (!opening || !arguments ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		free(opening);
		return failure_no_memory(failure);
	}
	far = pair[1];
	/* What the worker does not take of it may come back to the daemon, to be closed. */
	plain_socket_make(pair[0]);
	plain_socket_make(pair[1]);
	*opening = (struct opening){ vm, pair[0], done, data };
	r = vm_guest_ask(vm, "open_socket", arguments, far, OPEN_TIMEOUT, sockets_opened, opening,
			 failure);
	if (r < 0) {
		close(pair[0]);
		free(opening);
	}
	return r;
}
