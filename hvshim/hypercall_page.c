/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hypercall page of the user-space engine.
 *
 * Guests call its first byte, so its code is ours to choose. It turns the hypercall into an OUT:
 *
 *   HvCallSignalEvent in the fast form with flag 0, which is how a guest rings for work, writes the
 *   connection id to the signal port. An ioeventfd that waits for this value catches it in the
 *   kernel. Then the code takes the connection id from EAX, and 0, success, is left. Where no
 *   ioeventfd waits the OUT exits, and adding a status to EAX makes it come out of the subtraction.
 *
 *   All else writes to another port, exits, and finds the result in its registers afterwards. The
 *   port tells which calling convention the registers follow.
 *
 * Hypercalls are for kernel mode. An exit checks that. A doorbell cannot; user mode that was given
 * the right to do I/O could ring one, as it could anything else in the machine.
 */
#include "hvshim/internal.h"

#include <string.h>

static const uint8_t code_64[] = {
	0xf3, 0x0f,
	0x1e, 0xfa, /* endbr64 */
	0x48, 0x81,
	0xf9, 0x5d,
	0x00, 0x01,
	0x00,       /* cmp rcx, HvCallSignalEvent | fast */
	0x75, 0x0c, /* jne other */
	0x89, 0xd0, /* mov eax, edx */
	0x48, 0x39,
	0xd0,                        /* cmp rax, rdx: is the flag 0? */
	0x75, 0x05,                  /* jne other */
	0xe7, HYPERCALL_PORT_SIGNAL, /* out SIGNAL, eax */
	0x29, 0xd0,                  /* sub eax, edx */
	0xc3,                        /* ret */
	0xe7, HYPERCALL_PORT_64,     /* other: out 64, eax */
	0xc3,                        /* ret */
};

static const uint8_t code_32[] = {
	0xf3, 0x0f,
	0x1e, 0xfb, /* endbr32 */
	0x3d, 0x5d,
	0x00, 0x01,
	0x00,                        /* cmp eax, HvCallSignalEvent | fast */
	0x75, 0x0f,                  /* jne other */
	0x85, 0xd2,                  /* test edx, edx: upper half of the input value */
	0x75, 0x0b,                  /* jne other */
	0x85, 0xdb,                  /* test ebx, ebx: is the flag 0? */
	0x75, 0x07,                  /* jne other */
	0x89, 0xc8,                  /* mov eax, ecx */
	0xe7, HYPERCALL_PORT_SIGNAL, /* out SIGNAL, eax */
	0x29, 0xc8,                  /* sub eax, ecx; edx is 0 already */
	0xc3,                        /* ret */
	0xe7, HYPERCALL_PORT_32,     /* other: out 32, eax */
	0xc3,                        /* ret */
};

const uint8_t *hypercall_page_code(bool long_mode, size_t *ret_size)
{
	*ret_size = long_mode ? sizeof(code_64) : sizeof(code_32);
	return long_mode ? code_64 : code_32;
}

/* KVM's is a few bytes, and ours no longer than this. */
#define PAGE_CODE_MAX 64u

int hypercall_page_holds_vp(const struct hvshim_vp *vp, gpa_t page, bool *ret_holds)
{
	struct vid_registers registers;
	struct vid_system_registers system;
	uint64_t offset;
	gpa_t gpa;
	int r = vid_vp_get_registers(vp->vp, &registers);

	if (r == 0)
		r = vid_vp_get_system(vp->vp, &system);
	if (r < 0)
		return r;
	offset = (system.cs.base + registers.rip) % HV_PAGE_SIZE;
	*ret_holds = false;
	if (offset == 0 || offset >= PAGE_CODE_MAX)
		return 0;
	r = vid_vp_translate(vp->vp, system.cs.base + registers.rip, &gpa);
	*ret_holds = r == 0 && gpa.value / HV_PAGE_SIZE == page.value / HV_PAGE_SIZE;
	return r == -EFAULT ? 0 : r;
}

/* ---- The exits ---- */

#define CR0_PROTECTION_ENABLE  1u
#define SEGMENT_DPL(attribute) ((attribute) >> 5 & 3)
#define EXCEPTION_UD           6

static int vp_may_call(struct hvshim_vp *vp, bool *ret_may)
{
	struct vid_system_registers system;
	int r = vid_vp_get_system(vp->vp, &system);

	if (r < 0)
		return r;
	/* The stack segment's DPL is the CPL. */
	*ret_may = system.cr0 & CR0_PROTECTION_ENABLE && SEGMENT_DPL(system.ss.attributes) == 0;
	return 0;
}

static uint64_t pair(uint64_t high, uint64_t low)
{
	return high << 32 | (uint32_t)low;
}

static void call_signal(struct hvshim_vp *vp, struct vid_registers *registers)
{
	uint32_t connection_id = (uint32_t)registers->rax;

	atomic_fetch_add(&vp->hvshim->counters.hypercall_exits, 1);
	registers->rax = (uint32_t)(connection_id + hypercall_signal_event(vp, connection_id));
}

static void call_64(struct hvshim_vp *vp, struct vid_registers *registers)
{
	uint64_t params[2] = { registers->rdx, registers->r8 };

	registers->rax = hypercall_dispatch(vp, registers->rcx, params);
}

static void call_32(struct hvshim_vp *vp, struct vid_registers *registers)
{
	uint64_t params[2] = { pair(registers->rbx, registers->rcx),
			       pair(registers->rdi, registers->rsi) };
	uint64_t result = hypercall_dispatch(vp, pair(registers->rdx, registers->rax), params);

	registers->rax = (uint32_t)result;
	registers->rdx = result >> 32;
}

static const struct {
	uint16_t port;
	void (*call)(struct hvshim_vp *vp, struct vid_registers *registers);
} port_table[] = {
	{ HYPERCALL_PORT_SIGNAL, call_signal },
	{ HYPERCALL_PORT_64, call_64 },
	{ HYPERCALL_PORT_32, call_32 },
};

int hypercall_page_exit(struct hvshim_vp *vp, const struct vid_exit *exit)
{
	struct vid_registers registers;
	bool may;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(port_table); i++) {
		if (port_table[i].port != exit->io.port)
			continue;
		if (!exit->io.write || exit->io.size != sizeof(uint32_t) || exit->io.count != 1)
			return HVSHIM_E_UNHANDLED;
		r = vp_may_call(vp, &may);
		if (r < 0)
			return r;
		if (!may)
			return vid_vp_inject_exception(vp->vp, EXCEPTION_UD);
		r = vid_vp_get_registers(vp->vp, &registers);
		if (r < 0)
			return r;
		port_table[i].call(vp, &registers);
		return vid_vp_set_registers(vp->vp, &registers);
	}
	return HVSHIM_E_UNHANDLED;
}
