/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The firmware's variables, and their file. */
#include "vmwp/machine/variables.h"

#include "common/wire/tlfs.h"
#include "vmwp/boot/boot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

_Static_assert(FLASH_SIZE == VARIABLES_SIZE, "a copy is the flash");

/* The firmware writes a byte at a time, and changes many variables at once. */
#define DELAY_NS 200000000

struct variables {
	struct loop *loop;
	int fd;
	const struct variables_callbacks *callbacks;
	void *data;
	uint8_t *bytes;
	uint64_t sequence; /* of the last copy that is whole; the next goes beside it */
	bool changed, failed;
	struct loop_operation operation;
	bool under_way, orphaned;
	struct loop_timer timer;
	bool waiting; /* for it */
	struct iovec vector;
	void (*flushed)(void *data);
	void *flushed_data;
	struct variables_copy *image; /* that is being written, or was read */
};

/* ---- Reading ---- */

static int variables_read_copies(struct variables *variables, struct failure *failure)
{
	struct boot_file file;
	int r = boot_file_init(&file, variables->fd, "The file of the firmware's variables",
			       failure);

	if (r < 0)
		return r;
	r = variables_file_read(file.fd, variables->image, variables->bytes, &variables->sequence);
	if (r < 0)
		return failure_set(failure, r,
				   "The file of the firmware's variables cannot be read: %s.",
				   strerror(-r));
	if (r == VARIABLES_FILE_DAMAGED)
		return failure_set(failure, -EINVAL,
				   "The file of the firmware's variables is damaged; 'vmctl "
				   "firmware reset' has them made anew.");
	return 0;
}

static int variables_read_template(struct variables *variables, int fd, struct failure *failure)
{
	struct boot_file file;
	int r = boot_file_init(&file, fd, "The firmware's variables", failure);

	if (r < 0)
		return r;
	if (file.size != FLASH_SIZE)
		return failure_set(failure, -EINVAL,
				   "The firmware's variables have %" PRIu64
				   " bytes, and not %u: they are to be OVMF_VARS_4M.fd of "
				   "Debian's package ovmf.",
				   file.size, FLASH_SIZE);
	return boot_file_read(&file, 0, variables->bytes, FLASH_SIZE, failure);
}

int variables_new(struct loop *loop, int template_fd, int fd,
		  const struct variables_callbacks *callbacks, void *data,
		  struct variables **ret_variables, struct failure *failure)
{
	CLEANUP(variables_freep) struct variables *variables = calloc(1, sizeof(*variables));
	void *memory;
	int r = 0;

	if (!variables)
		return -ENOMEM;
	*variables =
		(struct variables){ .loop = loop, .fd = fd, .callbacks = callbacks, .data = data };
	variables->image = calloc(1, sizeof(*variables->image));
	if (!variables->image || posix_memalign(&memory, HV_PAGE_SIZE, FLASH_SIZE) != 0)
		return -ENOMEM;
	variables->bytes = memory;
	memset(variables->bytes, 0xff, FLASH_SIZE);
	if (fd >= 0)
		r = variables_read_copies(variables, failure);
	if (r == 0 && variables->sequence == 0)
		r = variables_read_template(variables, template_fd, failure);
	if (r < 0)
		return r;
	*ret_variables = TAKE_PTR(variables);
	return 0;
}

void variables_free(struct variables *variables)
{
	if (!variables)
		return;
	if (variables->under_way || variables->waiting) {
		variables->orphaned = true;
		if (variables->waiting)
			loop_cancel(variables->loop, &variables->timer.operation);
		loop_flush(variables->loop);
		return;
	}
	free(variables->bytes);
	free(variables->image);
	free(variables);
}

uint8_t *variables_bytes(struct variables *variables)
{
	return variables->bytes;
}

/* ---- Writing ---- */

static void variables_begin(struct variables *variables);

static bool variables_end_orphan(struct variables *variables)
{
	if (variables->orphaned && !variables->under_way && !variables->waiting)
		variables_free(variables);
	else if (!variables->orphaned)
		return false;
	return true;
}

static void variables_look(struct variables *variables)
{
	if (variables->under_way)
		return;
	if (variables->changed && !variables->waiting)
		variables_begin(variables);
	else if (variables->flushed && !variables->waiting)
		variables_flush(variables, variables->flushed, variables->flushed_data);
}

static void variables_timer_over(struct loop_operation *operation, int result, bool more)
{
	struct loop_timer *timer = container_of(operation, struct loop_timer, operation);
	struct variables *variables = container_of(timer, struct variables, timer);

	variables->waiting = false;
	if (!variables_end_orphan(variables))
		variables_look(variables);
}

static void variables_go_on(struct variables *variables, int result)
{
	variables->under_way = false;
	if (variables_end_orphan(variables))
		return;
	if (result >= 0)
		variables->sequence++;
	else if (!variables->failed)
		variables->callbacks->failed(variables->data, result);
	variables->failed = result < 0;
	variables_look(variables);
}

static void variables_durable(struct loop_operation *operation, int result, bool more)
{
	variables_go_on(container_of(operation, struct variables, operation), result);
}

static void variables_written(struct loop_operation *operation, int result, bool more)
{
	struct variables *variables = container_of(operation, struct variables, operation);

	if (result >= 0 && (size_t)result != sizeof(*variables->image))
		result = -EIO;
	if (result < 0 || variables->orphaned) {
		variables_go_on(variables, result);
		return;
	}
	operation->complete = variables_durable;
	loop_fdatasync(variables->loop, operation, variables->fd);
}

static void variables_begin(struct variables *variables)
{
	uint64_t sequence = variables->sequence + 1;

	variables->changed = false;
	variables->under_way = true;
	variables->callbacks->copy(variables->data, variables->image->bytes);
	variables_copy_seal(variables->image, sequence);
	variables->vector = (struct iovec){ variables->image, sizeof(*variables->image) };
	variables->operation.complete = variables_written;
	loop_writev(variables->loop, &variables->operation, variables->fd, &variables->vector, 1,
		    variables_copy_place(sequence), 0);
}

void variables_changed(struct variables *variables)
{
	if (variables->fd < 0)
		return;
	variables->changed = true;
	if (variables->waiting)
		return;
	variables->waiting = true;
	variables->timer.operation.complete = variables_timer_over;
	loop_timer_start(variables->loop, &variables->timer, DELAY_NS);
}

void variables_flush(struct variables *variables, void (*done)(void *data), void *data)
{
	variables->flushed = done;
	variables->flushed_data = data;
	if (variables->waiting)
		loop_cancel(variables->loop, &variables->timer.operation);
	if (variables->under_way || variables->waiting)
		return;
	variables->flushed = NULL;
	done(data);
}
