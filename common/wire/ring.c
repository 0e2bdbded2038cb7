/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMBus rings.
 *
 * Each index has one writer, so publishing is a release store and looking an acquire load. What
 * needs more is the decision not to interrupt: "I have written and you are not asleep" on one side,
 * "I go to sleep and nothing is written" on the other, each a store followed by a load of what the
 * other stores. Unless both put a full barrier between the two, both may load the old value: the
 * packet lies there and nobody comes. The same holds for free space and pending_send_size.
 */
#include "common/wire/ring.h"

/* A word of the ring, which all its contents are made of, or of a caller's buffer. */
typedef uint64_t __attribute__((may_alias)) word_t;

static uint32_t load_acquire(const uint32_t *shared)
{
	return __atomic_load_n(shared, __ATOMIC_ACQUIRE);
}

static uint32_t load_relaxed(const uint32_t *shared)
{
	return __atomic_load_n(shared, __ATOMIC_RELAXED);
}

static void store_release(uint32_t *shared, uint32_t value)
{
	__atomic_store_n(shared, value, __ATOMIC_RELEASE);
}

static void store_relaxed(uint32_t *shared, uint32_t value)
{
	__atomic_store_n(shared, value, __ATOMIC_RELAXED);
}

static void full_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Bytes from one index on to another. */
static uint32_t ring_distance(const struct ring *ring, uint32_t from, uint32_t to)
{
	return to >= from ? to - from : ring->size - from + to;
}

static uint32_t ring_advance(const struct ring *ring, uint32_t index, uint32_t bytes)
{
	uint32_t left = ring->size - index;

	return bytes < left ? index + bytes : bytes - left;
}

static bool ring_index_is_valid(const struct ring *ring, uint32_t index)
{
	return index < ring->size && IS_ALIGNED(index, 8u);
}

/* The data at an index, and how far it lies in one piece. */
static uint8_t *ring_data(const struct ring *ring, uint32_t index, uint32_t *ret_run)
{
	if (ring->flat) {
		*ret_run = ring->size - index;
		return ring->flat + index;
	}
	*ret_run = RING_PAGE_SIZE - index % RING_PAGE_SIZE;
	return ring->pages[index / RING_PAGE_SIZE] + index % RING_PAGE_SIZE;
}

/*
 * Copies are made once, word by word: the peer may write meanwhile, and neither is a word torn nor
 * does the compiler look at the shared original again after the copy was checked.
 */
static void ring_copy_out(const struct ring *ring, uint32_t index, void *buffer, uint32_t size)
{
	word_t *to = buffer;

	while (size > 0) {
		uint32_t run;
		const word_t *from = (const word_t *)ring_data(ring, index, &run);

		run = MIN(run, size);
		for (uint32_t i = 0; i < run / sizeof(*to); i++)
			to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
		to += run / sizeof(*to);
		size -= run;
		index = ring_advance(ring, index, run);
	}
}

static uint32_t ring_put_word(const struct ring *ring, uint32_t index, uint64_t word)
{
	uint32_t run;
	word_t *to = (word_t *)ring_data(ring, index, &run);

	__atomic_store_n(to, word, __ATOMIC_RELAXED);
	return ring_advance(ring, index, sizeof(word));
}

/* Copies data of any size and alignment, and zeros to the next word. Return: the index after it. */
static uint32_t ring_copy_in(const struct ring *ring, uint32_t index, const void *data,
			     uint32_t size)
{
	const uint8_t *from = data;
	uint64_t word;

	for (; size >= sizeof(word); size -= sizeof(word), from += sizeof(word)) {
		__builtin_memcpy(&word, from, sizeof(word));
		index = ring_put_word(ring, index, word);
	}
	if (size > 0) {
		word = 0;
		for (uint32_t i = 0; i < size; i++)
			word |= (uint64_t)from[i] << 8 * i;
		index = ring_put_word(ring, index, word);
	}
	return index;
}

static bool ring_pages_are_flat(uint8_t *const *pages, uint32_t count)
{
	for (uint32_t i = 1; i < count; i++)
		if (pages[i] != pages[i - 1] + RING_PAGE_SIZE)
			return false;
	return true;
}

static void ring_init(struct ring *ring, uint8_t *const *pages, uint32_t page_count)
{
	*ring = (struct ring){
		.control = (struct ring_control *)pages[0],
		.pages = pages + 1,
		.flat = ring_pages_are_flat(pages + 1, page_count - 1) ? pages[1] : NULL,
		.size = (page_count - 1) * RING_PAGE_SIZE,
	};
}

static void ring_announce(struct ring *ring)
{
	store_relaxed(&ring->control->feature_bits, RING_FEATURE_PENDING_SEND_SIZE);
}

static int ring_init_position(struct ring *ring, uint32_t own, uint32_t peer)
{
	if (!ring_index_is_valid(ring, own) || !ring_index_is_valid(ring, peer))
		return RING_E_CORRUPT;
	ring->position = ring->published = own;
	ring->peer = peer;
	return 0;
}

int ring_init_writer(struct ring *ring, uint8_t *const *pages, uint32_t page_count)
{
	ring_init(ring, pages, page_count);
	ring_announce(ring);
	ring_forget_space(ring);
	return ring_init_position(ring, load_acquire(&ring->control->write_index),
				  load_acquire(&ring->control->read_index));
}

int ring_init_reader(struct ring *ring, uint8_t *const *pages, uint32_t page_count)
{
	ring_init(ring, pages, page_count);
	ring_announce(ring);
	store_relaxed(&ring->control->interrupt_mask, 0);
	return ring_init_position(ring, load_acquire(&ring->control->read_index),
				  load_acquire(&ring->control->write_index));
}

int ring_restore_writer(struct ring *ring, uint8_t *const *pages, uint32_t page_count,
			uint32_t position)
{
	ring_init(ring, pages, page_count);
	return ring_init_position(ring, position, load_acquire(&ring->control->read_index));
}

int ring_restore_reader(struct ring *ring, uint8_t *const *pages, uint32_t page_count,
			uint32_t position)
{
	ring_init(ring, pages, page_count);
	return ring_init_position(ring, position, load_acquire(&ring->control->write_index));
}

/* Free bytes as the writer knows them. The ring never fills up: equal indices mean empty. */
static uint32_t ring_free(const struct ring *ring)
{
	return ring->size - ring_distance(ring, ring->peer, ring->position);
}

/* Acquire: what the peer did with the data up to its index happened before. */
static int ring_look_at(struct ring *ring, const uint32_t *peer_index)
{
	uint32_t peer = load_acquire(peer_index);

	if (UNLIKELY(!ring_index_is_valid(ring, peer)))
		return RING_E_CORRUPT;
	ring->peer = peer;
	return 0;
}

int ring_write(struct ring *ring, const struct ring_packet *packet)
{
	uint32_t payload_end = (uint32_t)sizeof(struct ring_descriptor) + packet->extension_size;
	uint32_t size = ring_packet_size(packet->extension_size, packet->payload_size);
	struct ring_descriptor descriptor = {
		.type = packet->type,
		.offset8 = (uint16_t)(payload_end / 8),
		.length8 = (uint16_t)((size - sizeof(struct ring_footer)) / 8),
		.flags = packet->flags,
		.transaction_id = packet->transaction_id,
	};
	struct ring_footer footer = { .start = ring->position };
	uint32_t index = ring->position;

	if (size >= ring->size || size / 8 > UINT16_MAX)
		return RING_E_TOO_BIG;
	if (ring_free(ring) <= size) {
		if (ring_look_at(ring, &ring->control->read_index))
			return RING_E_CORRUPT;
		if (ring_free(ring) <= size)
			return RING_E_FULL;
	}
	index = ring_copy_in(ring, index, &descriptor, sizeof(descriptor));
	index = ring_copy_in(ring, index, packet->extension, packet->extension_size);
	index = ring_copy_in(ring, index, packet->payload, packet->payload_size);
	ring->position = ring_copy_in(ring, index, &footer, sizeof(footer));
	return 0;
}

bool ring_publish_written(struct ring *ring)
{
	struct ring_control *control = ring->control;
	uint32_t before = ring->published;

	if (ring->position == before)
		return false;
	/* Release: the packets are written before the reader can see the index. */
	store_release(&control->write_index, ring->position);
	ring->published = ring->position;
	/*
	 * Full: the index is stored before mask and read index are loaded. The reader clears the
	 * mask, stores its read index, and then looks at ours.
	 */
	full_barrier();
	if (load_acquire(&control->interrupt_mask) != 0)
		return false;
	/* Only a reader that had read everything is asleep. */
	return load_relaxed(&control->read_index) == before;
}

bool ring_has_space(const struct ring *ring, uint32_t size)
{
	struct ring now = *ring;

	/* A broken index counts as space, so that the next write finds it out. */
	return ring_look_at(&now, &ring->control->read_index) || ring_free(&now) > size;
}

bool ring_await_space(struct ring *ring, uint32_t size)
{
	store_relaxed(&ring->control->pending_send_size, size);
	/*
	 * Full: the request is stored before the read index is loaded. The reader stores its index,
	 * and then looks for the request.
	 */
	full_barrier();
	if (!ring_has_space(ring, size))
		return false;
	ring_forget_space(ring);
	return true;
}

void ring_forget_space(struct ring *ring)
{
	store_relaxed(&ring->control->pending_send_size, 0);
}

/*
 * The descriptor is private already; nothing of it that the peer can still change is used. It may
 * have been read from beyond the peer's index, and is too long then.
 */
static int ring_check_descriptor(const struct ring *ring, const struct ring_descriptor *descriptor)
{
	uint32_t available = ring_distance(ring, ring->position, ring->peer);
	uint32_t offset = descriptor->offset8 * 8u, length = descriptor->length8 * 8u;

	if (offset < sizeof(*descriptor) || offset > length ||
	    length + sizeof(struct ring_footer) > available)
		return RING_E_CORRUPT;
	return 0;
}

int ring_read(struct ring *ring, void *buffer, uint32_t buffer_size, struct ring_packet *ret_packet)
{
	struct ring_descriptor descriptor;
	uint32_t offset, length;
	uint8_t *body = buffer;

	if (ring->position == ring->peer) {
		if (ring_look_at(ring, &ring->control->write_index))
			return RING_E_CORRUPT;
		if (ring->position == ring->peer)
			return RING_E_EMPTY;
	}
	ring_copy_out(ring, ring->position, &descriptor, sizeof(descriptor));
	if (ring_check_descriptor(ring, &descriptor))
		return RING_E_CORRUPT;

	offset = descriptor.offset8 * 8u - (uint32_t)sizeof(descriptor);
	length = descriptor.length8 * 8u - (uint32_t)sizeof(descriptor);
	if (length > buffer_size)
		return RING_E_TOO_BIG;
	ring_copy_out(ring, ring_advance(ring, ring->position, sizeof(descriptor)), body, length);
	ring->position =
		ring_advance(ring, ring->position,
			     descriptor.length8 * 8u + (uint32_t)sizeof(struct ring_footer));
	*ret_packet = (struct ring_packet){
		.type = descriptor.type,
		.flags = descriptor.flags,
		.transaction_id = descriptor.transaction_id,
		.extension = body,
		.extension_size = offset,
		.payload = body + offset,
		.payload_size = length - offset,
	};
	return 0;
}

bool ring_publish_read(struct ring *ring)
{
	struct ring_control *control = ring->control;
	uint32_t freed = ring_distance(ring, ring->published, ring->position);
	uint32_t pending, free_now;

	if (freed == 0)
		return false;
	/* Release: the packets are copied out before the writer can overwrite them. */
	store_release(&control->read_index, ring->position);
	ring->published = ring->position;
	/*
	 * Full: the index is stored before the request is loaded. A writer in want of space stores
	 * its request, and then looks at our index.
	 */
	full_barrier();
	pending = load_acquire(&control->pending_send_size);
	if (pending == 0 ||
	    !(load_relaxed(&control->feature_bits) & RING_FEATURE_PENDING_SEND_SIZE))
		return false;
	/* Acquire above: the write index is no older than the request. */
	free_now = ring->size -
		   ring_distance(ring, ring->position, load_relaxed(&control->write_index));
	/* Once, when the free space grows beyond the request; not before, and not again. */
	return free_now > pending && free_now - freed <= pending;
}

void ring_mask(struct ring *ring)
{
	/* Nothing depends on when the writer sees it: at worst it interrupts once more. */
	store_relaxed(&ring->control->interrupt_mask, 1);
}

bool ring_unmask(struct ring *ring)
{
	store_relaxed(&ring->control->interrupt_mask, 0);
	/*
	 * Full: the mask is cleared before the write index is loaded. The writer stores its index,
	 * and then looks at the mask.
	 */
	full_barrier();
	return ring_has_packets(ring);
}

bool ring_has_packets(const struct ring *ring)
{
	return load_acquire(&ring->control->write_index) != ring->position;
}
