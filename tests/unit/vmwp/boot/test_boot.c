/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Direct boot: what is loaded where, and images that lie about themselves. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "tests/unit/vmwp/boot/kernel_image.h"
#include "vmwp/boot/boot.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB      (1u << 20)
#define RAM_SIZE (64 * MIB)

struct fixture {
	struct vid_memory *memory;
	struct memory_layout layout;
	struct kernel_image image;
	struct failure failure;
	struct boot_entry entry;
	const char *command_line;
	size_t initrd_size; /* 0: none */
	gpa_t rsdp;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	memory_layout_init(&fixture->layout, RAM_SIZE, 0, 40);
	assert_int_equal(vid_memory_new(&fixture->memory), 0);
	assert_int_equal(
		vid_memory_add(fixture->memory, fixture->layout.ram[0], VID_MEMORY_SMALL, false),
		0);
	fixture->command_line = "console=ttyS0 quiet";
	fixture->rsdp = GPA(0xe0000);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	vid_memory_free(fixture->memory);
	free(fixture);
	return 0;
}

static int make_initrd(size_t size)
{
	AUTO_FREE uint8_t *bytes = malloc(size);
	int fd = memfd_create("initrd", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_non_null(bytes);
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 7);
	assert_int_equal(write(fd, bytes, size), (ssize_t)size);
	return fd;
}

static int load(struct fixture *fixture)
{
	AUTO_CLOSE int kernel = kernel_image_file(&fixture->image);
	AUTO_CLOSE int initrd = fixture->initrd_size ? make_initrd(fixture->initrd_size) : -1;
	const struct boot_config config = {
		.memory = fixture->memory,
		.layout = &fixture->layout,
		.kernel_fd = kernel,
		.initrd_fd = initrd,
		.command_line = fixture->command_line,
		.rsdp = fixture->rsdp,
	};

	fixture->failure = (struct failure){ 0 };
	return boot_load(&config, &fixture->entry, &fixture->failure);
}

static void expect_refused(struct fixture *fixture, const char *words)
{
	assert_int_equal(load(fixture), -EINVAL);
	if (!strstr(fixture->failure.message, words))
		fail_msg("\"%s\" does not say \"%s\"", fixture->failure.message, words);
}

static uint64_t peek(struct fixture *fixture, uint64_t gpa, size_t size)
{
	uint64_t value = 0;
	const void *at = vid_memory_map(fixture->memory, GPA(gpa), size);

	assert_non_null(at);
	memcpy(&value, at, size);
	return value;
}

/* ---- bzImage ---- */

static void bzimage_is_loaded(void **state)
{
	struct fixture *fixture = *state;
	const uint64_t params = LAYOUT_BOOT_PARAMS;

	kernel_image_bzimage(&fixture->image);
	assert_int_equal(load(fixture), 0);
	assert_true(fixture->entry.long_mode);
	assert_int_equal(fixture->entry.rip, 0x1000200);
	assert_int_equal(fixture->entry.rsi, params);
	assert_int_equal(peek(fixture, 0x1000000, 1), 0xf4);
	assert_int_equal(peek(fixture, params + 0x70, 8), 0xe0000); /* acpi_rsdp_addr */
	assert_int_equal(peek(fixture, params + 0x1fe, 2), 0xaa55);
	assert_int_equal(peek(fixture, params + 0x210, 1), 0xff); /* type_of_loader */
	assert_int_equal(peek(fixture, params + 0x214, 4), 0x1000000);
	assert_int_equal(peek(fixture, params + 0x218, 8), 0); /* no ramdisk */
	assert_string_equal(
		vid_memory_map(fixture->memory, GPA(peek(fixture, params + 0x228, 4)), 64),
		"console=ttyS0 quiet");
}

static void bzimage_tells_its_release(void **state)
{
	static const struct {
		const char *text;
		uint64_t offset;
		uint32_t release;
	} cases[] = {
		{ "6.1.0-32-amd64 (debian-kernel@lists.debian.org) #1 SMP", 0x400,
		  BOOT_LINUX(6, 1) },
		{ "4.19.0-27-amd64", 0x400, BOOT_LINUX(4, 19) },
		{ "10.0", 0x400, BOOT_LINUX(10, 0) },
		{ "next-20240101 (x@y)", 0x400, 0 },
		{ "6.1.0-32-amd64", 0, 0 },     /* none, says the header */
		{ "6.1.0-32-amd64", 0x7f8, 0 }, /* would end beyond the setup part */
		{ "6.1.0-32-amd64", 0xffff, 0 },
		{ "6.", 0x400, 0 },
		{ "-6.-1", 0x400, 0 },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		kernel_image_bzimage(&fixture->image);
		kernel_image_set(&fixture->image, 0x20e, cases[i].offset, 2);
		memcpy(fixture->image.bytes + 0x600, cases[i].text, strlen(cases[i].text) + 1);
		assert_int_equal(load(fixture), 0);
		assert_int_equal(fixture->entry.linux_release, cases[i].release);
	}
}

static void bzimage_gets_the_memory_map(void **state)
{
	struct fixture *fixture = *state;
	const uint64_t table = LAYOUT_BOOT_PARAMS + 0x2d0;

	kernel_image_bzimage(&fixture->image);
	assert_int_equal(load(fixture), 0);
	assert_int_equal(peek(fixture, LAYOUT_BOOT_PARAMS + 0x1e8, 1), 3);
	assert_int_equal(peek(fixture, table, 8), 0);
	assert_int_equal(peek(fixture, table + 8, 8), 0x9fc00);
	assert_int_equal(peek(fixture, table + 16, 4), 1);
	assert_int_equal(peek(fixture, table + 20 + 16, 4), 2);
	assert_int_equal(peek(fixture, table + 40, 8), 0x100000);
	assert_int_equal(peek(fixture, table + 48, 8), RAM_SIZE - 0x100000);
}

static void bzimage_of_32_bits(void **state)
{
	struct fixture *fixture = *state;

	kernel_image_bzimage(&fixture->image);
	kernel_image_set(&fixture->image, 0x236, 0, 2);
	assert_int_equal(load(fixture), 0);
	assert_false(fixture->entry.long_mode);
	assert_int_equal(fixture->entry.rip, 0x1000000);
}

static void bzimage_goes_lower_where_memory_is_short(void **state)
{
	struct fixture *fixture = *state;

	kernel_image_bzimage(&fixture->image);
	kernel_image_set(&fixture->image, 0x260, 56 * MIB, 4);
	assert_int_equal(load(fixture), 0);
	assert_int_equal(fixture->entry.rip, 0x200200);

	kernel_image_set(&fixture->image, 0x260, 63 * MIB, 4);
	expect_refused(fixture, "needs 64 MiB of memory");
	kernel_image_set(&fixture->image, 0x260, 0xffffffff, 4);
	expect_refused(fixture, "memory");

	kernel_image_set(&fixture->image, 0x260, 56 * MIB, 4);
	kernel_image_set(&fixture->image, 0x234, 0, 1);
	expect_refused(fixture, "memory");
}

static void bzimage_with_an_initrd(void **state)
{
	struct fixture *fixture = *state;
	uint64_t address;

	kernel_image_bzimage(&fixture->image);
	fixture->initrd_size = 3 * MIB + 5;
	assert_int_equal(load(fixture), 0);
	address = peek(fixture, LAYOUT_BOOT_PARAMS + 0x218, 4);
	assert_int_equal(peek(fixture, LAYOUT_BOOT_PARAMS + 0x21c, 4), 3 * MIB + 5);
	assert_int_equal(address, RAM_SIZE - 3 * MIB - 4096);
	assert_int_equal(peek(fixture, address + 3 * MIB, 1), (uint8_t)(3 * MIB * 7));

	/* Below the address that the kernel says. */
	kernel_image_set(&fixture->image, 0x22c, 40 * MIB - 1, 4);
	assert_int_equal(load(fixture), 0);
	assert_int_equal(peek(fixture, LAYOUT_BOOT_PARAMS + 0x218, 4), 40 * MIB - 3 * MIB - 4096);

	/* But above the kernel. */
	kernel_image_set(&fixture->image, 0x22c, 20 * MIB, 4);
	expect_refused(fixture, "too small");
	fixture->initrd_size = 60 * MIB;
	kernel_image_set(&fixture->image, 0x22c, 0xffffffff, 4);
	expect_refused(fixture, "too small");
}

static void bzimage_headers_that_lie(void **state)
{
	static const struct {
		size_t offset, size;
		uint64_t value;
		const char *words;
	} lies[] = {
		{ 0x1f4, 4, 0xffffffff, "memory" },  /* 64 GiB of payload */
		{ 0x1f4, 4, 0x10000, "truncated" },  /* more than the file has */
		{ 0x1f1, 1, 0xff, "truncated" },     /* setup part beyond the end */
		{ 0x206, 2, 0x0209, "protocol" },    /* too old */
		{ 0x211, 1, 0, "zImage" },           /* loaded low */
		{ 0x230, 4, 0x300000, "alignment" }, /* no power of two */
		{ 0x230, 4, 0, "alignment" },
		{ 0x258, 8, 0, "memory" },       /* over our own data */
		{ 0x202, 4, 0, "neither" },      /* no magic */
		{ 0x1fe, 2, 0x55aa, "neither" }, /* no boot flag */
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		kernel_image_bzimage(&fixture->image);
		kernel_image_set(&fixture->image, lies[i].offset, lies[i].value, lies[i].size);
		if (lies[i].offset == 0x258)
			kernel_image_set(&fixture->image, 0x234, 0, 1); /* it has to be there */
		expect_refused(fixture, lies[i].words);
	}
}

static void bzimage_preferring_the_end_of_addresses(void **state)
{
	struct fixture *fixture = *state;

	kernel_image_bzimage(&fixture->image);
	kernel_image_set(&fixture->image, 0x258, UINT64_MAX - 4095, 8);
	assert_int_equal(load(fixture), 0); /* it is relocatable */
	assert_int_equal(fixture->entry.rip, 0x200200);
	kernel_image_set(&fixture->image, 0x234, 0, 1);
	expect_refused(fixture, "memory");
}

static void bzimage_cut_anywhere(void **state)
{
	struct fixture *fixture = *state;

	kernel_image_bzimage(&fixture->image);
	for (fixture->image.size--; fixture->image.size > 0;
	     fixture->image.size -= MIN(fixture->image.size, 37u))
		assert_int_equal(load(fixture), -EINVAL);
}

static void command_line_has_a_limit(void **state)
{
	struct fixture *fixture = *state;
	char line[2049];

	memset(line, 'x', sizeof(line));
	line[2048] = 0;
	kernel_image_bzimage(&fixture->image);
	fixture->command_line = line;
	expect_refused(fixture, "2048 bytes long; this kernel takes 2047");
	fixture->command_line = line + 1;
	assert_int_equal(load(fixture), 0);
	kernel_image_set(&fixture->image, 0x238, 255, 4);
	expect_refused(fixture, "this kernel takes 255");
}

/* ---- ELF ---- */

static const uint8_t code[] = { 0xf4 };

static void elf_is_loaded(void **state)
{
	struct fixture *fixture = *state;

	for (int class = ELFCLASS32; class <= ELFCLASS64; class ++) {
		kernel_image_elf(&fixture->image, class, code, sizeof(code));
		assert_int_equal(load(fixture), 0);
		assert_false(fixture->entry.long_mode);
		assert_int_equal(fixture->entry.rip, KERNEL_IMAGE_ADDRESS);
		assert_int_equal(fixture->entry.rbx, LAYOUT_PVH_INFO);
		assert_int_equal(peek(fixture, KERNEL_IMAGE_ADDRESS, 1), 0xf4);
	}
}

static void elf_gets_the_start_info(void **state)
{
	struct fixture *fixture = *state;
	uint64_t info = LAYOUT_PVH_INFO, modules, map;

	kernel_image_elf(&fixture->image, ELFCLASS64, code, sizeof(code));
	fixture->initrd_size = 100000;
	assert_int_equal(load(fixture), 0);
	assert_int_equal(peek(fixture, info, 4), 0x336ec578);
	assert_int_equal(peek(fixture, info + 4, 4), 1);
	assert_int_equal(peek(fixture, info + 12, 4), 1);
	assert_int_equal(peek(fixture, info + 32, 8), 0xe0000);
	modules = peek(fixture, info + 16, 8);
	assert_int_equal(peek(fixture, modules + 8, 8), 100000);
	assert_int_equal(peek(fixture, peek(fixture, modules, 8) + 1, 1), 7);
	map = peek(fixture, info + 40, 8);
	assert_int_equal(peek(fixture, info + 48, 4), 3);
	assert_int_equal(peek(fixture, map + 8, 8), 0x9fc00);
	assert_string_equal(vid_memory_map(fixture->memory, GPA(peek(fixture, info + 24, 8)), 64),
			    "console=ttyS0 quiet");
}

static void elf_headers_that_lie(void **state)
{
	/* Offsets of Elf64_Ehdr, then of the two Elf64_Phdr, then of the notes. */
	static const struct {
		size_t offset, size;
		uint64_t value;
		const char *words;
	} lies[] = {
		{ 4, 1, 7, "unknown class" },
		{ 5, 1, 2, "big-endian" },
		{ 18, 2, EM_AARCH64, "not that of an x86-64" },
		{ 32, 8, UINT64_MAX - 8, "truncated" }, /* e_phoff */
		{ 54, 2, 1, "not that of" },            /* e_phentsize */
		{ 56, 2, 65535, "not that of" },        /* e_phnum */
		{ 56, 2, 1, "without a PVH" },
		{ 64 + 8, 8, UINT64_MAX, "truncated" },          /* p_offset */
		{ 64 + 24, 8, 0x1000, "none of its" },           /* p_paddr: our own data */
		{ 64 + 24, 8, UINT64_MAX - 100, "none of its" }, /* p_paddr */
		{ 64 + 32, 8, UINT64_MAX, "no memory" },         /* p_filesz */
		{ 64 + 40, 8, UINT64_MAX, "no memory" },         /* p_memsz */
		{ 64 + 40, 8, 0, "no segment" },                 /* p_memsz below p_filesz */
		{ 64, 4, PT_NULL, "none of its" },               /* nothing to load */
		{ 120 + 8, 8, 1 << 30, "truncated" },            /* notes' p_offset */
		{ 512, 4, UINT32_MAX, "without a PVH" },         /* name size */
		{ 516, 4, UINT32_MAX, "without a PVH" },         /* descriptor size */
		{ 532, 4, 5, "without a PVH" },                  /* name of another length */
		{ 536, 4, 2, "without a PVH" },                  /* descriptor of another */
		{ 548, 4, 0x3fff00, "none of its" },             /* entry outside */
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		kernel_image_elf(&fixture->image, ELFCLASS64, code, sizeof(code));
		kernel_image_set(&fixture->image, lies[i].offset, lies[i].value, lies[i].size);
		expect_refused(fixture, lies[i].words);
	}
}

static void elf_cut_anywhere(void **state)
{
	struct fixture *fixture = *state;

	for (int class = ELFCLASS32; class <= ELFCLASS64; class ++) {
		kernel_image_elf(&fixture->image, class, code, sizeof(code));
		for (fixture->image.size--; fixture->image.size > 0;
		     fixture->image.size -= MIN(fixture->image.size, 13u))
			assert_int_equal(load(fixture), -EINVAL);
	}
}

/* ---- Files ---- */

static void files_that_are_none(void **state)
{
	struct fixture *fixture = *state;
	AUTO_CLOSE int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct boot_config config = {
		.memory = fixture->memory,
		.layout = &fixture->layout,
		.kernel_fd = null,
		.initrd_fd = -1,
		.command_line = "",
	};

	assert_int_equal(boot_load(&config, &fixture->entry, &fixture->failure), -EINVAL);
	assert_non_null(strstr(fixture->failure.message, "not a regular file"));
	config.kernel_fd = -1;
	fixture->failure = (struct failure){ 0 };
	assert_int_equal(boot_load(&config, &fixture->entry, &fixture->failure), -EBADF);
	fixture->image.size = 0;
	expect_refused(fixture, "neither");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bzimage_is_loaded, setup, teardown),
		cmocka_unit_test_setup_teardown(bzimage_tells_its_release, setup, teardown),
		cmocka_unit_test_setup_teardown(bzimage_gets_the_memory_map, setup, teardown),
		cmocka_unit_test_setup_teardown(bzimage_of_32_bits, setup, teardown),
		cmocka_unit_test_setup_teardown(bzimage_goes_lower_where_memory_is_short, setup,
						teardown),
		cmocka_unit_test_setup_teardown(bzimage_with_an_initrd, setup, teardown),
		cmocka_unit_test_setup_teardown(bzimage_headers_that_lie, setup, teardown),
		cmocka_unit_test_setup_teardown(bzimage_preferring_the_end_of_addresses, setup,
						teardown),
		cmocka_unit_test_setup_teardown(bzimage_cut_anywhere, setup, teardown),
		cmocka_unit_test_setup_teardown(command_line_has_a_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(elf_is_loaded, setup, teardown),
		cmocka_unit_test_setup_teardown(elf_gets_the_start_info, setup, teardown),
		cmocka_unit_test_setup_teardown(elf_headers_that_lie, setup, teardown),
		cmocka_unit_test_setup_teardown(elf_cut_anywhere, setup, teardown),
		cmocka_unit_test_setup_teardown(files_that_are_none, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
