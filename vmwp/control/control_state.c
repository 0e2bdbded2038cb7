/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM is saved, handed over, restored, sent and received, over the control socket. */
#include "vmwp/control/control_state.h"

#include "vmwp/control/control_call.h"
#include "vmwp/control/control_server.h"
#include "vmwp/control/worker.h"
#include "vmwp/state/moving.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_NS        (250ull * 1000 * 1000)
#define NS_PER_MS          (1000ull * 1000)
#define MAX_DOWNTIME_USUAL 300u /* ms */

enum state_task {
	TASK_SAVE,
	TASK_HAND_OVER,
	TASK_RESTORE,
	TASK_SEND,
	TASK_RECEIVE,
};

static const char *const participles[] = {
	[TASK_SAVE] = "saved", [TASK_HAND_OVER] = "handed over", [TASK_RESTORE] = "restored",
	[TASK_SEND] = "moved", [TASK_RECEIVE] = "received",
};

struct control_state {
	struct worker *worker;
	enum state_task task;
	int fd;
	int successor; /* the socket to the worker that takes over; -1: it is for a file */
	struct move_options options;
	struct state_saver *saver; /* NULL: that is not the task; so are the others */
	struct state_loader *loader;
	struct move_sender *sender;
	struct move_receiver *receiver;
	void *ticket;  /* NULL: answered */
	bool saved;    /* or restored, and has not run since; or perhaps moved */
	bool moved;    /* the VM is another worker's, or has stayed that */
	bool unlocked; /* the images of its disks are */
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
	[CONTROL_METHOD_cancel_move] = true,
};

bool control_state_allows(const struct worker *worker, enum control_method_id method,
			  struct reply *reply)
{
	const struct control_state *state = worker->state;

	if (worker->fork && !allowed[method]) {
		reply_error(reply, CONTROL_ERROR_BUSY, "The VM's disks are being exchanged.");
		return false;
	}
	if (!state || allowed[method] || (state->saved && method == CONTROL_METHOD_resume) ||
	    (control_state_is_saved(worker) && !state->moved && method == CONTROL_METHOD_fork))
		return true;
	if (state->moved)
		reply_error(reply, CONTROL_ERROR_INVALID_STATE,
			    "The VM is on the other side: it can be stopped here, and no more.");
	else if (state->saved)
		reply_error(reply, CONTROL_ERROR_INVALID_STATE,
			    "The VM stands as it was saved: it can be resumed or stopped.");
	else
		reply_error(reply, CONTROL_ERROR_BUSY, "The VM is being %s.",
			    participles[state->task]);
	return false;
}

bool control_state_is_saved(const struct worker *worker)
{
	return worker->state && worker->state->saved && worker->state->task != TASK_SEND;
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

/* What the VM is from here on. */
static void state_settle(struct control_state *state, int result)
{
	struct worker *worker = state->worker;

	/* What was refused to the source goes on there, and may be complete here. */
	state->moved = (state->task == TASK_SEND && result == 0) ||
		       (state->task == TASK_RECEIVE && result < 0);
	state->saved =
		result >= 0 && !state->moved &&
		(state->task != TASK_RECEIVE || machine_state(worker->machine) == MACHINE_PAUSED);
	state->unlocked = result == MOVE_E_UNKNOWN;
	if (!state->moved && !state->saved)
		control_state_free(TAKE_PTR(worker->state));
}

static struct json_object *state_result(const struct control_state *state)
{
	struct move_figures figures;

	if (!state->sender)
		return NULL;
	figures = move_sender_figures(state->sender);
	return json_make("rounds", json_object_new_int64(figures.rounds), "bytes",
			 json_object_new_uint64(figures.bytes), "blackout",
			 json_object_new_uint64(figures.blackout), NULL);
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
	struct reply reply = { 0 };

	if (result == 0)
		reply.result = state_result(state);
	else if (result == MOVE_E_UNKNOWN)
		reply_error(&reply, CONTROL_ERROR_UNKNOWN_OUTCOME,
			    "The connection was lost when the VM was handed over: it runs on the "
			    "other side, or nowhere. It stands here until it is resumed or "
			    "stopped.");
	else if (result == -EBUSY)
		reply_error(&reply, CONTROL_ERROR_BUSY, "%s", failure->message);
	else
		reply_failure(&reply, result, failure);
	state_saver_free(TAKE_PTR(state->saver));
	state_loader_free(TAKE_PTR(state->loader));
	move_sender_free(TAKE_PTR(state->sender));
	move_receiver_free(TAKE_PTR(state->receiver));
	close_fdp(&state->fd);
	close_fdp(&state->successor);
	control_server_answer(TAKE_PTR(state->ticket), &reply);
	state_settle(state, result);
}

/* ---- Beginning ---- */

static void reply_not_begun(const struct worker *worker, struct reply *reply, int result,
			    const struct failure *failure, enum state_task task)
{
	if (result == MACHINE_E_STATE)
		reply_error(reply, CONTROL_ERROR_INVALID_STATE, "A VM that is %s cannot be %s.",
			    machine_state_name(machine_state(worker->machine)), participles[task]);
	else if (result == -EINVAL && failure->message[0] == '\0')
		reply_error(reply, CONTROL_ERROR_INVALID,
			    task <= TASK_HAND_OVER
				    ? "A VM is saved to an empty regular file that is "
				      "open for writing."
				    : "A VM moves over a connected stream socket.");
	else
		reply_failure(reply, result, failure);
}

/* Return: as state_loader_new(). */
static int state_begin_with(struct control_state *state, struct failure *failure)
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

	switch (state->task) {
	case TASK_SAVE:
	case TASK_HAND_OVER:
		return state_saver_new(&config, state->fd, &state->saver);
	case TASK_RESTORE:
		return state_loader_new(&config, state->fd, &state->loader, failure);
	case TASK_SEND:
		return move_sender_new(&config, &state->options, state->fd, &state->sender);
	case TASK_RECEIVE:
		return move_receiver_new(&config, state->fd, &state->receiver);
	}
	return -ENOTSUP;
}

static int state_new(struct call *call, enum state_task task, const struct move_options *options,
		     struct failure *failure)
{
	struct control_state *state = calloc(1, sizeof(*state));
	int r;

	if (!state)
		return -ENOMEM;
	state->worker = call->worker;
	state->task = task;
	state->options = *options;
	state->fd = TAKE_FD(call->request->fds[0]);
	state->successor = call->request->fd_count > 1 ? TAKE_FD(call->request->fds[1]) : -1;
	state->ticket = control_server_defer(call->server, call->request->id);
	r = state->ticket ? state_begin_with(state, failure) : -ENOMEM;
	if (r == 0) {
		call->worker->state = state;
		return 0;
	}
	if (state->ticket)
		control_server_forget(state->ticket);
	control_state_free(state);
	return r;
}

static void state_start(struct call *call, enum state_task task, const struct move_options *options)
{
	struct failure failure = { 0 };
	int r;

	if (call->worker->dump) {
		reply_error(call->reply, CONTROL_ERROR_BUSY, "A dump is being written.");
		return;
	}
	r = state_new(call, task, options, &failure);
	if (r == 0)
		call->reply->later = true;
	else
		reply_not_begun(call->worker, call->reply, r, &failure, task);
}

void control_state_save(struct call *call, const struct control_arguments *arguments)
{
	state_start(call, TASK_SAVE, &(struct move_options){ 0 });
}

void control_state_hand_over(struct call *call, const struct control_arguments *arguments)
{
	struct failure failure = { 0 };
	int r;

	if (machine_state(call->worker->machine) != MACHINE_RUNNING) {
		reply_not_begun(call->worker, call->reply, MACHINE_E_STATE, &failure,
				TASK_HAND_OVER);
		return;
	}
	r = state_can_hand_over(call->worker, &failure);
	if (r < 0)
		reply_failure(call->reply, r, &failure);
	else
		state_start(call, TASK_HAND_OVER, &(struct move_options){ 0 });
}

void control_state_restore(struct call *call, const struct control_arguments *arguments)
{
	state_start(call, TASK_RESTORE, &(struct move_options){ 0 });
}

void control_state_send(struct call *call, const struct control_arguments *arguments)
{
	const struct move_options options = {
		.bandwidth = arguments->bandwidth,
		.max_downtime = (arguments->max_downtime > 0 ? arguments->max_downtime
							     : MAX_DOWNTIME_USUAL) *
				NS_PER_MS,
		.force = arguments->force,
	};

	state_start(call, TASK_SEND, &options);
}

void control_state_receive(struct call *call, const struct control_arguments *arguments)
{
	state_start(call, TASK_RECEIVE, &(struct move_options){ 0 });
}

void control_state_cancel(struct worker *worker)
{
	if (worker->state && worker->state->saver)
		state_saver_cancel(worker->state->saver);
	else if (worker->state && worker->state->loader)
		state_loader_cancel(worker->state->loader);
	else if (worker->state && worker->state->sender)
		move_sender_cancel(worker->state->sender);
	else if (worker->state && worker->state->receiver)
		move_receiver_cancel(worker->state->receiver);
}

int control_state_prepare_resume(struct worker *worker, struct failure *failure)
{
	int r;

	if (!worker->state || !worker->state->unlocked)
		return 0;
	r = disks_lock(devices_get(worker->devices, DEVICE_STORAGE), DISK_LOCK_TAKE, failure);
	if (r == 0)
		worker->state->unlocked = false;
	return r;
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
	move_sender_free(state->sender);
	move_receiver_free(state->receiver);
	close_fdp(&state->fd);
	close_fdp(&state->successor);
	free(state);
}
