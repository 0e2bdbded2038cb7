/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM is saved, handed over and restored, over the control socket. */
#include "vmwp/control/control_state.h"

#include "vmwp/control/control_call.h"
#include "vmwp/control/control_server.h"
#include "vmwp/control/worker.h"
#include "vmwp/state/saved_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_NS (250ull * 1000 * 1000)

struct control_state {
	struct worker *worker;
	int fd;
	int successor; /* the socket to the worker that takes over; -1: it is for a file */
	struct state_saver *saver;   /* NULL: it is not being saved */
	struct state_loader *loader; /* NULL: it is not being restored */
	void *ticket;                /* NULL: answered */
	bool saved;                  /* or restored, and has not run since */
	uint64_t told_at;
};

/* ---- What can be asked for meanwhile ---- */

static const bool allowed[CONTROL_METHOD_COUNT] = {
	[CONTROL_METHOD_adopt] = true,          [CONTROL_METHOD_cancel_save] = true,
	[CONTROL_METHOD_cancel_dump] = true,    [CONTROL_METHOD_cancel_detach] = true,
	[CONTROL_METHOD_cancel_copy] = true,    [CONTROL_METHOD_stop] = true,
	[CONTROL_METHOD_status] = true,         [CONTROL_METHOD_statistics] = true,
	[CONTROL_METHOD_disks] = true,          [CONTROL_METHOD_processors] = true,
	[CONTROL_METHOD_inspect] = true,        [CONTROL_METHOD_capabilities] = true,
	[CONTROL_METHOD_change_actions] = true, [CONTROL_METHOD_answer_socket] = true,
};

bool control_state_allows(const struct worker *worker, enum control_method_id method,
			  struct reply *reply)
{
	const struct control_state *state = worker->state;

	if (!state || allowed[method] || (state->saved && method == CONTROL_METHOD_resume))
		return true;
	if (state->saved)
		reply_error(reply, CONTROL_ERROR_INVALID_STATE,
			    "The VM stands as it was saved: it can be resumed or stopped.");
	else
		reply_error(reply, CONTROL_ERROR_BUSY, "The VM is being %s.",
			    state->loader ? "restored" : "saved");
	return false;
}

bool control_state_is_saved(const struct worker *worker)
{
	return worker->state && worker->state->saved;
}

/* ---- While it is under way ---- */

static void state_progress(void *data, uint64_t done, uint64_t size)
{
	struct control_state *state = data;
	uint64_t now = loop_now();

	if (done < size && now - state->told_at < PROGRESS_NS)
		return;
	state->told_at = now;
	control_server_save(state->worker->control, done, size);
}

/* ---- Handing over ---- */

static int state_list_descriptors(const struct worker *worker, struct handover *handover,
				  struct failure *failure)
{
	int r = devices_hand_over(worker->devices, handover, failure);

	if (r == 0)
		r = handover_add(handover, "serial", console_descriptor(worker->console));
	return r < 0 ? r : handover_add(handover, "end", worker->end_fd);
}

/* Refused while the guest still runs. */
static int state_can_hand_over(const struct worker *worker, struct failure *failure)
{
	AUTO_FREE struct handover *handover = calloc(1, sizeof(*handover));

	return handover ? state_list_descriptors(worker, handover, failure) : -ENOMEM;
}

/* The file is read by another process: nothing of it changes any more. */
static int state_send_descriptors(const struct control_state *state, struct failure *failure)
{
	AUTO_FREE struct handover *handover = calloc(1, sizeof(*handover));
	int r;

	if (!handover)
		return -ENOMEM;
	if (fcntl(state->fd, F_ADD_SEALS,
		  F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	r = state_list_descriptors(state->worker, handover, failure);
	return r < 0 ? r : handover_send(handover, state->successor);
}

static void state_answer(struct control_state *state, int result, const struct failure *failure);

/* What the guest has written to the console is written there. */
static void state_console_drained(void *data)
{
	struct control_state *state = data;
	struct failure failure = { 0 };
	int r = state_send_descriptors(state, &failure);

	if (r < 0)
		(void)!machine_resume(state->worker->machine);
	state_answer(state, r, &failure);
}

static void state_done(void *data, int result, const struct failure *failure)
{
	struct control_state *state = data;

	if (result == 0 && state->successor >= 0)
		console_drain(state->worker->console, state_console_drained, state);
	else
		state_answer(state, result, failure);
}

static void state_answer(struct control_state *state, int result, const struct failure *failure)
{
	struct worker *worker = state->worker;
	struct reply reply = { 0 };

	state->saved = result == 0;
	state_saver_free(TAKE_PTR(state->saver));
	state_loader_free(TAKE_PTR(state->loader));
	close_fdp(&state->fd);
	close_fdp(&state->successor);
	if (result == -EBUSY)
		reply_error(&reply, CONTROL_ERROR_BUSY, "%s", failure->message);
	else if (result < 0)
		reply_failure(&reply, result, failure);
	control_server_answer(TAKE_PTR(state->ticket), &reply);
	if (!state->saved)
		control_state_free(TAKE_PTR(worker->state));
}

/* ---- Beginning ---- */

static void reply_not_begun(const struct worker *worker, struct reply *reply, int result,
			    const struct failure *failure, const char *verb)
{
	if (result == MACHINE_E_STATE)
		reply_error(reply, CONTROL_ERROR_INVALID_STATE, "A VM that is %s cannot be %s.",
			    machine_state_name(machine_state(worker->machine)), verb);
	else if (result == -EINVAL && failure->message[0] == '\0')
		reply_error(reply, CONTROL_ERROR_INVALID,
			    "A VM is saved to an empty regular file that is open for writing.");
	else
		reply_failure(reply, result, failure);
}

/* Return: as state_loader_new(). */
static int state_begin_with(struct control_state *state, bool restores, struct failure *failure)
{
	struct worker *worker = state->worker;
	const struct saved_state_config config = {
		.machine = worker->machine,
		.devices = worker->devices,
		.definition = worker->definition,
		.loop = worker->loop,
		.progress = state_progress,
		.done = state_done,
		.data = state,
		.without_ram = state->successor >= 0,
	};

	return restores ? state_loader_new(&config, state->fd, &state->loader, failure)
			: state_saver_new(&config, state->fd, &state->saver);
}

static int state_new(struct control_server *server, struct worker *worker,
		     struct control_message *request, bool restores, struct failure *failure)
{
	struct control_state *state = calloc(1, sizeof(*state));
	int r;

	if (!state)
		return -ENOMEM;
	state->worker = worker;
	state->fd = TAKE_FD(request->fds[0]);
	state->successor = request->fd_count > 1 ? TAKE_FD(request->fds[1]) : -1;
	state->ticket = control_server_defer(server, request->id);
	r = state->ticket ? state_begin_with(state, restores, failure) : -ENOMEM;
	if (r == 0) {
		worker->state = state;
		return 0;
	}
	if (state->ticket)
		control_server_forget(state->ticket);
	control_state_free(state);
	return r;
}

static void state_start(struct control_server *server, struct worker *worker,
			struct control_message *request, struct reply *reply, bool restores)
{
	struct failure failure = { 0 };
	int r;

	if (worker->dump) {
		reply_error(reply, CONTROL_ERROR_BUSY, "A dump is being written.");
		return;
	}
	r = state_new(server, worker, request, restores, &failure);
	if (r == 0)
		reply->later = true;
	else
		reply_not_begun(worker, reply, r, &failure, restores ? "restored" : "saved");
}

void control_state_save(struct control_server *server, struct worker *worker,
			struct control_message *request, struct reply *reply)
{
	state_start(server, worker, request, reply, false);
}

void control_state_hand_over(struct control_server *server, struct worker *worker,
			     struct control_message *request, struct reply *reply)
{
	struct failure failure = { 0 };
	int r;

	if (machine_state(worker->machine) != MACHINE_RUNNING) {
		reply_not_begun(worker, reply, MACHINE_E_STATE, &failure, "handed over");
		return;
	}
	r = state_can_hand_over(worker, &failure);
	if (r < 0)
		reply_failure(reply, r, &failure);
	else
		state_start(server, worker, request, reply, false);
}

void control_state_restore(struct control_server *server, struct worker *worker,
			   struct control_message *request, struct reply *reply)
{
	state_start(server, worker, request, reply, true);
}

void control_state_cancel(struct worker *worker)
{
	if (worker->state && worker->state->saver)
		state_saver_cancel(worker->state->saver);
	else if (worker->state && worker->state->loader)
		state_loader_cancel(worker->state->loader);
}

void control_state_resumed(struct worker *worker)
{
	control_state_free(TAKE_PTR(worker->state));
}

void control_state_free(struct control_state *state)
{
	if (!state)
		return;
	state_saver_free(state->saver);
	state_loader_free(state->loader);
	close_fdp(&state->fd);
	close_fdp(&state->successor);
	free(state);
}
