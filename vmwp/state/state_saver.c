/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM is saved to a file.
 *
 * A row of the devices may be in the middle of what has no state (-EBUSY): then the guest runs on
 * for a moment, and is paused again.
 */
#include "common/base/json.h"
#include "common/base/state.h"
#include "vmwp/state/saved_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define QUIET_NS  (30ull * 1000000000) /* in which the devices have to fall quiet */
#define BUSY_NS   (20ull * 1000000)    /* the guest runs on, until it is tried again */
#define TRIES_MAX 100u

enum saver_step {
	SAVER_PAUSES, /* the machine is to be paused when the timer is over */
	SAVER_QUIETS, /* the devices fall quiet, which the timer bounds */
	SAVER_WRITES,
	SAVER_DONE,
};

struct state_saver {
	struct saved_state_config config;
	int fd; /* -1: the records are kept for somebody else */
	enum saver_step step;
	bool resumes;   /* the machine ran */
	bool cancelled; /* somebody has asked for it */
	unsigned tries;
	uint64_t stood_at; /* loop_now(); the guest stopped for the last time */
	struct loop_timer timer;
	bool timer_runs;
	struct loop_deferred settled; /* the devices are quiet, or it has failed */
	int result;
	struct failure failure;

	struct state_writer writer;
	struct json_object *definition;
	struct vid_memory *no_memory; /* in place of the machine's, or NULL */
	struct state_file_transfer *transfer;
};

/* ---- The end ---- */

static int saver_refuse_cancelled(struct state_saver *saver)
{
	return failure_set(&saver->failure, -ECANCELED,
			   "The VM was not saved, since that was cancelled.");
}

/* The devices go on, and the guest if it ran before. One that is being stopped stays so. */
static void saver_let_go(struct state_saver *saver)
{
	devices_forget_quiesce(saver->config.devices);
	if (machine_state(saver->config.machine) != MACHINE_PAUSED)
		return;
	if (saver->resumes) {
		(void)!machine_resume(saver->config.machine);
		return;
	}
	devices_resume(saver->config.devices);
	devices_pause(saver->config.devices);
}

static void saver_end(struct state_saver *saver)
{
	saver->step = SAVER_DONE;
	if (saver->result < 0)
		saver_let_go(saver);
	saver->config.done(saver->config.data, saver->result, &saver->failure);
}

/* The timer's operation is the loop's until it has completed. */
static void saver_settle(struct state_saver *saver)
{
	if (saver->timer_runs)
		loop_cancel(saver->config.loop, &saver->timer.operation);
	else
		loop_defer(saver->config.loop, &saver->settled);
}

/* ---- Writing ---- */

static void saver_progress(void *data, uint64_t done, uint64_t size)
{
	const struct state_saver *saver = data;

	saver->config.progress(saver->config.data, done, size);
}

static void saver_written(void *data, int result, uint64_t bytes)
{
	struct state_saver *saver = data;

	saver->result = result;
	if (result == -ECANCELED)
		saver_refuse_cancelled(saver);
	else if (result < 0)
		failure_set(&saver->failure, result, "The VM's state cannot be written: %s.",
			    strerror(-result));
	saver_end(saver);
}

/* The RAM that goes into the file. */
static const struct vid_memory *saver_memory(const struct state_saver *saver)
{
	return saver->no_memory ? saver->no_memory : machine_memory(saver->config.machine);
}

static int saver_write(struct state_saver *saver)
{
	static const struct state_file_callbacks callbacks = { saver_progress, saver_written };
	struct state_file_parts parts = {
		.engine = machine_engine(saver->config.machine),
		.records = saver->writer.bytes,
		.records_size = (uint32_t)saver->writer.size,
		.writer = VMMS_VERSION,
		.writer_size = sizeof(VMMS_VERSION) - 1,
	};
	size_t size;

	saver->definition = definition_to_json(saver->config.definition);
	if (!saver->definition)
		return -ENOMEM;
	parts.definition =
		json_object_to_json_string_length(saver->definition, JSON_C_TO_STRING_PLAIN, &size);
	if (!parts.definition)
		return -ENOMEM;
	parts.definition_size = (uint32_t)size;
	if (saver->config.without_ram && !saver->no_memory) {
		int r = vid_memory_new(&saver->no_memory);

		if (r < 0)
			return r;
	}
	return state_file_write(saver_memory(saver), &parts, saver->fd, saver->config.loop,
				&callbacks, saver, &saver->transfer);
}

/* ---- The devices ---- */

static void saver_start_timer(struct state_saver *saver, uint64_t delay_ns)
{
	saver->timer_runs = true;
	loop_timer_start(saver->config.loop, &saver->timer, delay_ns);
}

/* A paused machine cannot run on to where it can be saved. */
static int saver_try_later(struct state_saver *saver)
{
	saver->failure.message[0] = '\0'; /* the row's, which says less */
	if (!saver->resumes || ++saver->tries == TRIES_MAX)
		return failure_set(&saver->failure, -EBUSY,
				   "The VM cannot be saved just now: its guest or a device is in "
				   "the middle of something that cannot be interrupted; %s.",
				   saver->resumes ? "try again later" : "resume it first");
	saver_let_go(saver);
	saver->step = SAVER_PAUSES;
	saver_start_timer(saver, BUSY_NS);
	return 0;
}

static int saver_save(struct state_saver *saver)
{
	int r;

	state_writer_deinit(&saver->writer);
	state_writer_init(&saver->writer);
	r = devices_save(saver->config.devices, &saver->writer, &saver->failure);
	if (r == 0)
		r = state_writer_error(&saver->writer);
	if (r == -EBUSY)
		return saver_try_later(saver);
	if (r < 0 || saver->fd < 0)
		return r;
	saver->step = SAVER_WRITES;
	return saver_write(saver);
}

static void saver_is_settled(struct loop_deferred *deferred)
{
	struct state_saver *saver = container_of(deferred, struct state_saver, settled);

	if (saver->result == 0 && saver->cancelled)
		saver->result = saver_refuse_cancelled(saver);
	if (saver->result == 0 && machine_state(saver->config.machine) != MACHINE_PAUSED)
		saver->result = failure_set(&saver->failure, -ECANCELED,
					    "The VM was turned off before it was saved.");
	if (saver->result == 0)
		saver->result = saver_save(saver);
	if (saver->result < 0 || (saver->fd < 0 && saver->step == SAVER_QUIETS))
		saver_end(saver);
}

static void saver_is_quiet(void *data)
{
	struct state_saver *saver = data;

	if (saver->step == SAVER_QUIETS && saver->result == 0)
		saver_settle(saver);
}

/* ---- Pausing ---- */

static void saver_quiesce(struct state_saver *saver)
{
	saver->step = SAVER_QUIETS;
	saver_start_timer(saver, QUIET_NS);
	devices_quiesce(saver->config.devices, saver_is_quiet, saver);
}

/* A machine that is being reset cannot be paused. */
static void saver_pause(struct state_saver *saver)
{
	if (machine_pause(saver->config.machine) == 0) {
		saver->stood_at = loop_now();
		saver_quiesce(saver);
		return;
	}
	saver->result = saver_try_later(saver);
	if (saver->result < 0)
		saver_settle(saver);
}

static void saver_timer_over(struct loop_operation *operation, int result, bool more)
{
	struct state_saver *saver = container_of(operation, struct state_saver, timer.operation);

	saver->timer_runs = false;
	if (result == -ETIME && saver->step == SAVER_QUIETS && saver->result == 0)
		saver->result = failure_set(&saver->failure, -ETIMEDOUT,
					    "The VM cannot be saved: its devices have requests "
					    "under way that the host does not answer.");
	if (saver->step == SAVER_PAUSES && !saver->cancelled)
		saver_pause(saver);
	else
		loop_defer(saver->config.loop, &saver->settled);
}

/* ---- Life ---- */

static void saver_begin(struct loop_deferred *deferred)
{
	struct state_saver *saver = container_of(deferred, struct state_saver, settled);

	saver->settled.run = saver_is_settled;
	if (saver->cancelled)
		loop_defer(saver->config.loop, &saver->settled);
	else if (saver->resumes)
		saver_pause(saver);
	else
		saver_quiesce(saver);
}

static int saver_new(const struct saved_state_config *config, int fd,
		     struct state_saver **ret_saver)
{
	enum machine_state state = machine_state(config->machine);
	struct state_saver *saver;

	if (state != MACHINE_RUNNING && state != MACHINE_PAUSED)
		return MACHINE_E_STATE;
	saver = calloc(1, sizeof(*saver));
	if (!saver)
		return -ENOMEM;
	saver->config = *config;
	saver->fd = fd;
	saver->resumes = state == MACHINE_RUNNING;
	saver->timer.operation.complete = saver_timer_over;
	saver->settled.run = saver_begin;
	list_init(&saver->settled.link);
	state_writer_init(&saver->writer);
	saver->stood_at = loop_now();
	loop_defer(config->loop, &saver->settled);
	*ret_saver = saver;
	return 0;
}

int state_saver_new(const struct saved_state_config *config, int fd, struct state_saver **ret_saver)
{
	enum machine_state state = machine_state(config->machine);
	int r;

	if (state != MACHINE_RUNNING && state != MACHINE_PAUSED)
		return MACHINE_E_STATE;
	r = state_file_is_empty(fd);
	return r < 0 ? r : saver_new(config, fd, ret_saver);
}

int state_saver_new_for_move(const struct saved_state_config *config,
			     struct state_saver **ret_saver)
{
	return saver_new(config, -1, ret_saver);
}

const struct state_writer *state_saver_records(const struct state_saver *saver)
{
	return &saver->writer;
}

uint64_t state_saver_stood_at(const struct state_saver *saver)
{
	return saver->stood_at;
}

void state_saver_go_back(struct state_saver *saver)
{
	saver_let_go(saver);
}

void state_saver_cancel(struct state_saver *saver)
{
	saver->cancelled = true;
	if (saver->step == SAVER_WRITES)
		state_file_cancel(saver->transfer);
	else if (saver->timer_runs)
		loop_cancel(saver->config.loop, &saver->timer.operation);
}

void state_saver_free(struct state_saver *saver)
{
	if (!saver)
		return;
	state_file_transfer_free(saver->transfer);
	state_writer_deinit(&saver->writer);
	json_object_put(saver->definition);
	vid_memory_free(saver->no_memory);
	free(saver);
}
