/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A machine becomes what a saved VM's file has: first its memory, which all else refers to, then
 * the records of its devices.
 */
#include "common/base/state.h"
#include "vmwp/state/saved_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct state_loader {
	struct saved_state_config config;
	struct state_file file;
	struct state_reader reader;   /* of the file's records */
	struct vid_memory *no_memory; /* that is filled, where the machine's was handed over */
	struct state_file_transfer *transfer;
};

static int loader_restore(const struct saved_state_config *config, struct state_reader *reader,
			  struct failure *failure)
{
	int r = machine_prepare_restore(config->machine, reader, failure);

	if (r == MACHINE_E_STATE)
		return failure_set(failure, -ECANCELED,
				   "The VM was turned off before its state was restored.");
	return r < 0 ? r : devices_restore(config->devices, reader, failure);
}

int state_loader_restore(const struct saved_state_config *config, struct state_reader *reader,
			 struct failure *failure)
{
	int r = loader_restore(config, reader, failure);

	if (r < 0 && failure->message[0] == '\0')
		failure_set(failure, r, "The state of the saved VM cannot be restored: %s.",
			    strerror(-r));
	return r;
}

static int loader_refuse_ram(int result, struct failure *failure)
{
	if (result == -ECANCELED)
		return failure_set(failure, result,
				   "The VM's state was not restored, since that was cancelled.");
	if (result == -EINVAL)
		return failure_set(failure, result,
				   "The file of the saved VM ends before its memory does.");
	return failure_set(failure, result, "The memory of the saved VM cannot be read: %s.",
			   strerror(-result));
}

static void loader_read(void *data, int result, uint64_t bytes)
{
	struct state_loader *loader = data;
	struct failure failure = { 0 };

	if (result < 0)
		loader_refuse_ram(result, &failure);
	else
		result = state_loader_restore(&loader->config, &loader->reader, &failure);
	loader->config.done(loader->config.data, result, &failure);
}

static void loader_progress(void *data, uint64_t done, uint64_t size)
{
	const struct state_loader *loader = data;

	loader->config.progress(loader->config.data, done, size);
}

static int loader_open(struct state_loader *loader, int fd, struct failure *failure)
{
	struct state_refusal refusal = { .text = "" };
	int r = state_file_open(fd, &loader->file, &refusal);

	if (r < 0)
		return failure_set(failure, r, "The state of the saved VM cannot be read: %s.",
				   refusal.text[0] != '\0' ? refusal.text : strerror(-r));
	if (state_reader_init(&loader->reader, loader->file.parts.records,
			      loader->file.parts.records_size))
		return failure_set(failure, -EINVAL,
				   "The state of the saved VM cannot be read: its records are "
				   "damaged.");
	return 0;
}

static int loader_begin(struct state_loader *loader, int fd, struct failure *failure)
{
	static const struct state_file_callbacks callbacks = { loader_progress, loader_read };
	struct vid_memory *memory = machine_memory_to_fill(loader->config.machine);
	int r;

	r = loader_open(loader, fd, failure);
	if (r == 0)
		r = devices_restore_memory(loader->config.devices, &loader->reader, failure);
	if (r == 0 && machine_memory_is_handed_over(loader->config.machine)) {
		r = vid_memory_new(&loader->no_memory);
		memory = loader->no_memory;
	}
	if (r < 0)
		return r;
	r = state_file_read(memory, &loader->file, fd, loader->config.loop, &callbacks, loader,
			    &loader->transfer);
	return r == -EINVAL ? failure_set(failure, r,
					  "The saved VM has other memory than its definition.")
			    : r;
}

int state_loader_new(const struct saved_state_config *config, int fd,
		     struct state_loader **ret_loader, struct failure *failure)
{
	CLEANUP(state_loader_freep) struct state_loader *loader = NULL;
	int r;

	if (machine_state(config->machine) != MACHINE_CREATED)
		return MACHINE_E_STATE;
	loader = calloc(1, sizeof(*loader));
	if (!loader)
		return -ENOMEM;
	loader->config = *config;
	r = loader_begin(loader, fd, failure);
	if (r < 0)
		return r;
	*ret_loader = TAKE_PTR(loader);
	return 0;
}

void state_loader_cancel(struct state_loader *loader)
{
	state_file_cancel(loader->transfer);
}

void state_loader_free(struct state_loader *loader)
{
	if (!loader)
		return;
	state_file_transfer_free(loader->transfer);
	state_file_deinit(&loader->file);
	vid_memory_free(loader->no_memory);
	free(loader);
}
