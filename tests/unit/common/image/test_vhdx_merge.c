/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VHDX image that is brought into its parent, while power is lost at any moment: until the end, the
 * child reads as before, and so does what stands on the child; begun again, it gets to its end.
 *
 * usage: test_vhdx_merge [LOSSES [SEED]]
 */
#include "common/image/image.h"
#include "common/image/vhdx_merge.h"
#include "tests/unit/common/image/medium.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCK  (1u << 20)
#define BLOCKS 10u
#define DISK   ((uint64_t)BLOCKS * BLOCK - 3 * SECTOR)
#define TABLE  (3 * VHDX_MIB) /* where images of ours have the table of blocks */
#define IMAGES 4u             /* of a chain, at most: the base, its child, and so on */

static struct power power;
static struct medium media[IMAGES];

/* What a file has, and what is seen through it. */
struct link {
	uint8_t *bytes, *content;
	uint64_t size;
};

struct chain {
	unsigned count;
	struct link links[IMAGES];
};

static uint64_t random_state = 1;
static unsigned losses = 24; /* about so many of each kind */

static uint64_t any(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % below;
}

static int make_memory(const uint8_t *bytes, uint64_t size)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	assert_true(fd >= 0);
	if (size)
		assert_int_equal(pwrite(fd, bytes, size, 0), size);
	return fd;
}

/* ---- Making chains ---- */

static void set_entry(uint8_t *bytes, const struct vhdx *vhdx, uint64_t index, uint64_t entry)
{
	assert_int_equal(vhdx->bat_offset, TABLE);
	memcpy(bytes + TABLE + index * sizeof(entry), &entry, sizeof(entry));
}

/* Each block is of any state that a disk could have left behind. */
static void fill_image(struct link *link, const struct vhdx *vhdx, bool gives_back)
{
	uint64_t bitmap = ALIGN_UP(link->size, VHDX_MIB);

	if (vhdx->has_parent) {
		link->size = bitmap + VHDX_BITMAP_SIZE;
		set_entry(link->bytes, vhdx, vhdx_bitmap_index(vhdx, 0), bitmap | VHDX_FULLY);
		/* Of blocks that are not there bits mean nothing. */
		memset(link->bytes + bitmap, 0x5a, VHDX_BITMAP_SIZE);
	}
	for (uint64_t block = 0; block < vhdx->block_count; block++) {
		uint64_t sectors = vhdx->block_size / SECTOR, first = block * sectors;
		uint64_t start = block * vhdx->block_size,
			 size = MIN(DISK - start, (uint64_t)vhdx->block_size);
		uint64_t place = link->size;
		enum vhdx_state state[] = { VHDX_NOT_PRESENT, VHDX_FULLY,    VHDX_PARTIALLY,
					    VHDX_ZERO,        VHDX_UNMAPPED, VHDX_FULLY };
		enum vhdx_state chosen = state[any(ARRAY_SIZE(state))];

		if ((chosen == VHDX_PARTIALLY && !vhdx->has_parent) ||
		    (chosen == VHDX_UNMAPPED && !gives_back))
			chosen = VHDX_FULLY;
		if (chosen == VHDX_ZERO || chosen == VHDX_UNMAPPED)
			memset(link->content + start, 0, size);
		if (chosen != VHDX_FULLY && chosen != VHDX_PARTIALLY && chosen != VHDX_UNMAPPED) {
			set_entry(link->bytes, vhdx, vhdx_bat_index(vhdx, block), chosen);
			continue;
		}
		link->size += vhdx->block_size;
		assert_true(link->size <= MEDIUM_MAX);
		set_entry(link->bytes, vhdx, vhdx_bat_index(vhdx, block), place | chosen);
		/* What is kept of a block that was given back is not to be seen. */
		memset(link->bytes + place, 0xee, vhdx->block_size);
		for (uint64_t i = 0; chosen != VHDX_UNMAPPED && i < sectors; i++) {
			bool here = chosen == VHDX_FULLY || any(3) == 0;
			uint8_t mask = (uint8_t)(1 << i % 8), *bits = link->bytes + bitmap;

			if (chosen == VHDX_PARTIALLY)
				bits[(first + i) / 8] = (uint8_t)((bits[(first + i) / 8] & ~mask) |
								  (here ? mask : 0));
			if (!here || i * SECTOR >= size)
				continue;
			memset(link->bytes + place + i * SECTOR, (int)any(255) + 1, SECTOR);
			memcpy(link->content + start + i * SECTOR, link->bytes + place + i * SECTOR,
			       SECTOR);
		}
	}
}

/* below: NULL: none; its DataWriteGuid is that of its header. */
static void make_link(struct link *link, const struct link *below, uint32_t block_size)
{
	struct vhdx_parent parent = { .relative = ".\\parent" };
	struct vhdx_options options = { .size = DISK,
					.block_size = block_size,
					.sector_size = SECTOR,
					.physical_sector_size = 4096 };
	struct vhdx_patches patches;
	struct vhdx vhdx;
	int fd = make_memory(NULL, 0), under;
	uint64_t size;
	struct vhdx_file file = vhdx_file_of(&fd, 0);

	link->bytes = calloc(1, MEDIUM_MAX);
	link->content = calloc(1, DISK);
	if (below) {
		under = make_memory(below->bytes, below->size);
		assert_int_equal(vhdx_open_fd(under, false, &vhdx, &patches, &size), 0);
		close(under);
		parent.linkage = vhdx.header.data_write;
		options.parent = &parent;
		memcpy(link->content, below->content, DISK);
	}
	assert_int_equal(vhdx_make(&file, &options), 0);
	assert_int_equal(vhdx_open_fd(fd, false, &vhdx, &patches, &link->size), 0);
	assert_int_equal(pread(fd, link->bytes, link->size, 0), link->size);
	close(fd);
	fill_image(link, &vhdx, true);
}

static struct chain make_chain(unsigned count, uint32_t child_block)
{
	struct chain chain = { .count = count };

	for (unsigned i = 0; i < count; i++)
		make_link(&chain.links[i], i ? &chain.links[i - 1] : NULL, i ? child_block : BLOCK);
	return chain;
}

static void free_chain(struct chain *chain)
{
	for (unsigned i = 0; i < chain->count; i++) {
		free(chain->links[i].bytes);
		free(chain->links[i].content);
	}
}

static void reset_media(const struct chain *chain, unsigned left)
{
	power = (struct power){ .left = left };
	for (unsigned i = 0; i < chain->count; i++)
		medium_reset(&media[i], &power, chain->links[i].bytes, chain->links[i].size);
}

/* ---- What is seen ---- */

/* Through an image, and those below it; skipped: the number of one that is not asked. */
static void check_seen(unsigned top, unsigned skipped, const uint8_t *expected)
{
	struct image_content *content = NULL;
	uint8_t *found = malloc(DISK);
	int fds[IMAGES];

	for (unsigned i = 0; i <= top; i++) {
		fds[i] = i == skipped ? -1 : make_memory(media[i].durable, media[i].durable_size);
		if (i == skipped)
			continue;
		if (content)
			assert_int_equal(image_content_open_child(fds[i], true, content, &content),
					 0);
		else
			assert_int_equal(image_content_open(fds[i], IMAGE_VHDX, true, &content), 0);
	}
	assert_int_equal(image_content_read(content, 0, found, DISK), 0);
	assert_memory_equal(found, expected, DISK);
	image_content_free(content);
	for (unsigned i = 0; i <= top; i++)
		if (i != skipped)
			close(fds[i]);
	free(found);
}

#define NONE IMAGES

/* ---- Merging ---- */

static bool go_on(void *data, uint64_t done, uint64_t total)
{
	assert_true(done <= total);
	return true;
}

static const struct vhdx_follower follower = { go_on, NULL };

struct opened {
	struct vhdx_file file;
	struct vhdx vhdx;
};

static int open_medium(unsigned i, struct opened *opened)
{
	struct vhdx_patches patches;
	int r;

	opened->file = medium_file(&media[i]);
	r = vhdx_open(&opened->file, true, &opened->vhdx, &patches);
	if (r == 0)
		vhdx_patches_deinit(&patches);
	return r;
}

static int merge(unsigned child, const struct vhdx_follower *followed)
{
	struct opened above = { 0 }, below = { 0 };
	const struct vhdx_merge images = { &below.file, &above.file, &below.vhdx, &above.vhdx };
	int r = open_medium(child - 1, &below);

	if (r == 0)
		r = open_medium(child, &above);
	return r ? r : vhdx_merge(&images, followed);
}

/* What stands on the child stands on the child's parent. */
static int relink(unsigned grandchild)
{
	struct vhdx_parent named = { .relative = "..\\other\\parent", .absolute = "/other/parent" };
	struct opened above = { 0 }, below = { 0 };
	int r = open_medium(grandchild, &above);

	if (r == 0)
		r = open_medium(grandchild - 2, &below);
	named.linkage = below.vhdx.header.data_write;
	return r ? r : vhdx_relink(&above.file, &above.vhdx, &named);
}

static int merge_all(const struct chain *chain, unsigned child)
{
	int r = merge(child, &follower);

	return r == 0 && child + 1 < chain->count ? relink(child + 1) : r;
}

static void settle(const struct chain *chain, bool all)
{
	for (unsigned i = 0; i < chain->count; i++) {
		medium_settle(&media[i], all);
		medium_restart(&media[i]);
	}
}

static void check_end(const struct chain *chain, unsigned child)
{
	settle(chain, true);
	check_seen(child, NONE, chain->links[child].content);
	check_seen(child - 1, NONE, chain->links[child].content);
	if (child + 1 < chain->count)
		check_seen(child + 1, child, chain->links[child + 1].content);
}

/* Return: how many steps it takes. */
static unsigned merge_whole(const struct chain *chain, unsigned child)
{
	unsigned steps;

	reset_media(chain, UINT32_MAX);
	assert_int_equal(merge_all(chain, child), 0);
	steps = power.steps;
	check_end(chain, child);
	return steps;
}

static bool is_relinked(unsigned grandchild)
{
	struct opened opened;

	assert_int_equal(open_medium(grandchild, &opened), 0);
	return opened.vhdx.parent.absolute[0] != '\0';
}

static void lose_power(const struct chain *chain, unsigned child, unsigned left)
{
	bool more = child + 1 < chain->count;

	reset_media(chain, left);
	assert_int_equal(merge_all(chain, child), -EIO);
	settle(chain, false);
	power.left = UINT32_MAX;
	check_seen(child, NONE, chain->links[child].content);
	if (more)
		check_seen(child + 1, is_relinked(child + 1) ? child : NONE,
			   chain->links[child + 1].content);
	if (left % 3)
		return;
	assert_int_equal(merge_all(chain, child), 0);
	check_end(chain, child);
}

/* child: which one of `count` is brought into the one below. */
static void lose_power_at_each_step(unsigned count, unsigned child, uint32_t block)
{
	struct chain chain = make_chain(count, block);
	unsigned steps = merge_whole(&chain, child);

	assert_true(steps > 20);
	for (unsigned left = 1; left <= steps; left += 1 + (unsigned)any(2 * steps / losses))
		lose_power(&chain, child, left);
	free_chain(&chain);
}

static void test_into_the_base(void **state)
{
	lose_power_at_each_step(2, 1, BLOCK);
}

static void test_in_the_middle(void **state)
{
	lose_power_at_each_step(4, 2, BLOCK);
}

static void test_larger_blocks_on_smaller(void **state)
{
	lose_power_at_each_step(3, 1, 2 * BLOCK);
}

/* Chains by chance, merged and lost at a few steps each. */
static void test_many_chains(void **state)
{
	for (unsigned i = 0; i < losses / 4; i++) {
		struct chain chain = make_chain(3, BLOCK << i % 2);
		unsigned child = 1 + i % 2, steps = merge_whole(&chain, child);

		for (unsigned j = 0; j < 3; j++)
			lose_power(&chain, child, 1 + (unsigned)any(steps));
		free_chain(&chain);
	}
}

static bool stop_soon(void *data, uint64_t done, uint64_t total)
{
	return --*(unsigned *)data > 0;
}

static void test_it_is_stopped(void **state)
{
	struct chain chain = make_chain(2, BLOCK);

	for (unsigned steps = 1; steps < 5; steps++) {
		unsigned left = steps;
		const struct vhdx_follower stops = { stop_soon, &left };

		reset_media(&chain, UINT32_MAX);
		assert_int_equal(merge(1, &stops), -ECANCELED);
		settle(&chain, true);
		check_seen(1, NONE, chain.links[1].content);
		assert_int_equal(merge(1, &follower), 0);
		check_end(&chain, 1);
	}
	free_chain(&chain);
}

/* One more block of the image, all of which is 7. */
static void set_full(struct link *link, unsigned block)
{
	uint64_t entry = link->size | VHDX_FULLY;

	memset(link->bytes + link->size, 7, BLOCK);
	memcpy(link->bytes + TABLE + block * sizeof(entry), &entry, sizeof(entry));
	memset(link->content + (uint64_t)block * BLOCK, 7, BLOCK);
	link->size += BLOCK;
}

/* A full file system: nothing is lost, and it is measured before. */
static void test_room(void **state)
{
	struct chain chain = make_chain(2, BLOCK);
	struct opened above, below;
	const struct vhdx_merge images = { &below.file, &above.file, &below.vhdx, &above.vhdx };
	uint64_t moved, room, again;

	/* A block that the parent has not. */
	memset(chain.links[0].bytes + TABLE, 0, 8);
	set_full(&chain.links[1], 0);
	reset_media(&chain, UINT32_MAX);
	assert_int_equal(open_medium(0, &below), 0);
	assert_int_equal(open_medium(1, &above), 0);
	assert_int_equal(vhdx_merge_measure(&images, &moved, &room), 0);
	assert_true(room >= BLOCK && room <= moved && moved <= DISK);
	assert_int_equal(merge(1, &follower), 0);
	settle(&chain, true);
	assert_int_equal(open_medium(0, &below), 0);
	assert_int_equal(open_medium(1, &above), 0);
	assert_int_equal(vhdx_merge_measure(&images, &again, &room), 0);
	assert_int_equal(again, moved);
	assert_int_equal(room, 0);
	free_chain(&chain);
}

static void test_what_does_not_fit(void **state)
{
	struct chain chain = make_chain(3, BLOCK);
	struct opened above, below;
	const struct vhdx_merge images = { &below.file, &above.file, &below.vhdx, &above.vhdx };
	struct vhdx_parent nobody = { .linkage = { { 1 } } };

	reset_media(&chain, UINT32_MAX);
	assert_int_equal(open_medium(0, &below), 0);
	assert_int_equal(open_medium(2, &above), 0);
	assert_int_equal(vhdx_merge(&images, &follower), VHDX_E_PARENT);
	assert_int_equal(open_medium(1, &above), 0);
	above.vhdx.size -= SECTOR;
	assert_int_equal(vhdx_merge(&images, &follower), -ENOTSUP);
	assert_int_equal(vhdx_relink(&above.file, &above.vhdx, &nobody), -EINVAL);
	settle(&chain, true);
	check_seen(2, NONE, chain.links[2].content);
	free_chain(&chain);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_into_the_base),
		cmocka_unit_test(test_in_the_middle),
		cmocka_unit_test(test_larger_blocks_on_smaller),
		cmocka_unit_test(test_many_chains),
		cmocka_unit_test(test_it_is_stopped),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_what_does_not_fit),
	};

	if (argc > 1)
		losses = (unsigned)strtoul(argv[1], NULL, 10);
	if (argc > 2)
		random_state = strtoul(argv[2], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
