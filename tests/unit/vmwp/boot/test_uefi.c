/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Generation 2's firmware: what it is told, and that the loader's script leads to all tables. */
#include "tests/unit/unit.h"
#include "vmwp/boot/uefi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define IMAGE_SIZE 3653632
#define LOADED_AT  0x7e000000ull /* where the firmware puts the file, say */

struct fixture {
	int fd;
	struct memory_layout layout;
	struct numa numa;
	uint32_t apic_ids[2];
	struct acpi_config acpi;
	struct smbios_config smbios;
	struct uefi_config config;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->fd = memfd_create("image", MFD_CLOEXEC);
	assert_true(f->fd >= 0);
	assert_int_equal(ftruncate(f->fd, IMAGE_SIZE), 0);
	assert_int_equal(pwrite(f->fd, "reset", 5, IMAGE_SIZE - 16), 5);
	memory_layout_init(&f->layout, 4ull << 30, 0, 48);
	f->apic_ids[1] = 1;
	f->acpi = (struct acpi_config){ .area = bios_acpi_place(&f->layout),
					.layout = &f->layout,
					.numa = &f->numa,
					.vp_count = 2,
					.apic_ids = f->apic_ids };
	f->smbios = (struct smbios_config){ .sockets = 2, .cores = 1, .threads = 1 };
	f->config = (struct uefi_config){ .fd = f->fd,
					  .layout = &f->layout,
					  .smbios = &f->smbios,
					  .acpi = &f->acpi,
					  .boot_order = "/a\n/b" };
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->fd);
	free(f);
	return 0;
}

static const struct bios_file *find(const struct bios_file *files, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(files[i].name, name) == 0)
			return &files[i];
	fail_msg("there is no file %s", name);
	return NULL;
}

static uint64_t value_at(const uint8_t *bytes, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, bytes, size);
	return value;
}

static void the_image_ends_at_4_gib(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct uefi *uefi;
	struct vid_rom rom;

	assert_int_equal(uefi_new(&f->config, &uefi, &failure), 0);
	rom = uefi_rom(uefi);
	assert_int_equal(rom.gpa.value + rom.size, 0x100000000);
	assert_memory_equal((const uint8_t *)rom.bytes + rom.size - 16, "reset", 5);
	uefi_forget_image(uefi);
	assert_null(uefi_rom(uefi).bytes);
	uefi_free(uefi);
}

static void another_image_is_refused(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct uefi *uefi;

	assert_int_equal(ftruncate(f->fd, IMAGE_SIZE - 4096), 0);
	assert_int_equal(uefi_new(&f->config, &uefi, &failure), -EINVAL);
	assert_non_null(strstr(failure.message, "OVMF_CODE_4M.fd"));
}

/* RAM as it is: the entry that begins at 0 is what the firmware takes for all below 4 GiB. */
static void memory_is_told_without_the_hole_below_1_mib(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct bios_file files[BIOS_FILES_MAX];
	const struct bios_file *e820;
	struct uefi *uefi;
	const uint8_t *bytes;

	assert_int_equal(uefi_new(&f->config, &uefi, &failure), 0);
	e820 = find(files, uefi_files(uefi, files), "etc/e820");
	bytes = e820->bytes;
	assert_int_equal(e820->size, 60);
	assert_int_equal(value_at(bytes, 8), 0);
	assert_int_equal(value_at(bytes + 8, 8), LAYOUT_HOLE - LAYOUT_ACPI_SIZE);
	assert_int_equal(value_at(bytes + 16, 4), MEMORY_MAP_RAM);
	assert_int_equal(value_at(bytes + 20, 8), LAYOUT_HOLE - LAYOUT_ACPI_SIZE);
	assert_int_equal(value_at(bytes + 36, 4), MEMORY_MAP_RESERVED);
	assert_int_equal(value_at(bytes + 40, 8), LAYOUT_4GIB);
	assert_int_equal(value_at(bytes + 48, 8), (4ull << 30) - LAYOUT_HOLE);
	uefi_free(uefi);
}

static uint8_t sum_of(const uint8_t *bytes, uint64_t size)
{
	uint8_t sum = 0;

	while (size-- > 0)
		sum = (uint8_t)(sum + bytes[size]);
	return sum;
}

static void add_checksum(uint8_t *copy, size_t total, const uint8_t *command)
{
	uint64_t result = value_at(command + 60, 4), start = value_at(command + 64, 4),
		 size = value_at(command + 68, 4);

	assert_true(result < total && start + size <= total);
	copy[result] = (uint8_t)-sum_of(copy + start, size);
}

/* As the firmware does: allocate, then each pointer in turn. Return: a copy with addresses in it. */
static uint8_t *run_script(const struct bios_file *script, const struct bios_file *tables,
			   unsigned found[2])
{
	uint8_t *copy = malloc(tables->size);

	assert_non_null(copy);
	memcpy(copy, tables->bytes, tables->size);
	assert_int_equal(script->size % 128, 0);
	for (const uint8_t *command = script->bytes;
	     command < (const uint8_t *)script->bytes + script->size; command += 128) {
		uint64_t offset, size, target;

		assert_string_equal((const char *)command + 4, "etc/acpi/tables");
		if (command == script->bytes) {
			assert_int_equal(value_at(command, 4), 1);
			assert_int_equal(value_at(command + 60, 4), 64);
			assert_int_equal(command[64], 1);
			continue;
		}
		if (value_at(command, 4) == 3) {
			add_checksum(copy, tables->size, command);
			continue;
		}
		assert_int_equal(value_at(command, 4), 2);
		assert_string_equal((const char *)command + 60, "etc/acpi/tables");
		offset = value_at(command + 116, 4);
		size = command[120];
		assert_true(size <= 8 && offset + size <= tables->size);
		target = value_at(copy + offset, size);
		assert_true(target + 36 <= tables->size);
		found[0] += memcmp(copy + target, "DSDT", 4) == 0 ||
			    memcmp(copy + target, "FACS", 4) == 0;
		found[1] += memcmp(copy + target, "FACP", 4) == 0 ||
			    memcmp(copy + target, "APIC", 4) == 0;
		target += LOADED_AT;
		memcpy(copy + offset, &target, size);
	}
	return copy;
}

/* The firmware takes a table for one if its sum is right. */
static void assert_tables_are_right(const uint8_t *loaded, const struct bios_file *tables)
{
	unsigned seen = 0;

	for (uint32_t at = 0; at + 36 <= tables->size; at += 4) {
		if (memcmp(loaded + at, "FACP", 4) != 0 && memcmp(loaded + at, "APIC", 4) != 0 &&
		    memcmp(loaded + at, "DSDT", 4) != 0)
			continue;
		assert_int_equal(sum_of(loaded + at, value_at(loaded + at + 4, 4)), 0);
		seen++;
	}
	assert_int_equal(seen, 3);
}

static void the_script_leads_to_all_tables(void **state)
{
	struct fixture *f = *state;
	struct failure failure = { 0 };
	struct bios_file files[BIOS_FILES_MAX];
	unsigned found[2] = { 0 };
	struct uefi *uefi;
	uint8_t *tables;
	size_t count;

	assert_int_equal(uefi_new(&f->config, &uefi, &failure), 0);
	count = uefi_files(uefi, files);
	tables = run_script(find(files, count, "etc/table-loader"),
			    find(files, count, "etc/acpi/tables"), found);
	assert_tables_are_right(tables, find(files, count, "etc/acpi/tables"));
	free(tables);
	assert_int_equal(found[0], 4); /* of the FADT, each by two pointers */
	assert_int_equal(found[1], 2); /* of the XSDT */
	assert_string_equal(find(files, count, "bootorder")->bytes, "/a\n/b");
	uefi_free(uefi);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_image_ends_at_4_gib, setup, teardown),
		cmocka_unit_test_setup_teardown(another_image_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(memory_is_told_without_the_hole_below_1_mib, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_script_leads_to_all_tables, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
