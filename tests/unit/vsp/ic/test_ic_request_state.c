/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Services that somebody asks something of: saved meanwhile, and restored where nobody asks. */
#include "common/base/state.h"
#include "tests/fake/fake.h"
#include "tests/fake/ic_guest.h"
#include "tests/unit/unit.h"
#include "vsp/ic/ic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MILLISECOND 1000000ull
#define HOUR        (3600 * 1000 * MILLISECOND)

enum { KVP, VSS, FILE_COPY, SERVICES };

static const char *const names[SERVICES] = { "kvp", "vss", "file_copy" };

struct fixture {
	struct fake *fake;
	struct ic_kvp *kvp;
	struct ic_vss *vss;
	struct ic_file_copy *copy;
	struct fake_channel channels[SERVICES];
	unsigned dones, thaws, refreshes;
};

static void on_guest(void *data, const struct ic_kvp_guest *guest)
{
}

static void on_refreshed(void *data)
{
	((struct fixture *)data)->refreshes++;
}

static void on_thawed(void *data, int result)
{
	((struct fixture *)data)->thaws++;
}

static void on_done(void *data, int result)
{
	((struct fixture *)data)->dones++;
}

static void on_copied(void *data, int result, bool left)
{
	((struct fixture *)data)->dones++;
}

static void make_services(struct fixture *f)
{
	static const struct ic_kvp_callbacks kvp_callbacks = { on_guest, on_refreshed };
	static const struct ic_vss_callbacks vss_callbacks = { on_thawed };
	static const struct ic_kvp_options kvp_options = { .soon_ns = MILLISECOND };

	assert_int_equal(ic_kvp_new(f->fake->bus, &kvp_options, &kvp_callbacks, f, &f->kvp), 0);
	assert_int_equal(ic_vss_new(f->fake->bus, NULL, &vss_callbacks, f, &f->vss), 0);
	assert_int_equal(ic_file_copy_new(f->fake->bus, 0, &f->copy), 0);
}

static void free_services(struct fixture *f)
{
	ic_kvp_free(f->kvp);
	ic_vss_free(f->vss);
	ic_file_copy_free(f->copy);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fake = fake_new(2, 8 << 20);
	make_services(f);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	ic_guest_open(f->fake, (struct guid)IC_KVP_TYPE, &f->channels[KVP]);
	ic_guest_negotiate(&f->channels[KVP], 5, 0);
	ic_guest_open(f->fake, (struct guid)IC_VSS_TYPE, &f->channels[VSS]);
	ic_guest_negotiate(&f->channels[VSS], 5, 0);
	ic_guest_open(f->fake, (struct guid)IC_FILE_COPY_TYPE, &f->channels[FILE_COPY]);
	ic_guest_negotiate(&f->channels[FILE_COPY], 1, 1);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	free_services(f);
	fake_free(f->fake);
	free(f);
	return 0;
}

static struct ic_service *service_of(struct fixture *f, unsigned which)
{
	return which == KVP   ? ic_kvp_service(f->kvp)
	       : which == VSS ? ic_vss_service(f->vss)
			      : ic_file_copy_service(f->copy);
}

static void set_true(void *data)
{
	*(bool *)data = true;
}

static bool is_true(void *data)
{
	return *(bool *)data;
}

static void save(struct fixture *f, struct state_writer *writer)
{
	bool bus_quiet = false, copy_quiet = false;

	vmbus_quiesce(f->fake->bus, set_true, &bus_quiet);
	ic_service_quiesce(service_of(f, KVP));
	ic_service_quiesce(service_of(f, VSS));
	ic_file_copy_quiesce(f->copy, set_true, &copy_quiet);
	assert_true(bus_quiet);
	assert_true(fake_run_until(f->fake, is_true, &copy_quiet));
	fake_save_bus(f->fake, writer);
	for (unsigned i = 0; i < SERVICES; i++)
		ic_service_save(service_of(f, i), names[i], writer);
	assert_int_equal(state_writer_error(writer), 0);
}

static void restore(struct fixture *f, const struct state_writer *writer)
{
	struct state_reader reader;

	fake_leave(f->fake);
	free_services(f);
	fake_arrive(f->fake);
	make_services(f);
	f->dones = f->thaws = f->refreshes = 0;
	assert_int_equal(fake_restore_bus(f->fake, writer, &reader), 0);
	for (unsigned i = 0; i < SERVICES; i++)
		assert_int_equal(ic_service_restore(service_of(f, i), names[i], &reader), 0);
}

static void go_on(struct fixture *f)
{
	fake_go_on(f->fake);
	for (unsigned i = 0; i < SERVICES; i++)
		ic_service_resume(service_of(f, i));
	ic_kvp_refresh_soon(f->kvp);
}

static void move(struct fixture *f)
{
	struct state_writer first, second;

	save(f, &first);
	restore(f, &first);
	save(f, &second);
	assert_int_equal(second.size, first.size);
	assert_memory_equal(second.bytes, first.bytes, first.size);
	state_writer_deinit(&first);
	state_writer_deinit(&second);
	go_on(f);
}

static void receive(struct fixture *f, unsigned which, struct ic_message *message)
{
	assert_true(ic_guest_receive(&f->channels[which], message));
}

static void answer(struct fixture *f, unsigned which, struct ic_message *message, uint32_t status)
{
	ic_guest_answer(&f->channels[which], message, status);
}

static bool was_refreshed(void *data)
{
	return ((struct fixture *)data)->refreshes > 0;
}

/* The answer is to what nobody here has asked; then the guest is asked about itself anew. */
static void test_pairs(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	receive(f, KVP, &message);
	assert_int_equal(message.kvp.header.operation, IC_KVP_ENUMERATE);
	move(f);
	answer(f, KVP, &message, IC_KVP_STATUS_NO_MORE_ITEMS);
	assert_int_equal(f->refreshes, 0);
	receive(f, KVP, &message);
	assert_int_equal(message.kvp.header.operation, IC_KVP_ENUMERATE);
	assert_int_equal(message.kvp.enumerate.index, 0);
	answer(f, KVP, &message, IC_KVP_STATUS_NO_MORE_ITEMS);
	assert_true(fake_run_until(f->fake, was_refreshed, f));
	/* And once more, with nothing under way; or with the next refresh, if that was due by then. */
	move(f);
	for (unsigned i = 0; i < 2 && !was_refreshed(f); i++) {
		receive(f, KVP, &message);
		answer(f, KVP, &message, IC_KVP_STATUS_NO_MORE_ITEMS);
		fake_settle(f->fake);
	}
	assert_true(was_refreshed(f));
}

/* What is asked before that answer is asked after it. */
static void test_pairs_asked_at_once(void **state)
{
	static const struct ic_kvp_handler handler = { .done = on_done };
	struct fixture *f = *state;
	struct ic_message message;

	receive(f, KVP, &message);
	move(f);
	assert_int_equal(ic_kvp_set(f->kvp, IC_KVP_POOL_EXTERNAL, "key", "value", &handler, f), 0);
	assert_false(ic_guest_has_request(&f->channels[KVP]));
	answer(f, KVP, &message, IC_STATUS_OK);
	assert_int_equal(f->dones, 0);
	receive(f, KVP, &message);
	assert_int_equal(message.kvp.header.operation, IC_KVP_SET);
	answer(f, KVP, &message, IC_STATUS_OK);
	assert_int_equal(f->dones, 1);
}

static void freeze(struct fixture *f, uint64_t limit_ns)
{
	struct ic_message message;

	assert_int_equal(ic_vss_freeze(f->vss, limit_ns, on_done, f), 0);
	receive(f, VSS, &message);
	answer(f, VSS, &message, IC_STATUS_OK);
	receive(f, VSS, &message);
	answer(f, VSS, &message, IC_STATUS_OK);
	assert_int_equal(ic_vss_state(f->vss), IC_VSS_FROZEN);
}

static void test_frozen(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	freeze(f, HOUR);
	move(f);
	assert_int_equal(ic_vss_state(f->vss), IC_VSS_FROZEN);
	assert_int_equal(ic_vss_thaw(f->vss, on_done, f), 0);
	receive(f, VSS, &message);
	assert_int_equal(message.vss.operation, IC_VSS_THAW);
	answer(f, VSS, &message, IC_STATUS_OK);
	assert_int_equal(f->dones, 1);
	assert_int_equal(ic_vss_state(f->vss), IC_VSS_RUNNING);
}

static void test_the_limit_of_a_frozen_guest(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	freeze(f, 5000 * MILLISECOND); /* which is not over before the move */
	move(f);
	receive(f, VSS, &message);
	assert_int_equal(message.vss.operation, IC_VSS_THAW);
	/* Nor is the thaw lost, when its answer is under way. */
	move(f);
	answer(f, VSS, &message, IC_STATUS_OK);
	assert_int_equal(f->thaws, 1);
	assert_int_equal(ic_vss_state(f->vss), IC_VSS_RUNNING);
}

/* Whoever wanted that is not here: it is not frozen, or thawed at once. */
static void test_freezing(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	assert_int_equal(ic_vss_freeze(f->vss, HOUR, on_done, f), 0);
	receive(f, VSS, &message);
	move(f);
	answer(f, VSS, &message, IC_STATUS_OK);
	assert_int_equal(ic_vss_state(f->vss), IC_VSS_RUNNING);
	assert_false(ic_guest_has_request(&f->channels[VSS]));

	assert_int_equal(ic_vss_freeze(f->vss, HOUR, on_done, f), 0);
	receive(f, VSS, &message);
	answer(f, VSS, &message, IC_STATUS_OK);
	receive(f, VSS, &message);
	assert_int_equal(message.vss.operation, IC_VSS_FREEZE);
	move(f);
	answer(f, VSS, &message, IC_STATUS_OK);
	receive(f, VSS, &message);
	assert_int_equal(message.vss.operation, IC_VSS_THAW);
	answer(f, VSS, &message, IC_STATUS_OK);
	assert_int_equal(ic_vss_state(f->vss), IC_VSS_RUNNING);
	assert_int_equal(f->dones, 0);
}

static int start_copy(struct fixture *f)
{
	static const struct ic_file_copy_callbacks callbacks = { .done = on_copied };
	static const struct ic_file_copy_options options = { .path = "/tmp/file" };
	int fd = memfd_create("file", MFD_CLOEXEC), r;

	assert_int_equal(ftruncate(fd, 3 * IC_FILE_COPY_PIECE_SIZE), 0);
	r = ic_file_copy_start(f->copy, fd, &options, &callbacks, f);
	if (r < 0)
		close(fd);
	return r;
}

/* After the answer to the piece that it has, the guest is told to let go of the file. */
static void test_a_copy_is_cancelled(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	assert_int_equal(start_copy(f), 0);
	receive(f, FILE_COPY, &message);
	answer(f, FILE_COPY, &message, IC_STATUS_OK);
	move(f);
	receive(f, FILE_COPY, &message);
	assert_int_equal(message.file_copy.operation, IC_FILE_COPY_WRITE);
	assert_int_equal(start_copy(f), -EALREADY);
	answer(f, FILE_COPY, &message, IC_STATUS_OK);
	receive(f, FILE_COPY, &message);
	assert_int_equal(message.file_copy.operation, IC_FILE_COPY_CANCEL);
	move(f);
	answer(f, FILE_COPY, &message, IC_STATUS_OK);
	assert_int_equal(f->dones, 0);
	assert_int_equal(start_copy(f), 0);
	receive(f, FILE_COPY, &message);
	assert_int_equal(message.file_copy.operation, IC_FILE_COPY_START);
}

static void test_a_guest_that_closes_after_it(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	assert_int_equal(start_copy(f), 0);
	receive(f, FILE_COPY, &message);
	assert_int_equal(ic_vss_freeze(f->vss, HOUR, on_done, f), 0);
	move(f);
	for (unsigned i = 0; i < SERVICES; i++)
		assert_true(fake_close(&f->channels[i]));
	assert_int_equal(f->dones, 0);
	move(f);
	ic_guest_open(f->fake, (struct guid)IC_FILE_COPY_TYPE, &f->channels[FILE_COPY]);
	ic_guest_negotiate(&f->channels[FILE_COPY], 1, 1);
	assert_int_equal(start_copy(f), 0);
}

/* Each byte changed: it is refused, or the service goes on with it. */
static void test_any_record_is_survived(void **state)
{
	struct fixture *f = *state;
	struct state_writer writer;
	struct state_reader reader;
	unsigned refused[SERVICES] = { 0 };

	assert_int_equal(start_copy(f), 0);
	assert_int_equal(ic_vss_freeze(f->vss, HOUR, on_done, f), 0);
	save(f, &writer);
	restore(f, &writer);
	for (size_t at = 0; at < writer.size; at++) {
		writer.bytes[at] ^= 0x83;
		for (unsigned i = 0; i < SERVICES; i++)
			if (state_reader_init(&reader, writer.bytes, writer.size) == 0)
				refused[i] += ic_service_restore(service_of(f, i), names[i],
								 &reader) != 0;
		writer.bytes[at] ^= 0x83;
	}
	for (unsigned i = 0; i < SERVICES; i++)
		assert_true(refused[i] > 8);
	restore(f, &writer);
	go_on(f);
	fake_settle(f->fake);
	state_writer_deinit(&writer);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(test_pairs),
		TEST(test_pairs_asked_at_once),
		TEST(test_frozen),
		TEST(test_the_limit_of_a_frozen_guest),
		TEST(test_freezing),
		TEST(test_a_copy_is_cancelled),
		TEST(test_a_guest_that_closes_after_it),
		TEST(test_any_record_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
