/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fake guest's hypervisor: RAM, message slots, event flags, connections. */
#include "tests/fake/fake.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Return: NULL unless all of it is RAM. */
static void *host_find(struct fake *fake, gpa_t gpa, uint64_t size)
{
	if (gpa.value > fake->ram_size || size > fake->ram_size - gpa.value)
		return NULL;
	if (gpa.value < fake->hole.value + fake->hole_size && gpa.value + size > fake->hole.value &&
	    fake->hole_size > 0)
		return NULL;
	return fake->ram + gpa.value;
}

static void *host_map(void *host, gpa_t gpa, uint64_t size)
{
	struct fake *fake = host;

	if (gpa.value < fake->seam.value && gpa.value + size > fake->seam.value)
		return NULL;
	return host_find(fake, gpa, size);
}

static void host_mark_written(void *host, gpa_t gpa, uint64_t size)
{
	struct fake *fake = host;

	assert(host_map(fake, gpa, size));
	for (uint64_t page = gpa.value / HV_PAGE_SIZE;
	     page <= (gpa.value + size - 1) / HV_PAGE_SIZE; page++)
		fake->written[page] = true;
}

static int host_discard(void *host, gpa_t gpa, uint64_t size)
{
	struct fake *fake = host;
	void *memory = host_find(fake, gpa, size);

	assert(memory && IS_ALIGNED(gpa.value | size, HV_PAGE_SIZE));
	if (fake->discard_error)
		return fake->discard_error;
	fake->discards++;
	fake->discarded += size;
	return madvise(memory, size, MADV_DONTNEED) < 0 ? -errno : 0;
}

/* What is added is RAM of the fake that was a hole. */
static int host_add(void *host, gpa_t gpa, uint64_t size)
{
	struct fake *fake = host;

	assert(IS_ALIGNED(gpa.value | size, HV_PAGE_SIZE) && size > 0);
	if (fake->add_error)
		return fake->add_error;
	if (host_map(fake, gpa, size))
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
	fake->slots[vp].size = size;
	memcpy(fake->slots[vp].bytes, payload, size);
	return 0;
}

static void host_signal_event(void *host, uint32_t vp, uint32_t flag)
{
	struct fake *fake = host;
	uint8_t bit = (uint8_t)(1u << flag % 8);

	assert(vp < fake->host.vp_count && flag < 2048);
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
static uint8_t *fake_map_ram(uint64_t size)
{
	uint8_t *ram = mmap(NULL, size + HV_PAGE_SIZE, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int r;

	assert(ram != MAP_FAILED);
	r = mprotect(ram, size, PROT_READ | PROT_WRITE);
	assert(r == 0);
	return ram;
}

struct fake *fake_new(uint32_t vp_count, uint64_t ram_size)
{
	struct fake *fake = fake_calloc(1, sizeof(*fake));
	int r;

	assert(vp_count > 0 && vp_count <= FAKE_VP_MAX && IS_ALIGNED(ram_size, HV_PAGE_SIZE));
	fake->host = (struct vsp_host){ .ops = &host_ops, .host = fake, .vp_count = vp_count };
	fake->ram = fake_map_ram(ram_size);
	fake->ram_size = ram_size;
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

void fake_stop(struct fake *fake)
{
	bool reset = false;

	vmbus_reset(fake->bus, fake_reset_done, &reset);
	reset = reset || fake_run_until(fake, fake_is_true, &reset);
	assert(reset);
	fake->inbox_count = fake->offer_count = 0;
	memset(fake->slots, 0, sizeof(fake->slots));
	memset(fake->events, 0, sizeof(fake->events));
}

void fake_free(struct fake *fake)
{
	assert(fake->connection_count == 0);
	vmbus_free(fake->bus);
	loop_free(fake->loop);
	munmap(fake->ram, fake->ram_size + HV_PAGE_SIZE);
	free(fake->written);
	free(fake->inbox);
	free(fake->offers);
	free(fake);
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
	void *memory = host_map(fake, gpa, size);

	assert(memory);
	return memory;
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
