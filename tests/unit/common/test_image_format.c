/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Formats of disk images: what heads say, and what they name. */
#include "common/image_format.h"
#include "tests/unit/unit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE (1u << 20)

static uint8_t *image;

static int setup(void **state)
{
	image = calloc(1, SIZE);
	return image ? 0 : -1;
}

static int teardown(void **state)
{
	free(image);
	return 0;
}

/* ---- Heads ---- */

static void big_32(size_t offset, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		image[offset + (size_t)i] = (uint8_t)(value >> (24 - 8 * i));
}

static void make_qcow2(uint32_t version)
{
	memcpy(image, "QFI\xfb", 4);
	big_32(4, version);
}

static void make_vhd(size_t footer, uint32_t type)
{
	memcpy(image + footer, "conectix", 8);
	big_32(footer + 60, type);
}

static void make_vhdx(size_t table, uint8_t flags)
{
	static const uint8_t region[16] = { 0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
					    0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e };
	static const uint8_t item[16] = { 0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
					  0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b };

	memcpy(image, "vhdxfile", 8);
	memcpy(image + table, "regi", 4);
	memcpy(image + table + 16 + 32, region, 16);
	image[table + 16 + 32 + 18] = 8; /* at 512 KiB */
	memcpy(image + (512 << 10), "metadata", 8);
	memcpy(image + (512 << 10) + 32 + 64, item, 16);
	image[(512 << 10) + 32 + 64 + 18] = 1; /* 64 KiB further */
	image[(576 << 10) + 4] = flags;
}

static void make_vmdk(const char *text)
{
	memcpy(image, "KDMV", 4);
	image[12] = 1;
	image[28] = 1; /* the next sector */
	strcpy((char *)image + 512, text);
}

/* ---- Looks ---- */

static void expect(size_t size, enum image_format format, int result, const char *expected)
{
	const struct image_bytes bytes = image_bytes_of_memory(image, size);
	char named[IMAGE_NAMED_MAX];
	enum image_format found;

	assert_int_equal(image_format_detect(&bytes, &found), 0);
	assert_int_equal(found, format);
	assert_int_equal(image_format_check(&bytes, format, named), result);
	assert_string_equal(named, expected);
}

static void test_names(void **state)
{
	for (int i = 0; image_format_names[i]; i++)
		assert_int_equal(image_format_find(image_format_names[i]), i);
	assert_int_equal(image_format_find("qcow"), -1);
	assert_int_equal(image_format_find(""), -1);
}

static void test_raw(void **state)
{
	const struct image_bytes bytes = image_bytes_of_memory(image, SIZE);
	char named[IMAGE_NAMED_MAX];

	expect(SIZE, IMAGE_RAW, 0, "");
	expect(0, IMAGE_RAW, 0, "");
	assert_int_equal(image_format_check(&bytes, IMAGE_QCOW2, named), IMAGE_FORMAT_E_OTHER);
	/* A raw disk is one, whatever a guest has written on it. */
	make_qcow2(3);
	assert_int_equal(image_format_check(&bytes, IMAGE_RAW, named), 0);
	assert_int_equal(image_format_check(&bytes, IMAGE_VHDX, named), IMAGE_FORMAT_E_OTHER);
}

static void test_qcow2(void **state)
{
	make_qcow2(2);
	expect(SIZE, IMAGE_QCOW2, 0, "");
	expect(8, IMAGE_QCOW2, 0, "");
	make_qcow2(3);
	expect(SIZE, IMAGE_QCOW2, 0, "");
	make_qcow2(4);
	expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_BROKEN, "");
}

static void test_qcow2_names(void **state)
{
	make_qcow2(3);
	big_32(12, 200);
	big_32(16, 6);
	strcpy((char *)image + 200, "/b\nse/and more");
	expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_NAMES, "/b?se/");
	big_32(16, UINT32_MAX);
	expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_NAMES, "/b?se/and more");
	memset(image + 200, 'x', 1000);
	big_32(8, UINT32_MAX); /* beyond the end, which is a name all the same */
	expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_NAMES, "");
	big_32(8, 0);
	big_32(12, 0);
	image[79] = 4;
	expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_NAMES, "a file with its data");
}

static void test_vhd(void **state)
{
	make_vhd(0, 3);
	expect(SIZE, IMAGE_VHD, 0, "");
	make_vhd(0, 4);
	expect(SIZE, IMAGE_VHD, IMAGE_FORMAT_E_NAMES, "a parent disk");
	make_vhd(0, 9);
	expect(SIZE, IMAGE_VHD, IMAGE_FORMAT_E_BROKEN, "");
}

/* Of fixed size: there is the footer alone. */
static void test_fixed_vhd(void **state)
{
	make_vhd(SIZE - 512, 2);
	expect(SIZE, IMAGE_VHD, 0, "");
	expect(SIZE - 1, IMAGE_RAW, 0, "");
	memcpy(image, "KDMV", 4); /* whoever has a head is what that says */
	image[12] = 1;
	expect(SIZE, IMAGE_VMDK, 0, "");
}

static void test_vhdx(void **state)
{
	make_vhdx(192 << 10, 0);
	expect(SIZE, IMAGE_VHDX, 0, "");
	expect(512 << 10, IMAGE_VHDX, IMAGE_FORMAT_E_BROKEN, "");
	image[(576 << 10) + 4] = 2;
	expect(SIZE, IMAGE_VHDX, IMAGE_FORMAT_E_NAMES, "a parent disk");
	image[192 << 10] = 0;
	expect(SIZE, IMAGE_VHDX, IMAGE_FORMAT_E_BROKEN, "");
	/* There is a second table. */
	make_vhdx(256 << 10, 2);
	expect(SIZE, IMAGE_VHDX, IMAGE_FORMAT_E_NAMES, "a parent disk");
}

static void test_vmdk(void **state)
{
	make_vmdk("# Disk DescriptorFile\nparentCID=ffffffff\nRW 1 SPARSE \"itself.vmdk\"\n");
	expect(SIZE, IMAGE_VMDK, 0, "");
	make_vmdk("parentCID=12345678\n");
	expect(SIZE, IMAGE_VMDK, IMAGE_FORMAT_E_NAMES, "a parent disk");
	make_vmdk("parentCID=12345678\nparentFileNameHint=\"/p.vmdk\"\n");
	expect(SIZE, IMAGE_VMDK, IMAGE_FORMAT_E_NAMES, "/p.vmdk");
	image[12] = 0;
	expect(SIZE, IMAGE_VMDK, IMAGE_FORMAT_E_NAMES, "files with its extents");
	memset(image, 0, 512);
	strcpy((char *)image, "# Disk DescriptorFile");
	expect(SIZE, IMAGE_VMDK, IMAGE_FORMAT_E_NAMES, "files with its extents");
	expect(21, IMAGE_VMDK, IMAGE_FORMAT_E_NAMES, "files with its extents");
}

/* As of memory. */
static void test_files(void **state)
{
	char path[] = "/tmp/vmms-format-XXXXXX", named[IMAGE_NAMED_MAX];
	struct image_bytes bytes;
	enum image_format found;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	make_vhd(1024, 4);
	assert_int_equal(write(fd, image, 1536), 1536);
	bytes = image_bytes_of_file(fd, 1536);
	assert_int_equal(image_format_detect(&bytes, &found), 0);
	assert_int_equal(found, IMAGE_VHD);
	assert_int_equal(image_format_check(&bytes, IMAGE_VHD, named), IMAGE_FORMAT_E_NAMES);
	close(fd);
	assert_true(image_format_detect(&bytes, &found) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test_setup_teardown(test_raw, setup, teardown),
		cmocka_unit_test_setup_teardown(test_qcow2, setup, teardown),
		cmocka_unit_test_setup_teardown(test_qcow2_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vhd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fixed_vhd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vhdx, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vmdk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_files, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
