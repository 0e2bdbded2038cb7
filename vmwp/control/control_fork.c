/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks that go on with children of their images, over the control socket. */
#include "vmwp/control/control_fork.h"

#include "vmwp/control/control_devices.h"
#include "vmwp/control/control_server.h"
#include "vmwp/control/control_state.h"
#include "vmwp/control/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct control_fork {
	struct worker *worker;
	struct disk_fork *disks;
	void *ticket;
	bool paused;   /* by this; else the VM stands by somebody's word */
	bool quiesced; /* by this; else it has been saved, and is quiet */
};

void control_fork_free(struct control_fork *fork)
{
	if (!fork)
		return;
	disk_fork_free(fork->disks);
	free(fork);
}

/* The devices go on, and the guest if it ran before. One that is being stopped stays so. */
static void fork_let_go(struct control_fork *fork)
{
	struct worker *worker = fork->worker;

	if (machine_state(worker->machine) != MACHINE_PAUSED)
		return;
	if (fork->paused) {
		(void)!machine_resume(worker->machine);
	} else if (fork->quiesced) {
		devices_resume(worker->devices);
		devices_pause(worker->devices);
	}
}

static void fork_end(struct control_fork *fork, int result)
{
	struct reply reply = { 0 };

	if (result == -EBUSY)
		reply_error(&reply, CONTROL_ERROR_BUSY,
			    "The disks cannot be exchanged: requests are under way that the host "
			    "does not answer.");
	else if (result < 0)
		reply_error(&reply, CONTROL_ERROR_FAILED, "The disks cannot be exchanged: %s.",
			    strerror(-result));
	fork->worker->fork = NULL;
	fork_let_go(fork);
	control_server_answer(fork->ticket, &reply);
	control_fork_free(fork);
}

/* ---- Before the children are made ---- */

static void fork_prepared(void *data, int result)
{
	fork_end(data, result);
}

/* ---- The exchange ---- */

static void fork_sealed(void *data, int result)
{
	struct control_fork *fork = data;

	if (result == 0 && machine_state(fork->worker->machine) != MACHINE_PAUSED)
		result = -ECANCELED;
	if (result == 0)
		disk_fork_exchange(fork->disks);
	fork_end(fork, result);
}

static void fork_is_quiet(void *data)
{
	struct control_fork *fork = data;

	if (machine_state(fork->worker->machine) == MACHINE_PAUSED)
		disk_fork_seal(fork->disks, fork_sealed, fork);
	else
		fork_end(fork, -ECANCELED);
}

static void fork_begin(struct control_fork *fork)
{
	struct worker *worker = fork->worker;

	if (control_state_is_saved(worker)) {
		fork_is_quiet(fork);
		return;
	}
	fork->paused = machine_pause(worker->machine) == 0;
	if (machine_state(worker->machine) != MACHINE_PAUSED) {
		fork_end(fork, -EBUSY);
		return;
	}
	fork->quiesced = true;
	devices_quiesce(worker->devices, fork_is_quiet, fork);
}

/* ---- Requests ---- */

/* Return: NULL: the reply says why not. */
static struct control_fork *fork_new(struct call *call, const struct control_arguments *arguments,
				     size_t fd_count)
{
	struct control_fork *fork = calloc(1, sizeof(*fork));
	struct failure failure = { 0 };
	int r = fork ? 0 : -ENOMEM;

	if (r == 0) {
		fork->worker = call->worker;
		r = disk_fork_new(devices_get(call->worker->devices, DEVICE_STORAGE),
				  call->worker->loop, arguments->disks, &fork->disks, &failure);
	}
	if (r == 0 && fd_count > 0)
		r = disk_fork_open(fork->disks, call->request->fds, fd_count, &failure);
	if (r == 0)
		fork->ticket = control_server_defer(call->server, call->request->id);
	if (r == 0 && fork->ticket) {
		call->reply->later = true;
		call->worker->fork = fork;
		return fork;
	}
	control_disk_reply_error(call->reply, r ? r : -ENOMEM, &failure);
	control_fork_free(fork);
	return NULL;
}

void control_fork_prepare(struct call *call, const struct control_arguments *arguments)
{
	struct control_fork *fork = fork_new(call, arguments, 0);

	if (fork)
		disk_fork_prepare(fork->disks, fork_prepared, fork);
}

void control_fork_start(struct call *call, const struct control_arguments *arguments)
{
	struct control_fork *fork = fork_new(call, arguments, call->request->fd_count);

	if (fork)
		fork_begin(fork);
}
