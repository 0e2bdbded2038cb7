/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The walks of a table of chipset devices, with rows that are made up. */
#include "tests/unit/unit.h"
#include "vmwp/chipset/chipset_devices.h"

#include <stdio.h>
#include <string.h>

/* ---- A device with all that there is: ports, memory, two lines, an object ---- */

struct box {
	char log[512];  /* what was asked of it */
	uint8_t levels; /* of its lines, bits 0 and 1 */
	unsigned settled;
};

static void box_log(struct box *box, const char *what, uint64_t offset, unsigned size,
		    uint64_t value)
{
	size_t used = strlen(box->log);

	snprintf(box->log + used, sizeof(box->log) - used, "%s%u+%u:%llx ", what, (unsigned)offset,
		 size, (unsigned long long)value);
}

static uint64_t box_read(void *device, uint64_t offset, unsigned size)
{
	box_log(device, "r", offset, size, 0);
	return UINT64_C(0x8877665544332211) >> offset * 8;
}

static enum power_request box_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
	box_log(device, "w", offset, size, value);
	return (value & 0xff) == 0xcc ? POWER_RESET : POWER_NOTHING;
}

static enum power_request box_write_levels(void *device, uint64_t offset, unsigned size,
					   uint64_t value)
{
	((struct box *)device)->levels = (uint8_t)value;
	return POWER_NOTHING;
}

static bool box_level_0(const void *device)
{
	return ((const struct box *)device)->levels & 1;
}

static bool box_level_1(const void *device)
{
	return ((const struct box *)device)->levels & 2;
}

static void box_init(void *device, const struct chipset_config *config)
{
	assert_ptr_equal(device, chipset_devices_get(config->devices, config->data));
}

static void box_reset(void *device)
{
	struct box *box = device;

	box->log[0] = '\0';
	box->settled = 0;
}

static void box_settle(void *device)
{
	((struct box *)device)->settled++;
}

static void box_save(const void *device, struct state_writer *writer)
{
	state_put(writer, &((const struct box *)device)->levels, 1);
}

static int box_restore(void *device, struct state_record *record)
{
	return state_get(record, &((struct box *)device)->levels, 1);
}

static const struct chipset_device_ops box_ops = {
	.name = "box",
	.size = sizeof(struct box),
	.ports = {
		{ 0x310, 8, 4, box_read, box_write },
		{ 0x308, 2, 1, box_read, box_write },
		{ 0x318, 1, 1, NULL, box_write_levels },
	},
	.mmio = {
		{ UINT64_C(0xfed40000), 0x20, 8, box_read, box_write },
		{ UINT64_C(0x1fed40000), 4, 2, box_read, NULL },
	},
	.lines = { { 5, box_level_0 }, { 14, box_level_1 } },
	.init = box_init,
	.reset = box_reset,
	.settle = box_settle,
	.state_version = 3,
	.save = box_save,
	.restore = box_restore,
};

static uint64_t door_read(void *device, uint64_t offset, unsigned size)
{
	assert_null(device);
	return 0x55;
}

/* One without an object, whose port is between the other's. */
static const struct chipset_device_ops door_ops = {
	.name = "door",
	.ports = { { 0x30f, 1, 1, door_read, NULL } },
};

/* ---- Fixture ---- */

static bool pins[16];
static unsigned pin_calls;

static void set_interrupt(void *data, unsigned pin, bool level)
{
	assert_in_range(pin, 0, 15);
	assert_true(pins[pin] != level);
	pins[pin] = level;
	pin_calls++;
}

static const struct chipset_callbacks callbacks = { .set_interrupt = set_interrupt };

static struct chipset_devices *make(const struct chipset_device_ops *first,
				    const struct chipset_device_ops *second)
{
	const struct chipset_device_ops *const table[] = { first, second };
	const struct chipset_config config = { .callbacks = &callbacks, .data = (void *)first };
	struct chipset_devices *devices;

	assert_int_equal(chipset_devices_new(table, 2, &config, &devices), 0);
	return devices;
}

static int setup(void **state)
{
	memset(pins, 0, sizeof(pins));
	pin_calls = 0;
	*state = make(&box_ops, &door_ops);
	return 0;
}

static int teardown(void **state)
{
	chipset_devices_free(*state);
	return 0;
}

static uint64_t get(struct chipset_devices *devices, enum chipset_space space, uint64_t address,
		    unsigned size)
{
	uint64_t value = 0;

	assert_int_equal(
		chipset_devices_access(devices, space, address, size, false, (uint8_t *)&value),
		POWER_NOTHING);
	return value;
}

static enum power_request put(struct chipset_devices *devices, enum chipset_space space,
			      uint64_t address, unsigned size, uint64_t value)
{
	return chipset_devices_access(devices, space, address, size, true, (uint8_t *)&value);
}

/* What the box was asked since the last time. */
static const char *box_log_take(struct chipset_devices *devices)
{
	static char log[512];
	struct box *box = chipset_devices_get(devices, &box_ops);

	strcpy(log, box->log);
	box->log[0] = '\0';
	return log;
}

/* ---- Tests ---- */

static void ports_are_dispatched(void **state)
{
	struct chipset_devices *devices = *state;

	assert_int_equal(get(devices, CHIPSET_PORTS, 0x310, 4), 0x44332211);
	assert_string_equal(box_log_take(devices), "r0+4:0 ");
	assert_int_equal(get(devices, CHIPSET_PORTS, 0x316, 2), 0x8877);
	assert_string_equal(box_log_take(devices), "r6+2:0 ");
	/* Not aligned, and at the end of the range. */
	assert_int_equal(put(devices, CHIPSET_PORTS, 0x313, 4, 0x44332211), POWER_NOTHING);
	assert_string_equal(box_log_take(devices), "w3+1:11 w4+2:3322 w6+1:44 ");
	/* No wider than the registers are. */
	assert_int_equal(put(devices, CHIPSET_PORTS, 0x308, 2, 0x2211), POWER_NOTHING);
	assert_string_equal(box_log_take(devices), "w0+1:11 w1+1:22 ");
	/* Over all: the box, nothing, the door, the box. */
	assert_int_equal(get(devices, CHIPSET_PORTS, 0x309, 1), 0x22);
	assert_int_equal(get(devices, CHIPSET_PORTS, 0x30a, 4), 0xffffffff);
	assert_int_equal(get(devices, CHIPSET_PORTS, 0x30e, 4), 0x221155ff);
	assert_int_equal(put(devices, CHIPSET_PORTS, 0x30f, 1, 0), POWER_NOTHING);
	assert_string_equal(box_log_take(devices), "r1+1:0 r0+2:0 ");
	/* Ports are not addresses. */
	assert_int_equal(get(devices, CHIPSET_MMIO, 0x310, 4), 0xffffffff);
	assert_int_equal(get(devices, CHIPSET_PORTS, 0x318, 1), 0xff);
}

static void memory_is_dispatched(void **state)
{
	struct chipset_devices *devices = *state;
	const uint64_t base = 0xfed40000;

	assert_true(get(devices, CHIPSET_MMIO, base, 8) == UINT64_C(0x8877665544332211));
	assert_int_equal(get(devices, CHIPSET_MMIO, base + 2, 2), 0x4433);
	assert_string_equal(box_log_take(devices), "r0+8:0 r2+2:0 ");
	assert_int_equal(put(devices, CHIPSET_MMIO, base + 8, 8, UINT64_C(0x1122334455667788)),
			 POWER_NOTHING);
	assert_string_equal(box_log_take(devices), "w8+8:1122334455667788 ");
	/* Sizes that a split access has; and one that goes on behind the end. */
	assert_int_equal(put(devices, CHIPSET_MMIO, base + 0x10, 3, 0x332211), POWER_NOTHING);
	assert_int_equal(put(devices, CHIPSET_MMIO, base + 0x1e, 8, 0x2211), POWER_NOTHING);
	assert_string_equal(box_log_take(devices), "w16+2:2211 w18+1:33 w30+2:2211 ");
	assert_int_equal(get(devices, CHIPSET_MMIO, base - 1, 2), 0x11ff);
	assert_string_equal(box_log_take(devices), "r0+1:0 ");
	/* Above 4 GiB; what has no write swallows it. */
	assert_int_equal(put(devices, CHIPSET_MMIO, UINT64_C(0x1fed40000), 4, 1), POWER_NOTHING);
	assert_int_equal(get(devices, CHIPSET_MMIO, UINT64_C(0x1fed40000), 4), 0x44332211);
	assert_string_equal(box_log_take(devices), "r0+2:0 r2+2:0 ");
	assert_true(get(devices, CHIPSET_MMIO, UINT64_MAX - 3, 8) == UINT64_MAX);
	assert_true(get(devices, CHIPSET_MMIO, 0, 8) == UINT64_MAX);
}

/* What the guest asked for ends its access. */
static void requests_are_returned(void **state)
{
	struct chipset_devices *devices = *state;

	assert_int_equal(put(devices, CHIPSET_PORTS, 0x308, 2, 0x11cc), POWER_RESET);
	assert_string_equal(box_log_take(devices), "w0+1:cc ");
	assert_int_equal(put(devices, CHIPSET_MMIO, 0xfed40000, 1, 0xcc), POWER_RESET);
}

static void lines_follow_their_levels(void **state)
{
	struct chipset_devices *devices = *state;
	struct box *box = chipset_devices_get(devices, &box_ops);
	unsigned settled = box->settled;

	put(devices, CHIPSET_PORTS, 0x318, 1, 3);
	assert_true(pins[5] && pins[14]);
	assert_int_equal(box->settled, settled + 1);
	put(devices, CHIPSET_PORTS, 0x318, 1, 2);
	assert_true(!pins[5] && pins[14]);
	assert_int_equal(pin_calls, 3);
	box->levels = 1;
	chipset_devices_settle(devices, &box_ops);
	assert_true(pins[5] && !pins[14]);
	/* A new partition's lines are low; this device asserts one again. */
	memset(pins, 0, sizeof(pins));
	chipset_devices_reset(devices);
	assert_true(pins[5] && !pins[14]);
}

/* One row without a state is none of its business. */
static void state_is_restored(void **state)
{
	struct chipset_devices *devices = *state;
	struct box *box = chipset_devices_get(devices, &box_ops);
	struct failure failure = { 0 };
	struct state_writer writer;
	struct state_reader reader;
	struct state_record record;

	state_writer_init(&writer);
	box->levels = 2;
	chipset_devices_save(devices, &writer);
	assert_int_equal(state_writer_error(&writer), 0);
	assert_int_equal(state_reader_init(&reader, writer.bytes, writer.size), 0);
	assert_int_equal(state_find(&reader, "chipset/box", 3, &record), 0);
	assert_int_equal(record.version, 3);
	assert_int_equal(state_find(&reader, "chipset/door", 1, &record), STATE_E_ABSENT);
	box->levels = 0;
	assert_int_equal(chipset_devices_restore(devices, &reader, &failure), 0);
	assert_int_equal(box->levels, 2);
	assert_true(!pins[5] && pins[14]);
	state_writer_deinit(&writer);
}

/* Whether a table with the box and this row is none. */
static bool is_refused(const struct chipset_device_ops *row)
{
	const struct chipset_device_ops *const table[] = { &box_ops, row };

	return !chipset_table_is_valid(table, ARRAY_SIZE(table));
}

static void rows_are_apart(void **state)
{
	static const struct chipset_device_ops beside = {
		.name = "beside",
		.ports = { { 0x300, 8, 1, NULL, NULL }, { 0x30a, 5, 1, NULL, NULL } },
		.mmio = { { 0xfed40020, 1, 1, NULL, NULL }, { UINT64_MAX, 1, 1, NULL, NULL } },
		.lines = { { 6, box_level_0 } },
	};
	static const struct chipset_device_ops ports = {
		.name = "ports",
		.ports = { { 0x300, 9, 1, NULL, NULL } },
	};
	static const struct chipset_device_ops twice = {
		.name = "twice",
		.ports = { { 0x400, 8, 1, NULL, NULL }, { 0x407, 1, 1, NULL, NULL } },
	};
	static const struct chipset_device_ops inside = {
		.name = "inside",
		.mmio = { { 0xfed40010, 1, 1, NULL, NULL } },
	};
	static const struct chipset_device_ops wide = {
		.name = "wide",
		.ports = { { 0x400, 8, 3, NULL, NULL } },
	};
	static const struct chipset_device_ops endless = {
		.name = "endless",
		.mmio = { { UINT64_MAX, 2, 1, NULL, NULL } },
	};
	static const struct chipset_device_ops namesake = { .name = "box" };
	static const struct chipset_device_ops line = {
		.name = "line",
		.size = sizeof(struct box),
		.lines = { { 14, box_level_0 } },
		.save = box_save,
		.restore = box_restore,
	};
	static const struct chipset_device_ops forgetful = {
		.name = "forgetful",
		.size = sizeof(struct box),
	};

	assert_false(is_refused(&door_ops));
	assert_false(is_refused(&beside));
	assert_true(is_refused(&box_ops));
	assert_true(is_refused(&ports));
	assert_true(is_refused(&twice));
	assert_true(is_refused(&inside));
	assert_true(is_refused(&wide));
	assert_true(is_refused(&endless));
	assert_true(is_refused(&namesake));
	assert_true(is_refused(&line));
	assert_true(is_refused(&forgetful));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ports_are_dispatched, setup, teardown),
		cmocka_unit_test_setup_teardown(memory_is_dispatched, setup, teardown),
		cmocka_unit_test_setup_teardown(requests_are_returned, setup, teardown),
		cmocka_unit_test_setup_teardown(lines_follow_their_levels, setup, teardown),
		cmocka_unit_test_setup_teardown(state_is_restored, setup, teardown),
		cmocka_unit_test(rows_are_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
