/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Formats of disk images: what heads say, and what they name. */
#include "common/image/image_format.h"
#include "tests/unit/unit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE (1u << 20)

static uint8_t *image;
static struct image_names names; /* of the last look */

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
	big_32(20, 16);
	big_32(100, 104);
}

static void back_qcow2(size_t offset, const char *name)
{
	big_32(8, 0);
	big_32(12, (uint32_t)offset);
	big_32(16, (uint32_t)strlen(name));
	memcpy(image + offset, name, strlen(name));
}

#define FORMAT 0xe2792acau
#define DATA   0x44415441u

/* Return: where the next one goes. */
static size_t extend_qcow2(size_t offset, uint32_t type, const char *text)
{
	size_t size = strlen(text);

	big_32(offset, type);
	big_32(offset + 4, (uint32_t)size);
	memcpy(image + offset + 8, text, size);
	return offset + 8 + (size + 7) / 8 * 8;
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
	enum image_format found;

	assert_int_equal(image_format_detect(&bytes, &found), 0);
	assert_int_equal(found, format);
	assert_int_equal(image_format_check(&bytes, format, &names), result);
	assert_string_equal(names.named, expected);
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

	expect(SIZE, IMAGE_RAW, 0, "");
	expect(0, IMAGE_RAW, 0, "");
	assert_int_equal(image_format_check(&bytes, IMAGE_QCOW2, &names), IMAGE_FORMAT_E_OTHER);
	/* A raw disk is one, whatever a guest has written on it. */
	make_qcow2(3);
	assert_int_equal(image_format_check(&bytes, IMAGE_RAW, &names), 0);
	assert_int_equal(image_format_check(&bytes, IMAGE_VHDX, &names), IMAGE_FORMAT_E_OTHER);
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

static void test_qcow2_backing(void **state)
{
	make_qcow2(3);
	back_qcow2(200, "/b\nse");
	expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_UNKNOWN, "/b?se");
	extend_qcow2(104, FORMAT, "vpc");
	expect(SIZE, IMAGE_QCOW2, 0, "/b?se");
	assert_string_equal(names.backing, "/b\nse");
	assert_int_equal(names.backing_format, IMAGE_VHD);
	assert_string_equal(names.data, "");
	extend_qcow2(104, FORMAT, "qed");
	expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_UNKNOWN, "/b?se");
	/* There is no length, and no place for it, but where version 2 has it. */
	make_qcow2(2);
	extend_qcow2(72, FORMAT, "raw");
	big_32(100, 0);
	expect(SIZE, IMAGE_QCOW2, 0, "/b?se");
	assert_int_equal(names.backing_format, IMAGE_RAW);
}

static void test_qcow2_extensions(void **state)
{
	make_qcow2(3);
	back_qcow2(500, "b");
	extend_qcow2(extend_qcow2(104, 0x6803f857, "some features"), FORMAT, "qcow2");
	expect(SIZE, IMAGE_QCOW2, 0, "b");
	assert_int_equal(names.backing_format, IMAGE_QCOW2);
	/* The end is the end. */
	big_32(104, 0);
	expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_UNKNOWN, "b");
	/* Nothing of it may be where the name is, or nowhere. */
	extend_qcow2(104, FORMAT, "qcow2");
	big_32(108, 389);
	expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_BROKEN, "");
	big_32(108, UINT32_MAX);
	expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_BROKEN, "");
	extend_qcow2(104, FORMAT, "0123456789abcdef");
	expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_BROKEN, "");
	big_32(100, UINT32_MAX);
	expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_UNKNOWN, "b");
}

static void test_qcow2_data(void **state)
{
	make_qcow2(3);
	extend_qcow2(104, DATA, "/data");
	expect(SIZE, IMAGE_QCOW2, 0, ""); /* it has been there once */
	image[79] = 4;
	expect(SIZE, IMAGE_QCOW2, 0, "/data");
	assert_string_equal(names.data, "/data");
	assert_string_equal(names.backing, "");
	extend_qcow2(extend_qcow2(104, DATA, "/data"), FORMAT, "raw");
	back_qcow2(5000, "/backing");
	expect(SIZE, IMAGE_QCOW2, 0, "/backing");
	assert_string_equal(names.data, "/data");
	assert_string_equal(names.backing, "/backing");
	extend_qcow2(104, DATA, "a.b");
	image[113] = '\0';
	expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_BROKEN, "");
	big_32(104, 1); /* something else */
	expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_BROKEN, "");
}

static void test_qcow2_protocols(void **state)
{
	static const char *const others[] = { "json:{\"driver\": \"raw\"}", "nbd://host/",
					      "nbd:unix:/s", "file:/a", ":" };
	static const char *const paths[] = { "/a:b", "./a:b", "a/b:c" };

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		make_qcow2(3);
		extend_qcow2(104, FORMAT, "raw");
		back_qcow2(200, others[i]);
		expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_PROTOCOL, others[i]);
		memset(image, 0, 1024);
		make_qcow2(3);
		image[79] = 4;
		extend_qcow2(104, DATA, others[i]);
		expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_PROTOCOL, others[i]);
		memset(image, 0, 1024);
	}
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		make_qcow2(3);
		extend_qcow2(104, FORMAT, "raw");
		back_qcow2(200, paths[i]);
		expect(SIZE, IMAGE_QCOW2, 0, paths[i]);
	}
}

/* Wherever the name would be. */
static void test_qcow2_places(void **state)
{
	char name[IMAGE_PATH_MAX];

	make_qcow2(3);
	extend_qcow2(104, FORMAT, "raw");
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	back_qcow2(8000, name); /* over the end of a block */
	assert_int_equal(strlen(name), 1023);
	expect(SIZE, IMAGE_QCOW2, 0, name + 1023 - 255);
	assert_string_equal(names.backing, name);
	expect(8100, IMAGE_QCOW2, IMAGE_FORMAT_E_BROKEN, "");
	big_32(16, 1024);
	expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_BROKEN, "");
	big_32(16, UINT32_MAX);
	expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_BROKEN, "");
	big_32(16, 0);
	expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_BROKEN, "");
	back_qcow2(65536, "x"); /* not in the first cluster */
	expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_BROKEN, "");
	back_qcow2(65535, "x");
	expect(SIZE, IMAGE_QCOW2, 0, "x");
	big_32(8, UINT32_MAX);
	expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_BROKEN, "");
	back_qcow2(200, "x");
	big_32(20, 8);
	expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_BROKEN, "");
	big_32(20, 64);
	expect(SIZE, IMAGE_QCOW2, IMAGE_FORMAT_E_BROKEN, "");
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
	expect(SIZE, IMAGE_VMDK, 0, "/p.vmdk");
	assert_string_equal(names.backing, "/p.vmdk");
	assert_int_equal(names.backing_format, IMAGE_VMDK);
	make_vmdk("parentFileNameHint=\"nbd://host\"\n");
	expect(SIZE, IMAGE_VMDK, IMAGE_FORMAT_E_PROTOCOL, "nbd://host");
	make_vmdk("parentFileNameHint=\"/p.vmdk\nx\"\n");
	expect(SIZE, IMAGE_VMDK, IMAGE_FORMAT_E_BROKEN, "");
	make_vmdk("parentFileNameHint=\"\"\n");
	expect(SIZE, IMAGE_VMDK, IMAGE_FORMAT_E_BROKEN, "");
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
	char path[] = "/tmp/vmms-format-XXXXXX";
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
	assert_int_equal(image_format_check(&bytes, IMAGE_VHD, &names), IMAGE_FORMAT_E_NAMES);
	close(fd);
	assert_true(image_format_detect(&bytes, &found) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test_setup_teardown(test_raw, setup, teardown),
		cmocka_unit_test_setup_teardown(test_qcow2, setup, teardown),
		cmocka_unit_test_setup_teardown(test_qcow2_backing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_qcow2_extensions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_qcow2_data, setup, teardown),
		cmocka_unit_test_setup_teardown(test_qcow2_protocols, setup, teardown),
		cmocka_unit_test_setup_teardown(test_qcow2_places, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vhd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fixed_vhd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vhdx, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vmdk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_files, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
