/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The target of a VM that moves. */
#include "vmwp/state/move_link.h"
#include "vmwp/state/moving.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum receiver_step {
	RECEIVER_BEGINS, /* MOVE_BEGIN is to come */
	RECEIVER_FILLS,  /* pages, until MOVE_STATE */
	RECEIVER_WAITS,  /* the machine is made; MOVE_GO is to come */
	RECEIVER_ANSWERS,
	RECEIVER_ENDS,
};

struct move_receiver {
	struct saved_state_config config;
	struct move_link link;
	enum receiver_step step;
	bool runs; /* the guest is to */
	uint64_t filled, ram_size;

	void *records; /* of the record that comes; owned */
	char text[MOVE_TEXT_MAX + 1];
	int result;
	struct failure failure;
};

/* ---- The end ---- */

static void receiver_end(struct move_receiver *receiver)
{
	receiver->step = RECEIVER_ENDS;
	move_link_end(&receiver->link);
}

static void receiver_answer(struct move_receiver *receiver, enum move_type type)
{
	struct move_header header = { 0 };
	uint32_t size = type == MOVE_REFUSED ? (uint32_t)strlen(receiver->text) : 0;

	move_header_fill(&header, type, receiver->text, size);
	move_link_write(&receiver->link, &header, receiver->text);
}

/* The source hears why, if there is one any more. */
static void receiver_refuse(struct move_receiver *receiver, int result)
{
	receiver->result = result;
	snprintf(receiver->text, sizeof(receiver->text), "%s", receiver->failure.message);
	receiver->step = RECEIVER_ANSWERS;
	if (receiver->link.out.runs)
		receiver_end(receiver);
	else
		receiver_answer(receiver, MOVE_REFUSED);
}

static void receiver_refuse_for(struct move_receiver *receiver, const char *what)
{
	receiver_refuse(receiver, failure_set(&receiver->failure, -EINVAL,
					      "The VM cannot be received: %s.", what));
}

/* ---- Records ---- */

static struct disks *receiver_disks(const struct move_receiver *receiver)
{
	return devices_get(receiver->config.devices, DEVICE_STORAGE);
}

static void receiver_begin(struct move_receiver *receiver, const struct move_header *header)
{
	const struct vid_memory *memory = machine_memory(receiver->config.machine);
	struct state_reader reader;
	int r;

	if (state_reader_init(&reader, receiver->records, header->size)) {
		receiver_refuse_for(receiver, "its records are damaged");
		return;
	}
	r = disks_lock(receiver_disks(receiver), DISK_LOCK_FIND, &receiver->failure);
	if (r == 0)
		r = devices_restore_memory(receiver->config.devices, &reader, &receiver->failure);
	if (r < 0) {
		receiver_refuse(receiver, r);
		return;
	}
	for (size_t i = 0; i < vid_memory_region_count(memory); i++)
		receiver->ram_size += vid_memory_region(memory, i).size;
	receiver->step = RECEIVER_FILLS;
	move_link_read(&receiver->link);
}

static void receiver_filled(struct move_receiver *receiver, const struct move_header *header)
{
	struct vid_memory *memory = machine_memory_to_fill(receiver->config.machine);
	uint64_t size = (uint64_t)header->page_count * MOVE_PAGE_SIZE;

	vid_memory_mark_written(memory, GPA(header->gpa), size);
	receiver->filled = MIN(receiver->filled + size, receiver->ram_size);
	receiver->config.progress(receiver->config.data, receiver->filled, receiver->ram_size);
	move_link_read(&receiver->link);
}

static void receiver_zero(struct move_receiver *receiver, const struct move_header *header)
{
	uint64_t size = (uint64_t)header->page_count * MOVE_PAGE_SIZE;
	void *pages =
		vid_memory_map(machine_memory(receiver->config.machine), GPA(header->gpa), size);

	if (!pages) {
		receiver_refuse_for(receiver, "it has pages where there is no memory");
		return;
	}
	memset(pages, 0, size);
	receiver_filled(receiver, header);
}

static void receiver_restore(struct move_receiver *receiver, const struct move_header *header)
{
	struct state_reader reader;
	int r;

	receiver->runs = header->flags & MOVE_FLAG_RUNS;
	if (state_reader_init(&reader, receiver->records, header->size)) {
		receiver_refuse_for(receiver, "its records are damaged");
		return;
	}
	r = state_loader_restore(&receiver->config, &reader, &receiver->failure);
	if (r < 0) {
		receiver_refuse(receiver, r);
		return;
	}
	receiver->step = RECEIVER_WAITS;
	receiver_answer(receiver, MOVE_READY);
}

/* From here on the VM is ours, with its disks, which the source has let go. */
static void receiver_go(struct move_receiver *receiver, const struct move_header *header)
{
	int r = disks_lock(receiver_disks(receiver), DISK_LOCK_TAKE, &receiver->failure);

	if (r < 0) {
		receiver_refuse(receiver, r);
		return;
	}
	if (receiver->runs && machine_resume(receiver->config.machine) != 0) {
		(void)!disks_lock(receiver_disks(receiver), DISK_LOCK_DROP, &receiver->failure);
		receiver_refuse(receiver,
				failure_set(&receiver->failure, -ECANCELED,
					    "The VM was turned off before its guest went on."));
		return;
	}
	receiver->step = RECEIVER_ANSWERS;
	receiver_answer(receiver, MOVE_RUNS);
}

static const struct {
	enum receiver_step step; /* in which it may come */
	void (*handle)(struct move_receiver *receiver, const struct move_header *header);
} records[_MOVE_TYPE_COUNT] = {
	[MOVE_BEGIN] = { RECEIVER_BEGINS, receiver_begin },
	[MOVE_PAGES] = { RECEIVER_FILLS, receiver_filled },
	[MOVE_ZEROS] = { RECEIVER_FILLS, receiver_zero },
	[MOVE_STATE] = { RECEIVER_FILLS, receiver_restore },
	[MOVE_GO] = { RECEIVER_WAITS, receiver_go },
};

static bool receiver_expects(const struct move_receiver *receiver, enum move_type type)
{
	return records[type].handle && records[type].step == receiver->step;
}

/* ---- The link ---- */

static void *receiver_place(void *data, const struct move_header *header)
{
	struct move_receiver *receiver = data;
	const struct vid_memory *memory = machine_memory(receiver->config.machine);
	void *place = receiver->text;

	if (!receiver_expects(receiver, header->type)) {
		receiver_refuse_for(receiver, "a record comes that is not to come now");
		return NULL;
	}
	if (header->type == MOVE_PAGES) {
		place = vid_memory_map(memory, GPA(header->gpa), header->size);
		if (!place)
			receiver_refuse_for(receiver, "it has pages where there is no memory");
	} else if (header->size > 0) {
		free(receiver->records);
		place = receiver->records = malloc(header->size);
		if (!place)
			receiver_refuse(receiver, -ENOMEM);
	}
	return place;
}

static void receiver_received(void *data, int result, const struct move_header *header,
			      const struct state_refusal *refusal)
{
	struct move_receiver *receiver = data;

	if (result < 0 && refusal->text[0] != '\0')
		receiver_refuse_for(receiver, refusal->text);
	else if (result < 0)
		receiver_refuse(receiver, failure_set(&receiver->failure, result,
						      "The VM was not received: the other side "
						      "has ended the connection."));
	else
		records[header->type].handle(receiver, header);
}

/* What the source makes of an answer that it does not get is its matter. */
static void receiver_written(void *data, int result)
{
	struct move_receiver *receiver = data;

	if (receiver->step == RECEIVER_WAITS)
		move_link_read(&receiver->link);
	else if (receiver->step == RECEIVER_ANSWERS)
		receiver_end(receiver);
}

static void receiver_ended(void *data)
{
	struct move_receiver *receiver = data;

	receiver->config.done(receiver->config.data, receiver->result, &receiver->failure);
}

static const struct move_link_ops link_ops = {
	.written = receiver_written,
	.place = receiver_place,
	.received = receiver_received,
	.ended = receiver_ended,
};

/* ---- Life ---- */

int move_receiver_new(const struct saved_state_config *config, int fd,
		      struct move_receiver **ret_receiver)
{
	CLEANUP(move_receiver_freep) struct move_receiver *receiver = NULL;
	int r;

	if (machine_state(config->machine) != MACHINE_CREATED)
		return MACHINE_E_STATE;
	receiver = calloc(1, sizeof(*receiver));
	if (!receiver)
		return -ENOMEM;
	receiver->config = *config;
	r = move_link_init(&receiver->link, config->loop, fd, &link_ops, receiver);
	if (r < 0)
		return r;
	move_link_read(&receiver->link);
	*ret_receiver = TAKE_PTR(receiver);
	return 0;
}

void move_receiver_cancel(struct move_receiver *receiver)
{
	if (receiver->step == RECEIVER_ANSWERS || receiver->step == RECEIVER_ENDS)
		return;
	receiver->result = failure_set(&receiver->failure, -ECANCELED,
				       "The VM was not received, since that was cancelled.");
	receiver_end(receiver);
}

void move_receiver_free(struct move_receiver *receiver)
{
	if (!receiver)
		return;
	free(receiver->records);
	free(receiver);
}
