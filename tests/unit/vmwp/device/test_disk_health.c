/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What comes of requests that the host cannot carry out, by the disk's "on_error". */
#include "tests/fake/disk_fault.h"
#include "tests/fake/disk_memory.h"
#include "tests/unit/unit.h"
#include "vmwp/device/disk_health.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
	struct loop *loop;
	struct disk_healths *healths;
	struct disk *disk;
	unsigned told, paused, resumed, stopped;
	char health[16], error[64], why[256];
	unsigned errors;
	uint8_t data[4096];
	struct iovec iov;
	struct disk_request request;
	bool completed;
	int result;
};

static const char *text_of(struct json_object *report, const char *key)
{
	struct json_object *value = json_object_object_get(report, key);

	return value ? json_object_get_string(value) : "";
}

static void take_changed(void *data, unsigned controller, unsigned lun, struct json_object *report)
{
	struct fixture *f = data;

	assert_int_equal(controller, 1);
	assert_int_equal(lun, 2);
	f->told++;
	snprintf(f->health, sizeof(f->health), "%s", text_of(report, "health"));
	snprintf(f->error, sizeof(f->error), "%s", text_of(report, "error"));
	f->errors = (unsigned)json_object_get_int64(json_object_object_get(report, "errors"));
	json_object_put(report);
}

static void take_pause(void *data, const char *why)
{
	struct fixture *f = data;

	f->paused++;
	snprintf(f->why, sizeof(f->why), "%s", why);
}

static void take_go_on(void *data)
{
	((struct fixture *)data)->resumed++;
}

static void take_stop(void *data, const char *why)
{
	((struct fixture *)data)->stopped++;
}

static const struct disk_healths_callbacks callbacks = {
	.changed = take_changed,
	.pause = take_pause,
	.go_on = take_go_on,
	.stop = take_stop,
};

static struct fixture *fixture_new(enum definition_on_error on_error)
{
	const struct definition_disk definition = { .controller = 1,
						    .lun = 2,
						    .on_error = on_error };
	struct fixture *f = calloc(1, sizeof(*f));
	struct disk *memory;

	assert_int_equal(loop_new(64, &f->loop), 0);
	assert_int_equal(disk_healths_new(f->loop, &callbacks, f, &f->healths), 0);
	assert_int_equal(disk_memory_new(f->loop, 65536, 512, &memory), 0);
	f->disk = disk_fault_new(f->loop, memory);
	assert_int_equal(disk_health_new(f->healths, &definition, f->disk), 0);
	return f;
}

static void fixture_free(struct fixture *f)
{
	disk_retire(f->disk, NULL, NULL);
	assert_null(disk_health_find(f->healths, 1, 2));
	disk_healths_free(f->healths);
	loop_free(f->loop);
	free(f);
}

static void complete(struct disk_request *request, int result)
{
	struct fixture *f = container_of(request, struct fixture, request);

	f->completed = true;
	f->result = result;
}

static void submit(struct fixture *f, enum disk_operation operation)
{
	f->completed = false;
	f->iov = (struct iovec){ f->data, sizeof(f->data) };
	f->request = (struct disk_request){ .operation = operation, .complete = complete };
	if (operation == DISK_WRITE || operation == DISK_READ) {
		f->request.size = sizeof(f->data);
		f->request.iov = &f->iov;
		f->request.iov_count = 1;
	}
	disk_submit(f->disk, &f->request);
}

static void iteration(struct fixture *f)
{
	assert_int_equal(loop_run_once(f->loop, 1000000), 0);
}

static void until(struct fixture *f, const unsigned *count, unsigned wanted)
{
	for (int i = 0; i < 100000 && *count < wanted; i++)
		iteration(f);
	assert_int_equal(*count, wanted);
}

static void finish(struct fixture *f)
{
	for (int i = 0; i < 100000 && !f->completed; i++)
		iteration(f);
	assert_true(f->completed);
}

static void test_full_pauses_and_goes_on(void **state)
{
	struct fixture *f = fixture_new(DEFINITION_ON_ERROR_AUTOMATIC);

	/* Full now, and at the first attempt to go on. */
	disk_fault_fail(f->disk, DISK_WRITE, -ENOSPC, 2);
	submit(f, DISK_WRITE);
	until(f, &f->paused, 1);
	assert_false(f->completed);
	assert_string_equal(f->health, "full");
	assert_string_equal(f->error, "No space left on device");
	assert_int_equal(f->errors, 0);
	assert_non_null(strstr(f->why, "disk 1:2"));
	finish(f); /* by itself */
	assert_int_equal(f->result, 0);
	until(f, &f->resumed, 1);
	assert_string_equal(f->health, "ok");
	assert_int_equal(f->paused, 1);
	assert_int_equal(f->told, 2);
	assert_int_equal(disk_fault_seen(f->disk, DISK_WRITE)->count, 3);
	fixture_free(f);
}

static void test_errors_are_reported(void **state)
{
	struct fixture *f = fixture_new(DEFINITION_ON_ERROR_AUTOMATIC);

	disk_fault_fail(f->disk, DISK_READ, -EIO, 100);
	for (unsigned i = 0; i < 100; i++) {
		submit(f, DISK_READ);
		finish(f);
		assert_int_equal(f->result, -EIO);
	}
	until(f, &f->told, 1); /* and not a hundred times */
	assert_string_equal(f->health, "errors");
	assert_string_equal(f->error, "Input/output error");
	assert_int_equal(f->paused, 0);
	assert_int_equal(f->stopped, 0);
	fixture_free(f);
}

static void test_report_reports_want_of_space(void **state)
{
	struct fixture *f = fixture_new(DEFINITION_ON_ERROR_REPORT);

	disk_fault_fail(f->disk, DISK_WRITE, -ENOSPC, 1);
	submit(f, DISK_WRITE);
	finish(f);
	assert_int_equal(f->result, -ENOSPC);
	until(f, &f->told, 1);
	assert_string_equal(f->health, "errors");
	assert_int_equal(f->paused, 0);
	fixture_free(f);
}

static void test_pause_waits_for_somebody(void **state)
{
	struct fixture *f = fixture_new(DEFINITION_ON_ERROR_PAUSE);

	disk_fault_fail(f->disk, DISK_READ, -EIO, 2);
	submit(f, DISK_READ);
	until(f, &f->paused, 1);
	assert_string_equal(f->health, "held");
	disk_healths_retry(f->healths); /* resumed too early */
	until(f, &f->paused, 2);
	assert_false(f->completed);
	disk_healths_retry(f->healths);
	finish(f);
	assert_int_equal(f->result, 0);
	until(f, &f->told, 2);
	assert_string_equal(f->health, "ok");
	fixture_free(f);
}

static void test_stop(void **state)
{
	struct fixture *f = fixture_new(DEFINITION_ON_ERROR_STOP);

	disk_fault_fail(f->disk, DISK_WRITE, -EIO, 1);
	submit(f, DISK_WRITE);
	until(f, &f->stopped, 1);
	assert_false(f->completed);
	disk_abandon(&f->request); /* the machine stops */
	assert_int_equal(f->result, -ECANCELED);
	fixture_free(f);
}

/* The VM goes on when a disk that it waits for has been taken away. */
static void test_a_full_disk_leaves(void **state)
{
	struct fixture *f = fixture_new(DEFINITION_ON_ERROR_AUTOMATIC);

	disk_fault_fail(f->disk, DISK_WRITE, -ENOSPC, 100);
	submit(f, DISK_WRITE);
	until(f, &f->paused, 1);
	disk_retire(f->disk, NULL, NULL);
	assert_true(f->completed);
	until(f, &f->resumed, 1);
	assert_null(disk_health_find(f->healths, 1, 2));
	disk_healths_free(f->healths);
	loop_free(f->loop);
	free(f);
}

/* What a guest can bring about by itself neither pauses it nor says anything of the disk. */
static void test_what_the_guest_does(void **state)
{
	static const int results[] = { -EINVAL, -EFAULT, -ENOMEM };

	for (size_t i = 0; i < ARRAY_SIZE(results); i++) {
		struct fixture *f = fixture_new(DEFINITION_ON_ERROR_PAUSE);

		disk_fault_fail(f->disk, DISK_WRITE, results[i], 1);
		submit(f, DISK_WRITE);
		finish(f);
		assert_int_equal(f->result, results[i]);
		iteration(f);
		assert_int_equal(f->told, 0);
		assert_int_equal(f->paused, 0);
		fixture_free(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_pauses_and_goes_on),
		cmocka_unit_test(test_errors_are_reported),
		cmocka_unit_test(test_report_reports_want_of_space),
		cmocka_unit_test(test_pause_waits_for_somebody),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_a_full_disk_leaves),
		cmocka_unit_test(test_what_the_guest_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
