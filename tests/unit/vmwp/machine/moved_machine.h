/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A machine whose guest counts for ever at COUNT_AT, to be saved, and another one in which it goes on,
 * on the host's KVM. Tests are skipped without one.
 */
#pragma once

#include "common/base/state.h"
#include "tests/unit/unit.h"
#include "tests/unit/vmwp/boot/kernel_image.h"
#include "tests/unit/vmwp/machine/guest_code.h"
#include "vmwp/machine/machine.h"
#include "vmwp/machine/machine_parts.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND   1000000000ull
#define MIB      (1u << 20)
#define COUNT_AT 0x200000u

/* Rows in the order of the table of devices. */
static const struct device_ops *const rows[] = {
	&machine_memory_ops,
	&machine_partition_ops,
	&machine_processors_ops,
	&machine_hypervisor_ops,
};

struct fixture {
	struct loop *loop;
	struct definition *definition;
	struct machine *source, *target;
	struct failure failure;
	struct kernel_image image;
	enum machine_state state; /* the last that either has told */
	enum machine_reason reason;
	bool quiet;
	unsigned crashes;
};

static inline void on_state(void *data, enum machine_state state, enum machine_reason reason,
			    const char *message)
{
	struct fixture *fixture = data;

	fixture->state = state;
	fixture->reason = reason;
	if (message[0] != '\0')
		print_message("%s\n", message);
}

static inline void on_reset(void *data, enum machine_reason reason, const char *message)
{
}

static inline void on_crash(void *data, const struct hvshim_crash *crash)
{
	((struct fixture *)data)->crashes++;
}

static inline void on_vmbus(void *data, uint32_t version)
{
}

static inline void on_notice(void *data, const char *text)
{
}

static inline void on_console(void *data, bool output)
{
}

static const struct machine_callbacks callbacks = {
	.state = on_state,
	.reset = on_reset,
	.crash = on_crash,
	.vmbus = on_vmbus,
	.notice = on_notice,
	.console = on_console,
};

/* Two vps; what is special about the guest is up to the test. */
static inline int fixture_new(void **state, const uint8_t *code, size_t code_size)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	assert_int_equal(loop_new(512, &fixture->loop), 0);
	assert_int_equal(definition_new(&fixture->definition), 0);
	fixture->definition->memory.size = 16 * MIB;
	fixture->definition->memory.pages = DEFINITION_PAGES_SMALL;
	fixture->definition->processors.count = 2;
	fixture->definition->processors.sockets = 2;
	fixture->definition->actions.triple_fault = DEFINITION_ACTION_STOP;
	kernel_image_elf(&fixture->image, ELFCLASS64, code, code_size);
	*state = fixture;
	return 0;
}

static inline void stop(struct fixture *fixture, struct machine **machine)
{
	uint64_t end = loop_now() + 60 * SECOND;

	if (!*machine)
		return;
	machine_stop(*machine);
	while (machine_state(*machine) != MACHINE_STOPPED && loop_now() < end)
		assert_int_equal(loop_run_once(fixture->loop, SECOND / 10), 0);
	assert_int_equal(machine_state(*machine), MACHINE_STOPPED);
	/* What the personality still has under way ends in the loop's next iterations. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(loop_run_once(fixture->loop, SECOND / 1000), 0);
	machine_free(TAKE_PTR(*machine));
}

static inline int teardown(void **state)
{
	struct fixture *fixture = *state;

	stop(fixture, &fixture->source);
	stop(fixture, &fixture->target);
	loop_free(fixture->loop);
	definition_free(fixture->definition);
	free(fixture);
	return 0;
}

static inline void make(struct fixture *fixture, struct machine **ret_machine)
{
	struct machine_config config = {
		.definition = fixture->definition,
		.loop = fixture->loop,
		.callbacks = &callbacks,
		.data = fixture,
	};
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (kvm < 0)
		skip();
	assert_int_equal(resources_new(&config.resources), 0);
	assert_int_equal(resources_put(config.resources, "kvm", kvm), 0);
	assert_int_equal(
		resources_put(config.resources, "kernel", kernel_image_file(&fixture->image)), 0);
	if (machine_new(&config, ret_machine, &fixture->failure) < 0)
		fail_msg("%s", fixture->failure.message);
	resources_free(config.resources);
}

static inline void *memory(const struct machine *machine, uint64_t address, uint64_t size)
{
	void *bytes = vid_memory_map(machine_memory(machine), GPA(address), size);

	assert_non_null(bytes);
	return bytes;
}

static inline uint32_t counted(const struct machine *machine)
{
	return *(volatile uint32_t *)memory(machine, COUNT_AT, sizeof(uint32_t));
}

/* The guest has counted on; a minute is for ever. */
static inline void wait_for_count(struct fixture *fixture, const struct machine *machine)
{
	uint64_t end = loop_now() + 60 * SECOND;
	uint32_t before = counted(machine);

	while (counted(machine) < before + 10 && loop_now() < end)
		assert_int_equal(loop_run_once(fixture->loop, SECOND / 1000), 0);
	assert_true(counted(machine) >= before + 10);
	assert_int_equal(fixture->state, MACHINE_RUNNING);
}

static inline void start_source(struct fixture *fixture)
{
	make(fixture, &fixture->source);
	if (machine_start(fixture->source, &fixture->failure) < 0)
		fail_msg("%s", fixture->failure.message);
	wait_for_count(fixture, fixture->source);
	assert_int_equal(machine_pause(fixture->source), 0);
}

static inline void is_quiet(void *data)
{
	((struct fixture *)data)->quiet = true;
}

static inline void save(struct fixture *fixture, struct machine *machine,
			struct state_writer *writer)
{
	fixture->quiet = false;
	machine_hypervisor_ops.quiesce(machine, is_quiet, fixture);
	assert_true(fixture->quiet);
	state_writer_init(writer);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(rows[i]->save(machine, writer), 0);
}
