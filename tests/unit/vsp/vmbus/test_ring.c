/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rings: both ends against each other, what either signals, and peers that lie. */
#include "common/wire/ring.h"
#include "tests/unit/unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_MAX 8

/* A ring in memory, with both its ends. pages may be scattered. */
struct fixture {
	uint8_t *memory;
	uint8_t *pages[PAGE_MAX];
	uint32_t page_count;
	struct ring writer, reader;
	uint64_t buffer[PAGE_MAX * RING_PAGE_SIZE / 8];
};

static void fixture_init(struct fixture *f, uint32_t page_count, bool scattered)
{
	memset(f->memory, 0, 2 * PAGE_MAX * RING_PAGE_SIZE);
	f->page_count = page_count;
	for (uint32_t i = 0; i < page_count; i++) {
		uint32_t place = scattered ? 2 * (page_count - 1 - i) : i;

		f->pages[i] = f->memory + place * RING_PAGE_SIZE;
	}
	assert_int_equal(ring_init_writer(&f->writer, f->pages, page_count), 0);
	assert_int_equal(ring_init_reader(&f->reader, f->pages, page_count), 0);
	assert_int_equal(f->reader.flat == NULL, scattered && page_count > 2);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->memory = aligned_alloc(RING_PAGE_SIZE, 2 * PAGE_MAX * RING_PAGE_SIZE);
	assert_non_null(f->memory);
	fixture_init(f, 3, false);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->memory);
	free(f);
	return 0;
}

static int write_payload(struct fixture *f, uint64_t id, const void *payload, uint32_t size)
{
	struct ring_packet packet = {
		.type = RING_PACKET_INBAND,
		.transaction_id = id,
		.payload = payload,
		.payload_size = size,
	};

	return ring_write(&f->writer, &packet);
}

static int read_packet(struct fixture *f, struct ring_packet *packet)
{
	return ring_read(&f->reader, f->buffer, sizeof(f->buffer), packet);
}

static struct ring_control *control(struct fixture *f)
{
	return (struct ring_control *)f->pages[0];
}

/* ---- Packets ---- */

static void test_layout(void **state)
{
	struct fixture *f = *state;
	static const uint8_t expected[] = {
		0x0b, 0,   3,   0,   4,   0,   1,   0, /* type, offset8, length8, flags */
		0x88, 7,   6,   5,   4,   3,   2,   1, /* transaction */
		'e',  'x', 't', 'e', 'n', 's', 'i', 'o',  'p', 'a', 'y', 0, 0,
		0,    0,   0,   0,   0,   0,   0,   0x20, 0,   0,   0, /* footer: begins at 0x20 */
	};
	struct ring_packet packet = {
		.type = RING_PACKET_COMPLETION,
		.flags = RING_FLAG_COMPLETION_REQUESTED,
		.transaction_id = 0x0102030405060788,
		.extension = "extensio",
		.extension_size = 8,
		.payload = "pay",
		.payload_size = 3,
	};

	memset(f->pages[1], 0xff, RING_PAGE_SIZE);
	assert_int_equal(write_payload(f, 0, "12345678", 8), 0);
	assert_int_equal(ring_write(&f->writer, &packet), 0);
	assert_memory_equal(f->pages[1] + 0x20, expected, sizeof(expected));
	assert_int_equal(f->pages[1][0x20 + sizeof(expected)], 0xff);
	assert_int_equal(control(f)->write_index, 0);
	assert_true(ring_publish_written(&f->writer));
	assert_int_equal(control(f)->write_index, 0x20 + sizeof(expected));
}

/* All sizes, at all places where a packet may wrap, in one piece and scattered. */
static void test_round_trip(void **state)
{
	struct fixture *f = *state;
	static uint8_t payload[5000];

	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7 + 1);
	for (unsigned variant = 0; variant < 6; variant++) {
		fixture_init(f, 2 + variant / 2 * 2, variant % 2);
		for (uint64_t id = 0; id < 5000; id++) {
			uint32_t extension = id * 8 % 264, size = id * 131 % 3000;
			struct ring_packet packet = {
				.type = RING_PACKET_GPA_DIRECT,
				.transaction_id = id,
				.extension = payload,
				.extension_size = extension,
				.payload = payload + id % 1000,
				.payload_size = size,
			};

			assert_int_equal(ring_write(&f->writer, &packet), 0);
			assert_true(ring_publish_written(&f->writer));
			assert_int_equal(read_packet(f, &packet), 0);
			assert_int_equal(packet.type, RING_PACKET_GPA_DIRECT);
			assert_int_equal(packet.flags, 0);
			assert_int_equal(packet.transaction_id, id);
			assert_int_equal(packet.extension_size, extension);
			assert_memory_equal(packet.extension, payload, extension);
			assert_int_equal(packet.payload_size, ALIGN_UP(size, 8u));
			assert_memory_equal(packet.payload, payload + id % 1000, size);
			for (uint32_t i = size; i < packet.payload_size; i++)
				assert_int_equal(((const uint8_t *)packet.payload)[i], 0);
			assert_int_equal(read_packet(f, &packet), RING_E_EMPTY);
			assert_false(ring_publish_read(&f->reader));
		}
	}
}

/* A full ring never looks empty. */
static void test_never_fills_up(void **state)
{
	struct fixture *f = *state;
	struct ring_packet packet;

	for (uint32_t size = 0; size < 600; size += 8) {
		uint32_t written = 0, count = 0;

		while (write_payload(f, count, f->buffer, size) == 0)
			count++;
		written = count * ring_packet_size(0, size);
		assert_true(written < f->writer.size);
		assert_true(written + ring_packet_size(0, size) >= f->writer.size);
		(void)!ring_publish_written(&f->writer);
		assert_int_not_equal(control(f)->write_index, control(f)->read_index);
		for (uint32_t i = 0; i < count; i++)
			assert_int_equal(read_packet(f, &packet), 0);
		assert_int_equal(read_packet(f, &packet), RING_E_EMPTY);
		(void)!ring_publish_read(&f->reader);
	}
}

static void test_too_big(void **state)
{
	struct fixture *f = *state;
	static uint8_t payload[600 * 1024];
	struct ring_packet packet;
	uint32_t most = f->writer.size - ring_packet_size(0, 0) - 8;

	assert_int_equal(write_payload(f, 0, payload, most + 1), RING_E_TOO_BIG);
	assert_int_equal(write_payload(f, 0, payload, sizeof(payload)), RING_E_TOO_BIG);
	assert_int_equal(write_payload(f, 0, payload, most), 0);
	assert_true(ring_publish_written(&f->writer));
	assert_int_equal(ring_read(&f->reader, f->buffer, most - 8, &packet), RING_E_TOO_BIG);
	/* Nothing was consumed. */
	assert_int_equal(ring_read(&f->reader, f->buffer, most, &packet), 0);
	assert_int_equal(packet.payload_size, most);
}

static void test_staged_is_not_seen(void **state)
{
	struct fixture *f = *state;
	struct ring_packet packet;

	assert_int_equal(write_payload(f, 1, "a", 1), 0);
	assert_int_equal(read_packet(f, &packet), RING_E_EMPTY);
	assert_false(ring_has_packets(&f->reader));
	assert_true(ring_publish_written(&f->writer));
	assert_true(ring_has_packets(&f->reader));
	assert_int_equal(read_packet(f, &packet), 0);
	assert_int_equal(control(f)->read_index, 0);
	(void)!ring_publish_read(&f->reader);
	assert_int_equal(control(f)->read_index, ring_packet_size(0, 1));
}

/* ---- Signals ---- */

static bool write_and_publish(struct fixture *f)
{
	assert_int_equal(write_payload(f, 1, "signal", 6), 0);
	return ring_publish_written(&f->writer);
}

/* Only the step from empty to not empty is worth an interrupt, and only if it is wanted. */
static void test_signal_when_not_empty(void **state)
{
	struct fixture *f = *state;
	struct ring_packet packet;

	assert_false(ring_publish_written(&f->writer));
	assert_true(write_and_publish(f));
	assert_false(write_and_publish(f));
	assert_int_equal(read_packet(f, &packet), 0);
	assert_false(ring_publish_read(&f->reader));
	assert_false(write_and_publish(f));
	assert_int_equal(read_packet(f, &packet), 0);
	assert_int_equal(read_packet(f, &packet), 0);
	assert_int_equal(read_packet(f, &packet), RING_E_EMPTY);
	assert_false(ring_publish_read(&f->reader));
	assert_true(write_and_publish(f));
}

static void test_mask(void **state)
{
	struct fixture *f = *state;
	struct ring_packet packet;

	ring_mask(&f->reader);
	assert_int_equal(control(f)->interrupt_mask, 1);
	assert_false(write_and_publish(f));
	assert_int_equal(read_packet(f, &packet), 0);
	assert_false(ring_publish_read(&f->reader));
	assert_false(ring_unmask(&f->reader));
	assert_int_equal(control(f)->interrupt_mask, 0);
	assert_true(write_and_publish(f));

	/* What came before the mask was cleared is told by clearing it. */
	ring_mask(&f->reader);
	assert_int_equal(read_packet(f, &packet), 0);
	assert_int_equal(read_packet(f, &packet), RING_E_EMPTY);
	assert_false(ring_publish_read(&f->reader));
	assert_false(write_and_publish(f));
	assert_true(ring_unmask(&f->reader));
}

static unsigned fill(struct fixture *f, uint32_t size)
{
	unsigned count = 0;

	while (write_payload(f, count, f->buffer, size) == 0)
		count++;
	(void)!ring_publish_written(&f->writer);
	return count;
}

/* The writer is told once, when there is room for what it has. */
static void test_pending_send_size(void **state)
{
	struct fixture *f = *state;
	uint32_t small = ring_packet_size(0, 104), big = ring_packet_size(0, 400);
	unsigned count = fill(f, 104), signals = 0;
	struct ring_packet packet;

	/* A multiple of what is read in one step: just as much as is wanted is not enough. */
	big = f->writer.size - count * small + 4 * small;
	assert_false(ring_await_space(&f->writer, big));
	assert_int_equal(control(f)->pending_send_size, big);
	for (unsigned i = 0; i < count; i++) {
		uint32_t free_before = f->writer.size - (count - i) * small;

		assert_int_equal(read_packet(f, &packet), 0);
		if (ring_publish_read(&f->reader)) {
			signals++;
			assert_true(free_before <= big && free_before + small > big);
			assert_true(ring_has_space(&f->writer, big));
		} else {
			assert_false(free_before <= big && free_before + small > big);
		}
	}
	assert_int_equal(signals, 1);
	assert_int_equal(write_payload(f, 1, f->buffer, 400), 0);
}

static void test_pending_send_size_in_one_step(void **state)
{
	struct fixture *f = *state;
	unsigned count = fill(f, 100);
	struct ring_packet packet;

	assert_false(ring_await_space(&f->writer, ring_packet_size(0, 3000)));
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(read_packet(f, &packet), 0);
	assert_true(ring_publish_read(&f->reader));
	ring_forget_space(&f->writer);
	assert_int_equal(control(f)->pending_send_size, 0);
	/* No request, no signal. */
	fill(f, 100);
	assert_int_equal(read_packet(f, &packet), 0);
	assert_false(ring_publish_read(&f->reader));
}

static void test_await_finds_space(void **state)
{
	struct fixture *f = *state;
	unsigned count = fill(f, 100);
	struct ring_packet packet;

	for (unsigned i = 0; i < count; i++)
		assert_int_equal(read_packet(f, &packet), 0);
	(void)!ring_publish_read(&f->reader);
	assert_true(ring_await_space(&f->writer, 3000));
	assert_int_equal(control(f)->pending_send_size, 0);
}

/* Without the feature bit the peer polls, and is not to be interrupted. */
static void test_no_feature_no_signal(void **state)
{
	struct fixture *f = *state;
	unsigned count = fill(f, 100);
	struct ring_packet packet;

	assert_int_equal(control(f)->feature_bits, RING_FEATURE_PENDING_SEND_SIZE);
	control(f)->feature_bits = 0;
	assert_false(ring_await_space(&f->writer, 3000));
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(read_packet(f, &packet), 0);
	assert_false(ring_publish_read(&f->reader));
}

/* ---- Peers that lie ---- */

static void test_bad_indices_at_init(void **state)
{
	struct fixture *f = *state;
	static const uint32_t bad[] = { 4, 8191, 8192, 8196, UINT32_MAX, 0x80000000 };
	struct ring ring;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		control(f)->read_index = bad[i];
		assert_int_equal(ring_init_reader(&ring, f->pages, 3), RING_E_CORRUPT);
		assert_int_equal(ring_init_writer(&ring, f->pages, 3), RING_E_CORRUPT);
		control(f)->read_index = 0;
		control(f)->write_index = bad[i];
		assert_int_equal(ring_init_reader(&ring, f->pages, 3), RING_E_CORRUPT);
		assert_int_equal(ring_init_writer(&ring, f->pages, 3), RING_E_CORRUPT);
		control(f)->write_index = 0;
	}
}

static void test_bad_write_index(void **state)
{
	struct fixture *f = *state;
	struct ring_packet packet;
	/* Not an index; within a packet; a descriptor cut short. */
	static const uint32_t bad[] = { 4, 8192, UINT32_MAX, 8, 24 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		fixture_init(f, 3, true);
		assert_int_equal(write_payload(f, 1, "12345678", 8), 0);
		control(f)->write_index = bad[i];
		assert_int_equal(read_packet(f, &packet), RING_E_CORRUPT);
		assert_int_equal(f->reader.position, 0);
	}
}

static void test_bad_read_index(void **state)
{
	struct fixture *f = *state;
	static const uint32_t bad[] = { 4, 8192, UINT32_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		fixture_init(f, 3, false);
		fill(f, 100);
		control(f)->read_index = bad[i];
		assert_int_equal(write_payload(f, 1, f->buffer, 100), RING_E_CORRUPT);
		assert_true(ring_has_space(&f->writer, 8));
	}
}

static void test_bad_descriptors(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint16_t offset8, length8;
	} bad[] = {
		{ 0, 3 }, { 1, 3 },                    /* payload within the descriptor */
		{ 4, 3 },                              /* beyond the packet */
		{ 2, 1 }, { 2, 0 },          { 0, 0 }, /* packet within the descriptor */
		{ 2, 4 },                              /* no room for the footer */
		{ 2, 5 }, { 2, UINT16_MAX }, { UINT16_MAX, UINT16_MAX },
	};
	struct ring_packet packet;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct ring_descriptor *descriptor = (struct ring_descriptor *)f->pages[1];

		fixture_init(f, 3, false);
		assert_true(write_and_publish(f));
		descriptor->offset8 = bad[i].offset8;
		descriptor->length8 = bad[i].length8;
		assert_int_equal(read_packet(f, &packet), RING_E_CORRUPT);
	}
}

/* ---- Two threads ---- */

/*
 * Each side sleeps as drivers do: the reader after unmasking an empty ring, the writer after asking
 * for space; and is woken only by what the other's publishing returns. A wake-up that gets lost
 * leaves both asleep, and the test does not end. Sleeping is spinning here: a system call orders
 * memory, and would hide a barrier that is missing.
 */
#define STRESS_PACKETS 2000000

struct stress {
	struct fixture *f;
	atomic_uint reader_signals, writer_signals;
	unsigned reader_seen, writer_seen;
	uint64_t sleeps;
};

static void stress_sleep(atomic_uint *signals, unsigned *seen)
{
	for (unsigned spins = 0; atomic_load(signals) == *seen; spins++)
		if (spins > 1000)
			sched_yield();
	++*seen;
}

static void stress_publish(struct stress *stress)
{
	if (ring_publish_written(&stress->f->writer))
		atomic_fetch_add(&stress->reader_signals, 1);
}

/* Of different lengths, so that the two sides meet at every step that they make. */
static void stress_pause(uint64_t id)
{
	for (volatile unsigned i = 0; i < id * 7 % 61; i++)
		;
}

static void *stress_writer(void *data)
{
	struct stress *stress = data;
	struct fixture *f = stress->f;
	uint8_t payload[256];

	for (uint64_t id = 0; id < STRESS_PACKETS; id++) {
		uint32_t size = (uint32_t)(id * 53 % sizeof(payload));

		memset(payload, (int)id, sizeof(payload));
		while (write_payload(f, id, payload, size)) {
			stress_publish(stress);
			if (ring_await_space(&f->writer, ring_packet_size(0, size)))
				continue;
			stress_sleep(&stress->writer_signals, &stress->writer_seen);
			ring_forget_space(&f->writer);
		}
		/* For a while in batches, and for a while each packet for itself. */
		if (id % 3 == 0 || id / 1000 % 4 != 0 || id == STRESS_PACKETS - 1)
			stress_publish(stress);
		stress_pause(id);
	}
	return NULL;
}

static void stress_read(struct stress *stress)
{
	struct fixture *f = stress->f;
	struct ring_packet packet;

	for (uint64_t id = 0; id < STRESS_PACKETS;) {
		int r = read_packet(f, &packet);

		if (r == RING_E_EMPTY) {
			if (ring_publish_read(&f->reader))
				atomic_fetch_add(&stress->writer_signals, 1);
			if (!ring_unmask(&f->reader)) {
				stress->sleeps++;
				stress_sleep(&stress->reader_signals, &stress->reader_seen);
			}
			ring_mask(&f->reader);
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(packet.transaction_id, id);
		assert_int_equal(packet.payload_size, ALIGN_UP(id * 53 % 256, 8u));
		if (id * 53 % 256 > 0)
			assert_int_equal(*(const uint8_t *)packet.payload, (uint8_t)id);
		if (++id % 5 == 0 && ring_publish_read(&f->reader))
			atomic_fetch_add(&stress->writer_signals, 1);
	}
}

static void test_two_threads(void **state)
{
	struct stress stress = { .f = *state };
	pthread_t writer;

	fixture_init(stress.f, 2, true);
	assert_int_equal(pthread_create(&writer, NULL, stress_writer, &stress), 0);
	stress_read(&stress);
	pthread_join(writer, NULL);
	assert_true(stress.sleeps > 0);
}

/*
 * A peer that rewrites descriptors while they are read. Whatever the reader believes, it believes
 * of its copy: a packet's parts lie within the buffer (which is of the exact size, for the
 * sanitizer).
 */
struct liar {
	struct fixture *f;
	volatile bool stop;
};

static void *liar_run(void *data)
{
	struct liar *liar = data;
	volatile struct ring_descriptor *descriptor =
		(volatile struct ring_descriptor *)liar->f->pages[1];

	for (uint16_t i = 0; !liar->stop; i++) {
		descriptor->length8 = i % 300;
		descriptor->offset8 = i % 7 ? 2 : i % 1000;
	}
	return NULL;
}

static void test_descriptor_changes_while_read(void **state)
{
	struct fixture *f = *state;
	struct liar liar = { .f = f };
	uint32_t size = 1024;
	uint8_t *buffer = aligned_alloc(8, size);
	unsigned good = 0;
	pthread_t thread;

	assert_int_equal(write_payload(f, 1, f->buffer, 2000), 0);
	assert_true(ring_publish_written(&f->writer));
	assert_int_equal(pthread_create(&thread, NULL, liar_run, &liar), 0);
	while (good < 100000) {
		struct ring_packet packet;
		const uint8_t *payload;

		if (ring_read(&f->reader, buffer, size, &packet)) {
			sched_yield();
			continue;
		}
		good++;
		payload = packet.payload;
		assert_true(payload >= buffer && packet.payload_size <= size &&
			    payload + packet.payload_size <= buffer + size);
		assert_ptr_equal(packet.extension, buffer);
		assert_ptr_equal(payload, buffer + packet.extension_size);
		f->reader.position = 0;
	}
	liar.stop = true;
	pthread_join(thread, NULL);
	free(buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_layout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never_fills_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_big, setup, teardown),
		cmocka_unit_test_setup_teardown(test_staged_is_not_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signal_when_not_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mask, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pending_send_size, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pending_send_size_in_one_step, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_await_finds_space, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_feature_no_signal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_indices_at_init, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_write_index, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_read_index, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_threads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptor_changes_while_read, setup,
						teardown),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
