/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* File copy in the guest: files that come, and hosts that do not keep to what they said. */
#include "guest-vsc/ic_file_copy_client.h"
#include "tests/fake/ic_host.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#define ROOM (2 * IC_FILE_COPY_PIECE_SIZE)
#define PATH "/files/name"

static struct ic_file_copy_client copy;

/* Exactly as long as it is said to be. */
static int setup(void **state)
{
	ic_host_open(&copy.ic, &ic_file_copy_client_kind);
	copy.memory = malloc(ROOM);
	copy.room = ROOM;
	copy.folder = "/files/";
	copy.state = IC_FILE_COPY_CLIENT_NONE;
	assert_true(ic_host_negotiate(&copy.ic, 1, 1));
	return 0;
}

static int teardown(void **state)
{
	free(copy.memory);
	memset(&copy, 0, sizeof(copy));
	return 0;
}

static uint32_t ask(const void *body, size_t size)
{
	return ic_host_ask(&copy.ic, body, size)->header.status;
}

static void set_name(uint16_t *name, const char *text)
{
	memset(name, 0, IC_FILE_COPY_NAME_MAX * sizeof(*name));
	while (*text)
		*name++ = (uint8_t)*text++;
}

static struct ic_file_copy_start start_of(const char *folder, const char *name, uint64_t size)
{
	struct ic_file_copy_start start = {
		.header.operation = IC_FILE_COPY_START,
		.size = size,
	};
	uint16_t units[IC_FILE_COPY_NAME_MAX];

	set_name(units, folder);
	memcpy(start.folder, units, sizeof(units));
	set_name(units, name);
	memcpy(start.name, units, sizeof(units));
	return start;
}

static uint32_t start(uint64_t size, uint32_t flags)
{
	struct ic_file_copy_start body = start_of("/files/", "name", size);

	body.flags = flags;
	return ask(&body, sizeof(body));
}

static uint32_t write_piece(uint64_t offset, uint32_t size)
{
	static struct ic_file_copy_write body;

	body.header.operation = IC_FILE_COPY_WRITE;
	body.offset = offset;
	body.size = size;
	for (size_t i = 0; i < sizeof(body.data); i++)
		body.data[i] = (uint8_t)(offset + i);
	return ask(&body, sizeof(body));
}

static uint32_t end(enum ic_file_copy_operation operation)
{
	const struct ic_file_copy_header body = { .operation = operation };

	return ask(&body, sizeof(body));
}

static void test_whole_file(void **state)
{
	assert_int_equal(start(ROOM - 1, 0), IC_STATUS_OK);
	assert_int_equal(write_piece(0, IC_FILE_COPY_PIECE_SIZE), IC_STATUS_OK);
	assert_int_equal(write_piece(IC_FILE_COPY_PIECE_SIZE, IC_FILE_COPY_PIECE_SIZE - 1),
			 IC_STATUS_OK);
	assert_false(ic_file_copy_client_has(&copy, PATH));
	assert_int_equal(end(IC_FILE_COPY_COMPLETE), IC_STATUS_OK);
	assert_true(ic_file_copy_client_has(&copy, PATH));
	assert_false(ic_file_copy_client_has(&copy, "/files/nam"));
	assert_false(ic_file_copy_client_has(&copy, "/files/names"));
	assert_int_equal(copy.filled, ROOM - 1);
	for (size_t i = 0; i < ROOM - 1; i++)
		assert_int_equal(copy.memory[i], (uint8_t)i);

	assert_int_equal(start(0, 0), IC_FILE_COPY_STATUS_EXISTS);
	assert_true(ic_file_copy_client_has(&copy, PATH));
	assert_int_equal(end(IC_FILE_COPY_CANCEL), IC_STATUS_OK);
	assert_true(ic_file_copy_client_has(&copy, PATH));
	assert_int_equal(start(0, IC_FILE_COPY_OVERWRITE), IC_STATUS_OK);
	assert_int_equal(end(IC_FILE_COPY_COMPLETE), IC_STATUS_OK);
	assert_int_equal(copy.filled, 0);
	assert_int_equal(copy.copies, 2);
}

/* CRC-32's check value: of the text "123456789". */
static void test_checksum(void **state)
{
	copy.filled = 9;
	memcpy(copy.memory, "123456789", 9);
	assert_int_equal(ic_file_copy_client_checksum(&copy), 0xcbf43926u);
}

static void test_names(void **state)
{
	static const struct {
		const char *folder, *name;
	} rows[] = {
		{ "", "name" },         { "/files/", "" },       { "/files", "name" },
		{ "/files/", "a/b" },   { "/files/", "/" },      { "/file/", "name" },
		{ "/files//", "name" }, { "/files/x/", "name" },
	};
	struct ic_file_copy_start body;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		body = start_of(rows[i].folder, rows[i].name, 0);
		assert_int_equal(ask(&body, sizeof(body)), IC_STATUS_FAIL);
	}
	/* Without a NUL. */
	body = start_of("/files/", "name", 0);
	for (size_t i = 0; i < IC_FILE_COPY_NAME_MAX; i++)
		body.name[i] = 'n';
	assert_int_equal(ask(&body, sizeof(body)), IC_STATUS_FAIL);
	body = start_of("/files/", "name", 0);
	body.flags = IC_FILE_COPY_CREATE_PATH;
	for (size_t i = 0; i < IC_FILE_COPY_NAME_MAX; i++)
		body.folder[i] = '/';
	assert_int_equal(ask(&body, sizeof(body)), IC_STATUS_FAIL);
	/* As long as they may be. */
	body.folder[IC_FILE_COPY_NAME_MAX - 1] = 0;
	assert_int_equal(ask(&body, sizeof(body)), IC_STATUS_OK);
	assert_int_equal(end(IC_FILE_COPY_COMPLETE), IC_STATUS_OK);
	assert_false(ic_file_copy_client_has(&copy, PATH));
}

static void test_out_of_order(void **state)
{
	assert_int_equal(write_piece(0, 1), IC_STATUS_FAIL);
	assert_int_equal(end(IC_FILE_COPY_COMPLETE), IC_STATUS_FAIL);
	assert_int_equal(end(IC_FILE_COPY_CANCEL), IC_STATUS_OK);
	assert_int_equal(end(4), IC_STATUS_FAIL);
	assert_int_equal(end(-1), IC_STATUS_FAIL);
	/* A start while a file comes is a start. */
	assert_int_equal(start(100, 0), IC_STATUS_OK);
	assert_int_equal(write_piece(0, 50), IC_STATUS_OK);
	assert_int_equal(start(10, 0), IC_STATUS_OK);
	assert_int_equal(copy.filled, 0);
	assert_int_equal(write_piece(0, 10), IC_STATUS_OK);
	assert_int_equal(end(IC_FILE_COPY_COMPLETE), IC_STATUS_OK);
	/* And after its end it is not written any more. */
	assert_int_equal(write_piece(10, 0), IC_STATUS_FAIL);
	assert_int_equal(end(IC_FILE_COPY_COMPLETE), IC_STATUS_FAIL);
	assert_true(ic_file_copy_client_has(&copy, PATH));
}

static void test_lies_about_pieces(void **state)
{
	static const struct {
		uint64_t file, offset;
		uint32_t size;
	} rows[] = {
		{ 100, 0, 101 },
		{ 100, 1, 1 },
		{ 100, UINT64_MAX, 1 },
		{ 100, UINT64_MAX - 6000, 6144 },
		{ 100, 0, UINT32_MAX },
		{ UINT64_MAX, 0, IC_FILE_COPY_PIECE_SIZE + 1 },
		{ UINT64_MAX, 0, UINT32_MAX },
		{ UINT64_MAX, ROOM, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(start(rows[i].file, 0), IC_STATUS_OK);
		assert_int_equal(write_piece(rows[i].offset, rows[i].size), IC_STATUS_FAIL);
		/* The file was given up. */
		assert_int_equal(copy.state, IC_FILE_COPY_CLIENT_NONE);
		assert_int_equal(write_piece(0, 1), IC_STATUS_FAIL);
	}
	assert_int_equal(start(100, 0), IC_STATUS_OK);
	assert_int_equal(write_piece(0, 99), IC_STATUS_OK);
	assert_int_equal(end(IC_FILE_COPY_COMPLETE), IC_STATUS_FAIL);
	assert_int_equal(copy.state, IC_FILE_COPY_CLIENT_NONE);
}

static void test_full_disk(void **state)
{
	assert_int_equal(start(UINT64_MAX, 0), IC_STATUS_OK);
	assert_int_equal(write_piece(0, IC_FILE_COPY_PIECE_SIZE), IC_STATUS_OK);
	assert_int_equal(write_piece(IC_FILE_COPY_PIECE_SIZE, IC_FILE_COPY_PIECE_SIZE),
			 IC_STATUS_OK);
	assert_int_equal(write_piece(ROOM, 0), IC_STATUS_OK);
	assert_int_equal(write_piece(ROOM, 1), IC_FILE_COPY_STATUS_DISK_FULL);
	assert_int_equal(end(IC_FILE_COPY_CANCEL), IC_STATUS_OK);
	assert_int_equal(copy.state, IC_FILE_COPY_CLIENT_NONE);
	assert_int_equal(copy.cancels, 1);
}

static void test_short_bodies(void **state)
{
	struct ic_file_copy_start begin = start_of("/files/", "name", 1);
	static const struct ic_file_copy_write piece = {
		.header.operation = IC_FILE_COPY_WRITE,
		.size = 1,
	};

	for (size_t size = 0; size < sizeof(begin); size += size < 64 ? 1 : 61)
		assert_int_equal(ask(&begin, size), IC_STATUS_FAIL);
	assert_int_equal(ask(&begin, sizeof(begin) - 1), IC_STATUS_FAIL);
	assert_int_equal(copy.state, IC_FILE_COPY_CLIENT_NONE);
	for (size_t size = sizeof(piece.header); size < sizeof(piece); size += 611) {
		assert_int_equal(start(1, 0), IC_STATUS_OK);
		assert_int_equal(ask(&piece, size), IC_STATUS_FAIL);
	}
	/* Where not even the operation is whole, nothing is meant. */
	assert_int_equal(start(1, 0), IC_STATUS_OK);
	assert_int_equal(ask(&piece, sizeof(piece.header) - 1), IC_STATUS_FAIL);
	assert_int_equal(copy.state, IC_FILE_COPY_CLIENT_COMING);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_whole_file),        TEST(test_checksum),  TEST(test_names),
		TEST(test_out_of_order),      TEST(test_full_disk), TEST(test_short_bodies),
		TEST(test_lies_about_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
