/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Core files, over the control socket. */
#include "vmwp/control/control_dump.h"

#include "vmwp/control/control_server.h"
#include "vmwp/control/memory_dump.h"
#include "vmwp/control/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_NS (250ull * 1000 * 1000)

struct control_dump {
	struct worker *worker;
	struct memory_dump *dump;
	void *ticket;
	bool resumes; /* the VM ran when it was asked for */
	uint64_t told_at;
};

static void control_dump_progress(void *data, uint64_t done, uint64_t size)
{
	struct control_dump *dump = data;
	uint64_t now = loop_now();

	if (done < size && now - dump->told_at < PROGRESS_NS)
		return;
	dump->told_at = now;
	control_server_dump(dump->worker->control, done, size);
}

static void control_dump_done(void *data, int result)
{
	struct control_dump *dump = data;
	struct worker *worker = dump->worker;
	struct reply reply = { 0 };

	if (result == -ECANCELED)
		reply_error(&reply, CONTROL_ERROR_FAILED, "The dump was cancelled.");
	else if (result < 0)
		reply_error(&reply, CONTROL_ERROR_FAILED, "The dump cannot be written: %s.",
			    strerror(-result));
	worker->dump = NULL;
	/* Whoever asked hears of it after the VM runs again. */
	if (dump->resumes && machine_state(worker->machine) == MACHINE_PAUSED)
		(void)!machine_resume(worker->machine);
	control_server_answer(dump->ticket, &reply);
	control_dump_free(dump);
}

static const struct memory_dump_callbacks control_dump_callbacks = {
	.progress = control_dump_progress,
	.done = control_dump_done,
};

static void reply_not_begun(struct worker *worker, struct reply *reply, int result)
{
	if (result == MACHINE_E_STATE)
		reply_error(reply, CONTROL_ERROR_INVALID_STATE,
			    "A VM that is %s has no memory to dump.",
			    machine_state_name(machine_state(worker->machine)));
	else if (result == -EINVAL)
		reply_error(reply, CONTROL_ERROR_INVALID,
			    "A dump takes an empty regular file that is open for writing.");
	else
		reply_error(reply, CONTROL_ERROR_FAILED, "The dump cannot begin: %s.",
			    strerror(-result));
}

static int control_dump_begin(struct control_dump *dump, struct control_message *request)
{
	struct worker *worker = dump->worker;
	int r = memory_dump_check(request->fds[0]);

	if (r < 0)
		return r;
	dump->resumes = machine_pause(worker->machine) == 0;
	r = memory_dump_new(worker->machine, worker->loop, request->fds[0], &control_dump_callbacks,
			    dump, &dump->dump);
	if (r == 0)
		(void)TAKE_FD(request->fds[0]);
	else if (dump->resumes)
		(void)!machine_resume(worker->machine);
	return r;
}

void control_dump_start(struct control_server *server, struct worker *worker,
			struct control_message *request, struct reply *reply)
{
	struct control_dump *dump;
	int r = -ENOMEM;

	if (worker->dump) {
		reply_error(reply, CONTROL_ERROR_BUSY, "A dump is being written.");
		return;
	}
	dump = calloc(1, sizeof(*dump));
	if (dump)
		dump->ticket = control_server_defer(server, request->id);
	if (dump && dump->ticket) {
		dump->worker = worker;
		r = control_dump_begin(dump, request);
		if (r == 0) {
			worker->dump = dump;
			reply->later = true;
			return;
		}
		control_server_forget(dump->ticket);
	}
	free(dump);
	reply_not_begun(worker, reply, r);
}

void control_dump_cancel(struct worker *worker)
{
	if (worker->dump)
		memory_dump_cancel(worker->dump->dump);
}

void control_dump_free(struct control_dump *dump)
{
	if (!dump)
		return;
	memory_dump_free(dump->dump);
	free(dump);
}
