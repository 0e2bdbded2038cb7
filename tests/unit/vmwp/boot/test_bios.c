/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Generation 1's firmware: where it lies, and the files that it is told. */
#include "tests/unit/unit.h"
#include "vmwp/base/platform.h"
#include "vmwp/boot/bios.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define IMAGE_SIZE 0x40000
#define RAM_SIZE   (UINT64_C(64) << 20)

struct fixture {
	int fd;
	struct memory_layout layout;
	struct smbios_config smbios;
	struct bios_config config;
	struct vid_memory *memory;
	struct bios *bios;
	struct bios_file files[BIOS_FILES_MAX];
	size_t count;
	struct failure failure;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->fd = memfd_create("image", MFD_CLOEXEC);
	assert_true(f->fd >= 0);
	assert_int_equal(ftruncate(f->fd, IMAGE_SIZE), 0);
	assert_int_equal(pwrite(f->fd, "begin", 5, 0), 5);
	assert_int_equal(pwrite(f->fd, "reset", 5, IMAGE_SIZE - 16), 5);
	memory_layout_init(&f->layout, RAM_SIZE, 0, 40);
	assert_int_equal(vid_memory_new(&f->memory), 0);
	assert_int_equal(vid_memory_add(f->memory, f->layout.ram[0], VID_MEMORY_SMALL, false), 0);
	f->smbios = (struct smbios_config){ .sockets = 1, .cores = 1, .threads = 1 };
	f->config = (struct bios_config){
		.fd = f->fd, .layout = &f->layout, .smbios = &f->smbios, .boot_order = "/a\n/b"
	};
	*state = f;
	return 0;
}

static int setup_made(void **state)
{
	struct fixture *f;

	setup(state);
	f = *state;
	assert_int_equal(bios_new(&f->config, &f->bios, &f->failure), 0);
	f->count = bios_files(f->bios, f->files);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	bios_free(f->bios);
	vid_memory_free(f->memory);
	close(f->fd);
	free(f);
	return 0;
}

static const struct bios_file *find(const struct fixture *f, const char *name)
{
	for (size_t i = 0; i < f->count; i++)
		if (strcmp(f->files[i].name, name) == 0)
			return &f->files[i];
	fail_msg("there is no file %s", name);
	return NULL;
}

static uint64_t value_at(const void *bytes, size_t offset, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, (const uint8_t *)bytes + offset, size);
	return value;
}

static void the_image_is_at_both_places(void **state)
{
	struct fixture *f = *state;
	const struct vid_rom rom = bios_rom(f->bios);
	const uint8_t *low;

	assert_int_equal(rom.gpa.value + rom.size, 0x100000000);
	assert_memory_equal((const uint8_t *)rom.bytes + rom.size - 16, "reset", 5);
	assert_int_equal(bios_load(f->bios, f->memory), 0);
	low = vid_memory_map(f->memory, GPA(0xc0000), IMAGE_SIZE);
	assert_memory_equal(low, rom.bytes, IMAGE_SIZE);
}

/* What guests have written over it is there again. */
static void a_reset_loads_it_anew(void **state)
{
	struct fixture *f = *state;
	uint8_t *low = vid_memory_map(f->memory, GPA(0xc0000), IMAGE_SIZE);

	assert_int_equal(bios_load(f->bios, f->memory), 0);
	memset(low, 0xcc, IMAGE_SIZE);
	assert_int_equal(bios_load(f->bios, f->memory), 0);
	assert_memory_equal(low, "begin", 5);
	assert_memory_equal(low + IMAGE_SIZE - 16, "reset", 5);
}

static void another_image_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ftruncate(f->fd, IMAGE_SIZE / 2), 0);
	assert_int_equal(bios_new(&f->config, &f->bios, &f->failure), -EINVAL);
	assert_non_null(strstr(f->failure.message, "bios-256k.bin"));
}

static void an_order_without_room_is_refused(void **state)
{
	struct fixture *f = *state;
	char order[4096];

	memset(order, '/', sizeof(order));
	order[sizeof(order) - 1] = '\0';
	f->config.boot_order = order;
	assert_int_equal(bios_new(&f->config, &f->bios, &f->failure), -ENOSPC);
}

static void too_little_memory_is_told(void **state)
{
	struct fixture *f = *state;
	struct vid_memory *empty;

	assert_int_equal(vid_memory_new(&empty), 0);
	assert_int_equal(bios_load(f->bios, empty), -EINVAL);
	assert_int_equal(bios_take_rsdp(f->bios, empty), -EINVAL);
	vid_memory_free(empty);
}

/* RAM up to the tables at its end, and those. */
static void memory_is_told(void **state)
{
	struct fixture *f = *state;
	const struct bios_file *e820 = find(f, "etc/e820");
	uint64_t tables = bios_acpi_place(&f->layout).value;

	assert_int_equal(tables + LAYOUT_ACPI_SIZE, RAM_SIZE);
	assert_int_equal(e820->size, 40);
	assert_int_equal(value_at(e820->bytes, 0, 8), 0);
	assert_int_equal(value_at(e820->bytes, 8, 8), tables);
	assert_int_equal(value_at(e820->bytes, 16, 4), MEMORY_MAP_RAM);
	assert_int_equal(value_at(e820->bytes, 20, 8), tables);
	assert_int_equal(value_at(e820->bytes, 28, 8), LAYOUT_ACPI_SIZE);
	assert_int_equal(value_at(e820->bytes, 36, 4), MEMORY_MAP_RESERVED);
}

/* The RSDP alone is moved: one command, to where it is looked for. */
static void the_script_loads_the_rsdp(void **state)
{
	struct fixture *f = *state;
	const struct bios_file *script = find(f, "etc/table-loader");
	const struct bios_file *rsdp = find(f, "etc/acpi/rsdp");
	uint8_t *place = vid_memory_map(f->memory, bios_acpi_place(&f->layout), ACPI_RSDP_SIZE);

	assert_int_equal(script->size, 128);
	assert_int_equal(value_at(script->bytes, 0, 4), 1);
	assert_string_equal((const char *)script->bytes + 4, "etc/acpi/rsdp");
	assert_int_equal(value_at(script->bytes, 60, 4), 16);
	assert_int_equal(value_at(script->bytes, 64, 1), 2);
	memcpy(place, "RSD PTR ", 8);
	assert_int_equal(bios_take_rsdp(f->bios, f->memory), 0);
	assert_int_equal(rsdp->size, ACPI_RSDP_SIZE);
	assert_memory_equal(rsdp->bytes, "RSD PTR ", 8);
}

static void it_is_told_the_rest(void **state)
{
	struct fixture *f = *state;

	assert_memory_equal(find(f, "etc/smbios/smbios-anchor")->bytes, "_SM3_", 5);
	assert_true(find(f, "etc/smbios/smbios-tables")->size > 0);
	assert_int_equal(value_at(find(f, "etc/sercon-port")->bytes, 0, 2), PLATFORM_SERIAL_PORT);
	assert_int_equal(value_at(find(f, "etc/boot-fail-wait")->bytes, 0, 4), UINT32_MAX);
	assert_int_equal(find(f, "bootorder")->size, sizeof("/a\n/b"));
	assert_string_equal(find(f, "bootorder")->bytes, "/a\n/b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_image_is_at_both_places, setup_made, teardown),
		cmocka_unit_test_setup_teardown(a_reset_loads_it_anew, setup_made, teardown),
		cmocka_unit_test_setup_teardown(another_image_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(an_order_without_room_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(too_little_memory_is_told, setup_made, teardown),
		cmocka_unit_test_setup_teardown(memory_is_told, setup_made, teardown),
		cmocka_unit_test_setup_teardown(the_script_loads_the_rsdp, setup_made, teardown),
		cmocka_unit_test_setup_teardown(it_is_told_the_rest, setup_made, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
