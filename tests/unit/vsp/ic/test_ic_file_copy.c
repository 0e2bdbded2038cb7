/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guest file copy: whole files, refusals at each step, and guests and files that change. */
#include "common/base/utf16.h"
#include "tests/fake/ic_guest.h"
#include "tests/unit/unit.h"
#include "vsp/ic/ic_file_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MILLISECOND 1000000ull
#define FILE_SIZE   (2 * IC_FILE_COPY_PIECE_SIZE + 100)

struct fixture {
	struct fake *fake;
	struct ic_file_copy *copy;
	struct fake_channel channel;
	unsigned dones, progresses;
	int result;
	bool left;
	uint64_t copied;
	uint8_t content[FILE_SIZE], received[FILE_SIZE];
};

static void on_progress(void *data, uint64_t copied, uint64_t size)
{
	struct fixture *f = data;

	assert_true(copied > f->copied && copied <= size);
	f->progresses++;
	f->copied = copied;
}

static void on_done(void *data, int result, bool left)
{
	struct fixture *f = data;

	f->dones++;
	f->result = result;
	f->left = left;
}

static const struct ic_file_copy_callbacks callbacks = { on_progress, on_done };

static struct fixture *make(uint64_t timeout_ns)
{
	struct fixture *f = calloc(1, sizeof(*f));

	for (size_t i = 0; i < sizeof(f->content); i++)
		f->content[i] = (uint8_t)(i * 7 + i / 251);
	f->fake = fake_new(1, 4 << 20);
	assert_int_equal(ic_file_copy_new(f->fake->bus, timeout_ns, &f->copy), 0);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	return f;
}

static int setup(void **state)
{
	*state = make(0);
	return 0;
}

static int setup_impatient(void **state)
{
	*state = make(MILLISECOND);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	ic_file_copy_free(f->copy);
	fake_free(f->fake);
	free(f);
	return 0;
}

static void open_service(struct fixture *f)
{
	ic_guest_open(f->fake, IC_FILE_COPY_TYPE, &f->channel);
	ic_guest_negotiate(&f->channel, 1, 1);
}

static int make_file(struct fixture *f, size_t size)
{
	int fd = memfd_create("source", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, f->content, size), size);
	return fd;
}

/* Return: what ic_file_copy_start() does. */
static int start(struct fixture *f, size_t size, const char *path)
{
	const struct ic_file_copy_options options = { .path = path, .create_path = true };
	int fd = make_file(f, size);
	int r;

	f->dones = f->progresses = 0;
	f->copied = 0;
	r = ic_file_copy_start(f->copy, fd, &options, &callbacks, f);
	if (r < 0)
		close(fd);
	return r;
}

static void receive(struct fixture *f, struct ic_message *message, uint32_t operation)
{
	assert_true(ic_guest_receive(&f->channel, message));
	assert_int_equal(message->header.type, IC_MESSAGE_FILE_COPY);
	assert_int_equal(message->file_copy.operation, operation);
	assert_int_equal(message->header.size,
			 operation == IC_FILE_COPY_START   ? sizeof(struct ic_file_copy_start)
			 : operation == IC_FILE_COPY_WRITE ? sizeof(struct ic_file_copy_write)
							   : sizeof(struct ic_file_copy_header));
}

static void exchange(struct fixture *f, uint32_t operation, uint32_t status)
{
	struct ic_message message;

	receive(f, &message, operation);
	ic_guest_answer(&f->channel, &message, status);
}

/* Takes one piece into f->received. */
static void take_piece(struct fixture *f, uint64_t offset, uint32_t size)
{
	struct ic_message message;

	receive(f, &message, IC_FILE_COPY_WRITE);
	assert_int_equal(message.file_copy_write.offset, offset);
	assert_int_equal(message.file_copy_write.size, size);
	memcpy(f->received + offset, message.file_copy_write.data, size);
	ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	assert_int_equal(f->copied, offset + size);
}

static void assert_text(const uint8_t *text, size_t size, const char *expected)
{
	char buffer[1024];

	utf16_to_utf8(buffer, sizeof(buffer), text, size);
	assert_string_equal(buffer, expected);
}

#define UNITS(message, member)                               \
	(const uint8_t *)&(message)->file_copy_start +       \
		offsetof(struct ic_file_copy_start, member), \
		sizeof((message)->file_copy_start.member)

static void test_whole_file(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	assert_int_equal(start(f, FILE_SIZE, "/srv/data/f\xc3\xb6\xc3\xb6"), -ENOTCONN);
	open_service(f);
	assert_true(ic_file_copy_is_connected(f->copy));
	assert_int_equal(start(f, FILE_SIZE, "/srv/data/f\xc3\xb6\xc3\xb6"), 0);
	assert_int_equal(start(f, FILE_SIZE, "/x"), -EALREADY);
	receive(f, &message, IC_FILE_COPY_START);
	assert_text(UNITS(&message, folder), "/srv/data/");
	assert_text(UNITS(&message, name), "f\xc3\xb6\xc3\xb6");
	assert_int_equal(message.file_copy_start.size, FILE_SIZE);
	assert_int_equal(message.file_copy_start.flags, IC_FILE_COPY_CREATE_PATH);
	ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	take_piece(f, 0, IC_FILE_COPY_PIECE_SIZE);
	take_piece(f, IC_FILE_COPY_PIECE_SIZE, IC_FILE_COPY_PIECE_SIZE);
	take_piece(f, 2 * IC_FILE_COPY_PIECE_SIZE, 100);
	assert_int_equal(f->dones, 0);
	exchange(f, IC_FILE_COPY_COMPLETE, IC_STATUS_OK);
	assert_int_equal(f->dones, 1);
	assert_int_equal(f->result, 0);
	assert_int_equal(f->progresses, 3);
	assert_memory_equal(f->content, f->received, FILE_SIZE);
	assert_false(ic_guest_has_request(&f->channel));
}

static void test_empty_file_in_the_root(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	open_service(f);
	assert_int_equal(start(f, 0, "/empty"), 0);
	receive(f, &message, IC_FILE_COPY_START);
	assert_text(UNITS(&message, folder), "/");
	assert_text(UNITS(&message, name), "empty");
	ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	exchange(f, IC_FILE_COPY_COMPLETE, IC_STATUS_OK);
	assert_int_equal(f->result, 0);
	assert_int_equal(f->progresses, 0);
}

static void test_arguments(void **state)
{
	const struct ic_file_copy_options options = { .path = "/x" };
	struct fixture *f = *state;
	char path[600] = "/";
	int folder;

	open_service(f);
	assert_int_equal(start(f, 1, ""), -EINVAL);
	assert_int_equal(start(f, 1, "relative"), -EINVAL);
	assert_int_equal(start(f, 1, "/folder/"), -EINVAL);
	assert_int_equal(start(f, 1, "/"), -EINVAL);
	assert_int_equal(start(f, 1, "/\xff"), -EINVAL);
	memset(path + 1, 'n', 260);
	assert_int_equal(start(f, 1, path), -EINVAL);
	strcpy(path + 261, "/name");
	assert_int_equal(start(f, 1, path), -EINVAL);
	folder = open("/", O_RDONLY | O_CLOEXEC);
	assert_int_equal(ic_file_copy_start(f->copy, folder, &options, &callbacks, f), -EISDIR);
	close(folder);
	assert_int_equal(ic_file_copy_start(f->copy, -1, &options, &callbacks, f), -EBADF);
	assert_false(ic_guest_has_request(&f->channel));
	path[260] = '\0';
	assert_int_equal(start(f, 1, path), 0);
}

static void test_refused_at_the_start(void **state)
{
	static const struct {
		uint32_t status;
		int result;
	} rows[] = { { IC_FILE_COPY_STATUS_EXISTS, IC_FILE_COPY_E_EXISTS },
		     { IC_FILE_COPY_STATUS_DISK_FULL, IC_FILE_COPY_E_DISK_FULL },
		     { IC_STATUS_FAIL, IC_FILE_COPY_E_REFUSED } };
	struct fixture *f = *state;

	open_service(f);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(start(f, 1, "/x"), 0);
		exchange(f, IC_FILE_COPY_START, rows[i].status);
		assert_int_equal(f->dones, 1);
		assert_int_equal(f->result, rows[i].result);
		assert_false(f->left);
		assert_non_null(ic_file_copy_error_text(f->result));
		assert_false(ic_guest_has_request(&f->channel));
	}
}

/* The guest's file system is full at the second piece: what is there is removed, or the guest
 * refuses. */
static void test_refused_in_the_middle(void **state)
{
	static const uint32_t answers[] = { IC_STATUS_OK, IC_STATUS_FAIL };
	struct fixture *f = *state;

	open_service(f);
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		assert_int_equal(start(f, FILE_SIZE, "/x"), 0);
		exchange(f, IC_FILE_COPY_START, IC_STATUS_OK);
		take_piece(f, 0, IC_FILE_COPY_PIECE_SIZE);
		exchange(f, IC_FILE_COPY_WRITE, IC_FILE_COPY_STATUS_DISK_FULL);
		assert_int_equal(f->dones, 0);
		exchange(f, IC_FILE_COPY_CANCEL, answers[i]);
		assert_int_equal(f->dones, 1);
		assert_int_equal(f->result, IC_FILE_COPY_E_DISK_FULL);
		assert_int_equal(f->left, answers[i] != IC_STATUS_OK);
		assert_int_equal(f->copied, IC_FILE_COPY_PIECE_SIZE);
	}
}

static void test_refused_at_the_end(void **state)
{
	struct fixture *f = *state;

	open_service(f);
	assert_int_equal(start(f, 0, "/x"), 0);
	exchange(f, IC_FILE_COPY_START, IC_STATUS_OK);
	exchange(f, IC_FILE_COPY_COMPLETE, IC_STATUS_FAIL);
	assert_int_equal(f->dones, 1);
	assert_int_equal(f->result, IC_FILE_COPY_E_REFUSED);
	assert_true(f->left);
}

static void test_cancelled(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	open_service(f);
	ic_file_copy_cancel(f->copy);
	assert_int_equal(start(f, FILE_SIZE, "/x"), 0);
	exchange(f, IC_FILE_COPY_START, IC_STATUS_OK);
	receive(f, &message, IC_FILE_COPY_WRITE);
	ic_file_copy_cancel(f->copy);
	ic_file_copy_cancel(f->copy);
	ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	exchange(f, IC_FILE_COPY_CANCEL, IC_STATUS_OK);
	assert_int_equal(f->dones, 1);
	assert_int_equal(f->result, IC_FILE_COPY_E_CANCELLED);
	assert_false(f->left);
	assert_int_equal(start(f, 0, "/y"), 0);
}

/* The file is truncated while it is copied. */
static void test_source_shrinks(void **state)
{
	const struct ic_file_copy_options options = { .path = "/x" };
	struct fixture *f = *state;
	int fd = make_file(f, FILE_SIZE);
	int other = dup(fd);

	open_service(f);
	assert_int_equal(ic_file_copy_start(f->copy, fd, &options, &callbacks, f), 0);
	assert_int_equal(ftruncate(other, IC_FILE_COPY_PIECE_SIZE + 1), 0);
	close(other);
	exchange(f, IC_FILE_COPY_START, IC_STATUS_OK);
	take_piece(f, 0, IC_FILE_COPY_PIECE_SIZE);
	exchange(f, IC_FILE_COPY_CANCEL, IC_STATUS_OK);
	assert_int_equal(f->result, IC_FILE_COPY_E_SOURCE);
}

static bool is_done(void *data)
{
	const struct fixture *f = data;

	return f->dones > 0;
}

static void test_silent_guest(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	open_service(f);
	assert_int_equal(start(f, 1, "/x"), 0);
	assert_true(fake_run_until(f->fake, is_done, f));
	assert_int_equal(f->dones, 1);
	assert_int_equal(f->result, IC_FILE_COPY_E_TIMEOUT);
	assert_true(f->left);
	receive(f, &message, IC_FILE_COPY_START);
	ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	receive(f, &message, IC_FILE_COPY_CANCEL);
	ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	assert_int_equal(f->dones, 1);
	assert_int_equal(start(f, 1, "/x"), 0);
}

static void test_closed_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	for (unsigned i = 0; i < 8; i++) {
		open_service(f);
		assert_int_equal(start(f, FILE_SIZE, "/x"), 0);
		if (i & 2) {
			/* Its answer, and the end before the loop has read the first piece. */
			receive(f, &message, IC_FILE_COPY_START);
			message.header.flags = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
			assert_true(fake_send(&f->channel, RING_PACKET_INBAND, 0, 0, &message,
					      message.pipe.size + 8));
		}
		if (i & 4)
			fake_run(f->fake);
		if (i & 1) {
			assert_true(fake_close(&f->channel));
		} else {
			fake_stop(f->fake);
			assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
			assert_true(fake_request_offers(f->fake));
		}
		assert_int_equal(f->dones, 1);
		assert_int_equal(f->result, IC_FILE_COPY_E_GONE);
		assert_true(f->left);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_whole_file),
		TEST(test_empty_file_in_the_root),
		TEST(test_arguments),
		TEST(test_refused_at_the_start),
		TEST(test_refused_in_the_middle),
		TEST(test_refused_at_the_end),
		TEST(test_cancelled),
		TEST(test_source_shrinks),
		cmocka_unit_test_setup_teardown(test_silent_guest, setup_impatient, teardown),
		TEST(test_closed_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
