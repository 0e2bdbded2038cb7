/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots: freeze and thaw, the limit, and guests that refuse, keep silent or leave. */
#include "tests/fake/ic_guest.h"
#include "tests/unit/unit.h"
#include "vsp/ic/ic.h"
#include "vsp/ic/ic_vss.h"

#include <errno.h>
#include <string.h>

#define MILLISECOND 1000000ull
#define HOUR        (3600 * 1000 * MILLISECOND)

struct fixture {
	struct fake *fake;
	struct ic_vss *vss;
	struct fake_channel channel;
	unsigned dones, thaws;
	int result, thaw_result;
	enum ic_vss_state awaited;
};

static void on_thawed(void *data, int result)
{
	struct fixture *f = data;

	f->thaws++;
	f->thaw_result = result;
}

static void on_done(void *data, int result)
{
	struct fixture *f = data;

	f->dones++;
	f->result = result;
}

static struct fixture *make(const struct ic_vss_options *options)
{
	static const struct ic_vss_callbacks callbacks = { .thawed = on_thawed };
	struct fixture *f = calloc(1, sizeof(*f));

	f->fake = fake_new(1, 4 << 20);
	assert_int_equal(ic_vss_new(f->fake->bus, options, &callbacks, f, &f->vss), 0);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
	return f;
}

static int setup(void **state)
{
	*state = make(NULL);
	return 0;
}

static int setup_impatient(void **state)
{
	*state = make(&(struct ic_vss_options){ MILLISECOND, 1000 * MILLISECOND });
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_stop(f->fake);
	ic_vss_free(f->vss);
	fake_free(f->fake);
	free(f);
	return 0;
}

static void open_service(struct fixture *f)
{
	ic_guest_open(f->fake, IC_VSS_TYPE, &f->channel);
	ic_guest_negotiate(&f->channel, 5, 0);
}

static void receive(struct fixture *f, struct ic_message *message, uint8_t operation)
{
	assert_true(ic_guest_receive(&f->channel, message));
	assert_int_equal(message->header.type, IC_MESSAGE_VSS);
	assert_int_equal(message->header.size, sizeof(struct ic_vss_body));
	assert_int_equal(message->vss.operation, operation);
}

static void exchange(struct fixture *f, uint8_t operation, uint32_t status)
{
	struct ic_message message;

	receive(f, &message, operation);
	message.vss.flags = operation == IC_VSS_HOT_BACKUP ? IC_VSS_NO_AUTO_RECOVERY : 0;
	ic_guest_answer(&f->channel, &message, status);
}

/* Up to the guest's answer; the limit runs from then on. */
static void freeze_until(struct fixture *f, uint64_t limit_ns)
{
	f->dones = 0;
	assert_int_equal(ic_vss_freeze(f->vss, limit_ns, on_done, f), 0);
	exchange(f, IC_VSS_HOT_BACKUP, IC_STATUS_OK);
	assert_int_equal(f->dones, 0);
	assert_int_equal(ic_vss_state(f->vss), IC_VSS_FREEZING);
	exchange(f, IC_VSS_FREEZE, IC_STATUS_OK);
	assert_int_equal(f->dones, 1);
	assert_int_equal(f->result, 0);
}

static void freeze(struct fixture *f)
{
	freeze_until(f, HOUR);
	assert_int_equal(ic_vss_state(f->vss), IC_VSS_FROZEN);
}

static bool is_in_state(void *data)
{
	const struct fixture *f = data;

	return ic_vss_state(f->vss) == f->awaited;
}

static void await(struct fixture *f, enum ic_vss_state state)
{
	f->awaited = state;
	assert_true(fake_run_until(f->fake, is_in_state, f));
}

static void test_freeze_and_thaw(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ic_vss_freeze(f->vss, HOUR, on_done, f), -ENOTCONN);
	open_service(f);
	assert_true(ic_vss_is_connected(f->vss));
	assert_int_equal(ic_vss_thaw(f->vss, on_done, f), -EALREADY);
	for (unsigned i = 0; i < 3; i++) {
		freeze(f);
		assert_int_equal(ic_vss_freeze(f->vss, HOUR, on_done, f), -EALREADY);
		assert_int_equal(ic_vss_thaw(f->vss, on_done, f), 0);
		assert_int_equal(ic_vss_thaw(f->vss, on_done, f), -EALREADY);
		exchange(f, IC_VSS_THAW, IC_STATUS_OK);
		assert_int_equal(f->dones, 2);
		assert_int_equal(f->result, 0);
		assert_int_equal(ic_vss_state(f->vss), IC_VSS_RUNNING);
	}
	assert_int_equal(f->thaws, 0);
}

static void test_limit(void **state)
{
	struct fixture *f = *state;

	open_service(f);
	for (unsigned i = 0; i < 3; i++) {
		freeze_until(f, MILLISECOND);
		await(f, IC_VSS_THAWING);
		assert_int_equal(f->thaws, i);
		assert_int_equal(ic_vss_thaw(f->vss, on_done, f), -EALREADY);
		exchange(f, IC_VSS_THAW, IC_STATUS_OK);
		assert_int_equal(f->thaws, i + 1);
		assert_int_equal(f->thaw_result, 0);
		assert_int_equal(ic_vss_state(f->vss), IC_VSS_RUNNING);
	}
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;

	open_service(f);
	assert_int_equal(ic_vss_freeze(f->vss, HOUR, on_done, f), 0);
	exchange(f, IC_VSS_HOT_BACKUP, IC_STATUS_FAIL);
	assert_int_equal(f->result, IC_E_REFUSED);
	assert_int_equal(ic_vss_freeze(f->vss, HOUR, on_done, f), 0);
	exchange(f, IC_VSS_HOT_BACKUP, IC_STATUS_OK);
	exchange(f, IC_VSS_FREEZE, IC_STATUS_FAIL);
	assert_int_equal(f->dones, 2);
	assert_int_equal(f->result, IC_E_REFUSED);
	assert_int_equal(ic_vss_state(f->vss), IC_VSS_RUNNING);
	freeze(f);
	assert_int_equal(ic_vss_thaw(f->vss, on_done, f), 0);
	exchange(f, IC_VSS_THAW, IC_STATUS_FAIL);
	assert_int_equal(f->result, IC_E_REFUSED);
	assert_int_equal(f->thaws, 0);
}

static void test_old_version_has_no_freeze(void **state)
{
	struct fixture *f = *state;

	ic_guest_open(f->fake, IC_VSS_TYPE, &f->channel);
	ic_guest_negotiate(&f->channel, 4, 0);
	assert_int_equal(ic_vss_freeze(f->vss, HOUR, on_done, f), -EOPNOTSUPP);
	assert_false(ic_guest_has_request(&f->channel));
}

/* It never answers the freeze, and does it all the same: the thaw lies behind it. */
static void test_silent_freeze(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	open_service(f);
	assert_int_equal(ic_vss_freeze(f->vss, HOUR, on_done, f), 0);
	/* Before anything may be frozen, there is nothing to thaw. */
	await(f, IC_VSS_RUNNING);
	assert_int_equal(f->result, IC_E_TIMEOUT);
	assert_int_equal(f->thaws, 0);
	receive(f, &message, IC_VSS_HOT_BACKUP);
	assert_false(ic_guest_has_request(&f->channel));
	ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	assert_int_equal(ic_vss_state(f->vss), IC_VSS_RUNNING);
}

static void test_silent_after_the_check(void **state)
{
	struct fixture *f = *state;
	struct ic_message message;

	open_service(f);
	assert_int_equal(ic_vss_freeze(f->vss, HOUR, on_done, f), 0);
	receive(f, &message, IC_VSS_HOT_BACKUP);
	ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	receive(f, &message, IC_VSS_FREEZE);
	await(f, IC_VSS_THAWING);
	assert_int_equal(f->dones, 1);
	assert_int_equal(f->result, IC_E_TIMEOUT);
	/* Frozen after all, too late. */
	ic_guest_answer(&f->channel, &message, IC_STATUS_OK);
	assert_int_not_equal(ic_vss_state(f->vss), IC_VSS_FROZEN);
	receive(f, &message, IC_VSS_THAW);
	await(f, IC_VSS_RUNNING);
	assert_int_equal(f->dones, 1);
	assert_int_equal(f->thaws, 1);
	assert_int_equal(f->thaw_result, IC_E_TIMEOUT);
}

static void leave(struct fixture *f, bool close)
{
	if (close) {
		assert_true(fake_close(&f->channel));
		return;
	}
	fake_stop(f->fake);
	assert_true(fake_connect(f->fake, VMBUS_VERSION_5_3));
	assert_true(fake_request_offers(f->fake));
}

static void test_left_meanwhile(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 2; i++) {
		f->dones = f->thaws = 0;
		open_service(f);
		assert_int_equal(ic_vss_freeze(f->vss, HOUR, on_done, f), 0);
		leave(f, i);
		assert_int_equal(f->dones, 1);
		assert_int_equal(f->result, IC_E_GONE);
		assert_int_equal(f->thaws, 0);

		open_service(f);
		freeze(f);
		leave(f, i);
		assert_int_equal(f->dones, 1);
		assert_int_equal(f->thaws, 1);
		assert_int_equal(f->thaw_result, IC_E_GONE);

		open_service(f);
		freeze(f);
		assert_int_equal(ic_vss_thaw(f->vss, on_done, f), 0);
		leave(f, i);
		assert_int_equal(f->dones, 2);
		assert_int_equal(f->result, IC_E_GONE);
		assert_int_equal(f->thaws, 1);
		assert_int_equal(ic_vss_state(f->vss), IC_VSS_RUNNING);
		assert_int_equal(ic_vss_thaw(f->vss, on_done, f), -ENOTCONN);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_freeze_and_thaw),
		TEST(test_limit),
		TEST(test_refusals),
		TEST(test_old_version_has_no_freeze),
		cmocka_unit_test_setup_teardown(test_silent_freeze, setup_impatient, teardown),
		cmocka_unit_test_setup_teardown(test_silent_after_the_check, setup_impatient,
						teardown),
		TEST(test_left_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
