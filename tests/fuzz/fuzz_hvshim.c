/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A hostile guest against the Hyper-V personality, either engine: any exits with any contents,
 * memory that changes under the host's hands, and a host that goes about its business meanwhile.
 * Every MSR access and hypercall must be answered, what is written to guest memory marked as
 * written, and nothing else may come of it.
 *
 * Input: a byte that chooses the engine, then operations of 18 bytes: what, an argument, and two
 * 64-bit values.
 */
#include "common/wire/tlfs.h"
#include "tests/fuzz/hvshim_machine.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>

#define PORT_FIRST 0xe4u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct operation {
	uint8_t what, argument;
	uint64_t values[2];
} PACKED;

/* Of all connections; made once. */
static int connection_fd(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return fd;
}

/* ---- What can happen ---- */

typedef void (*operation_fn)(struct machine *machine, struct vid_vp *vp,
			     const struct operation *operation);

static uint32_t any_msr(const struct operation *operation)
{
	static const uint16_t known[] = { 0x00, 0x01, 0x02, 0x03,  0x20,  0x21,  0x22,  0x23, 0x73,
					  0x80, 0x81, 0x82, 0x83,  0x84,  0x90,  0x92,  0x9f, 0xb0,
					  0xb1, 0xb6, 0xb7, 0x100, 0x103, 0x104, 0x105, 0x118 };

	if (operation->argument < ARRAY_SIZE(known))
		return HV_MSR_RANGE_BASE + known[operation->argument];
	return HV_MSR_RANGE_BASE + operation->argument * 16;
}

static void do_msr(struct machine *machine, struct vid_vp *vp, const struct operation *operation,
		   enum vid_exit_kind kind)
{
	const struct vid_exit exit = {
		.kind = kind,
		.msr = { .index = any_msr(operation), .value = operation->values[0] },
	};

	vp->answer = FAKE_NO_ANSWER;
	require(hvshim_exit(machine->hvshim, vp, &exit) == 0);
	require(vp->answer != FAKE_NO_ANSWER);
}

static void do_msr_write(struct machine *machine, struct vid_vp *vp,
			 const struct operation *operation)
{
	do_msr(machine, vp, operation, VID_EXIT_MSR_WRITE);
}

static void do_msr_read(struct machine *machine, struct vid_vp *vp,
			const struct operation *operation)
{
	do_msr(machine, vp, operation, VID_EXIT_MSR_READ);
}

static void do_port(struct machine *machine, struct vid_vp *vp, const struct operation *operation)
{
	uint32_t data = 0;
	const struct vid_exit exit = {
		.kind = VID_EXIT_IO_PORT,
		.io = { .port = (uint16_t)(PORT_FIRST + operation->argument % 4),
			.size = operation->argument & 0x40 ? 1 : 4,
			.write = !(operation->argument & 0x20),
			.count = operation->argument & 0x10 ? 2 : 1,
			.data = &data },
	};

	vp->system.cr0 = 1;
	vp->system.ss.attributes = operation->argument & 0x80 ? 0x60 : 0;
	vp->registers = (struct vid_registers){
		.rax = operation->values[0],
		.rcx = operation->values[0],
		.rdx = operation->values[1],
		.rbx = operation->values[1] >> 32,
		.rsi = operation->values[1],
		.r8 = operation->values[1],
	};
	require(hvshim_exit(machine->hvshim, vp, &exit) >= 0);
}

static void do_hypercall(struct machine *machine, struct vid_vp *vp,
			 const struct operation *operation)
{
	const struct vid_exit exit = {
		.kind = VID_EXIT_HYPERCALL,
		.hypercall = { .input = operation->values[0],
			       .params = { operation->values[1], operation->argument } },
	};

	vp->answer = FAKE_NO_ANSWER;
	if (hvshim_exit(machine->hvshim, vp, &exit) == 0)
		require(vp->answer == FAKE_VALUE);
}

static void do_synic(struct machine *machine, struct vid_vp *vp, const struct operation *operation)
{
	const struct vid_exit exit = {
		.kind = VID_EXIT_SYNIC,
		.synic = { .control = operation->argument,
			   .event_page = operation->values[0],
			   .message_page = operation->values[1] },
	};

	require(hvshim_exit(machine->hvshim, vp, &exit) >= 0);
}

static void do_memory(struct machine *machine, struct vid_vp *vp, const struct operation *operation)
{
	uint8_t *bytes = watched_memory_guest(machine->partition.memory,
					      GPA(operation->values[0] % (RAM - 8)), 8);

	memcpy(bytes, &operation->values[1], 8);
}

static void do_post(struct machine *machine, struct vid_vp *vp, const struct operation *operation)
{
	struct hvshim_message message = { .type = 1, .size = operation->argument };
	int r = hvshim_post_message(machine->hvshim, vp->index, operation->values[0] % 18,
				    &message);

	require(r >= 0 || r == -EINVAL);
}

static void do_signal(struct machine *machine, struct vid_vp *vp, const struct operation *operation)
{
	hvshim_signal_event(machine->hvshim, vp->index, operation->argument % 18,
			    operation->values[0] % 2050);
}

static void do_connection(struct machine *machine, struct vid_vp *vp,
			  const struct operation *operation)
{
	uint32_t id = (uint32_t)operation->values[0];

	machine->partition.connect_error = operation->argument & 1 ? -ENOSPC : 0;
	if (operation->argument & 2)
		hvshim_connection_remove(machine->hvshim, id);
	else
		(void)!hvshim_connection_add(machine->hvshim, id, connection_fd());
}

static void do_end_of_interrupt(struct machine *machine, struct vid_vp *vp,
				const struct operation *operation)
{
	if (machine->partition.newest && machine->partition.newest->eoi_fd >= 0)
		eventfd_write(machine->partition.newest->eoi_fd, 1);
}

static void do_kick(struct machine *machine, struct vid_vp *vp, const struct operation *operation)
{
	const struct vid_exit exit = { .kind = VID_EXIT_KICK };

	vp->refuses = operation->argument & 1;
	require(hvshim_exit(machine->hvshim, vp, &exit) >= 0);
	require(vp->interrupts == 0 || vp->vector >= HV_SINT_VECTOR_MIN);
}

static void do_turn(struct machine *machine, struct vid_vp *vp, const struct operation *operation)
{
	machine_turn(machine, 1);
}

static const operation_fn operations[] = {
	do_msr_write,  do_msr_write,        do_msr_read, do_port,   do_hypercall,
	do_synic,      do_memory,           do_post,     do_signal, do_signal,
	do_connection, do_end_of_interrupt, do_turn,     do_kick,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine *machine = machine_get();
	struct operation operation;

	if (size == 0)
		return 0;
	machine_make(machine, data[0] & 1 ? HVSHIM_ENGINE_USER : HVSHIM_ENGINE_KERNEL, data[0] & 2);
	for (size_t at = 1; at + sizeof(operation) <= size; at += sizeof(operation)) {
		memcpy(&operation, data + at, sizeof(operation));
		operations[operation.what % ARRAY_SIZE(operations)](
			machine, &machine->vps[operation.what >> 7], &operation);
	}
	machine_free(machine);
	return 0;
}
