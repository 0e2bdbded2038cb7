/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A polled virtio-blk client.
 *
 * Each slot owns a chain of three descriptors for good: header, data, status. So a request is
 * staged by filling in its data descriptor, and nothing is allocated.
 *
 * A notification is an access to a device register, the dearest thing here by far. The device says
 * when it does without: by a flag, or with VIRTIO_F_EVENT_IDX by the index of the buffer whose
 * arrival it wants to be told of. It looks at the ring once more after it has asked to be told, and
 * we look at what it asks for after we have put the index into the ring: a full barrier on both
 * sides makes sure that one of us sees the other's.
 */
#include "tests/guest/virtio_blk.h"
#include "guest-vsc/machine.h"
#include "guest-vsc/memory.h"

#define CHAIN      3u
#define QUEUE_SIZE 128u
_Static_assert(VIRTIO_BLK_SLOTS *CHAIN <= QUEUE_SIZE, "every slot has its descriptors");

/* 4.2.2: byte offsets of 32-bit registers. */
enum {
	MMIO_MAGIC = 0x000,
	MMIO_VERSION = 0x004,
	MMIO_DEVICE_ID = 0x008,
	MMIO_DEVICE_FEATURES = 0x010,
	MMIO_DEVICE_FEATURES_SELECT = 0x014,
	MMIO_DRIVER_FEATURES = 0x020,
	MMIO_DRIVER_FEATURES_SELECT = 0x024,
	MMIO_QUEUE_SELECT = 0x030,
	MMIO_QUEUE_SIZE_MAX = 0x034,
	MMIO_QUEUE_SIZE = 0x038,
	MMIO_QUEUE_READY = 0x044,
	MMIO_QUEUE_NOTIFY = 0x050,
	MMIO_STATUS = 0x070,
	MMIO_QUEUE_DESCRIPTORS = 0x080,
	MMIO_QUEUE_DRIVER = 0x090,
	MMIO_QUEUE_DEVICE = 0x0a0,
	MMIO_CONFIGURATION = 0x100,
};
#define MMIO_MAGIC_VALUE 0x74726976 /* "virt" */
#define MMIO_VERSION_1_X 2
#define DEVICE_ID_BLOCK  2

/* 2.1 */
#define STATUS_ACKNOWLEDGE 1u
#define STATUS_DRIVER      2u
#define STATUS_DRIVER_OK   4u
#define STATUS_FEATURES_OK 8u

/* 5.2.3, 6 */
#define FEATURE_READ_ONLY   (1ull << 5)
#define FEATURE_FLUSH       (1ull << 9)
#define FEATURE_EVENT_INDEX (1ull << 29)
#define FEATURE_VERSION_1   (1ull << 32)

/* 2.7.5 */
struct descriptor {
	uint64_t address;
	uint32_t size;
	uint16_t flags, next;
};
_Static_assert(sizeof(struct descriptor) == 16, "virtio 2.7.5");
#define DESCRIPTOR_NEXT         1u
#define DESCRIPTOR_DEVICE_WRITE 2u

/* 2.7.6; written by us */
struct available_ring {
	uint16_t flags, index;
	uint16_t heads[QUEUE_SIZE];
	uint16_t used_event; /* an interrupt is wanted when used->index passes this */
};
#define AVAILABLE_NO_INTERRUPT 1
#define FAR_AWAY               0x8000 /* so far ahead that the device never comes to it */

/* 2.7.8; written by the device */
struct used_ring {
	uint16_t flags, index;
	struct {
		uint32_t head, written;
	} elements[QUEUE_SIZE];
	uint16_t available_event; /* a notification is wanted when available->index passes this */
};
#define USED_NO_NOTIFY 1

/* 5.2.6 */
struct header {
	uint32_t type, reserved;
	uint64_t sector;
};
_Static_assert(sizeof(struct header) == 16, "virtio 5.2.6");
#define TYPE_IN   0
#define TYPE_OUT  1
#define STATUS_OK 0

static struct {
	struct descriptor descriptors[QUEUE_SIZE] __attribute__((aligned(4096)));
	struct available_ring available __attribute__((aligned(4096)));
	struct used_ring used __attribute__((aligned(4096)));
	struct header headers[VIRTIO_BLK_SLOTS];
	uint8_t status[VIRTIO_BLK_SLOTS];
} memory;

static uint32_t get(const struct virtio_blk *disk, unsigned offset)
{
	return disk->registers[offset / 4];
}

static void put(const struct virtio_blk *disk, unsigned offset, uint32_t value)
{
	disk->registers[offset / 4] = value;
}

static void put_address(const struct virtio_blk *disk, unsigned offset, const void *address)
{
	put(disk, offset, (uint32_t)machine_gpa(address));
	put(disk, offset + 4, (uint32_t)(machine_gpa(address) >> 32));
}

static uint64_t device_features(const struct virtio_blk *disk)
{
	uint64_t low, high;

	put(disk, MMIO_DEVICE_FEATURES_SELECT, 0);
	low = get(disk, MMIO_DEVICE_FEATURES);
	put(disk, MMIO_DEVICE_FEATURES_SELECT, 1);
	high = get(disk, MMIO_DEVICE_FEATURES);
	return high << 32 | low;
}

/* Without VIRTIO_BLK_F_FLUSH the device would have to make every write durable at once. */
static bool negotiate(struct virtio_blk *disk)
{
	uint64_t wanted =
		FEATURE_VERSION_1 | FEATURE_FLUSH | (disk->event_index ? FEATURE_EVENT_INDEX : 0);
	uint64_t offered = device_features(disk);
	uint32_t status = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK;

	if ((offered & wanted) != wanted)
		return false;
	disk->read_only = offered & FEATURE_READ_ONLY;
	wanted |= offered & FEATURE_READ_ONLY;
	put(disk, MMIO_DRIVER_FEATURES_SELECT, 0);
	put(disk, MMIO_DRIVER_FEATURES, (uint32_t)wanted);
	put(disk, MMIO_DRIVER_FEATURES_SELECT, 1);
	put(disk, MMIO_DRIVER_FEATURES, (uint32_t)(wanted >> 32));
	put(disk, MMIO_STATUS, status);
	return get(disk, MMIO_STATUS) == status;
}

static void prepare_chain(unsigned slot)
{
	struct descriptor *chain = memory.descriptors + slot * CHAIN;

	chain[0] = (struct descriptor){
		.address = machine_gpa(&memory.headers[slot]),
		.size = sizeof(struct header),
		.flags = DESCRIPTOR_NEXT,
		.next = (uint16_t)(slot * CHAIN + 1),
	};
	chain[1].next = (uint16_t)(slot * CHAIN + 2);
	chain[2] = (struct descriptor){
		.address = machine_gpa(&memory.status[slot]),
		.size = 1,
		.flags = DESCRIPTOR_DEVICE_WRITE,
	};
}

static bool start_queue(struct virtio_blk *disk)
{
	memset(&memory, 0, sizeof(memory));
	for (unsigned slot = 0; slot < VIRTIO_BLK_SLOTS; slot++)
		prepare_chain(slot);
	/* With VIRTIO_F_EVENT_IDX the flag means nothing: see virtio_blk_poll(). */
	memory.available.flags = disk->event_index ? 0 : AVAILABLE_NO_INTERRUPT;
	memory.available.used_event = FAR_AWAY;

	put(disk, MMIO_QUEUE_SELECT, 0);
	if (get(disk, MMIO_QUEUE_SIZE_MAX) < QUEUE_SIZE)
		return false;
	put(disk, MMIO_QUEUE_SIZE, QUEUE_SIZE);
	put_address(disk, MMIO_QUEUE_DESCRIPTORS, memory.descriptors);
	put_address(disk, MMIO_QUEUE_DRIVER, &memory.available);
	put_address(disk, MMIO_QUEUE_DEVICE, &memory.used);
	put(disk, MMIO_QUEUE_READY, 1);
	return true;
}

static bool find(struct virtio_blk *disk, uint64_t gpa, unsigned count, uint32_t stride)
{
	disk->registers = machine_map_device(gpa);
	for (; count; count--, disk->registers += stride / 4)
		if (get(disk, MMIO_MAGIC) == MMIO_MAGIC_VALUE &&
		    get(disk, MMIO_DEVICE_ID) == DEVICE_ID_BLOCK)
			return true;
	return false;
}

const char *virtio_blk_open(struct virtio_blk *disk, uint64_t gpa, unsigned count, uint32_t stride,
			    bool event_index)
{
	memset(disk, 0, sizeof(*disk));
	disk->event_index = event_index;
	if (!find(disk, gpa, count, stride))
		return "there is no virtio block device";
	if (get(disk, MMIO_VERSION) != MMIO_VERSION_1_X)
		return "the virtio transport is a legacy one";
	put(disk, MMIO_STATUS, 0);
	put(disk, MMIO_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	if (!negotiate(disk))
		return "the block device lacks a feature";
	if (!start_queue(disk))
		return "the block device's queue is too small";
	put(disk, MMIO_STATUS, get(disk, MMIO_STATUS) | STATUS_DRIVER_OK);
	disk->sectors = get(disk, MMIO_CONFIGURATION) | (uint64_t)get(disk, MMIO_CONFIGURATION + 4)
								<< 32;
	return NULL;
}

void virtio_blk_stage(struct virtio_blk *disk, unsigned slot, bool write, uint64_t sector,
		      void *buffer, uint32_t size)
{
	struct descriptor *data = &memory.descriptors[slot * CHAIN + 1];

	memory.headers[slot].type = write ? TYPE_OUT : TYPE_IN;
	memory.headers[slot].sector = sector;
	memory.status[slot] = (uint8_t)~STATUS_OK;
	data->address = machine_gpa(buffer);
	data->size = size;
	data->flags = (uint16_t)(DESCRIPTOR_NEXT | (write ? 0 : DESCRIPTOR_DEVICE_WRITE));
	memory.available.heads[disk->staged % QUEUE_SIZE] = (uint16_t)(slot * CHAIN);
	__atomic_store_n(&memory.available.index, ++disk->staged, __ATOMIC_RELEASE);
}

/* 2.7.10: whether one of the buffers told of is the one that the device waits for. */
static bool wants_notification(const struct virtio_blk *disk)
{
	uint16_t event;

	if (!disk->event_index)
		return !(__atomic_load_n(&memory.used.flags, __ATOMIC_RELAXED) & USED_NO_NOTIFY);
	event = __atomic_load_n(&memory.used.available_event, __ATOMIC_RELAXED);
	return (uint16_t)(disk->staged - event - 1) < (uint16_t)(disk->staged - disk->notified);
}

void virtio_blk_notify(struct virtio_blk *disk)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (wants_notification(disk)) {
		disk->notifications++;
		put(disk, MMIO_QUEUE_NOTIFY, 0);
	}
	disk->notified = disk->staged;
}

void virtio_blk_poll(struct virtio_blk *disk, void (*complete)(unsigned slot, bool succeeded))
{
	uint16_t end = __atomic_load_n(&memory.used.index, __ATOMIC_ACQUIRE);

	if (disk->used != end)
		__atomic_store_n(&memory.available.used_event, (uint16_t)(end + FAR_AWAY),
				 __ATOMIC_RELAXED);
	while (disk->used != end) {
		unsigned slot = memory.used.elements[disk->used++ % QUEUE_SIZE].head / CHAIN;

		complete(slot, memory.status[slot] == STATUS_OK);
	}
}
