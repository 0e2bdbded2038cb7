/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The source of a VM that moves.
 *
 * What is sent of RAM is a copy, for the guest may write meanwhile, and the checksum has to be that
 * of what was sent; what it has written since is sent in a later round.
 */
#include "vmwp/state/move_link.h"
#include "vmwp/state/move_pages.h"
#include "vmwp/state/moving.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECOND         (1000ull * 1000 * 1000)
#define ROUNDS_MAX     30u
#define REST_ALWAYS    64u           /* pages; so few stop the guest at any rate */
#define ITERATION_SIZE (64u << 20)   /* bytes of RAM that are looked at in one */
#define BREAK_NS_MAX   (SECOND / 10) /* to keep to the bandwidth */

enum sender_step {
	SENDER_BEGINS,
	SENDER_ROUNDS, /* the guest runs, if it did */
	SENDER_STOPS,  /* the saver is at work */
	SENDER_RESTS,  /* the last pages are sent */
	SENDER_WAITS,  /* MOVE_STATE is sent, and MOVE_READY awaited */
	SENDER_GOES,   /* MOVE_GO is sent, and MOVE_RUNS awaited */
	SENDER_ENDS,
};

struct move_sender {
	struct saved_state_config config;
	struct move_options options;
	struct move_link link;
	enum sender_step step;
	bool runs; /* the machine does, or is to */

	struct move_pages *pages;
	struct state_saver *saver; /* NULL: not begun */
	bool saver_runs, stands;   /* it is at work; it has succeeded */
	struct state_writer begin; /* what MOVE_BEGIN has */

	struct loop_deferred iteration;
	struct loop_timer timer;
	bool timer_runs, link_ended;
	bool state_sent, ready;
	bool unlocked; /* the images of the disks are */
	uint64_t ram_size, began_at;
	uint64_t round_began_at, round_bytes;
	struct move_figures figures;

	int result;
	struct failure failure;
	char text[MOVE_TEXT_MAX + 1]; /* of an answer */
	uint8_t copy[MOVE_PAGES_MAX * MOVE_PAGE_SIZE];
};

/* ---- The end ---- */

/* Whoever has refused the VM may have its disks all the same: it stands then. */
static void sender_take_locks_back(struct move_sender *sender)
{
	struct disks *disks = devices_get(sender->config.devices, DEVICE_STORAGE);

	if (sender->result < 0 && sender->unlocked &&
	    disks_lock(disks, DISK_LOCK_TAKE, &sender->failure) < 0)
		sender->result = MOVE_E_UNKNOWN;
}

static void sender_finish(struct move_sender *sender)
{
	if (!sender->link_ended || sender->timer_runs || sender->saver_runs)
		return;
	sender_take_locks_back(sender);
	if (sender->result < 0 && sender->stands)
		state_saver_go_back(sender->saver);
	(void)!vid_memory_track_dirty(machine_memory_to_fill(sender->config.machine), false);
	sender->config.done(sender->config.data, sender->result, &sender->failure);
}

static void sender_end(struct move_sender *sender, int result)
{
	sender->result = result;
	sender->step = SENDER_ENDS;
	loop_deferred_cancel(&sender->iteration);
	if (sender->timer_runs)
		loop_cancel(sender->config.loop, &sender->timer.operation);
	if (sender->saver_runs)
		state_saver_cancel(sender->saver);
	move_link_end(&sender->link);
}

static void sender_fail(struct move_sender *sender, int error, const char *what)
{
	sender_end(sender, failure_set(&sender->failure, error, "The VM was not moved: %s.", what));
}

static void sender_link_ended(void *data)
{
	struct move_sender *sender = data;

	sender->link_ended = true;
	sender_finish(sender);
}

/* ---- Records ---- */

static void sender_write(struct move_sender *sender, struct move_header *header,
			 enum move_type type, const void *bytes, uint32_t size)
{
	move_header_fill(header, type, bytes, size);
	sender->figures.bytes += sizeof(*header) + size;
	sender->round_bytes += sizeof(*header) + size;
	move_link_write(&sender->link, header, bytes);
}

static bool page_is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, MOVE_PAGE_SIZE - 1) == 0;
}

/* How many pages from `bytes` on are zeros, or are none. */
static uint32_t pages_alike(const uint8_t *bytes, uint32_t count, bool zero)
{
	uint32_t run = 1;

	while (run < count && page_is_zero(bytes + (size_t)run * MOVE_PAGE_SIZE) == zero)
		run++;
	return run;
}

/*
 * The next pages. The target's are zeros in the first round as they are.
 * Return: whether a record is being written; *ret_size: of RAM that was looked at, 0: no more.
 */
static bool sender_write_pages(struct move_sender *sender, uint64_t *ret_size)
{
	struct move_header header = { .flags = 0 };
	uint32_t count = move_pages_next(sender->pages, MOVE_PAGES_MAX, &header.gpa), run;
	const uint8_t *bytes;
	bool zero;

	*ret_size = (uint64_t)count * MOVE_PAGE_SIZE;
	if (count == 0)
		return false;
	bytes = vid_memory_map(machine_memory(sender->config.machine), GPA(header.gpa), *ret_size);
	memcpy(sender->copy, bytes, *ret_size);
	zero = page_is_zero(sender->copy);
	run = pages_alike(sender->copy, count, zero);
	move_pages_take(sender->pages, run);
	if (zero && sender->figures.rounds == 0)
		return false;
	header.page_count = run;
	if (zero)
		sender_write(sender, &header, MOVE_ZEROS, NULL, 0);
	else
		sender_write(sender, &header, MOVE_PAGES, sender->copy, run * MOVE_PAGE_SIZE);
	return true;
}

/* ---- The switch ---- */

static void sender_write_state(struct move_sender *sender)
{
	const struct state_writer *records = state_saver_records(sender->saver);
	struct move_header header = { .flags = state_flag(sender->runs, MOVE_FLAG_RUNS) };

	sender->step = SENDER_WAITS;
	sender_write(sender, &header, MOVE_STATE, records->bytes, (uint32_t)records->size);
}

/* No way back from here but the target's refusal. */
static void sender_go(struct move_sender *sender)
{
	struct move_header header = { .flags = 0 };
	int r;

	if (!sender->state_sent || !sender->ready)
		return;
	if (machine_state(sender->config.machine) != MACHINE_PAUSED) {
		sender_fail(sender, -ECANCELED, "it was turned off");
		return;
	}
	sender->unlocked = true;
	r = disks_lock(devices_get(sender->config.devices, DEVICE_STORAGE), DISK_LOCK_DROP,
		       &sender->failure);
	if (r < 0) {
		sender_end(sender, r);
		return;
	}
	sender->step = SENDER_GOES;
	sender_write(sender, &header, MOVE_GO, NULL, 0);
}

static void sender_go_on(struct move_sender *sender);

static void sender_stands(void *data, int result, const struct failure *failure)
{
	struct move_sender *sender = data;
	int r;

	sender->saver_runs = false;
	sender->stands = result == 0;
	if (sender->step == SENDER_ENDS) {
		sender_finish(sender);
		return;
	}
	if (result < 0) {
		sender->failure = *failure;
		sender_end(sender, result);
		return;
	}
	r = move_pages_fit(sender->pages) ? move_pages_fetch(sender->pages) : -EAGAIN;
	if (r == -EAGAIN) {
		sender_fail(sender, r, "its memory has changed its size");
		return;
	}
	if (r < 0) {
		sender_fail(sender, r, strerror(-r));
		return;
	}
	sender->step = SENDER_RESTS;
	sender_go_on(sender);
}

static void sender_ignore_progress(void *data, uint64_t done, uint64_t size)
{
}

static void sender_stop(struct move_sender *sender)
{
	struct saved_state_config config = sender->config;
	int r;

	config.progress = sender_ignore_progress;
	config.done = sender_stands;
	config.data = sender;
	sender->step = SENDER_STOPS;
	r = state_saver_new_for_move(&config, &sender->saver);
	if (r == MACHINE_E_STATE)
		sender_fail(sender, -ECANCELED, "it is being reset or turned off");
	else if (r < 0)
		sender_fail(sender, r, strerror(-r));
	sender->saver_runs = r == 0;
}

/* ---- Rounds ---- */

/* Whether what is left takes less than the guest may stand. */
static bool sender_is_near(const struct move_sender *sender)
{
	uint64_t left = move_pages_left(sender->pages), took = loop_now() - sender->round_began_at;

	if (left <= REST_ALWAYS)
		return true;
	return (double)left * MOVE_PAGE_SIZE * (double)took <=
	       (double)sender->round_bytes * (double)sender->options.max_downtime;
}

static void sender_begin_round(struct move_sender *sender)
{
	sender->round_began_at = loop_now();
	sender->round_bytes = 0;
	loop_defer(sender->config.loop, &sender->iteration);
}

static void sender_end_round(struct move_sender *sender)
{
	int r = move_pages_fetch(sender->pages);
	bool near = sender_is_near(sender);

	sender->figures.rounds++;
	if (r < 0)
		sender_fail(sender, r, strerror(-r));
	else if (near || (sender->figures.rounds >= ROUNDS_MAX && sender->options.force))
		sender_stop(sender);
	else if (sender->figures.rounds >= ROUNDS_MAX)
		sender_fail(sender, -ETIME,
			    "its guest writes to memory faster than that can be sent");
	else
		sender_begin_round(sender);
}

/* Return: whether it waits for a while. */
static bool sender_takes_break(struct move_sender *sender)
{
	uint64_t bandwidth = sender->options.bandwidth, passed = loop_now() - sender->began_at, due;

	if (bandwidth == 0 || sender->step != SENDER_ROUNDS)
		return false;
	due = (uint64_t)((double)sender->figures.bytes / (double)bandwidth * (double)SECOND);
	if (due <= passed)
		return false;
	sender->timer_runs = true;
	loop_timer_start(sender->config.loop, &sender->timer, MIN(due - passed, BREAK_NS_MAX));
	return true;
}

static void sender_tell_progress(struct move_sender *sender)
{
	uint64_t left = move_pages_left(sender->pages) * MOVE_PAGE_SIZE;

	sender->config.progress(sender->config.data, sender->ram_size - left, sender->ram_size);
}

/* Nothing is being written. */
static void sender_go_on(struct move_sender *sender)
{
	uint64_t looked_at = 0, size;

	if (sender_takes_break(sender))
		return;
	do {
		if (sender_write_pages(sender, &size)) {
			sender_tell_progress(sender);
			return;
		}
		looked_at += size;
	} while (size > 0 && looked_at < ITERATION_SIZE);
	if (size > 0)
		loop_defer(sender->config.loop, &sender->iteration);
	else if (sender->step == SENDER_RESTS)
		sender_write_state(sender);
	else
		sender_end_round(sender);
}

static void sender_iterate(struct loop_deferred *deferred)
{
	sender_go_on(container_of(deferred, struct move_sender, iteration));
}

static void sender_break_over(struct loop_operation *operation, int result, bool more)
{
	struct move_sender *sender = container_of(operation, struct move_sender, timer.operation);

	sender->timer_runs = false;
	if (sender->step == SENDER_ENDS)
		sender_finish(sender);
	else
		sender_go_on(sender);
}

/* ---- The link ---- */

/* One that cannot be written to has perhaps said why, and has ended at any rate: that is read. */
static void sender_written(void *data, int result)
{
	struct move_sender *sender = data;

	if (result < 0)
		return;
	if (sender->step == SENDER_BEGINS) {
		sender->step = SENDER_ROUNDS;
		sender_begin_round(sender);
	} else if (sender->step == SENDER_WAITS) {
		sender->state_sent = true;
		sender_go(sender);
	} else if (sender->step != SENDER_GOES) {
		sender_go_on(sender);
	}
}

static void *sender_place(void *data, const struct move_header *header)
{
	struct move_sender *sender = data;

	if (header->type == MOVE_REFUSED ||
	    (header->type == MOVE_READY && sender->step == SENDER_WAITS && !sender->ready) ||
	    (header->type == MOVE_RUNS && sender->step == SENDER_GOES))
		return sender->text;
	if (sender->step == SENDER_GOES)
		sender_end(sender, MOVE_E_UNKNOWN);
	else
		sender_fail(sender, -EPROTO, "the other side answers what was not asked");
	return NULL;
}

static void sender_lost(struct move_sender *sender, int result, const struct state_refusal *refusal)
{
	if (sender->step == SENDER_GOES)
		sender_end(sender, MOVE_E_UNKNOWN);
	else if (refusal->text[0] != '\0')
		sender_fail(sender, result, refusal->text);
	else
		sender_fail(sender, result, "the other side has ended the connection");
}

static void sender_refused(struct move_sender *sender, uint32_t size)
{
	sender->text[size] = '\0';
	sender_end(sender, failure_set(&sender->failure, -ECONNREFUSED,
				       "The VM was not moved, as the other side refuses it: %s",
				       sender->text));
}

static void sender_received(void *data, int result, const struct move_header *header,
			    const struct state_refusal *refusal)
{
	struct move_sender *sender = data;

	if (result < 0) {
		sender_lost(sender, result, refusal);
	} else if (header->type == MOVE_REFUSED) {
		sender_refused(sender, header->size);
	} else if (header->type == MOVE_READY) {
		sender->ready = true;
		move_link_read(&sender->link);
		sender_go(sender);
	} else {
		sender->figures.blackout = loop_now() - state_saver_stood_at(sender->saver);
		sender_end(sender, 0);
	}
}

static const struct move_link_ops link_ops = {
	.written = sender_written,
	.place = sender_place,
	.received = sender_received,
	.ended = sender_link_ended,
};

/* ---- Life ---- */

/* What has to be there before the first page is sent. */
static int sender_prepare(struct move_sender *sender)
{
	struct vid_memory *memory = machine_memory_to_fill(sender->config.machine);
	int r = move_pages_new(memory, &sender->pages);

	if (r < 0)
		return r;
	sender->ram_size = move_pages_left(sender->pages) * MOVE_PAGE_SIZE;
	r = devices_save_memory(sender->config.devices, &sender->begin);
	if (r == 0)
		r = state_writer_error(&sender->begin);
	return r < 0 ? r : vid_memory_track_dirty(memory, true);
}

int move_sender_new(const struct saved_state_config *config, const struct move_options *options,
		    int fd, struct move_sender **ret_sender)
{
	CLEANUP(move_sender_freep) struct move_sender *sender = NULL;
	enum machine_state state = machine_state(config->machine);
	struct move_header header = { .flags = 0 };
	int r;

	if (state != MACHINE_RUNNING && state != MACHINE_PAUSED)
		return MACHINE_E_STATE;
	sender = calloc(1, sizeof(*sender));
	if (!sender)
		return -ENOMEM;
	sender->config = *config;
	sender->options = *options;
	sender->runs = state == MACHINE_RUNNING;
	sender->began_at = loop_now();
	sender->iteration.run = sender_iterate;
	sender->timer.operation.complete = sender_break_over;
	list_init(&sender->iteration.link);
	state_writer_init(&sender->begin);
	r = move_link_init(&sender->link, config->loop, fd, &link_ops, sender);
	if (r == 0)
		r = sender_prepare(sender);
	if (r < 0)
		return r;
	move_link_read(&sender->link);
	sender_write(sender, &header, MOVE_BEGIN, sender->begin.bytes,
		     (uint32_t)sender->begin.size);
	*ret_sender = TAKE_PTR(sender);
	return 0;
}

void move_sender_cancel(struct move_sender *sender)
{
	if (sender->step != SENDER_GOES && sender->step != SENDER_ENDS)
		sender_fail(sender, -ECANCELED, "that was cancelled");
}

struct move_figures move_sender_figures(const struct move_sender *sender)
{
	return sender->figures;
}

void move_sender_free(struct move_sender *sender)
{
	if (!sender)
		return;
	state_saver_free(sender->saver);
	move_pages_free(sender->pages);
	state_writer_deinit(&sender->begin);
	free(sender);
}
