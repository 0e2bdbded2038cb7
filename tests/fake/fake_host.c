/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fake guest's hypervisor: RAM, message slots, event flags, connections. */
#include "tests/fake/fake.h"

#include "common/base/state.h"
#include "tests/fake/bus_rings.h"
#include "tests/fake/write_watch.h"
#include "vsp/vmbus/bus.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static bool is_ram(const struct fake *fake, gpa_t gpa, uint64_t size)
{
	if (gpa.value > fake->ram_size || size > fake->ram_size - gpa.value)
		return false;
	return fake->hole_size == 0 || gpa.value >= fake->hole.value + fake->hole_size ||
	       gpa.value + size <= fake->hole.value;
}

static bool is_one_piece(const struct fake *fake, gpa_t gpa, uint64_t size)
{
	return is_ram(fake, gpa, size) &&
	       (gpa.value >= fake->seam.value || gpa.value + size <= fake->seam.value);
}

static void *host_map(void *host, gpa_t gpa, uint64_t size)
{
	struct fake *fake = host;

	if (!is_one_piece(fake, gpa, size))
		return NULL;
	if (fake->watch)
		return write_watch_map(fake->watch, gpa.value, size);
	return fake->ram + gpa.value;
}

static void host_mark_written(void *host, gpa_t gpa, uint64_t size)
{
	struct fake *fake = host;

	assert(is_ram(fake, gpa, size));
	for (uint64_t page = gpa.value / HV_PAGE_SIZE;
	     page <= (gpa.value + size - 1) / HV_PAGE_SIZE; page++)
		fake->written[page] = true;
	if (fake->watch)
		write_watch_mark(fake->watch, gpa.value, size);
}

static void fake_found_unmarked(struct fake *fake, uint64_t page, const char *when)
{
	fake->unmarked = page;
	fake->unmarked_count++;
	if (fake->expect_unmarked)
		return;
	fprintf(stderr, "%s the host had written to guest page 0x%llx and not marked it since.\n",
		when, (unsigned long long)page);
	abort();
}

void fake_check_marks(struct fake *fake)
{
	uint64_t page = fake->watch ? write_watch_find(fake->watch, 0) : UINT64_MAX;

	if (page != UINT64_MAX)
		fake_found_unmarked(fake, page, "When a turn ended");
}

/* The guest is about to hear of what the host has done. relid: on that channel; 0: of a message. */
static void host_check_marks(struct fake *fake, uint32_t relid, const char *when)
{
	uint64_t page = 0;

	while (fake->watch && (page = write_watch_find(fake->watch, page)) != UINT64_MAX) {
		if (!bus_has_ring_page(fake->bus,
				       write_watch_map(fake->watch, page * HV_PAGE_SIZE, 1), relid))
			fake_found_unmarked(fake, page, when);
		page++;
	}
}

static int host_discard(void *host, gpa_t gpa, uint64_t size)
{
	struct fake *fake = host;

	assert(is_ram(fake, gpa, size) && IS_ALIGNED(gpa.value | size, HV_PAGE_SIZE));
	if (fake->discard_error)
		return fake->discard_error;
	fake->discards++;
	fake->discarded += size;
	return fallocate(fake->ram_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)gpa.value,
			 (off_t)size) < 0
		       ? -errno
		       : 0;
}

/* What is added is RAM of the fake that was a hole. */
static int host_add(void *host, gpa_t gpa, uint64_t size)
{
	struct fake *fake = host;

	assert(IS_ALIGNED(gpa.value | size, HV_PAGE_SIZE) && size > 0);
	if (fake->add_error)
		return fake->add_error;
	if (is_one_piece(fake, gpa, size))
		return 0;
	assert(gpa.value == fake->hole.value && size <= fake->hole_size);
	fake->hole = gpa_add(fake->hole, size);
	fake->hole_size -= size;
	return 0;
}

static int host_post_message(void *host, uint32_t vp, const void *payload, size_t size)
{
	struct fake *fake = host;

	assert(vp < fake->host.vp_count && size > 0 && size <= VMBUS_MESSAGE_MAX);
	if (fake->deaf[vp])
		return VSP_HOST_E_NOT_READY;
	if (fake->slots[vp].size > 0)
		return VSP_HOST_E_BUSY;
	host_check_marks(fake, 0, "When it posted a message");
	fake->slots[vp].size = size;
	memcpy(fake->slots[vp].bytes, payload, size);
	return 0;
}

static void host_signal_event(void *host, uint32_t vp, uint32_t flag)
{
	struct fake *fake = host;
	uint8_t bit = (uint8_t)(1u << flag % 8);

	assert(vp < fake->host.vp_count && flag < 2048);
	host_check_marks(fake, flag, "When it interrupted the guest");
	if (!(fake->events[vp][flag / 8] & bit))
		fake->interrupts++;
	fake->events[vp][flag / 8] |= bit;
}

static int host_connection_add(void *host, uint32_t connection_id, int event_fd)
{
	struct fake *fake = host;

	if (fake->connection_error)
		return fake->connection_error;
	for (unsigned i = 0; i < fake->connection_count; i++)
		if (fake->connections[i].id == connection_id)
			return -EEXIST;
	if (fake->connection_count == FAKE_CONNECTION_MAX)
		return -ENOSPC;
	fake->connections[fake->connection_count++] =
		(struct fake_connection){ .id = connection_id, .event_fd = event_fd };
	return 0;
}

static void host_connection_remove(void *host, uint32_t connection_id)
{
	struct fake *fake = host;
	unsigned i = 0;

	while (i < fake->connection_count && fake->connections[i].id != connection_id)
		i++;
	assert(i < fake->connection_count);
	fake->connections[i] = fake->connections[--fake->connection_count];
}

static uint64_t host_reference_time(void *host)
{
	struct fake *fake = host;

	return fake->reference_time;
}

static const struct vsp_host_ops host_ops = {
	.map = host_map,
	.mark_written = host_mark_written,
	.discard = host_discard,
	.add = host_add,
	.post_message = host_post_message,
	.signal_event = host_signal_event,
	.connection_add = host_connection_add,
	.connection_remove = host_connection_remove,
	.reference_time = host_reference_time,
};

static void fake_connected(void *data, uint32_t version)
{
	struct fake *fake = data;

	fake->connected_version = version;
	if (version)
		fake->connected_count++;
	else
		fake->left_count++;
}

static const struct vmbus_callbacks bus_callbacks = { .connected = fake_connected };

static void *fake_calloc(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	assert(memory);
	return memory;
}

/* Zero-filled as it is touched, which is little of it, and with a page at its end that faults. */
static void fake_map_ram(struct fake *fake, uint64_t size)
{
	uint8_t *ram = mmap(NULL, size + HV_PAGE_SIZE, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	void *at;
	int r;

	assert(ram != MAP_FAILED);
	fake->ram_fd = memfd_create("fake-guest", MFD_CLOEXEC);
	r = ftruncate(fake->ram_fd, (off_t)size);
	assert(r == 0);
	at = mmap(ram, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fake->ram_fd, 0);
	assert(at == ram);
	fake->ram = ram;
	fake->ram_size = size;
	fake->watch = write_watch_new(fake->ram_fd, size);
}

struct fake *fake_new(uint32_t vp_count, uint64_t ram_size)
{
	struct fake *fake = fake_calloc(1, sizeof(*fake));
	int r;

	assert(vp_count > 0 && vp_count <= FAKE_VP_MAX && IS_ALIGNED(ram_size, HV_PAGE_SIZE));
	fake->host = (struct vsp_host){ .ops = &host_ops, .host = fake, .vp_count = vp_count };
	fake_map_ram(fake, ram_size);
	fake->ram_used = HV_PAGE_SIZE; /* nobody is given page 0 */
	fake->written = fake_calloc(ram_size / HV_PAGE_SIZE, sizeof(*fake->written));
	fake->offers = fake_calloc(VMBUS_CHANNEL_MAX, sizeof(*fake->offers));
	fake->next_gpadl = 0xe1e10;
	r = loop_new(1024, &fake->loop);
	assert(r == 0);
	r = vmbus_new(fake->loop, &fake->host, &bus_callbacks, fake, &fake->bus);
	assert(r == 0);
	return fake;
}

static void fake_reset_done(void *data)
{
	*(bool *)data = true;
}

static bool fake_is_true(void *data)
{
	return *(bool *)data;
}

static void fake_reset_bus(struct fake *fake)
{
	bool reset = false;

	vmbus_reset(fake->bus, fake_reset_done, &reset);
	reset = reset || fake_run_until(fake, fake_is_true, &reset);
	assert(reset);
}

void fake_leave(struct fake *fake)
{
	fake_reset_bus(fake);
	fake_was_reset(fake);
}

static bool fake_has_no_doorbells(void *data)
{
	const struct fake *fake = data;

	return list_empty(&fake->bus->doorbells);
}

void fake_arrive(struct fake *fake)
{
	bool quiet = fake_run_until(fake, fake_has_no_doorbells, fake);
	int r;

	assert(quiet && fake->connection_count == 0);
	vmbus_free(fake->bus);
	r = vmbus_new(fake->loop, &fake->host, &bus_callbacks, fake, &fake->bus);
	assert(r == 0);
}

void fake_save_bus(struct fake *fake, struct state_writer *writer)
{
	int r;

	state_writer_init(writer);
	r = vmbus_save(fake->bus, writer);
	assert(r == 0);
}

int fake_restore_bus(struct fake *fake, const struct state_writer *writer,
		     struct state_reader *ret_reader)
{
	int r = state_reader_init(ret_reader, writer->bytes, writer->size);

	return r ? r : vmbus_restore(fake->bus, ret_reader);
}

void fake_go_on(struct fake *fake)
{
	struct guid type, instance;
	int r = vmbus_restored(fake->bus, &type, &instance);

	assert(r == 0);
	vmbus_resume(fake->bus);
}

void fake_stop(struct fake *fake)
{
	fake_reset_bus(fake);
	fake->inbox_count = fake->offer_count = 0;
	memset(fake->slots, 0, sizeof(fake->slots));
	memset(fake->events, 0, sizeof(fake->events));
	fake_was_reset(fake);
}

void fake_was_reset(struct fake *fake)
{
	fake_check_marks(fake);
	if (fake->watch)
		write_watch_unmap(fake->watch);
}

void fake_free(struct fake *fake)
{
	assert(fake->connection_count == 0);
	vmbus_free(fake->bus);
	loop_free(fake->loop);
	write_watch_free(fake->watch);
	munmap(fake->ram, fake->ram_size + HV_PAGE_SIZE);
	close(fake->ram_fd);
	free(fake->written);
	free(fake->inbox);
	free(fake->offers);
	free(fake);
}

void fake_choose_waits(struct fake *fake, const uint8_t *input, size_t size)
{
	uint8_t choice = size > 0 ? input[size - 1] : 0;
	struct vmbus *bus = fake->bus;

	bus->busy_polls = choice & 1;
	loop_set_idle(fake->loop, bus->busy_polls ? &bus->idle : NULL);
	bus->busy_poll_backoff = (struct backoff){ 0 };
	bus->moderation.on = choice & 2;
	/* As if an iteration had been measured, or the first packets would not be waited for. */
	bus->moderation.iteration_ns = 1;
}

gpa_t fake_alloc(struct fake *fake, uint32_t page_count, uint64_t *pfns)
{
	gpa_t first = GPA(fake->ram_used);

	for (uint32_t i = 0; i < page_count; i++) {
		assert(fake->ram_used < fake->ram_size);
		if (pfns)
			pfns[i] = fake->ram_used / HV_PAGE_SIZE;
		fake->ram_used += fake->scatter ? 2 * HV_PAGE_SIZE : HV_PAGE_SIZE;
	}
	return first;
}

void *fake_memory(struct fake *fake, gpa_t gpa, uint64_t size)
{
	assert(is_one_piece(fake, gpa, size));
	return fake->ram + gpa.value;
}

uint8_t *fake_host_memory(struct fake *fake)
{
	return fake->watch ? write_watch_map(fake->watch, 0, 0) : fake->ram;
}

bool fake_take_event(struct fake *fake, uint32_t vp, uint32_t flag)
{
	uint8_t bit = (uint8_t)(1u << flag % 8);
	bool set = fake->events[vp][flag / 8] & bit;

	fake->events[vp][flag / 8] &= (uint8_t)~bit;
	return set;
}

bool fake_take_message(struct fake *fake, uint32_t vp, struct fake_message *ret_message)
{
	if (fake->slots[vp].size == 0)
		return false;
	*ret_message = fake->slots[vp];
	fake->slots[vp].size = 0;
	vmbus_slot_free(fake->bus, vp);
	return true;
}
