/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The machine's life, with guests of a few instructions on the host's KVM. Skipped without one.
 */
#include "common/base/cc.h"
#include "common/base/state.h"
#include "common/wire/tlfs.h"
#include "common/wire/vmbus.h"
#include "tests/unit/unit.h"
#include "tests/unit/vmwp/boot/kernel_image.h"
#include "tests/unit/vmwp/machine/guest_code.h"
#include "vmwp/chipset/chipset.h"
#include "vmwp/machine/machine.h"
#include "vmwp/machine/machine_parts.h"
#include "vsp/vmbus/vmbus.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND 1000000000ull

struct fixture {
	struct loop *loop;
	struct definition *definition;
	struct resources *resources;
	struct machine *machine;
	struct failure failure;
	struct kernel_image image;

	unsigned states, resets, crashes;
	enum machine_state state;
	enum machine_reason reason;
	char message[512], notice[256];
	uint64_t crash_parameter;
	unsigned stop_after_resets; /* 0: never */
};

static void on_state(void *data, enum machine_state state, enum machine_reason reason,
		     const char *message)
{
	struct fixture *fixture = data;

	fixture->states++;
	fixture->state = state;
	fixture->reason = reason;
	snprintf(fixture->message, sizeof(fixture->message), "%s", message);
}

static void on_reset(void *data, enum machine_reason reason, const char *message)
{
	struct fixture *fixture = data;

	fixture->reason = reason;
	if (++fixture->resets == fixture->stop_after_resets)
		machine_stop(fixture->machine);
}

static void on_crash(void *data, const struct hvshim_crash *crash)
{
	struct fixture *fixture = data;

	fixture->crashes++;
	fixture->crash_parameter = crash->parameters[0];
}

static void on_vmbus(void *data, uint32_t version)
{
}

static void on_notice(void *data, const char *text)
{
	struct fixture *fixture = data;

	snprintf(fixture->notice, sizeof(fixture->notice), "%s", text);
}

static void on_console(void *data, bool output)
{
}

static void on_firmware(void *data, enum firmware_word word)
{
}

static const struct machine_callbacks callbacks = {
	.state = on_state,
	.reset = on_reset,
	.crash = on_crash,
	.vmbus = on_vmbus,
	.notice = on_notice,
	.console = on_console,
	.firmware = on_firmware,
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	assert_int_equal(loop_new(512, &fixture->loop), 0);
	assert_int_equal(resources_new(&fixture->resources), 0);
	assert_int_equal(definition_new(&fixture->definition), 0);
	fixture->definition->memory.size = 16u << 20;
	fixture->definition->memory.pages = DEFINITION_PAGES_SMALL;
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	/* What the personality still has under way ends in the loop's next iterations. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(loop_run_once(fixture->loop, SECOND / 1000), 0);
	machine_free(fixture->machine);
	loop_free(fixture->loop);
	resources_free(fixture->resources);
	definition_free(fixture->definition);
	free(fixture);
	return 0;
}

/* Of what is in the resources. */
static int make_machine(struct fixture *fixture)
{
	const struct machine_config config = {
		.definition = fixture->definition,
		.resources = fixture->resources,
		.loop = fixture->loop,
		.callbacks = &callbacks,
		.data = fixture,
	};

	return machine_new(&config, &fixture->machine, &fixture->failure);
}

static void make(struct fixture *fixture, const void *code, size_t size)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (kvm < 0)
		skip();
	kernel_image_elf(&fixture->image, ELFCLASS64, code, size);
	assert_int_equal(resources_put(fixture->resources, "kvm", kvm), 0);
	assert_int_equal(
		resources_put(fixture->resources, "kernel", kernel_image_file(&fixture->image)), 0);
	if (make_machine(fixture) < 0)
		fail_msg("%s", fixture->failure.message);
}

static void start(struct fixture *fixture, const void *code, size_t size)
{
	make(fixture, code, size);
	if (machine_start(fixture->machine, &fixture->failure) < 0)
		fail_msg("%s", fixture->failure.message);
	assert_int_equal(fixture->state, MACHINE_RUNNING);
}

/* Turns the loop until the machine is in that state. A minute is for ever. */
static void wait_for(struct fixture *fixture, enum machine_state state)
{
	uint64_t end = loop_now() + 60 * SECOND;

	while (fixture->state != state && loop_now() < end)
		assert_int_equal(loop_run_once(fixture->loop, SECOND / 10), 0);
	if (fixture->state != state)
		print_message("reason %s: %s\n", machine_reason_name(fixture->reason),
			      fixture->message);
	assert_int_equal(fixture->state, state);
	assert_int_equal(machine_state(fixture->machine), state);
}

static void stop(struct fixture *fixture)
{
	machine_stop(fixture->machine);
	wait_for(fixture, MACHINE_STOPPED);
	assert_int_equal(fixture->reason, MACHINE_REQUESTED);
}

/* What the guest has printed by now. */
static size_t printed(struct fixture *fixture, char *buffer, size_t size)
{
	size_t n = chipset_console_take(machine_chipset(fixture->machine), buffer, size - 1);

	buffer[n] = 0;
	return n;
}

static void wait_for_output(struct fixture *fixture)
{
	uint64_t end = loop_now() + 60 * SECOND;
	char text[256];

	while (printed(fixture, text, sizeof(text)) == 0 && loop_now() < end)
		assert_int_equal(loop_run_once(fixture->loop, SECOND / 100), 0);
	assert_true(loop_now() < end);
}

static void guest_powers_off(void **state)
{
	static const uint8_t code[] = { GUEST_PRINT('h'), GUEST_PRINT('i'), GUEST_OFF, GUEST_HALT };
	struct fixture *fixture = *state;
	char text[16];

	start(fixture, code, sizeof(code));
	wait_for(fixture, MACHINE_STOPPED);
	assert_int_equal(fixture->reason, MACHINE_GUEST_SHUTDOWN);
	assert_string_equal(fixture->message, "");
	printed(fixture, text, sizeof(text));
	assert_string_equal(text, "hi");
	assert_true(machine_first_run(fixture->machine) > 0);
}

static void guest_resets_again_and_again(void **state)
{
	static const uint8_t code[] = { GUEST_PRINT('r'), GUEST_RESET, GUEST_HALT };
	struct fixture *fixture = *state;
	char text[64];

	fixture->definition->actions.reboot = DEFINITION_ACTION_RESTART;
	fixture->stop_after_resets = 20;
	start(fixture, code, sizeof(code));
	wait_for(fixture, MACHINE_STOPPED);
	assert_int_equal(fixture->resets, 20);
	assert_int_equal(fixture->reason, MACHINE_REQUESTED);
	assert_true(printed(fixture, text, sizeof(text)) >= 20);
}

static void memory_is_clear_after_a_reset(void **state)
{
	/* Prints the byte at 2 MiB, then changes it: cmp; a guest that finds it changed faults. */
	static const uint8_t code[] = { 0x80,        0x3d,      0x00, 0x00,
					0x20,        0x00,      0x00, /* cmpb $0, 0x200000 */
					0x74,        0x02,            /* je over the fault */
					GUEST_FAULT, 0xc6,      0x05, 0x00,
					0x00,        0x20,      0x00, 0x01, /* movb $1, 0x200000 */
					GUEST_RESET, GUEST_HALT };
	struct fixture *fixture = *state;

	fixture->definition->actions.reboot = DEFINITION_ACTION_RESTART;
	fixture->definition->actions.triple_fault = DEFINITION_ACTION_STOP;
	fixture->stop_after_resets = 3;
	start(fixture, code, sizeof(code));
	wait_for(fixture, MACHINE_STOPPED);
	assert_int_equal(fixture->reason, MACHINE_REQUESTED);
	assert_int_equal(fixture->resets, 3);
}

static void reset_can_mean_stop_or_keep(void **state)
{
	static const uint8_t code[] = { GUEST_RESET, GUEST_HALT };
	struct fixture *fixture = *state;

	fixture->definition->actions.reboot = DEFINITION_ACTION_KEEP;
	start(fixture, code, sizeof(code));
	wait_for(fixture, MACHINE_KEPT);
	assert_int_equal(fixture->reason, MACHINE_GUEST_RESET);
	assert_int_equal(machine_pause(fixture->machine), MACHINE_E_STATE);
	assert_int_equal(machine_resume(fixture->machine), MACHINE_E_STATE);

	/* By hand it goes on, and does the same again. */
	assert_int_equal(machine_reset(fixture->machine), 0);
	fixture->state = MACHINE_RESETTING;
	wait_for(fixture, MACHINE_KEPT);
	assert_int_equal(fixture->resets, 1);

	fixture->definition->actions.reboot = DEFINITION_ACTION_STOP;
	assert_int_equal(machine_reset(fixture->machine), 0);
	wait_for(fixture, MACHINE_STOPPED);
	assert_int_equal(fixture->reason, MACHINE_GUEST_RESET);
}

static void triple_fault_says_where(void **state)
{
	static const uint8_t code[] = { 0x90, GUEST_FAULT };
	struct fixture *fixture = *state;

	fixture->definition->actions.triple_fault = DEFINITION_ACTION_KEEP;
	start(fixture, code, sizeof(code));
	wait_for(fixture, MACHINE_KEPT);
	assert_int_equal(fixture->reason, MACHINE_TRIPLE_FAULT);
	assert_non_null(strstr(fixture->message, "RIP 0x100001"));
	stop(fixture);
	assert_string_equal(fixture->message, "");
}

/* It has no IDT to take it by. */
static void nmi_reaches_a_guest(void **state)
{
	/* movl $0x1ff, 0xfee000f0: turns the APIC on. */
	static const uint8_t code[] = { 0xc7, 0x05, 0xf0, 0x00, 0xe0,      0xfe,
					0xff, 0x01, 0x00, 0x00, GUEST_HALT };
	struct fixture *fixture = *state;
	uint64_t end = loop_now() + 60 * SECOND;
	int r;

	fixture->definition->actions.triple_fault = DEFINITION_ACTION_KEEP;
	start(fixture, code, sizeof(code));
	while ((r = machine_nmi(fixture->machine)) == -EAGAIN && loop_now() < end)
		assert_int_equal(loop_run_once(fixture->loop, SECOND / 100), 0);
	assert_int_equal(r, 0);
	wait_for(fixture, MACHINE_KEPT);
	assert_int_equal(fixture->reason, MACHINE_TRIPLE_FAULT);
	assert_int_equal(machine_nmi(fixture->machine), MACHINE_E_STATE);
	stop(fixture);
}

static void crash_is_told(void **state)
{
	static const uint8_t code[] = { GUEST_CRASH, GUEST_HALT };
	struct fixture *fixture = *state;

	fixture->definition->actions.crash = DEFINITION_ACTION_STOP;
	fixture->definition->actions.crash_grace = 0;
	start(fixture, code, sizeof(code));
	wait_for(fixture, MACHINE_STOPPED);
	assert_int_equal(fixture->crashes, 1);
	assert_int_equal(fixture->crash_parameter, 0x42);
	assert_int_equal(fixture->reason, MACHINE_CRASH);
}

/* The features that CPUID shows, as a crash parameter. */
static uint64_t offered_features(struct fixture *fixture)
{
	static const uint8_t code[] = { 0xb8,
					0x03,
					0x00,
					0x00,
					0x40,
					0x0f,
					0xa2, /* cpuid, leaf 0x40000003 */
					0xb9,
					0x00,
					0x01,
					0x00,
					0x40,
					0x31,
					0xd2,
					0x0f,
					0x30, /* wrmsr, crash parameter 0 */
					GUEST_WRMSR(0x105, 0x80, 0),
					GUEST_HALT };

	fixture->definition->actions.crash = DEFINITION_ACTION_STOP;
	fixture->definition->actions.crash_grace = 0;
	start(fixture, code, sizeof(code));
	wait_for(fixture, MACHINE_STOPPED);
	assert_int_equal(fixture->crashes, 1);
	return fixture->crash_parameter;
}

static void synthetic_timers_are_offered_if_wanted(void **state)
{
	struct fixture *fixture = *state;

	fixture->definition->hyper_v[ENLIGHTENMENT_SYNTHETIC_TIMERS] = true;
	assert_true(offered_features(fixture) & HV_PRIVILEGE_SYNTHETIC_TIMERS);
}

static void synthetic_timers_are_not_offered_unasked(void **state)
{
	assert_false(offered_features(*state) & HV_PRIVILEGE_SYNTHETIC_TIMERS);
}

/* An MSR as the guest reads it first thing. */
static uint64_t read_msr(struct fixture *fixture, uint16_t index)
{
	const uint8_t code[] = { 0xb9,
				 (uint8_t)index,
				 (uint8_t)(index >> 8),
				 0,
				 0,
				 0x0f,
				 0x32,
				 0xb9,
				 0x00,
				 0x01,
				 0x00,
				 0x40,
				 0x0f,
				 0x30, /* to the parameter */
				 GUEST_WRMSR(0x105, 0x80, 0),
				 GUEST_HALT };

	fixture->definition->actions.crash = DEFINITION_ACTION_STOP;
	fixture->definition->actions.crash_grace = 0;
	start(fixture, code, sizeof(code));
	wait_for(fixture, MACHINE_STOPPED);
	assert_int_equal(fixture->crashes, 1);
	return fixture->crash_parameter;
}

static void memory_is_write_back(void **state)
{
	assert_int_equal(read_msr(*state, 0x2ff), 0x806);
}

static void strings_are_fast(void **state)
{
	assert_int_equal(read_msr(*state, 0x1a0) & 1, 1);
}

static void crash_restarts(void **state)
{
	static const uint8_t code[] = { GUEST_CRASH, GUEST_HALT };
	struct fixture *fixture = *state;

	fixture->definition->actions.crash = DEFINITION_ACTION_RESTART;
	fixture->definition->actions.crash_grace = 0;
	fixture->stop_after_resets = 2;
	start(fixture, code, sizeof(code));
	wait_for(fixture, MACHINE_STOPPED);
	assert_true(fixture->crashes >= 2);
	assert_int_equal(fixture->resets, 2);
}

static void start_with_grace(struct fixture *fixture, const void *code, size_t size)
{
	fixture->definition->actions.crash = DEFINITION_ACTION_KEEP;
	fixture->definition->actions.crash_grace = 1;
	start(fixture, code, size);
}

static void wait_for_action(struct fixture *fixture)
{
	wait_for(fixture, MACHINE_KEPT);
	assert_int_equal(fixture->crashes, 1);
	assert_int_equal(fixture->reason, MACHINE_CRASH);
	stop(fixture);
}

static void run_for(struct fixture *fixture, uint64_t nanoseconds)
{
	for (uint64_t end = loop_now() + nanoseconds; loop_now() < end;)
		assert_int_equal(loop_run_once(fixture->loop, SECOND / 10), 0);
}

/* A guest that spins: the action comes when the grace is over. */
static void crash_without_an_end(void **state)
{
	static const uint8_t code[] = { GUEST_CRASH, GUEST_LOOP(0) };

	start_with_grace(*state, code, sizeof(code));
	wait_for_action(*state);
}

/* One that spins and reports its crash all the while has crashed once, and shows no life. */
static void crash_over_and_over(void **state)
{
	static const uint8_t code[] = { GUEST_CRASH, GUEST_LOOP(34) };

	start_with_grace(*state, code, sizeof(code));
	wait_for_action(*state);
}

/* One that shows that it lives is given more, but not for ever. */
static void crash_and_prints(void **state)
{
	static const uint8_t code[] = { GUEST_CRASH, GUEST_PRINT('.'), GUEST_LOOP(7) };
	struct fixture *fixture = *state;

	start_with_grace(fixture, code, sizeof(code));
	run_for(fixture, 3 * SECOND);
	assert_int_equal(fixture->state, MACHINE_RUNNING);
	wait_for_action(fixture);
}

static void crash_and_introductions(void **state)
{
	static const uint8_t code[] = { GUEST_CRASH, GUEST_WRMSR(0x000, 0, 1), GUEST_LOOP(17) };
	struct fixture *fixture = *state;

	fixture->definition->engine = DEFINITION_ENGINE_USER;
	start_with_grace(fixture, code, sizeof(code));
	run_for(fixture, 3 * SECOND);
	assert_int_equal(fixture->state, MACHINE_RUNNING);
	assert_int_equal(fixture->crashes, 1);
	stop(fixture);
}

/* A guest that ends itself: the action comes at once, and is not that of the end. */
static void crash_and_end(struct fixture *fixture, const void *code, size_t size)
{
	fixture->definition->actions.reboot = DEFINITION_ACTION_KEEP;
	fixture->definition->actions.triple_fault = DEFINITION_ACTION_KEEP;
	fixture->definition->actions.crash = DEFINITION_ACTION_RESTART;
	fixture->definition->actions.crash_grace = DEFINITION_CRASH_GRACE_MAX;
	fixture->stop_after_resets = 3;
	start(fixture, code, size);
	wait_for(fixture, MACHINE_STOPPED);
	assert_int_equal(fixture->crashes, 3);
	assert_int_equal(fixture->resets, 3);
	assert_int_equal(fixture->reason, MACHINE_REQUESTED);
}

static void crash_and_reset(void **state)
{
	static const uint8_t code[] = { GUEST_CRASH, GUEST_RESET, GUEST_HALT };

	crash_and_end(*state, code, sizeof(code));
}

static void crash_and_reset_by_msr(void **state)
{
	static const uint8_t code[] = { GUEST_CRASH, GUEST_WRMSR(0x003, 0, 1), GUEST_HALT };

	crash_and_end(*state, code, sizeof(code));
}

static void crash_and_power_off(void **state)
{
	static const uint8_t code[] = { GUEST_CRASH, GUEST_OFF, GUEST_HALT };

	crash_and_end(*state, code, sizeof(code));
}

static void crash_and_triple_fault(void **state)
{
	static const uint8_t code[] = { GUEST_CRASH, GUEST_FAULT };

	crash_and_end(*state, code, sizeof(code));
}

static void wait_for_crash(struct fixture *fixture)
{
	uint64_t end = loop_now() + 60 * SECOND;

	while (!fixture->crashes && loop_now() < end)
		assert_int_equal(loop_run_once(fixture->loop, SECOND / 100), 0);
	assert_int_equal(fixture->crashes, 1);
}

/* What a crash kernel does first: contact the VMBus. Then its end is one as any other. */
static void crash_kernel_comes_up(void **state)
{
	static const uint8_t code[] = { GUEST_CRASH, GUEST_LOOP(0) };
	const struct vmbus_message_initiate_contact contact = {
		.header.type = VMBUS_MESSAGE_INITIATE_CONTACT,
		.version = VMBUS_VERSION_4_0,
	};
	struct fixture *fixture = *state;

	fixture->definition->actions.reboot = DEFINITION_ACTION_KEEP;
	fixture->definition->actions.crash = DEFINITION_ACTION_STOP;
	fixture->definition->actions.crash_grace = 1;
	start(fixture, code, sizeof(code));
	wait_for_crash(fixture);
	vmbus_receive_message(machine_bus(fixture->machine), VMBUS_CONNECTION_ID_MESSAGE, &contact,
			      sizeof(contact));
	assert_int_equal(machine_vmbus_version(fixture->machine), VMBUS_VERSION_4_0);
	run_for(fixture, 3 * SECOND / 2);
	assert_int_equal(machine_state(fixture->machine), MACHINE_RUNNING);
	stop(fixture);
}

/* The guest cannot use its grace while it is paused; it gets all of it afterwards. */
static void crashed_guest_is_paused(void **state)
{
	static const uint8_t code[] = { GUEST_CRASH, GUEST_LOOP(0) };
	struct fixture *fixture = *state;

	fixture->definition->actions.crash = DEFINITION_ACTION_STOP;
	fixture->definition->actions.crash_grace = 1;
	start(fixture, code, sizeof(code));
	wait_for_crash(fixture);
	assert_int_equal(machine_pause(fixture->machine), 0);
	run_for(fixture, 3 * SECOND / 2);
	assert_int_equal(fixture->state, MACHINE_PAUSED);
	assert_int_equal(machine_resume(fixture->machine), 0);
	assert_int_equal(fixture->state, MACHINE_RUNNING);
	wait_for(fixture, MACHINE_STOPPED);
	assert_int_equal(fixture->reason, MACHINE_CRASH);
}

static void crashed_guest_is_stopped(void **state)
{
	static const uint8_t code[] = { GUEST_CRASH, GUEST_LOOP(0) };
	struct fixture *fixture = *state;

	fixture->definition->actions.crash = DEFINITION_ACTION_RESTART;
	start(fixture, code, sizeof(code));
	wait_for_crash(fixture);
	stop(fixture);
	assert_int_equal(fixture->resets, 0);
}

/* Its state stays, and it runs on from where it was. */
static void registers_while_it_runs(void **state)
{
	static const uint8_t code[] = { GUEST_PRINT('.'), GUEST_LOOP(7) };
	struct fixture *fixture = *state;
	struct vid_system_registers system;
	struct vid_registers registers;
	unsigned states;

	start(fixture, code, sizeof(code));
	for (int i = 0; i < 3; i++) {
		wait_for_output(fixture);
		states = fixture->states;
		assert_int_equal(machine_vp_registers(fixture->machine, 0, &registers, &system),
				 MACHINE_E_STATE);
		assert_true(machine_hold(fixture->machine));
		assert_int_equal(machine_vp_registers(fixture->machine, 0, &registers, &system), 0);
		machine_release(fixture->machine);
		assert_int_equal(fixture->states, states);
		assert_in_range(registers.rip, 0x100000, 0x100000 + sizeof(code));
		assert_int_equal(system.cr0 & 1, 1);
		assert_int_equal(system.cs.limit, UINT32_MAX);
	}
	assert_int_equal(machine_pause(fixture->machine), 0);
	assert_false(machine_hold(fixture->machine));
	assert_int_equal(machine_vp_registers(fixture->machine, 0, &registers, &system), 0);
	stop(fixture);
}

/* It sleeps in the kernel, and is woken for it. */
static void registers_of_a_guest_that_halts(void **state)
{
	static const uint8_t code[] = { GUEST_PRINT('.'), 0xf4 /* hlt */, GUEST_LOOP(0) };
	struct fixture *fixture = *state;
	struct vid_system_registers system;
	struct vid_registers registers;

	start(fixture, code, sizeof(code));
	wait_for_output(fixture);
	for (int i = 0; i < 3; i++) {
		assert_true(machine_hold(fixture->machine));
		assert_int_equal(machine_vp_registers(fixture->machine, 0, &registers, &system), 0);
		machine_release(fixture->machine);
	}
	stop(fixture);
}

/* Neither memory nor a device: reads are ones, and writes swallowed. */
static void memory_of_nothing_reads_as_ones(void **state)
{
	static const uint8_t code[] = {
		0xc7,        0x05,      0x00,      0x00, 0xd4, 0xfe, 0x00, 0x00,
		0x00,        0x00,                                         /* movl $0, 0xfed40000 */
		0x83,        0x3d,      0x00,      0x00, 0xd4, 0xfe, 0xff, /* cmpl $-1, 0xfed40000 */
		0x74,        0x02,                                         /* je over the fault */
		GUEST_FAULT, GUEST_OFF, GUEST_HALT
	};
	struct fixture *fixture = *state;

	fixture->definition->actions.triple_fault = DEFINITION_ACTION_STOP;
	start(fixture, code, sizeof(code));
	wait_for(fixture, MACHINE_STOPPED);
	assert_int_equal(fixture->reason, MACHINE_GUEST_SHUTDOWN);
}

/* The scratch register of the serial port. */
static uint8_t scratch(struct fixture *fixture, bool write)
{
	uint8_t value = 0;
	const struct vid_exit exit = {
		.kind = VID_EXIT_IO_PORT,
		.io = { .port = 0x3ff, .size = 1, .write = write, .count = 1, .data = &value },
	};

	assert_int_equal(chipset_access(machine_chipset(fixture->machine), &exit), POWER_NOTHING);
	return value;
}

static void chipset_is_saved_and_restored(void **state)
{
	/* movw $0x3ff, %dx; movb $0x5a, %al; outb %al, %dx */
	static const uint8_t code[] = { 0x66,      0xba, 0xff, 0x03,
					0xb0,      0x5a, 0xee, GUEST_PRINT('s'),
					GUEST_HALT };
	struct fixture *fixture = *state;
	struct state_writer writer;
	struct state_reader reader;
	struct failure failure = { 0 };

	start(fixture, code, sizeof(code));
	wait_for_output(fixture);
	assert_int_equal(machine_pause(fixture->machine), 0);
	state_writer_init(&writer);
	assert_int_equal(machine_chipset_ops.save(fixture->machine, &writer), 0);
	scratch(fixture, true);
	assert_int_equal(scratch(fixture, false), 0);
	assert_int_equal(state_reader_init(&reader, writer.bytes, writer.size), 0);
	assert_int_equal(machine_chipset_ops.restore(fixture->machine, &reader, &failure), 0);
	assert_int_equal(scratch(fixture, false), 0x5a);
	assert_int_equal(state_reader_init(&reader, writer.bytes, 0), 0);
	assert_int_equal(machine_chipset_ops.restore(fixture->machine, &reader, &failure), -EINVAL);
	assert_non_null(strstr(failure.message, "'chipset/serial' is missing"));
	state_writer_deinit(&writer);
	stop(fixture);
}

static void paused_guest_stands_still(void **state)
{
	static const uint8_t code[] = { GUEST_PRINT('.'), GUEST_LOOP(7) };
	struct fixture *fixture = *state;
	char text[4096];

	start(fixture, code, sizeof(code));
	for (int i = 0; i < 3; i++) {
		wait_for_output(fixture);
		assert_int_equal(machine_pause(fixture->machine), 0);
		assert_int_equal(fixture->state, MACHINE_PAUSED);
		assert_int_equal(machine_pause(fixture->machine), MACHINE_E_STATE);
		while (printed(fixture, text, sizeof(text)))
			;
		usleep(20000);
		assert_int_equal(printed(fixture, text, sizeof(text)), 0);
		assert_int_equal(machine_resume(fixture->machine), 0);
		assert_int_equal(machine_resume(fixture->machine), MACHINE_E_STATE);
	}
	wait_for_output(fixture);
	assert_int_equal(machine_pause(fixture->machine), 0);
	stop(fixture);
}

static void paused_guest_can_be_reset(void **state)
{
	static const uint8_t code[] = { GUEST_PRINT('.'), GUEST_LOOP(7) };
	struct fixture *fixture = *state;

	start(fixture, code, sizeof(code));
	assert_int_equal(machine_pause(fixture->machine), 0);
	assert_int_equal(machine_reset(fixture->machine), 0);
	wait_for(fixture, MACHINE_RUNNING);
	assert_int_equal(fixture->resets, 1);
	stop(fixture);
}

static void stop_overtakes_reset(void **state)
{
	static const uint8_t code[] = { GUEST_PRINT('.'), GUEST_LOOP(7) };
	struct fixture *fixture = *state;

	start(fixture, code, sizeof(code));
	assert_int_equal(machine_reset(fixture->machine), 0);
	assert_int_equal(machine_reset(fixture->machine), MACHINE_E_STATE);
	machine_stop(fixture->machine);
	machine_stop(fixture->machine);
	wait_for(fixture, MACHINE_STOPPED);
	assert_int_equal(fixture->resets, 0);
}

static void several_vps(void **state)
{
	static const uint8_t code[] = { GUEST_PRINT('.'), GUEST_LOOP(7) };
	struct fixture *fixture = *state;

	fixture->definition->processors.count = 6;
	fixture->definition->processors.sockets = 2;
	fixture->definition->processors.cores = 3;
	start(fixture, code, sizeof(code));
	wait_for_output(fixture);
	assert_int_equal(machine_reset(fixture->machine), 0);
	fixture->state = MACHINE_RESETTING;
	wait_for(fixture, MACHINE_RUNNING);
	assert_string_equal(fixture->notice, "");
	stop(fixture);
}

/* With APIC ids up to 498; all wait for SIPI, but for the first. */
static void as_many_vps_as_can_be(void **state)
{
	static const uint8_t code[] = { GUEST_PRINT('.'), GUEST_LOOP(7) };
	struct fixture *fixture = *state;

	fixture->definition->processors.count = 240;
	fixture->definition->processors.sockets = 16;
	fixture->definition->processors.cores = 5;
	fixture->definition->processors.threads = 3;
	start(fixture, code, sizeof(code));
	wait_for_output(fixture);
	assert_int_equal(machine_vp_count(fixture->machine), 240);
	/* This is no Linux. */
	assert_non_null(strstr(fixture->notice,
			       "120 of 240 virtual processors have APIC ids beyond "
			       "254"));
	assert_int_equal(machine_pause(fixture->machine), 0);
	assert_int_equal(machine_resume(fixture->machine), 0);
	stop(fixture);
}

/* More than any KVM has: the definition's reader lets none of these pass. */
static void too_many_vps(void **state)
{
	struct fixture *fixture = *state;
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (kvm < 0)
		skip();
	assert_int_equal(resources_put(fixture->resources, "kvm", kvm), 0);
	fixture->definition->processors.count = 1000000;
	fixture->definition->processors.cores = 1000000;
	assert_int_equal(make_machine(fixture), -ENOTSUP);
	assert_non_null(
		strstr(fixture->failure.message, "1000000 virtual processors; this host's"));
}

/* The line "Cpus_allowed_list" of this process' thread of that name, if there is one. */
static void look_for_affinity(const char *name, char *list, size_t size)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;

	assert_non_null(tasks);
	list[0] = '\0';
	while ((entry = readdir(tasks))) {
		char path[300], line[256];
		bool found = false;
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
		file = fopen(path, "re");
		while (file && fgets(line, sizeof(line), file)) {
			line[strcspn(line, "\n")] = '\0';
			if (strncmp(line, "Name:\t", 6) == 0)
				found = strcmp(line + 6, name) == 0;
			else if (found && strncmp(line, "Cpus_allowed_list:\t", 19) == 0)
				snprintf(list, size, "%s", line + 19);
		}
		if (file)
			fclose(file);
	}
	closedir(tasks);
}

/* A thread gets its name a while after its making. */
static void read_affinity(const char *name, char *list, size_t size)
{
	uint64_t end = loop_now() + 60 * SECOND;

	do
		look_for_affinity(name, list, size);
	while (list[0] == '\0' && loop_now() < end);
	assert_string_not_equal(list, "");
}

static void pin(struct fixture *fixture, const char *text)
{
	struct json_object *pinning = json_tokener_parse(text);
	struct json_error error = { 0 };

	assert_int_equal(
		definition_pinning_from_json(pinning, fixture->definition->processors.count,
					     &fixture->definition->resources.pinning, &error),
		0);
	json_object_put(pinning);
}

/* The highest CPU that this process may run on. */
static unsigned last_cpu(void)
{
	cpu_set_t cpus;
	unsigned last = 0;

	assert_int_equal(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &cpus))
			last = cpu;
	return last;
}

static void vps_are_pinned(void **state)
{
	static const uint8_t code[] = { GUEST_PRINT('p'), GUEST_HALT };
	struct fixture *fixture = *state;
	char text[128], cpu[16], list[256], all[256];

	fixture->definition->processors.count = fixture->definition->processors.cores = 2;
	snprintf(cpu, sizeof(cpu), "%u", last_cpu());
	snprintf(text, sizeof(text), "[{\"vps\": \"0\", \"cpus\": \"%s\"}]", cpu);
	pin(fixture, text);
	start(fixture, code, sizeof(code));
	assert_string_equal(fixture->notice, "");
	wait_for_output(fixture);
	read_affinity("vp-0", list, sizeof(list));
	assert_string_equal(list, cpu);
	read_affinity("test_machine", all, sizeof(all));
	read_affinity("vp-1", list, sizeof(list));
	assert_string_equal(list, all);

	/* A reset makes other threads. */
	assert_int_equal(machine_reset(fixture->machine), 0);
	fixture->state = MACHINE_RESETTING;
	wait_for(fixture, MACHINE_RUNNING);
	wait_for_output(fixture);
	read_affinity("vp-0", list, sizeof(list));
	assert_string_equal(list, cpu);

	/* While it runs. */
	snprintf(text, sizeof(text), "[{\"vps\": \"1\", \"cpus\": \"%s\"}]", cpu);
	pin(fixture, text);
	assert_int_equal(machine_pin(fixture->machine, &fixture->failure), 0);
	read_affinity("vp-1", list, sizeof(list));
	assert_string_equal(list, cpu);
	read_affinity("vp-0", list, sizeof(list));
	assert_string_equal(list, all);
	stop(fixture);
}

static void pins_that_cannot_be(void **state)
{
	static const uint8_t code[] = { GUEST_PRINT('p'), GUEST_HALT };
	struct fixture *fixture = *state;
	char text[160], cpu[16], list[256];

	fixture->definition->processors.count = fixture->definition->processors.cores = 2;
	pin(fixture, "[{\"vps\": \"0\", \"cpus\": \"1023\"}]");
	start(fixture, code, sizeof(code));
	assert_non_null(strstr(fixture->notice, "Virtual processor 0 cannot run on CPU 1023"));
	wait_for_output(fixture);

	/* What can be done is done. */
	snprintf(cpu, sizeof(cpu), "%u", last_cpu());
	snprintf(text, sizeof(text),
		 "[{\"vps\": \"0\", \"cpus\": \"1023\"}, {\"vps\": \"1\", \"cpus\": \"%s\"}]", cpu);
	pin(fixture, text);
	assert_int_equal(machine_pin(fixture->machine, &fixture->failure), -EINVAL);
	assert_non_null(strstr(fixture->failure.message, "CPU 1023: Invalid argument"));
	read_affinity("vp-1", list, sizeof(list));
	assert_string_equal(list, cpu);
	stop(fixture);
}

static void machine_that_never_started(void **state)
{
	static const uint8_t code[] = { GUEST_HALT };
	struct fixture *fixture = *state;

	make(fixture, code, sizeof(code));
	assert_int_equal(machine_state(fixture->machine), MACHINE_CREATED);
	assert_int_equal(machine_pause(fixture->machine), MACHINE_E_STATE);
	assert_int_equal(machine_resume(fixture->machine), MACHINE_E_STATE);
	assert_int_equal(machine_reset(fixture->machine), MACHINE_E_STATE);
	machine_stop(fixture->machine);
	assert_int_equal(fixture->state, MACHINE_STOPPED);
	assert_int_equal(machine_start(fixture->machine, &fixture->failure), MACHINE_E_STATE);
	assert_int_equal(machine_first_run(fixture->machine), 0);
}

static void kernel_that_is_none(void **state)
{
	static const uint8_t code[] = { GUEST_HALT };
	struct fixture *fixture = *state;
	int kernel;

	make(fixture, code, sizeof(code));
	machine_free(fixture->machine);
	fixture->machine = NULL;
	kernel = kernel_image_file(&fixture->image);
	assert_int_equal(ftruncate(kernel, 600), 0); /* the notes are cut off */
	assert_int_equal(
		resources_put(fixture->resources, "kvm", open("/dev/kvm", O_RDWR | O_CLOEXEC)), 0);
	assert_int_equal(resources_put(fixture->resources, "kernel", kernel), 0);
	assert_int_equal(make_machine(fixture), 0);
	assert_int_equal(machine_start(fixture->machine, &fixture->failure), -EINVAL);
	assert_non_null(strstr(fixture->failure.message, "truncated"));

	/* It stays as it was, and can be stopped. */
	machine_stop(fixture->machine);
	assert_int_equal(fixture->state, MACHINE_STOPPED);
}

static void machine_without_a_kernel(void **state)
{
	struct fixture *fixture = *state;
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (kvm < 0)
		skip();
	assert_int_equal(resources_put(fixture->resources, "kvm", kvm), 0);
	assert_int_equal(make_machine(fixture), 0);
	assert_int_equal(machine_start(fixture->machine, &fixture->failure), -EINVAL);
	assert_non_null(strstr(fixture->failure.message, "no kernel"));
	assert_int_equal(machine_state(fixture->machine), MACHINE_CREATED);
}

static void machine_on_what_is_not_kvm(void **state)
{
	struct fixture *fixture = *state;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	assert_int_equal(resources_put(fixture->resources, "kvm", null), 0);
	assert_true(make_machine(fixture) < 0);
	assert_non_null(strstr(fixture->failure.message, "KVM"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(guest_powers_off, setup, teardown),
		cmocka_unit_test_setup_teardown(guest_resets_again_and_again, setup, teardown),
		cmocka_unit_test_setup_teardown(memory_is_clear_after_a_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(reset_can_mean_stop_or_keep, setup, teardown),
		cmocka_unit_test_setup_teardown(triple_fault_says_where, setup, teardown),
		cmocka_unit_test_setup_teardown(nmi_reaches_a_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(crash_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(synthetic_timers_are_offered_if_wanted, setup,
						teardown),
		cmocka_unit_test_setup_teardown(synthetic_timers_are_not_offered_unasked, setup,
						teardown),
		cmocka_unit_test_setup_teardown(memory_is_write_back, setup, teardown),
		cmocka_unit_test_setup_teardown(strings_are_fast, setup, teardown),
		cmocka_unit_test_setup_teardown(crash_restarts, setup, teardown),
		cmocka_unit_test_setup_teardown(crash_without_an_end, setup, teardown),
		cmocka_unit_test_setup_teardown(crash_over_and_over, setup, teardown),
		cmocka_unit_test_setup_teardown(crash_and_prints, setup, teardown),
		cmocka_unit_test_setup_teardown(crash_and_introductions, setup, teardown),
		cmocka_unit_test_setup_teardown(crash_and_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(crash_and_reset_by_msr, setup, teardown),
		cmocka_unit_test_setup_teardown(crash_and_power_off, setup, teardown),
		cmocka_unit_test_setup_teardown(crash_and_triple_fault, setup, teardown),
		cmocka_unit_test_setup_teardown(crash_kernel_comes_up, setup, teardown),
		cmocka_unit_test_setup_teardown(crashed_guest_is_paused, setup, teardown),
		cmocka_unit_test_setup_teardown(crashed_guest_is_stopped, setup, teardown),
		cmocka_unit_test_setup_teardown(registers_while_it_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(registers_of_a_guest_that_halts, setup, teardown),
		cmocka_unit_test_setup_teardown(memory_of_nothing_reads_as_ones, setup, teardown),
		cmocka_unit_test_setup_teardown(chipset_is_saved_and_restored, setup, teardown),
		cmocka_unit_test_setup_teardown(paused_guest_stands_still, setup, teardown),
		cmocka_unit_test_setup_teardown(paused_guest_can_be_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(stop_overtakes_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(several_vps, setup, teardown),
		cmocka_unit_test_setup_teardown(as_many_vps_as_can_be, setup, teardown),
		cmocka_unit_test_setup_teardown(too_many_vps, setup, teardown),
		cmocka_unit_test_setup_teardown(vps_are_pinned, setup, teardown),
		cmocka_unit_test_setup_teardown(pins_that_cannot_be, setup, teardown),
		cmocka_unit_test_setup_teardown(machine_that_never_started, setup, teardown),
		cmocka_unit_test_setup_teardown(kernel_that_is_none, setup, teardown),
		cmocka_unit_test_setup_teardown(machine_without_a_kernel, setup, teardown),
		cmocka_unit_test_setup_teardown(machine_on_what_is_not_kvm, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
