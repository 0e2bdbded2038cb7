/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The flash of a UEFI, which its guest writes, and the file that keeps it, which its worker does: whatever
 * is there, nothing beyond it is read, texts are texts, and a variable that is set is found.
 *
 * Input: a byte of flags, and what is at the beginning of the flash, or behind the heads of an empty one;
 * or of the file.
 */
#include "common/firmware/boot_entries.h"
#include "tests/unit/common/firmware/flash_image.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FLAG_HEADS = 1, FLAG_FILE = 2, FLAG_SEALED = 4 };

static uint8_t flash[VARIABLES_SIZE];
static struct variables_copy copy;

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void check_text(const char *text, size_t size)
{
	require(strnlen(text, size) < size);
	for (; *text; text++)
		require(*text >= ' ' && *text <= '~');
}

static void look(void)
{
	static struct boot_option entries[BOOT_ENTRIES_MAX];
	struct variable_store store;
	struct variable variable;
	size_t count;

	if (variable_store_open(flash, &store))
		while (variable_store_next(&store, &variable)) {
			check_text(variable.name, sizeof(variable.name));
			require(variable.data >= flash &&
				variable.size <= (size_t)(flash + VARIABLES_SIZE - variable.data));
		}
	count = boot_entries_read(flash, entries);
	for (size_t i = 0; i < count; i++) {
		check_text(entries[i].description, sizeof(entries[i].description));
		check_text(entries[i].path, sizeof(entries[i].path));
	}
}

static void change(void)
{
	static const struct guid global = VARIABLE_GLOBAL_GUID;
	struct variable variable;

	if (!variable_store_set(flash, &global, "Fuzz", VARIABLE_NON_VOLATILE, "value", 5))
		return;
	require(variable_store_find(flash, &global, "Fuzz", &variable));
	require(variable.size == 5 && memcmp(variable.data, "value", 5) == 0);
}

static void read_file(const uint8_t *bytes, size_t size, bool sealed)
{
	int fd = memfd_create("variables", MFD_CLOEXEC), r;
	uint64_t sequence = 0;

	require(fd >= 0);
	memset(&copy, 0, sizeof(copy));
	memcpy(&copy, bytes, MIN(size, sizeof(copy)));
	if (sealed) {
		variables_copy_seal(&copy, 1 + size);
		require(pwrite(fd, &copy, sizeof(copy), (off_t)variables_copy_place(1 + size)) ==
			(ssize_t)sizeof(copy));
	} else {
		require(pwrite(fd, bytes, size, 0) == (ssize_t)size);
	}
	r = variables_file_read(fd, &copy, flash, &sequence);
	require(r >= 0 && (r == VARIABLES_FILE_WHOLE) == (sequence > 0));
	require(!sealed || r == VARIABLES_FILE_WHOLE);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t flags = size > 0 ? data[0] : 0;
	size_t at = flags & FLAG_HEADS ? FLASH_FIRST : 0;

	if (size == 0)
		return 0;
	flash_image_make(flash);
	if (flags & FLAG_FILE)
		read_file(data + 1, size - 1, flags & FLAG_SEALED);
	else
		memcpy(flash + at, data + 1, MIN(size - 1, VARIABLES_SIZE - at));
	look();
	change();
	look();
	return 0;
}
